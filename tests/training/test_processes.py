"""Training in several processes: the numbers of one, and an end that can be resumed."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from helpers.launchers import SECONDS, by_kubernetes, by_slurm, by_torchrun
from helpers.processes import wait_for
from pneumoscope.data.build_lock import alone
from pneumoscope.data.cache import build_cache
from pneumoscope.data.catalog import read_catalog
from pneumoscope.data.prepared import PreparedData
from pneumoscope.data.split import parts_in_file
from pneumoscope.images.prepare import InputSpec
from pneumoscope.runs import RunFolder
from pneumoscope.training.devices import is_leader
from pneumoscope.training.fit import fit
from pneumoscope.training.log import Epoch, read_log
from pneumoscope.training.recipe import Recipe, recipe_of


def recipe(**changes: Any) -> Recipe:
    return recipe_of(
        "seed", image_size=32, filters=(4, 8), dropout=0.0, augmentation="none",
        precision="float32", val_fraction=0.25, patience=1000, learning_rate=0.01, keep="last",
        **changes,
    )  # fmt: skip


RUN = Path("runs", "large")


@pytest.fixture
def recipe_file(phantoms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Change to a folder with the images, and return where the recipe belongs."""
    monkeypatch.chdir(tmp_path)
    Path("chest_xray").symlink_to(phantoms)
    RUN.parent.mkdir()
    return Path("recipe.yaml")


def learning(rows: list[Epoch]) -> list[tuple[float, ...]]:
    return [(r.loss, r.accuracy, r.val_loss, r.val_accuracy, r.val_auc) for r in rows]


def test_two_processes_are_one_with_the_batches_of_both_and_go_on_after_a_kill(
    recipe_file: Path, phantoms: Path, tmp_path: Path
) -> None:
    """Started, and queued again, by a job for Slurm."""
    run = tmp_path / RUN
    recipe(max_epochs=8, batch_size=8).save(recipe_file)
    machines = by_slurm(tmp_path)
    try:
        wait_for(lambda: len(read_log(run / "log.csv")) >= 2, seconds=SECONDS, what="two epochs")
        machines.processes[1].kill()
        codes, said = machines.end()
    finally:
        machines.bury()
    assert codes == [1, -signal.SIGKILL], said
    assert "another process of this training ended" in said[0]
    assert "Traceback" not in said[0]
    before = learning(read_log(run / "log.csv"))
    assert 2 <= len(before) < 8
    assert not (run / "model.onnx").exists()

    machines = by_slurm(tmp_path)
    try:
        codes, said = machines.end()
    finally:
        machines.bury()
    assert codes == [0, 0], said
    assert "Validation (" in said[0]
    assert "Validation (" not in said[1]
    assert "epoch" not in said[1]
    after = learning(read_log(run / "log.csv"))
    assert len(after) == 8
    assert after[: len(before)] == before

    one = fit(
        recipe(max_epochs=4, batch_size=16), prepared(phantoms, run), folder=RunFolder(tmp_path)
    )
    for two_epoch, one_epoch in zip(after, learning(list(one.epochs)), strict=False):
        assert two_epoch == pytest.approx(one_epoch, abs=2e-4)


def prepared(phantoms: Path, run: Path) -> PreparedData:
    """Return the images in the parts that a run gave them."""
    catalog = read_catalog(phantoms)
    cache, catalog = build_cache(catalog, InputSpec(32, 32))
    split = parts_in_file(run / "split.csv", catalog)
    assert len(split.rows("train")) % 2 == 0  # else an image is shown twice an epoch
    return PreparedData(catalog, cache, split)


def test_machines_with_other_images_do_not_train_together(
    recipe_file: Path, phantoms: Path, tmp_path: Path
) -> None:
    """In pods of Kubernetes."""
    shutil.copytree(phantoms, tmp_path / "less")
    next((tmp_path / "less" / "train" / "NORMAL").iterdir()).unlink()
    recipe(max_epochs=2).save(recipe_file)
    machines = by_kubernetes(phantoms, tmp_path / "less")
    try:
        codes, said = machines.end()
    finally:
        machines.bury()
    assert codes == [1, 1]
    for text in said:
        assert "have different images or splits" in text
        assert "Traceback" not in text
    assert read_log(RUN / "log.csv") == []


_BUILD = """
import sys, time
from pathlib import Path
from pneumoscope.data import cache
from pneumoscope.data.catalog import read_catalog
from pneumoscope.images.prepare import InputSpec

data, home, told, go = map(Path, sys.argv[1:])
real = cache.prepare_bytes

def noted(*args, **options):
    with told.open("a") as file:
        file.write("decoded\\n")
    return real(*args, **options)

cache.prepare_bytes = noted
catalog = read_catalog(data)
print("ready", flush=True)
while not go.exists():
    time.sleep(0.01)
built, _ = cache.build_cache(catalog, InputSpec(64, 64), home=home, workers=1)
print(len(built), flush=True)
"""


def test_processes_that_begin_together_decode_each_image_once(
    phantoms: Path, tmp_path: Path
) -> None:
    home, told, go = (tmp_path / name for name in ("cache", "told", "go"))
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _BUILD, phantoms, home, told, go],
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    go.touch()
    sizes = {int(process.communicate(timeout=SECONDS)[0]) for process in processes}
    (size,) = sizes
    assert told.read_text().count("decoded") == size
    (shelf,) = home.iterdir()
    assert len(list(shelf.iterdir())) == 1  # no lock and no half-built cache is left


def test_a_killed_builder_keeps_nobody_waiting(tmp_path: Path) -> None:
    place = tmp_path / "lock"
    code = (
        "import sys; from pathlib import Path; from pneumoscope.data.build_lock import alone\n"
        "with alone(Path(sys.argv[1])):\n    print('in', flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, place],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "in\n"
    entered = []

    def enter() -> None:
        with alone(place):
            entered.append(True)

    waiting = threading.Thread(target=enter)
    waiting.start()
    waiting.join(0.3)
    assert not entered
    process.kill()
    process.communicate()
    waiting.join(20)
    assert entered
    assert not place.exists()


@pytest.mark.parametrize(
    ("variables", "leads"),
    [
        ({}, True),
        ({"NODE_RANK": "0", "LOCAL_RANK": "0"}, True),
        ({"NODE_RANK": "1", "LOCAL_RANK": "0"}, False),
        ({"NODE_RANK": "1"}, False),
        ({"LOCAL_RANK": "1"}, False),
        ({"RANK": "0", "GROUP_RANK": "0", "LOCAL_RANK": "0"}, True),
        ({"RANK": "2", "GROUP_RANK": "1", "LOCAL_RANK": "0"}, False),
        ({"SLURM_PROCID": "0"}, True),
        ({"SLURM_PROCID": "3"}, False),
    ],
)
def test_one_process_leads(
    variables: dict[str, str], leads: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RANK", "LOCAL_RANK", "SLURM_PROCID", "NODE_RANK", "GROUP_RANK"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert is_leader() is leads


def test_layers_that_do_not_learn_yet_give_no_gradients(recipe_file: Path, tmp_path: Path) -> None:
    """Started by torchrun."""
    frozen = recipe_of(
        "transfer", model="timm:test_resnet", weights="none", image_size=32, max_epochs=2,
        head_epochs=1, val_fraction=0.25, batch_size=14,
    )  # fmt: skip
    frozen.save(recipe_file)
    machines = by_torchrun(tmp_path)
    try:
        codes, said = machines.end()
    finally:
        machines.bury()
    assert codes == [0, 0], said
    assert len(read_log(RUN / "log.csv")) == 2
