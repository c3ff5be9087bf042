"""The nodes of ComfyUI-IPAdapter-Flux add to each attention of Flux.1 what their formulas say, in all rows of a call.

The witness is the same model, whose blocks add the attention by themselves. Letters: see formulas.py.
"""

from functools import cache
from types import SimpleNamespace

import comfy.samplers
import numpy as np
import pytest
import tiny
import torch
from comfy.model_patcher import ModelPatcher
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.functional import gelu, layer_norm, linear, scaled_dot_product_attention
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

from image_prompt.devtools import published
from image_prompt.nodes.compat.node import node_class
from image_prompt.nodes.compat.other_packs import instantx_flux
from image_prompt.nodes.loading.wires import as_adapter, encoder_of

CLASSES = {row.id: node_class(row, "test") for row in instantx_flux.ROWS}
PICTURES = (torch.randint(1, 255, (2, 50, 40, 3), generator=torch.Generator().manual_seed(1)) + 0.7) / 255
WIDTH, TOKENS, EMBEDS = 128, 3, 24
MEAN, STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]


@cache
def world():
    model = tiny.flux(hidden_size=WIDTH, num_heads=1, axes_dim=[16, 56, 56], depth_single_blocks=38)
    encoder = tiny.encoder(projection=EMBEDS)
    shapes = {f"image_proj.{key}": shape for key, shape in projection().items()}
    for number in range(57):
        shapes |= {f"ip_adapter.{number}.{key}": each for key, each in published.key_value(WIDTH, 4096).items()}
    file = published.fill(shapes, 5, spread=0.1)
    wire = {"ipadapter": {"file": "a", "model": tiny.wrapped(file)}, "clipvision": {"file": "b", "model": encoder}}
    return SimpleNamespace(model=model, encoder=encoder, file=file, wire=wire)


def projection():
    inner = published.linear("proj.0", 2 * EMBEDS, EMBEDS) | published.linear("proj.2", TOKENS * 4096, 2 * EMBEDS)
    return inner | published.norm("norm", 4096)


def run(id, **inputs):
    given = {"model": world().model, "ipadapter_flux": world().wire, "image": PICTURES}
    given |= {each.name: each.default for each in CLASSES[id].row.inputs if not each.is_socket} | inputs
    node = CLASSES[id]()
    return getattr(node, node.FUNCTION)(**given)[0]


def tokens_of(image: Tensor) -> Tensor:
    """(H, W, 3) -> (1, T, C): the picture is squashed in 8 bit."""
    processor = SiglipImageProcessorPil(size={"height": 32, "width": 32}, image_mean=MEAN, image_std=STD)
    shown = Image.fromarray((image * 255).to(torch.uint8).numpy())
    pixels = torch.tensor(np.asarray(processor(shown, return_tensors="pt")["pixel_values"]))
    found = world().encoder.features(pixels, None, want=("image_embeds",), on_chunk=lambda count: None)
    weights = {name.removeprefix("image_proj."): value for name, value in world().file.items()}
    inner = gelu(linear(found["image_embeds"].float(), weights["proj.0.weight"], weights["proj.0.bias"]))
    flat = linear(inner, weights["proj.2.weight"], weights["proj.2.bias"]).reshape(1, TOKENS, 4096)
    return layer_norm(flat, (4096,), weights["norm.weight"], weights["norm.bias"])


def key_value(tokens: Tensor, layer: int) -> list[Tensor]:
    """(1, H, T, D) each, for the only head."""
    pair = (linear(tokens, world().file[f"ip_adapter.{layer}.to_{letter}_ip.weight"]) for letter in "kv")
    return [(each / (each.square().mean(-1, keepdim=True) + 1e-5).sqrt()).unsqueeze(1) for each in pair]


class Witness:
    """The model whose attentions add what they get of the tokens. weight: gives the weight at a sigma"""

    def __init__(self, tokens, weight, monkeypatch):
        self.weight, self.sigma, self.query = weight, 0.0, None
        flux = world().model.model.diffusion_model
        places = [(block.img_attn.norm, block.img_attn.proj) for block in flux.double_blocks]
        places += [(block.norm, block.linear2) for block in flux.single_blocks]
        for layer, (norm, out) in enumerate(places):
            monkeypatch.setattr(norm, "forward", self.noting(norm.forward))
            monkeypatch.setattr(out, "forward", self.adding(out.forward, *key_value(tokens, layer)))
        self.model = world().model.clone()
        self.model.set_model_unet_function_wrapper(self.evaluate)

    def evaluate(self, apply, args):
        self.sigma = float(args["timestep"][0])
        return apply(args["input"], args["timestep"], **args["c"])

    def noting(self, original):
        def forward(q, k, v):
            q, k = original(q, k, v)
            self.query = q.clone()
            return q, k

        return forward

    def adding(self, original, key, value):
        def forward(x):
            got = scaled_dot_product_attention(self.query, key, value).transpose(1, 2).flatten(2)
            x = x.clone()
            x[..., :WIDTH] += self.weight(self.sigma) * got
            return original(x)

        return forward


def sample(model: ModelPatcher, **options) -> Tensor:
    """Four steps of one picture, of a short prompt alone."""
    conds = [[[text[:, :3], pooled] for text, pooled in each] for each in tiny.conditions("Flux")]
    return tiny.sample(model, "Flux", conds=conds, **{"steps": 4, "cfg": 1.0, "size": (4, 4), **options})


def check(model, monkeypatch, weight, **options):
    with monkeypatch.context() as patched:
        expected = sample(Witness(tokens_of(PICTURES[0]), weight, patched).model, **options)
    found = sample(model, **options)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert (found - sample(world().model, **options)).abs().max() > 0.05


def sigmas() -> list[float]:
    """Those of the four steps."""
    sampling = world().model.get_model_object("model_sampling")
    return comfy.samplers.calculate_sigmas(sampling, "simple", 4)[:4].tolist()


def test_the_first_picture_acts_in_all_rows_and_tokens(monkeypatch):
    """Two pictures, each with a positive and a negative prompt."""
    check(run("ApplyIPAdapterFlux", weight=0.7), monkeypatch, lambda sigma: 0.7, batch=2, cfg=3.0, steps=1)


def test_both_ends_of_the_range_belong_to_it(monkeypatch):
    """The second and the third step are at its ends."""
    percent = 0.25, 0.5
    sampling = world().model.get_model_object("model_sampling")
    first, last = (float(sampling.percent_to_sigma(each)) for each in percent)
    assert sigmas()[1:3] == pytest.approx([first, last])
    model = run("ApplyIPAdapterFlux", weight=-0.8, start_percent=percent[0], end_percent=percent[1])
    check(model, monkeypatch, lambda sigma: -0.8 * (last <= sigma <= first))


def test_the_weight_follows_the_steps_of_the_range(monkeypatch):
    """The first step is not in it."""
    given = {"weight_start": 0.1, "weight_end": 0.9, "start_percent": 0.1}
    known, weights = sigmas(), [0.0, 0.1, 0.5, 0.9]
    at = lambda sigma: weights[min(range(4), key=lambda step: abs(known[step] - sigma))]  # noqa: E731
    check(run("ApplyIPAdapterFluxAdvanced", steps=3, **given), monkeypatch, at)
    single = run("ApplyIPAdapterFluxAdvanced", steps=1, weight_start=0.1, weight_end=0.9)
    check(single, monkeypatch, lambda sigma: 0.9, steps=1)


def test_without_weight_the_model_is_as_it_was():
    zeros = {"weight_start": 0.0, "weight_end": 0.0}
    for model in (run("ApplyIPAdapterFlux", weight=0.0), run("ApplyIPAdapterFluxAdvanced", **zeros)):
        assert torch.equal(sample(model, steps=1), sample(world().model, steps=1))


def test_the_loaders_give_the_adapter_with_the_encoder_that_it_reads(folders):
    given = "a.safetensors", "google/siglip-so400m-patch14-384", "mps"
    save_file(published.halves(world().file), folders / "ipadapter-flux" / "a.safetensors")
    with pytest.raises(ValueError, match="(?s)a.safetensors reads an encoder .*Not found: "):
        CLASSES["IPAdapterFluxLoader"]().load_model(*given)
    save_file(tiny.encoder_file(projection=EMBEDS), folders / "clip_vision" / "b.safetensors", tiny.DESCRIPTION)
    (wire,) = CLASSES["IPAdapterFluxLoader"]().load_model(*given)
    (other,) = CLASSES["IPAdapterFluxLoaderAdvanced"]().load_model_advanced(*given)
    assert as_adapter(wire) is as_adapter(other) and encoder_of(wire) is encoder_of(other)
    assert (as_adapter(wire).name, encoder_of(wire).name) == ("a.safetensors", "tiny CLIP")


@pytest.mark.parametrize(
    ("id", "inputs", "words"),
    [
        ("ApplyIPAdapterFlux", {"ipadapter_flux": None}, "The ipadapter_flux is nothing: connect the output of Load"),
        ("ApplyIPAdapterFlux", {"ipadapter_flux": tiny.adapter(tiny.unet("SD1.5"))}, "is of another kind: connect"),
        ("ApplyIPAdapterFlux", {"model": tiny.unet("SD1.5")}, "an IP-Adapter for Flux, the model is SD1.5"),
        ("ApplyIPAdapterFlux", {"image": PICTURES[0]}, "The image is a tensor of shape"),
        ("ApplyIPAdapterFlux", {"weight": 6}, "The weight is 6"),
        ("ApplyIPAdapterFlux", {"start_percent": 2}, "The start_percent is 2"),
        ("ApplyIPAdapterFlux", {"end_percent": "a"}, "The end_percent is the text 'a'"),
        ("ApplyIPAdapterFluxAdvanced", {"weight_start": 6}, "The weight_start is 6"),
        ("ApplyIPAdapterFluxAdvanced", {"weight_end": 6}, "The weight_end is 6"),
        ("ApplyIPAdapterFluxAdvanced", {"steps": 0}, "The steps is 0"),
    ],
)
def test_bad_input_is_named(id, inputs, words):
    with pytest.raises(ValueError, match=words):
        run(id, **inputs)


def test_a_loader_names_what_it_was_given(folders):
    load = CLASSES["IPAdapterFluxLoader"]().load_model
    with pytest.raises(ValueError, match="a.bin is not in models/ipadapter-flux"):
        load("a.bin", "google/siglip-so400m-patch14-384", "cuda")
    with pytest.raises(ValueError, match="clip_vision is the text 'another': choose one of google/siglip"):
        load("a.bin", "another", "cuda")
    with pytest.raises(ValueError, match="provider is the text 'TPU': choose one of cuda"):
        load("a.bin", "google/siglip-so400m-patch14-384", "TPU")
