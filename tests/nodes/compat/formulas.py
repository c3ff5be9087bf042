"""What the nodes of cubiq/ComfyUI_IPAdapter_plus compute, written out plainly and apart from the code under test.

Keys, values and attention are in float64, so that what differs is the rounding of the code under test.

Letters: N rows of features, P pictures of a batch, R references in one sequence, T tokens of each, C context width,
B rows of a call, L latent tokens, I width of a layer.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate, layer_norm, linear, pad, scaled_dot_product_attention
from torchvision.transforms import v2

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)

# ------------------------------------------------------------------------------------------------ pictures, features


def pixel_values(images: Tensor, mask: Tensor | None = None, size: int = 224) -> Tensor:
    """Pictures (N, H, W, 3) -> what the encoder reads, (N, 3, size, size). A mask multiplies the normalised pixels."""
    short = min(images.shape[1:3])
    sides = [round(size * side / short) for side in images.shape[1:3]]
    pixels = images.movedim(-1, 1)
    if sides != list(images.shape[1:3]):
        pixels = resized(pixels, *sides)
    pixels = (255.0 * cropped(pixels, size)).clamp(0, 255).round() / 255.0
    pixels = (pixels - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    return pixels if mask is None else pixels * square_mask(mask, size)


def square_mask(mask: Tensor, size: int) -> Tensor:
    """A mask for an encoder: the square in the middle, as large as the picture. (N, H, W) -> (N, 1, size, size)."""
    found = mask.unsqueeze(1)
    return found if found.shape[2:] == (size, size) else resized(cropped(found, min(found.shape[2:])), size, size)


def resized(pixels: Tensor, height: int, width: int) -> Tensor:
    return interpolate(pixels, (height, width), mode="bicubic", antialias=True, align_corners=False)


def cropped(pixels: Tensor, size: int) -> Tensor:
    """The square in the middle. (N, C, H, W) -> (N, C, size, size)."""
    top, left = ((side - size) // 2 for side in pixels.shape[2:])
    return pixels[:, :, top : top + size, left : left + size]


def noisy(images: Tensor, noise: float) -> Tensor:
    """The negative picture that nodes before 2024 made of references (N, 224, 224, 3)."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        moved = v2.Compose(
            [
                v2.ElasticTransform(alpha=75.0, sigma=noise * 3.5),
                v2.RandomVerticalFlip(p=1.0),
                v2.RandomHorizontalFlip(p=1.0),
            ]
        )(images.movedim(-1, 1)).movedim(1, -1)
        return moved + (0.25 * (1 - noise) + 0.05) * torch.randn_like(moved)


def black(count: int = 1, size: int = 224) -> Tensor:
    return torch.zeros(count, size, size, 3)


def held(rows: Tensor, count: int) -> Tensor:
    """The first rows, or all of them and the last one again."""
    return torch.stack([rows[min(number, len(rows) - 1)] for number in range(count)])


def combined(rows: Tensor, method: str) -> Tensor:
    """Several rows of features as one; "concat" keeps them."""
    if method == "concat" or len(rows) == 1:
        return rows
    if method == "subtract":
        return (rows[0] - rows[1:].mean(0)).unsqueeze(0)
    if method == "norm average":
        return (rows / (rows * rows).sum(0).sqrt()).mean(0, keepdim=True)
    return {"add": rows.sum(0, keepdim=True), "average": rows.mean(0, keepdim=True)}[method]


def base_tokens(features: Tensor, image_proj: dict[str, Tensor]) -> Tensor:
    """The projection of a base adapter: (N, D) -> (N, T, C)."""
    context = len(image_proj["norm.weight"])
    tokens = linear(features, image_proj["proj.weight"], image_proj["proj.bias"]).unflatten(-1, (-1, context))
    return layer_norm(tokens, (context,), image_proj["norm.weight"], image_proj["norm.bias"])


# ------------------------------------------------------------------------------------------------------------- tiles


def sharpened(images: Tensor, amount: float) -> Tensor:
    """Contrast-adaptive sharpening of pictures (N, H, W, C)."""
    _, height, width, _ = images.shape
    around = pad(images.movedim(-1, 1), (1, 1, 1, 1))
    a, b, c, d, e, f, g, h, i = (around[:, :, y : y + height, x : x + width] for y in range(3) for x in range(3))
    cross, corners = torch.stack([b, d, e, f, h]), torch.stack([a, c, g, i])
    low = cross.amin(0).clamp(min=0) + corners.amin(0).clamp(min=0)
    high = cross.amax(0).clamp(max=1) + corners.amax(0).clamp(max=1)
    factor = -((torch.minimum(low, 2 - high) / high).sqrt()) * (amount * (1 / 5 - 1 / 8) + 1 / 8)
    return (((b + d + f + h) * factor + e) / (1 + 4 * factor)).nan_to_num(0).clamp(0, 1).movedim(1, -1)


def lanczos(images: Tensor, height: int, width: int) -> Tensor:
    """Resize pictures (N, H, W, 3) with 8 bits, to which they are cut off."""
    eight = [Image.fromarray((image * 255).clamp(0, 255).to(torch.uint8).numpy()) for image in images]
    resampled = (image.resize((width, height), Image.Resampling.LANCZOS) for image in eight)
    return (
        torch.stack(
            [
                torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8).view(height, width, 3)
                for image in resampled
            ]
        ).float()
        / 255.0
    )


@dataclass(frozen=True)
class Tile:
    """A tile of pictures, (N, 256, 256, 3), the mask of its part, (M, 256, 256), and that of the whole, (M, H, W)."""

    pictures: Tensor
    inner: Tensor
    mask: Tensor


def tiles(images: Tensor, mask: Tensor | None = None, sharpening: float = 0.0) -> list[Tile]:
    """The tiles of the tiled nodes, row by row."""
    height, width = images.shape[1:3]
    masks = torch.ones(1, 1, height, width) if mask is None else resized(mask.unsqueeze(1), height, width)
    if 0.75 < height / width < 1.33:
        short = min(height, width)
        images, masks, sides = cropped(images.movedim(-1, 1), short).movedim(1, -1), cropped(masks, short), (512, 512)
    else:
        long = int(256 * max(height, width) / min(height, width))
        sides = (long, 256) if height > width else (256, long)
    pictures, masks = lanczos(images, *sides), resized(masks, *sides)
    if max(sides) > 1024:
        over = (max(sides) - 1024) // 2
        axis = 1 if sides[0] > 1024 else 2
        pictures, masks = pictures.narrow(axis, over, 1024), masks.narrow(axis + 1, over, 1024)
    if sharpening > 0:
        pictures = sharpened(pictures, sharpening)
    places = [(top, left) for top in starts(pictures.shape[1]) for left in starts(pictures.shape[2])]
    return [tile(pictures, masks[:, 0], top, left) for top, left in places]


def tile(pictures: Tensor, mask: Tensor, top: int, left: int) -> Tile:
    """The tile at a place, which does not act outside."""
    here, whole = (slice(None), slice(top, top + 256), slice(left, left + 256)), torch.zeros_like(mask)
    whole[here] = mask[here]
    return Tile(pictures[here], mask[here], whole)


def starts(length: int) -> list[int]:
    count = math.ceil(length / 256)
    overlap = (256 * count - length) / (count - 1) if count > 1 else 0
    return [int(number * (256 - overlap)) for number in range(count)]


def quarters(images: Tensor, across: int) -> list[Tensor]:
    """Pictures (N, H, W, 3) cut into across x across tiles of their own, row by row."""
    height, width = images.shape[1] // across, images.shape[2] // across
    return [
        images[:, row * height : (row + 1) * height, column * width : (column + 1) * width]
        for row in range(across)
        for column in range(across)
    ]


def joined_tokens(tokens: Sequence[Tensor], across: int) -> Tensor:
    """Hidden states (N, 1 + p p, W) of tiles, row by row, as those of one picture."""
    first = torch.stack([each[:, :1] for each in tokens]).mean(0)
    side = math.isqrt(tokens[0].shape[1] - 1)
    grids = [each[:, 1:].movedim(1, -1).unflatten(-1, (side, side)) for each in tokens]
    return torch.cat([first, pooled(grids, across).flatten(2).movedim(-1, 1)], dim=1)


def joined_embeds(embeds: Sequence[Tensor], across: int) -> Tensor:
    """Embeds (N, D) of tiles as those of one picture: each is taken for a square of numbers."""
    side = math.isqrt(embeds[0].shape[1])
    return pooled([each.view(len(each), 1, side, side) for each in embeds], across).flatten(1)


def pooled(grids: Sequence[Tensor], across: int) -> Tensor:
    rows = [torch.cat(list(grids[start : start + across]), dim=-1) for start in range(0, len(grids), across)]
    whole = torch.cat(rows, dim=-2)
    height, width = grids[0].shape[-2:]
    return whole.unflatten(-1, (width, across)).unflatten(-3, (height, across)).mean((-1, -3))


def enhanced(whole: Tensor, of_tiles: Tensor, ratio: float) -> Tensor:
    """What a picture and its tiles give together: (N, ...) -> two rows for one picture, else N rows."""
    if len(whole) == 1:
        return torch.cat([ratio * whole, of_tiles])
    return ratio * whole + (1 - ratio) * of_tiles


# ------------------------------------------------------------------------------------------------------------ layers

BLOCKS = {  # in the order of execution: block, number of its attentions
    "SD1.5": [
        *(("input", index, 1) for index in (1, 2, 4, 5, 7, 8)),
        ("middle", 0, 1),
        *(("output", index, 1) for index in range(3, 12)),
    ],
    "SDXL": [
        ("input", 4, 2),
        ("input", 5, 2),
        ("input", 7, 10),
        ("input", 8, 10),
        ("middle", 0, 10),
        *(("output", index, 10 if index < 3 else 2) for index in range(6)),
    ],
}
MIDDLE = {"SD1.5": 6, "SDXL": 4}


@dataclass(frozen=True)
class Acting:
    """What acts in a block.

    weight: for all pictures, or for each
    swapped: the reference is for the negative rows, and the positive rows get nothing
    composition: the tokens are those of the picture for composition
    """

    weight: float | Sequence[float]
    swapped: bool = False
    composition: bool = False


Plan = dict[int, Acting]  # by the number of the block in the order of execution


def times(weight: float | Sequence[float], factor: float) -> float | list[float]:
    return weight * factor if isinstance(weight, int | float) else [each * factor for each in weight]


CURVES: dict[str, Callable[[float], float]] = {
    "linear": lambda r: 1.0,
    "ease in": lambda r: 0.05 + 0.95 * (1 - r),
    "ease out": lambda r: 0.05 + 0.95 * r,
    "ease in-out": lambda r: 0.05 + 0.95 * (1 - abs(2 * r - 1)),
    "reverse in-out": lambda r: 0.05 + 0.95 * abs(2 * r - 1),
}
WEAK = {"weak input": ("input",), "weak output": ("output",), "weak middle": ("middle",)}
STYLE = {"SD1.5": (*range(4), *range(9, 16)), "SDXL": (6,)}
COMPOSITION = {"SD1.5": {4: 0.25, 5: 1.0}, "SDXL": {3: 1.0}}
STRONG = {"SD1.5": (*range(4), *range(7, 16)), "SDXL": (*range(3), *range(5, 11))}
OPPOSED = {
    "SD1.5": {**dict.fromkeys(STYLE["SD1.5"], 1.0), 7: 0.1, 8: 0.1},
    "SDXL": dict.fromkeys(range(11), 0.1) | {6: 1.0},
}


def plan(
    weight_type: str,
    base: str,
    weight: float | Sequence[float] = 1.0,
    *,
    composition: float | Sequence[float] = 1.0,
    boost: float | Sequence[float] | None = None,
    middle: bool = False,
) -> Plan:
    """What acts in which block. The middle block was left out after September 2024."""
    given = weight if boost is None else boost
    style = {number: Acting(weight) for number in STYLE[base]}
    layout = {number: Acting(times(weight, factor)) for number, factor in COMPOSITION[base].items()}
    own = {number: Acting(times(composition, factor), composition=True) for number, factor in COMPOSITION[base].items()}
    away = {number: Acting(times(given, factor), True) for number, factor in COMPOSITION[base].items()}
    opposed = {number: Acting(times(given, factor), True) for number, factor in OPPOSED[base].items()}
    lists = {
        "style transfer": style,
        "composition": layout,
        "strong style transfer": {number: Acting(weight) for number in STRONG[base]},
        "style and composition": style | own,
        "strong style and composition": {number: Acting(weight) for number in range(len(BLOCKS[base]))}
        | (own if base == "SDXL" else {}),
        "style transfer precise": style | away,
        "composition precise": opposed | layout,
    }
    found = lists.get(weight_type) or {
        number: Acting(times(weight, multiplier(weight_type, kind, number / len(BLOCKS[base]))))
        for number, (kind, _, _) in enumerate(BLOCKS[base])
    }
    return {number: each for number, each in sorted(found.items()) if middle or number != MIDDLE[base]}


def multiplier(weight_type: str, kind: str, depth: float) -> float:
    if weight_type == "strong middle":
        return 1.0 if kind == "middle" else 0.2
    return 0.2 if kind in WEAK.get(weight_type, ()) else CURVES.get(weight_type, CURVES["linear"])(depth)


def listed(text: str, base: str, weight: float = 1.0, precise: str = "", middle: bool = False) -> Plan:
    """The layer weights that someone typed in, "3:2.5, 6:1"; a precise weight type says which of them are swapped."""
    pairs = [each.split(":") for each in text.split(",") if each.strip()]
    given = {int(number): Acting(float(factor) * weight) for number, factor in pairs}
    roles = plan(precise or "linear", base, middle=True)
    return {
        number: replace(each, swapped=number in roles and roles[number].swapped)
        for number, each in given.items()
        if 0 <= number < len(BLOCKS[base]) and (middle or number != MIDDLE[base])
    }


# --------------------------------------------------------------------------------------------------------- attention


def attention(q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
    q, k, v = (x.double().unflatten(-1, (heads, -1)).transpose(1, 2) for x in (q, k, v))
    return scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


@dataclass(frozen=True)
class Layer:
    """The weights of an adapter for one layer, (I, C) in float64 each, and the heads of the attention."""

    to_k: Tensor
    to_v: Tensor
    heads: int


def image_attention(q: Tensor, tokens: Tensor, layer: Layer, weight: Tensor, scaling: str) -> Tensor:
    """Attention of rows (B, L, I) to the tokens (B, R, T, C) of R references, at a weight for each row (B,)."""
    k, v = (tokens.double() @ each.T for each in (layer.to_k, layer.to_v))
    weight = weight.double().view(-1, 1, 1, 1)
    if "C penalty" in scaling:
        weight = weight * k.shape[-1] / 1280
    if scaling == "V only":
        return weight[:, 0] * attention(q, k.flatten(1, 2), v.flatten(1, 2), layer.heads)
    if "mean(V)" in scaling:
        mean = v.mean(2, keepdim=True)
        v = (v - mean) + weight * mean
    else:
        v = weight * v
    return attention(q, (weight * k).flatten(1, 2), v.flatten(1, 2), layer.heads)


def mask_rows(mask: Tensor, grid: tuple[int, int], pictures: int, mode: str = "bilinear") -> Tensor:
    """The masks of pictures on the grid of a layer: (M, H, W) -> (P, L, 1)."""
    found = interpolate(mask.unsqueeze(1).float(), grid, mode=mode, align_corners=False)
    return held(found.flatten(1).unsqueeze(-1), pictures)


def added(
    q: Tensor,
    order: Sequence[int],
    positive: Tensor,
    negative: Tensor,
    layer: Layer,
    acting: Acting,
    scaling: str = "V only",
    mask: Tensor | None = None,
) -> Tensor:
    """What an image prompt adds to the text attention.

    order: of each chunk of the rows, which condition it is: 1 is the negative one, all others are positive
    positive, negative: tokens for each picture or for all, (P or 1, R, T, C)
    mask: (P, L, 1)
    """
    parts = []
    for index, rows in zip(order, q.chunk(len(order)), strict=True):
        if acting.swapped and index != 1:
            parts.append(torch.zeros_like(rows, dtype=torch.float64))
            continue
        tokens = negative if index == 1 and not acting.swapped else positive
        given = acting.weight if isinstance(acting.weight, Sequence) else [acting.weight]
        weight = held(torch.tensor(given, dtype=torch.float64), len(rows))
        out = image_attention(rows, tokens.expand(len(rows), -1, -1, -1), layer, weight, scaling)
        parts.append(out if mask is None else out * mask)
    return torch.cat(parts)
