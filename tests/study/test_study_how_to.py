"""The guide to studies: its commands and its plan, with simulated trainings."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest

from helpers.study import learn, stub_worker
from pneumoscope.cli import main
from pneumoscope.study import learn as learning
from pneumoscope.study import workers as working
from pneumoscope.study.plan import plan_of
from pneumoscope.training import estimate
from pneumoscope.workflow.train import Trained

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "study.md").read_text(encoding="utf-8")
ELSEWHERE = {"postgresql://": "test_storage_postgres.py has a server"}


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated")
def test_the_commands_of_the_guide_run(
    phantoms: Path,
    trained: Trained,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("mlflow", reason="mlflow-skinny is not installed")
    pytest.importorskip("optuna", reason="Optuna is not installed")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(working, "WORKER", stub_worker())
    monkeypatch.setattr(learning, "learn", learn)
    monkeypatch.setattr(estimate, "seconds_per_image", lambda *_, **__: 0.001)
    shutil.copytree(phantoms, "chest_xray")
    for name in ("first", "second"):
        shutil.copytree(trained.run.root, f"runs/{name}")
    Path("mine.yaml").write_text(blocks("yaml")[0])
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    assert len(lines) >= 9
    for line in lines:
        words = shlex.split(line)
        if words[0] != "pneumoscope" or any(part in line for part in ELSEWHERE):
            continue
        if "--trials" in words:
            words[words.index("--trials") + 1] = "3"
        # The phantoms have no validation folder, so that one level of the report's plan fails.
        codes = {0, 1} if "report" in words and "--dry-run" not in words else {0}
        assert main(words[1:]) in codes, line
    said = capsys.readouterr().out
    assert "runs of 12 questions and 3 seeds" in said
    assert "Is a validation folder of 16 images as good" in said
    assert "Is the best recipe of the search better than the base?" in said
    assert (tmp_path / "studies/report/study.html").is_file()
    assert (tmp_path / "studies/mine/tensorboard").is_dir()
    assert (tmp_path / "mlflow.db").is_file()


def test_the_plans_of_the_guide_are_plans() -> None:
    mine, search = blocks("yaml")
    assert len(plan_of(mine).questions) == 3
    assert len(plan_of(mine).runs()) == 3 * 8
    assert set(plan_of(search).space.axes) == {"learning_rate", "dropout", "optimizer"}
