"""Libraries over HTTP: what is listed, and what is found by a text that the service embeds."""

import hashlib
import urllib.parse

import numpy as np
import pytest
from PIL import Image

from image_prompt.references.library import NewPicture, Writer
from image_prompt.references.search.kept import KeptLibraries
from image_prompt.references.space import Space
from image_prompt.service.embedding import Busy
from image_prompt.service.http import LibraryAnswers
from image_prompt.service.http.queries import embedded_by

from .conftest import Colours, Failing, Given, running

COLORS = {"red.png": (250, 20, 20), "pink.png": (250, 120, 130), "blue/deep.png": (10, 10, 240)}
OTHER = Space("another", 8)


class Damaged(Colours):
    def space_of(self, wish):
        raise ValueError("It is a web page.")


def write_library(folder, root, space, rows):
    with Writer.open(folder, space) as writer:
        for path, vector in rows:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, 6)).save(root / path)
            sha256 = hashlib.sha256(path.encode()).hexdigest()
            picture = NewPicture(root, path, 10, 1, sha256, width=8, height=6, text=f"about {path}")
            writer.add([picture], np.array([vector], np.float32))


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    base = tmp_path_factory.mktemp("libraries")
    vectors = [(path, np.array(color) / np.linalg.norm(color)) for path, color in COLORS.items()]
    write_library(base / "libraries" / "colours of mine", base / "pictures", Colours.space, vectors)
    write_library(base / "libraries" / "other", base / "pictures", OTHER, [("red.png", np.eye(8)[0])])
    (base / "libraries" / "broken").mkdir()
    (base / "libraries" / "broken" / "library.json").write_text('{"format": 99}')
    kept = KeptLibraries(lambda: base / "libraries")
    models = Given(damaged=Damaged(), else_=Colours(), colours=Colours(), busy=Failing(Busy("A prompt runs.")))
    models.models["else_"].space = Space("something else", 3)

    def libraries(service):
        return LibraryAnswers(kept.names, lambda name: kept.look(name)[1], kept.open, embedded_by(service))

    with running(models, libraries) as found:
        found.base = base
        yield found


def search(server, name="colours of mine", **asked):
    path = f"/image-prompt/libraries/{urllib.parse.quote(name)}/search?{urllib.parse.urlencode(asked)}"
    status, answer, _ = server.ask(path=path)
    assert str(server.base) not in str(answer)
    return status, answer


def test_libraries_are_listed_with_what_is_wrong_with_one(server):
    status, answer, _ = server.ask(path="/image-prompt/libraries")
    found = {each["name"]: each for each in answer["libraries"]}
    assert status == 200 and str(server.base) not in str(answer)
    assert {name: (each["count"], each["encoder"]) for name, each in found.items()} == {
        "broken": (0, ""),
        "colours of mine": (3, "colours"),
        "other": (1, "another"),
    }
    assert "format 99" in found["broken"]["error"]


@pytest.mark.parametrize("model", [{}, {"model": "colours"}])
def test_a_text_finds_what_is_nearest_by_numpy(server, model):
    text = np.array([4.0, 1.0, 1.0]) / np.linalg.norm([4.0, 1.0, 1.0])
    cosines = {path: text @ np.array(color) / np.linalg.norm(color) for path, color in COLORS.items()}
    status, answer = search(server, text="red red red", **model)
    assert status == 200
    assert [each["path"] for each in answer["found"]] == sorted(cosines, key=lambda path: -cosines[path])
    np.testing.assert_allclose([each["score"] for each in answer["found"]], sorted(cosines.values())[::-1], atol=1e-3)
    assert answer["found"][0]["text"] == "about red.png" and "input" not in answer["found"][0]


def test_number_minimum_and_folder_choose(server):
    assert [each["path"] for each in search(server, text="red " * 9, k=1)[1]["found"]] == ["red.png"]
    assert [each["path"] for each in search(server, text="red", folder="blue")[1]["found"]] == ["blue/deep.png"]
    assert search(server, text="red", minimum=0.99999)[1]["found"] == []
    id = search(server)[1]["found"][0]["id"]
    assert search(server, id=id, k=1)[1]["found"][0]["path"] == "blue/deep.png"  # the newest, itself


@pytest.mark.parametrize(
    ("asked", "status", "words"),
    [
        ({"name": "none", "text": "red"}, 404, "no library 'none'"),
        ({"name": "..", "text": "red"}, 404, ""),
        ({"id": 4711}, 404, "no picture 4711"),
        (
            {"text": "red", "model": "none"},
            404,
            "is called 'none'. There are: damaged, else_, colours, busy",
        ),
        ({"text": "red", "model": "else_"}, 400, "colours (3 numbers), and else_ gives vectors of something else"),
        ({"text": "red", "model": "busy"}, 503, "A prompt runs."),
        (
            {"name": "other", "text": "red"},
            400,
            "here has its space: damaged, else_, colours, busy. damaged cannot be used: It is a web page.",
        ),
        ({"text": "red", "model": "damaged"}, 400, "It is a web page."),
        ({"text": "red", "k": 0}, 400, "k is the text '0': it must be a whole number from 1 to 200"),
        ({"text": "red", "minimum": "nan"}, 400, "minimum is"),
        ({"text": "red", "folder": "/etc"}, 400, "no whole path"),
        ({"text": "x" * 1001}, 400, "1,001 characters"),
        ({"text": "x", "id": 1}, 400, "not for both"),
    ],
)
def test_what_cannot_be_asked_is_refused_in_words(server, asked, status, words):
    found, answer = search(server, **asked)
    assert found == status and words in answer["error"]["message"]
