"""`status`: versions, optional parts, folders and the index."""

import json

import pytest

from image_prompt.devtools.stages import ROOT
from image_prompt.model_files.environment import parts as environment
from image_prompt.model_files.folders import INDEX

from .processes import without_torch


def test_status_tells_versions_parts_and_folders(comfyui, call):
    code, out, said = call("status", "--json", "--comfyui", comfyui)
    told = json.loads(out)
    assert (code, said) == (0, "")
    assert told["versions"]["image-prompt"] in (ROOT / "pyproject.toml").read_text()
    assert told["versions"]["Python"] and told["versions"]["torch"] and told["versions"]["safetensors"]
    packages = ["onnxruntime", "insightface", "open_clip", "lancedb", "pyarrow", "transformers", "ray", "aiohttp"]
    assert [part["name"] for part in told["optional"]] == [*packages, "faiss", "CUDA"]
    assert all(part["detail"] for part in told["optional"])
    assert told["folders"]["ipadapter"] == {"files": 2, "paths": [str(comfyui / "models" / "ipadapter")]}
    assert told["index"] == {
        "file": str(comfyui / "user" / "__image_prompt" / INDEX),
        "files": 0,
        "state": "not made yet: the first look makes it",
    }


def test_status_tells_what_the_index_knows(comfyui, call):
    call("paths", "--comfyui", comfyui)
    assert "knows 4 files" in call("status", "--comfyui", comfyui)[1]
    done = without_torch("status", "--comfyui", comfyui)
    assert done.returncode == 0 and "knows 4 files" in done.stdout
    (comfyui / "user" / "__image_prompt" / INDEX).write_text("{")
    assert "the next look makes it anew" in " ".join(call("status", "--comfyui", comfyui)[1].split())


def test_an_optional_part_that_is_there_has_its_version(monkeypatch):
    here = environment.Package("pytest", "pytest", ("no-such-thing", "pytest"), "absent")
    nameless = environment.Package("json", "json", ("no-such-thing",), "absent")
    monkeypatch.setattr(environment, "OPTIONAL", (here, nameless))
    first, second, _ = environment.optional_parts()
    assert first == environment.OptionalPart("pytest", True, pytest.__version__)
    assert second == environment.OptionalPart("json", True, "of unknown version")


def test_a_broken_part_is_told_by_status_and_paths(comfyui, call, tmp_path, monkeypatch):
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "image_prompt_part.py").write_text("raise ImportError('needs numpy<2')")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    package = environment.Package("part", "image_prompt_part", ("no-such-thing",), "absent")
    monkeypatch.setattr(environment, "OPTIONAL", (package,))
    problem = "of unknown version, which cannot be imported: ImportError: needs numpy<2"
    told = json.loads(call("status", "--json", "--comfyui", comfyui)[1])
    assert told["optional"][0] == {"name": "part", "present": False, "detail": problem, "state": "broken"}
    assert told["index"]["state"] == "not made yet: the first look makes it"
    assert f"part broken: {problem} CUDA" in " ".join(call("status", "--comfyui", comfyui)[1].split())
    out = " ".join(call("paths", "--comfyui", comfyui)[1].split())
    assert f"Broken optional parts (1) part {problem}. `python -m pip check`" in out and "or uninstall part." in out
    assert json.loads(call("paths", "--json", "--comfyui", comfyui)[1])["broken_parts"]["part"].startswith(problem)
