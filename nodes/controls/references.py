"""Make image prompts for a model of references: what the nodes that take several have in common."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from comfy.model_patcher import ModelPatcher
from comfy_api.latest import io

from ...ip_adapter import SCALINGS, WEIGHT_LIMIT, Features, Strength
from .. import input_checks
from ..applying.attach import image_prompt, matching_sites
from ..applying.image_prompt import ImagePrompt, Rules
from ..applying.masks import Place
from ..encoding.adapter_features import negative_features, reference_features
from ..loading.adapter import ImagePromptAdapter
from ..sockets import ImagePromptType
from .mask_shapes import enlarged, normalised
from .reference import Reference, References

JOINING = ("one softmax each", "concat")
OVERLAP = ("add", "normalise")
EXACT = Rules(beyond="refuse")
ROUNDING = 1e-6
PREFIX = "reference_"  # of the names of sockets, before their numbers
SOCKET = re.compile(PREFIX + r"\d+", re.ASCII)
MOST = 50  # references of one node: sockets that ComfyUI draws

ALIKE: Mapping[str, str] = {  # what references that share a softmax have in common -> what to call it
    "arrangement": "combining",
    "frames": "frame or step weights",
    "course": "start, end or step weights",
    "layers": "layers",
    "scaling": "scaling",
    "mask": "mask",
}


def sockets() -> io.Input:
    """The input for references, which grows."""
    return io.Autogrow.Input(
        "references",
        template=io.Autogrow.TemplatePrefix(
            ImagePromptType.Input("reference", tooltip="A reference, from Image Prompt Reference, or several."),
            prefix=PREFIX,
            min=0,
            max=MOST,
        ),
        tooltip="Any number of references; a free socket appears as soon as the last one is used.",
    )


def inputs() -> list[io.Input]:
    """The inputs for references and for how they act together."""
    return [
        sockets(),
        io.Combo.Input(
            "joining",
            options=list(JOINING),
            default=JOINING[0],
            optional=True,
            advanced=True,
            tooltip="How references act together. one softmax each: each for itself, and all are added. concat: the "
            "model looks at all at once, in one softmax; they need the same mask, layers and steps.",
        ),
        io.Combo.Input(
            "overlap",
            options=list(OVERLAP),
            default=OVERLAP[0],
            optional=True,
            advanced=True,
            tooltip="Where masks overlap. add: the references act on top of each other. normalise: they share, so "
            "that the masks add up to no more than 1; one without a mask counts as everywhere. Layers and steps do "
            "not matter for it, and references joined by concat are left as they are.",
        ),
    ]


def check_sockets(unknown: Mapping[str, object]) -> None:
    """Refuse inputs that the node does not have, such as misspelt sockets in a prompt of the API."""
    if unknown:
        raise ValueError(
            f"There is no input {min(unknown)}: references are references.reference_0 to "
            f"references.reference_{MOST - 1}."
        )


def read_references(given: Mapping[str, object], joining: str, overlap: str) -> list[Reference]:
    """The references that act, in the order of their sockets, with their masks normalised if that is asked for.

    Raises:
        ValueError: an input is no reference, two have one name, or their masks do not fit together.
    """
    input_checks.choice(joining, JOINING, "joining")
    input_checks.choice(overlap, OVERLAP, "overlap")
    found = numbered(given)
    names = names_of(found)
    acting = [replace(each, name=names[number]) for number, each in found.items() if not each.is_nothing]
    # references that share one softmax share their strength too, and have the same mask
    return _normalised(acting) if overlap == "normalise" and joining != "concat" else acting


def numbered(given: Mapping[str, object]) -> dict[int, Reference]:
    """What is connected, by the numbers by which people call references: those of their sockets, counted from 1.

    A socket that holds several gives them its number and the next ones. Then the sockets behind it go on from there.

    Raises:
        ValueError: an input is no reference.
    """
    found = dict[int, Reference]()
    for number, each in _in_order(given):
        for reference in _several(each, f"reference {number}"):
            found[max(number, max(found, default=0) + 1)] = reference
    return found


def _several(given: object, name: str) -> Sequence[Reference]:
    if given is None or isinstance(given, References):
        return given or ()
    return [input_checks.expect(given, Reference, name, "connect the output of Image Prompt Reference")]


def names_of(references: Mapping[int, Reference]) -> dict[int, str]:
    """What to call references, by their numbers.

    Raises:
        ValueError: two have one name.
    """
    names = {number: each.name or f"reference {number}" for number, each in references.items()}
    if repeated := [name for name, count in Counter(names.values()).items() if count > 1]:
        raise ValueError(f"Two references are called {min(repeated)}: give each another name, or none.")
    return names


def _normalised(references: Sequence[Reference]) -> list[Reference]:
    """The references with masks that add up to at most 1, where each picture with a softmax of its own counts.

    Raises:
        ValueError: masks of each picture of a batch meet masks of each picture of a reference.
    """
    several = [each for each in references if each.has_mask_of_each and each.pictures > 1]
    film = [each for each in references if not each.has_mask_of_each and each.mask is not None and len(each.mask) > 1]
    if several and film:
        raise ValueError(
            f"{several[0].name} has a mask for each of its {several[0].pictures} pictures, and {film[0].name} one for "
            "each picture of the batch, so their overlap cannot be normalised: make a reference of each picture of "
            f"{several[0].name}, or choose {OVERLAP[0]!r} for overlap."
        )
    own = [_masks(each) for each in references]
    masks = iter(normalised([mask for some in own for mask in some]))
    lowered = [[next(masks) for _ in some] for some in own]
    return [
        replace(each, mask=_together(some) if each.has_mask_of_each else some[0])
        for each, some in zip(references, lowered, strict=True)
    ]


def _together(masks: Sequence[torch.Tensor | None]) -> torch.Tensor:
    """Masks (1, H, W) of several sizes as one batch."""
    given = [mask for mask in masks if mask is not None]
    size = max(mask.shape[-2] for mask in given), max(mask.shape[-1] for mask in given)
    return torch.cat([enlarged(mask, size) for mask in given])


def _masks(reference: Reference) -> list[torch.Tensor | None]:
    """The mask of each softmax of a reference."""
    if reference.has_mask_of_each and reference.mask is not None:
        return list(reference.mask.split(1))
    return [reference.mask] * (reference.pictures if reference.arrangement == "each" else 1)


def image_prompts(
    model: ModelPatcher, adapter: ImagePromptAdapter, references: Sequence[Reference], joining: str = JOINING[0]
) -> list[ImagePrompt]:
    """Make image prompts of references: one for each, or one of all if these share a softmax.

    Raises:
        ValueError: a reference fits neither the adapter nor the model, or those that share a softmax act differently.
    """
    matching_sites(model, adapter)  # before the features, whose encoder does not matter if the model is another
    features = [_features(adapter, each) for each in references]
    if joining == "concat" and len(references) > 1:
        _check_alike(references)
        first, weight = references[0], max((each.weight for each in references), key=abs)
        (factors_cond, factors_uncond) = (
            tuple(each.weight / weight for each, pair in zip(references, features) for _ in range(_rows(pair[side])))
            for side in (0, 1)
        )
        factors = None if {*factors_cond, *factors_uncond} == {1.0} else (factors_cond, factors_uncond)
        cond, uncond = (
            {name: torch.cat([pair[side][name] for pair in features]) for name in features[0][side]} for side in (0, 1)
        )
        names = tuple(name for each, pair in zip(references, features) for name in _names(each, _rows(pair[0])))
        how = _acting(model, adapter, replace(first, weight=weight))
        title = " and ".join(each.name for each in references)
        return [
            image_prompt(model, adapter, cond, uncond, *how, rules=EXACT, factors=factors, title=title, names=names)
        ]
    return [
        image_prompt(
            model,
            adapter,
            cond,
            uncond,
            *_acting(model, adapter, each),
            arrangement=each.arrangement,
            rules=EXACT,
            title=each.name,
            names=_names(each, _rows(cond)),
        )
        for each, (cond, uncond) in zip(references, features, strict=True)
    ]


def _acting(model: ModelPatcher, adapter: ImagePromptAdapter, reference: Reference) -> tuple[Strength, Place]:
    """How a reference acts on the model."""
    matched = {site.block: layer for site, layer in matching_sites(model, adapter).items()}
    shares = reference.layers.shares(list(matched), adapter.module.layer_sets)
    layers = {matched[block]: share for block, share in shares.items()}
    strength = Strength(reference.weight, layers, reference.course, reference.frames, reference.scaling)
    if strength.largest > WEIGHT_LIMIT + ROUNDING:
        raise ValueError(
            f"The weights of {reference.name} multiply to {strength.largest:g}, at most {WEIGHT_LIMIT:g} is allowed in "
            "any layer, step and picture: lower its weight, or its layer, step or frame weights."
        )
    return strength, Place(reference.mask)


def _features(adapter: ImagePromptAdapter, reference: Reference) -> tuple[Features, Features]:
    cond = reference_features(adapter.module, reference.features, f"features of {reference.name}")
    uncond = negative_features(adapter.module, reference.features, reference.negative, f"features of {reference.name}")
    rows, masks = _rows(cond), 0 if reference.mask is None else len(reference.mask)
    negatives = _rows(uncond)
    if reference.arrangement == "each" and negatives not in (0, 1, rows):  # 0: nobody's
        raise ValueError(
            f"{reference.name} has {rows} pictures with a softmax each and {negatives} negative images: give one "
            f"negative image, or {rows}."
        )
    if reference.arrangement == "by picture" and rows > 1 and masks > 1 and rows != masks:
        raise ValueError(
            f"{reference.name} has {rows} pictures and {masks} masks, and acts one per image: give one mask, or {rows}."
        )
    return cond, uncond


def _check_alike(references: Sequence[Reference]) -> None:
    first = references[0]
    for other in references[1:]:
        for field, word in ALIKE.items():
            if not _same(getattr(first, field), getattr(other, field)):
                raise ValueError(
                    f"{first.name} and {other.name} share one softmax, because joining is 'concat', but differ in "
                    f"their {word}: give both the same, or choose {JOINING[0]!r}."
                )
    if SCALINGS[first.scaling] and len({each.weight for each in references}) > 1:
        raise ValueError(
            f"The references share one softmax, because joining is 'concat', and the scaling {first.scaling} gives "
            f"their keys one weight, but they have several: give all the same, or choose {JOINING[0]!r}."
        )
    if first.arrangement != "together":
        raise ValueError(
            f"{first.name} is not combined by concat, but shares one softmax with others, because joining is 'concat': "
            f"choose concat for it too, or {JOINING[0]!r} for joining."
        )


def _same(one: object, two: object) -> bool:
    if isinstance(one, torch.Tensor) and isinstance(two, torch.Tensor):
        return torch.equal(one, two)
    return one is two if isinstance(one, torch.Tensor) or isinstance(two, torch.Tensor) else one == two


def _in_order(given: Mapping[str, object]) -> list[tuple[int, object]]:
    """What is connected, with the numbers of the sockets, counted from 1."""
    input_checks.expect(given, Mapping, "references", "connect the outputs of Image Prompt Reference")
    check_sockets({name: each for name, each in given.items() if not SOCKET.fullmatch(name)})
    numbered = [(int(name.removeprefix(PREFIX)) + 1, each) for name, each in given.items()]
    return sorted(numbered, key=lambda pair: pair[0])


def _rows(features: Features) -> int:
    return len(next(iter(features.values())))


def _names(reference: Reference, count: int) -> tuple[str, ...]:
    if count == 1:
        return (reference.name,)
    return tuple(f"{reference.name}, picture {number}" for number in range(1, count + 1))
