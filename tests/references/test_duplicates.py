"""Hashes against PIL and numpy; groups against loops over all pairs in float64."""

import io
import itertools

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter

from image_prompt.references.duplicates import Group, dhash, distance, pairs, same_file, same_picture, similar, unique

PHOTO = (360, 288)  # a width that is a multiple of 9, a height of 8


def photo(seed: int, size: tuple[int, int] = PHOTO) -> Image.Image:
    """Soft shapes and some grain."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (7, 9, 3), dtype=np.uint8)).resize(size, Image.Resampling.BICUBIC)
    grain = rng.normal(0, 3, (size[1], size[0], 3))
    return Image.fromarray((np.asarray(coarse) + grain).clip(0, 255).astype(np.uint8))


def jpeg(image: Image.Image, quality: int) -> Image.Image:
    written = io.BytesIO()
    image.save(written, "jpeg", quality=quality)
    return Image.open(written)


def bits(steps: np.ndarray) -> int:
    return int("".join("01"[bool(step)] for step in steps.flatten()), 2)


@pytest.mark.parametrize("seed", range(8))
def test_a_hash_is_that_of_the_means_that_pil_makes(seed):
    image = photo(seed)
    red, green, blue = (np.asarray(band, np.float64) for band in image.split())
    grey = Image.fromarray((0.299 * red + 0.587 * green + 0.114 * blue).astype(np.float32))
    cells = np.asarray(grey.resize((9, 8), Image.Resampling.BOX))
    assert dhash(image) == bits(np.diff(cells, axis=1) > 0.5)


@pytest.mark.parametrize("size", [(5, 3), (9, 8), (31, 47), (1, 1)])
def test_cells_of_parts_of_pixels_are_exact_means(size):
    """As if each pixel were 9x8 equal ones."""
    pixels = np.random.default_rng(1).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    grey = pixels.astype(np.float64) @ [0.299, 0.587, 0.114]
    cells = np.kron(grey, np.ones((8, 9))).reshape(8, size[1], 9, size[0]).mean(axis=(1, 3))
    assert dhash(torch.from_numpy(pixels)) == bits(np.diff(cells, axis=1) > 0.5)


def test_a_hash_is_equal_for_pil_images_and_for_tensors():
    image = photo(3, (123, 77))
    pixels = torch.from_numpy(np.asarray(image).copy())
    assert dhash(image) == dhash(pixels) == dhash(pixels.float() / 255) == dhash(pixels[None])
    clear = image.convert("RGBA")
    clear.putalpha(Image.linear_gradient("L").rotate(90).resize(image.size))
    assert dhash(clear) == dhash(torch.from_numpy(np.asarray(clear).copy())) != dhash(image)
    turned = image.transpose(Image.Transpose.ROTATE_90)
    turned.getexif()[0x0112] = 6  # to be turned back
    assert dhash(turned) == dhash(image)


def test_the_hash_of_a_picture_stays_near_when_it_is_encoded_or_resized_and_is_far_from_others():
    hashes = [dhash(photo(seed)) for seed in range(12)]
    for seed, expected in enumerate(hashes):
        image = photo(seed)
        for other in (
            jpeg(image, 60),
            image.resize((517, 413), Image.Resampling.LANCZOS),
            jpeg(image.resize((90, 72), Image.Resampling.BILINEAR), 80),
            image.filter(ImageFilter.GaussianBlur(2)),
        ):
            assert distance(dhash(other), expected) <= 4
    assert min(distance(a, b) for a, b in itertools.combinations(hashes, 2)) > 8


def test_flat_pictures_have_no_steps_whatever_their_noise():
    noise = np.random.default_rng(0).integers(0, 2, (200, 200, 3), dtype=np.uint8)
    assert dhash(Image.fromarray(noise + 200)) == dhash(Image.new("RGB", (64, 64), "red")) == 0
    bright = np.tile(np.linspace(0, 255, 90, dtype=np.uint8), (80, 1))
    assert dhash(Image.fromarray(bright)) == (1 << 64) - 1


def test_hashes_of_several_pictures_or_none_are_refused():
    with pytest.raises(ValueError, match="A batch of 2 pictures has no hash"):
        dhash(torch.zeros(2, 8, 9, 3))
    for broken in (torch.zeros(3), torch.full((8, 9, 3), torch.nan), torch.zeros(0, 9, 3)):
        with pytest.raises(ValueError):
            dhash(broken)


def test_distances_count_bits_of_all_signs():
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randint(-(2**63), 2**63 - 1, (2, 500), generator=generator)
    a[:3], b[:3] = torch.tensor([0, -1, 1]), torch.tensor([-1, -1, -(2**63)])
    expected = [((int(x) ^ int(y)) & (1 << 64) - 1).bit_count() for x, y in zip(a, b, strict=True)]
    assert pairs.distances(a, b).tolist() == expected and expected[:3] == [64, 0, 2]


def vectors(count: int, seed: int, groups: int = 12, width: int = 32) -> torch.Tensor:
    """Some are far from all others, some near to a few: cosines lie on both sides of every threshold, also closely."""
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(groups, width, generator=generator)
    near = centres[torch.randint(0, groups, (count,), generator=generator)]
    rows = (
        near + 0.25 * torch.randn(count, width, generator=generator) * torch.rand(count, 1, generator=generator) ** 0.5
    )
    return torch.nn.functional.normalize(rows, dim=1)


def alike(rows: torch.Tensor, threshold: float, hashes: list[int | None] | None) -> np.ndarray:
    wide = rows.double().numpy()
    found = np.array([(wide * row).sum(axis=1) for row in wide]) > threshold
    if hashes:
        near = [[a is not None and b is not None and (a ^ b).bit_count() <= 4 for a in hashes] for b in hashes]
        found &= np.array(near)
    return found


def by_chains(found: np.ndarray, order: list[int]) -> dict[int, int]:
    """The kept one of each: the first of all that can be reached."""
    kept: dict[int, int] = {}
    for start in order:
        reached, ahead = set(), [start]
        while ahead:
            here = ahead.pop()
            if here not in reached and here not in kept:
                reached.add(here)
                ahead += np.flatnonzero(found[here]).tolist()
        kept |= dict.fromkeys(reached, start)
    return kept


def by_kept(found: np.ndarray, order: list[int]) -> dict[int, int]:
    kept: dict[int, int] = {}
    for here in order:
        kept[here] = next((other for other in kept if kept[other] == other and found[here][other]), here)
    return kept


def as_groups(kept: dict[int, int], why: str) -> list[Group]:
    return [
        Group(first, others, why)
        for first in sorted(set(kept.values()))
        if (others := tuple(sorted(other for other in kept if kept[other] == first != other)))
    ]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("chain, rule", [(True, by_chains), (False, by_kept)])
@pytest.mark.parametrize("hashed", [False, True])
def test_groups_are_those_of_loops_over_all_pairs(monkeypatch, dtype, chain, rule, hashed):
    """In blocks, on processors of all kinds, and with vectors as a library keeps them."""
    monkeypatch.setattr(pairs, "BLOCK", 37)
    monkeypatch.setattr(pairs, "fast_dtype", lambda many: dtype)
    rows = vectors(200, seed=int(chain)).half()
    rng = np.random.default_rng(0)
    sizes = rng.integers(1, 20, 200).tolist()
    hashes = [
        None if x > 0.9 else ((1 << 63) + (int(x * 30) << 40)) ^ (1 << int(x * 1e6) % 64) for x in rng.random(200)
    ]
    order = sorted(range(200), key=lambda number: (-sizes[number], number))
    if hashed:
        expected = as_groups(rule(alike(rows, 0.95, hashes), order), "same picture")
        assert same_picture(rows, hashes, sizes, chain=chain) == expected
    else:
        expected = as_groups(rule(alike(rows, 0.9, None), order), "similar")
        assert similar(rows.numpy(), sizes=sizes, chain=chain) == expected
    kept, groups = unique(rows, hashes if hashed else None, sizes=sizes, chain=chain)
    assert groups == expected and len(expected) > 5
    assert kept == sorted({*range(200)} - {number for group in expected for number in group.others})


def test_a_chain_joins_unlike_pictures_only_where_that_is_asked_for():
    angles = torch.tensor([0.0, 0.4, 0.8, 1.2])  # cosines of neighbours are 0.92, of others 0.70 and below
    rows = torch.stack([angles.cos(), angles.sin()], dim=1)
    assert similar(rows) == [Group(0, (1, 2, 3), "similar")]
    assert similar(rows, chain=False) == unique(rows)[1] == [Group(0, (1,), "similar"), Group(2, (3,), "similar")]
    assert unique(rows)[0] == [0, 2]
    assert unique(rows, sizes=[1, 9, 9, 1]) == ([1, 3], [Group(1, (0, 2), "similar")])


def test_the_kept_one_is_the_largest_then_the_earliest():
    rows = torch.ones(4, 1)
    assert similar(rows) == [Group(0, (1, 2, 3), "similar")]
    assert similar(rows, sizes=[1, 5, 5, 2]) == [Group(1, (0, 2, 3), "similar")]
    assert same_file(["a", "b", "a", ""], [1, 1, 2, 9]) == [Group(2, (0,), "same file")]
    assert same_file(["", "", "b", "b"]) == [Group(2, (3,), "same file")]
    assert same_picture(rows, [0, 1, None, 0b11111]) == [Group(0, (1, 3), "same picture")]  # 1 is near to both others
    assert same_picture(rows, [0, 1, None, 0b11111], chain=False) == [Group(0, (1,), "same picture")]


def test_nothing_has_no_groups_and_progress_ends_at_all():
    done = []
    assert unique(torch.empty(0, 4)) == ([], []) and similar(torch.empty(0, 4)) == same_file([]) == []
    similar(vectors(5, 0), on_progress=lambda *each: done.append(each))
    assert done == [(1, 1)]

    def stop(done: int, total: int) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        unique(vectors(5, 0), on_progress=stop)


@pytest.mark.parametrize(
    "call, named",
    [
        (lambda rows: similar(rows, 1.5), "a number from -1 to 1, not 1.5"),
        (lambda rows: similar(rows, float("nan")), "not nan"),
        (lambda rows: similar(rows, sizes=[1]), "1 sizes of 3 pictures: give one of each"),
        (lambda rows: same_picture(rows, [1, 2]), "2 hashes of 3 pictures"),
        (lambda rows: same_file(["a"], [1, 2]), "2 sizes of 1 pictures"),
        (lambda rows: unique(rows * torch.tensor([[1.0], [1], [0]])), "Vector 3 of 3 is not of length 1"),
        (lambda rows: unique(rows * torch.tensor([[1.0], [torch.nan], [1]])), "Vector 2 of 3 is not of length 1"),
        (lambda rows: similar(rows[0]), r"shape \(N, D\), not \(32,\)"),
    ],
)
def test_what_cannot_be_compared_is_refused(call, named):
    with pytest.raises(ValueError, match=named):
        call(vectors(3, 0))
