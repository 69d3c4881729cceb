"""Folders and manifests → the table."""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pneumoscope.data.catalog import read_catalog
from pneumoscope.data.patients import PatientPattern
from pneumoscope.errors import DataError, OptionError
from pneumoscope.labels import LabelSpace
from pneumoscope.runs import rows_of


def put(path: Path, *, grey: int = 0, size: tuple[int, int] = (20, 16)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(grey).integers(0, 256, (size[1], size[0]), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def class_folders(
    root: Path, *, names: tuple[str, ...] = ("NORMAL", "PNEUMONIA"), n: int = 3
) -> Path:
    for k, name in enumerate(names):
        for i in range(n):
            put(root / name / f"{i}.png", grey=100 * k + i)
    return root


def test_split_folders(phantoms: Path) -> None:
    catalog = read_catalog(phantoms)
    assert {entry.split for entry in catalog.entries} == {"train", "test"}
    assert catalog.classes == ("NORMAL", "PNEUMONIA")
    assert catalog.patients_known
    entry = catalog.entries[0]
    content = catalog.file(entry).read_bytes()
    assert (entry.width, entry.height, entry.mode) == (110, 96, "L")
    assert entry.bytes == len(content)
    assert entry.sha256 == hashlib.sha256(content).hexdigest()
    assert catalog.labels.sum() == sum(e.label == "PNEUMONIA" for e in catalog.entries)


def test_class_folders_without_splits(tmp_path: Path) -> None:
    catalog = read_catalog(class_folders(tmp_path))
    assert len(catalog) == 6
    assert {entry.split for entry in catalog.entries} == {""}
    assert not catalog.patients_known
    assert len({entry.patient for entry in catalog.entries}) == 6


def test_manifest(tmp_path: Path) -> None:
    class_folders(tmp_path)
    manifest = tmp_path / "table.csv"
    manifest.write_text(
        "path,label,patient,split\n"
        "NORMAL/0.png,NORMAL,a,train\nNORMAL/1.png,NORMAL,a,training\n"
        "PNEUMONIA/0.png,PNEUMONIA,b,validation\nPNEUMONIA/1.png,PNEUMONIA,c,train\n"
    )
    catalog = read_catalog(manifest)
    assert [entry.patient.name for entry in catalog.entries] == ["a", "a", "b", "c"]
    assert [entry.split for entry in catalog.entries] == ["train", "train", "val", "train"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("file,label\nx,y\n", "no column path"),
        ("path,label\nNORMAL/0.png,\n", "line 2"),
        ("path,label,split\nNORMAL/0.png,NORMAL,trian\n", "Did you mean 'train'"),
        ("", "no column path and label"),
    ],
)
def test_a_wrong_manifest_names_the_fault(tmp_path: Path, text: str, says: str) -> None:
    class_folders(tmp_path)
    manifest = tmp_path / "table.csv"
    manifest.write_text(text)
    with pytest.raises(DataError, match=says):
        read_catalog(manifest)


def test_the_positive_class_can_be_named(tmp_path: Path) -> None:
    class_folders(tmp_path, names=("covid", "healthy"))
    with pytest.raises(DataError, match="set `positive` to one of them"):
        read_catalog(tmp_path)
    assert read_catalog(tmp_path, positive="covid").classes == ("healthy", "covid")
    with pytest.raises(OptionError, match="Did you mean 'covid'"):
        read_catalog(tmp_path, positive="covd")


def test_two_classes_are_needed(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="two classes are needed"):
        read_catalog(class_folders(tmp_path, names=("NORMAL",)))


@pytest.mark.parametrize(
    ("names", "positive", "group", "title"),
    [
        (("NORMAL", "PNEUMONIA", "OTHER"), None, ("PNEUMONIA",), "PNEUMONIA"),
        (("BACTERIA", "NORMAL", "VIRUS"), None, ("BACTERIA", "VIRUS"), "BACTERIA or VIRUS"),
        (("BACTERIA", "NORMAL", "VIRUS"), "virus", ("VIRUS",), "VIRUS"),
        (("A", "B", "C", "D"), "d,B", ("B", "D"), "B or D"),
        (("A", "B", "C"), "FINDING=B,C", ("B", "C"), "FINDING"),
    ],
)
def test_any_number_of_classes(
    tmp_path: Path,
    names: tuple[str, ...],
    positive: str | None,
    group: tuple[str, ...],
    title: str,
) -> None:
    catalog = read_catalog(class_folders(tmp_path, names=names), positive=positive)
    space = catalog.label_space
    assert set(catalog.classes) == set(names)
    assert catalog.classes == (*space.negative, *space.positive)
    assert (space.positive, catalog.positive) == (group, title)
    assert [catalog.classes[number] for number in catalog.class_numbers] == [
        entry.label for entry in catalog.entries
    ]
    assert catalog.labels.tolist() == [entry.label in group for entry in catalog.entries]
    assert f"{len(names)} classes" in " ".join(catalog.notes)
    with pytest.raises(OptionError, match="not all of them"):
        read_catalog(tmp_path, positive=",".join(names))


def test_several_classes_without_a_known_finding(tmp_path: Path) -> None:
    class_folders(tmp_path, names=("EFFUSION", "NORMAL", "TUBERCULOSIS"))
    with pytest.raises(DataError, match="the positive class of"):
        read_catalog(tmp_path)
    with pytest.raises(OptionError, match="Did you mean 'EFFUSION'"):
        read_catalog(tmp_path, positive="EFFUSIO,TUBERCULOSIS")


def test_the_classes_of_a_model_hold_for_other_data(tmp_path: Path) -> None:
    space = LabelSpace.of(("NORMAL", "BACTERIA", "VIRUS"), ("BACTERIA", "VIRUS"))
    class_folders(tmp_path, names=("normal", "virus"))
    catalog = read_catalog(tmp_path, classes=space)
    assert catalog.label_space == space
    assert set(catalog.class_numbers.tolist()) == {0, 2}


def test_a_class_that_training_does_not_have(tmp_path: Path) -> None:
    class_folders(tmp_path / "train")
    class_folders(tmp_path / "test", names=("NORMAL", "PNEUMONIE"))
    with pytest.raises(DataError, match="Did you mean 'PNEUMONIA'"):
        read_catalog(tmp_path)


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder"):
        read_catalog(tmp_path / "missing")
    with pytest.raises(DataError, match="no files in class folders"):
        read_catalog(tmp_path)


def test_few_unreadable_files_are_listed_and_many_are_an_error(tmp_path: Path) -> None:
    class_folders(tmp_path, n=20)
    (tmp_path / "NORMAL" / "broken.jpeg").write_bytes(b"")
    catalog = read_catalog(tmp_path)
    assert len(catalog) == 40
    assert [item.path for item in catalog.unreadable] == ["NORMAL/broken.jpeg"]
    (tmp_path / "NORMAL" / "letter.jpeg").write_text("Dear colleague,")
    (tmp_path / "NORMAL" / "cut.jpeg").write_bytes(b"\xff\xd8\xff\xe0")
    with pytest.raises(DataError, match=r"3 of 43 files cannot be read, more than 5%"):
        read_catalog(tmp_path)


def test_hidden_files_and_circular_links_are_passed_over(tmp_path: Path) -> None:
    class_folders(tmp_path)
    (tmp_path / "NORMAL" / ".DS_Store").write_bytes(b"x")
    (tmp_path / "NORMAL" / "Thumbs.db").write_bytes(b"x")
    (tmp_path / "NORMAL" / "circle").symlink_to(tmp_path / "NORMAL")
    catalog = read_catalog(tmp_path)
    assert len(catalog) == 6
    assert not catalog.unreadable


def test_the_fingerprint_follows_content_and_label_alone(tmp_path: Path) -> None:
    first = read_catalog(class_folders(tmp_path / "a"))
    again = read_catalog(class_folders(tmp_path / "b"))
    assert first.fingerprint == again.fingerprint
    put(tmp_path / "b" / "NORMAL" / "0.png", grey=77)
    assert read_catalog(tmp_path / "b").fingerprint != first.fingerprint


def test_names_with_commas_quotes_and_newlines_survive_the_table(tmp_path: Path) -> None:
    class_folders(tmp_path)
    odd = put(tmp_path / "NORMAL" / 'a,"b"\nc é.png', grey=9)
    catalog = read_catalog(tmp_path)
    catalog.save(tmp_path / "catalog.csv")
    rows = rows_of(tmp_path / "catalog.csv")
    assert [row["path"] for row in rows] == [entry.path for entry in catalog.entries]
    assert odd.relative_to(tmp_path).as_posix() in {row["path"] for row in rows}
    with (tmp_path / "catalog.csv").open(newline="") as file:
        assert next(csv.reader(file)) == [
            "path", "label", "patient", "split", "width", "height", "mode", "bytes", "sha256",
        ]  # fmt: skip


def test_patients_by_a_pattern(tmp_path: Path) -> None:
    for label in ("NORMAL", "PNEUMONIA"):
        for i in range(4):
            put(tmp_path / label / f"p{i // 2}" / f"{i}.png", grey=i)
    catalog = read_catalog(tmp_path, patient_regex=r"^(?P<series>\w+)/p(?P<patient>\d+)/")
    assert catalog.patients_known
    assert sorted({entry.patient.name for entry in catalog.entries}) == [
        "NORMAL-0", "NORMAL-1", "PNEUMONIA-0", "PNEUMONIA-1",
    ]  # fmt: skip
    catalog = read_catalog(tmp_path, patient_regex=r"^(NORMAL/p0)")
    assert not catalog.patients_known
    assert len({entry.patient for entry in catalog.entries}) == 7
    with pytest.raises(OptionError, match=r"paths such as NORMAL/p0/0\.png"):
        read_catalog(tmp_path, patient_regex=r"q(\d+)")


@pytest.mark.parametrize("text", [r"ward-(\d+)", r"\.(png)"])
def test_an_inherited_pattern_may_find_nothing(tmp_path: Path, text: str) -> None:
    catalog = read_catalog(
        class_folders(tmp_path), patient_regex=PatientPattern(text, inherited=True)
    )
    assert not catalog.patients_known
    assert any("does not match these paths" in note for note in catalog.notes)


def test_the_catalog_of_a_run_is_a_manifest_whose_unknown_patients_stay_unknown(
    tmp_path: Path,
) -> None:
    class_folders(tmp_path)
    first = read_catalog(tmp_path)
    first.save(tmp_path / "catalog.csv")
    again = read_catalog(tmp_path / "catalog.csv")
    assert not again.patients_known
    assert again.fingerprint == first.fingerprint


def test_a_column_wins_over_a_pattern(tmp_path: Path) -> None:
    class_folders(tmp_path)
    manifest = tmp_path / "table.csv"
    manifest.write_text("path,label,patient\nNORMAL/0.png,NORMAL,a\nPNEUMONIA/1.png,PNEUMONIA,\n")
    catalog = read_catalog(manifest, patient_regex=r"(\d+)\.png")
    assert [entry.patient.name for entry in catalog.entries] == ["a", "1"]
