"""Who may import whom."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterable, Iterator
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
    "adaptation": {"errors", "parallel", "reader"},
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


@functools.cache
def nodes_of(path: Path) -> list[ast.AST]:
    """Return the nodes of a file's syntax tree; every test here needs them."""
    return list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


def imports(path: Path) -> Iterator[str]:
    """Yield the rooms that a file imports, wherever in it."""
    for node in nodes_of(path):
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


# What one module of a room is to another for the type checker alone: a value, and what is made of
# it elsewhere. Everything else that modules import of each other, also inside functions, has no
# circle.
TYPES_ALONE = {
    ("data.patients", "data.entries"),  # an entry has a patient; patients are settled in entries
    ("evaluation.notes", "evaluation.evaluation"),  # an evaluation has notes, made of it
    ("reader.model_file.self_test", "reader.model_file.bundle"),  # a file has a test, run on it
    ("reader.findings", "reader.model_file.metadata"),  # the same, of each of several findings
    ("reader.work", "reader.predictor"),  # one image of a predictor, on its way
    ("reader.policy", "reader.model_file.metadata"),  # a file has a policy, made of its threshold
}


def modules() -> dict[str, Path]:
    """Return the file of each module, under its name within the package."""
    found = {}
    for path in ROOT.rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported_modules(path: Path, known: Iterable[str]) -> set[str]:
    """Return the modules of the package that a file imports, wherever in it."""
    found = set()
    for node in nodes_of(path):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("pneumoscope"):
            module = (node.module or "").removeprefix("pneumoscope").lstrip(".")
            for alias in node.names:
                name = f"{module}.{alias.name}".lstrip(".")
                found.add(name if name in known else module)
        elif isinstance(node, ast.Import):
            found |= {alias.name.removeprefix("pneumoscope.") for alias in node.names}
    return found & set(known)


def test_modules_import_each_other_without_circles() -> None:
    files = modules()
    needs = {name: imported_modules(path, files) - {name, ""} for name, path in files.items()}
    for first, second in TYPES_ALONE:
        assert second in needs[first], f"{first} imports {second} no more: take it from the list"
        needs[first].remove(second)
    done: set[str] = set()
    while len(done) < len(needs):
        free = {name for name, others in needs.items() if others <= done} - done
        assert free, {name: sorted(own - done) for name, own in needs.items() if name not in done}
        done |= free


def test_types_alone_are_imported_for_types_alone() -> None:
    for first, second in TYPES_ALONE:
        tree = ast.parse(modules()[first].read_text(encoding="utf-8"))
        imported = [
            node
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and node.module == f"pneumoscope.{second}"
        ]
        checking = [
            inner
            for node in tree.body
            if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
            for inner in ast.walk(node)
        ]
        assert imported
        assert all(node in checking for node in imported), first


def test_the_files_that_the_architecture_names_are_there() -> None:
    """The table of where things go is a map: each file in it exists."""
    text = (ROOT.parents[1] / "docs" / "architecture.md").read_text(encoding="utf-8")
    table = text[text.index("## Where does") : text.index("## The layers")]
    named = re.findall(r"`([\w./-]+(?:/|\.py|\.md|\.yaml))`", table)
    assert len(named) > 40
    room = ""
    missing = []
    for name in named:
        if name.startswith(("docs/", "tests/")):
            place = ROOT.parents[1] / name
        else:
            room = name.rpartition("/")[0] or room  # "`facts.py`" stands in the room named before
            place = ROOT / (name if "/" in name else f"{room}/{name}")
        if not place.exists():
            missing.append(name)
    assert missing == []


def test_nothing_is_decided_by_how_a_message_begins() -> None:
    """Prose changes; whoever asks it how it begins breaks with it."""
    words = {"hint", "close", "reason", "reasons", "fault", "note", "notes", "message", "why"}
    wrong = []
    for path in ROOT.rglob("*.py"):
        for node in nodes_of(path):
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
    silent = {id(node.value) for node in nodes_of(path) if isinstance(node, ast.Expr)}
    for node in nodes_of(path):
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
        for node in nodes_of(path):
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
