"""Read the address and the JSON of a request. What is not known, or said twice, is refused and never left out."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn, cast

from ...tensor_files import printable
from .errors import Refused

LONGEST = 100  # characters of a name that a message quotes


def parameters(given: Iterable[tuple[str, str]], known: Sequence[str]) -> dict[str, str]:
    """The parameters of an address, by their names. Raises a Refused, which names the one that is wrong."""
    found: dict[str, str] = {}
    for name, value in given:
        shown = printable(name, LONGEST)
        if name not in known:
            raise Refused(400, f"There is no parameter {shown!r} here. {_there_are(known)}", param=shown)
        if name in found:
            raise Refused(400, f"The parameter {shown} is given twice: give it once.", param=shown)
        found[name] = value
    return found


def fields(given: object, known: Sequence[str]) -> dict[str, Any]:
    """An object of JSON with these fields. Raises a Refused if it is none, or has others."""
    if not isinstance(given, dict):
        raise Refused(400, f"The JSON is {described(given)}: send an object with {', '.join(known[:2])}.")
    table = cast("dict[str, Any]", given)
    check_fields(table, known)
    return table


def check_fields(given: Mapping[str, Any], known: Sequence[str]) -> None:
    """Raises a Refused if an object of JSON has a field that is not known."""
    if unknown := [name for name in given if name not in known]:
        shown = printable(unknown[0], LONGEST)
        raise Refused(400, f"There is no field {shown!r}. {_there_are(known)}", param=shown)


def described(value: object) -> str:
    """A value of JSON in a few words."""
    if isinstance(value, str):
        return f"the text {printable(value, 40)!r}"
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, (int, float)):
        return "a large number" if abs(value) >= 1e15 else f"{value}"
    return f"a list of {len(cast('list[Any]', value))}" if isinstance(value, list) else "an object"


def read_json(body: bytes | bytearray) -> object:
    """What a body says in JSON. Raises a Refused if it cannot be read, or says the same field twice."""
    try:
        return json.loads(body, parse_constant=_no_number, object_pairs_hook=_once)
    except (json.JSONDecodeError, UnicodeDecodeError, _Wrong) as error:
        raise Refused(400, f"This is not JSON that can be read: {error}.") from error
    except RecursionError as error:
        raise Refused(400, "This JSON is nested too deeply: no field holds more than a list of objects.") from error
    except ValueError as error:  # Python reads no number of thousands of digits
        raise Refused(400, "This JSON holds a number of too many digits.") from error


class _Wrong(ValueError):
    pass


def _no_number(name: str) -> NoReturn:
    raise _Wrong(f"{name} is no number in JSON")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice, _ = Counter(name for name, _ in pairs).most_common(1)[0]
        raise _Wrong(f"it says {printable(twice, LONGEST)!r} twice")
    return found


def _there_are(known: Sequence[str]) -> str:
    return f"There are {', '.join(known)}." if known else "There are none."
