"""The nodes, and the only code that imports ComfyUI. The maths is in `clip_vision` and `ip_adapter`."""

import logging

from comfy_api.latest import ComfyExtension, io

from ..model_files.environment import pack_version
from .applying.apply import ApplyImagePrompt
from .applying.controlnet import ApplyInstantIDControlNet
from .compat.middle import IPAdapterMiddleBlock
from .compat.prompts import register_prompt_mender
from .compat.registration import counts, register_compat_nodes
from .controls.apply_references import ApplyReferences
from .controls.conditioning import ReferencesToConditioning
from .controls.layer_weights import ImagePromptLayerWeights
from .controls.reference import MakeReference
from .controls.regions import ImagePromptRegions
from .controls.step_weights import ImagePromptStepWeights
from .embeddings.embed_features import EmbedFeatures
from .embeddings.embed_text import EmbedText
from .embeddings.embed_vlm import EmbedByVisionLanguageModel
from .embeddings.rank import RankPictures
from .embeddings.similarity import SimilarityOfEmbeddings
from .embeddings.unique import KeepUniquePictures
from .encoding.encode import CombineImagePrompts, EncodeImagePrompt
from .encoding.encode_character import EncodeCharacterPrompt
from .encoding.faces.encode_face import EncodeFacePrompt
from .encoding.folder import EncodeFolder
from .encoding.saving.library import LoadImagePromptFeatures, SaveImagePromptFeatures
from .folders import register_folders
from .help_pages import register_help_pages
from .influence.influence_map import InfluenceMap
from .influence.record_influence import RecordInfluence
from .loading.face_analyser import LoadFaceAnalyser
from .loading.face_options import FaceAdapterOptions
from .loading.files_used import register_prompt_handler
from .loading.load import LoadImageEncoder, LoadImagePromptAdapter
from .loading.models import LoadImagePromptModels, ModelPathsReport
from .notices import telling_node
from .reference_library.add import AddToLibrary
from .reference_library.advise import AdviseFromLibrary
from .reference_library.nearest import NearestReference
from .reference_library.rate import RateInLibrary
from .routes import register_routes

NODES: list[type[io.ComfyNode]] = [
    LoadImagePromptModels,
    LoadImageEncoder,
    LoadImagePromptAdapter,
    LoadFaceAnalyser,
    FaceAdapterOptions,
    EncodeImagePrompt,
    EncodeFacePrompt,
    EncodeCharacterPrompt,
    EncodeFolder,
    CombineImagePrompts,
    SaveImagePromptFeatures,
    LoadImagePromptFeatures,
    NearestReference,
    AddToLibrary,
    RateInLibrary,
    AdviseFromLibrary,
    ApplyImagePrompt,
    MakeReference,
    ImagePromptRegions,
    ApplyReferences,
    ReferencesToConditioning,
    ApplyInstantIDControlNet,
    ImagePromptLayerWeights,
    ImagePromptStepWeights,
    RecordInfluence,
    InfluenceMap,
    EmbedText,
    EmbedFeatures,
    EmbedByVisionLanguageModel,
    SimilarityOfEmbeddings,
    RankPictures,
    KeepUniquePictures,
    ModelPathsReport,
    IPAdapterMiddleBlock,
]


class ImagePromptExtension(ComfyExtension):
    """The extension that ComfyUI loads: it lists the nodes, and registers folders, routes and handlers of prompts."""

    async def on_load(self) -> None:
        register_folders()
        register_routes()
        register_help_pages()
        register_compat_nodes()
        register_prompt_mender()
        register_prompt_handler()
        version = pack_version() or "of unknown version"
        logging.getLogger(__name__).info("Image Prompt %s: %d nodes, and %s.", version, len(NODES), counts())

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return list(map(telling_node, NODES))
