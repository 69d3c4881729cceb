"""Who may import whom."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pneumoscope

ROOT = Path(pneumoscope.__file__).parent

# A room may import from itself and from the rooms named here.
MAY: dict[str, set[str]] = {
    "errors": set(),
    "installation": set(),
    "caches": set(),
    "labels": set(),
    "client": {"errors"},
    "parallel": set(),
    "watch": {"parallel"},
    "images": {"errors", "installation"},
    "runs": {"errors", "parallel"},
    "reader": {"errors", "labels", "images", "runs", "parallel"},
    "cluster": {"errors", "labels", "images", "runs", "parallel", "reader"},
    "stats": {"errors"},
    "data": {"errors", "labels", "caches", "images", "runs", "parallel", "stats"},
    "models": {"errors", "labels", "images", "runs", "parallel", "data"},
    "training": {
        "errors",
        "labels",
        "caches",
        "images",
        "runs",
        "parallel",
        "stats",
        "data",
        "models",
        "export",
    },
    "evaluation": {"errors", "labels", "images", "runs", "parallel", "stats", "data", "reader"},
    "export_int8": {"runs"},
    "report": {
        "errors",
        "installation",
        "labels",
        "caches",
        "images",
        "runs",
        "parallel",
        "stats",
        "data",
        "evaluation",
        "training",
        "reader",
    },
    "tracking": {"errors", "training"},
    "logs": set(),
    "serve": {"errors", "logs", "parallel", "reader"},
    "hospital": {"errors", "logs", "images", "parallel", "reader"},
    "export": {"errors", "labels", "images", "runs", "models", "reader"},
}
MAY["workflow"] = set(MAY) | {"watch"}
MAY["study"] = set(MAY)
MAY["cli"] = set(MAY)


def imports(path: Path) -> Iterator[str]:
    """Yield the rooms that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Import(names=names):
                modules = [alias.name for alias in names]
            case ast.ImportFrom(module=str(module), level=0):
                modules = [module]
            case _:
                continue
        for module in modules:
            parts = module.split(".")
            if parts[0] == "pneumoscope" and len(parts) > 1:
                yield parts[1]


def room_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def test_every_room_keeps_to_its_layer() -> None:
    files = [path for path in ROOT.rglob("*.py") if room_of(path) not in {"__init__", "__main__"}]
    assert {room_of(path) for path in files} == set(MAY)
    wrong = [
        f"{path.relative_to(ROOT)} imports {room}"
        for path in files
        for room in imports(path)
        if room != room_of(path) and room not in MAY[room_of(path)]
    ]
    assert wrong == []


def test_the_layers_have_no_circle() -> None:
    done: set[str] = set()
    while len(done) < len(MAY):
        free = {room for room, needs in MAY.items() if needs - {room} <= done} - done
        assert free, set(MAY) - done
        done |= free


def test_nothing_is_decided_by_how_a_message_begins() -> None:
    """Prose changes; whoever asks it how it begins breaks with it."""
    words = {"hint", "close", "reason", "reasons", "fault", "note", "notes", "message", "why"}
    wrong = []
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            asked = node.func.value
            asked = asked.value if isinstance(asked, ast.Subscript) else asked
            if isinstance(asked, ast.Call) and asked.args:  # str(fault)
                asked = asked.args[0]
            if node.func.attr in {"startswith", "endswith"} and ast.unparse(asked) in words:
                wrong.append(f"{path.relative_to(ROOT)}, line {node.lineno}")
    assert wrong == []


_OTHERS = ("--figure", "var(--figure", "--always", "--dirty", "--exclude")
"""What begins like an option and is none of ours: variables of CSS, and options of git."""


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the texts of a file that are no docstrings, with their lines."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    silent = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in silent
        ):
            yield node.lineno, node.value


def test_the_library_names_no_option_of_the_command_line() -> None:
    """It names parameters; ``cli.flags`` says what the command line calls them."""
    found = [
        f"{path.relative_to(ROOT)}:{line}: {text}"
        for path in ROOT.rglob("*.py")
        if room_of(path) != "cli"
        for line, text in texts(path)
        if re.search(r"(^|[\s(])--[a-z]", text) and not text.startswith(_OTHERS)
    ]
    assert found == []


def test_no_relative_imports_and_no_executable_data() -> None:
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                assert node.level == 0, path
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in {"eval", "exec"}, path
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                called = ast.unparse(node.func)
                assert called not in {"pickle.load", "pickle.loads", "yaml.load"}, path
                if called == "torch.load":
                    options = {key.arg: ast.unparse(key.value) for key in node.keywords}
                    assert options.get("weights_only") == "True", path
