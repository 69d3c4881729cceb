"""Results of ``predict --out`` with labels give the same metrics as a scores file."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.csv
import pyarrow.parquet
import pytest

from pneumoscope.cli import main
from pneumoscope.errors import DataError, OptionError
from pneumoscope.evaluation.question import Question
from pneumoscope.evaluation.scores import Scores
from pneumoscope.workflow.evaluate import evaluate_reader

FAST = Question(resamples=100)


@pytest.fixture(scope="module")
def place(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with ``archive/``, ``results/`` and ``results.csv``; 20 images of a class."""
    here = tmp_path_factory.mktemp("results")
    for name in ("NORMAL", "PNEUMONIA"):
        (here / "archive" / name).mkdir(parents=True)
        for number, image in enumerate(sorted((phantoms / "train" / name).iterdir())[:20]):
            shutil.copy(image, here / "archive" / name / f"{name}-{number // 2}-{number}.jpeg")
    (here / "archive" / "NORMAL" / "torn.png").write_bytes(b"none")
    read = ["predict", str(here / "archive"), "--no-gate", "--out"]
    assert main([*read, str(here / "results"), "--engine", "processes", "--shard-size", "6"]) == 3
    assert main([*read, str(here / "results.csv")]) == 3
    assert len(list((here / "results").glob("part-*.parquet"))) == 7
    return here


def table(place: Path, name: str, **columns: list[object]) -> Path:
    with (place / name).open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    return place / name


def images(place: Path) -> list[Path]:
    return sorted((place / "archive").rglob("*.jpeg"))


def own_scores(place: Path) -> Scores:
    """Return the scores of the results, joined by other means."""
    parts = pyarrow.parquet.read_table(
        place / "results", columns=["path", "logit", "probability", "model_sha256"]
    )
    label = ["1" if "PNEUMONIA" in str(path) else "0" for path in parts["path"].to_pylist()]
    joined = parts.append_column("label", pyarrow.array(label)).drop_null()
    pyarrow.csv.write_csv(joined, place / "scores.csv")
    return Scores.load(place / "scores.csv")


def test_parts_give_the_numbers_of_one_scores_file(place: Path, tmp_path: Path) -> None:
    paths: list[object] = [str(path) for path in images(place)]
    labels = table(place, "a.csv", path=paths, label=[int("PNEUMONIA" in str(p)) for p in paths])
    own = own_scores(place)
    by_table = evaluate_reader(
        place / "results", labels=labels, question=FAST, scores_file=tmp_path / "scores.csv"
    )
    threshold = Question(resamples=100, threshold=by_table.threshold.value)
    one_file = evaluate_reader(place / "scores.csv", question=threshold)
    assert by_table.n == one_file.n == 40
    assert by_table.numbers == one_file.numbers
    assert by_table.confusion == one_file.confusion
    saved = Scores.load(tmp_path / "scores.csv")
    assert (saved.path, saved.patient, saved.model) == (own.path, own.patient, own.model)
    assert np.array_equal(saved.logit, own.logit)
    assert np.array_equal(saved.probability, own.probability)
    by_folder = evaluate_reader(place / "results", question=FAST)
    assert by_folder.numbers == one_file.numbers
    assert by_folder.unreadable == 1
    of_csv = evaluate_reader(place / "results.csv", question=FAST)
    assert of_csv.numbers == one_file.numbers


def test_the_reader_is_told_by_the_results(place: Path) -> None:
    found = evaluate_reader(place / "results", question=FAST)
    with (place / "results.csv").open() as file:
        row = next(iter(csv.DictReader(file)))
    assert found.threshold.to_dict() == {
        "value": float(row["threshold"]), "source": "model", "rule": row["rule"],
    }  # fmt: skip
    assert found.reader["sha256"] == row["model_sha256"]
    assert found.labels.names == ("NORMAL", "PNEUMONIA")


def test_labels_are_found_from_the_folder_of_their_table_on(place: Path) -> None:
    chosen = images(place)[:6] + images(place)[-6:]
    names: list[object] = [path.relative_to(place).as_posix() for path in chosen]
    labels = table(
        place, "b.csv",
        path=[*names, "archive/gone.png"],
        label=[*(path.parent.name.lower() for path in chosen), "NORMAL"],
        patient=[*(f"p{number // 3}" for number in range(12)), "p9"],
        sex=[*("FM" * 6), "F"],
    )  # fmt: skip
    found = evaluate_reader(place / "results", labels=labels, question=FAST)
    assert (found.n, found.patients, found.patients_known) == (12, 4, True)
    assert {item.reason: item.n for item in found.left_out} == {
        "results without a label": 29,
        "labels without a result": 1,
    }
    assert {group.column for group in found.groups} >= {"sex"}
    parquet = place / "b.parquet"
    pyarrow.parquet.write_table(
        pyarrow.table({"path": names, "label": ["PNEUMONIA" in str(name) for name in names]}),
        parquet,
    )
    again = evaluate_reader(place / "results", labels=parquet, question=FAST)
    assert again.confusion == found.confusion


def test_rows_of_a_part_are_taken(place: Path) -> None:
    paths: list[object] = [str(path) for path in images(place)]
    labels = table(
        place, "c.csv",
        path=paths,
        label=[int("PNEUMONIA" in str(path)) for path in paths],
        split=["val", "test"] * 20,
    )  # fmt: skip
    found = evaluate_reader(place / "results", labels=labels, part="test", question=FAST)
    assert (found.n, found.part) == (20, "test")


def test_what_has_no_probability_is_counted(place: Path, tmp_path: Path) -> None:
    rows = pyarrow.parquet.read_table(place / "results").to_pylist()
    rows[3] |= {"conclusion": "NOT_ASSESSABLE", "probability": None, "logit": None}
    schema = pyarrow.parquet.read_schema(min((place / "results").glob("part-*.parquet")))
    one = tmp_path / "one.parquet"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows, schema=schema), one)
    found = evaluate_reader(one, question=FAST)
    assert (found.n, found.unreadable) == (39, 1)
    assert [str(item) for item in found.left_out] == ["1 left out: NOT_ASSESSABLE: no probability"]


def test_faults_are_one_message(place: Path, tmp_path: Path) -> None:
    some: list[object] = [str(path) for path in images(place)[:3]]
    wrong = table(tmp_path, "wrong.csv", path=some, label=["NORMAL", "PNEUMONA", "NORMAL"])
    with pytest.raises(DataError, match=r"'PNEUMONA' .* Known: normal, pneumonia"):
        evaluate_reader(place / "results", labels=wrong)
    other = table(tmp_path, "other.csv", path=["x.png"], label=["1"])
    with pytest.raises(DataError, match=r"none of the images, such as .*, has a label in"):
        evaluate_reader(place / "results", labels=other)
    twice = table(tmp_path, "twice.csv", path=[some[0], some[0]], label=["1", "0"])
    with pytest.raises(DataError, match="has two labels, 1 and 0"):
        evaluate_reader(place / "results", labels=twice)
    without = table(tmp_path, "without.csv", path=some)
    with pytest.raises(DataError, match="needs the columns path and label"):
        evaluate_reader(place / "results", labels=without)
    shutil.copytree(place / "results", tmp_path / "damaged")
    (tmp_path / "damaged" / "part-0000001.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match=r"part-0000001\.parquet: not a readable Parquet file"):
        evaluate_reader(tmp_path / "damaged", labels=other)
    with pytest.raises(OptionError, match="results of `predict`"):
        evaluate_reader(place / "scores.csv", labels=other)


def test_the_command_prints_the_numbers(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "report"
    words = ["evaluate", str(place / "results"), "--resamples", "100", "--json"]
    assert main([*words, "--report", str(report)]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["n"]["value"] == 40
    assert "1 images with a label could not be read" in told.err
    assert (report / "report.html").is_file()
