"""`get`: terms, downloads, and what else is needed."""

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from web_server import serving

from image_prompt.command_line import command
from image_prompt.devtools.stages import ROOT
from image_prompt.model_files.catalogue import catalogue_file
from image_prompt.model_files.folders.installation import CATALOGUE

from .processes import START

CONTENT = random.Random(0).randbytes(3_000_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
NAME = "test-adapter.safetensors"


@pytest.fixture
def server(monkeypatch):
    """A web server on this machine, and a catalogue that may link to it, which only tests allow."""
    monkeypatch.setattr(
        catalogue_file, "RULES", {**catalogue_file.RULES, "url": catalogue_file.Rule("a link", catalogue_file.text())}
    )
    with serving(CONTENT) as server:
        yield server


@pytest.fixture
def offer(comfyui, server):
    """Put an entry for the server's file into the user's catalogue."""

    def offer(**fields) -> Path:
        entry = {
            "id": "test-adapter",
            "title": "Adapter for tests",
            "kind": "adapter",
            "family": "base",
            "base_model": "SD1.5",
            "encoder": "CLIP ViT-bigG/14",
            "purposes": [],
            "folder": "ipadapter",
            "files": [NAME],
            "companion": "ip-adapter-faceid_sd15_lora",
            "size": len(CONTENT),
            "sha256": SHA256,
            "url": server.url,
            "page": "https://example.org/page",
            "licence": "CC-BY-NC-4.0",
            "commercial": False,
        }
        (comfyui / "user" / CATALOGUE).write_text(json.dumps({"entries": [{**entry, **fields}]}))
        return comfyui / "models" / "ipadapter" / NAME

    return offer


def get(call, comfyui: Path, *more: str) -> tuple[int, str, str]:
    return call("get", "test-adapter", "--comfyui", comfyui, *more)


@pytest.mark.parametrize(
    "name",
    [
        "clip-vit-base-patch32",
        "openai/clip-vit-base-patch32",
        "https://huggingface.co/openai/CLIP-vit-base-patch32/tree/main",
        "https://huggingface.co/openai/clip-vit-base-patch32/resolve/main/pytorch_model.bin?download=true",
        "https://huggingface.co/openai/clip-vit-base-patch32/blob/main/model.safetensors",
    ],
)
def test_a_repository_or_an_address_stands_for_its_entry(comfyui, call, name):
    code, _, said = call("get", name, "--comfyui", comfyui, "--offline")
    assert code == 1 and "(clip-vit-base-patch32)" in said
    assert "get it from https://huggingface.co/openai/clip-vit-base-patch32/resolve/main/pytorch_model.bin" in said


def test_a_repository_of_several_entries_names_them_and_another_is_not_guessed(comfyui, call):
    code, _, said = call("get", "ostris/ip-composition-adapter", "--comfyui", comfyui, "--offline")
    assert code == 1
    assert said.endswith("Name one: ip_plus_composition_sd15, ip_plus_composition_sdxl.\n")
    name = "https://huggingface.co/nobody/nothing/resolve/main/ip_plus_composition_sd15.safetensors"
    code, _, said = call("get", name, "--comfyui", comfyui, "--offline")
    assert code == 1 and said.startswith(f"The catalogue has no '{name}'.")


def test_the_terms_are_told_and_nothing_is_fetched_unless_somebody_agrees(call, comfyui, offer, server, monkeypatch):
    target = offer()
    monkeypatch.setattr(sys, "stdin", open(os.devnull))
    code, out, said = get(call, comfyui)
    assert (code, out) == (1, "") and server.requests == [] and not target.exists()
    text = " ".join(said.split())
    for words in (
        "Adapter for tests",
        server.url,
        str(target),
        "3.0 MB",
        SHA256,
        "https://example.org/page",
        "CC-BY-NC-4.0, NON-COMMERCIAL USE ONLY",
        "--yes",
    ):
        assert words in text


def test_with_yes_the_file_is_fetched_and_what_belongs_to_it_told(call, comfyui, offer):
    target = offer()
    code, out, _ = get(call, comfyui, "--yes")
    assert code == 0 and target.read_bytes() == CONTENT
    text = " ".join(out.split())
    assert f"Downloaded: {target}" in text
    assert "bigG" in text and "lora" not in text  # which is in the adapter's file


def test_the_controlnet_of_an_adapter_is_told(call, comfyui, offer):
    offer(companion="instantid-controlnet", encoder="")
    assert "get instantid-controlnet" in " ".join(get(call, comfyui, "--yes")[1].split())


def test_the_face_pack_of_an_adapter_is_told_unless_it_is_here(call, comfyui, offer):
    offer(face_pack="antelopev2", companion="", encoder="")
    assert "get antelopev2" in get(call, comfyui, "--yes")[1]
    pack = comfyui / "models" / "insightface" / "models" / "antelopev2" / "antelopev2"
    pack.mkdir(parents=True)
    (pack / "glintr100.onnx").write_bytes(b"x")
    assert "It needs" not in get(call, comfyui, "--yes")[1]


def test_an_adapter_goes_into_the_folder_of_its_pack(call, comfyui):
    said = " ".join(call("get", "instantid-ip-adapter", "--comfyui", comfyui, "--offline")[2].split())
    assert f"{comfyui}/models/instantid/instantid-ip-adapter.bin" in said.replace(" /", "/")


def test_what_is_here_already_is_not_asked_for(call, comfyui, offer, server):
    target = offer(encoder="CLIP ViT-H/14", companion="")
    target.write_bytes(CONTENT)
    code, out, _ = get(call, comfyui)
    assert code == 0 and server.requests == []
    assert f"Here already: {target}" in " ".join(out.split()) and "It needs" not in out


def test_the_name_of_the_file_will_do_and_so_does_another_case(call, comfyui, offer):
    target = offer()
    target.write_bytes(CONTENT)
    for name in (NAME, "TEST-adapter", "test-adapter.bin"):
        assert call("get", name, "--comfyui", comfyui)[0] == 0


def test_a_name_that_is_nearly_right_is_answered_with_those_it_may_be(call, comfyui, offer):
    offer()
    code, _, said = call("get", "test-adaptor", "--comfyui", comfyui)
    assert code == 1 and "you mean test-adapter" in said


def test_for_programs_only_json_is_printed(call, comfyui, offer):
    target = offer()
    _, out, _ = get(call, comfyui, "--yes", "--json")
    assert json.loads(out) == {
        "id": "test-adapter",
        "path": str(target),
        "size": len(CONTENT),
        "sha256": SHA256,
        "fetched": len(CONTENT),
        "verified": True,
        "licence": "CC-BY-NC-4.0",
        "commercial": False,
    }


def test_without_a_hash_it_has_to_be_allowed(call, comfyui, offer, server):
    target = offer(sha256="")
    code, _, said = get(call, comfyui, "--yes")
    assert code == 1 and "--allow-unverified" in said and "NONE: its SHA-256 is not known" in said
    code, out, _ = get(call, comfyui, "--yes", "--allow-unverified")
    assert code == 0 and target.exists() and SHA256 in out and "compared with nothing" in " ".join(out.split())


def test_a_file_of_the_same_size_is_named(call, comfyui, offer):
    offer()
    (comfyui / "models/ipadapter/other.safetensors").write_bytes(b"x" * len(CONTENT))
    _, _, said = get(call, comfyui, "--yes")
    assert "other.safetensors has the same size" in " ".join(said.split())


@pytest.mark.parametrize("name", command.OFFLINE)
def test_offline_says_how_to_do_it_by_hand(call, comfyui, offer, server, monkeypatch, name):
    target = offer()
    assert get(call, comfyui, "--offline", "--yes")[0] == 1
    monkeypatch.setenv(name, "1")
    code, _, said = get(call, comfyui, "--yes")
    assert code == 1 and server.requests == [] and not target.exists()
    assert f"get it from {server.url} and put it here: {target}" in said
    monkeypatch.setenv(name, "0")
    assert get(call, comfyui, "--yes")[0] == 0


def test_a_download_that_fails_is_one_line(call, comfyui, offer, server):
    offer()
    server.plan = [{"status": 403}]
    code, out, said = get(call, comfyui, "--yes")
    assert (code, out) == (1, "") and "Accept the licence on https://example.org/page" in said.splitlines()[-1]


def test_an_archive_has_to_be_unpacked(call, comfyui, offer):
    offer(files=["pack.zip"], kind="face pack", folder="insightface", companion="", encoder="")
    assert "unpack its files into the folder models/pack" in " ".join(get(call, comfyui, "--yes")[1].split())


def test_the_first_folder_that_is_there_gets_the_file(call, comfyui, offer, tmp_path):
    offer()
    (tmp_path / "disk").mkdir()
    (tmp_path / "extra.yaml").write_text(
        f"gone:\n  ipadapter: {tmp_path / 'gone'}\n  is_default: true\n"
        f"here:\n  ipadapter: {tmp_path / 'disk'}\n  is_default: true\n"
    )
    assert get(call, comfyui, "--yes", "--extra-model-paths", str(tmp_path / "extra.yaml"))[0] == 0
    assert (tmp_path / "disk" / NAME).exists() and not (tmp_path / "gone").exists()


@pytest.mark.skipif(os.name == "nt", reason="there are no such terminals")
@pytest.mark.parametrize(("typed", "code"), [("YES\n", 0), ("\n", 1), ("\x04", 1)])
def test_at_a_terminal_it_asks(comfyui, offer, typed, code):
    import pty

    target = offer()
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", "import importlib.util, sys" + START, ROOT, "get", "test-adapter", "--comfyui", comfyui],
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.write(ours, typed.encode())
    out, said = process.communicate(timeout=120)
    os.close(ours)
    os.close(theirs)
    assert process.returncode == code, said
    assert "Download it? [y/N]" in said and "Download it?" not in out
    assert target.exists() == (code == 0)


@pytest.mark.skipif(os.name == "nt", reason="Ctrl-C goes to the whole console there")
def test_ctrl_c_ends_in_code_130_and_the_same_command_goes_on(call, comfyui, offer, server):
    target = offer()
    server.plan = [{"hold": 1_000_000}]
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import importlib.util, sys" + START,
            ROOT,
            "get",
            "test-adapter",
            "--yes",
            "--comfyui",
            comfyui,
        ],
        stderr=subprocess.PIPE,
        text=True,
    )
    part = target.with_name(f"{NAME}.part")
    while process.poll() is None and not (part.exists() and part.stat().st_size == 1_000_000):
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 130 and "Stopped." in said and "Traceback" not in said
    code, _, said = get(call, comfyui, "--yes")
    assert code == 0 and "1,000,000 bytes are here already" in said and target.read_bytes() == CONTENT
