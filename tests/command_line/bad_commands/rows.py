"""What a bad command is, and all inputs of all commands, as its parsers know them."""

import argparse
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

HARMLESS = ("help", "json", "action")  # what every command has


@dataclass(frozen=True)
class Bad:
    """A command that is refused: code 2 for how it is written, and code 1 for what it says.

    command: such as "library info"
    of: its option, or its positional argument in capitals, that is bad
    arguments: as in a shell. {comfyui}, {pictures}, {encoders}, {files}: folders
    message: a regular expression
    """

    command: str
    of: str
    arguments: str
    message: str
    code: int = 1

    def words(self, places: Mapping[str, object]) -> list[str]:
        return [*self.command.split(), *(word.format(**places) for word in shlex.split(self.arguments))]


def usage(command: str, of: str, arguments: str, message: str) -> Bad:
    return Bad(command, of, arguments, message, 2)


def parsers(parser: argparse.ArgumentParser, name: str = "") -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """(command, its parser) of all commands that run, and ("", the parser of all)."""
    below = [each for each in parser._actions if isinstance(each, argparse._SubParsersAction)]
    if not below or not name:
        yield name, parser
    for action in below:
        for word, each in action.choices.items():
            yield from parsers(each, f"{name} {word}".strip())


def inputs_of(parser: argparse.ArgumentParser) -> set[tuple[str, str]]:
    """(command, option or positional argument)"""
    return {
        (command, input_name(action))
        for command, each in parsers(parser)
        for action in each._actions
        if action.dest not in HARMLESS
    }


def input_name(action: argparse.Action) -> str:
    """--name, or NAME of a positional argument."""
    if action.option_strings:
        return action.option_strings[-1]
    return (action.metavar if isinstance(action.metavar, str) else action.dest).upper()


def of_every_command(parser: argparse.ArgumentParser) -> Iterator[Bad]:
    """Options that no command has, flags with a value, and options of one value that are given twice."""
    for command, each in parsers(parser):
        for action in each._actions:
            option = input_name(action)
            if action.dest in HARMLESS or not action.option_strings:
                continue
            if action.nargs == 0:
                yield usage(command, option, f"{option}=1", f"argument {option}: ignored explicit argument '1'")
            else:
                yield usage(command, option, option, f"argument {option}: expected one argument")
                if not isinstance(action, argparse._AppendAction):
                    value = _good(action)
                    twice = f"{option}={value} {option}={value}" if option.startswith("--") else f"{option}1 {option}1"
                    yield usage(command, option, twice, f"argument {option}: it is given twice")


def _good(action: argparse.Action) -> str:
    if action.choices:
        return str(next(iter(action.choices)))
    return "1/2" if action.dest == "shard" else "1"


def check_cover(rows: Sequence[Bad], wanted: set[tuple[str, str]], exceptions: Mapping[tuple[str, str], str]) -> None:
    """Fail for inputs without a row, and for rows and exceptions of what is no input, or is covered."""
    covered = {(row.command, row.of) for row in rows}
    assert wanted - covered == set(exceptions), "inputs without a bad command, or exceptions that are none"
    assert covered <= wanted, "bad commands of what is no input"
    assert all(exceptions.values())
