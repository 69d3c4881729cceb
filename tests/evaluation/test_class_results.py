"""Results of ``predict`` of a reader of several classes, joined with labels."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from helpers.made_classes import make_class_scores, policy_of
from pneumoscope.errors import DataError
from pneumoscope.evaluation.multiclass.numbers import class_numbers
from pneumoscope.evaluation.multiclass.results import label_space, probabilities_of
from pneumoscope.evaluation.multiclass.scores import ClassScores
from pneumoscope.evaluation.results import labelled_results
from pneumoscope.reader.prediction import ModelName, Prediction
from pneumoscope.reader.records import Record, record_of, write_csv, write_parquet
from pneumoscope.workflow.evaluate import evaluate_reader


def records(own: ClassScores) -> list[Record]:
    how = policy_of(make_class_scores(400, len(own.labels), seed=9))
    found = []
    for row in range(len(own)):
        said = own.probabilities[row].tolist()
        decided = how.decide(said)
        prediction = Prediction(
            f"x/{row}.png",
            decided.conclusion,
            float(own.probability[row]),
            float(own.log_odds[row]),
            0.5,
            model=ModelName("r", "1", "0" * 64),
            classes=own.labels.names,
            probabilities=tuple(said),
            logits=tuple(own.logits[row].tolist()),
        )
        found.append(record_of(prediction))
    return found


def labels_of(own: ClassScores, place: Path, *, as_group: bool = False) -> Path:
    with place.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label", "patient"])
        for row, number in enumerate(own.number):
            label = own.labels.names[number]
            if as_group:
                label = own.labels.pair[int(own.labels.is_positive[number])]
            writer.writerow([f"x/{row}.png", label.lower(), f"p{row}"])
    return place


@pytest.mark.parametrize("classes", [3, 5])
@pytest.mark.parametrize("form", ["results.csv", "part-00000.parquet"])
def test_the_numbers_are_those_of_the_scores(classes: int, form: str, tmp_path: Path) -> None:
    own = make_class_scores(120, classes, seed=4)
    folder = tmp_path / "results"
    folder.mkdir()
    if form.endswith(".csv"):
        with (folder / form).open("w") as file:
            write_csv(file, records(own))
        place = folder / form
    else:
        pytest.importorskip("pyarrow")
        write_parquet(folder / form, records(own))
        place = folder
    labels = labels_of(own, tmp_path / "labels.csv")
    found = evaluate_reader(
        place, labels=labels, scores_file=tmp_path / "s.csv", report=tmp_path / "page"
    )
    assert found.by_class is not None
    assert found.by_class.labels == own.labels
    wanted = class_numbers(own, np.arange(120), resamples=0)
    assert found.by_class.confusion == wanted.confusion
    for one, other in zip(found.by_class.by_class, wanted.by_class, strict=True):
        assert one["auc"].value == pytest.approx(other["auc"].value, abs=1e-3)
    assert found.classes == own.labels.pair
    again = evaluate_reader(tmp_path / "s.csv")
    assert again.by_class is not None
    assert again.by_class.confusion == wanted.confusion
    assert "Each of the" in (tmp_path / "page" / "report.html").read_text(encoding="utf-8")


def test_labels_of_the_group_leave_its_numbers(tmp_path: Path) -> None:
    own = make_class_scores(60, 3, seed=4)
    with (tmp_path / "r.csv").open("w") as file:
        write_csv(file, records(own))
    labels = labels_of(own, tmp_path / "labels.csv", as_group=True)
    found = evaluate_reader(tmp_path / "r.csv", labels=labels)
    assert found.by_class is None
    assert found.classes == ("NORMAL", "PNEUMONIA")
    assert found.n == 60
    (tmp_path / "wrong.csv").write_text("path,label\nx/0.png,VIRIS\n")
    with pytest.raises(DataError, match="VIRIS"):
        labelled_results(tmp_path / "r.csv", tmp_path / "wrong.csv")


def test_which_classes_are_positive() -> None:
    said = [{"A": 0.2, "B C": 0.5, "D": 0.3}, {"A": 0.6, "B C": 0.1, "D": 0.3}]
    assert label_space(said, [0.8, 0.4], {"A"}).positive == ("B C", "D")
    assert label_space(said, [0.8, 0.4], {"A", "ILL", "B C"}).group == "ILL"
    assert label_space(said, [0.8, 0.4], {"A", "B C or D"}).group == ""
    assert label_space(said, [0.2, 0.6], set()).positive == ("A",)
    with pytest.raises(DataError, match="not a sum"):
        label_space(said, [0.9, 0.9], set())
    with pytest.raises(DataError, match="different classes"):
        label_space([said[0], {"A": 1.0}], [0.8, 0], set())
    many = make_class_scores(200, 6, seed=1).probabilities
    wide = np.concatenate([many, many], axis=1) / 2  # 12 classes
    rows = [{f"C{k}": float(p) for k, p in enumerate(row)} for row in wide]
    total = wide[:, [1, 4, 11]].sum(axis=1)
    found = label_space(rows, total.tolist(), set())
    sums = wide[:, [found.names.index(name) for name in found.positive]].sum(axis=1)
    assert sums == pytest.approx(total)


def test_cells_that_cannot_be_read() -> None:
    with pytest.raises(DataError, match="cannot be read"):
        probabilities_of("NORMAL; VIRUS 0.9")
