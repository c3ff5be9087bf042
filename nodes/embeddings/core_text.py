"""Texts by core's CLIP, into the space of pictures.

Core's own call gives what prompts need, which for SD1.5 and Flux is the text before its projection: another space than
that of pictures. So the part of it that is a CLIP is asked here by itself. Letters: N texts, D numbers of a vector.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import comfy.model_management
import comfy.sd
import torch

from ...clip_vision.text.checkpoint import full_file_of
from ...model_files.matching import Need
from ...references.embedding import Embedding
from ...references.space import Space
from .. import input_checks
from ..encoding.spaces import is_filled
from ..loading.model_library import explained
from .files_of_clips import headers_of

CHUNK = 8  # texts in one forward pass

OnChunk = Callable[[int], object]  # called with the number of texts that were encoded


@dataclass(frozen=True)
class Part:
    """A CLIP within core's object. name: core's; encoder: whose pictures are in its space; width: D"""

    name: str
    encoder: str
    width: int


PARTS = (  # in SDXL, whose checkpoints have the projection of bigG alone, L comes last
    Part("clip_g", "CLIP ViT-bigG/14", 1280),
    Part("clip_h", "CLIP ViT-H/14", 1024),
    Part("clip_l", "CLIP ViT-L/14", 768),
)


@dataclass(frozen=True, eq=False)
class CoreText:
    """The part of core's CLIP that embeds texts.

    tower, tokenizer: core's, of that part
    """

    clip: comfy.sd.CLIP
    part: Part
    tower: Any
    tokenizer: Any

    @property
    def space(self) -> Space:
        """Only by name: nothing in a text encoder tells its image encoder from another of the same size."""
        return Space(self.part.encoder, self.part.width)

    @property
    def patched(self) -> int:
        """How many of its weights LoRAs have changed."""
        return sum(key.startswith(f"{self.part.name}.") for key in self.clip.patcher.patches)

    def too_long(self, texts: Sequence[str]) -> list[int]:
        """The numbers of the texts of which the end is not seen."""
        return [number for number, text in enumerate(texts) if len(self._words(text)) > self._room]

    def embed(self, texts: Sequence[str], on_chunk: OnChunk) -> Embedding:
        """What core reads in texts, such as weights in brackets and `embedding:`, is text here.

        Core's options are put back, so that the next prompt gives the same as before.
        """
        tokens = [self._tokens(text) for text in texts]
        device = self.clip.patcher.load_device
        self.clip.load_model()
        self.tower.reset_clip_options()
        self.tower.set_clip_options({"layer": None, "projected_pooled": True, "execution_device": device})
        try:
            with comfy.model_management.cuda_device_context(device):
                chunks = (tokens[start : start + CHUNK] for start in range(0, len(tokens), CHUNK))
                vectors = torch.cat([self._pooled(chunk, on_chunk) for chunk in chunks])
        finally:
            self.tower.reset_clip_options()
        return Embedding.of_vectors(vectors, self.space, "text")

    def _pooled(self, tokens: list[list[int]], on_chunk: OnChunk) -> torch.Tensor:
        pooled = self.tower.encode(tokens)[1].float().cpu()
        on_chunk(len(tokens))
        return pooled

    def _tokens(self, text: str) -> list[int]:
        room, reads = self._room, self.tokenizer
        tokens = [reads.start_token, *self._words(text)[:room], reads.end_token]
        return tokens + [reads.pad_token] * (reads.max_length - len(tokens))

    def _words(self, text: str) -> list[int]:
        """The tokens of a text between the first and the last."""
        return self.tokenizer.tokenizer(text)["input_ids"][1:-1]

    @property
    def _room(self) -> int:
        return self.tokenizer.max_length - 2


def core_text(clip: Any) -> CoreText:
    """The part of a CLIP socket that embeds texts into the space of pictures.

    Raises:
        ValueError: it holds no CLIP, or none with a text projection. It says which full CLIP file would do.
    """
    input_checks.expect(clip, comfy.sd.CLIP, "clip", "connect the CLIP output of Load Checkpoint, or clip_vision")
    model = clip.cond_stage_model
    parts = [(part, tower) for part in PARTS if (tower := getattr(model, part.name, None)) is not None]
    if not parts:
        raise ValueError(
            f"The clip is a {type(model).__name__}, which holds no CLIP, so its texts cannot be compared with "
            "pictures: connect the CLIP of a SDXL checkpoint, or a full CLIP file by Load Image Encoder."
        )
    shapes = _projections_in_files(clip)
    for part, tower in parts:
        if _is_projected(tower, part, shapes):
            return CoreText(clip, part, tower, getattr(clip.tokenizer, part.name))
    encoder = parts[0][0].encoder
    raise explained(
        ValueError(
            "This CLIP has no text projection (SD1.5 checkpoints lack it, and so do most files of clip_l), so it "
            "cannot be compared with pictures. Load a full CLIP file with Load Image Encoder, such as "
            f"model.safetensors of {full_file_of(encoder)}, and connect it to clip_vision instead."
        ),
        Need("encoder", encoder=encoder, needs_projection=True),
    )


def _is_projected(tower: Any, part: Part, shapes: Mapping[str, tuple[int, ...]] | None) -> bool:
    """Whether a projection was read from the files: core leaves one that is missing as the memory was.

    shapes: of the projections in the files; None if the files are not known
    """
    weight = tower.transformer.text_projection.weight
    if shapes is not None and (len(weight),) * 2 not in shapes.values():
        return False
    last = tower.transformer.text_model.encoder.layers[-1].mlp.fc2.weight  # which files of SD2 often leave out
    return is_filled(weight) and len(weight) == part.width and is_filled(last)


def _projections_in_files(clip: comfy.sd.CLIP) -> dict[str, tuple[int, ...]] | None:
    """The shapes of the text projections in the files of a CLIP; None if its loader does not tell the files."""
    headers = headers_of(clip).values()
    tensors = [(name, info.shape) for header in headers for name, info in header.tensors.items()]
    ends = ("text_projection", "text_projection.weight")
    return {name: tuple(shape) for name, shape in tensors if name.endswith(ends)} if headers else None
