"""What a model reads of texts and pictures, and what is refused, with a model that computes nothing."""

import pytest
import torch
from PIL import Image
from transformers.models.qwen2_vl.image_processing_qwen2_vl import smart_resize

from image_prompt.references.inputs import Input
from image_prompt.references.vision_language import (
    DEFAULT_INSTRUCTION,
    LARGEST,
    QUERY_INSTRUCTION,
    SMALLEST,
    About,
    VisionLanguageEncoder,
    conversation,
    fitted,
)
from image_prompt.references.vision_language.about import about_of
from image_prompt.references.vision_language.chat import asked
from image_prompt.references.vision_language.pictures import size_of


class Letters:
    """A token is a letter, and a state says where it is."""

    about = About("Qwen3-VL of letters", 128, "", 200)
    closed = False

    def tokens(self, text):
        return [ord(letter) for letter in text]

    def states(self, conversation, pictures):
        return torch.eye(256)[: len(conversation), :128]

    def info(self):
        return {"device": "cpu"}

    def close(self):
        self.closed = True


def encoder(**options):
    return VisionLanguageEncoder(Letters(), **options)


def words(ids):
    return "".join(chr(number) if number < 151_643 else f"<{number}>" for number in ids)


@pytest.mark.parametrize(
    "given, read",
    [
        ("", DEFAULT_INSTRUCTION),
        (" \n", DEFAULT_INSTRUCTION),
        ("Find it", "Find it."),
        ("  Find it! ", "Find it!"),
        ("Find (it)", "Find (it)"),
        ("画像を探す。", "画像を探す。"),
        ("Find $", "Find $."),
        (QUERY_INSTRUCTION, QUERY_INSTRUCTION),
    ],
)
def test_an_instruction_ends_with_punctuation(given, read):
    assert asked(given) == read


def test_a_conversation_of_nothing_says_so():
    start, end = "<151644>", "<151645>\n"
    expected = f"{start}system\nFind it.{end}{start}user\nNULL{end}{start}assistant\n"
    assert words(conversation(Letters().tokens, instruction="Find it").ids) == expected


def test_pictures_stand_before_the_text():
    pictures = [Image.new("RGB", (64, 96)), Image.new("RGB", (64, 64))]
    read = conversation(Letters().tokens, "both", pictures)
    assert "user\n<151652><151655><151653><151652><151655><151653>both<151645>" in words(read.ids)
    assert read.tokens == len(read.ids) - 2 + 6 + 4 and read.pictures == (*pictures,)


@pytest.mark.parametrize("pixels", [SMALLEST, 10_000, 262_144, LARGEST])
def test_sizes_are_those_of_the_official_code(pixels):
    for height, width in [(32, 32), (33, 4000), (480, 640), (1999, 1), (4000, 3000), (48, 80), (16, 17), (64, 12_000)]:
        if max(height, width) <= 200 * min(height, width) and min(height, width) > 16:
            assert size_of(height, width, pixels) == smart_resize(height, width, 32, SMALLEST, pixels)
    assert fitted(Image.new("L", (1000, 900)), pixels).mode == "RGB"


def test_a_picture_is_turned_as_its_exif_says(tmp_path):
    image = Image.new("RGB", (320, 64))
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(tmp_path / "turned.jpg", exif=exif)
    assert fitted(tmp_path / "turned.jpg").size == (64, 320)


@pytest.mark.parametrize(
    "image, problem",
    [
        (Image.new("RGB", (2001, 10)), "2001x10 pixels is too narrow: its long side may be 200 times"),
        (torch.rand(2, 8, 8, 3), "There are 2 pictures in one input"),
        ("nowhere.png", "There is no picture 'nowhere.png'"),
        (7, "A picture is a path, a PIL image"),
    ],
    ids=["narrow", "several", "absent", "number"],
)
def test_what_is_no_picture_is_refused(image, problem):
    with pytest.raises(ValueError, match=problem):
        encoder().read(Input("a", image))
    with pytest.raises(ValueError, match=f"^Input 2 of 2: .*{problem}"):
        encoder().embed([Input("a"), Input(image=image)])


@pytest.mark.parametrize(
    "options, problem",
    [
        ({"pooling": "cls"}, r"^The pooling is 'cls': give one of 'last', 'mean'\.$"),
        ({"pooling": None}, "^The pooling is None"),
        ({"dimensions": 63}, r"^The model gives 64 to 128 numbers of a vector, not 63\.$"),
        ({"dimensions": 129}, "64 to 128 numbers of a vector, not 129"),
        ({"dimensions": True}, "not True"),
        ({"dimensions": 64.0}, r"not 64\.0"),
        ({"instruction": 5}, "^The instruction is of type int: give a text"),
        ({"max_pixels": SMALLEST - 1}, "max_pixels is 4095: give a number from 4,096 to 1,843,200"),
        ({"max_pixels": LARGEST + 1}, "max_pixels is 1843201"),
        ({"max_pixels": True}, "max_pixels is True"),
    ],
    ids=str,
)
def test_what_the_model_cannot_do_is_refused(options, problem):
    with pytest.raises(ValueError, match=problem):
        encoder(**options)


@pytest.mark.parametrize(
    "call, problem",
    [
        (lambda given: given.embed([]), "There is nothing to embed"),
        (lambda given: given.embed([Input("a")], instruction=["a"]), "The instruction is of type list"),
        (lambda given: given.embed_texts([]), "There are no texts"),
        (lambda given: given.embed_texts("a", "photo"), "The template is 'photo'"),
        (lambda given: given.embed_texts(["a", " "]), "Text 2 of 2 is empty"),
        (lambda given: given.embed_images([]), "No pictures were given"),
        (lambda given: given.embed_images(torch.rand(8, 8, 3), crop=(0, 0, 1)), "reads whole pictures"),
        (lambda given: given.space_of("first", None), "The pooling is 'first'"),
        (lambda given: given.vector(given.read(Input("a")), "first"), "The pooling is 'first'"),
    ],
)
def test_bad_calls_are_refused(call, problem):
    with pytest.raises(ValueError, match=problem):
        call(encoder())


def test_a_text_that_fits_exactly_is_not_cut():
    frame = encoder().read(Input("a")).tokens - 1
    assert encoder().too_long(["a" * (200 - frame), "a" * (201 - frame)]) == [1]
    assert encoder().too_long("a" * (199 - frame), "{}!") == [] and encoder().too_long("a" * (200 - frame), "{}!") == [
        0
    ]


def test_an_instruction_leaves_room_for_a_token_of_the_text():
    opened = encoder().read(Input("a")).tokens - len("a\nassistant\n") - 2  # with the marks of both turns
    longest = "." * (200 - 1 - opened + len(DEFAULT_INSTRUCTION))
    assert words(encoder(instruction=longest).read(Input("abc")).ids).endswith("user\na")
    with pytest.raises(ValueError, match="alone are 200 tokens, and the model reads 200"):
        encoder(instruction=f"{longest}.").read(Input("abc"))


def test_it_says_what_it_is_and_closes():
    with encoder(instruction="Find it", dimensions=64) as given:
        info = given.info()
    assert given.backend.closed
    assert (info["encoder"], info["dimension"], info["feature"]) == ("Qwen3-VL of letters", 64, "last token")
    assert (info["instruction"], info["device"], info["text"]["context"]) == ("Find it", "cpu", 200)


@pytest.mark.parametrize(
    "layers, width, name",
    [(28, 2048, "2B"), (36, 2560, "4B"), (36, 4096, "8B"), (64, 5120, "32B"), (4, 80, "of 4 layers, 80 wide")],
)
def test_a_model_is_named_by_its_sizes(layers, width, name):
    about = about_of(layers, width, torch.rand(16, 16), 262_144)
    assert (about.name, about.width, about.context) == (f"Qwen3-VL {name}", width, 8192)
    assert about_of(layers, width, torch.rand(16, 16), 512).context == 512
