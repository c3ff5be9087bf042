"""Where LanceDB tables are: a folder, or an object store of which the keys are in environment variables."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout  # another one than Python's own before 3.11
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ...tensor_files import printable
from ..packages import load

SCHEMES = ("s3", "gs", "az", "abfs", "abfss")
NAME = re.compile(r"[\w.-]+", re.ASCII)
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
PATIENCE = {  # in the words of the crate object_store, https://docs.rs/object_store (ClientConfigKey) and of lance
    "connect_timeout": "5s",
    "timeout": "30s",
    "client_max_retries": "1",
    "client_retry_timeout": "5",
}
FAILURES = (ValueError, RuntimeError, OSError, FutureTimeout)
OPENING = 20.0  # seconds until a store has to have answered

REASONS = (  # what LanceDB's error says -> what that means
    (r"was not found|Not found|No such file|NotFound", "it is not there"),
    (r"NoSuchBucket", "there is no such bucket"),
    (r"AccessDenied|InvalidAccessKeyId|SignatureDoesNotMatch|Forbidden|Unauthorized|\b40[13]\b", "it refuses the keys"),
    (r"CredentialsNotLoaded|credential", "no keys for it were found"),
    (r"dns error|failed to lookup", "no machine has its name"),
    (r"ConnectError|kind: Connect|tcp connect|[Tt]imed ?[Oo]ut|TimedOut", "nothing answers at its address"),
)


def check_uri(uri: str) -> str:
    """The URI as it is kept: of a folder its whole path.

    Raises:
        ValueError: it is of another kind, or holds a password.
    """
    if "://" not in uri:
        if not uri.strip():
            raise ValueError(f"Where the table is has to be given: a folder, or {SCHEMES[0]}://BUCKET/FOLDER.")
        return Path(os.path.abspath(os.path.expanduser(uri))).as_posix()
    parts = urlsplit(uri)
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError(
            "The address of a store is kept in a file and so holds no keys: give s3://BUCKET/FOLDER, and the names of "
            "the environment variables that hold the keys."
        )
    if parts.scheme not in SCHEMES or not parts.netloc:
        raise ValueError(
            f"{printable(uri, 200)!r} is no place of LanceDB tables: give a folder, or an address that begins with "
            f"{', '.join(f'{scheme}://' for scheme in SCHEMES)}."
        )
    return uri.rstrip("/")


def check_table(table: str) -> str:
    if not NAME.fullmatch(table):
        raise ValueError(
            f"{printable(table, 100)!r} cannot be the name of a table: use letters, digits, _, - and dots."
        )
    return table


def check_options(options: Mapping[str, str]) -> dict[str, str]:
    """{option of the store: name of an environment variable}, as given.

    Raises:
        ValueError: something else than the name of a variable that is set now, which may be a secret and is not shown.
    """
    for option, variable in options.items():
        if not VARIABLE.fullmatch(variable) or variable not in os.environ:
            raise ValueError(
                f"What was given for {printable(option, 100)} is not the name of an environment variable that is set. "
                "Values such as keys are not kept in files: set a variable to the value, and give its name, such as "
                "AWS_SECRET_ACCESS_KEY."
            )
    return dict(options)


def values(options: Mapping[str, str]) -> dict[str, str]:
    """{option of the store: its value}. ValueError if a variable is not set."""
    if missing := [variable for variable in options.values() if variable not in os.environ]:
        raise ValueError(
            f"The environment variable {printable(missing[0], 100)} is not set, in which a key or an option of the "
            "store is: set it where ComfyUI is started, and start it again."
        )
    return {option: os.environ[variable] for option, variable in options.items()}


def connection(uri: str, options: Mapping[str, str], what: str) -> Any:
    """A lancedb.DBConnection. options: as of `check_options`; what: needs it, the begin of a sentence.

    Raises:
        ValueError: lancedb is missing, or the store cannot be reached, and why.
    """
    given, lancedb = values(options), load("lancedb", what)
    with explained(f"The store {uri}"):
        if not is_store(uri):
            return lancedb.connect(uri)
        return _soon(lambda: lancedb.connect(uri, storage_options={**PATIENCE, **given}))


def _soon(work: Callable[[], Any]) -> Any:
    """What `work` returns or raises, or a TimeoutError when that takes long: LanceDB asks a silent store many times."""
    done = Future[Any]()

    def run() -> None:
        try:
            done.set_result(work())
        except BaseException as error:  # of Rust, too
            done.set_exception(error)

    threading.Thread(target=run, daemon=True).start()  # a daemon, so that nothing waits for it at the end
    return done.result(OPENING)


def is_store(uri: str) -> bool:
    return "://" in uri


def open_table(uri: str, table: str, options: Mapping[str, str], what: str) -> Any:
    """A lancedb.Table, which stays at its version.

    Raises:
        ValueError: lancedb is missing, the store cannot be reached, or there is no such table, and what to do.
    """
    if not is_store(uri) and not os.path.isdir(os.path.join(uri, f"{table}.lance")):
        raise ValueError(gone(uri, table, "it is not there"))
    store = connection(uri, options, what)
    try:
        return _soon(lambda: store.open_table(table)) if is_store(uri) else store.open_table(table)
    except FAILURES as error:
        raise ValueError(gone(uri, table, reason(error))) from error


def gone(uri: str, table: str, why: str) -> str:
    return (
        f'The table "{printable(table, 100)}" in {printable(uri, 200)} cannot be opened: {why}. Look whether the '
        "folder or store can be reached from here; if the table was moved or removed, export it again, or connect "
        "the library to another one."
    )


@contextmanager
def explained(what: str) -> Generator[None]:
    """Say of an error of LanceDB what cannot be read or written, and why. what: the begin of a sentence"""
    try:
        yield
    except FAILURES as error:
        raise ValueError(
            f"{what} cannot be used: {reason(error)}. Check the address, the network and the keys, then try again."
        ) from error


def reason(error: Exception) -> str:
    if isinstance(error, FutureTimeout):
        return f"it did not answer within {OPENING:g} seconds"
    said = (isinstance(error, OSError) and error.strerror) or str(error)
    return next((text for pattern, text in REASONS if re.search(pattern, said)), printable(said, 300).rstrip("."))
