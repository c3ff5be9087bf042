"""The names that torch's checkpoints may use, and their stand-ins, which know sizes and dtypes but run nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from .pickle_machine import Name, Table, call
from .tensor_info import DTYPE_BITS, TensorInfo, damaged, is_shape

BITS = {**DTYPE_BITS, "C128": 128}  # safetensors has no name for torch's complex128
STORAGES = {
    "BoolStorage": "BOOL",
    "ByteStorage": "U8",
    "CharStorage": "I8",
    "ShortStorage": "I16",
    "IntStorage": "I32",
    "LongStorage": "I64",
    "HalfStorage": "F16",
    "BFloat16Storage": "BF16",
    "FloatStorage": "F32",
    "DoubleStorage": "F64",
    "ComplexFloatStorage": "C64",
    "ComplexDoubleStorage": "C128",
    "UntypedStorage": "U8",
}
DTYPES = {
    "bool": "BOOL",
    "uint8": "U8",
    "int8": "I8",
    "int16": "I16",
    "int32": "I32",
    "int64": "I64",
    "uint16": "U16",
    "uint32": "U32",
    "uint64": "U64",
    "float16": "F16",
    "bfloat16": "BF16",
    "float32": "F32",
    "float64": "F64",
    "complex64": "C64",
    "complex128": "C128",
    "float8_e4m3fn": "F8_E4M3",
    "float8_e4m3fnuz": "F8_E4M3FNUZ",
    "float8_e5m2": "F8_E5M2",
    "float8_e5m2fnuz": "F8_E5M2FNUZ",
    "float8_e8m0fnu": "F8_E8M0",
}


@dataclass(frozen=True)
class Dtype:
    word: str


@dataclass(slots=True)
class Storage:
    """The numbers of one or several tensors, as one entry of the file."""

    key: str
    dtype: str
    size: int  # bytes


class Thing:
    """The stand-in for anything that is not a tensor or a text, such as a device or a number of numpy."""


def storage_of(persistent_id: Any) -> Storage:
    """The storage that a persistent id describes: ("storage", type, key, device, count of numbers).

    The older format adds a view, which is None.
    """
    if not (isinstance(persistent_id, tuple) and len(cast(tuple[Any, ...], persistent_id)) in (5, 6)):
        raise damaged("its pickle refers to something other than a tensor's numbers")
    kind, dtype, key, _, count, *view = cast(tuple[Any, ...], persistent_id)
    if kind != "storage" or not isinstance(dtype, Dtype) or view not in ([], [None]):
        raise damaged("its pickle refers to a tensor's numbers in an unknown way")
    if not (isinstance(key, str) and len(key) <= 32 and is_shape((count,))):
        raise damaged("its pickle does not say where a tensor's numbers are")
    return Storage(key, dtype.word, count * BITS[dtype.word] // 8)


def _tensor(storage: Any, offset: Any, shape: Any, stride: Any, *_: Any) -> TensorInfo:
    return _view(storage, storage.dtype, offset, shape, stride)


def _tensor_of_new_dtype(storage: Any, offset: Any, shape: Any, stride: Any, *more: Any) -> TensorInfo:
    _, _, dtype, *_ = more  # after requires_grad and hooks
    return _view(storage, dtype.word, offset, shape, stride)


def _view(storage: Storage, dtype: str, offset: int, shape: tuple[int, ...], stride: tuple[int, ...]) -> TensorInfo:
    if not (is_shape((offset,)) and is_shape(shape) and is_shape(stride)):
        raise damaged("the shape of a tensor in it is impossible")
    last = offset + sum((length - 1) * step for length, step in zip(shape, stride, strict=True))
    if 0 not in shape and (last + 1) * BITS[dtype] > 8 * storage.size:
        raise damaged("a tensor in it reaches past its numbers")
    return TensorInfo(dtype, tuple(shape))


def _parameter(tensor: Any, *_: Any) -> Any:
    return tensor


def _tensor_with_attributes(rebuild: Any, _kind: Any, arguments: Any, _state: Any) -> TensorInfo:
    if rebuild not in REBUILDS.values():
        raise damaged("it builds a tensor in an unknown way")
    return call(rebuild, arguments)


def _thing(*_: Any) -> Thing:
    return Thing()


def _same(value: Any = ()) -> Any:
    return value


def _table(pairs: Any = None) -> Table:
    """A dict, with its pairs if Python 2 wrote it; Python 3 sets them afterwards."""
    if not (pairs is None or isinstance(pairs, list)):
        raise TypeError("pairs")
    return Table(cast("list[Any] | None", pairs))


REBUILDS = {
    "torch._utils._rebuild_tensor": Name(_tensor),
    "torch._utils._rebuild_tensor_v2": Name(_tensor),
    "torch._utils._rebuild_tensor_v3": Name(_tensor_of_new_dtype),
}
NAMES: Mapping[str, Any] = {
    **REBUILDS,
    **{f"torch.{name}": Dtype(word) for name, word in (*STORAGES.items(), *DTYPES.items())},
    "torch.storage.UntypedStorage": Dtype("U8"),
    "torch._utils._rebuild_parameter": Name(_parameter),
    "torch._utils._rebuild_parameter_with_state": Name(_parameter),
    "torch._tensor._rebuild_from_type_v2": Name(_tensor_with_attributes),
    "collections.OrderedDict": Name(_table),
    "torch.Size": Name(_same),
    # What checkpoints that ComfyUI reads hold besides tensors, and the options of a training.
    **dict.fromkeys(
        (
            "torch.Tensor",
            "torch.nn.parameter.Parameter",
            "torch.device",
            "builtins.set",
            "__builtin__.set",
            "collections.Counter",
            "_codecs.encode",
            "argparse.Namespace",
            "numpy.dtype",
            "numpy.core.multiarray.scalar",
            "numpy._core.multiarray.scalar",
            "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint",
        ),
        Name(_thing),
    ),
}
