"""Training starts, learns, stops and continues: a few steps of every model, started by the command."""

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


def command_line(folder, *arguments: str) -> list[str]:
    words = [
        sys.executable,
        ROOT / "demo" / "train.py",
        *arguments,
        "--pictures",
        "256",
        "--device",
        "cpu",
        "--folder",
        folder / "states",
        "--models",
        folder / "models",
    ]
    return [str(word) for word in words]


def train(folder, *arguments: str) -> str:
    done = subprocess.run(
        command_line(folder, *arguments),
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert not done.returncode, done.stderr[-3000:]
    return done.stdout


def losses(folder, name: str) -> list[float]:
    return [row[1] for row in torch.load(folder / "states" / f"{name}.pt", weights_only=True)["history"]]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Every model trained for a few steps, all but vision on top of the finished ones."""
    folder = tmp_path_factory.mktemp("training")
    said = {}
    for name, (steps, _) in SHORT.items():
        if name != "vision":
            shutil.copytree(ROOT / "demo" / "models", folder / "models", dirs_exist_ok=True)
        said[name] = train(folder, name, "--steps", str(steps))
    return folder, said


@pytest.mark.parametrize("name", SHORT)
def test_the_loss_falls(trained, name):
    folder, said = trained
    steps, fall = SHORT[name]
    history = losses(folder, name)
    assert len(history) == steps
    third = steps // 3
    assert sum(history[-third:]) < fall * sum(history[:third])
    assert f"{name} {steps}/{steps}  loss " in said[name]
    assert "min left" in said[name]
    assert (folder / "states" / f"{name}.png").stat().st_size > 1000


@pytest.mark.parametrize("name", SHORT)
def test_the_files_say_what_they_are(trained, name):
    folder, _ = trained
    for file in FILES[name]:
        with safe_open(folder / "models" / file, "pt") as opened:
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


def test_a_run_does_not_go_on_with_other_inputs(trained, tmp_path):
    folder, _ = trained
    shutil.copytree(folder / "states", tmp_path / "states")
    shutil.copytree(ROOT / "demo" / "models", tmp_path / "models")
    changed = tmp_path / "models" / "diffusion_models" / "demo_world.safetensors"
    save_file({key: tensor + 1 for key, tensor in load_file(changed).items()}, changed, {"prediction": "v"})
    done = subprocess.run(command_line(tmp_path, "base", "--steps", "30"), capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "base.pt is of a run with" in done.stderr


def test_vision_is_not_trained_twice(tmp_path):
    shutil.copytree(ROOT / "demo" / "models", tmp_path / "models")
    done = subprocess.run(command_line(tmp_path, "vision", "--steps", "2"), capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Train clip first." in done.stderr


def test_processes_share_a_batch(tmp_path):
    train(tmp_path, "autoencoder", "--steps", "3", "--processes", "2")
    assert len(losses(tmp_path, "autoencoder")) == 3


def test_a_process_that_fails_ends_the_others(monkeypatch):
    one_fails = f"import os, time; exit(3) if os.environ['{command.RANK}'] == '1' else time.sleep(60)"
    monkeypatch.setattr(sys, "argv", ["-c", one_fails])
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    assert command.several(2) == signal.SIGTERM


def test_a_trial_does_not_replace_the_finished_models():
    words = [sys.executable, str(ROOT / "demo" / "train.py"), "unet", "--steps", "2"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "say --models FOLDER too" in done.stderr


def test_help_needs_no_packages():
    done = subprocess.run(
        [sys.executable, "-S", str(ROOT / "demo" / "train.py"), "--help"], capture_output=True, text=True, check=False
    )
    assert not done.returncode
    assert all(name in done.stdout for name in SHORT)
