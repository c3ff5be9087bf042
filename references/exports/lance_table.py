"""A library as a LanceDB table, with an index of its own where there are many pictures."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Any

from ..packages import load
from .arrow import VECTOR, record_batches, table_schema
from .source import Exportable, Progress
from .store import check_options, check_table, check_uri, connection, explained

WHAT = "Export to LanceDB"
INDEX_FROM = 50_000  # pictures: fewer are searched exactly in less than a tenth of a second
PER_PARTITION = 1024  # pictures
KEPT = timedelta(hours=1)  # versions that were replaced: somebody may be searching them


def export_lance(
    library: Exportable,
    uri: str,
    table: str,
    *,
    force: bool = False,
    storage_options: Mapping[str, str] | None = None,
    index_from: int = INDEX_FROM,
    on_progress: Progress | None = None,
) -> None:
    """Write a table that a team searches. It is there when it is whole; versions between are removed.

    uri, storage_options: as of `references.lance.connect`
    force: whether to replace a table of this name; who searches it keeps the old version for an hour
    index_from: from so many pictures on the table gets an index

    Raises:
        ValueError: lancedb or pyarrow is missing, the store cannot be used, or there is such a table already.
    """
    uri, table = check_uri(uri), check_table(table)
    schema = table_schema(library, "float16", WHAT, exported=int(time.time()))
    store = connection(uri, check_options(storage_options or {}), WHAT)
    where = f'The table "{table}" in {uri}'
    with explained(where):
        there = _is_there(store, table)
    if there and not force:
        raise ValueError(f"{where} is there already: give another name, or --force to replace it.")
    made = _written(store, table, library, schema, there, where, on_progress)
    with explained(where):
        if library.count >= index_from and library.count:
            _add_indices(made, library.count)
        _prune(made, KEPT if there else timedelta())


def _written(
    store: Any, table: str, library: Exportable, schema: Any, there: bool, where: str, on_progress: Progress | None
) -> Any:
    """A lancedb.Table with all rows. A table that was there before stays if this fails, one that was not is removed."""
    failed = list[Exception]()

    def rows() -> Any:
        try:
            yield from record_batches(library, schema, on_progress)
        except Exception as error:  # LanceDB makes a text of it
            failed.append(error)
            raise

    reader = load("pyarrow", WHAT).RecordBatchReader.from_batches(schema, rows())
    try:
        with explained(where):
            return store.create_table(table, data=reader, mode="overwrite" if there else "create")
    except ValueError as error:
        if not there:
            with suppress(ValueError, RuntimeError, OSError):
                store.drop_table(table)
        raise (failed[0] if failed else error) from None


def _is_there(store: Any, table: str) -> bool:
    """Whether it can be opened: of a killed export only the name is left."""
    try:
        store.open_table(table)
    except ValueError as error:
        if "was not found" in str(error):
            return False
        raise
    return True


def _prune(table: Any, older_than: timedelta) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "optimize", UserWarning)  # nobody searches a table that is new
        for _ in range(2):  # the first one makes a version itself
            table.optimize(cleanup_older_than=older_than)


def _add_indices(table: Any, count: int) -> None:
    """IVF with codes of 8 bits a number, of which LanceDB scores the best again; and the ids, by which pictures are
    read.
    """
    index = load("lancedb.index", WHAT)
    config = index.IvfSq(distance_type="cosine", num_partitions=max(1, count // PER_PARTITION))
    table.create_index(VECTOR, config=config)
    table.create_index("id", config=index.BTree())
