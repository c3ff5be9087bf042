"""Whether the service answers: a file says so that no route of ComfyUI writes.

Settings and files of users can be written over HTTP by any page that reaches the server; files of a system user cannot.
"""

import json
import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import folder_paths

from ...model_files.folders import SYSTEM_USER
from ...service.http.guard import is_name
from .. import input_checks

FILE = "service.json"
PLACE = f"{FILE} in the folder __{SYSTEM_USER} of ComfyUI's user folder"
ADVICE = f'write {{"serve": true}} into {PLACE}'
LARGEST = 64 << 10  # bytes


@dataclass(frozen=True)
class Setting:
    """What the file says.

    closed: why the service does not answer, as a sentence; empty where it does
    hosts: names under which it may be asked, beside those that always are allowed
    """

    closed: str
    hosts: frozenset[str] = frozenset()


class Switch:
    """The setting as it is now: the file is read again when it has changed."""

    def __init__(self) -> None:
        self._known: tuple[object, Setting] = (None, Setting("The service is off."))

    def closed(self) -> str:
        return self._setting().closed

    def hosts(self) -> Collection[str]:
        return self._setting().hosts

    def _setting(self) -> Setting:
        path = setting_file()
        state = _state(path)
        if self._known[0] != state or state is None:
            self._known = state, read_setting(path)
        return self._known[1]


def setting_file() -> str:
    """The path of the file; empty if this ComfyUI has no folder that its routes leave alone."""
    of_system = getattr(folder_paths, "get_system_user_directory", None)
    return os.path.join(of_system(SYSTEM_USER), FILE) if of_system is not None else ""


def read_setting(path: str) -> Setting:
    """What a file says. One that is not there, or is damaged, says that the service is off."""
    if not path:
        return Setting("The service is off: this ComfyUI has no folder for its file. Update ComfyUI.")
    try:
        with open(path, "rb") as file:
            return _setting(_json(file.read(LARGEST + 1)))
    except FileNotFoundError:
        return Setting(f"The service is off. To turn it on, {ADVICE}.")
    except OSError as error:
        return _damaged(f"it cannot be read ({error.strerror or type(error).__name__})")
    except ValueError as error:
        return _damaged(str(error))


def _state(path: str) -> tuple[str, int, int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return path, status.st_mtime_ns, status.st_size, status.st_ino


def _damaged(why: str) -> Setting:
    return Setting(f"The service is off, because of what is wrong in {PLACE}: {why}. To turn it on, {ADVICE}.")


def _json(data: bytes) -> dict[str, Any]:
    """ValueError, a part of a sentence: it is no JSON object, or one of the unknown, or too large."""
    if len(data) > LARGEST:
        raise ValueError(f"it is larger than {LARGEST:,} bytes")
    try:
        found = json.loads(data.decode("utf-8-sig"), object_pairs_hook=_once)
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"it is not JSON ({error.msg} in line {error.lineno})") from None
    except RecursionError:
        raise ValueError("it is not JSON that can be read") from None
    if not isinstance(found, dict):
        raise ValueError(f"it holds {input_checks.described(found)}, and not an object in braces")
    return found


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("it says the same thing twice")
    return found


def _setting(said: dict[str, Any]) -> Setting:
    if unknown := [name for name in said if name not in ("serve", "hosts")]:
        raise ValueError(f"{input_checks.described(unknown[0])} is not known, serve and hosts are")
    serve, hosts = said.get("serve", False), said.get("hosts", [])
    if not isinstance(serve, bool):
        raise ValueError(f"serve is {input_checks.described(serve)}, and must be true or false, without quotes")
    if not isinstance(hosts, list):
        raise ValueError(f'hosts is {input_checks.described(hosts)}, and must be a list such as ["my.machine"]')
    for host in hosts:
        if not isinstance(host, str) or not is_name(host):
            raise ValueError(
                f"hosts holds {input_checks.described(host)}, and must hold names alone, such as my.machine, "
                "without http:// and without a port"
            )
    closed = "" if serve else f'The service is off: {FILE} says so, or does not say "serve". To turn it on, {ADVICE}.'
    return Setting(closed, frozenset(host.lower() for host in hosts))
