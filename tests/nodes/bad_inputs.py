"""The table of all bad inputs that a node refuses, and the message for each. test_bad_inputs.py runs it.

A row adds to the inputs with which the node works (`good`), or replaces some. A function makes its value from these.
"""

from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import character_tools
import comfy.sd
import comfy.supported_models
import face_tools
import folder_paths
import tiny
import torch
from comfy.clip_vision import ClipVisionModel, Output
from core_clips import core_clip
from core_qwen import core_qwen
from PIL import Image
from safetensors.torch import save_file

from image_prompt.demo import face_packs
from image_prompt.ip_adapter import APPLIED_TO, Course, Keyframe, ListedWeights, PresetWeights, StepWeights
from image_prompt.nodes.applying.apply import ApplyImagePrompt
from image_prompt.nodes.applying.controlnet import ApplyInstantIDControlNet
from image_prompt.nodes.controls.apply_references import ApplyReferences
from image_prompt.nodes.controls.conditioning import ReferencesToConditioning
from image_prompt.nodes.controls.layer_weights import ImagePromptLayerWeights
from image_prompt.nodes.controls.reference import MakeReference
from image_prompt.nodes.controls.regions import ImagePromptRegions
from image_prompt.nodes.controls.step_weights import ImagePromptStepWeights
from image_prompt.nodes.embeddings.embed_vlm import EmbedByVisionLanguageModel
from image_prompt.nodes.encoding.encode import CombineImagePrompts, EncodeImagePrompt
from image_prompt.nodes.encoding.encode_character import EncodeCharacterPrompt
from image_prompt.nodes.encoding.faces.encode_face import EncodeFacePrompt
from image_prompt.nodes.encoding.folder import EncodeFolder
from image_prompt.nodes.encoding.saving.library import LoadImagePromptFeatures, SaveImagePromptFeatures
from image_prompt.nodes.influence.influence import Choice, Influence, Record
from image_prompt.nodes.influence.influence_map import InfluenceMap
from image_prompt.nodes.influence.record_influence import RecordInfluence
from image_prompt.nodes.loading.face_analyser import LoadFaceAnalyser
from image_prompt.nodes.loading.face_options import FaceAdapterOptions
from image_prompt.nodes.loading.load import LoadImageEncoder, LoadImagePromptAdapter
from image_prompt.nodes.loading.models import LoadImagePromptModels

Inputs = dict[str, Any]


@dataclass(frozen=True)
class Bad:
    """One bad input of a node. message: a regular expression"""

    node: type
    inputs: Mapping[str, Any]
    message: str


def good(node: type) -> Inputs:
    """New inputs with which the node works."""
    return GOOD[node]()


_unet = cache(tiny.unet)


@cache
def _encoded(projection: int) -> Output:
    picture = torch.rand(1, 40, 60, 3, generator=torch.Generator().manual_seed(11))
    return EncodeImagePrompt.execute(tiny.encoder(projection=projection), picture).args[0]


def _features(projection: int = 24) -> Output:
    return copy(_encoded(projection))


def _apply() -> Inputs:
    model = _unet("SD1.5")
    return {
        "model": model,
        "adapter": tiny.adapter(model),
        "features": _features(),
        "weight": 1.0,
        "start": 0.0,
        "end": 1.0,
    }


def _references(**changes: Any) -> Callable[[Inputs], dict[str, Any]]:
    """Two references, of which the second is changed."""

    def make(_: Inputs) -> dict[str, Any]:
        first, second = (MakeReference.execute(_features(), **options).args[0] for options in ({}, changes))
        return {"reference_0": first, "reference_1": second}

    return make


def _reference(features: Output, **options: Any) -> Any:
    return MakeReference.execute(features, **options).args[0]


def _scaled(scaling: str, *weights: float) -> dict[str, Any]:
    found = (_reference(_features(), scaling=scaling, weight=weight) for weight in weights)
    return {f"reference_{n}": each for n, each in enumerate(found)}


def _called(*names: str) -> dict[str, Any]:
    return {f"reference_{n}": _reference(_features(), name=name) for n, name in enumerate(names)}


def _one_per_image(pictures: int, masks: int) -> Any:
    return _reference(_pictures(pictures), combining="one per image", mask=torch.ones(masks, 8, 8))


def _masked(*counts: int) -> dict[str, Any]:
    masks = (torch.ones(count, 8, 8) for count in counts)
    return {f"reference_{n}": _reference(_features(), mask=mask) for n, mask in enumerate(masks)}


def _apply_references() -> Inputs:
    inputs = _apply()
    return {"model": inputs["model"], "adapter": inputs["adapter"], "references": _references()({})}


def _pictures(count: int) -> Output:
    found = _features()
    found.image_embeds = found.image_embeds.repeat(count, 1)
    return found


def _load_encoder() -> Inputs:
    """Load an encoder from the model folders that ComfyUI has now."""
    (folder, *_), _ = folder_paths.folder_names_and_paths["clip_vision"]
    save_file(tiny.encoder_file(), Path(folder) / "tiny.safetensors", metadata=tiny.DESCRIPTION)
    return {"encoder_name": "tiny.safetensors"}


def _load_adapter() -> Inputs:
    (folder, *_), _ = folder_paths.folder_names_and_paths["ipadapter"]
    save_file(tiny.base_file(_unet("SD1.5")), Path(folder) / "tiny.safetensors")
    return {"adapter_name": "tiny.safetensors"}


def _load_features() -> Inputs:
    return {"features_name": SaveImagePromptFeatures.execute(_features(), "tiny").args[0]}


def _load_models() -> Inputs:
    _load_encoder(), _load_adapter()
    return {"model": _unet("SD1.5")}


def _regions() -> Inputs:
    return {"references": {"reference_0": MakeReference.execute(_features()).args[0]}, "regions": "1: rect 0 0, 1 1"}


def _encode_folder() -> Inputs:
    """Encode a folder below the input folder that ComfyUI has now."""
    root = Path(folder_paths.get_input_directory())
    for name, pictures in {"set": ("1.png", "2.png"), "empty": (), "broken": ("1.png", "page.jpg")}.items():
        (root / name).mkdir(parents=True)
        for picture in pictures:
            Image.new("RGB", (8, 8)).save(root / name / picture)
    (root / "broken" / "page.jpg").write_text("<html>")
    return {"clip_vision": tiny.encoder(), "folder": "set"}


def _influence_map() -> Inputs:
    influence = Influence(Choice(frozenset()))
    samples = torch.zeros(2, 4, 8, 8)
    influence.keep(Record(("a cat",), torch.rand(1, 2, 8, 8), evaluations=1), samples)
    return {"influence": influence, "latent": {"samples": samples}}


def _load_analyser() -> Inputs:
    (folder, *_), _ = folder_paths.folder_names_and_paths["insightface"]
    face_packs.write_pack(Path(folder) / "models")
    return {"face_pack": "buffalo_l"}


@cache
def _face(kind: str, base: str = "SD1.5") -> Any:
    return face_tools.adapter(_unet(base), kind)


@cache
def _face_features() -> Output:
    return EncodeFacePrompt.execute(face_tools.two(), face_tools.pictures()).args[0]


def _controlled() -> Inputs:
    positive, negative = tiny.conditions("SDXL")
    features, _, _, key_points = EncodeFacePrompt.execute(face_tools.two(), face_tools.pictures()).args
    prompts = {"positive": positive, "negative": negative, "adapter": _face("instantid", "SDXL")}
    return {**prompts, "control_net": face_tools.Control([]), "key_points": key_points, "features": features}


GOOD: dict[type, Callable[[], Inputs]] = {
    MakeReference: lambda: {"features": _features()},
    ImagePromptRegions: _regions,
    ApplyReferences: _apply_references,
    ReferencesToConditioning: lambda: {**_apply_references(), "conditioning": tiny.conditions("SD1.5")[0]},
    LoadImageEncoder: _load_encoder,
    LoadImagePromptAdapter: _load_adapter,
    LoadImagePromptModels: _load_models,
    ApplyImagePrompt: _apply,
    ImagePromptLayerWeights: lambda: {},
    ImagePromptStepWeights: lambda: {},
    RecordInfluence: lambda: {"model": _unet("SD1.5")},
    InfluenceMap: _influence_map,
    EncodeImagePrompt: lambda: {"clip_vision": tiny.encoder(), "image": torch.zeros(1, 8, 8, 3)},
    EncodeFolder: _encode_folder,
    CombineImagePrompts: lambda: {"method": "average", "features_1": _features(), "features_2": _features()},
    SaveImagePromptFeatures: lambda: {"features": _features(), "name": "tiny"},
    LoadImagePromptFeatures: _load_features,
    LoadFaceAnalyser: _load_analyser,
    EncodeFacePrompt: lambda: {"insightface": face_tools.two(), "image": face_tools.pictures(2)},
    EncodeCharacterPrompt: lambda: {
        "siglip": character_tools.siglip(),
        "dino": character_tools.dino(),
        "image": torch.zeros(1, 8, 8, 3),
    },
    FaceAdapterOptions: lambda: {"adapter": _face("faceid")},
    ApplyInstantIDControlNet: _controlled,
    EmbedByVisionLanguageModel: lambda: {"clip": core_qwen(), "image": torch.zeros(1, 32, 64, 3), "text": "a word"},
}


def _named(base: str, vector: int) -> dict[str, Callable[[Inputs], Any]]:
    """An adapter for this base model, on an SDXL whose vector is this wide."""

    def model(_: Inputs) -> Any:
        unet = _unet("SDXL").clone()
        unet.model = copy(unet.model)
        unet.model.adm_channels = vector
        return unet

    def adapter(_: Inputs) -> Any:
        found = tiny.adapter(_unet("SDXL"))
        found.module.base_model = base
        return found

    return {"model": model, "adapter": adapter}


def _of_class(kind: type) -> Callable[[Inputs], Any]:
    """A UNet of no known sizes that ComfyUI takes for this class."""

    def model(_: Inputs) -> Any:
        unet = _unet("SD1.5").clone()
        unet.model = copy(unet.model)
        unet.model.adm_channels, unet.model.model_config = 1, kind.__new__(kind)
        return unet

    return model


def _run_by(kind: str, base: type = torch.nn.Module) -> Callable[[Inputs], Any]:
    """A Flux.1 with a stand-in of this class in place of its transformer, as a pack that runs it elsewhere has it."""

    def model(_: Inputs) -> Any:
        flux = tiny.flux(depth=1, depth_single_blocks=1)
        del flux.model.diffusion_model
        flux.model.diffusion_model = type(kind, (base,), {})()
        return flux

    return model


def _narrow(inputs: Inputs) -> Any:
    file = tiny.base_file(inputs["model"])
    return tiny.wrapped({key: value[:16] if key.endswith("_ip.weight") else value for key, value in file.items()})


def _loud(inputs: Inputs) -> Any:
    """Features of about a million, which half precision cannot hold."""
    file = tiny.base_file(inputs["model"])
    return tiny.wrapped({key: value * 1e6 if "to_v_ip" in key else value for key, value in file.items()})


def _xlabs(_: Inputs) -> Any:
    return tiny.wrapped(tiny.flux_file(tiny.flux()))


@cache
def _whole_flux() -> Any:
    return tiny.flux(**tiny.WHOLE_FLUX)


@cache
def _of_instantx() -> Any:
    return tiny.wrapped(tiny.instantx_file(_whole_flux(), embed=1152))


def _instantx(_: Inputs) -> Any:
    return _of_instantx()


def _pulid_flux(_: Inputs) -> Any:
    return tiny.wrapped(tiny.pulid_flux_file(tiny.flux(depth_single_blocks=38)))


def _chroma(_: Inputs) -> Any:
    return tiny.chroma(depth=1, depth_single_blocks=1)


def _plus(inputs: Inputs) -> Any:
    return tiny.plus_adapter(inputs["model"])


def _with(**changes: Callable[[Any], Any]) -> Callable[[Inputs], Any]:
    """The features with some fields replaced."""

    def changed(inputs: Inputs) -> Any:
        for name, change in changes.items():
            setattr(inputs["features"], name, change(getattr(inputs["features"], name)))
        return inputs["features"]

    return changed


def _kept_for_plus(inputs: Inputs) -> Any:
    found = _shorter_states(inputs)
    found.kept_for = "plus"
    return found


def _shorter_states(inputs: Inputs) -> Any:
    states = inputs["features"].penultimate_hidden_states[:, :5]
    return type(inputs["features"])(negative_penultimate=None, encoder="", penultimate_hidden_states=states)


def _dino(_: Inputs) -> Any:
    found = object.__new__(ClipVisionModel)
    found.model_type = "dinov3"
    return found


def _old(value: Any, name: str = "old.ipadpt") -> Callable[[Inputs], str]:
    """A file as torch saves it, in models/image_prompts."""

    def make(_: Inputs) -> str:
        (folder, *_), _ = folder_paths.folder_names_and_paths["image_prompts"]
        torch.save(value, Path(folder) / name)
        return name

    return make


def _another_encoder(_: Inputs) -> Any:
    found = tiny.encoder()
    found.name = "CLIP ViT-H/14"
    return found


def _clip(name: str) -> Callable[[Inputs], Any]:
    """A CLIP with a text encoder of this name alone."""

    class FakeModel:
        pass

    def make(_: Inputs) -> Any:
        made = comfy.sd.CLIP(no_init=True)
        made.cond_stage_model = FakeModel()
        setattr(made.cond_stage_model, name, object())
        return made

    return make


A, C, E, F = ApplyImagePrompt, CombineImagePrompts, EncodeImagePrompt, EncodeFolder
G, V = LoadImagePromptFeatures, SaveImagePromptFeatures
L, M, N = LoadImageEncoder, LoadImagePromptModels, LoadImagePromptAdapter
W, S = ImagePromptLayerWeights, ImagePromptStepWeights
R, Q, X = MakeReference, ApplyReferences, ReferencesToConditioning
U = ImagePromptRegions
D, H = RecordInfluence, InfluenceMap
P, B, Y = LoadFaceAnalyser, EncodeFacePrompt, EncodeCharacterPrompt
T, K = FaceAdapterOptions, ApplyInstantIDControlNet
J = EmbedByVisionLanguageModel
NOTHING, TEXT, LIST, DICT = None, "a word", [1, 2], {"image_proj": {}, "ip_adapter": {}}
OF_SIGLIP = r"(?s:.*)Not found: image encoder SigLIP so400m(?s:.*)Get sigclip_vision_patch14_384\.safetensors"
OF_THE_ENCODER = "(?s:.*)Not found: an encoder"  # and which file would do

MODELS = f"{', '.join(APPLIED_TO[:-1])} or {APPLIED_TO[-1]}"

BAD_INPUTS = (
    # the loaders
    Bad(L, {"encoder_name": "x.safetensors"}, "x.safetensors is not in models/clip_vision: choose a file"),
    Bad(L, {"encoder_name": NOTHING}, "The encoder is nothing: give the name of a file in models/clip_vision"),
    Bad(L, {"dtype": "fp8"}, "The input dtype is the text 'fp8': choose one of auto, fp32, bf16, fp16"),
    Bad(L, {"variant": torch.zeros(2)}, r"The input variant is a tensor of shape \(2,\): choose one of auto, CLIP"),
    Bad(
        L,
        {"image_size": 44},
        "^tiny.safetensors: Pictures of 44 pixels are no whole .* give 40 or 48, or leave it at its own 32.$",
    ),
    Bad(L, {"image_size": 40.5}, "^tiny.safetensors: Pictures of 40.5 pixels: give a whole number from 8 to 2048"),
    Bad(
        L, {"image_size": torch.zeros(2)}, r"The image_size is a tensor of shape \(2,\): it must be a number between 0"
    ),
    Bad(N, {"adapter_name": LIST}, "The adapter is a list of 2: give the name of a file in models/ipadapter"),
    Bad(M, {"model": TEXT}, f"The model is the text 'a word': connect a {MODELS} model"),
    Bad(M, {"purpose": "faces"}, "The input purpose is the text 'faces': choose one of auto, plus, standard"),
    # model
    Bad(A, {"model": NOTHING}, rf"The model is nothing: connect a {MODELS} model\."),
    Bad(A, {"model": TEXT}, "The model is the text 'a word': connect a SD1.5"),
    Bad(
        A, {"model": lambda inputs: inputs["adapter"].patcher}, "The model is an object of the type IPAdapter: connect"
    ),
    Bad(A, {"model": lambda _: tiny.flux2()}, "the model is Flux.2: here IP-Adapters are applied to SD1.5, SDXL"),
    Bad(A, {"model": _chroma}, r"for SD1\.5, the model is Chroma: use one made for Chroma\."),
    Bad(A, {"model": _chroma, "adapter": _xlabs}, "for Flux, the model is Chroma: .*(?s:.*)FLUX.1-dev-IP-Adapter"),
    Bad(A, {"model": _chroma, "adapter": _instantx}, "57 layers.*, this model has 2 double and single blocks"),
    Bad(A, {"model": lambda _: _unet("SDXL")}, r"for SD1\.5, the model is SDXL: use one made for SDXL\."),
    Bad(A, {"model": lambda _: tiny.flux()}, r"for SD1\.5, the model is Flux: use one made for Flux\."),
    Bad(
        A,
        {"model": lambda _: tiny.flux(), "adapter": lambda _: tiny.adapter(_unet("SDXL"))},
        r"for SDXL, the model is Flux: use one made for Flux\.(?s:.*)Get flux-ip-adapter",
    ),
    Bad(
        A,
        {"model": lambda _: tiny.sd3(blocks=1), "adapter": _xlabs},
        r"for Flux, the model is SD3\.5 Large: use one made for SD3\.5 Large\.(?s:.*)Not found: .* SD3\.5 Large",
    ),
    Bad(
        A,
        {"model": lambda _: tiny.flux(depth=8), "adapter": _xlabs},
        r"19 layers \(Flux\), this model has 8 double blocks",
    ),
    Bad(
        A,
        {"model": lambda _: tiny.flux(hidden_size=48, num_heads=3), "adapter": _xlabs},
        "made for a model of another s",
    ),
    Bad(
        A,
        {"model": lambda _: tiny.flux(), "adapter": _xlabs, "layers": "style"},
        "For Flux there are no layers named 'style': choose all",
    ),
    *(
        Bad(A, {"model": _of_class(kind)}, f"the model is {name}: .* there is none for {name}. Connect a SD1.5 model")
        for kind, name in {
            comfy.supported_models.SD20: "SD2",
            comfy.supported_models.SD21UnclipH: "SD2 unCLIP",
            comfy.supported_models.SDXLRefiner: "SDXL refiner",
            comfy.supported_models.SSD1B: "SSD-1B",
            comfy.supported_models.Segmind_Vega: "Segmind Vega",
            comfy.supported_models.SVD_img2vid: "SVD",
        }.items()
    ),
    *(
        Bad(node, {"model": _run_by(*stand_in)}, rf"^This model is run by {name} \({stand_in[0]}\), .* can act in it")
        for node, name, stand_in in (
            (A, "Nunchaku", ("ComfyFluxWrapper",)),
            (W, "Nunchaku", ("NunchakuFluxTransformer2dModel",)),
            (M, "TensorRT", ("TrTUnet", object)),
        )
    ),
    # adapter
    Bad(A, {"adapter": NOTHING}, r"The adapter is nothing: connect the output of Load IP-Adapter\."),
    Bad(A, {"adapter": TEXT}, "The adapter is the text 'a word': connect"),
    Bad(A, {"adapter": DICT}, "The adapter is a dict with image_proj, ip_adapter: connect"),
    Bad(A, {"adapter": lambda _: tiny.adapter(_unet("SDXL"))}, r"for SDXL, the model is SD1\.5: use one made for"),
    Bad(A, {"adapter": _xlabs}, r"is an IP-Adapter for Flux, the model is SD1\.5: use one made for SD1\.5"),
    Bad(A, _named("Kolors", 2816), "IP-Adapter for Kolors, the model is SDXL"),
    Bad(A, _named("SDXL", 5632), "IP-Adapter for SDXL, the model is Kolors"),
    Bad(A, {"adapter": _narrow}, "is 16 wide.*made for a model of another size"),
    Bad(
        A,
        {"model": lambda _: _unet("SD1.5", dtype=torch.float16), "adapter": _loud},
        "makes keys or values of these features that are NaN or infinite in float16: .* Run the model in bf16 or fp32",
    ),
    # features
    Bad(A, {"features": NOTHING}, r"The input features is nothing: connect the features of Encode Image Prompt\."),
    Bad(A, {"features": TEXT}, "The input features is the text 'a word': connect"),
    Bad(A, {"features": DICT}, "The input features is a dict with image_proj, ip_adapter: connect"),
    Bad(A, {"features": lambda _: torch.zeros(1, 24)}, r"The input features is a tensor of shape \(1, 24\): connect"),
    Bad(A, {"features": lambda _: _features(projection=16)}, f"24 wide.*16 wide{OF_THE_ENCODER}"),
    Bad(
        A,
        {"features": _with(image_embeds=lambda t: t[None])},
        f"head. Load the encoder with Load Image Enc{OF_THE_ENCODER}",
    ),
    Bad(
        A,
        {"model": lambda _: _whole_flux(), "adapter": _instantx, "features": lambda _: _features(projection=768)},
        f"made for SigLIP so400m: .*1152 wide, and was given 768 wide ones, as CLIP ViT-L/14 gives{OF_SIGLIP}",
    ),
    Bad(
        A,
        {"model": lambda _: _whole_flux(), "adapter": _instantx, "features": _with(image_embeds=lambda _: None)},
        f"reads image_embeds, which the features do not have: .* and SigLIP so400m{OF_SIGLIP}",
    ),
    Bad(A, {"features": _with(image_embeds=list)}, f"reads image_embeds, which the features do not{OF_THE_ENCODER}"),
    Bad(A, {"features": _with(image_embeds=lambda t: t / 0)}, "features hold NaN or infinite.*encode the image again"),
    Bad(A, {"adapter": _plus, "features": _with(negative_penultimate=lambda _: None)}, "use Encode Image Prompt"),
    Bad(
        A, {"adapter": _plus, "features": _with(negative_penultimate=lambda t: t[..., :8])}, "encode both with the same"
    ),
    Bad(A, {"adapter": _plus, "features": _with(negative_penultimate=lambda t: t / 0)}, "negative features hold NaN"),
    Bad(
        A,
        {"features": _kept_for_plus},
        "reads image_embeds, .* were encoded for plus only.* If they are from a file, encode the images again",
    ),
    # negative
    Bad(A, {"negative": DICT}, "The input negative is a dict with image_proj, ip_adapter: connect the features of"),
    Bad(A, {"adapter": _plus, "negative": _shorter_states}, f"encode both with the same encoder{OF_THE_ENCODER}"),
    # weight, start, end
    Bad(A, {"weight": NOTHING}, r"The weight is nothing: it must be a number between -5 and 5\."),
    Bad(A, {"weight": "1.0"}, r"The weight is the text '1\.0': it must be a number"),
    Bad(A, {"weight": float("nan")}, "The weight is nan: it must be a number between -5 and 5"),
    Bad(A, {"weight": float("-inf")}, "The weight is -inf: it must be a number between -5 and 5"),
    Bad(A, {"weight": 1e38}, r"The weight is 1e\+38: it must be a number between -5 and 5"),
    Bad(A, {"start": TEXT}, r"The start is the text 'a word': it must be a number between 0 and 1\."),
    Bad(A, {"end": NOTHING}, r"The end is nothing: it must be a number between 0 and 1\."),
    Bad(A, {"end": 1.5}, r"The end is 1\.5: it must be a number between 0 and 1\."),
    Bad(A, {"start": 0.6, "end": 0.5}, "start 0.6 lies after end 0.5: start must not be greater"),
    # mask
    Bad(A, {"mask": LIST}, r"The mask is a list of 2: connect a MASK output"),
    Bad(A, {"mask": TEXT}, "The mask is the text 'a word': connect a MASK output"),
    Bad(A, {"mask": torch.zeros(8, 8)}, r"The mask is a tensor of shape \(8, 8\): connect a MASK output"),
    Bad(A, {"mask": torch.zeros(1, 8, 8, 3)}, r"tensor of shape \(1, 8, 8, 3\): connect a MASK output"),
    Bad(A, {"mask": torch.zeros(0, 8, 8)}, r"tensor of shape \(0, 8, 8\): connect a MASK output"),
    Bad(A, {"mask": torch.full((1, 8, 8), float("nan"))}, "mask holds NaN or infinite numbers: check the node"),
    Bad(A, {"mask": torch.arange(256).view(1, 16, 16)}, "mask holds values from 0 to 255, .*divided by 255"),
    Bad(A, {"mask": torch.full((1, 8, 8), -0.02)}, r"mask holds values from -0\.02 to -0\.02, expected are 0"),
    # words
    Bad(A, {"batch": "each"}, r"The input batch is the text 'each': choose one of together, one per image\."),
    Bad(A, {"batch": NOTHING}, "The input batch is nothing: choose one of"),
    Bad(A, {"layers": "colour"}, "The input layers is the text 'colour': choose one of all, style, composition, style"),
    Bad(A, {"layers": LIST}, "The input layers is a list of 2: choose one of"),
    # Encode Image Prompt
    Bad(E, {"clip_vision": NOTHING}, r"The clip_vision is nothing: connect Load Image Encoder\."),
    Bad(E, {"clip_vision": TEXT}, "The clip_vision is the text 'a word': connect Load Image Encoder"),
    Bad(E, {"clip_vision": DICT}, "The clip_vision is a dict with image_proj, ip_adapter: connect"),
    Bad(E, {"clip_vision": lambda _: _unet("SD1.5")}, "The clip_vision is an object of the type ModelPatcher: connect"),
    Bad(E, {"clip_vision": _dino}, "is a dinov3 encoder, which cannot encode image prompts: load a CLIP or SigLIP"),
    Bad(E, {"image": NOTHING}, "The image is nothing: connect an IMAGE output, which is .pictures, height"),
    Bad(E, {"image": [torch.zeros(8, 8, 3)]}, "The image is a list of 1: connect an IMAGE output"),
    Bad(E, {"image": {"samples": torch.zeros(1, 4, 8, 8)}}, "The image is a dict with samples: connect an IMAGE"),
    Bad(E, {"image": torch.zeros(1, 8, 8)}, r"The image is a tensor of shape \(1, 8, 8\): connect an IMAGE"),
    Bad(E, {"image": torch.zeros(1, 3, 8, 8)}, r"tensor of shape \(1, 3, 8, 8\): connect .*1 to 4 channels"),
    Bad(E, {"image": torch.zeros(0, 8, 8, 3)}, r"empty picture or batch, shape \(0, 8, 8, 3\): give at least one"),
    Bad(E, {"image": torch.full((1, 8, 8, 3), float("nan"))}, "The picture holds NaN or infinity. Check the node"),
    Bad(E, {"crop": "middle"}, "The input crop is the text 'middle': choose one of center, top"),
    Bad(E, {"crop": LIST}, "The input crop is a list of 2: choose one of"),
    Bad(E, {"background": "red"}, "The input background is the text 'red': choose one of black, grey, white"),
    Bad(E, {"adapter": DICT}, "The adapter is a dict with image_proj, ip_adapter: connect the output of Load IP-"),
    Bad(E, {"crop": "mask"}, "The crop is 'mask', and no mask is connected: connect one, or choose another crop"),
    Bad(E, {"mask": LIST}, "The mask is a list of 2: connect a MASK output"),
    Bad(
        E, {"mask": torch.ones(1, 64, 64)}, r"mask is 64x64 pixels large, and the image 8x8: .*Load Image gives one of"
    ),
    Bad(E, {"mask": torch.ones(2, 8, 8)}, "There are 2 masks for 1 pictures: give one mask for all, or one for each"),
    Bad(E, {"mask": torch.zeros(1, 8, 8)}, "The mask is black, so that nothing of the picture counts: make it white"),
    Bad(E, {"crop": "mask", "mask": torch.full((1, 8, 8), 0.2)}, "nothing to crop to: its brightest pixel is 0.2"),
    Bad(E, {"crop": "mask", "mask": torch.ones(1, 8, 8), "margin": -1.0}, "margin around the mask is -1.0: give a n"),
    Bad(
        E, {"crop": "box", "box": "0.1, 0.2"}, "The box is '0.1, 0.2': give left, top and side, such as 0.25, 0.1, 0.5"
    ),
    Bad(E, {"crop": "box", "box": "0, 0, 5"}, "The box is '0, 0, 5': give left, top and side"),
    Bad(
        E,
        {"crop": "box", "box": "-0.4, 0, 0.5", "image": torch.zeros(1, 8, 32, 3)},
        "The box -0.4, 0, 0.5 lies beside the picture of 32x8 pixels: give left",
    ),
    Bad(E, {"crop": "box", "box": LIST}, "The input box is a list of 2: type a text, or connect a STRING"),
    Bad(E, {"outside": "black"}, "The input outside is the text 'black': choose one of background, picture"),
    Bad(E, {"crop": "tiles", "tiles": 9}, "tiles along the short side is 9: give a whole number from 1 to 8"),
    Bad(E, {"crop": "tiles", "tiles": TEXT}, "tiles along the short side is 'a word': give a whole number"),
    Bad(E, {"crop": "tiles", "image": torch.zeros(1, 1, 99, 3)}, "picture of 99x1 pixels has 99 tiles .*ask for fewer"),
    # Encode Folder of Pictures
    Bad(F, {"clip_vision": NOTHING}, r"The clip_vision is nothing: connect Load Image Encoder\."),
    Bad(
        F,
        {"folder": "gone"},
        r"The folder is the text 'gone': choose a folder below .* input folder \(broken, empty, set",
    ),
    Bad(F, {"folder": "../input/set"}, "The folder is the text '../input/set': choose a folder below"),
    Bad(F, {"folder": "set/../set"}, "The folder is the text 'set/../set': choose a folder below"),
    Bad(F, {"folder": LIST}, "The folder is a list of 2: choose a folder below"),
    Bad(F, {"folder": "empty"}, "The folder 'empty' in .* holds no pictures: put some into it, or choose another"),
    Bad(F, {"folder": "broken"}, "page.jpg' is not a picture that PIL can read: give a PNG"),
    Bad(F, {"pictures": "some"}, "The input pictures is the text 'some': choose one of all, at random, in turn"),
    Bad(F, {"count": 0}, "The count is 0: it must be a whole number from 1 on"),
    Bad(F, {"number": 0.5}, r"The number is 0\.5: it must be a whole number from 0 on"),
    Bad(F, {"crop": "mask"}, "The input crop is the text 'mask': choose one of center, .*, tiles"),
    Bad(F, {"background": "red"}, "The input background is the text 'red': choose one of black"),
    Bad(F, {"crop": "tiles", "tiles": 0}, "tiles along the short side is 0: give a whole number from 1 to 8"),
    Bad(F, {"adapter": DICT}, "The adapter is a dict with image_proj, ip_adapter: connect the output of Load IP-"),
    # Combine Image Prompts
    Bad(C, {"method": "mean"}, "The input method is the text 'mean': choose one of concat, add, subtract"),
    Bad(C, {"method": LIST}, "The input method is a list of 2: choose one of"),
    Bad(C, {"rows": "both"}, "The input rows is the text 'both': choose one of auto, all together, row by row"),
    Bad(C, {"features_1": NOTHING}, "The input features_1 is nothing: connect the features of Encode Image Prompt"),
    Bad(C, {"features_2": DICT}, "The input features_2 is a dict with image_proj, ip_adapter: connect"),
    Bad(C, {"features_2": lambda _: _features(projection=16)}, r"\(1, 24\) from tiny CLIP, \(1, 16\) from tiny CLIP"),
    Bad(C, {"features_2": lambda _: Output()}, "no features in common: encode all of them with the same encoder"),
    Bad(C, {"method": "subtract", "features_2": NOTHING}, "there is one: add another picture, or choose another m"),
    Bad(C, {"method": "interpolate", "features_2": NOTHING}, "exactly two references, .* there are 1: give two"),
    Bad(C, {"method": "interpolate", "features_3": lambda _: _features()}, "exactly two references, .* there are 3"),
    Bad(C, {"interpolation": 1.5}, r"The interpolation is 1\.5: it must be a number between 0 and 1\."),
    Bad(C, {"interpolation": NOTHING}, "The interpolation is nothing: it must be a number between 0 and 1"),
    Bad(C, {"weights": "2, x"}, "The input weights is the text '2, x': write numbers separated by commas, such as 2"),
    Bad(C, {"weights": LIST}, "The input weights is a list of 2: write numbers separated by commas"),
    Bad(C, {"weights": "2, 1"}, "weights 2, 1 are given, and the method 'average' reads none: choose 'weighted"),
    Bad(C, {"method": "weighted average"}, r"given 0 weights \(none\) for 2 references: give one number .* in 2, 1\."),
    Bad(C, {"method": "weighted average", "weights": "1, 2, 3"}, r"given 3 weights \(1, 2, 3\) for 2 references"),
    Bad(C, {"method": "weighted average", "weights": "0, 0"}, "are 0, 0: .* one of them more than 0"),
    Bad(C, {"method": "weighted average", "weights": "1, nan"}, "are 1, nan: each must be a finite number, 0 or more"),
    # Image Prompt Layer Weights
    Bad(W, {"preset": "colour"}, "The input preset is the text 'colour': choose one of all, style and composition, st"),
    Bad(W, {"preset": "weight type linear"}, "The input preset is the text 'weight type linear': choose one of all"),
    Bad(W, {"curve": NOTHING}, "The input curve is nothing: choose one of linear, ease in"),
    Bad(W, {"first": float("nan")}, "The first weight is nan: it must be a number between -5 and 5"),
    Bad(W, {"last": 5.5}, r"The last weight is 5\.5: it must be a number between -5 and 5"),
    Bad(W, {"index": "rows"}, "The input index is the text 'rows': choose one of blocks, layers"),
    Bad(W, {"values": LIST}, "The input values is a list of 2: type a text, or connect a STRING"),
    Bad(W, {"values": "1"}, "values is the text '1', and preset is 'all', which does not read it: choose 'values', or"),
    Bad(W, {"preset": "values"}, "The input preset is 'values', and values is empty: give values, or choose another"),
    Bad(W, {"preset": "values", "values": "1, nan"}, "Layer weight 2 is 'nan': it must be a number between -5 and 5"),
    Bad(W, {"preset": "values", "values": "1:1, 1:2"}, "Number 1 of the blocks has two layer weights: give one for e"),
    Bad(
        W,
        {"preset": "values", "values": "1, 1, 1, 1"},
        r"^There are 4 layer weights, SD1\.5 takes 1 .* 16 (?s:.*)SDXL takes .* 70 (?s:.*)"
        r"Flux \(InstantCharacter\): There are 4 .*, Flux takes 1 .* 57 (?s:.*)Flux \(XLabs\): .* 19 ",
    ),
    Bad(
        W,
        {"preset": "values", "values": ",".join("1" * 11), "model": lambda _: _unet("SD1.5")},
        r"^There are 11 layer weights, SD1\.5 takes 1 \(for all\), 3 .* or 16 \(one for each block\): give as many",
    ),
    Bad(
        W, {"preset": "style", "model": lambda _: tiny.flux()}, "is for SD1.5, SDXL, Kolors, the model is Flux: choose"
    ),
    Bad(W, {"model": TEXT}, "The model is the text 'a word': connect a SD1.5"),
    Bad(W, {"model": lambda _: tiny.flux2()}, "The model is Flux.2: layer weights are for SD1.5, .* one of these, or"),
    # Image Prompt Step Weights
    Bad(
        S, {"curve": "bounce"}, "The input curve is the text 'bounce': choose one of constant, linear, hold, ease in, "
    ),
    Bad(S, {"first": TEXT}, "The first weight is the text 'a word': it must be a number between -5 and 5"),
    Bad(S, {"last": float("inf")}, "The last weight is inf: it must be a number between -5 and 5"),
    Bad(S, {"curve_start": float("nan")}, "The curve_start is nan: it must be a number between 0 and 1"),
    Bad(S, {"curve_end": 1.5}, r"The curve_end is 1\.5: it must be a number between 0 and 1"),
    Bad(
        S,
        {"curve": "linear", "curve_start": 0.5, "curve_end": 0.5},
        r"starts at 0\.5 and ends at 0\.5: it must start b",
    ),
    Bad(S, {"keyframes": DICT}, "The input keyframes is a dict with image_proj, ip_adapter: type a text, or connect a"),
    Bad(
        S, {"keyframes": "0:1"}, "keyframes is the text '0:1', and curve is 'constant', which does not read it: choose"
    ),
    Bad(S, {"curve": "keyframes"}, "The input curve is 'keyframes', and keyframes is empty: give keyframes, or choose"),
    Bad(S, {"curve": "keyframes", "keyframes": "0.3:1, 0:0"}, "at 0 comes after one at 0.3: write keyframes in the"),
    Bad(S, {"curve": "keyframes", "keyframes": "0:1\n2:0"}, "Line 2: The point of a keyframe is '2': it must be a num"),
    # Save Image Prompt Features
    Bad(V, {"features": NOTHING}, r"The input features is nothing: connect the features of Encode Image Prompt\."),
    Bad(V, {"features": DICT}, "The input features is a dict with image_proj, ip_adapter: connect"),
    Bad(V, {"features": lambda _: Output()}, "The features hold nothing"),
    Bad(V, {"features": _with(image_embeds=lambda t: t / 0)}, "The image_embeds hold NaN or infinity: encode the pic"),
    Bad(V, {"name": NOTHING}, "The name is nothing: give the name of a file, such as cats/black cat"),
    Bad(V, {"name": LIST}, "The name is a list of 2: give the name of a file"),
    Bad(
        V, {"name": "../cat"}, r"The name '\.\./cat' cannot be that of a file: '\.\.' begins with a dot\. Give letters"
    ),
    Bad(V, {"name": "cats/"}, "The name 'cats/' cannot be that of a file: a part of it is empty"),
    Bad(V, {"image": TEXT}, "The image is the text 'a word': connect an IMAGE output"),
    Bad(V, {"image": torch.zeros(1, 8, 8)}, r"The image is a tensor of shape \(1, 8, 8\): connect an IMAGE"),
    # Load Image Prompt Features
    Bad(G, {"features_name": NOTHING}, "The features_name is nothing: give the name of a file in models/image_prompts"),
    Bad(
        G,
        {"features_name": "cat.safetensors"},
        "^cat.safetensors is not in models/image_prompts, nor an .ipadpt file in input or output: choose a file that "
        "is there, or save one with Save Image Prompt Features",
    ),
    Bad(G, {"features_name": "../tiny.safetensors"}, "^../tiny.safetensors is not in models/image_prompts"),
    Bad(G, {"features_name": _old({"image_proj": {"a": torch.zeros(1)}})}, "^old.ipadpt: It holds image_proj.a, and"),
    Bad(G, {"features_name": _old({"a": 1, "b": "c"})}, r"^old.ipadpt: It holds no tensors\. Expected are features"),
    Bad(G, {"features_name": _old((torch.zeros(1, 24),))}, "^old.ipadpt holds a tuple.* Expected are features that"),
    Bad(G, {"features_name": _old(Path("x"))}, "^old.ipadpt is a pickle that holds more than tensors; .*It asks for"),
    Bad(G, {"clip_vision": DICT}, "The clip_vision is a dict with image_proj, ip_adapter: connect Load Image Encoder"),
    Bad(
        G,
        {"clip_vision": _another_encoder},
        "^The features in tiny_00001_.safetensors were made by tiny CLIP, and the clip_vision is CLIP ViT-H/14: conn",
    ),
    # Image Prompt Reference
    Bad(R, {"features": NOTHING}, "The input features is nothing: connect the features of Encode Image Prompt"),
    Bad(R, {"negative": TEXT}, "The input negative is the text 'a word': connect the features of Encode Image Prompt"),
    Bad(R, {"on": TEXT}, "The on is the text 'a word': give true or false"),
    Bad(R, {"weight": float("nan")}, "The weight is nan: it must be a number between -5 and 5"),
    Bad(R, {"combining": "max"}, "The input combining is the text 'max': choose one of concat, one softmax each"),
    Bad(R, {"combining": "subtract"}, "To subtract takes two or more references"),
    Bad(R, {"layers": "colour"}, "The input layers is the text 'colour': choose one of all, style and composition"),
    Bad(
        R,
        {"layers": "style", "layer_weights": PresetWeights()},
        "layers are 'style', and layer weights .* as well: set",
    ),
    Bad(R, {"layer_weights": LIST}, "The layer_weights is a list of 2: connect the output of Layer Weights"),
    Bad(R, {"step_weights": TEXT}, "The step_weights is the text 'a word': connect the output of Step Weights"),
    Bad(R, {"start": 0.6, "end": 0.4}, r"start 0\.6 lies after end 0\.4: start must not be greater than end"),
    Bad(R, {"mask": torch.full((1, 8, 8), 255.0)}, "mask holds values from 255 to 255, expected are 0"),
    Bad(R, {"feather": 0.6}, r"The feather is 0\.6: it must be a number between 0 and 0\.5"),
    Bad(R, {"invert_mask": True}, "invert_mask is on, and there is no mask: connect a mask, or set it back"),
    Bad(R, {"feather": 0.2}, r"feather is 0\.2, and there is no mask: connect a mask"),
    Bad(R, {"invert_mask": NOTHING}, "The invert_mask is nothing: give true or false"),
    Bad(R, {"frame_weights": "1, x"}, "Frame weight 2 is 'x': it must be a number between -5 and 5"),
    Bad(R, {"frame_weights": "3:1, 1:0"}, "frame weights name picture 1 after picture 3: put them in order, each once"),
    Bad(R, {"frame_weights": "0:1, 2"}, "'2' is no picture with a weight: write frame weights like '0:1, 29:0'"),
    Bad(R, {"frame_weights": "9999999:1"}, "frame weights name picture 9999999: pictures are numbered from 0"),
    Bad(R, {"frame_weights": LIST}, "The frame_weights is a list of 2: give a text"),
    Bad(
        R,
        {"frame_weights": "1, 1", "step_weights": StepWeights((Course(),) * 3)},
        "frame weights for 2 pictures and step weights for 3: give as many of both, or one of either",
    ),
    Bad(R, {"scaling": "K"}, "The input scaling is the text 'K': choose one of V only, K\\+V"),
    Bad(R, {"name": NOTHING}, "The name is nothing: give a text"),
    # Regions
    Bad(U, {"references": {"reference_0": DICT}}, "The reference 1 is a dict with .*: connect the output of Image Pro"),
    Bad(U, {"references.reference_50": TEXT}, "There is no input references.reference_50: references are"),
    Bad(U, {"regions": NOTHING}, "The input regions is nothing: type a text, or connect a STRING"),
    Bad(U, {"regions": "left half"}, r"Line 1 of the regions is 'left half': write a reference, a colon and a shape"),
    Bad(U, {"regions": "2: rect 0 0, 1 1"}, r"Line 1 .* for reference '2': connected are 1 \(reference 1\)\. Begin"),
    Bad(U, {"width": 0}, "The width is 0: it must be a number between 1 and 16384"),
    Bad(U, {"height": TEXT}, "The height is the text 'a word': it must be a number between 1 and 16384"),
    Bad(U, {"feather": 0.6}, r"The feather is 0\.6: it must be a number between 0 and 0\.5"),
    Bad(U, {"latent": TEXT}, "The latent is the text 'a word': connect the LATENT output"),
    # Apply References
    Bad(Q, {"model": TEXT}, "The model is the text 'a word': connect a SD1.5"),
    Bad(Q, {"adapter": NOTHING}, "The adapter is nothing: connect the output of Load IP-Adapter"),
    Bad(Q, {"references": {"reference_0": DICT}}, "The reference 1 is a dict with .*: connect the output of Image Pro"),
    Bad(
        Q,
        {"references.reference_50": TEXT},
        r"There is no input references\.reference_50: references are .*_49",
    ),
    Bad(Q, {"references": {"reference_x": TEXT}}, "There is no input reference_x: references are"),
    Bad(
        Q,
        {"references": lambda _: _called("cat", "cat")},
        "Two references are called cat: give each another name, or n",
    ),
    Bad(Q, {"joining": "sum"}, "The input joining is the text 'sum': choose one of one softmax each, concat"),
    Bad(Q, {"overlap": "max"}, "The input overlap is the text 'max': choose one of add, normalise"),
    Bad(
        Q,
        {"joining": "concat", "references": _references(layers="style")},
        "reference 1 and reference 2 share one softmax, .* differ in their layers: give both the same, or choose",
    ),
    Bad(
        Q,
        {"joining": "concat", "references": _references(mask=torch.ones(1, 8, 8), name="sky")},
        "reference 1 and sky share one softmax, .* differ in their mask",
    ),
    Bad(
        Q,
        {"joining": "concat", "references": lambda _: _scaled("K+V", 1.0, 0.5)},
        "scaling K.V gives their keys one weight, but they have several: give all the same, or choose 'one softmax",
    ),
    Bad(
        Q,
        {
            "references": lambda _: {
                "reference_0": _reference(_pictures(2), combining="one softmax each", negative=_pictures(3))
            }
        },
        "reference 1 has 2 pictures with a softmax each and 3 negative images: give one negative image, or 2",
    ),
    Bad(
        Q,
        {"overlap": "normalise", "references": lambda _: _masked(2, 3)},
        "masks whose overlap is normalised are for 2, 3 pictures",
    ),
    Bad(
        Q,
        {
            "overlap": "normalise",
            "references": lambda _: {
                "reference_0": _reference(Output(), combining="one softmax each", mask=torch.ones(1, 8, 8))
            },
        },
        "This adapter reads image_embeds, which the features of reference 1 do not have: encode the image",
    ),
    Bad(
        Q,
        {
            "overlap": "normalise",
            "references": lambda _: {
                **_masked(3),
                "reference_1": _reference(_pictures(2), combining="one softmax each", mask=torch.ones(2, 8, 8)),
            },
        },
        "reference 2 has a mask for each of its 2 pictures, and reference 1 one for each .* make a reference of each",
    ),
    Bad(
        Q,
        {"references": _references(layer_weights=ListedWeights((1.0, 1.0)))},
        r"There are 2 layer weights, SD1\.5 takes 1 .* 3 .* or 16",
    ),
    Bad(
        Q,
        {"references": _references(weight=3.0, layer_weights=ListedWeights((2.0,)), name="dog")},
        "The weights of dog multiply to 6, at most 5 is allowed in any layer, step and picture: lower its weight",
    ),
    Bad(
        Q,
        {"references": _references(weight=2.0, step_weights=StepWeights((Course(keyframes=(Keyframe(0.0, -3.0),)),)))},
        "The weights of reference 2 multiply to 6",
    ),
    Bad(
        Q,
        {
            "references": lambda _: {
                "reference_0": _reference(_pictures(2), combining="one per image", mask=torch.ones(3, 8, 8))
            }
        },
        "reference 1 has 2 pictures and 3 masks, and acts one per image: give one mask, or 2",
    ),
    Bad(
        Q,
        {"references": lambda _: {"reference_0": _reference(_features(projection=16))}},
        "reads image_embeds .* 24 wide",
    ),
    # Image Prompt to Conditioning
    Bad(X, {"conditioning": TEXT}, "The conditioning is the text 'a word': connect a CONDITIONING, such as that of C"),
    Bad(X, {"negative": LIST}, "The negative is a list of 2: connect a CONDITIONING"),
    Bad(X, {"references": {"reference_0": TEXT}}, "The reference 1 is the text 'a word': connect the output of Image"),
    # Record Influence
    Bad(D, {"model": TEXT}, "The model is the text 'a word': connect a SD1.5"),
    Bad(D, {"model": lambda _: tiny.flux2()}, "The model is Flux.2: image prompts act in SD1.5, .* models. Connect"),
    Bad(D, {"start": 0.6, "end": 0.5}, "start 0.6 lies after end 0.5: start must not be greater"),
    Bad(D, {"start": 0.5, "end": 0.5}, "start and end are both 0.5, so that nothing is recorded: make end greater"),
    Bad(D, {"end": TEXT}, "The end is the text 'a word': it must be a number between 0 and 1"),
    Bad(D, {"layers": "colour"}, "The input layers is the text 'colour': choose one of all, style, composition, style"),
    Bad(D, {"model": lambda _: tiny.flux(), "layers": "style"}, "For Flux there are no layers named 'style': choose"),
    Bad(D, {"every": 0}, "The input every is 0: it must be a number between 1 and 1000"),
    Bad(D, {"every": 1.5}, "The input every is 1.5: it must be a whole number"),
    # Image Prompt Influence Map
    Bad(H, {"influence": NOTHING}, "The influence is nothing: connect the output of Record Influence"),
    Bad(
        H, {"influence": lambda _: Influence(Choice(frozenset()))}, "Nothing was recorded: connect the model of Record"
    ),
    Bad(H, {"latent": NOTHING}, "The latent is nothing: connect the LATENT output of a sampler"),
    Bad(H, {"latent": DICT}, "The latent is a dict with image_proj, ip_adapter: connect the LATENT output"),
    Bad(
        H, {"latent": {"samples": torch.zeros(1, 4, 8)}}, r"latent is a tensor of shape \(1, 4, 8\): connect the LATENT"
    ),
    Bad(H, {"latent": {"samples": torch.zeros(1, 4, 8, 8)}}, "The latent, 1 picture of 8x8, is not what one of the la"),
    Bad(H, {"image": torch.zeros(8, 8, 3)}, r"The image is a tensor of shape \(8, 8, 3\): connect an IMAGE output"),
    Bad(H, {"image": torch.zeros(3, 8, 8, 3)}, "There are 3 images and 2 pictures in the latent: connect the image th"),
    Bad(H, {"image": torch.zeros(0, 8, 8, 3)}, "There are 0 images and 2 pictures in the latent: connect the image th"),
    Bad(H, {"scale": "percent"}, "The input scale is the text 'percent': choose one of share of the maximum, share of"),
    Bad(H, {"opacity": 2.0}, r"The opacity is 2\.0: it must be a number between 0 and 1"),
    # characters
    Bad(Y, {"siglip": NOTHING}, r"The siglip is nothing: connect Load Image Encoder with SigLIP so400m-384\."),
    Bad(
        Y, {"siglip": lambda _: ClipVisionModel.__new__(ClipVisionModel)}, "The siglip is from a loader of core, which"
    ),
    Bad(
        Y, {"siglip": lambda _: tiny.encoder()}, "The siglip is tiny CLIP, with 2 layers: connect .* SigLIP so400m-384"
    ),
    Bad(
        Y,
        {"dino": lambda _: character_tools.siglip()},
        "The dino is tiny SigLIP, with 27 layers: connect .* DINOv2 giant",
    ),
    Bad(
        Y,
        {"dino": lambda _: character_tools.dino(224)},
        "The dino reads pictures of 224 pixels, and here it has to read 384: choose the image_size 384 in Load Image",
    ),
    Bad(
        Y,
        {"dino": lambda _: character_tools.dino(patch=96)},
        "tiny SigLIP cuts a picture into 3x3 patches, and .* into 4x4",
    ),
    Bad(Y, {"image": LIST}, "The image is a list of 2: connect an IMAGE output"),
    Bad(Y, {"crop": "face"}, "The input crop is the text 'face': choose one of center, top"),
    Bad(Y, {"crop": "mask"}, "The crop is 'mask', and no mask is connected: connect one, or choose another crop"),
    Bad(Y, {"background": "red"}, "The input background is the text 'red': choose one of black, grey, white"),
    Bad(
        Y, {"mask": torch.ones(1, 4, 4)}, "The mask is 4x4 pixels large, and the image 8x8: connect a mask of the same"
    ),
    Bad(Y, {"mask": torch.full((1, 8, 8), 0.4)}, "The mask is black, so that nothing of the picture counts"),
    Bad(Y, {"mask": torch.ones(3, 8, 8)}, "There are 3 masks for 1 pictures: give one mask for all, or one for each"),
    Bad(
        Y,
        {"adapter": lambda _: tiny.adapter(_unet("SD1.5"))},
        "reads image_embeds, which this node does not make: use Encode Image Prompt",
    ),
    # faces
    Bad(P, {"face_pack": NOTHING}, "The face_pack is nothing: give the name of a face pack, such as buffalo_l"),
    Bad(
        P, {"face_pack": "antelopev2"}, "antelopev2 is not in models/insightface. Get antelopev2.zip .* licence non-com"
    ),
    Bad(P, {"provider": "Abacus"}, "The input provider is the text 'Abacus': choose one of auto, CPU"),
    Bad(B, {"insightface": NOTHING}, r"The insightface is nothing: connect Load Face Analyser\."),
    Bad(B, {"insightface": DICT}, "The insightface is a dict with image_proj, ip_adapter: connect Load Face Analyser"),
    Bad(B, {"image": NOTHING}, "The image is nothing: connect an IMAGE output"),
    Bad(
        B,
        {"insightface": face_tools.Analysis()},
        "No face was found in pictures 1, 2 of 2, looked at in squares of 640, 576, 512, 448, 384, 320, 256 pixels",
    ),
    Bad(
        B,
        {"insightface": face_tools.Analysis(), "image": face_tools.pictures()},
        "No face was found in the picture, looked at in squares of 640, .* which the face is larger",
    ),
    Bad(B, {"choose": "best"}, "The input choose is the text 'best': choose one of largest, by index, all, left to"),
    Bad(
        B,
        {"choose": "by index", "index": 2},
        "Picture 1: Face number 2 was asked for, and 2 faces were found: give an index from 0 to 1, where 0 is the",
    ),
    Bad(B, {"choose": "by index", "index": 0.5}, "The index is 0.5: give a whole number, 0 or more"),
    Bad(B, {"index": 1}, "The index is 1, and choose is 'largest', which reads none: choose 'by index', or 0"),
    Bad(B, {"combine": "sum"}, "The input combine is the text 'sum': choose one of each, average"),
    Bad(B, {"mask": torch.ones(1, 8, 8)}, "The mask is 8x8 pixels large, and the image 160x112: connect a mask of the"),
    Bad(B, {"mask": torch.ones(3, 112, 160)}, "There are 3 masks for 2 pictures: connect one, or one for each"),
    Bad(B, {"clip_vision": TEXT}, "The clip_vision is the text 'a word': connect Load Image Encoder"),
    Bad(
        B,
        {"adapter": lambda _: _face("faceid-plus")},
        "An image encoder makes face_penultimate, and none is connected: connect Load Image Encoder with an encoder "
        r"whose penultimate is 32 wide to clip_vision\.$",
    ),
    Bad(
        B,
        {"adapter": lambda _: _face("pulid", "SDXL"), "clip_vision": lambda _: tiny.encoder()},
        "EVA02-CLIP-L-336 makes face_eva_embeds, and the clip_vision is tiny CLIP: connect Load Image Encoder with EVA",
    ),
    Bad(
        B,
        {"adapter": lambda _: tiny.adapter(_unet("SD1.5"))},
        r"\(base, SD1.5\) reads image_embeds, which faces alone do not give: use Encode Image Prompt\.",
    ),
    Bad(
        E,
        {"adapter": lambda _: _face("faceid")},
        r"\(FaceID, SD1.5\) reads face_embeds, which this node does not make: use Encode Face Prompt\.",
    ),
    Bad(
        A,
        {"adapter": lambda _: _face("faceid")},
        r"features do not have: use Encode Face Prompt, with this adapter connected to it\.$",
    ),
    Bad(
        A,
        {"features": lambda _: _face_features()},
        "reads image_embeds, which the features do not have: they are of a face; encode the image with Enc",
    ),
    Bad(T, {"adapter": NOTHING}, "The adapter is nothing: connect the output of Load IP-Adapter"),
    Bad(T, {"lora_strength": 11.0}, r"The lora_strength is 11\.0: it must be a number between -10 and 10"),
    Bad(T, {"shortcut": -1.0}, r"The shortcut is -1\.0: it must be a number between 0 and 5"),
    Bad(
        T, {"method": "free"}, "The input method is the text 'free': choose one of as trained, fidelity, style, neutral"
    ),
    Bad(T, {"adapter": _pulid_flux, "method": "style"}, r"\(PuLID, Flux\) has no method, which is for PuLID for SDXL"),
    Bad(T, {"method": "style"}, r"\(FaceID, SD1\.5\) has no method, which is for PuLID for SDXL: leave it as it was"),
    Bad(
        T, {"shortcut": 0.5}, r"\(FaceID, SD1\.5\) has no shortcut, which is for FaceID plus v2 and Kolors FaceID plus"
    ),
    Bad(
        T,
        {"adapter": lambda _: tiny.adapter(_unet("SD1.5")), "lora_strength": 0.5},
        r"\(base, SD1\.5\) has no lora_strength, which is for adapters that were trained together with a LoRA: leave",
    ),
    Bad(K, {"positive": TEXT}, "The positive is the text 'a word': connect a CONDITIONING"),
    Bad(K, {"negative": NOTHING}, "The negative is nothing: connect a CONDITIONING"),
    Bad(K, {"control_net": TEXT}, "The control_net is the text 'a word': connect core's Load ControlNet Model"),
    Bad(K, {"key_points": LIST}, "The key_points is a list of 2: connect an IMAGE output"),
    Bad(
        K,
        {"adapter": lambda _: _face("faceid", "SDXL")},
        r"\(FaceID, SDXL\) is no InstantID adapter, and its tokens mean nothing to InstantID's ControlNet: load Inst",
    ),
    Bad(
        K,
        {"features": lambda _: _features()},
        "reads face_embeds_raw, which the features do not have: use Encode Face Prompt",
    ),
    Bad(K, {"strength": 11.0}, r"The strength is 11\.0: it must be a number between 0 and 10"),
    Bad(K, {"start": 0.6, "end": 0.5}, "start 0.6 lies after end 0.5: start must not be greater"),
    Bad(K, {"mask": torch.zeros(8, 8)}, r"The mask is a tensor of shape \(8, 8\): connect a MASK output"),
    # instructions
    Bad(E, {"instruction": "all"}, "The input instruction is written, and no clip is connected: connect one, or empty"),
    Bad(E, {"prompt": "a cat"}, "The input prompt is written, and no clip is connected: connect one, or empty it"),
    Bad(E, {"instruction": NOTHING}, "The input instruction is nothing: type a text, or connect a STRING"),
    Bad(E, {"clip": TEXT}, "The clip is the text 'a word': connect the CLIP output of Load Checkpoint"),
    Bad(
        E, {"clip": _clip("clip_h")}, "The clip is a FakeModel, and an instruction is read by CLIP-L: connect the CLIP"
    ),
    Bad(
        E,
        {"clip": _clip("clip_l"), "prompt": "a cat"},
        "The prompt is written, and the instruction is empty: adapters that read the one read both",
    ),
    Bad(
        E,
        {"clip": _clip("clip_l"), "instruction": "all", "adapter": lambda _: tiny.adapter(_unet("SD1.5"))},
        r"\(base, SD1\.5\) reads no instruction, and one is written: empty it, or use an adapter of IP-Adapter-Ins",
    ),
    Bad(
        E,
        {"adapter": lambda _: _face("instruct")},
        "reads an instruction, and none is given: connect clip to Encode Image Prompt, and write there",
    ),
    Bad(
        N,
        {"variant": "FaceID"},
        "The input variant is the text 'FaceID': choose one of auto, FaceID plus, FaceID plus v2",
    ),
    Bad(
        N, {"variant": "InstantID"}, r"tiny\.safetensors is an IP-Adapter \(base\) by its shapes, so it cannot be Inst"
    ),
    # Embed by Vision-Language Model
    Bad(J, {"clip": TEXT}, "The clip is the text 'a word': load a Qwen3-VL of 4B or 8B, such as Qwen3-VL-Embedding-8B"),
    Bad(J, {"clip": lambda _: core_clip("SD1.5")}, "The clip is a SD1ClipModel, which holds no Qwen3-VL. Load a Qwen3"),
    Bad(
        J,
        {"clip": lambda _: core_qwen(comfy.sd.CLIPType.JOYIMAGE)},
        "The clip is a Qwen3VL8B_JoyImage, which sees pictures in its own way: choose the type qwen_image in Load CLIP",
    ),
    Bad(J, {"image": NOTHING, "text": " "}, "There is neither a picture nor a text: connect image, or type what"),
    Bad(J, {"image": torch.zeros(8, 8)}, r"The image is a tensor of shape \(8, 8\): connect an IMAGE output"),
    Bad(J, {"image": torch.full((1, 32, 32, 3), float("nan"))}, "The picture holds NaN or infinity. Check the node"),
    Bad(
        J,
        {"image": torch.zeros(2, 1, 300, 3)},
        "Picture 1 of 2: A picture of 300x1 pixels is too narrow: its long side may be 200 times its short one",
    ),
    Bad(J, {"text": LIST}, "The input text is a list of 2: type a text, or connect a STRING"),
    Bad(J, {"instruction": NOTHING}, "The input instruction is nothing: type a text, or connect a STRING"),
    Bad(J, {"dimensions": 63}, "The model gives 64 to 80 numbers of a vector, not 63"),
    Bad(J, {"dimensions": 81}, "The model gives 64 to 80 numbers of a vector, not 81"),
    Bad(J, {"dimensions": -1}, "The input dimensions is -1: it must be a number between 0 and 8192"),
    Bad(J, {"max_pixels": 1023}, "The input max_pixels is 1023: it must be a number between 4096 and "),
    Bad(J, {"max_pixels": TEXT}, "The input max_pixels is the text 'a word': it must be a number between 4096 and "),
    Bad(J, {"pooling": "cls"}, "The input pooling is the text 'cls': choose one of last, mean"),
)
