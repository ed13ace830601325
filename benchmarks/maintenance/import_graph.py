"""Import graph of the five rooms: modules, packages as parts, cycles and longest chains.

`TYPE_CHECKING` blocks do not count, imports inside functions do: they run.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("models", "annotate", "training", "export", "app")
PREFIX = "poseunion."

Graph = dict[str, set[str]]


def modules() -> dict[str, Path]:
    """Dotted name without `poseunion.` -> file; a package is its `__init__`."""
    found = {}
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(path: Path, names: Iterable[str], *, lazy: bool = True) -> set[str]:
    """Modules of ours that a file imports.

    Args:
        names: all modules, to distinguish `from package import module` from a name inside the package.
        lazy: count imports inside functions.
    """
    known, found = set(names), set()
    for node in _running(ast.parse(path.read_text(encoding="utf-8")), lazy):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            inside = [f"{node.module}.{alias.name}" for alias in node.names]
            targets = [name if name.removeprefix(PREFIX) in known else node.module for name in inside]
        else:
            continue
        found |= {name.removeprefix(PREFIX) for name in targets if name.startswith(PREFIX)}
    return found & known


def packages(path: Path) -> set[str]:
    """First names of all modules that are imported with a file."""
    found = set()
    for node in _running(ast.parse(path.read_text(encoding="utf-8")), lazy=False):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    return found


def _running(tree: ast.AST, lazy: bool) -> Iterator[ast.AST]:
    """All nodes but those below `if TYPE_CHECKING` and, if not `lazy`, inside functions."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if not lazy and isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        yield node
        yield from _running(node, lazy)


def graph(*, lazy: bool = True) -> Graph:
    """Module -> the modules that it imports."""
    files = modules()
    return {name: imports(path, files, lazy=lazy) - {name} for name, path in files.items()}


def part_of(module: str) -> str:
    """The part of its room that a module belongs to: a module at the top of the room, or a package."""
    return ".".join(module.split(".")[:2])


def parts_of(room: str, edges: Mapping[str, set[str]]) -> Graph:
    """The import graph between the parts of a room."""
    mine = {name for name in edges if name.startswith(f"{room}.")}
    result: Graph = {part_of(name): set() for name in mine}
    for name in mine:
        result[part_of(name)] |= {part_of(other) for other in edges[name] & mine} - {part_of(name)}
    return result


def inside(package: str, edges: Mapping[str, set[str]]) -> Graph:
    """The import graph between the modules of a package and of the packages below it."""
    mine = {name for name in edges if name.startswith(f"{package}.")}
    return {name: edges[name] & mine for name in mine}


def cycle(edges: Mapping[str, set[str]]) -> list[str]:
    """Some cycle, or an empty list."""
    state: dict[str, int] = {}
    path: list[str] = []

    def visit(node: str) -> list[str]:
        state[node] = 1
        path.append(node)
        for other in sorted(edges.get(node, ())):
            if state.get(other) == 1:
                return [*path[path.index(other) :], other]
            if other not in state and (found := visit(other)):
                return found
        path.pop()
        state[node] = 2
        return []

    for node in sorted(edges):
        if node not in state and (found := visit(node)):
            return found
    return []


def longest_chain(edges: Mapping[str, set[str]]) -> list[str]:
    """The longest chain of imports, importer first; the graph has no cycle."""
    best: dict[str, list[str]] = {}

    def chain(node: str) -> list[str]:
        if node not in best:
            below = [chain(other) for other in sorted(edges.get(node, ())) if other in edges]
            best[node] = [node, *max(below, key=len, default=[])]
        return best[node]

    return max((chain(node) for node in sorted(edges)), key=len, default=[])


def closure(start: str, edges: Mapping[str, set[str]]) -> set[str]:
    """All modules that importing one runs, itself and the packages around each included."""
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        name = waiting.pop()
        if name in seen or name not in edges:
            continue
        seen.add(name)
        waiting += [*edges[name], *(name.rsplit(".", n)[0] for n in range(1, name.count(".") + 1))]
    return seen
