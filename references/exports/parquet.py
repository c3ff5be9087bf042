"""A library as a parquet file, in row groups."""

from __future__ import annotations

import os
from pathlib import Path

from ..packages import load
from .arrow import Dtype, record_batches, table_schema
from .source import AT_ONCE, Exportable, Progress
from .target import fill_folder

FILE = "pictures.parquet"
WHAT = "Export as parquet"


def export_parquet(
    library: Exportable,
    folder: str | os.PathLike[str],
    *,
    dtype: Dtype = "float32",
    force: bool = False,
    on_progress: Progress | None = None,
) -> Path:
    """Write all that is known of the pictures, and their vectors, into pictures.parquet in a new folder; return that.

    dtype: float32 is read by everything; float16 is what the library keeps, and half as large

    Raises:
        ValueError: pyarrow is missing, the folder is there already, or another dtype.
        OSError: it cannot be written.
    """
    schema, parquet = table_schema(library, dtype, WHAT), load("pyarrow.parquet", WHAT)

    def fill(part: Path) -> None:
        with parquet.ParquetWriter(part / FILE, schema, compression="zstd") as writer:
            for batch in record_batches(library, schema, on_progress):
                writer.write_batch(batch, row_group_size=AT_ONCE)

    return fill_folder(folder, (FILE,), fill, force)
