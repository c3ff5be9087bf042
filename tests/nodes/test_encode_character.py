"""Encode Character Prompt gives what the published pipeline of InstantCharacter makes of a picture."""

import character_tools as tools
import numpy as np
import pytest
import tiny
import torch
from PIL import Image
from transformers.models.bit.image_processing_pil_bit import BitImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

from image_prompt.devtools import published
from image_prompt.ip_adapter import FAMILIES
from image_prompt.ip_adapter.adapter import IPAdapter
from image_prompt.ip_adapter.containers import projection_keys
from image_prompt.ip_adapter.families.base_models import BASE_MODELS
from image_prompt.nodes.encoding.adapter_features import negative_features, reference_features
from image_prompt.nodes.encoding.encode import CombineImagePrompts, EncodeImagePrompt
from image_prompt.nodes.encoding.encode_character import EncodeCharacterPrompt
from image_prompt.nodes.encoding.features import OF_CHARACTERS
from image_prompt.nodes.encoding.saving import saved_features
from image_prompt.nodes.loading.adapter import ImagePromptAdapter

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
PROCESSORS = (
    SiglipImageProcessorPil(size={"height": 384, "width": 384}),
    BitImageProcessorPil(
        size={"shortest_edge": 384}, crop_size={"height": 384, "width": 384}, image_mean=MEAN, image_std=STD
    ),
)


def picture(height, width, seed=0):
    """Blocks of random colours, (1, H, W, 3) in steps of 1/255."""
    colours = torch.rand(1, 3, 5, 7, generator=torch.Generator().manual_seed(seed))
    blocks = torch.nn.functional.interpolate(colours, (height, width))
    return (blocks.movedim(1, -1) * 255).round() / 255


def as_pil(image):
    return Image.fromarray((image * 255).round().to(torch.uint8).numpy())


def pipeline(image):
    """`encode_image_emb` of the published pipeline, of a square picture."""
    big = image.resize((768, 768))
    corners = [(left, top, left + 384, top + 384) for top in (0, 384) for left in (0, 384)]
    views = [[image.resize((384, 384))], [big.crop(corner) for corner in corners]]
    models = (tools.siglip_of_transformers(), tools.dino_of_transformers())
    made = {"character_shallow": [], "character_deep": [], "character_pieces": []}
    for model, processor, layers, skipped in zip(models, PROCESSORS, ((7, 13, 26), (9, 19, 29)), (0, 1), strict=True):
        low, high = (
            model(processor(images=each, return_tensors="pt")["pixel_values"], output_hidden_states=True)
            for each in views
        )
        made["character_shallow"].append(torch.cat([low.hidden_states[number][:, skipped:] for number in layers], 1))
        made["character_deep"].append(low.last_hidden_state[:, skipped:])
        made["character_pieces"].append(high.last_hidden_state[:, skipped:].flatten(0, 1).unsqueeze(0))
    return {name: torch.cat(parts, 2) for name, parts in made.items()}


def encode(image, **options):
    return EncodeCharacterPrompt.execute(tools.siglip(), tools.dino(), image, **options).args


def equal(features, expected, row=0):
    for name, tensor in expected.items():
        torch.testing.assert_close(getattr(features, name)[row : row + 1], tensor, rtol=1e-4, atol=1e-4)


@pytest.fixture(scope="module")
def encoded():
    """Two wide pictures, and what the node makes of them."""
    with torch.inference_mode():
        image = torch.cat([picture(100, 140, seed) for seed in (1, 2)])
        return image, *encode(image)


def test_features_are_those_of_the_published_pipeline(encoded):
    image, features, seen = encoded
    for row, each in enumerate(image):
        square = as_pil(each).resize((140, 140))
        equal(features, pipeline(square), row)
        assert np.array_equal((seen[row] * 255).round().numpy(), np.asarray(square.resize((768, 768))))
    shapes = [tuple(getattr(features, name).shape) for name in OF_CHARACTERS]
    assert shapes == [(2, 27, 64), (2, 9, 64), (2, 36, 64)]


def test_what_a_mask_shows_is_in_the_middle_of_white(encoded):
    """The published demo: the character alone, in the smallest box, which white makes square."""
    image, mask = encoded[0][:1], torch.zeros(1, 100, 140)
    mask[0, 20:90, 60:100] = 0.7
    mask[0, 30:50, 70:80] = 0.3  # a hole
    shown = (mask[0] >= 0.5).unsqueeze(-1)
    alone = torch.where(shown, image[0], torch.ones(3))[20:90, 60:100]
    square = torch.ones(70, 70, 3)
    square[:, 15:55] = alone
    features, seen = encode(image, crop="mask", mask=mask)
    equal(features, pipeline(as_pil(square)))
    assert np.array_equal((seen[0] * 255).round().numpy(), np.asarray(as_pil(square).resize((768, 768))))
    cleared = encode(image, crop="center", mask=mask)[1]
    centre = torch.where(shown, image[0], torch.ones(3))[:, 20:120]
    assert np.array_equal((cleared[0] * 255).round().numpy(), np.asarray(as_pil(centre).resize((768, 768))))


def character_adapter():
    """InstantCharacter with the width of the features of the tiny encoders, and one layer."""
    family = next(family for family in FAMILIES if family.id == "instantcharacter")
    base = next(base for base in BASE_MODELS if base.name == "Flux")
    projection = published.fill(published.character(48, 64, 64, 1, 1, 4), 0)
    layer = {key.replace("scale", "weight"): tensor for key, tensor in published.character_layer(256, 48).items()}
    module = IPAdapter(family, base, projection_keys(projection), {0: published.fill(layer, 0)})
    return ImagePromptAdapter(module, "character")


def test_the_adapter_reads_them_also_combined_and_from_a_file(encoded, folders):
    _, features, _ = encoded
    adapter = character_adapter()
    read = reference_features(adapter.module, features)
    assert list(read) == [*OF_CHARACTERS] and adapter.module.prepare(read).shape == (2, 18, 64)
    assert all(len(tensor) == 0 for tensor in negative_features(adapter.module, features, None).values())
    name, _ = saved_features.save(features, "character", None)
    loaded = saved_features.image_features(saved_features.read(name), name)
    average = CombineImagePrompts.execute("average", features_1=loaded).args[0]
    for feature, tensor in read.items():
        assert torch.equal(getattr(loaded, feature), tensor)
        torch.testing.assert_close(getattr(average, feature), tensor.mean(0, keepdim=True))
    assert average.encoder == "tiny SigLIP and tiny DINOv2"


def test_another_node_is_named_where_features_or_adapter_are_of_another_kind(model, encoded):
    image, features, _ = encoded
    character, of_pictures = character_adapter(), tiny.adapter(model)
    with pytest.raises(ValueError, match="reads image_embeds, which this node does not make: use Encode Image Prompt"):
        encode(image, adapter=of_pictures)
    assert encode(image, adapter=character)[0].kept_for == "character"
    whole = EncodeImagePrompt.execute(tiny.encoder(), image).args[0]
    with pytest.raises(ValueError, match="reads character_shallow, .* do not have: use Encode Character Prompt"):
        reference_features(character.module, whole)
    with pytest.raises(ValueError, match="which this node does not make: use Encode Character Prompt"):
        EncodeImagePrompt.execute(tiny.encoder(), image, adapter=character)
