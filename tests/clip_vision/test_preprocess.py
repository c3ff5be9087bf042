"""What the encoder sees equals what PIL and transformers make of a picture."""

import io

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image, ImageOps
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

from image_prompt.clip_vision import CROPS, fit, preprocess
from image_prompt.clip_vision.pictures import images
from image_prompt.clip_vision.pictures.resample import resize

SIZES = [
    (224, 224),
    (300, 200),
    (200, 300),
    (225, 224),
    (17, 31),
    (1, 1),
    (5, 400),
]
EXACT, LEVEL = 1e-6, 1.01 / 255
ORIENTATION = ExifTags.Base.Orientation
WHITE, RED = (1.0, 1.0, 1.0), (1.0, 0.0, 0.0)


def picture(width, height, channels=3, seed=0):
    """A picture of noise, in which bicubic resizing overshoots at every pixel."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


def as_floats(image):
    return torch.tensor(np.asarray(image)) / 255


def test_resizing_equals_pil_bit_for_bit_at_random_sizes():
    generator = np.random.default_rng(1)
    for _ in range(150):
        width, height, new_width, new_height = (int(side) for side in generator.integers(1, 160, 4))
        pixels = picture(width, height)
        theirs = Image.fromarray(pixels).resize((new_width, new_height), Image.Resampling.BICUBIC)
        ours = resize(torch.tensor(pixels).permute(2, 0, 1)[None], new_height, new_width)[0].permute(1, 2, 0)
        assert np.array_equal(ours, theirs), (pixels.shape, theirs.size)


def difference(ours, theirs):
    assert ours.shape == theirs.shape
    return (ours - theirs).abs().max().item()


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_center_crop_equals_the_clip_processor(size):
    image, side = Image.fromarray(picture(*size)), 224
    processor = CLIPImageProcessorPil(
        size={"shortest_edge": side}, crop_size={"height": side, "width": side}, do_normalize=False
    )
    theirs = torch.tensor(np.asarray(processor(image, return_tensors="pt")["pixel_values"])).permute(0, 2, 3, 1)
    assert difference(fit(image, side), theirs) <= EXACT


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_squash_equals_the_siglip_processor(size):
    image = Image.fromarray(picture(*size))
    theirs = SiglipImageProcessorPil(size={"height": 384, "width": 384})(image, return_tensors="pt")["pixel_values"]
    ours = preprocess(image, 384, (0.5,) * 3, (0.5,) * 3, crop="squash")
    assert difference(ours, torch.tensor(np.asarray(theirs))) <= EXACT


def test_normalising_equals_the_clip_processor():
    image, processor = Image.fromarray(picture(224, 224)), CLIPImageProcessorPil()
    theirs = torch.tensor(np.asarray(processor(image, return_tensors="pt")["pixel_values"]))
    ours = preprocess(image, 224, tuple(processor.image_mean), tuple(processor.image_std))
    assert ours.dtype == torch.float32 and ours.is_contiguous()
    assert difference(ours, theirs) <= 1e-6


def pil_cover(image, side, down, right):
    short = min(image.size)
    image = image.resize([int(side * length / short) for length in image.size], Image.Resampling.BICUBIC)
    left, top = int(right * (image.width - side)), int(down * (image.height - side))
    return image.crop((left, top, left + side, top + side))


def pil_pad(image, side):
    small = image.resize(
        [max(1, round(side * length / max(image.size))) for length in image.size], Image.Resampling.BICUBIC
    )
    square = Image.new("RGB", (side, side), (255, 0, 0))
    square.paste(small, ((side - small.width) // 2, (side - small.height) // 2))
    return square


PIL_CROPS = {
    "center": lambda image, side: pil_cover(image, side, 0.5, 0.5),
    "top": lambda image, side: pil_cover(image, side, 0, 0.5),
    "bottom": lambda image, side: pil_cover(image, side, 1, 0.5),
    "left": lambda image, side: pil_cover(image, side, 0.5, 0),
    "right": lambda image, side: pil_cover(image, side, 0.5, 1),
    "pad": pil_pad,
    "squash": lambda image, side: image.resize((side, side), Image.Resampling.BICUBIC),
}


@pytest.mark.parametrize("crop", CROPS)
def test_every_crop_equals_pil(crop):
    for size in SIZES:
        image = Image.fromarray(picture(*size))
        ours = fit(image, 97, crop, background=RED)
        assert torch.equal(ours[0], as_floats(PIL_CROPS[crop](image, 97))), size


def test_a_crop_takes_the_side_it_is_called_after():
    wide = np.zeros((10, 30, 3), np.uint8)
    wide[:, :10], wide[:, 20:] = (255, 0, 0), (0, 0, 255)
    seen = {crop: fit(wide, 10, crop)[0].mean((0, 1)).tolist() for crop in ("left", "center", "right")}
    assert seen == {"left": [1, 0, 0], "center": [0, 0, 0], "right": [0, 0, 1]}
    tall = wide.transpose(1, 0, 2)
    seen = {crop: fit(tall, 10, crop)[0].mean((0, 1)).tolist() for crop in ("top", "center", "bottom")}
    assert seen == {"top": [1, 0, 0], "center": [0, 0, 0], "bottom": [0, 0, 1]}


FORMS = {
    "numpy HWC": lambda a: a,
    "numpy CHW": lambda a: a.transpose(2, 0, 1),
    "numpy float32": lambda a: a.astype(np.float32) / 255,
    "numpy float64": lambda a: a / 255,
    "numpy strided": lambda a: np.ascontiguousarray(a[::-1])[::-1],
    "torch HWC": torch.tensor,
    "torch CHW": lambda a: torch.tensor(a).permute(2, 0, 1),
    "torch BHWC": lambda a: torch.tensor(a)[None] / 255,
    "torch BCHW": lambda a: torch.tensor(a).permute(2, 0, 1)[None],
    "torch half": lambda a: (torch.tensor(a)[None] / 255).half(),
    "list": lambda a: [Image.fromarray(a)],
}


def test_every_form_of_a_picture_is_the_same_picture():
    pixels = picture(60, 40)
    expected = fit(Image.fromarray(pixels), 32)
    for name, form in FORMS.items():
        assert torch.equal(fit(form(pixels), 32), expected), name


def test_a_list_of_mixed_pictures_equals_each_alone():
    mixed = [Image.fromarray(picture(50, 40)), picture(9, 70), torch.rand(2, 30, 80, 3), torch.rand(3, 64, 64)]
    together = fit(mixed, 48)
    assert together.shape == (5, 48, 48, 3)
    assert torch.equal(together, torch.cat([fit(image, 48) for image in mixed]))


def test_a_batch_equals_its_pictures():
    batch = torch.rand(3, 50, 70, 3)
    assert torch.equal(fit(batch, 32), torch.cat([fit(image, 32) for image in batch]))


@pytest.mark.parametrize("mode", ["L", "1", "P", "CMYK", "YCbCr"])
def test_pil_modes_without_alpha_are_converted_as_pil_does(mode):
    image = Image.fromarray(picture(40, 40)).convert(mode)
    assert torch.equal(fit(image, 40)[0], as_floats(image.convert("RGB")))


@pytest.mark.parametrize(
    "grey",
    [lambda a: a, lambda a: a[..., None], lambda a: torch.tensor(a)[None, :, :, None], lambda a: Image.fromarray(a)],
)
def test_grey_pictures_have_three_equal_channels(grey):
    pixels = picture(40, 40, 1)[..., 0]
    assert torch.equal(fit(grey(pixels), 40)[0], as_floats(pixels)[..., None].expand(-1, -1, 3))


def test_16_bit_grey_keeps_its_brightness():
    image = Image.fromarray(picture(40, 40, 1)[..., 0].astype(np.uint16) * 257)
    assert torch.equal(fit(image, 40)[0, ..., 0], as_floats(picture(40, 40, 1)[..., 0]))


@pytest.mark.parametrize("background", [(0.2, 0.5, 0.7)])
@pytest.mark.parametrize("form", [lambda a: a, Image.fromarray, lambda a: torch.tensor(a)[None] / 255])
def test_transparent_pictures_lie_on_the_background_as_in_pil(background, form):
    pixels = picture(40, 40, 4)
    behind = Image.new("RGBA", (40, 40), tuple(round(255 * value) for value in background) + (255,))
    theirs = Image.alpha_composite(behind, Image.fromarray(pixels)).convert("RGB")
    assert difference(fit(form(pixels), 40, background=background)[0], as_floats(theirs)) <= LEVEL


def test_large_transparent_pictures_are_blended_in_strips_with_the_same_bits(monkeypatch):
    picture = torch.randint(256, (2, 4, 37, 20), dtype=torch.uint8)
    at_once = images.on_background(picture, (0.2, 0.5, 1.0))
    monkeypatch.setattr(images, "STRIP", 100)
    assert torch.equal(images.on_background(picture, (0.2, 0.5, 1.0)), at_once)


def test_grey_with_alpha_and_a_transparent_palette_lie_on_the_background():
    pixels = np.stack([np.full((8, 8), 100, np.uint8), np.zeros((8, 8), np.uint8)], -1)
    assert torch.equal(fit(pixels, 8, background=RED)[0, 0, 0], torch.tensor(RED))
    palette = Image.new("P", (8, 8), 3)
    palette.info["transparency"] = 3
    assert torch.equal(fit(palette, 8, background=RED)[0, 0, 0], torch.tensor(RED))


def test_the_letterbox_is_of_the_background():
    seen = fit(np.zeros((10, 20, 3), np.uint8), 20, "pad", background=(0.2, 0.4, 0.6))[0]
    bars = torch.cat((seen[:5], seen[15:]))
    assert torch.equal(bars, (torch.tensor([51, 102, 153]) / 255).expand_as(bars)) and not seen[5:15].any()


def test_floats_a_little_outside_are_clamped():
    assert torch.equal(fit(torch.tensor([[[-0.1, 0.5, 1.2]]]), 2)[0, 0, 0], torch.tensor([0.0, 128 / 255, 1.0]))


NAN = torch.full((1, 8, 8, 3), 0.5)
NAN[0, 3, 4, 1] = float("nan")


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ([], "list is empty"),
        (NAN, "NaN or infinity"),
        (torch.full((8, 8, 3), float("inf")), "NaN or infinity"),
        (torch.full((8, 8, 3), float("-inf")), "NaN or infinity"),
        (torch.zeros(0, 8, 8, 3), "empty picture or batch"),
        (np.zeros((0, 8, 3), np.uint8), "empty picture or batch"),
        (torch.zeros(1, 8, 0, 3), "empty picture or batch"),
        (torch.zeros(8), "shape .8,.: expected"),
        (torch.zeros(1, 1, 8, 8, 3), "expected .H, W, C."),
        (torch.zeros(8, 8, 5), "no axis of 1 to 4 channels"),
        (torch.zeros(5, 64, 64), "A mask .B, H, W. is not a picture"),
        (torch.zeros(8, 8, 3, dtype=torch.int32), "torch.int32: expected uint8"),
        (np.zeros((8, 8, 3), np.uint16), "uint16: expected uint8"),
        (np.array([["a", "b"]]), "<U1: expected uint8"),
        (np.full((8, 8, 3), 200.0, np.float32), "divide by 255"),
        (Image.new("F", (8, 8)), "mode 'F'"),
        (Image.new("I", (8, 8)), "mode 'I'"),
        ([np.zeros((8, 8, 3), np.uint8), None], "not NoneType"),
        (b"photo.jpg", "A picture is a path, a PIL image, a numpy array or a torch tensor, not bytes"),
        (np.zeros((1, 500, 3), np.uint8), "too narrow to cut a square from. Give one that is less narrow"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_picture_is_refused(images, message):
    with pytest.raises(ValueError, match=message):
        fit(images, 16)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("file", ["x.jpg", "x.png", "x.tiff"])
def test_files_and_pil_images_are_turned_as_pil_turns_them(tmp_path, orientation, file):
    path, exif = tmp_path / file, Image.Exif()
    exif[ORIENTATION] = orientation
    Image.fromarray(picture(40, 30)).save(path, exif=exif, **({"quality": 95} if file == "x.jpg" else {}))
    with Image.open(path) as stored:
        theirs = as_floats(ImageOps.exif_transpose(stored).resize((32, 32), Image.Resampling.BICUBIC))
    for form in (path, str(path), Image.open(path)):
        assert torch.equal(fit(form, 32, "squash")[0], theirs)
    if orientation > 1 and file != "x.tiff":  # which PIL itself turns when it opens the file
        assert not torch.equal(fit(np.asarray(Image.open(path)), 32, "squash")[0], theirs)


def test_a_list_may_mix_paths_with_pictures(tmp_path):
    pictures = [Image.fromarray(picture(50, 40, seed=seed)) for seed in range(2)]
    pictures[0].save(tmp_path / "0.png")
    assert torch.equal(fit([tmp_path / "0.png", pictures[1]], 32), fit(pictures, 32))


@pytest.mark.parametrize("file", ["x.gif", "x.webp", "x.png"])
def test_of_an_animated_file_the_first_picture_counts(tmp_path, file):
    first, second = Image.new("RGB", (8, 8), "red"), Image.new("RGB", (8, 8), "blue")
    first.save(tmp_path / file, save_all=True, append_images=[second], **({"lossless": True} if "webp" in file else {}))
    assert Image.open(tmp_path / file).n_frames == 2
    assert torch.equal(fit(tmp_path / file, 8)[0], as_floats(first))


def cut(path):
    Image.fromarray(picture(80, 80)).save(path)
    path.write_bytes(path.read_bytes()[:-4000])


def deep(path):
    Image.new("F", (8, 8)).save(path)


NO_PICTURES = {  # file: how it is made, words of the error
    "none.png": (lambda path: None, "There is no picture '.*none.png': give the path of a file that is there"),
    "a/b.png": (lambda path: path.parent.write_text("a"), "There is no picture '.*b.png'"),
    "folder": (lambda path: path.mkdir(), "folder' is a folder, not a picture: give the paths of the pictures in it"),
    "text.png": (lambda path: path.write_text("<html>"), "text.png' is not a picture that PIL can read: give a PNG"),
    "empty.png": (lambda path: path.touch(), "empty.png' is not a picture that PIL can read"),
    "cut.png": (cut, "The picture '.*cut.png' could not be read: .*truncated"),
    "deep.tiff": (deep, "The picture '.*deep.tiff' could not be read: A PIL image of mode 'F'"),
}


@pytest.mark.parametrize("file", NO_PICTURES)
def test_a_path_that_leads_to_no_picture_is_refused(tmp_path, file):
    make, words = NO_PICTURES[file]
    make(tmp_path / file)
    with pytest.raises(ValueError, match=words):
        fit([np.zeros((8, 8, 3), np.uint8), tmp_path / file], 16)


def test_a_picture_too_large_to_be_honest_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 30)
    Image.new("L", (8, 8)).save(tmp_path / "bomb.png")
    with pytest.raises(ValueError, match="bomb.png' could not be read: .*decompression bomb"):
        fit(str(tmp_path / "bomb.png"), 16)


def test_a_picture_too_narrow_to_crop_can_be_squashed_or_padded():
    narrow = np.zeros((1, 500, 3), np.uint8)
    assert fit(narrow, 16, "squash").shape == fit(narrow, 16, "pad").shape == (1, 16, 16, 3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"crop": "middle"}, "Unknown crop 'middle'. Known: center"),
        ({"background": (0, 0)}, "not three numbers"),
        ({"background": (0, 0, 255)}, "in 0..1"),
        ({"size": 0}, "0 pixels"),
    ],
)
def test_wrong_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        fit(np.zeros((8, 8, 3), np.uint8), **{"size": 16, **settings})


def test_a_broken_file_that_pil_has_opened_is_refused_like_one_that_is_given_by_its_path(tmp_path):
    Image.effect_noise((64, 64), 80).convert("RGB").save(tmp_path / "a.jpg")
    data = (tmp_path / "a.jpg").read_bytes()[:-500]
    with pytest.raises(ValueError, match="The picture that PIL has opened could not be read: "):
        preprocess(Image.open(io.BytesIO(data)), 8, (0.5,) * 3, (0.5,) * 3)


def test_a_picture_that_is_given_as_text_is_not_repeated_whole():
    with pytest.raises(ValueError) as error:
        preprocess("data:image/png;base64," + "A" * 100_000, 8, (0.5,) * 3, (0.5,) * 3)
    assert len(str(error.value)) < 1000


def test_what_holds_pictures_and_is_none_is_refused_with_what_to_do():
    for given in (b"bytes", io.BytesIO(), iter([]), {1}):
        with pytest.raises(ValueError, match=r"Give several as a list; open the bytes of a file with PIL.Image.open"):
            preprocess(given, 8, (0.5,) * 3, (0.5,) * 3)


def test_damaged_exif_data_turn_nothing(tmp_path):
    Image.effect_noise((20, 10), 80).convert("RGB").save(tmp_path / "a.png", exif=b"Exif\0\0no TIFF file at all")
    half, plain = (0.5, 0.5, 0.5), Image.fromarray(np.asarray(Image.open(tmp_path / "a.png")))
    found = preprocess(tmp_path / "a.png", 8, half, half, crop="squash")
    assert torch.equal(found, preprocess(plain, 8, half, half, crop="squash"))
