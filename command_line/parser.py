"""A parser of arguments that leaves nothing out: an option that takes one value is given once."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

GIVEN = "given"  # an attribute of what is parsed: the options that were given already


class Parser(argparse.ArgumentParser):
    """Its commands get such parsers too. argparse alone takes the last value of an option that is repeated."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.register("action", None, _Once)


class _Once(argparse.Action):
    """Stores one value. An error of usage if the option is there already."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        given: set[str] = vars(namespace).setdefault(GIVEN, set[str]())
        if option_string and self.dest in given:
            raise argparse.ArgumentError(self, "it is given twice: give it once")
        given.add(self.dest)
        setattr(namespace, self.dest, values)
