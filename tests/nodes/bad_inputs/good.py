"""Inputs with which each of our nodes works."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import character_tools
import face_tools
import folder_paths
import full_files
import tiny
import torch
from core_qwen import core_qwen
from PIL import Image
from safetensors.torch import save_file
from transformers import CLIPModel

from image_prompt.demo import face_packs
from image_prompt.nodes.applying.apply import ApplyImagePrompt
from image_prompt.nodes.applying.controlnet import ApplyInstantIDControlNet
from image_prompt.nodes.compat.middle import IPAdapterMiddleBlock
from image_prompt.nodes.controls.apply_references import ApplyReferences
from image_prompt.nodes.controls.conditioning import ReferencesToConditioning
from image_prompt.nodes.controls.layer_weights import ImagePromptLayerWeights
from image_prompt.nodes.controls.reference import MakeReference
from image_prompt.nodes.controls.regions import ImagePromptRegions
from image_prompt.nodes.controls.step_weights import ImagePromptStepWeights
from image_prompt.nodes.embeddings.embed_features import EmbedFeatures
from image_prompt.nodes.embeddings.embed_text import EmbedText
from image_prompt.nodes.embeddings.embed_vlm import EmbedByVisionLanguageModel
from image_prompt.nodes.embeddings.rank import RankPictures
from image_prompt.nodes.embeddings.similarity import SimilarityOfEmbeddings
from image_prompt.nodes.embeddings.unique import KeepUniquePictures
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
from image_prompt.nodes.loading.models import LoadImagePromptModels, ModelPathsReport
from image_prompt.nodes.reference_library.add import AddToLibrary
from image_prompt.nodes.reference_library.advise import AdviseFromLibrary
from image_prompt.nodes.reference_library.nearest import NearestReference
from image_prompt.nodes.reference_library.rate import RateInLibrary

from .made import embedded, encoder, face_adapter, features_of, images, two_references, unet
from .row import Inputs


def good(node: type) -> Inputs:
    """New inputs with which the node works."""
    return GOOD[node]()


def applying() -> Inputs:
    model = unet("SD1.5")
    return {
        "model": model,
        "adapter": tiny.adapter(model),
        "features": features_of(),
        "weight": 1.0,
        "start": 0.0,
        "end": 1.0,
    }


def applying_references() -> Inputs:
    inputs = applying()
    return {"model": inputs["model"], "adapter": inputs["adapter"], "references": two_references()({})}


def encoder_file() -> Inputs:
    """Load an encoder from the model folders that ComfyUI has now."""
    (folder, *_), _ = folder_paths.folder_names_and_paths["clip_vision"]
    save_file(tiny.encoder_file(), Path(folder) / "tiny.safetensors", metadata=tiny.DESCRIPTION)
    return {"encoder_name": "tiny.safetensors"}


def adapter_file() -> Inputs:
    (folder, *_), _ = folder_paths.folder_names_and_paths["ipadapter"]
    save_file(tiny.base_file(unet("SD1.5")), Path(folder) / "tiny.safetensors")
    return {"adapter_name": "tiny.safetensors"}


def features_file() -> Inputs:
    return {"features_name": SaveImagePromptFeatures.execute(features_of(), "tiny").args[0]}


def model_files() -> Inputs:
    encoder_file(), adapter_file()
    return {"model": unet("SD1.5")}


def with_regions() -> Inputs:
    return {"references": {"reference_0": MakeReference.execute(features_of()).args[0]}, "regions": "1: rect 0 0, 1 1"}


def pictures_folder() -> Inputs:
    """Encode a folder below the input folder that ComfyUI has now."""
    root = Path(folder_paths.get_input_directory())
    for name, pictures in {"set": ("1.png", "2.png"), "empty": (), "broken": ("1.png", "page.jpg")}.items():
        (root / name).mkdir(parents=True)
        for picture in pictures:
            Image.new("RGB", (8, 8)).save(root / name / picture)
    (root / "broken" / "page.jpg").write_text("<html>")
    return {"clip_vision": tiny.encoder(), "folder": "set"}


def recorded() -> Inputs:
    influence = Influence(Choice(frozenset()))
    samples = torch.zeros(2, 4, 8, 8)
    influence.keep(Record(("a cat",), torch.rand(1, 2, 8, 8), evaluations=1), samples)
    return {"influence": influence, "latent": {"samples": samples}}


def face_pack_file() -> Inputs:
    (folder, *_), _ = folder_paths.folder_names_and_paths["insightface"]
    face_packs.write_pack(Path(folder) / "models")
    return {"face_pack": "buffalo_l"}


def controlled() -> Inputs:
    positive, negative = tiny.conditions("SDXL")
    features, _, _, key_points = EncodeFacePrompt.execute(face_tools.two(), face_tools.pictures()).args
    prompts = {"positive": positive, "negative": negative, "adapter": face_adapter("instantid", "SDXL")}
    return {**prompts, "control_net": face_tools.Control([]), "key_points": key_points, "features": features}


def library() -> Inputs:
    """A library of two pictures, of which the first is rated 1."""
    paths = AddToLibrary.execute(encoder(), "cats", images()).args[0].splitlines()
    RateInLibrary.execute("cats", paths[0], 1)
    return {"library": "cats"}


def searched() -> Inputs:
    return {**library(), "query": embedded(), "clip_vision": encoder()}


@cache
def _full_clip() -> CLIPModel:
    return full_files.full_clip()


def text_file() -> Inputs:
    (folder, *_), _ = folder_paths.folder_names_and_paths["clip_vision"]
    full_files.save(_full_clip(), Path(folder) / "full.safetensors")
    return {"text": "a cat", "clip_vision": LoadImageEncoder.execute("full.safetensors", dtype="fp32").args[0]}


GOOD: dict[type, Callable[[], Inputs]] = {
    MakeReference: lambda: {"features": features_of()},
    ImagePromptRegions: with_regions,
    ApplyReferences: applying_references,
    ReferencesToConditioning: lambda: {**applying_references(), "conditioning": tiny.conditions("SD1.5")[0]},
    LoadImageEncoder: encoder_file,
    LoadImagePromptAdapter: adapter_file,
    LoadImagePromptModels: model_files,
    ApplyImagePrompt: applying,
    ImagePromptLayerWeights: lambda: {},
    ImagePromptStepWeights: lambda: {},
    RecordInfluence: lambda: {"model": unet("SD1.5")},
    InfluenceMap: recorded,
    EncodeImagePrompt: lambda: {"clip_vision": tiny.encoder(), "image": torch.zeros(1, 8, 8, 3)},
    EncodeFolder: pictures_folder,
    CombineImagePrompts: lambda: {"method": "average", "features_1": features_of(), "features_2": features_of()},
    SaveImagePromptFeatures: lambda: {"features": features_of(), "name": "tiny"},
    LoadImagePromptFeatures: features_file,
    LoadFaceAnalyser: face_pack_file,
    EncodeFacePrompt: lambda: {"insightface": face_tools.two(), "image": face_tools.pictures(2)},
    EncodeCharacterPrompt: lambda: {
        "siglip": character_tools.siglip(),
        "dino": character_tools.dino(),
        "image": torch.zeros(1, 8, 8, 3),
    },
    FaceAdapterOptions: lambda: {"adapter": face_adapter("faceid")},
    ApplyInstantIDControlNet: controlled,
    NearestReference: searched,
    AddToLibrary: lambda: {"clip_vision": encoder(), "images": images()},
    RateInLibrary: lambda: {**library(), "paths": "picture_00001_.png"},
    AdviseFromLibrary: library,
    EmbedText: text_file,
    EmbedFeatures: lambda: {"features": features_of()},
    SimilarityOfEmbeddings: lambda: {"a": embedded(), "b": embedded()},
    RankPictures: lambda: {"images": images(), "reference": embedded(), "clip_vision": encoder()},
    KeepUniquePictures: lambda: {"images": images(), "clip_vision": encoder()},
    ModelPathsReport: dict,
    IPAdapterMiddleBlock: lambda: {"ipadapter": tiny.adapter(unet("SD1.5"))},
    EmbedByVisionLanguageModel: lambda: {"clip": core_qwen(), "image": torch.zeros(1, 32, 64, 3), "text": "a word"},
}
