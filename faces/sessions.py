"""Open ONNX files with onnxruntime, and tell which of them finds faces and which recognises them."""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Role = Literal["detection", "recognition", "other"]
CPU = "CPUExecutionProvider"
QUIET = 3  # severity of onnxruntime's own log: errors alone
THREADS = 8  # more make these small networks no faster


@dataclass(frozen=True, eq=False)
class Network:
    """An opened ONNX file.

    inputs, outputs: their names
    shape: of the first input; sizes that are free are no numbers
    """

    path: Path
    session: Any
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    shape: tuple[Any, ...]

    @property
    def role(self) -> Role:
        """What it is for, told by its inputs and outputs, as insightface does it."""
        if len(self.outputs) >= 5 and len(self.shape) == 4:
            return "detection"
        side = self.shape[2] if len(self.shape) == 4 and self.shape[2] == self.shape[3] else None
        square = isinstance(side, int) and side >= 112 and side % 16 == 0
        if len(self.inputs) == 1 and square and side != 192:
            return "recognition"
        return "other"

    def run(self, values: Any) -> list[Any]:
        """What it makes of the values of its input: one array for each output.

        Raises:
            ValueError: it takes no such values, or fails.
        """
        try:
            return self.session.run(list(self.outputs), {self.inputs[0]: values})
        except Exception as error:  # onnxruntime has an error class for each code, below Exception
            raise ValueError(
                f"{self.path.name} cannot be run on a picture of {values.shape[3]}x{values.shape[2]} pixels "
                f"({_first_line(error)}): get the file again, or choose another provider."
            ) from error


def onnxruntime() -> Any:
    """The library that runs the networks.

    Raises:
        ValueError: it is not installed, or cannot be imported.
    """
    try:
        return importlib.import_module("onnxruntime")
    except ImportError as error:
        raise ValueError(
            f"Faces are recognised with onnxruntime, which cannot be imported ({error}): install it into the Python "
            "that runs this with `python -m pip install onnxruntime`. Nothing else is needed."
        ) from error


def available_providers() -> list[str]:
    """What onnxruntime can run networks on, the fastest first; [] if it is not installed."""
    try:
        return list(onnxruntime().get_available_providers())
    except ValueError:
        return []


def open_network(path: Path, providers: Sequence[str] = (CPU,)) -> Network:
    """Open an ONNX file.

    Raises:
        ValueError: onnxruntime is not installed, the file is no ONNX model, or a provider is missing or cannot start.
    """
    runtime = onnxruntime()
    if missing := [each for each in providers if each not in runtime.get_available_providers()]:
        raise ValueError(
            f"onnxruntime cannot run networks on {', '.join(missing)} here: choose one of "
            f"{', '.join(runtime.get_available_providers())}."
        )
    options = runtime.SessionOptions()
    options.log_severity_level = QUIET
    options.intra_op_num_threads = min(THREADS, os.cpu_count() or 1)
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # torch's threads need the cores
    try:
        session = runtime.InferenceSession(str(path), options, providers=list(providers))
    except Exception as error:  # onnxruntime has an error class for each code, below Exception
        raise ValueError(
            f"{path.name} cannot be opened as an ONNX model ({_first_line(error)}): unpack the archive of its face "
            "pack again, or get the archive again if that does not help."
        ) from error
    if CPU not in providers and not set(providers) & set(session.get_providers()):  # it takes the CPU without a word
        raise ValueError(
            f"onnxruntime lists {' and '.join(providers)}, but cannot start it for {path.name}: choose another "
            "provider, or install what it needs, such as the CUDA libraries of its version."
        )
    inputs, outputs = session.get_inputs(), session.get_outputs()
    return Network(
        path,
        session,
        tuple(each.name for each in inputs),
        tuple(each.name for each in outputs),
        tuple(inputs[0].shape) if inputs else (),
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
