"""Tensors are written as safetensors itself reads them, into a file that is whole or not there."""

import errno
import os

import pytest
import safetensors
import torch
from safetensors.torch import load_file

from image_prompt.tensor_files import whole_files
from image_prompt.tensor_files.weights import DTYPES
from image_prompt.tensor_files.whole_files import NameTaken
from image_prompt.tensor_files.writing import write_tensors

A = {"a": torch.arange(3.0)}


def test_safetensors_reads_what_is_written(tmp_path):
    path = tmp_path / "x.safetensors"
    written = {
        name: torch.tensor([[1, 0], [1, 1], [0, 1]]).to(dtype) for name, dtype in DTYPES.items() if name != "C128"
    }
    written |= {"a": torch.tensor(7.0), "none": torch.zeros(0, 3), "turned": torch.arange(6.0).view(2, 3).T}
    metadata = {"é": "模型", "empty": ""}
    write_tensors(path, written, metadata)
    found = load_file(path)
    assert found.keys() == written.keys()
    for name, tensor in written.items():
        assert (found[name].dtype, found[name].shape) == (tensor.dtype, tensor.shape)
        assert found[name].flatten().view(torch.uint8).equal(tensor.contiguous().flatten().view(torch.uint8)), name
    with safetensors.safe_open(path, "pt") as file:
        assert file.metadata() == metadata
    assert os.listdir(tmp_path) == [path.name]


def test_nothing_is_overwritten(tmp_path):
    path = tmp_path / "x.safetensors"
    path.write_bytes(b"mine")
    with pytest.raises(NameTaken, match=r"There is a file x\.safetensors already.*choose another name"):
        write_tensors(path, A, {})
    assert os.listdir(tmp_path) == [path.name] and path.read_bytes() == b"mine"


def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch):
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(whole_files.os, "fsync", full)
    with pytest.raises(ValueError, match=r"^x\.safetensors could not be written: No space left.* the disk has room\.$"):
        write_tensors(tmp_path / "x.safetensors", A, {})
    assert os.listdir(tmp_path) == []


def test_a_folder_that_is_not_there_is_told(tmp_path):
    with pytest.raises(ValueError, match=r"^x\.safetensors could not be written: .*Check that its folder is there"):
        write_tensors(tmp_path / "none" / "x.safetensors", A, {})
