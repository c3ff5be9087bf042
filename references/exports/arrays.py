"""A library as an array of numpy, with what is known of its pictures as JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

import numpy as np

from .arrow import DTYPES, Dtype, check_dtype
from .source import Exportable, Progress, about, batches
from .target import fill_folder

VECTORS, METADATA = "embeddings.npy", "metadata.json"


def export_numpy(
    library: Exportable,
    folder: str | os.PathLike[str],
    *,
    dtype: Dtype = "float32",
    force: bool = False,
    on_progress: Progress | None = None,
) -> Path:
    """Write embeddings.npy (n, D), and metadata.json, into a new folder; return that.

    Each of the `entries` of metadata.json is a picture, and `embedding_index` the number of its row.

    Raises:
        ValueError: the folder is there already, or another dtype.
        OSError: it cannot be written.
    """
    check_dtype(dtype)

    def fill(part: Path) -> None:
        with open(part / VECTORS, "wb") as vectors, open(part / METADATA, "w", encoding="utf-8") as metadata:
            _write(library, dtype, vectors, metadata, on_progress)

    return fill_folder(folder, (VECTORS, METADATA), fill, force)


def _write(
    library: Exportable, dtype: Dtype, vectors: IO[bytes], metadata: IO[str], on_progress: Progress | None
) -> None:
    shape = (library.count, library.space.dimension)
    header = {"descr": DTYPES[dtype], "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(vectors, header)
    metadata.write(f'{_json({**about(library), "dtype": dtype, "count": library.count})[:-1]}, "entries": [')
    written = 0
    for pictures, rows in batches(library, on_progress):
        vectors.write(np.ascontiguousarray(rows, DTYPES[dtype]).tobytes())
        for picture in pictures:
            metadata.write(f"{',' if written else ''}\n{_json({**asdict(picture), 'embedding_index': written})}")
            written += 1
    metadata.write("\n]}\n")


def _json(data: Mapping[str, Any]) -> str:
    return json.dumps(data, ensure_ascii=False)
