"""Every command of the README runs, and what it promises to print is what is printed."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest

from helpers.service import running
from pneumoscope.cli import main, parser
from pneumoscope.workflow.train import Trained

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def commands(text: str) -> list[str]:
    blocks = re.findall(r"```(?:sh|console|bash)\n(.*?)```", text, re.DOTALL)
    lines = [line.removeprefix("$ ") for block in blocks for line in block.splitlines()]
    return [
        re.split(r"  #| > ", line)[0].strip()
        for line in lines
        if line.startswith(("pneumoscope ", "$ pneumoscope "))
    ]


def test_the_readme_shows_the_main_verbs() -> None:
    shown = {command.split()[1] for command in commands(README)}
    assert {"train", "evaluate", "predict", "model"} <= shown


@pytest.mark.parametrize("command", sorted(set(commands(README))))
def test_readme_commands_run(
    command: str, phantoms: Path, trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(phantoms, "chest_xray")
    images = sorted(phantoms.rglob("*.jpeg"))
    shutil.copy(images[0], "a.jpeg")
    shutil.copy(images[1], "b.png")  # content counts, not the suffix
    shutil.copytree(phantoms / "test" / "NORMAL", "folder")
    words = shlex.split(command)[1:]
    if words[0] == "serve":
        with running(*words[1:], "--workers", "1", "--grace-seconds", "0") as service:
            assert service.ask("GET", "/v2/health/ready").status == 200
            assert service.stop() == 0
        return
    if words[0] == "train":
        words += ["--image-size", "32", "--epochs", "1", "--val-fraction", "0.2"]
        words += [] if "transfer" in words else ["--filters", "4,8"]
    else:
        shutil.copytree(trained.run.root, "runs/first")
        shutil.copytree(trained.run.root, "runs/transfer")
    assert main(words) == 0


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_in_the_documents_parse(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in commands(page.read_text(encoding="utf-8")):
        code = 0
        try:
            parser().parse_args(shlex.split(command)[1:])
        except SystemExit as end:  # --help and --version end with 0
            code = int(str(end.code))
        assert code == 0, (command, capsys.readouterr().err)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_the_documents_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} -> {target}"
