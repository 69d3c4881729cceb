"""Training: the same numbers twice, also across a kill; a clean end on Ctrl-C."""

from __future__ import annotations

import csv
import itertools
import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException

from helpers.warm import Warm, run_warm
from pneumoscope.data.cache import build_cache
from pneumoscope.data.catalog import read_catalog
from pneumoscope.data.prepared import PreparedData
from pneumoscope.data.split import split_catalog
from pneumoscope.errors import OptionError, OutputError
from pneumoscope.images.prepare import InputSpec
from pneumoscope.runs import RunFolder, rows_of
from pneumoscope.training.callbacks import Interrupted
from pneumoscope.training.datamodule import EpochBatches
from pneumoscope.training.devices import Placement
from pneumoscope.training.fit import fit
from pneumoscope.training.log import COLUMNS, Epoch, read_log, write_log
from pneumoscope.training.recipe import Recipe, change_recipe, recipe_of
from pneumoscope.workflow.train import train_reader


@pytest.fixture(scope="module")
def data(phantoms: Path) -> PreparedData:
    catalog = read_catalog(phantoms)
    cache, catalog = build_cache(catalog, InputSpec(32, 32))
    return PreparedData(catalog, cache, split_catalog(catalog, fraction=0.2))


def tiny(**changes: Any) -> Recipe:
    return recipe_of("seed", image_size=32, filters=(4, 8), max_epochs=3, batch_size=16, **changes)


def learning(folder: Path) -> list[tuple[float, ...]]:
    """Return the log without the clock's columns."""
    return [(r.epoch, r.loss, r.accuracy, r.val_loss, r.val_accuracy, r.val_auc)
            for r in read_log(folder / "log.csv")]  # fmt: skip


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_same_seed_gives_the_same_numbers(
    data: PreparedData, tmp_path: Path, precision: str
) -> None:
    recipe = tiny(precision=precision)
    results = [fit(recipe, data, folder=RunFolder(tmp_path / name)) for name in "ab"]
    assert learning(tmp_path / "a") == learning(tmp_path / "b")
    for one, two in zip(*(r.classifier.parameters() for r in results), strict=True):
        assert torch.equal(one, two)
    other = fit(tiny(precision=precision, seed=1), data, folder=RunFolder(tmp_path / "c"))
    assert other.epochs[0].loss != results[0].epochs[0].loss
    assert results[0].precision == precision


def test_the_log_has_the_promised_columns(data: PreparedData, tmp_path: Path) -> None:
    heard: list[tuple[int, int]] = []
    result = fit(
        tiny(),
        data,
        folder=RunFolder(tmp_path),
        on_step=lambda done, total: heard.append((done, total)),
    )
    with (tmp_path / "log.csv").open(newline="") as file:
        header = next(csv.reader(file))
    assert tuple(header) == COLUMNS
    assert header == [
        "epoch", "loss", "accuracy", "val_loss", "val_accuracy", "val_auc", "seconds",
        "images_per_second", "learning_rate",
    ]  # fmt: skip
    assert [row.epoch for row in result.epochs] == [1, 2, 3]
    images = len(data.split.rows("train"))
    assert [row.learning_rate for row in result.epochs] == [1e-3] * 3
    for row in result.epochs:
        assert row.seconds > 0
        assert row.images_per_second == pytest.approx(images / row.seconds, rel=0.02, abs=0.1)
    steps = -(-images // 16)
    assert heard == [(step, steps) for _ in range(3) for step in range(1, steps + 1)]


def test_the_logged_validation_numbers_are_those_of_the_weights(
    data: PreparedData, tmp_path: Path
) -> None:
    result = fit(tiny(precision="float32"), data, folder=RunFolder(tmp_path))
    part = data.catalog.select(data.split.rows("val"))
    pixels = torch.from_numpy(data.pixels(data.split.rows("val")))[:, None] / 255
    with torch.inference_mode():
        logits = result.classifier(pixels)
    loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(part.labels))
    assert float(loss) == pytest.approx(result.best.val_loss, abs=1e-5)
    right = (logits.argmax(1).numpy() == part.labels).mean()
    assert right == pytest.approx(result.best.val_accuracy, abs=1e-6)
    assert result.best.val_loss == min(row.val_loss for row in result.epochs)


def test_patience_ends_training(data: PreparedData, tmp_path: Path) -> None:
    recipe = tiny(learning_rate=1e-9, patience=2, precision="float32", dropout=0.0)
    frozen = fit(recipe, data, folder=RunFolder(tmp_path))
    assert len(frozen.epochs) <= 3
    losses = [row.val_loss for row in frozen.epochs]
    assert max(losses) - min(losses) < 1e-4


def expected_rates(rows: list[Epoch], *, rate: float, patience: int) -> list[float]:
    """Return the rate of each epoch by the losses of those before it, halved on a plateau."""
    rates, best, waited = [], float("inf"), 0
    for row in rows:
        rates.append(rate)
        best, waited = (row.val_loss, 0) if row.val_loss < best else (best, waited + 1)
        if waited == patience:
            rate, waited = rate / 2, 0
    return rates


@pytest.mark.parametrize("ended_in", [3, 5])
def test_a_plateau_resumes_to_the_same_rates_and_numbers(
    data: PreparedData, tmp_path: Path, ended_in: int
) -> None:
    recipe = change_recipe(
        tiny(), schedule="plateau", plateau_patience=1, learning_rate=0.05, max_epochs=8,
        patience=100, precision="float32",
    )  # fmt: skip
    whole = fit(recipe, data, folder=RunFolder(tmp_path / "whole"))
    rates = [row.learning_rate for row in whole.epochs]
    assert len(set(rates)) > 2
    assert rates == pytest.approx(expected_rates(list(whole.epochs), rate=0.05, patience=1))

    def end(row: Epoch) -> None:  # before the checkpoint of this epoch is written
        if row.epoch == ended_in:
            raise Interrupted

    folder = RunFolder(tmp_path / "ended")
    assert fit(recipe, data, folder=folder, on_epoch=end).interrupted
    resumed = fit(recipe, data, folder=folder, resume=True)
    assert learning(tmp_path / "ended") == learning(tmp_path / "whole")
    assert [row.learning_rate for row in resumed.epochs] == rates


def test_a_log_from_before_the_rate_was_noted_is_read(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text(
        "epoch,loss,accuracy,val_loss,val_accuracy,val_auc,seconds,images_per_second\n"
        "1,.5,.5,.4,.6,.7,2,100\n"
    )
    (row,) = read_log(tmp_path / "log.csv")
    assert (row.images_per_second, row.learning_rate) == (100, None)
    write_log(tmp_path / "log.csv", [row])
    assert read_log(tmp_path / "log.csv") == [row]


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "adamax", "adagrad", "sgd"])
def test_every_optimizer_learns(data: PreparedData, tmp_path: Path, optimizer: str) -> None:
    recipe = tiny(optimizer=optimizer, learning_rate=1e-2, weight_decay=1e-4)
    result = fit(recipe, data, folder=RunFolder(tmp_path))
    assert np.isfinite([row.val_loss for row in result.epochs]).all()
    assert len({row.val_loss for row in result.epochs}) == len(result.epochs)


_SCRIPT = """
import sys, time
from pathlib import Path
from pneumoscope.training.recipe import Recipe
from pneumoscope.workflow.train import train_reader
from pneumoscope.watch import Watcher

class Slow(Watcher):
    def say(self, text):
        print(text, flush=True)
        end = time.monotonic() + 60
        while text.startswith("    %s ") and not go.exists() and time.monotonic() < end:
            time.sleep(0.01)

go = Path(__file__).with_name("go")

if __name__ == "__main__":
    data, out, config = map(Path, sys.argv[1:4])
    resume = len(sys.argv) > 4
    result = train_reader(data, out, recipe=None if resume else Recipe.load(config),
                          resume=resume, watcher=Slow())
    print("interrupted" if result.fitted.interrupted else "finished", flush=True)
"""


def start(tmp_path: Path, phantoms: Path, out: Path, *more: str, pause_at: int = 0) -> Warm:
    """Start a training that pauses after an epoch, until there is a file ``go``."""
    script = tmp_path / f"train{pause_at}.py"
    script.write_text(_SCRIPT % pause_at)
    tiny(val_fraction=0.2).save(tmp_path / "recipe.yaml")
    return Warm(script, phantoms, out, tmp_path / "recipe.yaml", *more)


def wait_for_epoch(process: Warm, epoch: int) -> None:
    for line in process.stdout:
        if line.startswith(f"{epoch:5d}  "):
            return
    raise AssertionError(process.communicate())


def test_a_killed_run_resumes_to_the_same_numbers(tmp_path: Path, phantoms: Path) -> None:
    whole = start(tmp_path, phantoms, tmp_path / "whole")
    assert whole.communicate(timeout=120)[0].endswith("finished\n")
    killed = start(tmp_path, phantoms, tmp_path / "killed", pause_at=2)
    wait_for_epoch(killed, 2)
    killed.kill()
    killed.communicate()
    assert not (tmp_path / "killed" / "model.onnx").exists()
    resumed = start(tmp_path, phantoms, tmp_path / "killed", "--resume")
    out, err = resumed.communicate(timeout=120)
    assert out.endswith("finished\n"), err
    assert learning(tmp_path / "killed") == learning(tmp_path / "whole")
    scores = [rows_of(tmp_path / name / "scores-val.csv") for name in ("killed", "whole")]
    for row in (*scores[0], *scores[1]):
        del row["model_sha256"]  # the file tells when and where it was made
    assert scores[0] == scores[1]
    again = start(tmp_path, phantoms, tmp_path / "killed", "--resume")
    assert again.communicate(timeout=120)[0].endswith("finished\n")
    assert learning(tmp_path / "killed") == learning(tmp_path / "whole")


@pytest.mark.skipif(os.name == "nt", reason="signals differ there")
def test_ctrl_c_keeps_what_was_learnt(tmp_path: Path, phantoms: Path) -> None:
    process = start(tmp_path, phantoms, tmp_path / "run", pause_at=1)
    wait_for_epoch(process, 1)
    process.send_signal(signal.SIGINT)
    (tmp_path / "go").touch()
    out, err = process.communicate(timeout=120)
    assert out.endswith("interrupted\n"), err
    assert (tmp_path / "run" / "model.onnx").exists()
    assert "stopped manually" in (tmp_path / "run" / "report.html").read_text()
    assert len(learning(tmp_path / "run")) < 3
    resumed = start(tmp_path, phantoms, tmp_path / "run", "--resume")
    assert resumed.communicate(timeout=120)[0].endswith("finished\n")
    assert len(learning(tmp_path / "run")) == 3


_FULL = """
import resource, sys
from pathlib import Path
from pneumoscope.cli import main
from pneumoscope.cli.terminal import TerminalWatcher

before = TerminalWatcher.say

def say(self, text):
    before(self, text)
    if text.startswith("    1 "):  # the first epoch is over; then nothing larger can be written
        resource.setrlimit(resource.RLIMIT_FSIZE, (4000, resource.RLIM_INFINITY))

TerminalWatcher.say = say
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.skipif(os.name == "nt", reason="limits differ there")
def test_a_full_disk_is_one_message_and_nothing_is_lost(tmp_path: Path, phantoms: Path) -> None:
    run = tmp_path / "run"
    command = ["train", str(phantoms), "--out", str(run)]
    options = ["--image-size", "32", "--filters", "4,8", "--epochs", "2", "--val-fraction", "0.2"]
    script = tmp_path / "full.py"
    script.write_text(_FULL)
    status, _, said = run_warm(script, *command, *options)
    assert status == 1, said
    assert "Traceback" not in said
    last = said.splitlines()[-1]
    assert last.startswith("error: ")
    assert "cannot be written (File too large)" in last
    assert "continue with --resume" in last
    assert [row[0] for row in learning(run)] == [1]
    assert not list(run.rglob("*.part"))
    status, _, said = run_warm("pneumoscope", *command, "--resume")
    assert status == 0, said
    assert [row[0] for row in learning(run)] == [1, 2]


def test_an_epoch_without_its_checkpoint_is_learnt_again(
    data: PreparedData, tmp_path: Path
) -> None:
    """The log has the last epoch, but its checkpoint could not be written."""
    whole = fit(tiny(keep="last"), data, folder=RunFolder(tmp_path / "whole"))
    folder = RunFolder(tmp_path / "run")

    def end(row: Epoch) -> None:
        if row.epoch == 3:
            raise Interrupted

    fit(tiny(keep="last"), data, folder=folder, on_epoch=end)
    assert [row[0] for row in learning(folder.root)] == [1, 2, 3]
    resumed = fit(tiny(keep="last"), data, folder=folder, resume=True)
    assert learning(folder.root) == learning(tmp_path / "whole")
    for one, two in zip(
        resumed.classifier.parameters(), whole.classifier.parameters(), strict=True
    ):
        assert torch.equal(one, two)


@pytest.mark.skipif(os.name == "nt", reason="there are no such locks there")
def test_a_run_that_still_trains_is_not_resumed(tmp_path: Path, phantoms: Path) -> None:
    process = start(tmp_path, phantoms, tmp_path / "run", pause_at=1)
    wait_for_epoch(process, 1)
    with pytest.raises(OutputError, match="another process is writing here"):
        train_reader(phantoms, tmp_path / "run", recipe=None, resume=True)
    (tmp_path / "go").touch()
    out, err = process.communicate(timeout=120)
    assert out.endswith("finished\n"), err
    assert learning(tmp_path / "run")[-1][0] == 3


@pytest.mark.skipif(os.name == "nt", reason="signals differ there")
def test_sigterm_says_how_to_go_on(tmp_path: Path, phantoms: Path) -> None:
    run = tmp_path / "run"
    options = ["--image-size", "32", "--filters", "4,8", "--epochs", "400", "--val-fraction", "0.2"]
    process = Warm(
        "pneumoscope", "train", phantoms, "--out", run, *options, "--patience", "400"
    )  # fmt: skip
    until = time.monotonic() + 240
    while not (run / "checkpoints" / "last.ckpt").exists():
        assert time.monotonic() < until
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 143, said
    assert "Traceback" not in said
    assert said.splitlines()[-1].startswith("ended by SIGTERM: ")
    assert "repeat the command with --resume to continue" in said.splitlines()[-1]
    assert (run / "config.yaml").is_file()
    assert not (run / "model.onnx").exists()


def test_two_processes_share_the_work(tmp_path: Path, phantoms: Path) -> None:
    """The second one is started by Lightning, from nothing."""
    status, _, said = run_warm(
        "pneumoscope", "train", phantoms, "--out", tmp_path / "run",
        "--image-size", "32", "--filters", "4,8", "--epochs", "2", "--val-fraction", "0.2",
        "--accelerator", "cpu", "--devices", "2", "--strategy", "ddp",
    )  # fmt: skip
    assert status == 0, said
    assert (tmp_path / "run" / "report.html").exists()
    assert [row[0] for row in learning(tmp_path / "run")] == [1, 2]


def test_a_placement_that_cannot_be_is_one_message(data: PreparedData, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="devices"):
        fit(tiny(), data, folder=RunFolder(tmp_path), placement=Placement(strategy="no-such"))
    with pytest.raises(OptionError, match="devices"):
        fit(tiny(), data, folder=RunFolder(tmp_path), placement=Placement(devices="many"))


@pytest.mark.parametrize(
    ("placement", "says"),
    [
        (Placement(strategy="no-such"), "strategy"),
        (Placement("cpu", strategy="fsdp"), "strategy"),
        (Placement("cpu", "0,1"), "devices"),
        (Placement("cpu", "100000"), "devices must be at most"),
    ],
)
def test_a_placement_is_refused_before_anything_is_written(
    placement: Placement, says: str, phantoms: Path, tmp_path: Path
) -> None:
    with pytest.raises(OptionError, match=says) as caught:
        train_reader(phantoms, tmp_path / "new" / "run", recipe=tiny(), placement=placement)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("probe", [False, True])
def test_an_accelerator_that_is_not_there_is_one_message(
    probe: bool, phantoms: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)
    for name in ("gpu", "cuda", "mps"):
        with pytest.raises(OptionError, match="accelerator must be auto, cpu on this machine"):
            train_reader(
                phantoms,
                tmp_path / "run",
                recipe=recipe_of("probe") if probe else tiny(),
                placement=Placement(name),
            )
    assert not (tmp_path / "run").exists()


def test_what_lightning_refuses_when_it_begins_is_one_message_too(
    data: PreparedData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise MisconfigurationException("not here")

    monkeypatch.setattr("lightning.Trainer.fit", refuse)
    with pytest.raises(OptionError, match="not here"):
        fit(tiny(), data, folder=RunFolder(tmp_path))


def batches(epoch: int, **options: Any) -> list[list[int]]:
    sampler = EpochBatches(10, batch_size=4, **options)
    sampler.set_epoch(epoch)
    assert len(list(sampler)) == len(sampler)
    return list(sampler)


def test_the_order_of_an_epoch_depends_on_seed_and_number_alone() -> None:
    assert batches(3, seed=1) == batches(3, seed=1)
    assert batches(3, seed=1) != batches(4, seed=1)
    assert sorted(itertools.chain(*batches(3, seed=1))) == list(range(10))
    assert batches(0, seed=None) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_processes_take_equal_shares_that_cover_everything() -> None:
    shares = [
        list(itertools.chain(*batches(0, seed=1, rank=rank, world_size=3))) for rank in range(3)
    ]
    assert {len(share) for share in shares} == {4}
    assert set().union(*shares) == set(range(10))
