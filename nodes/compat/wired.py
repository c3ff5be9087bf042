"""What the nodes that apply an adapter are connected to, and the image prompts of pictures."""

from dataclasses import replace
from functools import cache, cached_property, partial
from typing import Any

from comfy.model_patcher import ModelPatcher

from ...ip_adapter import Features
from .. import input_checks
from ..applying.attach import matching_sites
from ..applying.image_prompt import ImagePrompt
from ..applying.masks import Resizing
from ..encoding.encoder import as_encoder
from ..loading.adapter import ImagePromptAdapter
from ..loading.wires import IPADAPTER_ADVICE, acts_in_middle, as_adapter, encoder_of, insightface_of
from .encoders import encoder_for
from .execute import Application, check_base_model, image_prompts
from .faces import Faces, finder_for
from .features import combined_pair, negative_features, picture_features
from .inputs import COMBINE_NAMES
from .node import CompatNode
from .reading import Acting, read_layer_weights, read_mask, read_weights

LARGEST = 1000.0
COMBINES = (*COMBINE_NAMES, "max", "min")  # the last two are what ComfyUI-Easy-Use asks for besides


class Wires:
    """What a node was connected to: the model, the adapter, and its image encoder, which is found when it is needed.

    The LoRA in a file of an adapter is left out: with these nodes it comes from a loader.

    shortcut: how much of the look of a face counts beside its identity; None: twice the weight, False: nothing
    shortcut_name: of the input with it, for messages
    text_scale: factor on the model's own projection of text, where the tokens go through it
    faces: how they are looked for and cut out, for adapters that read them
    family: of the adapter, where the shapes of its file leave a choice; "" as its name says

    Raises:
        ValueError: the model is none, or the wire carries no adapter for it.
    """

    def __init__(
        self,
        node: CompatNode,
        model: Any,
        ipadapter: Any,
        clip_vision: Any = None,
        insightface: Any = None,
        *,
        shortcut: Any = None,
        shortcut_name: str = "weight_faceidv2",
        text_scale: Any = 1.0,
        faces: Faces | None = None,
        family: str = "",
        middle: bool = False,
        mask_resizing: Resizing = "bilinear",
    ):
        self.title = node.row.title
        self.model: ModelPatcher = input_checks.diffusion_model(model)
        self.adapter: ImagePromptAdapter = as_adapter(ipadapter, "ipadapter", IPADAPTER_ADVICE).as_family(family)
        matching_sites(model, self.adapter)
        check_base_model(self.title, self.adapter.module.base_model)  # before features are made that it cannot use
        self.middle = middle or acts_in_middle(ipadapter)
        self.mask_resizing: Resizing = mask_resizing
        self._finder = insightface if insightface is not None else insightface_of(ipadapter)
        self._faces = faces or Faces()
        self._shortcut, self._text_scale = (shortcut, shortcut_name), text_scale
        if clip_vision is not None:
            as_encoder(clip_vision)  # also where the adapter reads nothing of it
        wired = clip_vision if clip_vision is not None else encoder_of(ipadapter)
        self.encoder = cache(partial(encoder_for, self.adapter, wired))

    @cached_property
    def faces(self) -> Faces:
        """What finds the faces that the adapter reads. ValueError: it reads some, and nothing is connected for it."""
        reads_faces = self.adapter.module.family.reads_faces
        finder = finder_for(self._finder, self.title) if reads_faces else None
        return replace(self._faces, finder=finder, found=[])

    def prompts(
        self,
        cond: Features,
        uncond: Features,
        acting: Acting,
        mask: Any = None,
        *,
        composition: Features | None = None,
        layer_weights: Any = None,
    ) -> list[ImagePrompt]:
        """The image prompts of features, and of those of other pictures whose composition acts."""
        given = Application(
            title=self.title,
            cond=cond,
            uncond=uncond,
            composition=composition,
            **acting,
            layer_weights=read_layer_weights(layer_weights),
            mask=read_mask(mask),
            mask_resizing=self.mask_resizing,
            middle=self.middle,
        )
        return image_prompts(self.model, self._chosen(given.weights["weight"][0]), given)

    def _chosen(self, weight: float) -> ImagePromptAdapter:
        """The adapter with what the node says about it. weight: how strongly it acts"""
        given, name = self._shortcut
        shortcut = 2 * weight if given is None else read_weights(given, False, name)[0]
        text_scale = input_checks.number(self._text_scale, -LARGEST, LARGEST, "weight_kolors")
        options = replace(self.adapter.options, lora_strength=0.0, text_scale=text_scale)
        return self.adapter.with_options(
            replace(options, shortcut=shortcut if self.adapter.module.has_shortcut else 1.0)
        )


def picture_prompts(
    wires: Wires,
    image: Any,
    acting: Acting,
    mask: Any = None,
    *,
    combine: Any = "concat",
    negative: Any = None,
    composition: Any = None,
    layer_weights: Any = None,
    tiles: Any = 1,
    ratio: Any = 1.0,
    name: str = "image",
) -> list[ImagePrompt]:
    """The image prompts of pictures.

    name: of the input with the pictures, for messages
    negative: pictures to move away from; None: a black one, or nothing
    composition: other pictures, whose composition acts
    tiles, ratio: as `picture_features` takes them
    """
    module = wires.adapter.module
    tiles = input_checks.whole(tiles, 1, 4096, "enhance_tiles")
    ratio = input_checks.number(ratio, -10, 10, "enhance_ratio")
    method = input_checks.choice(combine, COMBINES, "combine_embeds")

    def features(some: Any, name: str) -> Features:
        return picture_features(module, wires.encoder, some, name, tiles=tiles, ratio=ratio, faces=wires.faces)

    seen = features(image, name)
    nobody = negative_features(module, wires.encoder, seen, negative)
    cond, uncond = combined_pair(seen, nobody, method, acting["by_picture"])
    other = None if composition is None else features(composition, "image_composition")
    if other is not None:
        other, _ = combined_pair(other, nobody, method, acting["by_picture"])
    return wires.prompts(cond, uncond, acting, mask, composition=other, layer_weights=layer_weights)
