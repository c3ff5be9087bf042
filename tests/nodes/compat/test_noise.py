"""Pictures of noise: the numbers are those of torch's global generator, whose state is not changed."""

import pytest
import torch
from torchvision.transforms.functional import gaussian_blur
from torchvision.transforms.v2 import (
    CenterCrop,
    Compose,
    ElasticTransform,
    InterpolationMode,
    RandomHorizontalFlip,
    RandomVerticalFlip,
    Resize,
)

from image_prompt.nodes.compat.formulas.noise import noisy, v1_negative
from image_prompt.nodes.compat.methods.pictures import ROWS
from image_prompt.nodes.compat.node import node_class


@pytest.fixture(autouse=True)
def untouched_generator():
    """Check that every test leaves the global generator as it found it, apart from what `drawn` does there."""
    torch.manual_seed(1234)
    before = torch.get_rng_state()
    yield
    assert torch.equal(torch.get_rng_state(), before)


@pytest.fixture(params=[3, 4, 1])
def image(request):
    return torch.rand(2, 260, 300, request.param, generator=torch.Generator().manual_seed(7))


def square(image):
    made = Resize((224, 224), InterpolationMode.BICUBIC, antialias=True)(CenterCrop(260)(image.movedim(-1, 1)))
    return made.movedim(1, -1)


def shuffled(image, sigma):
    flips = RandomVerticalFlip(p=1.0), RandomHorizontalFlip(p=1.0)
    return Compose([ElasticTransform(alpha=75.0, sigma=sigma), *flips])(image.movedim(-1, 1)).movedim(1, -1)


def fade(x, s):
    return x * (1 - s) + torch.rand_like(x) * s


def dissolve(x, s):
    mask = (torch.rand_like(x) < s).float()
    return x * (1 - mask) + torch.rand_like(x) * mask


def gaussian(x, s):
    return x + s * torch.randn_like(x)


def shuffle(x, s):
    x = shuffled(x, 3.5 * (1 - s))
    noise = 0.75 * s * torch.randn_like(x)
    return x * (1 - noise) + noise


FORMULAS = {"fade": fade, "dissolve": dissolve, "gaussian": gaussian, "shuffle": shuffle}


def drawn(seed, formula, *arguments):
    """What the formula gives with the global generator, whose state is put back for the test."""
    before = torch.get_rng_state()
    torch.manual_seed(seed)
    made = formula(*arguments)
    torch.set_rng_state(before)
    return made


@pytest.mark.parametrize("strength", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("kind", FORMULAS)
def test_noise_is_that_of_the_seed_in_the_picture(image, kind, strength):
    x = square(image)
    expected = drawn(int(x.sum()) % 1000000007, FORMULAS[kind], x, strength).clamp(0, 1)
    torch.testing.assert_close(noisy(image, kind, strength, 0), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", FORMULAS)
def test_without_a_picture_it_is_a_black_one(kind):
    expected = drawn(0, FORMULAS[kind], torch.zeros(1, 224, 224, 3), 0.6).clamp(0, 1)
    torch.testing.assert_close(noisy(None, kind, 0.6, 0), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize(("blur", "side"), [(1, 1), (2, 3), (5, 5), (32, 33)])
def test_it_is_blurred_over_an_odd_square_in_the_end(image, blur, side):
    expected = gaussian_blur(noisy(image, "fade", 0.5, 0).movedim(-1, 1), [side, side]).movedim(1, -1)
    torch.testing.assert_close(noisy(image, "fade", 0.5, blur), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("noise", [0.01, 0.4, 1.0])
def test_the_negative_of_the_first_version_is_shuffled_with_seed_0(image, noise):
    def formula(x):
        x = shuffled(x, 3.5 * noise)
        return x + (0.25 * (1 - noise) + 0.05) * torch.randn_like(x)

    torch.testing.assert_close(v1_negative(image, noise), drawn(0, formula, square(image)), atol=1e-5, rtol=1e-5)


NOISE = next(node_class(row, "pack") for row in ROWS if row.id == "IPAdapterNoise")


def test_the_node_makes_noise(image):
    assert torch.equal(NOISE().make_noise("dissolve", 0.4, 3, image)[0], noisy(image, "dissolve", 0.4, 3))
    assert torch.equal(NOISE().make_noise()[0], noisy(None, "fade", 1.0, 0))


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"type": "rain"}, "type is the text 'rain'"),
        ({"strength": 2}, "strength is 2"),
        ({"blur": 33}, "blur is 33"),
        ({"image_optional": [1]}, "image_optional is a list of 1"),
        ({"image_optional": torch.zeros(0, 9, 9, 3)}, "holds no picture"),
        ({"image_optional": torch.full((1, 9, 9, 3), torch.inf)}, "holds NaN or infinite"),
    ],
)
def test_wrong_inputs_are_named(inputs, words):
    with pytest.raises(ValueError, match=words):
        NOISE().make_noise(**inputs)
