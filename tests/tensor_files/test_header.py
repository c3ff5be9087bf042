"""Headers say the same as torch and the safetensors library say when they load a file."""

import io
import os
import zipfile

import numpy as np
import pytest
import safetensors
import safetensors.torch
import torch
from hostile_archives import torch_archive
from hostile_pickles import TENSOR, name, state_dict, text

from image_prompt.model_files import Header, TensorInfo, UnusableFile, read_header
from image_prompt.tensor_files.safetensors_header import read_safetensors
from image_prompt.tensor_files.torch_index import read_archive, read_legacy

WORDS = {
    torch.bool: "BOOL",
    torch.uint8: "U8",
    torch.int8: "I8",
    torch.int16: "I16",
    torch.uint16: "U16",
    torch.int32: "I32",
    torch.uint32: "U32",
    torch.int64: "I64",
    torch.uint64: "U64",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.float32: "F32",
    torch.float64: "F64",
    torch.complex64: "C64",
    torch.float8_e4m3fn: "F8_E4M3",
    torch.float8_e5m2: "F8_E5M2",
    torch.float8_e4m3fnuz: "F8_E4M3FNUZ",
    torch.float8_e5m2fnuz: "F8_E5M2FNUZ",
}
IN_PICKLES = WORDS | {torch.complex128: "C128", torch.float8_e8m0fnu: "F8_E8M0"}
NEW = {dtype for dtype, word in IN_PICKLES.items() if word.startswith("F8") or word in ("U16", "U32", "U64")}
FORMATS = pytest.mark.parametrize("archive", [True, False], ids=["archive", "legacy"])


def infos(tensors):
    return {key: TensorInfo(IN_PICKLES[tensor.dtype], tuple(tensor.shape)) for key, tensor in tensors.items()}


def flat(value, prefix=""):
    if isinstance(value, torch.Tensor):
        return {prefix.removesuffix("."): value}
    if not isinstance(value, dict):
        return {}
    return {name: tensor for key, inner in value.items() for name, tensor in flat(inner, f"{prefix}{key}.").items()}


def saved_by_torch(file, value, archive, **options):
    torch.save(value, file, _use_new_zipfile_serialization=archive, **options)
    return file


def test_safetensors_of_every_dtype(tmp_path):
    shapes = {"a": (3, 2), "b.c": (), "d": (0, 5)}
    tensors = {
        f"{word}.{key}": torch.zeros(shape, dtype=d) for d, word in WORDS.items() for key, shape in shapes.items()
    }
    safetensors.torch.save_file(tensors, tmp_path / "x.safetensors")
    assert read_header(tmp_path / "x.safetensors") == Header("safetensors", infos(tensors), {})


def test_safetensors_as_the_library_reads_them(tmp_path):
    path = tmp_path / "x.safetensors"
    metadata = {"format": "pt", "tags": '{"a": [[[[1]]]], "b": "\\"}]"}', "größe": "\N{GRINNING FACE}\n"}
    safetensors.torch.save_file({f"{i}.weight": torch.zeros(i % 4, 3).half() for i in range(200)}, path, metadata)
    found = read_header(str(path))
    with safetensors.safe_open(path, "pt") as file:
        slices = {key: file.get_slice(key) for key in file.keys()}
        assert found.metadata == file.metadata() == metadata
    assert found.tensors == {key: TensorInfo(one.get_dtype(), tuple(one.get_shape())) for key, one in slices.items()}


def test_safetensors_without_tensors(tmp_path):
    safetensors.torch.save_file({}, tmp_path / "x.safetensors")
    assert read_header(tmp_path / "x.safetensors") == Header("safetensors", {}, {})


def test_brackets_within_texts_are_no_nesting(tmp_path):
    path = tmp_path / "x.safetensors"
    for value in (b"[[[[[[[[{", rb'\\", "b": "[[[[[[[[', rb"\"[[[[[[[[]}", rb"\\\"[[[[[[[["):
        raw = b'{"__metadata__": {"a": "' + value + b'"}}'
        path.write_bytes(len(raw).to_bytes(8, "little") + raw)
        with safetensors.safe_open(path, "pt") as file:
            assert read_header(path).metadata == file.metadata()


def test_safetensors_whose_length_looks_like_something_else(tmp_path):
    for length in (0x3C20, 0x4B50, 0x0280):  # " <" of a web page, "PK" of an archive, how a pickle begins
        raw = b"{}".ljust(length)
        (tmp_path / "x.safetensors").write_bytes(length.to_bytes(8, "little") + raw)
        assert read_header(tmp_path / "x.safetensors").container == "safetensors"


def checkpoint(archive):
    """A checkpoint with everything that torch.save meets in checkpoints, and more."""
    dtypes = {*IN_PICKLES} - (set() if archive else NEW)  # torch does not read its own legacy files of new dtypes
    base, noted, parameter = torch.zeros(4, 6), torch.zeros(3), torch.nn.Parameter(torch.zeros(2, 2))
    noted.note = parameter.note = {"kept": [1]}
    module = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    return {
        "image_proj": {"latents": torch.zeros(1, 16, 8).bfloat16(), "views": {"all": base, "rows": base[1:]}},
        "ip_adapter": {"1.to_k_ip.weight": base.T, "expanded": torch.zeros(1).expand(5, 7), "one": base[2, 3]},
        "module": module.state_dict(),
        "parameters": {"plain": torch.nn.Parameter(torch.zeros(2)), "with attributes": parameter, "tensor": noted},
        "optimiser": torch.optim.Adam(module.parameters()).state_dict() | {"state": {0: {"step": torch.zeros(())}}},
        "dtypes": {str(dtype): torch.zeros(2, 0, 3, dtype=dtype) for dtype in dtypes},
        "no tensors": [3, 0.5, None, True, 2**70, "text", b"bytes", ()],
        "more without numbers": [torch.Size([1]), torch.device("cpu"), torch.half, np.float64(3), np.int64(3)],
        "": torch.zeros(1),
    }


@FORMATS
@pytest.mark.parametrize("protocol", [2, 4])  # 3 and 5 add nothing that torch writes
def test_what_torch_saves(tmp_path, archive, protocol):
    path = saved_by_torch(tmp_path / "x.bin", checkpoint(archive), archive, pickle_protocol=protocol)
    found = read_header(path)
    assert found.container == ("torch archive" if archive else "torch pickle")
    assert found.tensors == infos(flat(torch.load(path, map_location="meta", weights_only=False)))
    assert list(found.tensors)[:2] == ["image_proj.latents", "image_proj.views.all"]
    assert {"module.1.running_mean", "parameters.with attributes", "optimiser.state.0.step", ""} <= {*found.tensors}


@FORMATS
def test_state_dicts_that_torch_reads_safely(tmp_path, archive):
    state_dicts = {"image_proj": torch.nn.Linear(3, 4).half().state_dict(), "ip_adapter": {"1.to_k_ip": torch.zeros(2)}}
    path = saved_by_torch(tmp_path / "x.bin", state_dicts, archive)
    assert read_header(path).tensors == infos(flat(torch.load(path, map_location="meta", weights_only=True)))


def test_pairs_of_an_ordered_dict_at_once(tmp_path):
    """Python 2 wrote an OrderedDict with its pairs at once."""
    pairs = b"](](" + text("b") + b"Ne](" + text("c") + TENSOR + b"ee"
    (tmp_path / "x.bin").write_bytes(torch_archive(state_dict(name("collections", "OrderedDict") + pairs + b"\x85R")))
    assert read_header(tmp_path / "x.bin").tensors == {"a.c": TensorInfo("F32", (4,))}


def test_an_archive_that_was_packed_again(tmp_path):
    (tmp_path / "x.bin").write_bytes(torch_archive(state_dict(), zipfile.ZIP_DEFLATED))
    assert read_header(tmp_path / "x.bin").tensors == {"a": TensorInfo("F32", (4,))}


@FORMATS
def test_what_holds_more_than_tensors_is_named(tmp_path, archive):
    path = saved_by_torch(tmp_path / "x.pth", torch.nn.Linear(2, 2), archive)
    with pytest.raises(UnusableFile, match=r"^x\.pth is a pickle that holds more than tensors; .*asks for torch\.nn\."):
        read_header(path)


@FORMATS
def test_one_tensor_alone_is_read_where_it_is_expected(tmp_path, archive):
    path = saved_by_torch(tmp_path / "x.pt", torch.zeros(2, 3), archive)
    assert read_header(path, one_tensor=True).tensors == {"": TensorInfo("F32", (2, 3))}
    with pytest.raises(UnusableFile, match=r"^x\.pt holds a Tensor, not a table of tensors: it is not a model file\.$"):
        read_header(path)


def test_the_container_is_told_by_content(tmp_path):
    safetensors.torch.save_file({"a": torch.zeros(1)}, tmp_path / "x.bin")
    saved_by_torch(tmp_path / "x.safetensors", {"a": torch.zeros(1)}, True)
    saved_by_torch(tmp_path / "x", {"a": torch.zeros(1)}, False)
    containers = {path.name: read_header(path).container for path in tmp_path.iterdir()}
    assert containers == {"x.bin": "safetensors", "x.safetensors": "torch archive", "x": "torch pickle"}


NAMES = [
    "größe 模型 \N{GRINNING FACE}.safetensors",
    " leading.safetensors",
    "-rf #1 100%25 $HOME `x` 'q'.safetensors",
    "a" * 200 + ".safetensors",
    ".safetensors",
    "no extension",
]
OF_POSIX = ["CON.safetensors", "a:b\\c.safetensors", "new\nline.safetensors", "\udcff.safetensors"]


def test_names_do_not_matter(tmp_path):
    for path in [tmp_path / each for each in NAMES + (OF_POSIX if os.name == "posix" else [])]:
        path.write_bytes(safetensors.torch.save({"a": torch.zeros(1)}))
        assert list(read_header(path).tensors) == ["a"]
        path.write_bytes(b"")
        with pytest.raises(UnusableFile, match="is empty") as error:
            read_header(path)
        assert "\n" not in str(error.value) and str(error.value).encode()


def test_links_are_followed(tmp_path):
    safetensors.torch.save_file({"a": torch.zeros(1)}, tmp_path / "x")
    (tmp_path / "y").symlink_to("x")
    (tmp_path / "z").symlink_to(tmp_path / "y")
    assert read_header(tmp_path / "z") == read_header(tmp_path / "x")


class Counted(io.BytesIO):
    """A file that counts the bytes that are read from it."""

    count = 0

    def read(self, size=-1, /):
        data = super().read(size)
        self.count += len(data)
        return data

    def readinto(self, buffer, /):
        length = super().readinto(buffer)
        self.count += length
        return length


def test_no_data_are_read():
    tensors = {f"{i}": torch.zeros(1 << 18) for i in range(8)}
    files = {read_safetensors: Counted(safetensors.torch.save(tensors))}
    for read, archive in {read_archive: True, read_legacy: False}.items():
        saved_by_torch(files.setdefault(read, Counted()), tensors, archive)
    for read, file in files.items():
        size = file.seek(0, io.SEEK_END)
        file.seek(0)
        read(file, size)
        assert size > 8 << 20 and file.count < 1 << 18, read
