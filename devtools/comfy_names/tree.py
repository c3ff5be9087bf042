"""Which names a ComfyUI has, by reading its source and importing nothing. Standard library only."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path

from .uses import FUNCTIONS, chain

Parts = list[str]
DEEP = 40  # aliases of aliases; more are a circle


@dataclass(frozen=True)
class Alias:
    """A name that an import binds: what it stands for, in full."""

    name: str


@dataclass
class Module:
    """What a module binds, and the modules of which it imports every name."""

    names: dict[str, list[ast.AST | Alias]] = field(default_factory=dict)
    stars: list[str] = field(default_factory=list)
    source: ast.Module | None = None

    @cached_property
    def public(self) -> set[str]:
        """`__all__`; empty if there is none."""
        for node in self.names.get("__all__", []):
            if isinstance(node, ast.Assign) and isinstance(node.value, (ast.List, ast.Tuple)):
                return {each.value for each in node.value.elts if isinstance(each, ast.Constant)}
        return set()

    @cached_property
    def set_by_functions(self) -> set[str]:
        """The names that its functions declare to be global."""
        nodes = ast.walk(self.source) if self.source else ()
        return {name for node in nodes if isinstance(node, ast.Global) for name in node.names}

    @cached_property
    def set_on(self) -> set[tuple[str, str]]:
        """The attributes that it sets on its classes, such as `PromptServer.instance = self`."""
        nodes = ast.walk(self.source) if self.source else ()
        stores = [node for node in nodes if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)]
        return {(names[0], names[1]) for store in stores if len(names := chain(store)) == 2}


class Tree:
    """A folder of ComfyUI. What only running it would tell, such as attributes of a call's result, counts as there."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._modules: dict[str, Module | None] = {}
        self._known: dict[str, bool] = {}

    def has(self, name: str) -> bool:
        """Whether it has a module, or a name of a module, or a name of a class of a module."""
        if name not in self._known:
            self._known[name] = self._find(name.split("."), 0)
        return self._known[name]

    def _module(self, name: str) -> Module | None:
        if name not in self._modules:
            self._modules[name] = self._read(name)
        return self._modules[name]

    def _read(self, name: str) -> Module | None:
        path = self.folder.joinpath(*name.split("."))
        for file, package in ((path / "__init__.py", name), (path.with_suffix(".py"), name.rpartition(".")[0])):
            if file.is_file():
                return _read(ast.parse(file.read_bytes(), str(file)), package)
        return Module() if path.is_dir() else None  # a folder is a module without names

    def _find(self, parts: Parts, depth: int) -> bool:
        for count in range(len(parts), 0, -1):
            if module := self._module(".".join(parts[:count])):
                return self._in_module(module, parts[count:], depth + 1)
        return False

    def _alias(self, name: str, rest: Parts, depth: int) -> bool:
        """As `_find`, and other packages have everything."""
        parts = [*name.split("."), *rest]
        return self._module(parts[0]) is None or self._find(parts, depth)

    def _in_module(self, module: Module, parts: Parts, depth: int) -> bool:
        if not parts or depth > DEEP:
            return True
        if found := module.names.get(parts[0]):
            return any(self._in_node(node, parts[1:], module, depth) for node in found)
        if "__getattr__" in module.names or parts[0] in module.set_by_functions:
            return True
        return any(self._in_star(star, parts, depth) for star in module.stars)

    def _in_star(self, name: str, parts: Parts, depth: int) -> bool:
        module = self._module(name)
        if module is None or (module.public and parts[0] not in module.public):
            return module is None
        return self._in_module(module, parts, depth + 1)

    def _in_node(self, node: ast.AST | Alias, parts: Parts, module: Module, depth: int) -> bool:
        match node:
            case Alias(name):
                return self._alias(name, parts, depth)
            case ast.ClassDef() if parts:
                return self._in_class(node, parts, module, depth)
            case ast.Assign(value=value) if parts and (names := chain(value)) and names[0] in module.names:
                return self._in_module(module, [*names, *parts], depth + 1)
        return True

    def _in_class(self, node: ast.ClassDef, parts: Parts, module: Module, depth: int) -> bool:
        own = _class(node)
        if found := own.names.get(parts[0]):
            return any(self._in_node(each, parts[1:], module, depth + 1) for each in found)
        if own.is_open or parts[0] in own.of_instances or (node.name, parts[0]) in module.set_on:
            return True
        return any(self._in_base(chain(base), parts, module, depth) for base in node.bases)

    def _in_base(self, base: Parts, parts: Parts, module: Module, depth: int) -> bool:
        """Whether a base class has it: one of ComfyUI, or any other, which may have everything but for `object`."""
        if base and base[0] in module.names:
            return self._in_module(module, [*base, *parts], depth + 1)
        return base != ["object"]


@dataclass(frozen=True)
class _Class:
    """What a class has.

    names: of its body
    of_instances: what its methods set on `self`
    is_open: it may have attributes that its source does not name
    """

    names: dict[str, list[ast.AST | Alias]]
    of_instances: set[str]
    is_open: bool


@cache
def _class(node: ast.ClassDef) -> _Class:
    names = _read(ast.Module(node.body, []), "").names
    every = list(ast.walk(node))
    stores = [each for each in every if isinstance(each, ast.Attribute) and isinstance(each.ctx, ast.Store)]
    calls = [chain(each.func) for each in every if isinstance(each, ast.Call)]
    decorated = {(chain(each) or [""])[-1] for each in node.decorator_list} - {"dataclass"}
    return _Class(
        names,
        {each.attr for each in stores if chain(each) == ["self", each.attr]},
        bool(decorated) or "__getattr__" in names or ["setattr"] in calls,
    )


def _read(source: ast.Module, package: str) -> Module:
    module = Module(source=source)
    for node in _statements(source.body):
        if isinstance(node, ast.ImportFrom) and node.names[0].name == "*":
            module.stars.append(_origin(node, package))
        for name, value in _bindings(node, package):
            module.names.setdefault(name, []).append(value)
    return module


def _statements(body: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """Those that a module runs itself, also within `if`, `try`, `with` and loops."""
    for node in body:
        yield node
        if not isinstance(node, (*FUNCTIONS, ast.ClassDef)):
            yield from _statements(ast.iter_child_nodes(node))


def _bindings(node: ast.AST, package: str) -> Iterator[tuple[str, ast.AST | Alias]]:
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            yield node.name, node
        case ast.Import():
            for alias in node.names:
                root = alias.name.partition(".")[0]
                yield alias.asname or root, Alias(alias.name if alias.asname else root)
        case ast.ImportFrom():
            for alias in node.names:
                yield alias.asname or alias.name, Alias(f"{_origin(node, package)}.{alias.name}")
        case ast.Assign(targets=[ast.Name(name)]):
            yield name, node
        case ast.Name(name, ast.Store()):
            yield name, node


def _origin(node: ast.ImportFrom, package: str) -> str:
    """The module that an import names, in full."""
    above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
    return ".".join([*above, *([node.module] if node.module else [])])
