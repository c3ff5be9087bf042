"""What a real server answers, asked by OpenAI's own client and by plain requests."""

import asyncio
import base64
import json
import logging
import socket
import threading
import time

import numpy as np
import openai
import pytest
from aiohttp.test_utils import make_mocked_request

from image_prompt.service.http import Limits, handlers

from .conftest import BLUE, RED, Colours, Given, Stuck, data_url, running


def unit(*numbers):
    return np.array(numbers, np.float64) / np.linalg.norm(numbers)


EXPECTED = {"red red": unit(3, 1, 1), data_url(RED): unit(*RED), data_url(BLUE, (300, 200)): unit(*BLUE)}


@pytest.mark.parametrize("options", [{}, {"encoding_format": "float"}, {"encoding_format": "base64"}])
def test_the_openai_client_gets_what_the_model_computes(server, options):
    answer = server.client.embeddings.create(model="colours", input=[*EXPECTED], user="me", **options)
    vectors = [each.embedding for each in answer.data]
    if options.get("encoding_format") == "base64":
        vectors = [np.frombuffer(base64.b64decode(each), "<f4") for each in vectors]
    np.testing.assert_allclose(np.array(vectors, np.float64), list(EXPECTED.values()), atol=1e-7)
    assert [each.index for each in answer.data] == [0, 1, 2]
    assert (answer.object, answer.model, answer.data[0].object) == ("list", "colours", "embedding")
    assert (answer.usage.prompt_tokens, answer.usage.total_tokens) == (16, 16)


def test_numbers_and_bytes_are_the_same_float32(server):
    texts = [" ".join(["red"] * red + ["blue"] * blue) or "none" for red in range(4) for blue in range(4)]
    numbers = server.ask("POST", input=texts, model="colours")[1]["data"]
    in_bytes = server.ask("POST", input=texts, model="colours", encoding_format="base64")[1]["data"]
    for one, other in zip(numbers, in_bytes, strict=True):
        assert np.float32(one["embedding"]).tobytes() == base64.b64decode(other["embedding"])


def test_models_are_listed(server):
    assert [each.id for each in server.client.models.list()] == ["colours", "failing", "busy"]
    assert server.client.models.retrieve("colours").owned_by == "image-prompt"
    with pytest.raises(openai.NotFoundError, match="There are: colours, failing, busy"):
        server.client.models.retrieve("gpt-4")


def test_an_unknown_model_is_not_found_and_the_known_are_listed(server):
    with pytest.raises(openai.NotFoundError, match="There are: colours, failing, busy") as raised:
        server.client.embeddings.create(model="text-embedding-3-small", input="x")
    assert (raised.value.code, raised.value.param, raised.value.type) == (
        "model_not_found",
        "model",
        "invalid_request_error",
    )


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"input": "x", "dimensions": 2}, "was not trained for fewer"),
        ({"input": [[1, 2, 3]]}, "check_embedding_ctx_length=False"),
        ({"input": ["x", ""]}, "Input 2: The text is empty"),
        ({"input": ["x", data_url()[:-60]]}, "Input 2: "),
    ],
)
def test_what_cannot_be_done_is_a_bad_request(server, fields, words):
    with pytest.raises(openai.BadRequestError, match=words) as raised:
        server.client.embeddings.create(model="colours", **fields)
    assert raised.value.type == "invalid_request_error"


def test_a_picture_that_ends_too_early_is_named(server):
    whole = data_url(format="jpeg", size=(400, 400))
    cut = whole[: len(whole) // 2 // 4 * 4]
    status, answer, _ = server.ask("POST", model="colours", input=[whole, cut])
    assert status == 400 and answer["error"]["message"].startswith("Input 2: ")


def test_a_text_that_is_cut_is_embedded_with_a_warning(server):
    answer = server.ask("POST", model="colours", input=["red", "red " * 30])[1]
    assert answer["warnings"] == ["Input 2: The text is too long."] and len(answer["data"]) == 2
    assert "warnings" not in server.ask("POST", model="colours", input="red")[1]


def test_similarity_is_the_cosine_and_for_texts_and_pictures_a_probability(server):
    path = "/image-prompt/similarity"
    texts, pictures = ["red red", "blue blue"], [data_url(RED), data_url(BLUE), data_url((1, 2, 3))]
    status, answer, _ = server.ask("POST", path, model="colours", a=texts, b=pictures)
    a, b = [unit(3, 1, 1), unit(1, 1, 3)], [unit(*RED), unit(*BLUE), unit(1, 2, 3)]
    cosines = np.array(a) @ np.array(b).T
    likely = np.exp(10 * cosines) / np.exp(10 * cosines).sum(axis=0)
    np.testing.assert_allclose(answer["similarity"], cosines, atol=1e-6)
    np.testing.assert_allclose(answer["probabilities"], likely, atol=1e-5)
    assert (status, answer["object"], answer["usage"]["prompt_tokens"]) == (200, "similarity", 25)
    assert "probabilities" not in server.ask("POST", path, model="colours", a="x", b="y")[1]


def test_who_is_busy_says_when_to_ask_again(server):
    status, answer, headers = server.ask("POST", model="busy", input="x")
    assert (status, answer["error"]["type"], headers["Retry-After"]) == (503, "server_error", "7")
    assert answer["error"]["message"] == "A prompt runs."


def test_an_error_of_the_server_is_logged_once_and_names_no_folder(server, caplog):
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            status, answer, _ = server.ask("POST", model="failing", input="x")
            assert status == 500 and answer["error"]["message"] == "RuntimeError: broken in x.py"
    assert [each.getMessage() for each in caplog.records] == ["A request for embeddings failed."]


def test_the_service_tells_of_its_models_and_limits(server):
    server.ask("POST", model="colours", input="x")
    status, answer, headers = server.ask(path="/image-prompt/embeddings")
    assert status == 200 and headers["Cache-Control"] == "no-store"
    assert {"name": "colours", "loaded": True, "device": "cpu"} in answer["models"]
    assert answer["limits"]["body"] == 20 << 20 and answer["activity"]["requests"]["count"] >= 1
    assert server.ask("HEAD", "/image-prompt/embeddings")[:2] == (200, None)


def test_other_methods_are_told_those_that_are_allowed(server):
    assert server.ask("OPTIONS", "/image-prompt/similarity")[2]["Allow"] == "POST"
    assert server.ask("DELETE", "/image-prompt/embeddings")[2]["Allow"] == "GET, HEAD, POST"


def test_while_it_is_off_nothing_is_answered():
    rows = handlers(None, hosts=lambda: (), is_open=lambda: "The service is off: write a file.", libraries=None)
    for method, _, handle in rows:
        answer = asyncio.run(handle(make_mocked_request(method, "/", {"Host": "localhost"})))
        assert answer.status == 403 and "The service is off: write a file." in answer.text


def test_clients_at_once_are_joined_into_one_batch():
    stuck = Stuck()
    with running(Given(stuck=stuck)) as server:
        asked = [f"text {number}" for number in range(20)]
        threads = [
            threading.Thread(target=server.ask, args=("POST",), kwargs={"model": "stuck", "input": each})
            for each in asked
        ]
        threads[0].start()
        assert stuck.computing.wait(20)
        for thread in threads[1:]:
            thread.start()
        wait_until(lambda: server.service.info()["inputs_ready"] == 19)
        stuck.may_go_on.set()
        for thread in threads:
            thread.join()
    assert stuck.batches == [1, 19]


def wait_until(is_so):
    end = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_what_a_client_asked_that_is_gone_is_not_computed():
    stuck = Stuck()
    with running(Given(stuck=stuck)) as server:
        first = threading.Thread(target=server.ask, args=("POST",), kwargs={"model": "stuck", "input": "first"})
        first.start()
        assert stuck.computing.wait(20)
        body = json.dumps({"model": "stuck", "input": ["gone"] * 5}).encode()
        with socket.create_connection(("127.0.0.1", int(server.host.split(":")[1]))) as gone:
            gone.sendall(
                b"POST /v1/embeddings HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
            )
            wait_until(lambda: stuck.prepared["gone"] == 5)
        wait_until(lambda: server.service.info()["requests"] == 1)
        stuck.may_go_on.set()
        first.join()
        assert server.ask("POST", model="stuck", input="last")[0] == 200
    assert stuck.batches == [1, 1]


def test_more_than_fits_at_once_waits_for_a_moment():
    stuck = Stuck()
    with running(Given(stuck=stuck, colours=Colours()), limits=Limits(bodies=3000)) as server:
        first = threading.Thread(target=server.ask, args=("POST",), kwargs={"model": "stuck", "input": "first " * 300})
        first.start()
        assert stuck.computing.wait(20)
        status, answer, headers = server.ask("POST", model="colours", input="second " * 300)
        assert (status, headers["Retry-After"], answer["error"]["code"]) == (503, "1", "busy")
        stuck.may_go_on.set()
        first.join()
        assert server.ask("POST", model="colours", input="second " * 300)[0] == 200
