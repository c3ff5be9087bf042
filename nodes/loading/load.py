"""The nodes that load an image encoder and an IP-Adapter."""

from collections.abc import Callable, Hashable
from functools import partial

from comfy_api.latest import io

from ...clip_vision import PRESETS
from ...clip_vision.network.resolution import LARGEST, WrongSize
from ...ip_adapter import FAMILIES, alike
from ...tensor_files import PassingTrouble, placement
from .. import input_checks
from ..display import megabytes, said
from ..encoding.encoder import ImageEncoder
from ..folders import (
    ADAPTER_FOLDER,
    ENCODER_FOLDER,
    MORE_ADAPTERS,
    Loaded,
    adapter_fingerprint,
    adapter_names,
    adapter_place,
    fingerprint,
    model_names,
    shared,
)
from ..sockets import CATEGORY, Adapter
from .adapter import ImagePromptAdapter
from .companion import add_companion
from .files_used import adapter_file, encoder_file, note_files
from .model_library import explained_file

AUTO = "auto"
VARIANTS = [AUTO, *(preset.name for preset in PRESETS)]
# name -> id of the families of which others have files of the same shapes
FAMILY_CHOICES = {family.name: family.id for family in FAMILIES if not family.refusal and len(alike(family)) > 1}
DTYPES = {"auto": None, **placement.DTYPES}


class LoadImageEncoder(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ImagePromptLoadEncoder",
            display_name="Load Image Encoder",
            category=CATEGORY,
            description="Loads a CLIP, SigLIP, EVA02-CLIP, CSD, DINOv2 or PE-Core image encoder from "
            "models/clip_vision. It knows more encoders than the core loader, loads them exactly, and is faster. Core "
            "nodes accept the result.",
            search_aliases=["clip vision", "load clip vision", "siglip", "image encoder"],
            inputs=[
                io.Combo.Input(
                    "encoder_name",
                    options=model_names(ENCODER_FOLDER),
                    tooltip="File in models/clip_vision. Most IP-Adapters need CLIP ViT-H/14, others ViT-bigG/14, "
                    "ViT-L/14 or SigLIP; a wrong one is named before sampling.",
                ),
                io.Combo.Input(
                    "variant",
                    options=VARIANTS,
                    default="auto",
                    optional=True,
                    tooltip="Which encoder the file holds. 'auto' reads it from the tensors; say it yourself only "
                    "for a renamed file whose variant has the same shapes.",
                    advanced=True,
                ),
                io.Combo.Input(
                    "dtype",
                    options=list(DTYPES),
                    default="auto",
                    optional=True,
                    tooltip="Number format of the computation. 'auto' takes what the device is fastest at; "
                    "fp32 is the most exact.",
                    advanced=True,
                ),
                io.Int.Input(
                    "image_size",
                    default=0,
                    min=0,
                    max=LARGEST,
                    optional=True,
                    tooltip="Pixels along a side of the square that it reads of an image, such as 448; a multiple of "
                    "its patch (14, 16 or 32), or any size for DINOv2. 0 is its usual size.",
                    advanced=True,
                ),
            ],
            outputs=[io.ClipVision.Output(display_name="clip_vision", tooltip="The image encoder.")],
            hidden=[io.Hidden.unique_id, io.Hidden.extra_pnginfo],
            has_intermediate_output=True,
        )

    @classmethod
    def fingerprint_inputs(cls, encoder_name: str | None = None, **_: object) -> str:
        return fingerprint(ENCODER_FOLDER, encoder_name)

    @classmethod
    def execute(
        cls, encoder_name: str, variant: str = "auto", dtype: str = "auto", image_size: int = 0
    ) -> io.NodeOutput:
        encoder = load_encoder(encoder_name, variant, dtype, image_size)
        note_files(cls.hidden, encoder_file(encoder_name, encoder))
        return io.NodeOutput(encoder, ui=said(encoder_words(encoder), cls.hidden))


class LoadImagePromptAdapter(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ImagePromptLoadAdapter",
            display_name="Load IP-Adapter",
            category=CATEGORY,
            description="Loads an IP-Adapter from models/ipadapter and finds out from its tensors which family it is, "
            "which model it is made for, and which encoder it reads.",
            search_aliases=["ip-adapter", "ipadapter", "image prompt", "load ipadapter model"],
            inputs=[
                io.Combo.Input(
                    "adapter_name",
                    options=adapter_names(),
                    tooltip="File in models/ipadapter, for example ip-adapter-plus_sd15.safetensors. Files in "
                    f"the folders of other packs are listed too, after the folder: {', '.join(MORE_ADAPTERS)}.",
                ),
                io.Combo.Input(
                    "variant",
                    options=[AUTO, *FAMILY_CHOICES],
                    default=AUTO,
                    optional=True,
                    tooltip="Which family the file is of, where tensors of equal shapes leave a choice. 'auto' decides "
                    "by the name of the file and the format of its numbers; say it yourself only for a renamed file.",
                    advanced=True,
                ),
            ],
            outputs=[Adapter.Output(display_name="adapter", tooltip="The IP-Adapter.")],
            hidden=[io.Hidden.unique_id, io.Hidden.extra_pnginfo],
            has_intermediate_output=True,
        )

    @classmethod
    def fingerprint_inputs(cls, adapter_name: str | None = None, **_: object) -> str:
        return adapter_fingerprint(adapter_name)

    @classmethod
    def execute(cls, adapter_name: str, variant: str = AUTO) -> io.NodeOutput:
        adapter = load_adapter(adapter_name, variant)
        note_files(cls.hidden, adapter_file(adapter_name, adapter))
        lines = [adapter_words(adapter), *reads(adapter)]
        return io.NodeOutput(adapter, ui=said("\n".join(lines), cls.hidden))


def adapter_words(adapter: ImagePromptAdapter) -> str:
    """Which adapter was loaded, in a line for the node."""
    return f"{adapter.kind}, {megabytes(adapter.patcher.model_size())}"


def encoder_words(encoder: ImageEncoder) -> str:
    """Which encoder was loaded, in a line for the node."""
    return f"{encoder.summary}, {megabytes(encoder.patcher.model_size())}"


def reads(adapter: ImagePromptAdapter) -> list[str]:
    """A line about the encoder that an adapter reads; none if it reads none."""
    return [f"reads {adapter.module.encoder_name}"] if adapter.module.encoder_name else []


def load_encoder(name: str, variant: str = "auto", dtype: str = "auto", image_size: int = 0) -> ImageEncoder:
    input_checks.choice(variant, VARIANTS, "variant")
    input_checks.choice(dtype, list(DTYPES), "dtype")
    input_checks.number(image_size, 0, LARGEST, "image_size")
    build = partial(ImageEncoder.from_file, variant=variant, dtype=DTYPES[dtype], image_size=image_size or None)
    return _load(ENCODER_FOLDER, "encoder", name, (variant, dtype, image_size), build, lasting=variant == "auto")


def plain_encoder(name: str) -> ImageEncoder:
    """What `load_encoder` loads by default, for callers outside a workflow: what its errors would say of other files is
    found by reading these, which Cancel ends."""
    return shared(ENCODER_FOLDER, name, (AUTO, AUTO, 0), ImageEncoder.from_file)


def load_adapter(name: str, variant: str = AUTO, folder: str = "") -> ImagePromptAdapter:
    """Load an adapter, named as `adapter_names` does, or by its name in a folder of ComfyUI."""
    input_checks.choice(variant, [AUTO, *FAMILY_CHOICES], "variant")
    build = partial(ImagePromptAdapter.from_file, family=FAMILY_CHOICES.get(variant, ""))
    input_checks.expect(name, str, "adapter", f"give the name of a file in models/{folder or ADAPTER_FOLDER}")
    place = (folder, name) if folder else adapter_place(name)
    adapter = _load(place[0], "adapter", place[1], variant, build, lasting=variant == AUTO)
    add_companion(adapter, *place)
    return adapter


def _load(
    folder: str, kind: str, name: str, options: Hashable, build: Callable[[str], Loaded], lasting: bool = True
) -> Loaded:
    """What `build` loads from a file, shared with other nodes. Its errors also say which file to use instead.

    lasting: whether an error means that the file cannot be used with any other options either
    """
    input_checks.expect(name, str, kind, f"give the name of a file in models/{folder}")
    try:
        return shared(folder, name, options, build)
    except ValueError as error:
        if isinstance(error.__cause__, WrongSize):
            raise
        lasting = lasting and not isinstance(error, PassingTrouble)
        raise explained_file(error, kind, folder, name, lasting) from error
