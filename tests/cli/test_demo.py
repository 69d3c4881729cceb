"""The demonstration, small."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from helpers.drawing import drawing
from pneumoscope.cli import main
from pneumoscope.data.generated import GENERATED
from pneumoscope.data.phantom import write_folder
from pneumoscope.training.recipe import Recipe, recipe_of
from pneumoscope.workflow import demo, generate


def test_the_last_line_is_the_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def small(folder: Path, **options: object) -> Path:
        return write_folder(folder, size_px=(96, 110), workers=1, **options)  # type: ignore[arg-type]

    def quick(*given: Any, **named: Any) -> Recipe:
        return recipe_of(*given, **{**named, "max_epochs": 5})

    monkeypatch.setattr(generate, "write_folder", small)
    monkeypatch.setattr("pneumoscope.training.recipe.recipe_of", quick)
    out = tmp_path / "demo"
    with drawing():
        assert main(["demo", "--out", str(out), "--patients", "60"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == str(out / "run" / "report.html")
    assert Path(lines[-1]).exists()
    assert any(line.startswith("  AUC 0.") for line in lines)
    assert GENERATED in lines
    page = Path(lines[-1]).read_text(encoding="utf-8")
    assert GENERATED in page[page.index('class="caveats"') :]
    assert GENERATED in (out / "run" / "card.md").read_text(encoding="utf-8")
    assert "<svg" in page
    evaluated = ["evaluate", str(out / "run"), str(out / "images"), "--resamples", "100"]
    assert main([*evaluated, "--report", str(tmp_path / "page")]) == 0
    assert GENERATED in (tmp_path / "page" / "report.html").read_text(encoding="utf-8")
    assert main([*evaluated, "--per", "patient", "--report", str(tmp_path / "patients")]) == 0
    assert GENERATED in (tmp_path / "patients" / "report.html").read_text(encoding="utf-8")
    compared = ["compare", str(out / "run"), str(out / "run" / "scores-test.csv")]
    assert main([*compared, "--report", str(tmp_path / "two"), "--resamples", "100"]) == 0
    assert GENERATED in (tmp_path / "two" / "report.html").read_text(encoding="utf-8")
    assert main(["inspect", str(out / "images"), "--out", str(tmp_path / "audit")]) in {0, 1}
    assert GENERATED in (tmp_path / "audit" / "inspect.html").read_text(encoding="utf-8")
    capsys.readouterr()
    assert main(["demo", "--out", str(out)]) == 1
    assert "exists already" in capsys.readouterr().err


def test_a_demonstration_that_does_not_end_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "demo"
    assert main(["demo", "--out", str(out), "--patients", "0"]) == 1
    assert "patients must be" in capsys.readouterr().err
    assert not out.exists()

    def stopped(*_: object, **__: object) -> None:
        assert (out / "images").is_dir()
        raise KeyboardInterrupt

    monkeypatch.setattr(demo, "train_reader", stopped)
    assert main(["demo", "--out", str(out), "--patients", "4"]) == 130
    assert not out.exists()


def test_images_alone_can_be_generated(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "tutorial"
    assert main(["demo", "--images-only", "--patients", "4", "--out", str(out)]) == 0
    assert capsys.readouterr().out == f"{out / 'images'}\n"
    assert len(list((out / "images").rglob("*.jpeg"))) >= 4
    assert sorted(path.name for path in out.iterdir()) == ["GENERATED.txt", "images"]
