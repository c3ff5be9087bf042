"""The node that gives the pictures of a library that are nearest to a text or to pictures, as references."""

from typing import Any

import torch
from comfy_api.latest import io

from ...clip_vision import CROPS
from ...references.embedding import Embedding
from ...references.search import Searchable
from ...references.search.finding import named, search, vectors_of
from .. import input_checks
from ..activity import timed
from ..display import said
from ..embeddings.pictures import as_embedding
from ..encoding.encoder import as_encoder
from ..sockets import CATEGORY, AdapterInput, EmbeddingType
from .letterbox import LONGEST
from .libraries import fingerprint, may_be_opened, names, opened
from .reading import features_of, read_pictures

MOST = 64  # pictures
SHORTEST, MOST_PIXELS = 64, 4096  # of the longer side of the output
SHOWN = 6  # lines on the node


class NearestReference(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ImagePromptNearestReference",
            display_name="Nearest References",
            category=CATEGORY,
            description="Gives the pictures of a reference library that are nearest to a text or to a picture, and "
            "with an image encoder their features, for Apply IP-Adapter and Image Prompt Reference.",
            search_aliases=[
                "search images",
                "image search",
                "retrieve",
                "similar images",
                "reference library",
                "nearest neighbours",
                "find reference",
                "clip search",
                "embedding",
            ],
            inputs=[
                io.Combo.Input(
                    "library",
                    options=names(),
                    tooltip="The library that is searched. Add to Reference Library makes one, and so does the "
                    "command embed.",
                ),
                EmbeddingType.Input(
                    "query",
                    optional=True,
                    tooltip="What is searched: a text of Embed Text, or pictures of Embed Image Features, by the "
                    "encoder of the library. Of several, what is nearest to any of them is found.",
                ),
                io.Int.Input(
                    "k", default=4, min=1, max=MOST, optional=True, tooltip="How many pictures are given at most."
                ),
                io.Float.Input(
                    "minimum",
                    default=-1.0,
                    min=-1.0,
                    max=1.0,
                    step=0.01,
                    optional=True,
                    tooltip="The lowest cosine that counts; at -1 all count. A text and a picture that fit have 0.2 to "
                    "0.35, two alike pictures 0.6 to 0.95.",
                ),
                io.String.Input(
                    "folder",
                    default="",
                    optional=True,
                    tooltip="Only pictures in this folder of the library and below count, such as cats/black. Empty: "
                    "all.",
                ),
                io.String.Input(
                    "picture",
                    default="",
                    optional=True,
                    tooltip="Instead of a query: the path of a picture of the library. Those like it are found, and "
                    "itself first. The References panel writes it.",
                ),
                io.Boolean.Input(
                    "prefer_rated",
                    default=False,
                    optional=True,
                    tooltip="Of 4 times as many pictures as k, leave out those that are rated -1, and put those that "
                    "are rated 1 first.",
                ),
                io.ClipVision.Input(
                    "clip_vision",
                    optional=True,
                    tooltip="The image encoder that the adapter needs, which may be another one than that of the "
                    "library. Without it the output features is empty, unless the library holds saved features.",
                ),
                AdapterInput(
                    "adapter",
                    optional=True,
                    tooltip="The IP-Adapter that will read the features. With it, only what it reads is computed and "
                    "kept.",
                ),
                io.Combo.Input(
                    "crop",
                    options=list(CROPS),
                    default="center",
                    optional=True,
                    tooltip="How a picture becomes square for the encoder: keep its centre or the named side, 'pad' it "
                    "to keep all of it, or 'squash' it.",
                    advanced=True,
                ),
                io.Int.Input(
                    "longest",
                    default=LONGEST,
                    min=SHORTEST,
                    max=MOST_PIXELS,
                    optional=True,
                    tooltip="The longer side of the output image in pixels at most. The features are made of the "
                    "whole pictures.",
                    advanced=True,
                ),
            ],
            outputs=[
                io.Image.Output(
                    display_name="image",
                    tooltip="The pictures, the nearest first, as large as that, between black bars where their shape "
                    "differs.",
                ),
                io.String.Output(display_name="paths", tooltip="Their paths in the library, one on each line."),
                io.Float.Output(
                    display_name="scores", is_output_list=True, tooltip="Their cosines with the query, -1 to 1."
                ),
                EmbeddingType.Output(display_name="embedding", tooltip="Their vectors, as the library keeps them."),
                io.ClipVisionOutput.Output(
                    display_name="features", tooltip="Their features, for Apply IP-Adapter and Image Prompt Reference."
                ),
            ],
            hidden=[io.Hidden.unique_id],
            has_intermediate_output=True,
        )

    @classmethod
    def fingerprint_inputs(cls, library: str | None = None, **_: object) -> str:
        return fingerprint(library)

    @classmethod
    def validate_inputs(cls, library: str | None = None) -> bool | str:
        """Check the name before the prompt is queued, and not that it is listed."""
        return may_be_opened(library)

    @classmethod
    def execute(
        cls,
        library: str,
        query: Any = None,
        k: int = 4,
        minimum: float = -1.0,
        folder: str = "",
        picture: str = "",
        prefer_rated: bool = False,
        clip_vision: Any = None,
        adapter: Any = None,
        crop: str = "center",
        longest: int = LONGEST,
    ) -> io.NodeOutput:
        encoder = None if clip_vision is None else as_encoder(clip_vision)
        input_checks.choice(crop, list(CROPS), "crop")
        known = opened(library)
        k = input_checks.whole(k, 1, MOST, "k")
        longest = input_checks.whole(longest, SHORTEST, MOST_PIXELS, "longest")
        lowest = input_checks.number(minimum, -1.0, 1.0, "minimum")
        input_checks.switch(prefer_rated, "prefer_rated")
        input_checks.expect(folder, str, "folder", "give the path of a folder in the library, or nothing")
        with timed("nearest references"):
            asked = _query(known, query, picture)
            hits = search(known, asked, k, None if lowest == -1.0 else lowest, folder, prefer_rated)
            if not hits:
                raise ValueError(_nothing(known, lowest, folder))
            pictures, problems = read_pictures(known, hits, encoder, adapter, crop, longest)
            embedding = vectors_of(known, [each.id for each in pictures])
        scores = [each.score for each in pictures]
        lines = [f"{each.score:.3f}  {each.name}" for each in pictures]
        more = [f"and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
        return io.NodeOutput(
            torch.cat([each.image for each in pictures]),
            "\n".join(each.name for each in pictures),
            scores,
            embedding,
            features_of(pictures),
            ui=said("\n".join([*lines[:SHOWN], *more, *problems]), cls.hidden),
        )


def _query(library: Searchable, query: Any, picture: Any) -> Embedding:
    input_checks.expect(picture, str, "picture", "give the path of a picture in the library, or nothing")
    if query is not None and picture.strip():
        raise ValueError("A query is connected and a picture is named: give one of both.")
    if query is not None:
        return as_embedding(query, "query")
    if picture.strip():
        return vectors_of(library, [named(library, picture.strip()).id])
    raise ValueError("There is nothing to search: connect Embed Text to query, or name a picture of the library.")


def _nothing(library: Searchable, minimum: float, folder: str) -> str:
    if not library.count:
        return f"The library {library.name} holds no pictures: add some with Add to Reference Library."
    where = f" in the folder {folder!r}" if folder else ""
    lowest = f" with a cosine of {minimum:g} or more" if minimum > -1.0 else ""
    return f"The library {library.name} has no picture{where}{lowest}: choose a lower minimum, or another folder."
