"""Models, adapters, features and references for rows of the tables, good ones and bad ones."""

from collections.abc import Callable
from copy import copy
from functools import cache
from pathlib import Path
from typing import Any

import comfy.sd
import face_tools
import folder_paths
import tiny
import torch
from comfy.clip_vision import ClipVisionModel, Output

from image_prompt.nodes.controls.reference import MakeReference
from image_prompt.nodes.embeddings.pictures import embed_pictures
from image_prompt.nodes.encoding.encode import EncodeImagePrompt
from image_prompt.nodes.encoding.encoder import ImageEncoder
from image_prompt.nodes.encoding.faces.encode_face import EncodeFacePrompt
from image_prompt.references.embedding import Embedding

from .row import Inputs

unet = cache(tiny.unet)


@cache
def encoder(projection: int = 24) -> ImageEncoder:
    return tiny.encoder(projection=projection)


@cache
def images() -> torch.Tensor:
    return torch.rand(2, 24, 32, 3, generator=torch.Generator().manual_seed(12))


@cache
def embedded(projection: int = 24) -> Embedding:
    return embed_pictures(encoder(projection), images())


@cache
def encoded(projection: int) -> Output:
    picture = torch.rand(1, 40, 60, 3, generator=torch.Generator().manual_seed(11))
    return EncodeImagePrompt.execute(encoder(projection), picture).args[0]


def features_of(projection: int = 24) -> Output:
    return copy(encoded(projection))


def features_of_pictures(count: int) -> Output:
    found = features_of()
    found.image_embeds = found.image_embeds.repeat(count, 1)
    return found


def two_references(**changes: Any) -> Callable[[Inputs], dict[str, Any]]:
    """Two references, of which the second is changed."""

    def make(_: Inputs) -> dict[str, Any]:
        first, second = (MakeReference.execute(features_of(), **options).args[0] for options in ({}, changes))
        return {"reference_0": first, "reference_1": second}

    return make


def reference(features: Output, **options: Any) -> Any:
    return MakeReference.execute(features, **options).args[0]


def scaled(scaling: str, *weights: float) -> dict[str, Any]:
    found = (reference(features_of(), scaling=scaling, weight=weight) for weight in weights)
    return {f"reference_{n}": each for n, each in enumerate(found)}


def called(*names: str) -> dict[str, Any]:
    return {f"reference_{n}": reference(features_of(), name=name) for n, name in enumerate(names)}


def one_per_image(pictures: int, masks: int) -> Any:
    return reference(features_of_pictures(pictures), combining="one per image", mask=torch.ones(masks, 8, 8))


def masked(*counts: int) -> dict[str, Any]:
    masks = (torch.ones(count, 8, 8) for count in counts)
    return {f"reference_{n}": reference(features_of(), mask=mask) for n, mask in enumerate(masks)}


@cache
def face_adapter(kind: str, base: str = "SD1.5") -> Any:
    return face_tools.adapter(unet(base), kind)


@cache
def face_features() -> Output:
    return EncodeFacePrompt.execute(face_tools.two(), face_tools.pictures()).args[0]


def named_as(base: str, vector: int) -> dict[str, Callable[[Inputs], Any]]:
    """An adapter for this base model, on an SDXL whose vector is this wide."""

    def model(_: Inputs) -> Any:
        found = unet("SDXL").clone()
        found.model = copy(found.model)
        found.model.adm_channels = vector
        return found

    def adapter(_: Inputs) -> Any:
        found = tiny.adapter(unet("SDXL"))
        found.module.base_model = base
        return found

    return {"model": model, "adapter": adapter}


def of_class(kind: type) -> Callable[[Inputs], Any]:
    """A UNet of no known sizes that ComfyUI takes for this class."""

    def model(_: Inputs) -> Any:
        found = unet("SD1.5").clone()
        found.model = copy(found.model)
        found.model.adm_channels, found.model.model_config = 1, kind.__new__(kind)
        return found

    return model


def run_by(kind: str, base: type = torch.nn.Module) -> Callable[[Inputs], Any]:
    """A Flux.1 with a stand-in of this class in place of its transformer, as a pack that runs it elsewhere has it."""

    def model(_: Inputs) -> Any:
        flux = tiny.flux(depth=1, depth_single_blocks=1)
        del flux.model.diffusion_model
        flux.model.diffusion_model = type(kind, (base,), {})()
        return flux

    return model


def narrow(inputs: Inputs) -> Any:
    file = tiny.base_file(inputs["model"])
    return tiny.wrapped({key: value[:16] if key.endswith("_ip.weight") else value for key, value in file.items()})


def loud(inputs: Inputs) -> Any:
    """Features of about a million, which half precision cannot hold."""
    file = tiny.base_file(inputs["model"])
    return tiny.wrapped({key: value * 1e6 if "to_v_ip" in key else value for key, value in file.items()})


def xlabs(_: Inputs) -> Any:
    return tiny.wrapped(tiny.flux_file(tiny.flux()))


@cache
def whole_flux() -> Any:
    return tiny.flux(**tiny.WHOLE_FLUX)


@cache
def of_instantx() -> Any:
    return tiny.wrapped(tiny.instantx_file(whole_flux(), embed=1152))


def instantx(_: Inputs) -> Any:
    return of_instantx()


def pulid_flux(_: Inputs) -> Any:
    return tiny.wrapped(tiny.pulid_flux_file(tiny.flux(depth_single_blocks=38)))


def chroma(_: Inputs) -> Any:
    return tiny.chroma(depth=1, depth_single_blocks=1)


def plus(inputs: Inputs) -> Any:
    return tiny.plus_adapter(inputs["model"])


def changed(**changes: Callable[[Any], Any]) -> Callable[[Inputs], Any]:
    """The features with some fields replaced."""

    def changed(inputs: Inputs) -> Any:
        for name, change in changes.items():
            setattr(inputs["features"], name, change(getattr(inputs["features"], name)))
        return inputs["features"]

    return changed


def kept_for_plus(inputs: Inputs) -> Any:
    found = shorter_states(inputs)
    found.kept_for = "plus"
    return found


def shorter_states(inputs: Inputs) -> Any:
    states = inputs["features"].penultimate_hidden_states[:, :5]
    return type(inputs["features"])(negative_penultimate=None, encoder="", penultimate_hidden_states=states)


def dino(_: Inputs) -> Any:
    found = object.__new__(ClipVisionModel)
    found.model_type = "dinov3"
    return found


def old_file(value: Any, name: str = "old.ipadpt") -> Callable[[Inputs], str]:
    """A file as torch saves it, in models/image_prompts."""

    def make(_: Inputs) -> str:
        (folder, *_), _ = folder_paths.folder_names_and_paths["image_prompts"]
        torch.save(value, Path(folder) / name)
        return name

    return make


def another_encoder(_: Inputs) -> Any:
    found = tiny.encoder()
    found.name = "CLIP ViT-H/14"
    return found


def clip_with(name: str) -> Callable[[Inputs], Any]:
    """A CLIP with a text encoder of this name alone."""

    class FakeModel:
        pass

    def make(_: Inputs) -> Any:
        made = comfy.sd.CLIP(no_init=True)
        made.cond_stage_model = FakeModel()
        setattr(made.cond_stage_model, name, object())
        return made

    return make
