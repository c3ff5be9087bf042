"""Training starts, learns, stops and continues: a few steps of every model, started by the command."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from image_prompt.demo import train as command
from image_prompt.devtools.stages import ROOT

TRAIN = ROOT / "demo" / "train.py"
ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1"}

# Steps, and to which part of the first third the loss of the last third falls at least: half-way between what was
# measured and what is measured with a learning rate of zero, where the batches alone differ.
SHORT = {
    "plus": (24, 0.87),
    "base": (24, 0.92),
    "unet": (18, 0.95),
    "autoencoder": (24, 0.75),
    "clip": (12, 0.92),
    "vision": (12, 0.96),  # continues with that CLIP
}
FILES = {
    "autoencoder": ["vae/demo_world.safetensors"],
    "clip": ["clip_vision/demo_world.safetensors", "text_encoders/demo_world.safetensors"],
    "vision": ["clip_vision/demo_world.safetensors"],
    "unet": ["diffusion_models/demo_world.safetensors"],
    "base": ["ipadapter/ip-adapter_demo_world.safetensors"],
    "plus": ["ipadapter/ip-adapter-plus_demo_world.safetensors"],
}


def options(states, models) -> list[str]:
    words = ["--pictures", "256", "--device", "cpu", "--folder", states, "--models", models]
    return [str(word) for word in words]


def command_line(folder, *arguments: str) -> list[str]:
    return [sys.executable, str(TRAIN), *arguments, *options(folder / "states", folder / "models")]


def train(folder, *arguments: str) -> None:
    done = subprocess.run(
        command_line(folder, *arguments), capture_output=True, text=True, check=False, cwd=folder, env=ONE_THREAD
    )
    assert not done.returncode, done.stderr[-3000:]


def losses(folder, name: str) -> list[float]:
    return [row[1] for row in torch.load(folder / "states" / f"{name}.pt", weights_only=True)["history"]]


# Runs the command with each of several lists of arguments, and prints what each run came to: a process for each would
# spend more time on imports than on training.
ONE_AFTER_THE_OTHER = """
import contextlib, io, json, runpy, sys
main, runs = runpy.run_path(sys.argv[1])["main"], []
for arguments in json.load(sys.stdin):
    sys.argv[1:] = arguments
    with contextlib.redirect_stdout(io.StringIO()) as said, contextlib.redirect_stderr(io.StringIO()) as complained:
        code = main()
    runs.append((code, said.getvalue(), complained.getvalue()))
print(json.dumps(runs))
"""


def shifted(file) -> None:
    """Give a model other weights."""
    save_file({key: tensor + 1 for key, tensor in load_file(file).items()}, file, {"prediction": "v"})


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Every model trained for a few steps, all but vision on top of the finished ones, and two that are refused: the
    folder, and (exit code, output, errors) of each.
    """
    folder = tmp_path_factory.mktemp("training")
    for name in (*SHORT, "changed"):
        shutil.copytree(ROOT / "demo" / "models", models_of(folder, name), dirs_exist_ok=True)
    shifted(models_of(folder, "changed") / "diffusion_models" / "demo_world.safetensors")
    runs = {
        name: [name, "--steps", str(steps), *options(folder / "states", models_of(folder, name))]
        for name, (steps, _) in SHORT.items()
    }
    changed = options(folder / "states", models_of(folder, "changed"))
    runs["base of another unet"] = ["base", "--steps", "30", *changed]
    runs["vision again"] = ["vision", "--steps", "2", *options(folder / "empty", models_of(folder, "changed"))]
    done = subprocess.run(
        [sys.executable, "-c", ONE_AFTER_THE_OTHER, TRAIN],
        input=json.dumps(list(runs.values())),
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env=ONE_THREAD,
    )
    assert not done.returncode, done.stderr[-3000:]
    return folder, dict(zip(runs, json.loads(done.stdout), strict=True))


def models_of(folder, name: str):
    return folder / ("clip" if name == "vision" else name)


@pytest.mark.parametrize("name", SHORT)
def test_the_loss_falls(trained, name):
    folder, said = trained
    steps, fall = SHORT[name]
    history = losses(folder, name)
    assert len(history) == steps
    third = steps // 3
    assert sum(history[-third:]) < fall * sum(history[:third])
    code, output, errors = said[name]
    assert code == 0, errors
    assert f"{name} {steps}/{steps}  loss " in output
    assert "min left" in output
    assert (folder / "states" / f"{name}.png").stat().st_size > 1000


@pytest.mark.parametrize("name", SHORT)
def test_the_files_say_what_they_are(trained, name):
    folder, _ = trained
    for file in FILES[name]:
        with safe_open(models_of(folder, name) / file, "pt") as opened:
            assert {"what", "licence", "training commit", "data seed", "training"} <= opened.metadata().keys()
            assert all(opened.get_slice(key).get_dtype() in ("F16", "I64") for key in opened.keys())


def interrupted(folder) -> int:
    """Train until some pictures have been seen, then press Ctrl-C: the steps in the saved state."""
    states = folder / "states"
    for file in states.glob("pictures-*"):
        file.unlink()
    words = command_line(folder, "autoencoder", "--steps", "100000")
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=folder) as process:
        while not list(states.glob("pictures-*.pt")) and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        said = process.communicate()[0]
    assert process.returncode == 130
    assert "The same command goes on." in said
    return len(losses(folder, "autoencoder"))


def test_an_interrupted_command_saves_and_goes_on(tmp_path):
    first = interrupted(tmp_path)
    begun = losses(tmp_path, "autoencoder")
    assert interrupted(tmp_path) > first > 0
    assert losses(tmp_path, "autoencoder")[:first] == begun


@pytest.mark.parametrize(
    ("name", "complaint"),
    [("base of another unet", "base.pt is of a run with"), ("vision again", "Train clip first.")],
)
def test_a_run_does_not_go_on_with_other_inputs(trained, name, complaint):
    """Neither with another UNet than before, nor with the vision tower that is the outcome of that training."""
    code, _, errors = trained[1][name]
    assert code == 1
    assert complaint in errors


def test_processes_share_a_batch(tmp_path):
    train(tmp_path, "autoencoder", "--steps", "3", "--processes", "2")
    assert len(losses(tmp_path, "autoencoder")) == 3


def test_a_process_that_fails_ends_the_others(monkeypatch):
    one_fails = f"import os, time; exit(3) if os.environ['{command.RANK}'] == '1' else time.sleep(60)"
    monkeypatch.setattr(sys, "argv", ["-c", one_fails])
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    assert command.several(2) == signal.SIGTERM


def test_a_trial_does_not_replace_the_finished_models():
    words = [sys.executable, str(TRAIN), "unet", "--steps", "2"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "say --models FOLDER too" in done.stderr


def test_help_needs_no_packages():
    done = subprocess.run([sys.executable, "-S", str(TRAIN), "--help"], capture_output=True, text=True, check=False)
    assert not done.returncode
    assert all(name in done.stdout for name in SHORT)
