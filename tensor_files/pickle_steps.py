"""The few pickle instructions that data need. A file can make none of them take long."""

from __future__ import annotations

import pickle
import pickletools
import struct
from collections.abc import Callable, Iterator, Mapping
from typing import Any, BinaryIO

from .pickle_machine import Machine, Table, call, more_than_tensors
from .tensor_info import UnusableFile, damaged, too_large

MAX_STEPS = 250_000  # a tensor takes about 30 instructions, so a full SDXL checkpoint takes 80,000
INSTRUCTIONS = {code.code.encode("latin-1"): code.name for code in pickletools.opcodes}
Step = Callable[[Machine], object]


def all_steps() -> Iterator[int]:
    """One item for each instruction that the pickles of one file may have together."""
    return iter(range(MAX_STEPS))


def read_pickle(file: BinaryIO, names: Mapping[str, Any], load: Callable[[Any], Any], steps: Iterator[int]) -> Any:
    """The value of the pickle at the current position of `file`, which moves past it. See `Machine` for the rest."""
    machine = Machine(file, names, load)
    try:
        for _ in steps:
            code = machine.take(1)
            if code == pickle.STOP:
                return machine.stack.pop()
            _step(code)(machine)
    except UnusableFile:
        raise
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, struct.error) as error:
        raise damaged(f"its pickle contradicts itself ({type(error).__name__})") from error
    raise too_large(f"its pickle has more than {MAX_STEPS:,} instructions")


def _step(code: bytes) -> Step:
    if step := STEPS.get(code):
        return step
    if code in INSTRUCTIONS:
        raise more_than_tensors(f"uses the instruction {INSTRUCTIONS[code]}")
    raise damaged(f"its pickle holds an unknown instruction, {code!r}")


def _push(value: Any) -> Step:
    return lambda machine: machine.stack.append(value)


def _new(kind: Callable[[], Any]) -> Step:
    return lambda machine: machine.stack.append(kind())


def _skip(count: int) -> Step:
    return lambda machine: machine.take(count)


def _number(layout: str) -> Callable[[Machine], Any]:
    form = struct.Struct(layout)
    return lambda machine: form.unpack(machine.take(form.size))[0]


def _push_number(layout: str) -> Step:
    number = _number(layout)
    return lambda machine: machine.stack.append(number(machine))


def _push_counted(layout: str, decode: Callable[[bytes], Any]) -> Step:
    """Push a value that is stored as a length and then so many bytes."""
    length = _number(layout)
    return lambda machine: machine.stack.append(decode(machine.take(length(machine))))


def _put(layout: str) -> Step:
    index = _number(layout)

    def step(machine: Machine) -> None:
        machine.memo[index(machine)] = machine.stack[-1]

    return step


def _get(layout: str) -> Step:
    index = _number(layout)
    return lambda machine: machine.stack.append(machine.memo[index(machine)])


def _memoize(machine: Machine) -> None:
    machine.memo[len(machine.memo)] = machine.stack[-1]


def _mark(machine: Machine) -> None:
    machine.marks.append(machine.stack)
    machine.stack = []


def _tuple(machine: Machine) -> None:
    items = machine.since_mark()
    machine.stack.append(tuple(items))


def _tuple_of(count: int) -> Step:
    def step(machine: Machine) -> None:
        items = [machine.stack.pop() for _ in range(count)]
        machine.stack.append(tuple(items[::-1]))

    return step


def _append(machine: Machine) -> None:
    item = machine.stack.pop()
    machine.stack[-1].append(item)


def _appends(machine: Machine) -> None:
    items = machine.since_mark()
    machine.stack[-1].extend(items)


def _set_item(machine: Machine) -> None:
    value, key = machine.stack.pop(), machine.stack.pop()
    machine.stack[-1].items.append((key, value))


def _set_items(machine: Machine) -> None:
    items = machine.since_mark()
    machine.stack[-1].items.extend(zip(items[::2], items[1::2], strict=True))


def _global(machine: Machine) -> None:
    module, name = machine.line(), machine.line()
    machine.stack.append(machine.named(module, name))


def _stack_global(machine: Machine) -> None:
    name, module = machine.stack.pop(), machine.stack.pop()
    machine.stack.append(machine.named(module, name))


def _call(machine: Machine) -> None:
    arguments, name = machine.stack.pop(), machine.stack.pop()
    machine.stack.append(call(name, arguments))


def _build(machine: Machine) -> None:
    """Drop the attributes of an object, such as `_metadata` of an OrderedDict: nothing here needs them."""
    machine.stack.pop()
    machine.stack[-1]  # pyright: ignore[reportUnusedExpression]


def _persistent(machine: Machine) -> None:
    machine.stack.append(machine.load(machine.stack.pop()))


def _text(data: bytes) -> str:
    return data.decode()


def _old_text(data: bytes) -> str:
    """Decode a string that Python 2 wrote, which may hold bytes that are not text."""
    return data.decode(errors="replace")


def _long(data: bytes) -> int:
    return int.from_bytes(data, "little", signed=True)


STEPS: Mapping[bytes, Step] = {
    pickle.PROTO: _skip(1),
    pickle.FRAME: _skip(8),
    pickle.NONE: _push(None),
    pickle.NEWTRUE: _push(True),
    pickle.NEWFALSE: _push(False),
    pickle.BININT: _push_number("<i"),
    pickle.BININT1: _push_number("<B"),
    pickle.BININT2: _push_number("<H"),
    pickle.BINFLOAT: _push_number(">d"),
    pickle.LONG1: _push_counted("<B", _long),
    pickle.SHORT_BINUNICODE: _push_counted("<B", _text),
    pickle.BINUNICODE: _push_counted("<I", _text),
    pickle.BINUNICODE8: _push_counted("<Q", _text),
    pickle.SHORT_BINSTRING: _push_counted("<B", _old_text),
    pickle.BINSTRING: _push_counted("<I", _old_text),
    pickle.SHORT_BINBYTES: _push_counted("<B", bytes),
    pickle.BINBYTES: _push_counted("<I", bytes),
    pickle.BINBYTES8: _push_counted("<Q", bytes),
    pickle.MARK: _mark,
    pickle.EMPTY_TUPLE: _push(()),
    pickle.TUPLE: _tuple,
    pickle.TUPLE1: _tuple_of(1),
    pickle.TUPLE2: _tuple_of(2),
    pickle.TUPLE3: _tuple_of(3),
    pickle.EMPTY_LIST: _new(list[Any]),
    pickle.APPEND: _append,
    pickle.APPENDS: _appends,
    pickle.EMPTY_DICT: _new(Table),
    pickle.SETITEM: _set_item,
    pickle.SETITEMS: _set_items,
    pickle.BINPUT: _put("<B"),
    pickle.LONG_BINPUT: _put("<I"),
    pickle.MEMOIZE: _memoize,
    pickle.BINGET: _get("<B"),
    pickle.LONG_BINGET: _get("<I"),
    pickle.GLOBAL: _global,
    pickle.STACK_GLOBAL: _stack_global,
    pickle.REDUCE: _call,
    pickle.NEWOBJ: _call,
    pickle.BUILD: _build,
    pickle.BINPERSID: _persistent,
}
