"""In ComfyUI's own UNets, each layer gives what the formula of the adapter's family gives for the same query.

tests/ip_adapter compares the tokens of a family with their formula. Letters: B rows, L latent tokens, R references, T
tokens of a reference, C context width, I inner width of a layer.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import pytest
import tiny
import torch
from comfy.model_patcher import ModelPatcher
from test_contributions import Noted, observed
from torch import Tensor
from torch.nn.functional import linear, scaled_dot_product_attention

from image_prompt.devtools import published
from image_prompt.ip_adapter import load_adapter, prepare
from image_prompt.nodes.applying.joint import Joint
from image_prompt.nodes.controls.apply_references import ApplyReferences
from image_prompt.nodes.controls.reference import MakeReference
from image_prompt.nodes.encoding.features import ImageFeatures
from image_prompt.nodes.loading.adapter import AdapterOptions, ImagePromptAdapter
from image_prompt.nodes.loading.face_options import FaceAdapterOptions

KINDS = ("input", "output", "middle")  # the order of layers in files
POSITIONS = 6  # of hidden states; those of PuLID are five, one after the other
BATCH = 2
SIZE = (16, 16)  # of the latent: the smallest grid of tokens is 2 x 2

Block = tuple[str, int, int]  # kind, index, depth


def narrow(shapes: published.Shapes) -> published.Shapes:
    """A resampler with narrow feed-forwards, because those of Kolors have 134 million numbers each."""
    rows, columns = re.compile(r".*layers\.\d\.1\.1\.weight"), re.compile(r".*layers\.\d\.1\.3\.weight")
    shapes = {key: (64, shape[1]) if rows.fullmatch(key) else shape for key, shape in shapes.items()}
    return {key: (shape[0], 64) if columns.fullmatch(key) else shape for key, shape in shapes.items()}


def diffusers_names(shapes: published.Shapes) -> published.Shapes:
    return {key.replace("proj.", "image_embeds."): shape for key, shape in shapes.items()}


IDENTITY = {"face_embeds": (512,)}
RAW = {"face_embeds_raw": (512,)}
PULID = {**RAW, "face_eva_embeds": (768,), "face_eva_hidden": (5 * POSITIONS, 1024)}
TEXTS = {"penultimate": (POSITIONS, 1280), "instruction": (7, 768), "prompt": (7, 768)}


@dataclass(frozen=True)
class Row:
    """A family in the table of this test.

    projection: context width -> shapes
    reads: feature -> its shape for one reference
    nothing: the features that are not zeros in the unconditional rows
    middle: whether the file has layers for the middle block
    """

    family: str
    base: str
    projection: Any
    reads: dict[str, tuple[int, ...]]
    nothing: tuple[str, ...] = ()
    middle: bool = True


ROWS = {
    "portrait SD1.5": Row("faceid-portrait", "SD1.5", lambda context: published.identity(context, 16), IDENTITY),
    "portrait SDXL": Row("faceid-portrait", "SDXL", lambda context: published.identity(context, 16), IDENTITY),
    "unnorm": Row("faceid-portrait-unnorm", "SDXL", lambda context: published.resampler(context, 512, depth=1), RAW),
    "InstantID": Row("instantid", "SDXL", lambda context: published.resampler(context, 512, depth=1), RAW),
    "PuLID v1": Row("pulid-sdxl", "SDXL", lambda context: published.pulid(context, hidden=24), PULID),
    "PuLID v1.1": Row("pulid-sdxl-v1.1", "SDXL", lambda context: published.pulid_former(context, hidden=24), PULID),
    "Art": Row("art", "SDXL", lambda context: diffusers_names(published.base(context, 768)), {"image_embeds": (768,)}),
    "CSGO": Row("csgo", "SDXL", published.content_and_style, {"penultimate": (POSITIONS, 1664)}, middle=False),
    "Instruct SD1.5": Row("instruct", "SD1.5", published.instruct, TEXTS, nothing=tuple(TEXTS)),
    "Instruct SDXL": Row("instruct", "SDXL", published.instruct, TEXTS, nothing=tuple(TEXTS)),
    "Kolors FaceID plus": Row(
        "kolors-faceid-plus",
        "Kolors",
        lambda context: narrow(published.identity_perceiver(4096, width=1024, tokens=6, depth=1)),
        {**RAW, "face_box_penultimate": (POSITIONS, 1024)},
    ),
}
EVERY = pytest.mark.parametrize("name", ROWS)
ONE_OF_EACH = pytest.mark.parametrize(  # way in which tokens come into the layers
    "name", ["portrait SD1.5", "PuLID v1.1", "CSGO", "Instruct SD1.5", "Kolors FaceID plus"]
)
FIELDS = {"penultimate": "penultimate_hidden_states"}
PULIDS = ("PuLID v1", "PuLID v1.1")


@cache
def unet(base: str) -> ModelPatcher:
    if base != "Kolors":
        return tiny.unet(base)
    model = tiny.unet("SDXL")
    model.model.adm_channels = 5632  # by which Kolors is told from SDXL
    model.model.diffusion_model.encoder_hid_proj = tiny.fill(torch.nn.Linear(4096, 2048), 8)
    return model


def sample(base: str, model: ModelPatcher, batch: int = BATCH, **options: Any) -> Tensor:
    return tiny.sample(model, base.replace("Kolors", "SDXL"), size=SIZE, batch=batch, **options)


@cache
def file_of(name: str) -> dict[str, Tensor]:
    file = tiny.file_for(unet(ROWS[name].base), ROWS[name].projection)
    is_middle = re.compile(r"ip_adapter\.1[23]\d\.").match
    return {key: tensor for key, tensor in file.items() if ROWS[name].middle or not is_middle(key)}


@cache
def adapter(name: str) -> ImagePromptAdapter:
    found = tiny.wrapped(file_of(name), ROWS[name].family)
    assert found.module.family.id == ROWS[name].family
    return found


def features(name: str, count: int, seed: int = 2) -> ImageFeatures:
    fields: dict[str, Any] = {
        FIELDS.get(feature, feature): tensor for feature, tensor in drawn(name, count, seed).items()
    }
    if "penultimate" in ROWS[name].nothing:
        nothing = drawn(name, 1, 1)
        fields["negative_penultimate"], fields["negative_instruction"] = nothing["penultimate"], nothing["instruction"]
    return ImageFeatures(**{"negative_penultimate": None, "encoder": "", **fields})


@cache
def drawn(name: str, count: int, seed: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    found = {read: torch.randn(count, *shape, generator=generator) for read, shape in ROWS[name].reads.items()}
    return {**found, "prompt": found["instruction"]} if seed == 1 and "prompt" in found else found


# ------------------------------------------------------------------------------------------------------- the formulas


@dataclass(frozen=True, eq=False)
class Prompt:
    """What acts, as the formulas have it.

    cond, uncond: tokens of each reference, (R, T, C), and of what stands for all of them in negative rows, (1, T, C)
    combine: "add", "orthogonal" or "orthogonal v2"
    mask: on the latent
    by_picture: whether the references are each for a picture, and not all for all
    """

    name: str
    cond: Tensor
    uncond: Tensor
    weight: float = 0.7
    combine: str = "add"
    mask: Tensor | None = None
    by_picture: bool = False

    def added(self, call: "Call") -> Tensor:
        return torch.cat(
            [
                self._rows(call, rows, self.uncond if side else self.cond)
                for side, rows in zip(call.sides, rows_of(call))
            ]
        )

    def _rows(self, call: "Call", rows: slice, tokens: Tensor) -> Tensor:
        """What is added in the rows of one condition."""
        taken = self._taken(tokens, call.block)
        each = taken if self.by_picture and len(taken) > 1 else taken.flatten(0, 1).unsqueeze(0)  # (B or 1, T, C)
        weights = [file_of(self.name)[f"ip_adapter.{2 * call.layer + 1}.to_{letter}_ip.weight"] for letter in "kv"]
        key, value = (linear(each.double(), weight.double()) for weight in weights)
        q, text = call.q[rows].double(), call.text[rows]
        key, value = (found.expand(len(q), -1, -1) for found in (key, value))
        image = attention(q, key, value, call.heads)
        if self.combine != "add":
            shared = (text * image).sum(1, keepdim=True) / (text * text).sum(1, keepdim=True) * text
            kept = identity(q, key, call.heads) if self.combine == "orthogonal v2" else 0.0
            image = image - shared + kept * shared
        return self.weight * image * (1.0 if self.mask is None else resized(self.mask, q.shape[1]))

    def _taken(self, tokens: Tensor, block: Block) -> Tensor:
        """Of CSGO's tokens the down blocks take the first four, of the content, and the up blocks the others."""
        if self.name != "CSGO":
            return tokens
        return tokens[:, :4] if block[0] == "input" else tokens[:, 4:]


def attention(q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
    q, k, v = (x.double().unflatten(-1, (heads, -1)).transpose(1, 2) for x in (q, k, v))
    return scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


def identity(q: Tensor, key: Tensor, heads: int) -> Tensor:
    """PuLID's attention to the first five tokens, which are of the identity, without a scale: (B, L, 1)."""
    q, key = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (q, key))
    return (q @ key.mT).softmax(-1).mean(1)[..., :5].sum(-1, keepdim=True)


def resized(mask: Tensor, tokens: int) -> Tensor:
    """A square mask on the grid of so many tokens, each of which covers whole cells: (1, L, 1)."""
    cells = mask.shape[-1] // round(tokens**0.5)
    return mask.unflatten(-1, (-1, cells)).mean(-1).unflatten(-2, (-1, cells)).mean(-2).flatten().view(1, -1, 1)


def tokens(name: str, given: dict[str, Tensor], zeros: int = 0, options: AdapterOptions = AdapterOptions()) -> Tensor:
    """The tokens of references, (R, T, C), with so many tokens of zeros after those of each."""
    found = plain(name).tokens(given, shortcut=options.shortcut)
    if ROWS[name].family == "kolors-faceid-plus":
        projection = unet("Kolors").model.diffusion_model.encoder_hid_proj
        found = options.text_scale * linear(found, projection.weight, projection.bias)
    return torch.cat([found, torch.zeros(len(found), zeros, found.shape[2])], dim=1)


@cache
def plain(name: str) -> Any:
    """The same adapter without ComfyUI."""
    return load_adapter(file_of(name), family=ROWS[name].family)


def prompt(name: str, count: int = 1, zeros: int = 0, seed: int = 2, **options: Any) -> Prompt:
    given = drawn(name, count, seed)
    nothing = {
        feature: drawn(name, 1, 1)[feature] if feature in ROWS[name].nothing else torch.zeros_like(tensor[:1])
        for feature, tensor in given.items()
    }
    return Prompt(name, tokens(name, given, zeros), tokens(name, nothing, zeros), **options)


def as_trained(name: str, count: int = 1, **options: Any) -> Prompt:
    """PuLID's prompt as "fidelity", those of others as they are."""
    return prompt(name, count, **({"zeros": 8, "combine": "orthogonal v2"} if name in PULIDS else {}), **options)


# ---------------------------------------------------------------------------------------------------------- the calls


@dataclass(frozen=True, eq=False)
class Call:
    """One call of a patched attention.

    layer: the number of the attention in files
    sides: of each condition, whether it is negative
    text: what the text attention alone gives
    """

    block: Block
    layer: int
    heads: int
    sides: Sequence[int]
    q: Tensor
    text: Tensor
    out: Tensor


def rows_of(call: Call) -> list[slice]:
    each = len(call.q) // len(call.sides)
    return [slice(number * each, (number + 1) * each) for number in range(len(call.sides))]


class Watch:
    """A patch that calls another one and notes what it was called with, and what it gave."""

    def __init__(self, patch: Any, block: Block, layer: int, heads: int, calls: list[Call]):
        self.patch, self.block, self.layer, self.heads, self.calls = patch, block, layer, heads, calls

    def __call__(self, q: Tensor, k: Tensor, v: Tensor, options: dict[str, Any]) -> Tensor:
        asked, text = q.clone(), attention(q, k, v, self.heads)
        out = self.patch(q, k, v, options)
        sides = tuple(options["cond_or_uncond"])
        self.calls.append(Call(self.block, self.layer, self.heads, sides, asked, text, out.clone()))
        return out

    def to(self, _: Any) -> "Watch":
        return self

    def models(self) -> list[ModelPatcher]:
        return self.patch.models()


def watched(patched: ModelPatcher) -> tuple[ModelPatcher, list[Call]]:
    patched, calls = patched.clone(), []
    slots = patched.model_options["transformer_options"]["patches_replace"]["attn2"]
    for layer, (block, heads) in enumerate(attentions(patched)):
        slot = next((slot for slot in (block, block[:2]) if slot in slots), None)
        if slot is not None:
            slots[slot] = Watch(slots[slot], block, layer, heads, calls)
    return patched, calls


def attentions(model: ModelPatcher) -> list[tuple[Block, int]]:
    """Each cross-attention with its heads, in the order of files."""
    path = re.compile(r"(input|output|middle)_blocks?\.(\d+)\.(?:\d+\.)?transformer_blocks\.(\d+)\.attn2")
    found = []
    for name, module in model.model.diffusion_model.named_modules():
        if match := path.fullmatch(name):
            kind, index, depth = match.groups()
            found.append(((kind, 0 if kind == "middle" else int(index), int(depth)), module.heads))
    return sorted(found, key=lambda each: (KINDS.index(each[0][0]), *each[0][1:]))


def check(patched: ModelPatcher, *prompts: Prompt, sets: Sequence[tuple[str, int]] | None = None) -> None:
    """Every layer that acts gives the text's attention and what the prompts add, and no other layer is patched.

    sets: the blocks that act; None: all for which the file has layers
    """
    row = ROWS[prompts[0].name]
    patched, calls = watched(patched)
    sample(row.base, patched, steps=1)
    blocks = {block for block, _ in attentions(patched) if row.middle or block[0] != "middle"}
    assert {call.block for call in calls} == {block for block in blocks if sets is None or block[:2] in sets}
    for call in calls:
        added = sum(each.added(call) for each in prompts)
        difference, size = (call.out - call.text - added).abs().max(), call.text.abs().max() + added.abs().max()
        assert difference <= 1e-5 * size, f"{call.block}: differs by {difference:.1e}, of {added.abs().max():.1e}"
        assert added.abs().max() > 1e-2 * call.text.abs().max(), f"{call.block}: what is added would not be missed"


# -------------------------------------------------------------------------------------------------------------- tests


@EVERY
def test_a_reference(name, apply):
    check(apply(unet(ROWS[name].base), adapter(name), features(name, 1), 0.7), as_trained(name))


@EVERY
def test_two_references_share_a_softmax(name, apply):
    patched = apply(unet(ROWS[name].base), adapter(name), features(name, 2), 0.7)
    check(patched, as_trained(name, 2))


def test_five_faces_in_a_portrait_share_a_softmax(apply):
    name = "portrait SD1.5"
    five = as_trained(name, 5)
    assert five.cond.shape[:2] == (5, 16)
    check(apply(unet("SD1.5"), adapter(name), features(name, 5), 0.7), five)


@ONE_OF_EACH
def test_each_picture_of_a_batch_has_its_reference(name, apply):
    patched = apply(unet(ROWS[name].base), adapter(name), features(name, 2), 0.7, batch="one per image")
    check(patched, as_trained(name, 2, by_picture=True))


@pytest.mark.parametrize("name", ["PuLID v1.1", "CSGO", "Kolors FaceID plus"])
def test_references_of_a_film_are_projected_as_they_are_needed(name, apply, monkeypatch):
    """There are too many to keep the keys and values of all."""
    monkeypatch.setattr(prepare, "MANY", 0)
    patched = apply(unet(ROWS[name].base), adapter(name), features(name, 18), 0.7, batch="one per image")
    expected = as_trained(name, 18, by_picture=True)
    check(patched, replace(expected, cond=expected.cond[:BATCH]))


MASK = torch.zeros(1, *SIZE)
MASK[:, :8, :8], MASK[:, 8:] = 1.0, 0.5


@ONE_OF_EACH
def test_a_mask(name, apply):
    patched = apply(unet(ROWS[name].base), adapter(name), features(name, 1), 0.7, mask=MASK)
    check(patched, as_trained(name, mask=MASK[0]))


@ONE_OF_EACH
def test_without_weight_or_steps_the_bits_are_those_without_a_node(name, apply):
    model, given = unet(ROWS[name].base), features(name, 1)
    expected = sample(ROWS[name].base, model, batch=1)
    for options in ({"weight": 0.0}, {"start": 0.3, "end": 0.3}):
        found = sample(ROWS[name].base, apply(model, adapter(name), given, **options), batch=1)
        assert torch.equal(found, expected), options


@ONE_OF_EACH
def test_the_fifth_run_equals_the_first(name, apply):
    patched = apply(unet(ROWS[name].base), adapter(name), features(name, 1), 0.7)
    first, *_, fifth = (sample(ROWS[name].base, patched, batch=1, steps=1) for _ in range(5))
    assert torch.equal(first, fifth)


# -------------------------------------------------------------------------------------------------------------- PuLID


METHODS = {"fidelity": (8, "orthogonal v2"), "style": (16, "orthogonal"), "neutral": (0, "add")}


@pytest.mark.parametrize("name", PULIDS)
@pytest.mark.parametrize("method", METHODS)
def test_methods_of_pulid(name, method, apply):
    zeros, combine = METHODS[method]
    chosen = FaceAdapterOptions.execute(adapter(name), method=method).args[0]
    check(apply(unet("SDXL"), chosen, features(name, 1), 0.7), prompt(name, zeros=zeros, combine=combine))


def test_pulid_reads_the_text_without_what_others_add(apply):
    """Whether it comes before or after them."""
    face, model = "PuLID v1", unet("SDXL")
    art = as_trained("Art", weight=-0.4)
    first = apply(apply(model, adapter(face), features(face, 1), 0.7), adapter("Art"), features("Art", 1), -0.4)
    second = apply(apply(model, adapter("Art"), features("Art", 1), -0.4), adapter(face), features(face, 1), 0.7)
    for patched in (first, second):
        check(patched, as_trained(face), art)


def apply_references(model: ModelPatcher, adapter: ImagePromptAdapter, *references: Any) -> ModelPatcher:
    given = {f"reference_{number}": each for number, each in enumerate(references, 1)}
    return ApplyReferences.execute(model, adapter, given).args[0]


@pytest.mark.parametrize("name", ["PuLID v1.1", "CSGO"])
def test_references_with_a_softmax_and_a_mask_each(name):
    masks = torch.stack((MASK[0], 1 - MASK[0]))
    each = [
        MakeReference.execute(features(name, 1, seed), weight=weight, mask=mask.unsqueeze(0)).args[0]
        for seed, weight, mask in zip((3, 4), (0.7, 0.4), masks)
    ]
    patched = apply_references(unet("SDXL"), adapter(name), *each)
    expected = [
        as_trained(name, seed=seed, weight=weight, mask=mask) for seed, weight, mask in zip((3, 4), (0.7, 0.4), masks)
    ]
    check(patched, *expected)


@pytest.mark.parametrize("name", ["PuLID v1.1", "CSGO"])
def test_what_references_contribute_adds_up(name, apply, monkeypatch):
    """As the influence of each is measured."""
    added, add = [], Joint.add

    def spy(self: Joint, q: Tensor, out: Tensor, *args: Any) -> None:
        before = out.clone()
        add(self, q, out, *args)
        added.append(out - before)

    monkeypatch.setattr(Joint, "add", spy)
    noted = Noted()
    patched = apply(unet("SDXL"), adapter(name), features(name, 2), 0.7)
    sample("SDXL", observed(patched, noted), steps=1)
    assert noted.references == {("cond", 0), ("cond", 1), ("uncond", 0)}
    assert len(noted.sums) == len(added) > 0
    for found, expected in zip(noted.sums, added, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


# --------------------------------------------------------------------------------------------------------------- CSGO

CONTENT = [("input", index) for index in (4, 5, 7, 8)]
STYLE = [("output", index) for index in range(6)]


@pytest.mark.parametrize(
    ("layers", "blocks"),
    [("style", STYLE), ("composition", CONTENT), ("style and composition", STYLE + CONTENT)],
)
def test_layer_sets_of_csgo(layers, blocks, apply):
    patched = apply(unet("SDXL"), adapter("CSGO"), features("CSGO", 2), 0.7, layers=layers)
    check(patched, as_trained("CSGO", 2), sets=blocks)


# ------------------------------------------------------------------------------------------------------------- Kolors


def test_options_of_kolors_faceid(apply):
    name, options = "Kolors FaceID plus", AdapterOptions(shortcut=0.4, text_scale=1.5)
    given = drawn(name, 1, 2)
    nothing = {feature: torch.zeros_like(tensor) for feature, tensor in given.items()}
    expected = replace(
        prompt(name), cond=tokens(name, given, options=options), uncond=tokens(name, nothing, options=options)
    )
    check(apply(unet("Kolors"), adapter(name).with_options(options), features(name, 1), 0.7), expected)


def test_kolors_without_its_projection_of_text_is_refused(apply):
    model = tiny.unet("SDXL")
    model.model.adm_channels = 5632
    with pytest.raises(ValueError, match="encoder_hid_proj, which this model does not have: load Kolors with nodes"):
        apply(model, adapter("Kolors FaceID plus"), features("Kolors FaceID plus", 1))
