"""The nodes that find and load the files which a model needs, and that report which files there are."""

import comfy.sd
from comfy.model_patcher import ModelPatcher
from comfy_api.latest import io

from ...ip_adapter import purposes
from ...model_files.environment import broken_parts
from ...model_files.index import IndexedFile
from ...model_files.matching import APPLIED_TO, Need, Resolution
from ...model_files.matching.wording import licence_words
from ...tensor_files import printable
from ...tensor_files.weights import named_weights
from .. import input_checks
from ..applying.hosts import base_model
from ..display import megabytes, said, show
from ..folders import digest, model_path
from ..remedies import listed
from ..sockets import CATEGORY, Adapter
from .adapter import ImagePromptAdapter
from .files_used import adapter_file, encoder_file, lora_file, note_files
from .load import adapter_words, encoder_words, load_adapter, load_encoder
from .model_library import (
    catalogue,
    chosen_files,
    companion_need,
    encoder_need,
    index_file,
    look_for,
    report,
    unresolved,
)

AUTO = "auto"
AUTOMATIC = ("plus", "standard", "vit-G", "light")  # purposes that suit any picture, in the order in which 'auto' tries
FIRST = (  # as they were added; then the others, as the families have them
    *AUTOMATIC,
    *("composition", "plus face", "full face", "NoobAI"),
    *("FaceID", "FaceID plus", "FaceID plus v2", "FaceID portrait", "FaceID portrait unnorm"),
    *("PuLID", "InstantID", "style and content", "instruct", "style", "InstantX", "character"),
)
PURPOSES = tuple(dict.fromkeys((*FIRST, *purposes())))
GLANCE = 2.0  # seconds to wait at most until folders are read that are not in the index yet
PATIENCE = 5.0  # seconds to wait at most until it is known which optional parts are broken


class LoadImagePromptModels(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ImagePromptLoadModels",
            display_name="Load Image Prompt Models",
            category=CATEGORY,
            description="Finds the IP-Adapter for a model and the image encoder that it reads, whatever the files are "
            "called, and loads them. Where a LoRA belongs to the adapter, and is not in its file, it is applied to the "
            "model. If a file is missing, it says which to get, from where, and where to put it. Adapters for faces "
            "(FaceID: buffalo_l; InstantID, PuLID and Kolors: antelopev2) need a face pack besides, for non-commercial "
            "research alone, which Load Face Analyser loads.",
            search_aliases=[
                "ip-adapter",
                "ipadapter unified loader",
                "image prompt",
                "preset",
                "find models",
                "faceid",
            ],
            inputs=[
                io.Model.Input("model", tooltip="The model that the image prompt is to steer."),
                io.Combo.Input(
                    "purpose",
                    options=[AUTO, *PURPOSES],
                    default=AUTO,
                    optional=True,
                    tooltip="What the reference is for. 'plus' keeps much of it, 'standard' the gist, 'light' less, "
                    "'composition' its layout, 'style' its style, the face kinds a face. 'auto' takes the best that is "
                    "there.",
                ),
            ],
            outputs=[
                io.Model.Output(
                    display_name="model", tooltip="The model, with the adapter's LoRA where that is a file of its own."
                ),
                Adapter.Output(display_name="adapter", tooltip="The IP-Adapter."),
                io.ClipVision.Output(
                    display_name="clip_vision",
                    tooltip="The image encoder that the adapter reads. Nothing with one that reads faces alone.",
                ),
            ],
            hidden=[io.Hidden.unique_id, io.Hidden.extra_pnginfo],
            has_intermediate_output=True,
        )

    @classmethod
    def fingerprint_inputs(cls, purpose: str | None = AUTO, **_: object) -> object:
        """A hash of the files that would be chosen for any of the models, since the linked model is not known here."""
        choices = [_needs(base, each) for base in APPLIED_TO for each in ([purpose] if purpose else PURPOSES)]
        try:
            return digest([[indexed_state(file) for file in files] for files in chosen_files(choices, GLANCE)])
        except ValueError:  # the catalogue is broken: the node says so when it runs
            return float("nan")

    @classmethod
    def execute(cls, model: ModelPatcher, purpose: str = AUTO) -> io.NodeOutput:
        input_checks.choice(purpose, (AUTO, *PURPOSES), "purpose")
        base = base_model(input_checks.diffusion_model(model))
        chosen = _adapter(base, purpose)
        found = required(chosen)
        adapter = load_adapter(listed(found))
        used, loaded = [adapter_file(listed(found), adapter)], None
        encoder, lora = _encoder(adapter, base), _lora(adapter, chosen)
        family = adapter.module.family
        lines = [f"{chosen.need.purpose}: {_short_name(found)}", adapter_words(adapter)]
        if encoder:
            loaded = load_encoder(listed(encoder))
            used.append(encoder_file(listed(encoder), loaded))
            lines += [_short_name(encoder), encoder_words(loaded)]
        if lora:
            model = with_lora(model, listed(lora))
            used.append(lora_file(listed(lora), lora.identity))
            lines += [_short_name(lora), f"LoRA, {megabytes(lora.file.size)}"]
        lines += [*second_encoder(family.second_encoder), *_face_pack(family.face_pack)]
        note_files(cls.hidden, *used)
        return io.NodeOutput(model, adapter, loaded, ui=said("\n".join(lines), cls.hidden))


class ModelPathsReport(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ImagePromptModelReport",
            display_name="Model Paths Report",
            category=CATEGORY,
            description="Lists every model file that image prompts can use: found, missing, in the wrong folder, or "
            "unusable and why. It looks into the files, not at their names.",
            search_aliases=["doctor", "missing models", "clip vision not found", "paths", "ip-adapter"],
            outputs=[io.String.Output(display_name="report", tooltip="The table: connect Preview as Text to read it.")],
            hidden=[io.Hidden.unique_id],
            is_output_node=True,
        )

    @classmethod
    def fingerprint_inputs(cls) -> float:
        return float("nan")  # files come and go

    @classmethod
    def execute(cls) -> io.NodeOutput:
        found = report()
        broken = [f"- {name}: {why}" for name, why in broken_parts(index_file(), PATIENCE)]
        text = "\n\n".join([str(found), *(["\n".join(["Broken optional parts:", *broken])] if broken else [])])
        show(found.summary(), getattr(cls.hidden, "unique_id", None))
        return io.NodeOutput(text, ui={"text": [text]})


def with_lora(model: ModelPatcher, name: str, strength: float = 1.0) -> ModelPatcher:
    """A clone of the model with a LoRA, by default at full strength, as the adapter was trained with it."""
    with named_weights(model_path("loras", name), name) as weights:
        tensors = {key: weights.read(key) for key in weights.tensors}
    patched, _ = comfy.sd.load_lora_for_models(model, None, tensors, strength, 0.0)
    assert patched is not None  # there was a model
    return patched


def _adapter(base: str, purpose: str) -> Resolution:
    """The adapter of the first purpose whose file is there; if none is, what to download for the first published one.

    Raises:
        ValueError: there are no adapters here for the model.
    """
    if base not in APPLIED_TO:
        raise ValueError(
            f"The model is {base}: IP-Adapters are applied to {', '.join(APPLIED_TO)} models here. "
            "Connect a model of one of these kinds."
        )
    needs = _needs(base, purpose)
    found = (resolution for need in needs if (resolution := look_for(need, patience=0)).found)
    return next(found, None) or look_for(next((need for need in needs if need.wanted(catalogue())), needs[0]))


def _encoder(adapter: ImagePromptAdapter, base: str) -> IndexedFile | None:
    """The image encoder that an adapter reads; None if it reads none, but faces alone. ValueError: it is missing."""
    needed = encoder_need(adapter.module)
    if not needed.encoder:
        return None
    return required(look_for(needed), f"{adapter.name} is an IP-Adapter for {base} that reads {needed.encoder}.")


def _lora(adapter: ImagePromptAdapter, chosen: Resolution) -> IndexedFile | None:
    """The LoRA beside an adapter; None if there is none, or it is in the adapter's file. ValueError: it is missing."""
    needed = None if adapter.module.lora else companion_need(chosen)
    return needed and required(look_for(needed), f"{adapter.name} was trained with a LoRA.")


def second_encoder(name: str) -> list[str]:
    """A line about the image encoder that an adapter needs besides the one that is loaded; none if it needs one."""
    if not name:
        return []
    found = look_for(Need("encoder", encoder=name)).found
    where = f"{_short_name(found)}, for Load Image Encoder" if found else "missing, see Model Paths Report"
    return [f"second encoder {name}: {where}"]


def _face_pack(name: str) -> list[str]:
    """A line about the face pack that an adapter needs, with its licence; none if it reads no face."""
    packs = [entry for entry in catalogue().find(kind="face pack") if entry.id == name]
    return [f"face pack {entry.id}, {licence_words(entry)}" for entry in packs]


def _needs(base: str, purpose: str) -> list[Need]:
    return [Need("adapter", purpose=each, base_model=base) for each in (AUTOMATIC if purpose == AUTO else (purpose,))]


def required(resolution: Resolution, given: str = "") -> IndexedFile:
    if resolution.found is None:
        raise unresolved(resolution, given)
    return resolution.found


def indexed_state(found: IndexedFile) -> list[object]:
    return [str(found.file.path), found.file.size, found.file.mtime_ns]


def _short_name(file: IndexedFile) -> str:
    """The name of a file without the usual extension, because nodes are narrow."""
    return printable(file.file.name).removesuffix(".safetensors")
