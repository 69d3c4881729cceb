"""Labels softened by teachers that have not seen the patients they tell about."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from helpers.findings import findings_table
from helpers.phantoms import written_once
from pneumoscope.data.cache import build_cache
from pneumoscope.data.catalog import read_catalog
from pneumoscope.data.prepared import PreparedData
from pneumoscope.data.split import split_catalog
from pneumoscope.errors import DataError, OptionError
from pneumoscope.export import network_logits
from pneumoscope.images.prepare import InputSpec
from pneumoscope.runs import RunFolder, rows_of
from pneumoscope.training.devices import Placement
from pneumoscope.training.distillation import FILE, check_teachers, soft_targets
from pneumoscope.training.fit import fit
from pneumoscope.training.fitted import Fitted
from pneumoscope.training.network import network_of
from pneumoscope.training.recipe import Recipe, recipe_of


@pytest.fixture(scope="module")
def data(phantoms: Path) -> PreparedData:
    catalog = read_catalog(phantoms)
    cache, catalog = build_cache(catalog, InputSpec(32, 32))
    return PreparedData(catalog, cache, split_catalog(catalog, fraction=0.3))


def recipe(**changes: Any) -> Recipe:
    return recipe_of(
        "seed", image_size=32, filters=(4, 8), max_epochs=1, batch_size=16,
        **{"distil": 2, **changes},
    )  # fmt: skip


class Teaching:
    """Teachers that learn nothing, and what they were asked to learn."""

    def __init__(self, *, interrupted: bool = False) -> None:
        self.asked: list[tuple[Recipe, PreparedData, Path]] = []
        self._interrupted = interrupted

    def __call__(self, own: Recipe, images: PreparedData, folder: RunFolder) -> Fitted:
        self.asked.append((own, images, folder.root))
        torch.manual_seed(len(self.asked))
        classes = len(images.catalog.findings or images.catalog.classes)
        network = network_of(own, classes=classes).eval()
        fields: dict[str, Any] = {"epochs": (), "best": None, "seconds": 0.0, "leader": True}
        return Fitted(network, precision="float32", device="cpu",
                      interrupted=self._interrupted, **fields)  # fmt: skip


def test_every_image_is_told_by_teachers_without_its_patient(
    data: PreparedData, tmp_path: Path
) -> None:
    teach = Teaching()
    own = recipe(teachers="seed-cnn,seed-cnn", distil_weight=0.25, seed=4)
    targets = soft_targets(own, data, folder=RunFolder(tmp_path), teach=teach)
    assert [asked.seed for asked, _, _ in teach.asked] == [5, 6, 5, 6]
    assert {asked.learning.distil for asked, _, _ in teach.asked} == {0}
    assert len({place for _, _, place in teach.asked}) == 4
    rows = data.split.rows("train")
    entries = data.catalog.entries
    told: dict[int, list[float]] = {row: [] for row in rows}
    for number, (asked, images, _) in enumerate(teach.asked):
        assert images.split.rows("val") == data.split.rows("val")
        seen = {entries[row].patient for row in images.split.rows("train")}
        judged = [row for row in rows if row not in set(images.split.rows("train"))]
        assert judged
        assert not seen & {entries[row].patient for row in judged}
        torch.manual_seed(number + 1)
        logits = network_logits(network_of(asked).eval(), data.batches(judged))
        for row, logit in zip(judged, logits, strict=True):
            told[row].append(1 / (1 + np.exp(-logit)))
    labels = data.catalog.select(rows).labels
    expected = 0.75 * labels + 0.25 * np.array([np.mean(told[row]) for row in rows])
    assert all(len(said) == 2 for said in told.values())
    assert targets[:, 1] == pytest.approx(expected, abs=1e-6)
    assert targets.sum(1) == pytest.approx(1)


def test_teachers_are_trained_once(data: PreparedData, tmp_path: Path) -> None:
    folder, teach = RunFolder(tmp_path), Teaching()
    first = soft_targets(recipe(), data, folder=folder, teach=teach)
    again = soft_targets(recipe(), data, folder=folder, teach=teach)
    assert len(teach.asked) == 2
    assert np.array_equal(first, again)
    heavier = soft_targets(recipe(distil_weight=1.0), data, folder=folder, teach=teach)
    told = [float(row["probability PNEUMONIA"]) for row in rows_of(tmp_path / FILE)]
    assert heavier[:, 1] == pytest.approx(told, abs=1e-6)
    fewer = replace(data, split=split_catalog(data.catalog, fraction=0.4))
    with pytest.raises(DataError, match="contains other images"):
        soft_targets(recipe(), fewer, folder=folder, teach=teach)


def test_an_interrupted_teacher_ends_it(data: PreparedData, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        soft_targets(recipe(), data, folder=RunFolder(tmp_path), teach=Teaching(interrupted=True))
    assert not (tmp_path / FILE).exists()


def test_findings_without_a_label_stay_masked(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    written_once(tmp_path_factory, tmp_path / "data", patients=60, seed=5, size_px=(40, 44))
    table = findings_table(tmp_path / "data", tmp_path / "images.csv")
    own = recipe(findings="all")
    catalog = read_catalog(table, options=own.data.options())
    cache, catalog = build_cache(catalog, InputSpec(32, 32))
    data = PreparedData(catalog, cache, split_catalog(catalog, fraction=0.3))
    targets = soft_targets(own, data, folder=RunFolder(tmp_path / "run"), teach=Teaching())
    labels = catalog.select(data.split.rows("train")).finding_labels
    assert np.array_equal(np.isnan(targets), labels < 0)
    known = labels >= 0
    assert (np.abs(targets - labels)[known] < 0.5).all()
    assert (np.abs(targets - labels)[known] > 0).all()


def test_a_distilled_run_learns_from_its_teachers(data: PreparedData, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    fitted = fit(recipe(), data, folder=folder)
    assert len(fitted.epochs) == 1
    assert (folder.root / FILE).is_file()
    assert not (folder.root / "teachers").exists()
    plain = fit(recipe(distil=0), data, folder=RunFolder(tmp_path / "plain"))
    assert fitted.epochs[0].loss != plain.epochs[0].loss
    alone = fit(recipe(distil_weight=0.0), data, folder=folder)  # the labels alone
    assert alone.epochs[0].loss == plain.epochs[0].loss


def test_what_cannot_be_distilled_is_refused(data: PreparedData, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="at least 2 folds"):
        recipe(distil=1)
    with pytest.raises(OptionError, match="0 for a linear probe"):
        recipe(probe=True)
    with pytest.raises(OptionError, match="1 with `distil`"):
        fit(recipe(), data, folder=RunFolder(tmp_path), placement=Placement("cpu", "2"))


def test_an_unknown_teacher_is_named_before_training() -> None:
    check_teachers(recipe(teachers="seed-cnn,seed-cnn"))
    check_teachers(recipe(distil=0, teachers="nothing"))
    with pytest.raises(OptionError, match="teachers must be known networks"):
        check_teachers(recipe(teachers="seed-cnn,nothing"))
