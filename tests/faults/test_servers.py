"""A ComfyUI is killed while it samples; then two run on its folders, and model files change under them."""

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from image_prompt.clip_vision import load_features
from image_prompt.demo import make_models
from image_prompt.demo.stand_ins import PHOTOGRAPHS, api_example
from image_prompt.devtools.comfyui import DEMO_NODES, PACK, Server, ServerError, check_success, prepare_base
from image_prompt.devtools.stages import ROOT
from image_prompt.model_files.folders import INDEX, SYSTEM_USER
from image_prompt.model_files.index import index_cache
from image_prompt.references.library import Library, check, libraries_folder

from ..server.conftest import decode

ADAPTER, ENCODER = "ipadapter/demo-ip-adapter-plus_sd15.safetensors", "clip_vision/demo-encoder.safetensors"
STEPS = 10_000  # the most; of a prompt that is never done
QUEUED = 4  # prompts of each of two servers
LONG = 120  # seconds


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    base = prepare_base(tmp_path_factory.mktemp("comfyui"), PACK | DEMO_NODES)
    make_models.main(base / "models", {name: make_models.FILES[name] for name in (ADAPTER, ENCODER)})
    shutil.copy(ROOT / "demo" / "images" / PHOTOGRAPHS[0], base / "input")
    return base


@contextmanager
def started(base: Path, name: str) -> Iterator[Server]:
    server = Server(
        Path(os.environ["COMFYUI_PATH"]),
        sys.executable,
        base,
        base / f"{name}.log",
        ["--cpu", "--database-url", "sqlite:///:memory:"],
        {"OMP_NUM_THREADS": "1"},
    )
    with server:
        server.wait_until_ready()
        yield server


@pytest.fixture(scope="module")
def killed(base) -> dict:
    """What a server has made, and knows, before it is killed while it samples."""
    with started(base, "killed") as server:
        made = done(server, keeping("kept", 1))
        eventually(lambda: index_cache.count(index_file(base)))
        known = index_cache.load(index_file(base))
        server.queue({**sampling(seed=2, steps=STEPS), **keeping("kept", 2)})
        eventually(lambda: f"/{STEPS}" in server.log.read_text(errors="replace"))
        assert server.process
        server.process.kill()
        server.process.wait()
    return {"made": made, "known": known}


@pytest.fixture(scope="module")
def server(base, killed) -> Iterator[Server]:
    with started(base, "next") as server:
        yield server


def test_killed_while_sampling(base, killed, server):
    """Nothing half is there, nothing that was there is lost, and the next start goes on with it."""
    assert half_files(base) == []
    assert check(library(base, "kept")).clean
    assert killed["known"] and index_cache.load(index_file(base)) == killed["known"]
    before = names_in(base, "kept")
    made = done(server, {**sampling(seed=3, steps=2), **keeping("kept", 3)})
    assert made["saved"]["image_prompt_said"] == [f"kept_{len(before['features']) + 1:05}_.safetensors"]
    after = {kind: len(each) for kind, each in names_in(base, "kept").items()}
    assert after == {kind: len(each) + 1 for kind, each in before.items()}
    assert server.get("/image-prompt/status")["index"]["headers_read"] == 0
    assert "Traceback" not in server.log.read_text(errors="replace")


def test_two_servers_on_one_user_folder(base, server):
    """Both queue prompts that save features and add to one library and to the index: none is lost."""
    for number in range(4):
        shutil.copy(base / "models" / ADAPTER, base / "models" / "ipadapter" / f"new {number}.safetensors")
    with started(base, "second") as second:
        queued = [
            (each, each.queue(keeping("both", 2 * number + which)))
            for number in range(QUEUED)
            for which, each in enumerate((server, second))
        ]
        for each, prompt in queued:
            check_success(each.wait(prompt, timeout=LONG))
        eventually(lambda: len(index_cache.load(index_file(base))) == 6)
    found = names_in(base, "both")
    assert [len(each) for each in found.values()] == [2 * QUEUED] * 3
    assert check(library(base, "both")).clean and half_files(base) == []


# ------------------------------------------------------------------------------------ model files that change meanwhile


def replaced(path: Path) -> None:
    name = f"{path.parent.name}/{path.name}"
    shapes, metadata = make_models.FILES[name]
    make_models.write(path, shapes, seed=99, metadata=metadata)


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


CHANGES: dict[str, tuple[Callable[[Path], object], str]] = {  # what happens: what the next prompt says
    "replaced": (replaced, ""),
    "cut": (cut, "cut short"),
    "deleted": (os.unlink, "not in list"),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("file", [ADAPTER, ENCODER])
def test_a_model_file_that_changes_while_it_is_loaded(base, server, file, change):
    path, whole = base / "models" / file, base / "whole"
    shutil.copy2(path, whole)
    act, words = CHANGES[change]
    before = sampled(server)
    act(path)
    if words:
        with pytest.raises(ServerError, match=rf"(?s){path.name}.*{words}|{words}.*{path.name}"):
            sampled(server)
    else:
        assert not np.array_equal(sampled(server), before)
    os.replace(whole, path)
    assert np.array_equal(sampled(server), before)


# ----------------------------------------------------------------------------------------------------------- workflows


def node(kind: str, **inputs: object) -> dict:
    return {"class_type": kind, "inputs": inputs}


def sampling(seed: int, steps: int) -> dict:
    workflow = api_example("One_reference_SD1.5", size=64, steps=steps)
    (sampler,) = (each for each in workflow.values() if each["class_type"] == "KSampler")
    sampler["inputs"]["seed"] = seed
    return workflow


def keeping(name: str, number: int) -> dict:
    """Save features of a picture of its own, in both formats, add it to a library, and look at all model files."""
    return {
        "encoder": node("ImagePromptLoadEncoder", encoder_name=Path(ENCODER).name),
        "adapter": node("IPAdapterModelLoader", ipadapter_file=Path(ADAPTER).name),
        "picture": node("EmptyImage", width=64, height=48, batch_size=1, color=1000 * number),
        "features": node("ImagePromptEncode", clip_vision=["encoder", 0], image=["picture", 0]),
        "saved": node("ImagePromptSaveFeatures", features=["features", 0], name=name),
        "embeds": node(
            "IPAdapterEncoder", ipadapter=["adapter", 0], image=["picture", 0], weight=1.0, clip_vision=["encoder", 0]
        ),
        "old": node("IPAdapterSaveEmbeds", embeds=["embeds", 0], filename_prefix=name),
        "added": node(
            "ImagePromptAddToLibrary", clip_vision=["encoder", 0], library=name, images=["picture", 0], text=f"{number}"
        ),
        "report": node("ImagePromptModelReport"),
    }


def done(server: Server, workflow: dict) -> dict:
    entry = server.wait(server.queue(workflow), timeout=LONG)
    check_success(entry)
    return entry["outputs"]


def sampled(server: Server) -> np.ndarray:
    """The picture of one workflow, made anew."""
    workflow = sampling(seed=7, steps=2)
    entry = server.wait(server.queue(workflow), timeout=LONG)
    check_success(entry)
    return decode(server.pictures(entry)[0])


# ------------------------------------------------------------------------------------------------------------- folders


def library(base: Path, name: str) -> Path:
    return libraries_folder(base / "user") / name


def index_file(base: Path) -> Path:
    return base / "user" / f"__{SYSTEM_USER}" / INDEX


def names_in(base: Path, name: str) -> dict[str, list]:
    """What there is of a name; an error for a file that is not whole."""
    features = sorted((base / "models" / "image_prompts").glob(f"{name}_*.safetensors"))
    old = sorted((base / "output").glob(f"{name}_*.ipadpt"))
    assert all(len(load_features(path).features) for path in [*features, *old])
    with Library.open(library(base, name)) as opened:
        texts = sorted({each.text for each in opened.pictures(opened.ids())})
    return {"features": features, "old": old, "pictures": texts}


def half_files(base: Path) -> list[Path]:
    return [path for path in base.rglob("*") if path.suffix in (".unfinished", ".part")]


def eventually(check: Callable[[], object]) -> None:
    end = time.monotonic() + LONG
    while not check():
        assert time.monotonic() < end
        time.sleep(0.05)
