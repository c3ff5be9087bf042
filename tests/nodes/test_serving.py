"""What the service inside ComfyUI asks before it answers, and what its encoders give."""

import asyncio
import json
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import comfy.model_management
import folder_paths
import full_files
import numpy as np
import pytest
import torch
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from app.user_manager import UserManager
from comfy.cli_args import args
from execution import PromptQueue
from PIL import Image

from image_prompt.nodes.embeddings.embed_features import EmbedFeatures
from image_prompt.nodes.embeddings.embed_text import EmbedText
from image_prompt.nodes.encoding.encode import EncodeImagePrompt
from image_prompt.nodes.folders import all_shared
from image_prompt.nodes.loading.load import LoadImageEncoder
from image_prompt.nodes.serving import idle
from image_prompt.nodes.serving.encoder_model import EncoderModel
from image_prompt.nodes.serving.held import Held
from image_prompt.nodes.serving.idle import check_idle, unless_moved, while_idle
from image_prompt.nodes.serving.switch import Switch
from image_prompt.references.inputs import Input
from image_prompt.service.embedding.model import Busy, Wish

NAME = "full.safetensors"
NO_WISH = Wish()


@pytest.fixture
def say(tmp_path):
    """Write the file of the switch, and return why the service is closed."""
    switch, count = Switch(), iter(range(100))

    def say(content: object) -> str:
        path = tmp_path / "user" / "__image_prompt" / "service.json"
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        os.utime(path, ns=(next(count),) * 2)  # the clock of a disk may stand still
        assert str(tmp_path) not in switch.closed()
        return switch.closed()

    say.switch = switch
    return say


def test_the_service_is_off_and_says_what_to_write(say):
    advice = 'write {"serve": true} into service.json in the folder __image_prompt of ComfyUI\'s user folder.'
    assert say.switch.closed() == f"The service is off. To turn it on, {advice}"
    for said in ({}, {"serve": False}, {"hosts": ["my.machine"]}):
        assert say(said).endswith(advice) and "says so" in say(said)


def test_the_file_is_read_again_when_it_changes(say, tmp_path):
    assert say({"serve": True}) == "" and not say.switch.hosts()
    assert say({"serve": False}) != ""
    assert say(b'\xef\xbb\xbf{"serve": true, "hosts": ["My.Machine", "other"]}') == ""
    assert say.switch.hosts() == {"my.machine", "other"}
    (tmp_path / "user" / "__image_prompt" / "service.json").unlink()
    assert say.switch.closed().startswith("The service is off. To turn it on") and not say.switch.hosts()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "it is not JSON (Expecting value in line 1)"),
        (b'{"serve": true', "it is not JSON"),
        (b"\xff\xfe{}", "it is not UTF-8"),
        (b'{"serve": true, "serve": true}', "it says the same thing twice"),
        (b" " * (1 << 17) + b'{"serve": true}', "it is larger than 65,536 bytes"),
        (b"[" * 100_000 + b"]" * 100_000, "it is larger than"),
        (b"[" * 30_000, "it is not JSON that can be read"),
        ([True], "it holds a list of 1, and not an object in braces"),
        ({"serve": "true"}, "serve is the text 'true', and must be true or false, without quotes"),
        ({"serve": 1}, "serve is 1, and must be true or false"),
        ({"serve": True, "host": "my.machine"}, "the text 'host' is not known, serve and hosts are"),
        ({"serve": True, "hosts": "my.machine"}, "hosts is the text 'my.machine', and must be a list"),
        ({"serve": True, "hosts": ["http://my.machine"]}, "must hold names alone, such as my.machine"),
        ({"serve": True, "hosts": ["my.machine:8188"]}, "without a port"),
        ({"serve": True, "hosts": ["*"]}, "hosts holds the text '*'"),
        ({"serve": True, "hosts": [None]}, "hosts holds nothing"),
    ],
)
def test_a_damaged_file_closes_the_service_and_is_named(say, content, words):
    assert say({"serve": True}) == ""
    closed = say(content)
    assert words in closed and "service.json" in closed and 'write {"serve": true}' in closed


def test_a_comfyui_without_system_users_has_no_service(say, monkeypatch):
    assert say({"serve": True}) == ""
    monkeypatch.delattr(folder_paths, "get_system_user_directory")
    assert "Update ComfyUI" in say.switch.closed()


@pytest.mark.parametrize("user", ["__image_prompt", "../__image_prompt", ""])
def test_no_user_of_many_writes_the_file(tmp_path, monkeypatch, user):
    """With --multi-user a header says who asks."""
    monkeypatch.setattr(args, "multi_user", True)
    (tmp_path / "user" / "users.json").write_text(json.dumps({"me": "me"}))
    routes = web.RouteTableDef()
    UserManager().add_routes(routes)

    async def talk() -> list[int]:
        app = web.Application()
        app.add_routes(routes)
        async with TestClient(TestServer(app)) as client:
            made = await client.post("/users", json="__image_prompt")
            asked = [
                await client.post(path, json={"serve": True}, headers={"comfy-user": user or "me"})
                for path in ("/userdata/service.json", "/userdata/..%2F__image_prompt%2Fservice.json", "/settings")
            ]
            return [made.status, *(each.status for each in asked)]

    statuses = asyncio.run(talk())
    assert statuses[0] != 200 and statuses[2] != 200
    assert not (tmp_path / "user" / "__image_prompt" / "service.json").exists()


class Worker:
    """ComfyUI's queue with a worker of its own, which runs a prompt, or unloads, until it is told to end."""

    def __init__(self) -> None:
        self.queue = PromptQueue(SimpleNamespace(queue_updated=lambda: None))
        self.begun, self.end = threading.Event(), threading.Event()
        threading.Thread(target=self._work, daemon=True).start()

    def put(self) -> None:
        self.queue.put((0, "prompt", {}, {}, [], {}))

    def free(self) -> None:
        self.queue.set_flag("unload_models", True)

    def wait(self) -> None:
        assert self.begun.wait(10)
        self.begun.clear()

    def stop(self) -> None:
        self.end.set()

    def _work(self) -> None:
        while True:
            item = self.queue.get(timeout=1000)
            if item is not None:
                self._busy()
                self.queue.task_done(item[1], {}, None)
            elif self.queue.get_flags().get("unload_models"):
                self._busy()
                comfy.model_management.unload_all_models()

    def _busy(self) -> None:
        self.begun.set()
        self.end.wait(30)
        self.end.clear()


@pytest.fixture
def worker(monkeypatch):
    worker = Worker()
    monkeypatch.setattr(idle, "prompt_server", lambda: SimpleNamespace(prompt_queue=worker.queue))
    yield worker
    worker.stop()


def until(answer) -> None:
    for _ in range(500):
        if answer():
            return
        time.sleep(0.02)
    raise AssertionError("it does not happen")


def test_a_prompt_that_runs_or_waits_comes_first(worker):
    check_idle()
    worker.queue.mutex.acquire()  # so that the worker cannot take it
    worker.put()
    with pytest.raises(Busy, match="ask again once it has ended") as waiting:
        check_idle()
    worker.queue.mutex.release()
    worker.wait()
    with pytest.raises(Busy), while_idle():
        pass
    assert waiting.value.seconds == 5
    worker.stop()
    until(lambda: not worker.queue.currently_running)
    with while_idle():
        pass


def test_no_prompt_begins_while_weights_are_moved(worker):
    with while_idle():
        threading.Thread(target=worker.put, daemon=True).start()
        time.sleep(0.1)
        assert not worker.begun.is_set()
    worker.wait()


def test_no_weights_are_moved_while_comfyui_unloads(worker, monkeypatch):
    monkeypatch.setattr(idle, "PATIENCE", 0.1)
    worker.free()
    worker.wait()
    check_idle()  # as nothing runs
    with pytest.raises(Busy, match="moving models"), while_idle():
        pass
    worker.stop()
    with while_idle():
        pass


def test_what_fails_because_of_a_prompt_is_busy_and_other_errors_stay(worker):
    def begin_and_fail():
        worker.put()
        worker.wait()
        raise RuntimeError("Expected all tensors to be on the same device")

    with pytest.raises(Busy, match="A prompt has begun"):
        unless_moved(begin_and_fail)
    with pytest.raises(ZeroDivisionError):
        unless_moved(lambda: 1 / 0)
    with pytest.raises(RuntimeError, match="shapes"):
        unless_moved(lambda: torch.ones(2, 3) @ torch.ones(2, 3))


def full() -> None:
    raise comfy.model_management.OOM_EXCEPTION("out of memory")


def test_full_memory_is_busy(worker):
    with pytest.raises(Busy, match="memory of the device is full"):
        unless_moved(full)


@pytest.fixture
def whole(folders):
    whole = full_files.full_clip()
    full_files.save(whole, folders / "clip_vision" / NAME)
    return whole


@pytest.fixture
def picture() -> Image.Image:
    return Image.fromarray(np.random.default_rng(1).integers(0, 256, (50, 70, 3), np.uint8))


def vectors(model, *inputs: Input) -> torch.Tensor:
    return model.compute([model.prepare(each, NO_WISH) for each in inputs])


def test_vectors_are_those_of_the_nodes_by_the_same_objects(whole, picture):
    model = EncoderModel(NAME)
    encoder = LoadImageEncoder.execute(NAME).args[0]
    image = torch.from_numpy(np.asarray(picture).astype(np.float32) / 255)[None]
    features = EncodeImagePrompt.execute(encoder, image).args[0]
    pictures = EmbedFeatures.execute(features).args[0]
    texts = EmbedText.execute("a red bicycle", encoder).args[0]
    found = vectors(model, Input(image=picture))
    torch.testing.assert_close(found, pictures.vectors, rtol=0, atol=1e-5)
    torch.testing.assert_close(vectors(model, Input(" a red bicycle\n")), texts.vectors, rtol=0, atol=1e-5)
    assert model.space == pictures.space and model.logit == texts.logit
    shared = [loaded for _, loaded in all_shared()]
    assert len(shared) == 2 and any(loaded is encoder for loaded in shared)


def test_vectors_may_be_changed_by_whoever_gets_them(whole):
    """Outside inference mode, in which nodes run, nobody changes what was made inside."""
    with torch.inference_mode(False):
        vectors(EncoderModel(NAME), Input("a red bicycle")).mul_(2)


def test_tokens_are_counted_and_a_long_text_is_told(whole, picture):
    model = EncoderModel(NAME)
    short, long = (model.prepare(Input(text), NO_WISH) for text in ("a red bicycle", "red " * 100))
    assert (short.tokens, short.warning, long.tokens) == (5, "", 77)
    assert long.warning == "The text is longer than 77 tokens; the rest is not seen."
    assert model.prepare(Input(image=picture), NO_WISH).tokens == 17  # 4 x 4 patches, and the class
    assert short.batch == long.batch != model.prepare(Input(image=picture), NO_WISH).batch


@pytest.mark.parametrize("wish", [Wish(dimensions=8), Wish(instruction="Find it."), Wish(pooling="mean")])
def test_what_only_other_models_do_is_refused(whole, wish):
    model = EncoderModel(NAME)
    with pytest.raises(ValueError, match="full CLIP"):
        model.space_of(wish)
    assert model.space_of(NO_WISH) == model.space


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (Input("a", Image.new("RGB", (8, 8))), "embeds each alone"),
        (Input(image=Image.new("RGB", (4000, 2))), "too narrow"),
    ],
)
def test_what_it_cannot_read_is_refused_in_words(whole, given, words):
    with pytest.raises(ValueError, match=words):
        EncoderModel(NAME).prepare(given, NO_WISH)


def test_texts_need_a_full_file(folders):
    full_files.save(full_files.full_clip(), folders / "clip_vision" / NAME, left_out="text_")
    with pytest.raises(ValueError, match="text"):
        EncoderModel(NAME).prepare(Input("a red bicycle"), NO_WISH)


def test_nothing_is_read_loaded_or_computed_while_a_prompt_runs(whole, worker, picture, monkeypatch):
    model = EncoderModel(NAME)
    prepared = model.prepare(Input("a red bicycle"), NO_WISH)
    worker.put()
    worker.wait()
    monkeypatch.setattr(comfy.model_management, "load_models_gpu", None)
    for ask in (lambda: model.prepare(Input(image=picture), NO_WISH), lambda: model.compute([prepared])):
        with pytest.raises(Busy):
            ask()
    worker.stop()
    monkeypatch.undo()


def test_a_batch_does_not_keep_a_prompt_from_beginning(whole, worker, monkeypatch):
    """The weights are moved under the mutex; what is computed after it is not."""
    model = EncoderModel(NAME)
    prepared = [model.prepare(Input("a red bicycle"), NO_WISH)]
    expected = model.compute(prepared)
    seen = []

    def begin(module, given) -> None:
        worker.put()
        worker.wait()
        seen.append(dict(worker.queue.currently_running))

    half = next(loaded for _, loaded in all_shared() if loaded.name.endswith("text"))
    hook = half.model.register_forward_pre_hook(begin)
    assert torch.equal(model.compute(prepared), expected)
    hook.remove()
    assert len(seen) == 1 and len(seen[0]) == 1


def test_it_is_let_go_when_comfyui_unloads(whole, worker):
    model = EncoderModel(NAME)
    vectors(model, Input("a red bicycle"))
    assert model.is_current() and len(all_shared()) == 2
    worker.free()
    worker.wait()
    worker.stop()
    until(lambda: not all_shared())
    assert not model.is_current()
    with pytest.raises(Busy, match="ask again"):
        vectors(model, Input("a red bicycle"))


def test_what_was_never_moved_is_let_go_with_the_others(whole, worker, folders):
    full_files.save(full_files.full_clip(seed=1), folders / "clip_vision" / "other.safetensors")
    model, other = EncoderModel(NAME), EncoderModel("other.safetensors")
    vectors(model, Input("a red bicycle"))
    assert len(all_shared()) == 3
    worker.free()
    worker.wait()
    worker.stop()
    until(lambda: not all_shared())
    assert not other.is_current()


def test_another_encoder_of_the_service_takes_its_memory_and_it_stays(whole):
    model = EncoderModel(NAME)
    vectors(model, Input("a red bicycle"))
    with while_idle():
        comfy.model_management.unload_all_models()
    time.sleep(0.2)
    assert model.is_current() and len(vectors(model, Input("a red bicycle"))) == 1


def test_what_fails_as_models_are_unloaded_is_busy(whole, worker):
    model = EncoderModel(NAME)
    vectors(model, Input("a red bicycle"))

    def unload_and_fail():
        comfy.model_management.unload_all_models()
        raise RuntimeError("Expected all tensors to be on the same device")

    with pytest.raises(Busy, match="or models were unloaded"):
        unless_moved(unload_and_fail)


def test_a_cancel_of_nothing_ends_nothing(whole, worker):
    model = EncoderModel(NAME)
    comfy.model_management.interrupt_current_processing()
    assert len(vectors(model, Input("a red bicycle"), Input("a house"))) == 2


def test_the_cancel_of_a_prompt_is_left_to_it(whole, worker):
    """Core's layers look at the flag in every thread, and the first that does takes it away."""
    model = EncoderModel(NAME)
    prepared = [model.prepare(Input("a red bicycle"), NO_WISH)]

    def begin_and_cancel(module, given) -> None:
        worker.put()
        worker.wait()
        comfy.model_management.interrupt_current_processing()

    half = next(loaded for _, loaded in all_shared() if loaded.name.endswith("text"))
    half.model.register_forward_pre_hook(begin_and_cancel)
    with pytest.raises(Busy, match="was cancelled"):
        model.compute(prepared)
    assert comfy.model_management.processing_interrupted()
    comfy.model_management.interrupt_current_processing(False)


def test_what_is_wrong_with_a_file_is_told(folders):
    (folders / "clip_vision" / "page.safetensors").write_text("<html>Sign in</html>")
    with pytest.raises(ValueError, match="web page"):
        EncoderModel("page.safetensors")


def test_it_is_not_let_go_in_the_middle_of_unloading(whole, worker):
    """ComfyUI asks the patchers that it unloads, which it knows by weak references, also after they are detached."""
    model = EncoderModel(NAME)
    vectors(model, Input("a red bicycle"))
    worker.put()
    worker.wait()
    comfy.model_management.unload_all_models()
    time.sleep(0.2)
    assert len(all_shared()) == 2
    worker.stop()
    until(lambda: not all_shared())


def test_one_thread_waits_to_let_go_however_often_prompts_unload_it(whole, worker):
    model = EncoderModel(NAME)
    vectors(model, Input("a red bicycle"))
    worker.put()
    worker.wait()
    before = threading.active_count()
    for _ in range(9):
        model._held.let_go_if_unloaded()
    assert threading.active_count() <= before + 1
    worker.stop()
    until(lambda: not worker.queue.currently_running)
    comfy.model_management.unload_all_models()
    until(lambda: not all_shared())


def test_it_is_another_when_its_file_changes_or_it_is_closed(whole, folders):
    model, path = EncoderModel(NAME), folders / "clip_vision" / NAME
    assert model.is_current()
    os.utime(path, ns=(1, 1))
    assert not model.is_current()
    again = EncoderModel(NAME)
    again.close()
    until(lambda: not again.is_current())


def test_many_threads_prepare_at_once(whole):
    model = EncoderModel(NAME)
    with ThreadPoolExecutor(8) as pool:
        prepared = [*pool.map(lambda number: model.prepare(Input(f"number {number}"), NO_WISH), range(32))]
    alone = EncoderModel(NAME)
    expected = torch.cat([vectors(alone, Input(f"number {number}")) for number in range(32)])
    torch.testing.assert_close(model.compute(prepared), expected, rtol=0, atol=1e-5)


def test_held_things_are_used_by_one_thread_at_a_time():
    held, most, now = Held("thing"), [], []

    def use(number: int) -> None:
        with held.used():
            now.append(number)
            time.sleep(0.002)
            most.append(len(now))
            now.remove(number)

    with ThreadPoolExecutor(8) as pool:
        assert len([*pool.map(use, range(16))]) == 16
    assert set(most) == {1}
