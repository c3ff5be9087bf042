"""The node that ranks pictures by their likeness to a reference. Letters: B pictures, R references."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from comfy_api.latest import io

from ...clip_vision import CROPS, Crop
from ...references.embedding import Embedding
from ...references.similarity import cosines
from .. import input_checks
from ..display import said
from ..sockets import CATEGORY, EmbeddingType
from .pictures import as_embedding, embed_pictures, picture_space
from .tables import columns, number

BEST, WORST = ORDERS = ("best", "worst")
MOST_KEPT = 4096

SEVERAL: Mapping[str, Callable[[torch.Tensor], torch.Tensor]] = {  # cosines (B, R) -> scores (B,)
    "average": lambda cosine: cosine.mean(dim=1),
    "nearest": lambda cosine: cosine.amax(dim=1),
}


class RankPictures(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ImagePromptRank",
            display_name="Rank Pictures",
            category=CATEGORY,
            description="Keeps the pictures of a batch that fit a text or a reference best, such as the best of eight, "
            "with their scores.",
            search_aliases=[
                "best of n",
                "sort images by similarity",
                "clip score",
                "filter batch",
                "select best image",
                "pick",
                "top k",
            ],
            inputs=[
                io.Image.Input("images", tooltip="The pictures to choose from."),
                EmbeddingType.Input(
                    "reference", tooltip="A text or a picture, from Embed Text or Embed Image Features."
                ),
                io.ClipVision.Input("clip_vision", tooltip="The encoder of the reference."),
                io.Int.Input(
                    "keep",
                    default=1,
                    min=1,
                    max=MOST_KEPT,
                    optional=True,
                    tooltip="How many pictures to keep at most.",
                ),
                io.Combo.Input(
                    "order",
                    options=list(ORDERS),
                    default=BEST,
                    optional=True,
                    tooltip="Whether those that fit best are kept, or those that fit worst. The first one kept fits "
                    "best, or worst.",
                ),
                io.Float.Input(
                    "minimum",
                    default=-1.0,
                    min=-1.0,
                    max=1.0,
                    step=0.01,
                    optional=True,
                    tooltip="Pictures with a lower score are never kept; -1 keeps all. Of a text that fits, 0.2 to "
                    "0.35 is much; of two alike pictures, 0.6 to 0.95.",
                ),
                io.Combo.Input(
                    "references",
                    options=list(SEVERAL),
                    default="average",
                    optional=True,
                    tooltip="If there are several references: whether the score is the average of the cosines with "
                    "all, or that with the nearest.",
                    advanced=True,
                ),
                io.Combo.Input(
                    "crop",
                    options=list(CROPS),
                    default="center",
                    optional=True,
                    tooltip="How an image becomes the square that the encoder reads: keep its centre or the named "
                    "side, 'pad' it to keep all of it, or 'squash' it.",
                    advanced=True,
                ),
            ],
            outputs=[
                io.Image.Output(
                    display_name="images", tooltip="The pictures that are kept, in the order of the scores."
                ),
                io.Float.Output(
                    display_name="scores", tooltip="The cosine of each picture that is kept.", is_output_list=True
                ),
                io.Int.Output(
                    display_name="indices",
                    tooltip="Where each was in the batch, counted from 0.",
                    is_output_list=True,
                ),
                io.String.Output(display_name="table", tooltip="All pictures in the order of their scores."),
            ],
            has_intermediate_output=True,
        )

    @classmethod
    def execute(
        cls,
        images: torch.Tensor,
        reference: Any,
        clip_vision: Any,
        keep: int = 1,
        order: str = BEST,
        minimum: float = -1.0,
        references: str = "average",
        crop: Crop = "center",
    ) -> io.NodeOutput:
        keep = input_checks.whole(keep, 1, MOST_KEPT, "input keep")
        minimum = input_checks.number(minimum, -1.0, 1.0, "minimum")
        input_checks.choice(order, ORDERS, "order")
        input_checks.choice(references, list(SEVERAL), "references")
        input_checks.choice(crop, list(CROPS), "crop")
        wanted = as_embedding(reference, "reference")
        wanted.space.check(picture_space(clip_vision), "The reference", "the pictures")  # before they are encoded
        scores = SEVERAL[references](cosines(embed_pictures(clip_vision, images, crop), wanted))
        ranked = torch.argsort(scores, descending=order == BEST, stable=True).tolist()
        kept = [number for number in ranked if float(scores[number]) >= minimum][:keep]
        if not kept:
            raise ValueError(_none_kept(scores, minimum, wanted))
        table = columns(
            ("rank", "index", "cosine", "kept"),
            [
                (str(rank), str(index), number(float(scores[index])), "yes" if index in kept else "")
                for rank, index in enumerate(ranked, 1)
            ],
        )
        values = [float(scores[index]) for index in kept]
        spread = " to ".join(dict.fromkeys((number(min(values)), number(max(values)))))
        words = f"{len(kept)} of {len(ranked)} pictures\n{spread}"
        return io.NodeOutput(images[kept], values, kept, table, ui=said(words))


def _none_kept(scores: torch.Tensor, minimum: float, wanted: Embedding) -> str:
    usual = "0.2 to 0.35 is much for a text that fits" if wanted.of == "text" else "alike pictures have 0.6 to 0.95"
    index = int(scores.argmax())
    best = number(float(scores[index]))
    return (
        f"None of {len(scores)} pictures has a score of {minimum:g} or more: the best is {best}, of the picture with "
        f"the index {index}. Lower the minimum ({usual}), or change the reference."
    )
