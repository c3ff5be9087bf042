"""Texts that are shown on pages and nodes hold no absolute paths."""

import os
import sys

import pytest

from image_prompt.tensor_files import without_folders

SITE = "/opt/A User/lib/python3/site-packages"
TEXTS = {
    f"cannot import name 'x' from 'y' ({SITE}/y/__init__.py)": "cannot import name 'x' from 'y' (y/__init__.py)",
    "/home/me/x y/liba.so.1: cannot open shared object file": "x y/liba.so.1: cannot open shared object file",
    "at '/srv/secret/a.py' and /srv/secret/b.so.": "at 'a.py' and b.so.",
    r"[WinError 126] 'C:\\Users\\Jo\\a.dll' or D:\b\c.dll": "[WinError 126] 'a.dll' or c.dll",
    r"\\server\share\models\a.dll": "a.dll",
    "see https://numpy.org/devdocs/user/a.html, or models/ipadapter/a.bin": None,
    "a/b and 3/4 or either/or, and /home/meadow": None,
}


@pytest.mark.parametrize("text", TEXTS)
def test_absolute_paths_are_cut_to_what_tells_nobody(text, monkeypatch):
    monkeypatch.setattr(sys, "path", ["", SITE, "/opt/A User", *sys.path])
    monkeypatch.setattr(os.path, "expanduser", lambda _: "/home/me")
    expected = TEXTS[text] or text.replace("/home/", "")
    assert without_folders(text) == expected
