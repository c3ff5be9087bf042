"""Image tokens equal those of diffusers' projections, filled by its own converter from the same file."""

import pytest
import torch
from diffusers.loaders.unet import UNet2DConditionLoadersMixin

from image_prompt.ip_adapter import load_adapter

CASES = [  # family, unet, sizes, features
    ("base", "SD1.5", {}, (3, 1024)),
    ("base", "SD1.5", {"width": 1280}, (3, 1280)),
    ("base", "SDXL", {"width": 1280}, (3, 1280)),
    ("full-face", "SD1.5", {}, (2, 257, 1280)),
    ("plus", "SD1.5", {}, (2, 257, 1280)),
    ("plus", "SDXL", {"width": 1664}, (2, 257, 1664)),
    ("plus", "SDXL", {"width": 1024, "dim": 320, "heads": 2}, (1, 577, 1024)),  # inner < dim, as Kolors
]

# In float32 the rounding depends on the processor. In float64 diffusers still computes its softmax in float32.
DTYPES = [(torch.float64, 2e-6), (torch.float32, 5e-5)]


def in_dtype(parts, dtype):
    return {part: {key: tensor.to(dtype) for key, tensor in tensors.items()} for part, tensors in parts.items()}


def diffusers_projection(image_proj):
    convert = UNet2DConditionLoadersMixin()._convert_ip_adapter_image_proj_to_diffusers
    return convert(image_proj, low_cpu_mem_usage=False).eval()


@torch.inference_mode()
@pytest.mark.parametrize("dtype, atol", DTYPES)
@pytest.mark.parametrize("family, unet, sizes, shape", CASES)
def test_tokens_equal_diffusers(make_file, family, unet, sizes, shape, dtype, atol):
    parts = in_dtype(make_file(family, unet, **sizes), dtype)
    adapter, features = load_adapter(parts), torch.randn(shape, dtype=dtype)
    reference = diffusers_projection(parts["image_proj"]).to(dtype)
    expected = reference(features)
    tokens = adapter.tokens(features)
    assert adapter.family.name == family
    assert tokens.shape == (shape[0], adapter.num_tokens if family != "full-face" else shape[1], adapter.context_width)
    torch.testing.assert_close(tokens, expected, rtol=0, atol=atol)


@torch.inference_mode()
@pytest.mark.parametrize("dtype, atol", DTYPES)
@pytest.mark.parametrize("family, shape", [("base", (1, 1024)), ("plus", (1, 257, 1280))])
def test_tokens_of_zeros_equal_diffusers(make_file, family, shape, dtype, atol):
    parts, zeros = in_dtype(make_file(family), dtype), torch.zeros(shape, dtype=dtype)
    expected = diffusers_projection(parts["image_proj"]).to(dtype)(zeros)
    torch.testing.assert_close(load_adapter(parts).tokens(zeros), expected, rtol=0, atol=atol)


@torch.inference_mode()
def test_more_tokens_than_four_are_counted(make_file):
    """diffusers assumes four for this layout; the file says how many."""
    parts = make_file("base", tokens=16)
    adapter, embeds = load_adapter(parts), torch.randn(2, 1024)
    proj, norm = torch.nn.Linear(1024, 16 * 768), torch.nn.LayerNorm(768)
    proj.load_state_dict({key[5:]: t for key, t in parts["image_proj"].items() if key.startswith("proj.")})
    norm.load_state_dict({key[5:]: t for key, t in parts["image_proj"].items() if key.startswith("norm.")})
    assert adapter.num_tokens == 16
    torch.testing.assert_close(adapter.tokens(embeds), norm(proj(embeds).view(2, 16, 768)), rtol=0, atol=1e-5)


@torch.inference_mode()
def test_full_face_keeps_every_position(make_file):
    adapter = load_adapter(make_file("full-face"))
    features = torch.randn(1, 257, 1280)
    assert adapter.num_tokens == 257
    assert adapter.tokens(features).shape == (1, 257, 768)
    torch.testing.assert_close(adapter.tokens(features[:, 5:9]), adapter.tokens(features)[:, 5:9], rtol=0, atol=1e-5)


@torch.inference_mode()
def test_softmax_of_a_half_precision_resampler_survives_large_features(make_file):
    adapter = load_adapter(make_file("plus"), dtype=torch.bfloat16)
    assert torch.isfinite(adapter.tokens(torch.randn(1, 257, 1280) * 1e3)).all()
