"""A node of another pack as a row, and the class that ComfyUI and other packs use.

The classes have ComfyUI's older form, because other packs make instances of them and call their methods, and programs
read their combo boxes as lists.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from ..notices import telling
from ..sockets import CATEGORY
from .help import input_help, output_help
from .inputs import Input, today

FIRST_PACK = "IPAdapter_plus"


def subcategory(pack: str) -> str:
    """Where menus have the nodes of a pack: last, since they sort by name."""
    return f"{CATEGORY}/z {pack}"


Method = TypeVar("Method", bound=Callable[..., Any])


def called(name: str) -> Callable[[Method], Method]:
    """Give a method the name by which other packs call it, where another one of its module has that name."""

    def renamed(method: Method) -> Method:
        method.__name__ = name
        return method

    return renamed


@dataclass(frozen=True)
class Output:
    """One output of a node."""

    type: str
    name: str = ""


@dataclass(frozen=True, eq=False)
class Node:
    """One node, as the other pack has it.

    id, title: by which saved files and people know it
    inputs, outputs: in the order of the other pack
    method: what its method does; it has the name and the parameters that other packs call. Its first argument is the
        instance of the class, whose `row` is this row
    instead: which of our nodes to use in new graphs, as a sentence
    by_picture: whether each reference is for the picture of its number
    is_output: whether it is run although nothing reads its outputs
    pack: the name of the pack that it is from
    is_changed: gives a value that differs once what the node reads has changed; None: its inputs say it
    """

    id: str
    title: str
    inputs: tuple[Input, ...]
    outputs: tuple[Output, ...]
    method: Callable[..., Any]
    instead: str
    by_picture: bool = False
    is_output: bool = False
    pack: str = FIRST_PACK
    is_changed: Callable[..., Any] | None = None

    def input_types(self) -> dict[str, dict[str, tuple[Any, ...]]]:
        """What `INPUT_TYPES` gives: inputs in two groups, both in order."""
        groups = {"required": (each for each in self.inputs if not each.optional)}
        if any(each.optional for each in self.inputs):
            groups["optional"] = (each for each in self.inputs if each.optional)
        return {
            name: {each.name: each.described(input_help(self, each.name)) for each in some}
            for name, some in groups.items()
        }


class CompatNode:
    """What the classes of all rows have in common."""

    row: Node
    unfold_batch: bool  # other packs read it

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return cls.row.input_types()


def _accepts_old_weight_types(cls: type[CompatNode], weight_type: Any = None) -> bool | str:
    """Take the names in old files too. ComfyUI checks the other inputs as ever; None stands for a link."""
    choices = next(each.type for each in cls.row.inputs if each.name == "weight_type")
    assert isinstance(choices, tuple)
    if weight_type is None or weight_type in choices or today(weight_type) in choices:
        return True
    return f"The weight_type is {weight_type!r:.60}: choose one of {', '.join(choices)}."


def node_class(row: Node, module: str) -> type[CompatNode]:
    """The class of a row.

    module: the name under which ComfyUI loaded the pack, as `RELATIVE_PYTHON_MODULE`
    """
    members: dict[str, Any] = {
        "row": row,
        "unfold_batch": row.by_picture,
        "__doc__": f"{row.title}. {row.instead}",
        "__module__": __name__,
        "RETURN_TYPES": tuple(each.type for each in row.outputs),
        "RETURN_NAMES": tuple(each.name or each.type for each in row.outputs),
        "OUTPUT_TOOLTIPS": tuple(output_help(row, each) for each in row.outputs),
        "FUNCTION": row.method.__name__,
        row.method.__name__: telling(row.method),
        "CATEGORY": subcategory(row.pack),
        "DESCRIPTION": f"As in {row.pack}, so that saved workflows run. {row.instead}",
        "OUTPUT_NODE": row.is_output,
        "RELATIVE_PYTHON_MODULE": module,
    }
    if row.is_changed:
        members["IS_CHANGED"] = staticmethod(row.is_changed)
    if any(each.name == "weight_type" for each in row.inputs):
        members["VALIDATE_INPUTS"] = classmethod(_accepts_old_weight_types)
    return type(row.id, (CompatNode,), members)
