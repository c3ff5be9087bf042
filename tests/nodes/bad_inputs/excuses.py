"""The inputs of which no value is wrong, with the reason: a test finds those that are in no row and not here."""

from collections.abc import Mapping

EXCUSES: Mapping[tuple[str, str], str] = {  # id of a node, input -> why
}
