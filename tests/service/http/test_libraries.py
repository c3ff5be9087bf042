"""Libraries over HTTP: what is listed, and what is found by a text that the service embeds."""

import urllib.parse

import numpy as np
import pytest

from .conftest import COLORS


@pytest.fixture
def server(libraries_server):
    return libraries_server


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
