"""The nodes of x-flux-comfyui add to each double block of Flux.1 what its formulas say, in all rows of a call.

The witness is the same model, whose blocks add the attention by themselves. Letters: see formulas.py.
"""

import math
from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest
import tiny
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.functional import layer_norm, linear, scaled_dot_product_attention
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from image_prompt.nodes.compat.node import node_class
from image_prompt.nodes.compat.other_packs import xlabs
from image_prompt.nodes.loading.wires import as_adapter

CLASSES = {row.id: node_class(row, "test") for row in xlabs.ROWS}
PICTURES = (torch.randint(1, 255, (2, 50, 40, 3), generator=torch.Generator().manual_seed(1)) + 0.7) / 255
BEGIN, END = 0.2, -0.9
MIDDLE = [1 / (1 + math.exp(-8 * (i - 9.5) / 19)) - 0.5 for i in range(19)]
WEIGHTS = {  # of the 19 blocks, from 0 to 1
    "Linear": [i / 18 for i in range(19)],
    "First half": [i / 8 for i in range(9)] + [1.0] * 10,
    "Second half": [0.0] * 10 + [i / 8 for i in range(9)],
    "Sigmoid": MIDDLE,
}


@cache
def world():
    model, encoder = tiny.flux(), tiny.encoder()
    file = tiny.flux_file(model)
    wire = {"ipadapter": {"file": "a", "model": tiny.wrapped(file)}, "clipvision": {"file": "b", "model": encoder}}
    return SimpleNamespace(model=model, encoder=encoder, file=file, wire=wire)


def run(id, **inputs):
    given = {"model": world().model, "ip_adapter_flux": world().wire, "image": PICTURES}
    given |= {each.name: each.default for each in CLASSES[id].row.inputs if not each.is_socket} | inputs
    node = CLASSES[id]()
    return getattr(node, node.FUNCTION)(**given)[0]


def seen(images: Tensor) -> Tensor:
    """The embeddings of pictures, (N, D), as their processor prepares them in 8 bit."""
    pictures = [Image.fromarray((each * 255).to(torch.uint8).numpy()) for each in images]
    sizes = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
    pixels = torch.tensor(np.asarray(CLIPImageProcessorPil(**sizes)(pictures, return_tensors="pt")["pixel_values"]))
    found = world().encoder.features(pixels, None, want=("image_embeds",), on_chunk=lambda count: None)
    return found["image_embeds"].float()


def tokens_of(embeds: Tensor) -> Tensor:
    """(N, D) -> (N, T, C)."""
    weights = {name.removeprefix("ip_adapter_proj_model."): value for name, value in world().file.items()}
    flat = linear(embeds, weights["proj.weight"], weights["proj.bias"]).reshape(len(embeds), -1, 4096)
    return layer_norm(flat, (4096,), weights["norm.weight"], weights["norm.bias"])


def added(block, number: int, img: Tensor, vec: Tensor, tokens: Tensor) -> Tensor:
    """The mean of what each of the pictures adds at a strength of 1, (B, L, I)."""
    first, _ = block.img_mod(vec)
    modulated = (1 + first.scale) * block.img_norm1(img) + first.shift
    heads = lambda each: each.unflatten(-1, (block.num_heads, -1)).transpose(1, 2)  # noqa: E731
    q, k, v = map(heads, block.img_attn.qkv(modulated).chunk(3, -1))
    q, _ = block.img_attn.norm(q, k, v)
    layer = f"double_blocks.{number}.processor.ip_adapter_double_stream_"
    key, value = (
        heads(linear(tokens, world().file[f"{layer}{letter}_proj.weight"], world().file[f"{layer}{letter}_proj.bias"]))
        for letter in "kv"
    )
    each = [scaled_dot_product_attention(q, key[n : n + 1], value[n : n + 1]) for n in range(len(tokens))]
    return torch.stack(each).mean(0).transpose(1, 2).flatten(2)


def expected(tokens: Tensor, strengths: list[float], monkeypatch, **options) -> Tensor:
    """What the sampler makes if each block adds its share by itself."""
    for number, block in enumerate(world().model.model.diffusion_model.double_blocks):

        def forward(img, txt, vec, *args, number=number, block=block, original=block.forward, **kwargs):
            before = img.clone()
            img, txt = original(img, txt, vec, *args, **kwargs)
            return img + strengths[number] * added(block, number, before, vec, tokens), txt

        monkeypatch.setattr(block, "forward", forward)
    found = tiny.sample(world().model, "Flux", **options)
    monkeypatch.undo()
    return found


def check(model, tokens, strengths, monkeypatch):
    """Two pictures, each with a positive and a negative prompt."""
    found = tiny.sample(model, "Flux", batch=2)
    torch.testing.assert_close(found, expected(tokens, strengths, monkeypatch, batch=2), rtol=1e-4, atol=1e-4)
    assert (found - tiny.sample(world().model, "Flux", batch=2)).abs().max() > 0.05


@pytest.mark.parametrize("count", [1, 2])
def test_what_pictures_add_is_averaged_in_all_rows(monkeypatch, count):
    model = run("ApplyFluxIPAdapter", image=PICTURES[:count], ip_scale=0.7)
    check(model, tokens_of(seen(PICTURES[:count])), [0.7] * 19, monkeypatch)


@pytest.mark.parametrize("way", WEIGHTS)
def test_the_strength_follows_the_depth_and_the_features_are_averaged(monkeypatch, way):
    model = run("ApplyAdvancedFluxIPAdapter", begin_strength=BEGIN, end_strength=END, smothing_type=way)
    strengths = [BEGIN + (END - BEGIN) * each for each in WEIGHTS[way]]
    check(model, tokens_of(seen(PICTURES).mean(0, keepdim=True)), strengths, monkeypatch)


def test_without_strength_the_model_is_as_it_was():
    plain = tiny.sample(world().model, "Flux")
    for model in (
        run("ApplyFluxIPAdapter", ip_scale=0.0),
        run("ApplyAdvancedFluxIPAdapter", begin_strength=0.0, end_strength=0.0),
    ):
        assert torch.equal(tiny.sample(model, "Flux"), plain) and model is not world().model


def test_the_loader_gives_the_adapter_with_the_encoder_of_its_box(folders):
    save_file(world().file, folders / "xlabs_ipadapters" / "a.safetensors")
    save_file(tiny.encoder_file(), folders / "clip_vision" / "b.safetensors", metadata=tiny.DESCRIPTION)
    required = CLASSES["LoadFluxIPAdapter"].INPUT_TYPES()["required"]
    assert [required[name][0] for name in ("ipadatper", "clip_vision")] == [["a.safetensors"], ["b.safetensors"]]
    (wire,) = CLASSES["LoadFluxIPAdapter"]().loadmodel("a.safetensors", "b.safetensors", "GPU")
    assert wire["clipvision"]["model"].name == "tiny CLIP"
    loaded, known = (as_adapter(each).module.state_dict() for each in (wire, world().wire))
    assert loaded.keys() == known.keys() and all(torch.equal(loaded[key], known[key]) for key in known)
    assert run("ApplyFluxIPAdapter", ip_adapter_flux=wire).model_options != world().model.model_options


@pytest.mark.parametrize(
    ("id", "inputs", "words"),
    [
        ("ApplyFluxIPAdapter", {"ip_adapter_flux": None}, "The ip_adapter_flux is nothing: connect the output of Load"),
        ("ApplyFluxIPAdapter", {"ip_adapter_flux": tiny.adapter(tiny.unet("SD1.5"))}, "is of another kind: connect"),
        ("ApplyFluxIPAdapter", {"model": "a word"}, "The model is the text 'a word'"),
        ("ApplyFluxIPAdapter", {"model": tiny.unet("SD1.5")}, "an IP-Adapter for Flux, the model is SD1.5"),
        ("ApplyFluxIPAdapter", {"image": PICTURES[0]}, "The image is a tensor of shape"),
        ("ApplyFluxIPAdapter", {"ip_scale": 2}, "The ip_scale is 2"),
        ("ApplyAdvancedFluxIPAdapter", {"begin_strength": "a"}, "The begin_strength is the text 'a'"),
        ("ApplyAdvancedFluxIPAdapter", {"end_strength": 101}, "The end_strength is 101"),
        (
            "ApplyAdvancedFluxIPAdapter",
            {"smothing_type": "even"},
            "smothing_type is the text 'even': choose one of Lin",
        ),
    ],
)
def test_bad_input_is_named(id, inputs, words):
    with pytest.raises(ValueError, match=words):
        run(id, **inputs)


def test_a_loader_names_what_it_was_given(folders):
    load = CLASSES["LoadFluxIPAdapter"]().loadmodel
    with pytest.raises(ValueError, match="a.safetensors is not in models/xlabs_ipadapters"):
        load("a.safetensors", "b.safetensors", "CPU")
    save_file(tiny.base_file(tiny.unet("SD1.5")), folders / "xlabs_ipadapters" / "c.safetensors")
    with pytest.raises(ValueError, match="^c.safetensors is an IP-Adapter .base. for SD1.5, which is of another kind"):
        load("c.safetensors", "b.safetensors", "CPU")
    with pytest.raises(ValueError, match="provider is the text 'TPU': choose one of CPU, GPU"):
        load("a.safetensors", "b.safetensors", "TPU")
