"""`catalogue`: the published files, and those of the user."""

import json

from image_prompt.model_files.catalogue import Catalogue, catalogue_file
from image_prompt.model_files.folders.installation import CATALOGUE

from .processes import run, user_entry


def test_the_installation_that_contains_the_pack_is_taken(comfyui, pack, tmp_path):
    (comfyui / "user" / CATALOGUE).write_text(user_entry("of this installation"))
    done = run("catalogue", "--json", pack=pack, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)[-1]["title"] == "of this installation"


def test_the_catalogue_tells_sizes_and_licences(comfyui, call):
    code, out, _ = call("catalogue", "--comfyui", comfyui)
    assert code == 0
    text = " ".join(out.split())
    assert "ip-adapter_sd15 IP-Adapter for SD1.5. 44.6 MB. Apache-2.0, commercial use is allowed" in text
    assert "NON-COMMERCIAL USE ONLY. Needs the face pack buffalo_l" in text
    assert all(len(line) < 80 or len(line.split()) == 1 for line in out.splitlines())


def test_the_catalogue_for_programs_is_the_catalogue(comfyui, call):
    told = json.loads(call("catalogue", "--json", "--comfyui", comfyui)[1])
    assert [entry["id"] for entry in told] == [entry.id for entry in Catalogue.load().entries]
    assert set(told[0]) == set(catalogue_file.RULES)


def test_entries_of_the_user_are_added(comfyui, call, tmp_path):
    private = comfyui / "user" / "__image_prompt"
    private.mkdir()
    (private / CATALOGUE).write_text(user_entry("mine"))
    (comfyui / "user" / CATALOGUE).write_text(user_entry("older"))  # where earlier versions looked
    (tmp_path / "more.json").write_text(user_entry("more"))
    told = json.loads(call("catalogue", "--json", "--comfyui", comfyui, "--catalogue", tmp_path / "more.json")[1])
    assert [entry["id"] for entry in told[-3:]] == ["older", "mine", "more"]
