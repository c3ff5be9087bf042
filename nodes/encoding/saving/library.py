"""The nodes that save image features and load them again."""

from collections.abc import Sequence
from typing import Any

import torch
from comfy.clip_vision import Output
from comfy_api.latest import io, ui

from ....clip_vision import SavedFeatures
from ... import input_checks
from ...display import said
from ...loading.files_used import features_file, note_files
from ...sockets import CATEGORY
from .saved_features import fingerprint, image_features, listed_names, negative_features, read, save

NAME = "image_prompt"


class SaveImagePromptFeatures(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ImagePromptSaveFeatures",
            display_name="Save Image Prompt Features",
            category=CATEGORY,
            description="Saves the features of reference images in models/image_prompts, so that they can be used "
            "again without the images and without the encoder.",
            search_aliases=["save embeds", "ipadapter save embeds", "image prompt library", "features"],
            inputs=[
                io.ClipVisionOutput.Input("features", tooltip="Features of any encoder, ours or core's."),
                io.String.Input(
                    "name",
                    default=NAME,
                    optional=True,
                    tooltip="Name of the file, with / between sub-folders. A number is added, so that nothing is "
                    "overwritten.",
                ),
                io.Image.Input(
                    "image",
                    optional=True,
                    tooltip="The reference images: a thumbnail and a hash of them are kept with the features.",
                ),
            ],
            outputs=[io.String.Output(display_name="name", tooltip="The file's name, as the loader lists it.")],
            hidden=[io.Hidden.unique_id],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, features: Output, name: str = NAME, image: torch.Tensor | None = None) -> io.NodeOutput:
        input_checks.image_features(features)
        input_checks.expect(name, str, "name", "give the name of a file, such as cats/black cat")
        if image is not None:
            input_checks.image(image)
        listed, saved = save(features, name, image)
        return io.NodeOutput(listed, ui={**_preview(cls, saved), **said(listed, cls.hidden)})


class LoadImagePromptFeatures(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="ImagePromptLoadFeatures",
            display_name="Load Image Prompt Features",
            category=CATEGORY,
            description="Loads features of reference images that were saved in models/image_prompts, and the .ipadpt "
            "files of IPAdapter Plus, also from ComfyUI's input and output folders. No code in a file is run.",
            search_aliases=["load embeds", "ipadapter load embeds", "ipadpt", "image prompt library", "features"],
            inputs=[
                io.Combo.Input(
                    "features_name",
                    options=listed_names(),
                    tooltip="File in models/image_prompts, or an .ipadpt file in the input or output folder.",
                ),
                io.ClipVision.Input(
                    "clip_vision",
                    optional=True,
                    tooltip="The encoder that made the features. Only old files need it, and only for plus adapters: "
                    "it makes what these read of an empty image.",
                ),
            ],
            outputs=[
                io.ClipVisionOutput.Output(display_name="features", tooltip="The features, as they were saved."),
                io.ClipVisionOutput.Output(
                    display_name="negative",
                    tooltip="The negative in a file of the first IPAdapter Plus; of all others it is empty.",
                ),
            ],
            hidden=[io.Hidden.unique_id, io.Hidden.extra_pnginfo],
            has_intermediate_output=True,
        )

    @classmethod
    def fingerprint_inputs(cls, features_name: str | None = None, **_: object) -> str:
        return fingerprint(features_name)

    @classmethod
    def execute(cls, features_name: str, clip_vision: Any = None) -> io.NodeOutput:
        input_checks.expect(features_name, str, "features_name", "give the name of a file in models/image_prompts")
        saved = read(features_name)
        features = image_features(saved, features_name, clip_vision)
        note_files(cls.hidden, features_file(features_name, saved.features.encoder))
        shown = {**_preview(cls, saved), **said(_summary(saved), cls.hidden)}
        return io.NodeOutput(features, negative_features(saved, features_name), ui=shown)


def _summary(saved: SavedFeatures) -> str:
    count = len(saved.features)
    pictures = f"{count} picture{'' if count == 1 else 's'}"
    kept_for = f", for {saved.kept_for} only" if saved.kept_for else ""
    maker = made_by(saved.features.encoder, [*saved.features.as_dict(), *(saved.features.others or {})])
    return f"{maker}\n{pictures}{kept_for}"


def made_by(encoder: str, names: Sequence[str]) -> str:
    """What made features of these names: an image encoder, or a face analyser alone."""
    identity = names and {*names} <= {"face_embeds", "face_embeds_raw"}
    return encoder or ("identity of faces" if identity else "encoder not known")


def _preview(node: type[io.ComfyNode], saved: SavedFeatures) -> dict[str, Any]:
    picture = saved.picture()
    return {} if picture is None else ui.PreviewImage(picture, cls=node).as_dict()
