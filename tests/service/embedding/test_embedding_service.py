"""The service with models that do what a test wants: batches, order, errors, places of models, and the end."""

import gc
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from image_prompt.references.inputs import Input
from image_prompt.references.space import Space
from image_prompt.service.embedding import Busy, EmbeddingService, Prepared, UnknownModel, Wish

LONG = 20  # seconds after which a test has failed that waits


class FakeModel:
    """The vector of a text is the direction of its number. A text with "?" cannot be read, one with "!" computed."""

    logit = None

    def __init__(self, models, name):
        self.models, self.name, self.space = models, name, Space(name, 2)
        self.is_closed = False

    def space_of(self, wish):
        if wish.pooling:
            raise ValueError(f"{self.name} pools in one way.")
        return self.space

    def prepare(self, given, wish):
        assert not self.is_closed
        if "?" in given.text:
            raise ValueError("This cannot be read.")
        if "later" in given.text:
            raise Busy("A prompt runs.", 9)
        return Prepared(given.text.split()[0], given.text, 3, "It is long." if "long" in given.text else "")

    def compute(self, prepared):
        assert not self.is_closed and len({each.batch for each in prepared}) == 1
        self.models.batches.append((self.name, [each.value for each in prepared]))
        self.models.computing.release()
        assert self.models.gate.wait(LONG)
        if self.models.error:
            raise self.models.error
        return torch.stack([vector(each.value) for each in prepared])

    def info(self):
        return {"device": "cpu"}

    def close(self):
        self.is_closed = True
        self.models.closed.append(self.name)
        self.models.letting_go.release()


class FakeModels:
    def __init__(self, names=("a", "b", "c")):
        self.known, self.loaded, self.closed, self.batches = list(names), [], [], []
        self.computing, self.letting_go = threading.Semaphore(0), threading.Semaphore(0)
        self.gate, self.error, self.load_error, self.outdated = threading.Event(), None, None, set()
        self.gate.set()
        self.at_once = 0  # models that were loaded

    def names(self):
        return self.known

    def load(self, name):
        if self.load_error:
            raise self.load_error
        self.loaded.append(name)
        self.at_once = max(self.at_once, len(self.loaded) - len(self.closed))
        self.outdated.discard(name)
        return FakeModel(self, name)

    def is_current(self, name, model):
        return name not in self.outdated


@pytest.fixture
def models():
    return FakeModels()


@pytest.fixture
def service(models):
    with EmbeddingService(models, batch_size=4, workers=2, most_loaded=2) as made:
        yield made
        models.gate.set()


def vector(text):
    return torch.nn.functional.normalize(torch.tensor([1.0, float(text.split()[1])]), dim=0)


def texts(*numbers, kind="text"):
    return [Input(f"{kind} {number}") for number in numbers]


def wait_until(is_so):
    end = time.monotonic() + LONG
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.001)


def wait_until_prepared(service, count):
    wait_until(lambda: service.info()["inputs_ready"] == count)


def held_up(service, models, *inputs):
    """The future of a request whose first batch is computed, and does not end before the gate is opened.

    As many inputs as in a batch are prepared meanwhile.
    """
    models.gate.clear()
    future = service.submit("a", list(inputs) or texts(0))
    assert models.computing.acquire(timeout=LONG)
    return future


def is_closed(service):
    try:
        service.submit("a", texts(1)).cancel()
    except ValueError:
        return True
    return False


def test_vectors_are_in_the_order_of_the_inputs_and_say_what_they_are(service, models):
    given = [Input("text 5"), Input("other 1 long"), Input("text 3"), Input("text 2 long", object())]
    found = service.embed("a", given)
    torch.testing.assert_close(found.embedding.vectors, torch.stack([vector(each.text) for each in given]))
    assert (found.embedding.of, found.of, found.tokens) == ("image", ("text", "text", "text", "image"), 12)
    assert found.warnings == ("Input 2: It is long.", "Input 4: It is long.")
    assert found.embedding.space == Space("a", 2) == service.space_of("a")
    assert [sorted(batch) for _, batch in models.batches] == [["text 2 long", "text 3", "text 5"], ["other 1 long"]]


def test_requests_that_come_while_others_are_computed_are_one_batch(models):
    with EmbeddingService(models, batch_size=32, workers=3) as service, ThreadPoolExecutor(16) as clients:
        first = held_up(service, models)
        answers = [clients.submit(service.embed, "a", texts(number, 100 + number)) for number in range(1, 16)]
        wait_until_prepared(service, 30)
        models.gate.set()
        for number, answer in enumerate(answers, start=1):
            rows = answer.result(LONG).embedding.vectors
            torch.testing.assert_close(rows, torch.stack([vector(f"text {n}") for n in (number, 100 + number)]))
        assert len(first.result(LONG).embedding) == 1
        assert [len(batch) for _, batch in models.batches] == [1, 30]
        assert service.info()["batch_sizes"] == {"1": 1, "30": 1}


def test_a_request_alone_waits_for_nobody_and_is_cut_into_batches(service, models):
    service.embed("a", texts(1))
    service.embed("a", texts(*range(11)))
    assert [len(batch) for _, batch in models.batches] == [1, 4, 4, 3]


def test_what_is_computed_alone_waits_for_no_other_input(service, models, monkeypatch):
    may_go_on = threading.Event()

    def prepare(self, given, wish):
        assert given.text == "text 0" or may_go_on.wait(LONG)
        return Prepared(None, given.text, 1)

    monkeypatch.setattr(FakeModel, "prepare", prepare)
    both = service.submit("a", texts(0, 1, 2))
    assert models.computing.acquire(timeout=LONG)
    may_go_on.set()
    assert len(both.result(LONG).embedding) == 3
    assert sorted(batch for _, batch in models.batches) == [["text 0"], ["text 1"], ["text 2"]]


def test_many_inputs_hold_up_few_for_one_batch(service, models):
    many = held_up(service, models, *texts(*range(12)))
    few = service.submit("a", texts(50, 51, kind="other"))
    wait_until_prepared(service, 6)
    models.gate.set()
    few.result(LONG), many.result(LONG)
    assert [{text.split()[0] for text in batch} for _, batch in models.batches] == [
        {"text"},
        {"other"},
        {"text"},
        {"text"},
    ]


def test_an_input_that_cannot_be_read_fails_its_request_alone(service, models):
    first = held_up(service, models)
    bad = service.submit("a", [Input("text 1"), Input("text 2"), Input("text ?")])
    with pytest.raises(ValueError, match=r"^Input 3: This cannot be read\.$"):
        bad.result(LONG)
    good = service.submit("a", texts(7))
    models.gate.set()
    assert len(good.result(LONG).embedding) == len(first.result(LONG).embedding) == 1
    assert "text 1" not in str(models.batches)  # what is left of it is not computed
    with pytest.raises(ValueError, match=r"^Input 2 of b: This"):
        service.compare("a", texts(1), [Input("text 1"), Input("text ?")])


def test_an_error_of_the_computation_reaches_its_requests_and_the_next_are_computed(service, models):
    first = held_up(service, models)
    second = service.submit("a", texts(1))
    models.error = RuntimeError("The device is gone.")
    models.gate.set()
    for future in (first, second):
        with pytest.raises(RuntimeError, match="The device is gone"):
            future.result(LONG)
    models.error = Busy("A prompt runs.", 7)
    with pytest.raises(Busy) as raised:
        service.embed("a", texts(1))
    models.error = None
    assert raised.value.seconds == 7 and len(service.embed("a", texts(1)).embedding) == 1
    assert service.info()["activity"]["requests failed"]["count"] == 3


def test_a_model_that_is_busy_says_so_when_it_prepares(service):
    with pytest.raises(Busy, match=r"^A prompt runs\.$") as raised:
        service.embed("a", [Input("text 1"), Input("text later")])
    assert raised.value.seconds == 9


class Cancel(BaseException):
    """As ComfyUI's, and as what tokenizers in Rust raise that panic."""


@pytest.mark.parametrize("at", ["load", "prepare", "compute"])
def test_what_would_end_a_thread_ends_its_request_alone(service, models, monkeypatch, at):
    def cancelled(*_):
        raise Cancel("It was cancelled.")

    with monkeypatch.context() as once:
        once.setattr(FakeModels if at == "load" else FakeModel, at, cancelled)
        for _ in range(3):  # there are two workers
            with pytest.raises(RuntimeError, match=r"^Cancel: It was cancelled\.$"):
                service.submit("a", texts(1)).result(LONG)
    assert len(service.submit("a", texts(1)).result(LONG).embedding) == 1


def test_an_error_of_loading_reaches_those_that_wait_and_the_next_load_anew(service, models):
    models.load_error = Busy("A prompt runs.")
    with pytest.raises(Busy, match="A prompt runs"):
        service.embed("a", texts(1))
    models.load_error = None
    assert len(service.embed("a", texts(1)).embedding) == 1 and models.loaded == ["a"]


def test_a_cancelled_request_is_not_computed(service, models):
    first = held_up(service, models)
    waits, stays = service.submit("a", texts(1, 2)), service.submit("a", texts(3))
    wait_until_prepared(service, 3)
    assert waits.cancel()
    models.gate.set()
    first.result(LONG), stays.result(LONG)
    assert [batch for _, batch in models.batches] == [["text 0"], ["text 3"]]
    assert service.info()["requests"] == 0


class Value(str):
    """A text that may be referred to weakly."""


def test_what_is_prepared_is_let_go_when_it_is_computed(service, models, monkeypatch):
    values, left, compute = [], [], FakeModel.compute

    def prepare(self, given, wish):
        values.append(weakref.ref(value := Value(given.text)))
        return Prepared("", value, 1)

    def computed(self, prepared):
        left.append(sum(value() is not None for value in values) - len(prepared))
        self.models.batches.clear()
        return compute(self, [Prepared("", str(each.value), 1) for each in prepared])

    monkeypatch.setattr(FakeModel, "prepare", prepare)
    monkeypatch.setattr(FakeModel, "compute", computed)
    gc.disable()
    try:
        futures = [service.submit("a", texts(*range(12))), service.submit("a", texts(1, 2))]
        answers = [future.result(LONG) for future in futures]
        wait_until(lambda: not any(value() for value in values))
    finally:
        gc.enable()
    assert len(answers[0].embedding) == 12 and len(values) == 14
    assert left[-1] == 0


def test_a_future_holds_no_input_when_it_is_done(service):
    given = Input("text 1", Value("picture"))
    picture, future = weakref.ref(given.image), service.submit("a", [given])
    future.result(LONG)
    del given
    gc.disable()
    try:
        wait_until(lambda: picture() is None)
    finally:
        gc.enable()


def test_a_picture_is_held_until_it_is_prepared_and_no_longer(service, models):
    first = held_up(service, models)
    given = [Input(f"text {number}", Value("picture")) for number in range(6)]
    pictures = [weakref.ref(each.image) for each in given]
    waits = service.submit("a", given)
    del given
    gc.disable()
    try:
        wait_until(lambda: [picture() is None for picture in pictures] == [True] * 4 + [False] * 2)
    finally:
        gc.enable()
        models.gate.set()
    assert len(waits.result(LONG).embedding) == 6 and first.done()


def test_however_many_wait_two_batches_are_prepared_ahead_and_all_are_computed(service, models):
    first = held_up(service, models)
    sizes = (3, 7, 1, 9, 3, 2, 5, 6, 3, 3)
    waiting = [service.submit("a", texts(*range(size), kind=f"kind{size}")) for size in sizes]
    wait_until_prepared(service, 8)
    time.sleep(0.05)  # in which more would be
    assert service.info()["inputs_ready"] == 8
    models.gate.set()
    assert [len(future.result(LONG).embedding) for future in waiting] == list(sizes)
    assert first.done()


def test_one_loaded_model_serves_all_and_the_longest_unused_gives_way(service, models):
    for name in "abacb":
        service.embed(name, texts(1))
    assert (models.loaded, models.closed) == (["a", "b", "c", "b"], ["b", "a"])
    assert [each["name"] for each in service.info()["models"] if each["loaded"]] == ["b", "c"]


def test_a_model_in_use_is_not_closed_for_another_which_gets_its_place_before_later_requests(models):
    with EmbeddingService(models, batch_size=2, most_loaded=1) as service:
        first = held_up(service, models, *texts(*range(6)))
        other, later = service.submit("b", texts(1)), service.submit("a", texts(2))
        assert not models.closed
        models.gate.set()
        for future in (first, other, later):
            future.result(LONG)
    assert [name for name, _ in models.batches] == ["a", "a", "a", "b", "a"]
    assert models.loaded == ["a", "b", "a"] and models.at_once == 1


def test_a_changed_file_is_loaded_anew(service, models):
    service.embed("a", texts(1))
    models.outdated.add("a")
    service.embed("a", texts(1))
    service.embed("a", texts(1))
    assert (models.loaded, models.closed) == (["a", "a"], ["a"])


def test_a_model_that_is_not_used_is_let_go(models):
    with EmbeddingService(models, unload_after=0.001) as service:
        service.embed("a", texts(1))
        assert models.letting_go.acquire(timeout=LONG)
        assert not service.info()["models"][0]["loaded"]
        service.embed("a", texts(1))
        assert models.loaded == ["a", "a"]


def test_unload_waits_for_what_uses_a_model(service, models):
    first = held_up(service, models)
    with ThreadPoolExecutor(1) as other:
        unloaded = other.submit(service.unload)
        wait_until(lambda: not service.info()["models"][0]["loaded"])  # it is not given to others any more
        assert not models.closed and not unloaded.done()
        models.gate.set()
        unloaded.result(LONG)
    assert models.closed == ["a"] and len(first.result(LONG).embedding) == 1
    service.embed("a", texts(1))
    assert models.loaded == ["a", "a"]


def test_requests_that_wait_end_with_the_service(models):
    with ThreadPoolExecutor(1) as other:
        service = EmbeddingService(models, batch_size=1)
        first = held_up(service, models)
        same, another = service.submit("a", texts(1)), service.submit("b", texts(1))
        closing = other.submit(service.close)
        wait_until(lambda: is_closed(service))
        models.gate.set()
        closing.result(LONG)
    assert len(first.result(LONG).embedding) == 1 and models.closed == ["a"]
    for future in (same, another):
        with pytest.raises(ValueError, match="This service was closed: make a new one"):
            future.result(LONG)
    for call in (lambda: service.embed("a", texts(1)), service.unload, lambda: service.space_of("a")):
        with pytest.raises(ValueError, match="This service was closed: make a new one"):
            call()
    service.close()


def test_a_service_that_is_forgotten_lets_go_of_its_models(models):
    service = EmbeddingService(models)
    service.embed("a", texts(1))
    gone = weakref.ref(service)
    del service
    gc.collect()
    assert gone() is None
    assert models.letting_go.acquire(timeout=LONG)


def test_pictures_that_pil_opened_and_several_requests_share_are_read_by_one_thread_at_a_time(models):
    inside, alone = threading.Semaphore(1), []

    def prepare(self, given, wish):
        alone.append(inside.acquire(blocking=False))
        time.sleep(0.001)  # others would be in here too
        inside.release()
        return Prepared("", "text 1", 1)

    picture = object()
    FakeModelOnce = type("FakeModelOnce", (FakeModel,), {"prepare": prepare})
    models.load = lambda name: FakeModelOnce(models, name)
    with EmbeddingService(models, workers=8) as service:
        service.embed("a", [Input(image=picture) for _ in range(40)])
    assert all(alone) and len(alone) == 40


def test_what_is_asked_for_wrongly_is_refused(service, models):
    with pytest.raises(UnknownModel, match=r"No encoder is called 'x'\. There are: a, b, c\."):
        service.embed("x", texts(1))
    with pytest.raises(ValueError, match=r"There are no inputs of b: give one or more\."):
        service.compare("a", texts(1), [])
    for wrong in ("text 1", [b"text 1"], None):
        with pytest.raises(ValueError, match="The inputs are no list of Input"):
            service.embed("a", wrong)
    for call in (
        lambda: service.embed("a", texts(1), Wish(pooling="mean")),
        lambda: service.space_of("a", Wish(pooling="mean")),
    ):
        with pytest.raises(ValueError, match=r"^a pools in one way\.$"):
            call()


@pytest.mark.parametrize(
    "wrong", [{"batch_size": 0}, {"workers": 1.5}, {"most_loaded": True}, {"unload_after": 0}], ids=str
)
def test_settings_that_are_none_are_refused(wrong, models):
    with pytest.raises(ValueError, match=rf"^{next(iter(wrong))} is "):
        EmbeddingService(models, **wrong)
