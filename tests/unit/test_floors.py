"""How the house is built: imports go down the floors, and nobody reaches into LangGraph's private rooms."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import mhm_langgraph

PACKAGE = Path(mhm_langgraph.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))

# From the ground up; within a floor a module may import its neighbours, but two never each other.
FLOORS = [
    ["errors", "tokens", "text", "settings", "state", "retention", "recall", "files"],
    [
        "selection",
        "sources",
        "readers",
        "grounding",
        "reading",
        "events",
        "local",
        "views",
        "requests",
        "results",
        "failures",
        "rounds",
    ],
    ["nodes"],
    ["agent", "graph", "forget", "chat"],
    ["batch", "cli", "display", "tool", "middleware", "evaluation", "testing", "inspect"],
]
FLOOR = {name: number for number, names in enumerate(FLOORS) for name in names}


def module_of(path: Path) -> str:
    """`readers.chat` for mhm_langgraph/readers/chat.py, and `readers` for its __init__.py."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room(module: str) -> str:
    """The part of the house a module belongs to."""
    return module.partition(".")[0]


TREES = {module_of(path): ast.parse(path.read_text()) for path in FILES}


def imported(tree: ast.Module) -> set[str]:
    """Every module a file names in an import, wherever in the file; in full."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports name their module in full"
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {str(node.module)}
    return names


def own(module: str) -> set[str]:
    """The package's own modules that a module imports."""
    found = set()
    for name in imported(TREES[module]):
        package, _, rest = name.partition(".")
        if package == "mhm_langgraph":
            # `from mhm_langgraph.state import Head`: the longest beginning that is a module.
            while rest and rest not in TREES:
                rest = rest.rpartition(".")[0]
            found.add(rest)
    return found


@pytest.mark.parametrize("module", [name for name in TREES if name])
def test_every_module_has_a_floor(module: str) -> None:
    assert room(module) in FLOOR, f"say in FLOORS where {module} belongs"


@pytest.mark.parametrize("module", [name for name in TREES if name])
def test_imports_go_down(module: str) -> None:
    here = FLOOR[room(module)]
    for target in own(module):
        if target == "":  # the public API: for those who use it as a user would
            assert here == len(FLOORS) - 1, f"{module} is below the package's own door"
        else:
            assert FLOOR[room(target)] <= here, f"{module} imports {target} from above"


def test_no_two_modules_import_each_other() -> None:
    """Nor in a longer ring; a package's __init__ counts as its modules' roof, not as their neighbour."""
    seen: dict[str, list[str]] = {}

    def visit(module: str, trail: list[str]) -> None:
        assert module not in trail, " -> ".join([*trail[trail.index(module) :], module])
        if module in seen:
            return
        for target in sorted(own(module) - {"", module, room(module)}):
            visit(target, [*trail, module])
        seen[module] = trail

    for module in TREES:
        if module:
            visit(module, [])


@pytest.mark.parametrize("module", TREES)
def test_nothing_private_is_imported_from_langgraph_or_langchain(module: str) -> None:
    for name in imported(TREES[module]):
        if name.startswith(("langgraph", "langchain", "langsmith", "pydantic")):
            assert not any(part.startswith("_") for part in name.split(".")), name


@pytest.mark.parametrize("module", TREES)
def test_no_private_name_of_another_module_is_imported(module: str) -> None:
    for name in imported(TREES[module]):
        if name.startswith("mhm_langgraph"):
            assert not any(part.startswith("_") and not part.startswith("__") for part in name.split(".")), (
                name
            )


@pytest.mark.parametrize("module", TREES)
def test_no_path_of_one_machine_is_written_down(module: str) -> None:
    pattern = re.compile(r"(?:^|[\s\"'=(])(?:/(?:work|home|root|tmp|usr|opt|var|mnt|Users)/|[A-Z]:\\)")
    documentation = {
        id(node.body[0].value)
        for node in ast.walk(TREES[module])
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(TREES[module]):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
            assert not pattern.search(node.value), f"line {node.lineno}: {node.value!r:.80}"


@pytest.mark.parametrize(
    "module", ["errors", "tokens", "text", "settings", "state", "retention", "selection", "reading"]
)
def test_the_ground_floors_know_nothing_of_graphs_at_work(module: str) -> None:
    """They are pure functions and plain values: a graph is not needed to test them."""
    allowed = {"langgraph.channels", "langgraph.channels.DeltaChannel", "langgraph.errors"}
    used = {name for name in imported(TREES[module]) if name.startswith("langgraph")}
    assert {name for name in used if not any(name.startswith(prefix) for prefix in allowed)} == set()


def test_the_checks_see_what_they_are_to_see() -> None:
    """The yardstick itself."""
    tree = ast.parse("def f():\n    from langgraph._internal import x\nimport mhm_langgraph.agent as a")
    assert imported(tree) == {"langgraph._internal", "langgraph._internal.x", "mhm_langgraph.agent"}
    assert own("readers.chat") >= {"errors", "readers.base", "state"}
    assert len(FILES) == len(TREES) > 15
