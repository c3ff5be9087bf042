"""Tensors are read as safetensors and torch read them, and a file that changes while it is read is refused."""

import errno
import os

import pytest
import safetensors.torch
import torch

from image_prompt.model_files import UnusableFile
from image_prompt.tensor_files import PassingTrouble, weights
from image_prompt.tensor_files.weights import DTYPES, named_weights, open_weights

BITS = torch.randint(0, 100, (48,), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
TENSORS = {
    **{word: BITS.view(dtype).clone() for word, dtype in DTYPES.items() if word not in ("BOOL", "C128")},
    "BOOL": BITS > 50,
    "rows": torch.rand(3, 5, 2),
    "number": torch.tensor(2.5),
    "none": torch.zeros(0, 4),
}


def read(path, dtype=None):
    with open_weights(path) as found:
        return {name: found.read(name, dtype) for name in found.tensors}


def same(found, expected):
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert (found[name].dtype, found[name].shape) == (tensor.dtype, tensor.shape), name
        assert torch.equal(found[name].reshape(-1).view(torch.uint8), tensor.reshape(-1).view(torch.uint8)), name


def test_safetensors_are_read_as_they_were_written(tmp_path):
    safetensors.torch.save_file(TENSORS, tmp_path / "x", metadata={"a": "b"})
    with open_weights(tmp_path / "x") as found:
        assert found.metadata == {"a": "b"}
        shapes = {name: (tensor.device.type, tensor.dtype, tensor.shape) for name, tensor in found.tensors.items()}
    assert shapes == {name: ("meta", tensor.dtype, tensor.shape) for name, tensor in TENSORS.items()}
    same(read(tmp_path / "x"), safetensors.torch.load_file(tmp_path / "x"))


@pytest.mark.parametrize("archive", [True, False])
def test_one_tensor_alone_is_read_as_it_was_saved(tmp_path, archive):
    alone = torch.nn.Parameter(torch.rand(2, 3, 4))
    torch.save(alone, tmp_path / "x", _use_new_zipfile_serialization=archive)
    with open_weights(tmp_path / "x", one_tensor=True) as found:
        same({name: found.read(name) for name in found.tensors}, {"": alone.detach()})


def test_tensors_of_another_dtype_keep_memory_of_their_own(tmp_path):
    """Tensors that are cast share a buffer, but must not share their memory."""
    tensors = {f"{n}": torch.rand(n) for n in (5, 9, 2)}
    safetensors.torch.save_file(tensors, tmp_path / "x")
    same(read(tmp_path / "x", torch.bfloat16), {name: tensor.bfloat16() for name, tensor in tensors.items()})


def test_tensors_may_be_read_in_any_order_some_of_them_cast(tmp_path):
    tensors = {f"{n:02}": torch.rand(n) for n in (5, 90, 2, 0, 40, 7, 8)}
    safetensors.torch.save_file(tensors, tmp_path / "x")
    for step in range(1, 7):  # every order in which the next name is so many places further, around and around
        names = [list(tensors)[number * step % 7] for number in range(7)]
        dtypes = [(None, torch.float64, torch.bfloat16)[(number + step) % 3] for number in range(7)]
        with open_weights(tmp_path / "x") as found:
            got = {name: found.read(name, dtype) for name, dtype in zip(names, dtypes)}
        same(got, {name: tensors[name].to(dtype or torch.float32) for name, dtype in zip(names, dtypes)})


@pytest.mark.parametrize("archive", [True, False])
def test_what_torch_saved_is_read_under_the_names_of_the_header(tmp_path, archive):
    inner = {"a": {"b": torch.rand(2, 3).T, 1: torch.ones(2).half()}, "c": torch.nn.Parameter(torch.rand(4)), "d": 7}
    table = {"state_dict": inner, "optimiser": {"e": torch.rand(3)}}
    torch.save(table, tmp_path / "x.safetensors", _use_new_zipfile_serialization=archive)
    expected = {"a.b": inner["a"]["b"], "a.1": inner["a"][1], "c": inner["c"].detach()}
    same(read(tmp_path / "x.safetensors"), expected)
    same(read(tmp_path / "x.safetensors", torch.float64), {name: value.double() for name, value in expected.items()})


def cut(path):
    os.truncate(path, os.path.getsize(path) - 100)


CHANGES = {  # what happens while a file is read: words of the error
    "cut": (cut, r"^x\.sft was cut short while it was read: of 'b' there are [\d,]+ of 4,000 bytes"),
    "overwritten": (lambda path: os.utime(path, ns=(1, 1)), r"^x\.sft changed while it was read\. Try again"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path, change):
    path = tmp_path / "x.sft"
    safetensors.torch.save_file({"a": torch.rand(1000), "b": torch.rand(1000)}, path)
    act, words = CHANGES[change]
    with pytest.raises(UnusableFile, match=words), open_weights(path) as found:
        found.read("a")
        act(path)
        found.read("b")


@pytest.mark.parametrize("container", ["safetensors", "torch"])
def test_a_file_that_is_replaced_behind_its_header_is_refused(tmp_path, container, monkeypatch):
    path, other = tmp_path / "x", tmp_path / "other"
    save = {"safetensors": safetensors.torch.save_file, "torch": torch.save}[container]
    save({"a": torch.rand(3)}, path)
    save({"b": torch.rand(30)}, other)

    def header_first(file, _, read_header=weights.read_header):
        header = read_header(file)
        os.replace(other, path)
        return header

    monkeypatch.setattr(weights, "read_header", header_first)
    with pytest.raises(UnusableFile, match="^x changed while it was read"):
        read(path)


@pytest.mark.parametrize("name", ["gone", "file/below"])
def test_a_file_that_is_not_there_is_told_so_and_may_come_back(tmp_path, name):
    (tmp_path / "file").touch()
    with pytest.raises(PassingTrouble, match="^There is no file mine: give the path of a safetensors or torch file"):
        with named_weights(tmp_path / name, "mine"):
            pass


def test_a_disk_that_fails_is_told_as_before(tmp_path, monkeypatch):
    def fails(*_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(weights, "read_header", fails)
    with pytest.raises(PassingTrouble, match="^mine could not be read: Input/output error. Check its path and its d"):
        with named_weights(tmp_path, "mine"):
            pass
