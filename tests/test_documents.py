"""Every command of the documents runs and prints the documented output.

Training is an exception: its commands run up to the first training step, with real options, data,
split and cache; a trained run then replaces the result.
"""

from __future__ import annotations

import csv
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.drawing import drawing
from helpers.public_sets import MAKERS, classes_with_names, put
from helpers.service import running
from pneumoscope.cli import VERBS, main, parser
from pneumoscope.cli.arguments import Parser
from pneumoscope.cli.predict_usage import FAIL_ON
from pneumoscope.data.phantom import write_folder
from pneumoscope.runs import RunFolder
from pneumoscope.workflow.train import Trained

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]

NOT_RUN = {
    "--watch": "ends with Ctrl-C alone",
    "download kermany": "asks a server",
    "download --verify": "refuses all but the real data set",
    "weights pull": "asks a server",
    "weights pack": "packs weights that are fetched",
    "weights verify usb": "verifies what was packed",
    "findings": "trainings; tests/workflow/test_several_findings.py runs the guide",
    "runs/three": "half an hour of training; tests/workflow/test_three_classes.py has small ones",
    "runs/seeds": "five trainings; tests/workflow/test_seeds.py runs two",
    "pneumoscope study": "trainings; tests/study/test_study_how_to.py runs its guide",
    "runs studies/": "lists the runs of a study; the same test",
    "pneumoscope demo": "minutes; tests/cli/test_demo.py runs small ones",
    "tf_efficientnet_lite0": "needs the extra weights; tests/models/test_packages.py has it",
    "models convnextv2": "measures dozens of networks",
    "pneumoscope node": "needs an archive; tests/hospital/test_orthanc.py runs the guide",
    "pneumoscope pull": "the same",
    "pneumoscope adapt": "needs 100 images; tests/adaptation/test_adapt_how_to.py runs its guide",
    "model site.onnx": "what adapt writes; the same test",
    "evaluate site.onnx": "the same",
    "--tls-certificate": "needs certificates; tests/serve/test_contract.py makes some",
}
"""Parts of commands that are only parsed here, with reasons."""


def commands(text: str) -> list[str]:
    """Return the command lines of a page that call the program, each in one line."""
    blocks = re.findall(r"^```(?:sh|console|bash)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    lines = [
        line.strip().removeprefix("$ ")
        for block in blocks
        for line in block.replace("\\\n", " ").splitlines()
    ]
    lines = [re.split(r"\s+#", line)[0].strip() for line in lines]
    return [line for line in lines if re.search(r"(^|\| )pneumoscope ", line)]


def words_of(command: str) -> list[str]:
    """Return the words after ``pneumoscope``, without shell syntax."""
    called = command.split("pneumoscope ", 1)[1]
    return shlex.split(re.split(r" > | \| ", called)[0])


def is_run(command: str) -> bool:
    return not any(part in command for part in NOT_RUN)


def examples() -> list[str]:
    """Return the example at the end of each verb's help."""
    found = []
    for action in parser()._actions:
        if isinstance(action.choices, dict):
            for verb in action.choices.values():
                assert isinstance(verb, Parser)
                found.append(str(verb.epilog).removeprefix("example: "))
    return found


class _LearningNowError(Exception):
    """All steps before training succeeded."""


@pytest.fixture(scope="module")
def others(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return images of another source than those of the run, with its scores for them."""
    place = tmp_path_factory.mktemp("others") / "data"
    write_folder(place, patients=24, seed=9, size_px=(96, 110), workers=1)
    scores = str(place.with_name("scores.csv"))
    command = ["evaluate", str(trained.run.root), str(place), "--split", "all"]
    assert main([*command, "--scores", scores, "--resamples", "100"]) == 0
    return place


@pytest.fixture
def world(
    phantoms: Path,
    others: Path,
    trained: Trained,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """Return a working folder with all files that the documents mention."""
    monkeypatch.chdir(tmp_path)
    for name in ("chest_xray", "DATA", "data", "tutorial/images"):
        _linked(phantoms, name)
    for name in ("own_images", "other_data"):
        _linked(others, name)
    images = sorted(phantoms.rglob("*.jpeg"))
    for name, image in (("a.jpeg", images[0]), ("b.png", images[1])):  # content counts
        shutil.copy(image, name)
    for name in ("folder", "new_images"):
        _linked(phantoms / "test" / "NORMAL", name)
    _linked(phantoms / "test", "archive")
    labels = [f"{path},{path.parent.name}" for path in sorted(Path("archive").rglob("*.jpeg"))]
    Path("labels.csv").write_text("\n".join(["path,label", *labels]) + "\n")
    shutil.copytree(trained.run.root, "tutorial/run")
    Path("more").mkdir()
    for name in ("more/c.png", "archive/d.png"):
        shutil.copy(images[2], name)
    for name in ("first", "second", "transfer", "geometric", "radiograph", "seed-0", "seed-1"):
        shutil.copytree(trained.run.root, f"runs/{name}")
    shutil.copy(trained.run.scores("val"), "scores.csv")
    shutil.copy(others.with_name("scores.csv"), "own-scores.csv")
    with others.with_name("scores.csv").open(encoding="utf-8") as own:
        rows_of_own = [{**row, "model_sha256": ""} for row in csv.DictReader(own)]
    with Path("opinions.csv").open("w", encoding="utf-8", newline="") as opinions:
        table = csv.DictWriter(opinions, rows_of_own[0])
        table.writeheader()
        table.writerows(rows_of_own)
    rows = ["file,finding,mrn"]
    for image in images:
        where = image.relative_to(phantoms)
        rows.append(f"{where},{image.parent.name},{image.stem.rsplit('-', 1)[0]}")
    Path("data/images.csv").write_text("\n".join(rows) + "\n")
    Path("table.csv").write_text("\n".join(rows).replace("\n", "\nchest_xray/") + "\n")
    monkeypatch.setattr("pneumoscope.workflow.train._learn", _learns)
    return tmp_path


def _linked(folder: Path, name: str) -> None:
    """Copy a folder of images without copying their content, which no command changes."""
    shutil.copytree(folder, name, copy_function=os.link)


def _learns(*_: object, **__: object) -> None:
    raise _LearningNowError


PUBLIC = {
    "NIH": "nih",
    "CheXpert-v1.0-small": "chexpert",
    "mimic-cxr-jpg": "mimic",
    "rsna": "rsna",
    "vindr-cxr": "vindr",
    "padchest": "padchest",
    "covidx": "covidx",
    "COVID-19_Radiography_Dataset": "radiography",
    "archive": "kaggle",
}


def set_up(command: str, page: Path) -> None:
    """Prepare the data of a page, if they differ from the common ones."""
    words = words_of(command)
    named = words[1] if len(words) > 1 else ""
    wanted = PUBLIC.get(named) if page.name == "public-data-sets.md" else None
    classes = {
        "--map PNEUMONIA=BACTERIA,VIRUS": ("BACTERIA", "VIRUS", "No Finding"),
        "--positive TUBERCULOSIS": ("NORMAL", "TUBERCULOSIS"),
    }
    if wanted and not (Path(named) / "made").exists():
        shutil.rmtree(named, ignore_errors=True)
        made = MAKERS[wanted](Path("made") / wanted).place
        (made.parent if made.is_file() else made).rename(named)
        (Path(named) / "made").touch()
    for part, names in classes.items():
        if part in command:
            shutil.rmtree(named)
            classes_with_names(Path(named), names, n=24)
    if "--test " in command:  # the page assumes data without a test set
        shutil.rmtree(Path(named) / "test", ignore_errors=True)
    if "--patient-regex" in command:
        shutil.rmtree(named)
        for i in range(48):
            label = ("NORMAL", "PNEUMONIA")[i % 2]
            put(Path(named) / label / f"site{i % 3}" / f"p{i // 2}_{i}.png", i, bright=bool(i % 2))


def run(command: str, trained: Trained) -> None:
    """Run a command as in a shell; trainings only up to the first step."""
    words = words_of(command)
    if " | " in command:
        shell = {"PATH": f"{Path.cwd()}{os.pathsep}{os.environ['PATH']}"}
        program = Path("pneumoscope")
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m pneumoscope "$@"\n')
        program.chmod(0o755)
        subprocess.run(["/bin/sh", "-c", command], check=True, env={**os.environ, **shell})
    elif words[0] == "serve":
        with running(*words[1:], "--port", "0", "--workers", "1") as service:
            assert service.ask("GET", "/v2/health/ready").status == 200
            assert service.stop(signal.SIGINT) == 0
    elif words[0] == "train":
        out = Path(words[words.index("--out") + 1])
        shutil.rmtree(out, ignore_errors=True)  # several commands of a page may be alternatives
        with pytest.raises(_LearningNowError):
            main([*words, "--image-size", "32"])
        begun = {path.name for path in out.iterdir()}
        assert begun == {"config.yaml", "catalog.csv", "split.csv"}
        ignored = shutil.ignore_patterns(*begun)
        shutil.copytree(trained.run.root, out, dirs_exist_ok=True, ignore=ignored)
        assert RunFolder(out).model.exists()
    elif "ray" in words:  # clusters are tested elsewhere
        subprocess.run([sys.executable, "-m", "pneumoscope", *words], check=True)
    else:
        assert main(words) in {0, FAIL_ON if "--fail-on" in words else 0}, command


def test_the_readme_shows_the_main_verbs() -> None:
    shown = {command.split()[1] for command in commands(README)}
    assert {"train", "evaluate", "predict", "model"} <= shown


def test_commands_behind_pipes_and_on_several_lines_are_found() -> None:
    page = (
        "```sh\ncat a | pneumoscope predict - > b\npneumoscope train x \\\n  --out y  # why\n```\n"
    )
    assert commands(page) == ["cat a | pneumoscope predict - > b", "pneumoscope train x    --out y"]
    assert [words_of(command) for command in commands(page)] == [
        ["predict", "-"],
        ["train", "x", "--out", "y"],
    ]


WITH_COMMANDS = [
    page for page in PAGES if any(map(is_run, commands(page.read_text(encoding="utf-8"))))
]


DRAWN = ("report.md",)
"""Pages whose commands draw figures; the others run without figures, in half the time."""


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=lambda page: page.name)
def test_commands_in_the_documents_run(page: Path, world: Path, trained: Trained) -> None:
    with drawing(page.name in DRAWN):
        for command in commands(page.read_text(encoding="utf-8")):
            if is_run(command):
                set_up(command, page)
                run(command, trained)


def test_the_examples_of_the_help_run(world: Path, trained: Trained) -> None:
    found = examples()
    assert len(found) == len(VERBS)
    for command in filter(is_run, found):
        run(command, trained)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_in_the_documents_parse(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in commands(page.read_text(encoding="utf-8")):
        code = 0
        try:
            parser().parse_args(words_of(command))
        except SystemExit as end:  # --help and --version end with 0
            code = int(str(end.code))
        assert code == 0, (command, capsys.readouterr().err)


def test_what_is_not_run_is_still_documented() -> None:
    shown = [
        *examples(),
        *(line for page in PAGES for line in commands(page.read_text(encoding="utf-8"))),
    ]
    assert [part for part in NOT_RUN if not any(part in command for command in shown)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_the_documents_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} -> {target}"
