"""docs/reference/files.md lists exactly the contents of the files."""

from __future__ import annotations

import csv
import importlib.util
import json
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from helpers.tiny_model import write_tiny
from pneumoscope.cli import main
from pneumoscope.reader.records import COLUMNS
from pneumoscope.workflow.train import Trained

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "reference" / "files.md").read_text(encoding="utf-8")
MAPS = {
    "class_map", "classes", "columns", "images_per_patient", "labels", "layout", "medians",
    "model_options", "modes", "packages", "recipe", "conclusions", "notes", "other_files",
}  # fmt: skip
"""Keys whose values are maps with variable keys: names of classes, packages, parts."""


def chapter(title: str) -> str:
    """Return the text under a heading, up to the next one of the same or a higher level."""
    rank = title.split(maxsplit=1)[0]
    begin = PAGE.index(f"\n{title}\n") + len(title) + 2
    end = re.search(rf"^#{{2,{len(rank)}}} ", PAGE[begin:], re.MULTILINE)
    return PAGE[begin : begin + end.start()] if end else PAGE[begin:]


def words(text: str) -> set[str]:
    """Return the names in code format in a text, and the last part of dotted names."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    found = {word for code in re.findall(r"`([^`]+)`", text) for word in re.split(r"[ ,:]+", code)}
    return found | {word.rsplit(".", 1)[-1] for word in found}


def keys(value: Any) -> Iterator[str]:
    """Yield the keys of nested maps."""
    if isinstance(value, list):
        for item in value:
            yield from keys(item)
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield key
            if key not in MAPS:
                yield from keys(inner)


def missing(found: Collection[str], text: str) -> list[str]:
    return sorted(set(found) - words(text))


def header(path: Path) -> list[str]:
    with path.open(encoding="utf-8", newline="") as file:
        return next(csv.reader(file))


def test_the_tables_of_types_are_what_the_types_say() -> None:
    """If this fails, run python tools/file_tables.py."""
    place = ROOT / "tools" / "file_tables.py"
    spec = importlib.util.spec_from_file_location("file_tables", place)
    assert spec is not None
    assert spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    assert tool.written(PAGE) == PAGE
    assert all(meaning for meaning in tool.meanings(tool.Recipe).values())


def test_every_file_of_a_run_is_named(trained: Trained) -> None:
    named = {word.split("/")[0] for word in words(chapter("## Run folder"))}
    there = [path.relative_to(trained.run.root) for path in trained.run.root.iterdir()]
    there = [path for path in there if path.name not in {"scores-train.csv", "scores-all.csv"}]
    assert [str(path) for path in there if path.name not in named] == []


@pytest.mark.parametrize(
    "name",
    ["config.yaml", "catalog.csv", "split.csv", "log.csv", "metrics.json", "provenance.json"],
)
def test_the_fields_of_a_run_are_documented(name: str, trained: Trained) -> None:
    path, said = trained.run.root / name, chapter(f"### {name}")
    if path.suffix == ".csv":
        assert missing(header(path), said) == []
    elif path.suffix == ".yaml":
        assert missing(list(keys(yaml.safe_load(path.read_text(encoding="utf-8")))), said) == []
    else:
        values = json.loads(path.read_text(encoding="utf-8"))
        inside = list(values.values()) if name == "metrics.json" else values  # one part each
        assert missing(list(keys(inside)), said) == []


def test_the_columns_of_scores_are_documented(trained: Trained) -> None:
    assert missing(header(trained.run.scores("test")), chapter("### scores-*.csv")) == []


def test_the_figures_of_a_run_and_their_columns_are_documented(trained: Trained) -> None:
    said = chapter("### figures/")
    rows = {name: row for row in said.splitlines() for name in re.findall(r"^\| `([\w-]+)`", row)}
    tables = words(said.split("Tables of the page")[1])
    for path in trained.run.figures.glob("*.csv"):
        name = re.sub(r"-(val|test)(?=-|$)", "-SET", path.stem)
        if name in tables:
            continue
        free = {"NORMAL", "PNEUMONIA"} if name == "scores-SET" else set()
        low = {f"{column}_{end}" for column in header(path) for end in ("low", "high")}
        columns = set(header(path)) - free - (low if name == "groups-SET" else set())
        assert name in rows, f"{path.name} is not documented"
        assert missing(columns, rows[name]) == [], path.name


def test_the_fields_of_an_inspection_are_documented(phantoms: Path, tmp_path: Path) -> None:
    assert main(["inspect", str(phantoms), "--out", str(tmp_path)]) == 0
    said = chapter("## Inspection")
    found = json.loads((tmp_path / "inspect.json").read_text(encoding="utf-8"))
    for finding in found["findings"]:
        finding["details"] = None  # they differ by finding, as the page says
    found["counts"]["parts"] = list(found["counts"]["parts"].values())
    found["classes"] = list(found["classes"].values())
    assert missing(list(keys(found)), said + chapter("### provenance.json")) == []
    ids = {
        re.sub(r"-(train|val|test)-(train|val|test)$", "-A-B", f["id"]) for f in found["findings"]
    }
    assert ids <= words(said)
    for path in (tmp_path / "figures").glob("*.csv"):
        assert missing([path.stem, *header(path)], said) == []


def test_the_files_and_fields_of_predictions_are_documented(phantoms: Path, tmp_path: Path) -> None:
    model, out = write_tiny(tmp_path / "m.onnx"), tmp_path / "results.csv"
    assert main(["predict", str(phantoms), "--model", str(model), "--out", str(out)]) == 0
    said = chapter("## Predictions")
    written = [path.name for path in tmp_path.iterdir() if path != model]
    assert missing(written, said) == []
    summary = json.loads((tmp_path / "results.csv.summary.json").read_text(encoding="utf-8"))
    assert missing(list(keys(summary)), said) == []
    how_to = (ROOT / "docs" / "how-to" / "predict.md").read_text(encoding="utf-8")
    assert missing([*header(out), *COLUMNS], how_to) == []


def test_the_environment_variables_are_documented() -> None:
    source = [path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.py")]
    read = {name for text in source for name in re.findall(r"PNEUMOSCOPE_[A-Z]+", text)}
    assert missing(read, chapter("## Environment")) == []
