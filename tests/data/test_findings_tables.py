"""Tables in which an image may have several findings."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pneumoscope.data.catalog import Catalog, read_catalog
from pneumoscope.data.layouts import data_options
from pneumoscope.data.layouts.options import parse_findings
from pneumoscope.errors import DataError, OptionError
from pneumoscope.runs import rows_of


def images(folder: Path, *names: str) -> None:
    for number, name in enumerate(names):
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((20, 24), 10 * number, np.uint8)).save(place)


def read(data: Path, findings: str = "all", **options: object) -> Catalog:
    return read_catalog(data, options=data_options(findings=findings, **options))  # type: ignore[arg-type]


def labels(catalog: Catalog) -> dict[str, tuple[int, ...]]:
    return {entry.path: entry.findings for entry in catalog.entries}


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    images(tmp_path, "a.png", "b.png", "c.png", "d.png")
    table = tmp_path / "images.csv"
    table.write_text(
        "path,patient,split,age,Effusion,Pneumonia,No Finding\n"
        "a.png,P1,train,50,1,0,0\nb.png,P2,train,60,,-1,\nc.png,P3,test,,nan,1.0,0\n"
        "d.png,P4,test,70,,,1\n"
    )
    return table


def test_a_column_a_finding(plain: Path, tmp_path: Path) -> None:
    catalog = read(plain)
    assert catalog.findings == ("Effusion", "Pneumonia")
    # b has no label, since its only one is uncertain; of d nothing was found
    assert labels(catalog) == {"a.png": (1, 0), "c.png": (-1, 1), "d.png": (0, 0)}
    assert [str(item) for item in catalog.left_out] == ["1 left out: no label of any finding"]
    assert catalog.classes == ("NEGATIVE", "POSITIVE")
    assert catalog.labels.tolist() == [1, 1, 0]
    assert catalog.entries[0].patient.name == "P1"
    assert any("age" in note for note in catalog.notes)
    catalog.save(tmp_path / "catalog.csv")
    rows = rows_of(tmp_path / "catalog.csv")
    assert [row["finding Effusion"] for row in rows] == ["1", "", "0"]


@pytest.mark.parametrize(("policy", "expected"), [("positive", 1), ("negative", 0)])
def test_uncertain_labels_follow_the_policy(plain: Path, policy: str, expected: int) -> None:
    assert labels(read(plain, uncertain_labels=policy))["b.png"] == (-1, expected)


def test_missing_labels_may_count_as_negative(plain: Path) -> None:
    found = labels(read(plain, unlabelled="negative"))
    assert found["c.png"] == (0, 1)
    assert found["b.png"] == (0, -1)


def test_named_findings_in_their_order_and_in_any_case(plain: Path) -> None:
    catalog = read(plain, "pneumonia,Effusion")
    assert catalog.findings == ("Pneumonia", "Effusion")
    assert labels(catalog)["a.png"] == (0, 1)
    with pytest.raises(OptionError, match=r"findings must be findings of the data.*Hernia"):
        read(plain, "Hernia")
    with pytest.raises(DataError, match="line 2, column age: '50'"):
        read(plain, "age,Effusion")


def test_a_reader_takes_the_findings_that_the_data_have(plain: Path) -> None:
    """Others are without labels, also where the table would call them absent."""
    options = replace(data_options(findings="Hernia,Effusion"), lenient=True)
    catalog = read_catalog(plain, options=options)
    assert catalog.findings == ("Hernia", "Effusion")
    assert labels(catalog) == {"a.png": (-1, 1), "d.png": (-1, 0)}


def test_a_table_that_names_findings_says_which_are_absent(tmp_path: Path) -> None:
    images(tmp_path, "images/a.png", "images/b.png", "images/c.png")
    (tmp_path / "Data_Entry_2017.csv").write_text(
        "Image Index,Finding Labels,Patient ID,View Position\n"
        "a.png,Effusion|Mass,1,PA\nb.png,No Finding,2,PA\nc.png,Mass,3,AP\n"
    )
    catalog = read(tmp_path)
    assert catalog.findings == ("Effusion", "Mass")
    assert sorted(labels(catalog).values()) == [(0, 0), (0, 1), (1, 1)]
    assert "The data are read as NIH ChestX-ray14." in catalog.notes


def test_chexpert_leaves_blanks_without_label(tmp_path: Path) -> None:
    folder = "CheXpert-v1.0-small/train"
    paths = [f"{folder}/patient0000{k}/study1/view1_frontal.jpg" for k in range(1, 4)]
    names = (
        "No Finding,Enlarged Cardiomediastinum,Cardiomegaly,Lung Opacity,Lung Lesion,Edema,"
        "Consolidation,Pneumonia,Atelectasis,Pneumothorax,Pleural Effusion,Pleural Other,Fracture,"
        "Support Devices"
    )
    images(tmp_path, *paths)
    rows = [
        f"{paths[0]},F,50,Frontal,AP,1.0" + "," * 13,
        f"{paths[1]},F,50,Frontal,AP,,,1.0,,,0.0,,-1.0" + "," * 6,
        f"{paths[2]},F,50,Frontal,AP,,,0.0,,,,,1.0" + "," * 6,
    ]
    place = tmp_path / "CheXpert-v1.0-small" / "train.csv"
    place.write_text("Path,Sex,Age,Frontal/Lateral,AP/PA," + names + "\n" + "\n".join(rows) + "\n")
    catalog = read(tmp_path, "Cardiomegaly,Edema,Pneumonia")
    found = [entry.findings for entry in catalog.entries]
    assert found == [(0, 0, 0), (1, 0, -1), (0, -1, 1)]
    assert [entry.split for entry in catalog.entries] == ["train"] * 3


def test_what_cannot_be_is_refused(plain: Path, tmp_path: Path) -> None:
    folder = tmp_path / "classes"
    images(folder, "NORMAL/a.png", "PNEUMONIA/b.png")
    with pytest.raises(DataError, match="findings need a table"):
        read(folder)
    with pytest.raises(OptionError, match="positive must be omitted"):
        read_catalog(plain, positive="Effusion", options=data_options(findings="all"))
    with pytest.raises(OptionError, match="class_map"):
        data_options(findings="all", class_map={"A": ["B"]})
    with pytest.raises(OptionError, match="unlabelled must be given with `findings`"):
        data_options(unlabelled="negative")
    with pytest.raises(OptionError, match="different names"):
        parse_findings("A,A")
    plain.write_text("path,Effusion\na.png,1\na.png,0\n")
    with pytest.raises(DataError, match="1 rows contradict an earlier row"):
        read(plain)
    plain.write_text("path,sex\na.png,F\n")
    with pytest.raises(DataError, match="no column of findings"):
        read(plain)


def test_labels_and_fingerprint_go_together(plain: Path) -> None:
    one = read(plain).fingerprint
    plain.write_text(plain.read_text().replace("a.png,P1,train,50,1,0", "a.png,P1,train,50,1,1"))
    assert read(plain).fingerprint != one
