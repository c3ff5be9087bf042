"""The names that Python files take from ComfyUI: imports, and attributes of what was imported. Standard library only.

`comfy.utils.load_torch_file(path)` takes `comfy.utils.load_torch_file`; `io.Custom("FACE").Input` takes
`comfy_api.latest.io.Custom`, because only running it would say more. A parameter annotated with a class of ComfyUI
takes its attributes from that class.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache

from ..stages import ROOT

TAKERS = ("__init__.py", "nodes", "demo/nodes")  # nothing else of the pack knows ComfyUI
ROOTS = frozenset(  # modules of ComfyUI; the pack imports its own by relative imports alone
    "comfy comfy_api comfy_api_nodes comfy_config comfy_execution comfy_extras app api_server middleware utils "
    "comfyui_version execution folder_paths latent_preview node_helpers nodes protocol server main".split()
)
GUARDS = {"ImportError", "ModuleNotFoundError", "AttributeError", "Exception", "BaseException"}
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


@dataclass(frozen=True)
class Use:
    """A name that is taken.

    name: with its module, such as comfy.clip_vision.Output
    place: FILE:LINE, below the repository
    optional: the code does without it where it is missing
    """

    name: str
    place: str
    optional: bool = False


@dataclass(frozen=True)
class Bound:
    """What a name of the file stands for; "" is something that is not of ComfyUI."""

    name: str = ""
    optional: bool = False


@cache
def taken() -> tuple[Use, ...]:
    """What the pack takes from ComfyUI."""
    found: list[Use] = []
    for taker in TAKERS:
        files = [ROOT / taker] if taker.endswith(".py") else sorted((ROOT / taker).rglob("*.py"))
        for file in files:
            found += uses_of(file.read_text(encoding="utf-8"), file.relative_to(ROOT).as_posix())
    return tuple(found)


def uses_of(code: str, place: str) -> list[Use]:
    """What the code of one file takes."""
    reader = _Reader(place)
    reader.visit(ast.parse(code, place))
    tested = tuple(reader.tested)
    return [replace(use, optional=use.optional or _is_below(use.name, tested)) for use in reader.uses]


class _Reader(ast.NodeVisitor):
    def __init__(self, place: str):
        self.place = place
        self.uses: list[Use] = []
        self.tested: set[str] = set()  # by hasattr
        self.scopes: list[dict[str, Bound]] = [{}]  # the innermost last
        self.guards = 0  # around the code that is read

    def take(self, name: str, node: ast.AST, optional: bool) -> None:
        self.uses.append(Use(name, f"{self.place}:{getattr(node, 'lineno', 0)}", optional or self.guards > 0))

    def bind(self, name: str, full: str) -> None:
        self.scopes[-1][name] = Bound(full, self.guards > 0)

    def resolve(self, node: ast.AST) -> Bound:
        """What a chain such as `comfy.utils.load` stands for."""
        root, *rest = chain(node) or [""]
        bound = next((scope[root] for scope in reversed(self.scopes) if root in scope), Bound())
        return replace(bound, name=".".join([bound.name, *rest])) if bound.name else bound

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            root = alias.name.partition(".")[0]
            if root in ROOTS:
                self.take(alias.name, node, False)
                self.bind(alias.asname or root, alias.name if alias.asname else root)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        module = node.module or ""
        if node.level or module.partition(".")[0] not in ROOTS:
            return
        for alias in node.names:
            self.take(f"{module}.{alias.name}", node, False)
            self.bind(alias.asname or alias.name, f"{module}.{alias.name}")

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if bound := self.resolve(node):
            if bound.name:
                self.take(bound.name, node, bound.optional)
        if not chain(node):
            self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        match node:
            case ast.Call(func=ast.Name("getattr"), args=[of, ast.Constant(str(name))]):
                if bound := self.resolve(of).name:
                    self.take(f"{bound}.{name}", node, False)
            case ast.Call(func=ast.Name("hasattr"), args=[of, ast.Constant(str(name))]):
                self.tested.add(f"{self.resolve(of).name}.{name}")
        self.generic_visit(node)

    def visit_Try(self, node: ast.Try) -> None:
        with self.guarded(any(_catches(handler) for handler in node.handlers)):
            self.visit_all(node.body)
        self.visit_all([*node.handlers, *node.orelse, *node.finalbody])

    def visit_If(self, node: ast.If) -> None:
        with self.guarded((chain(node.test) or [""])[-1] == "TYPE_CHECKING"):
            self.visit_all(node.body)
        self.visit_all([node.test, *node.orelse])

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> None:
        outside, inside = _parts(node)
        self.visit_all(outside)
        scope = {name: Bound() for name in _assigned(inside)}
        for argument in ast.walk(node.args):
            if isinstance(argument, ast.arg) and argument.arg not in scope:
                scope[argument.arg] = self.kind_of(argument.annotation)
        self.scopes.append(scope)
        self.visit_all(inside)
        self.scopes.pop()

    visit_AsyncFunctionDef = visit_Lambda = visit_FunctionDef

    def kind_of(self, annotation: ast.AST | None) -> Bound:
        match annotation:
            case ast.BinOp(left, ast.BitOr(), ast.Constant(None)):
                return self.resolve(left)
            case None:
                return Bound()
        return self.resolve(annotation)

    def visit_all(self, nodes: Iterable[ast.AST]) -> None:
        for node in nodes:
            self.visit(node)

    @contextmanager
    def guarded(self, there: bool) -> Iterator[None]:
        self.guards += there
        yield
        self.guards -= there


def chain(node: ast.AST) -> list[str]:
    """["a", "b", "c"] of `a.b.c`; empty for anything else."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    return [node.id, *reversed(names)] if isinstance(node, ast.Name) else []


def _catches(handler: ast.ExceptHandler) -> bool:
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(kind is None or (chain(kind) or [""])[-1] in GUARDS for kind in kinds)


def _parts(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> tuple[list[ast.AST], list[ast.AST]]:
    """What of a function is evaluated around it, and what within it."""
    arguments = [argument.annotation for argument in ast.walk(node.args) if isinstance(argument, ast.arg)]
    outside = [*node.args.defaults, *node.args.kw_defaults, *arguments]
    if isinstance(node, ast.Lambda):
        return [each for each in outside if each], [node.body]
    return [each for each in (*node.decorator_list, node.returns, *outside) if each], list(node.body)


def _assigned(nodes: list[ast.AST]) -> set[str]:
    """The names that a function assigns, without those of functions in it."""
    found: set[str] = set()
    rest = list(nodes)
    while rest:
        node = rest.pop()
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
        if not isinstance(node, (*FUNCTIONS, ast.ClassDef)):
            rest += ast.iter_child_nodes(node)
    return found


def _is_below(name: str, tested: tuple[str, ...]) -> bool:
    return any(f"{name}.".startswith(f"{each}.") for each in tested)
