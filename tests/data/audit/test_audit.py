"""A folder with every kind of problem, and one without any."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from helpers.classes import GROUP, by_kind
from pneumoscope.data.audit import measures
from pneumoscope.data.audit.audit import audit_data
from pneumoscope.data.audit.findings import Finding, count
from pneumoscope.data.audit.result import Audit, counts, etiology_of
from pneumoscope.data.audit.suspicious import suspects
from pneumoscope.errors import DataError, OptionError
from pneumoscope.images.prepare import prepare
from pneumoscope.images.read import read_bytes
from pneumoscope.runs import write_csv


@pytest.fixture(scope="module")
def sound(phantoms: Path) -> Audit:
    return audit_data(phantoms)


@pytest.fixture(scope="module")
def faulty(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the generated folder with faults of every kind."""
    data = Path(shutil.copytree(phantoms, tmp_path_factory.mktemp("faulty") / "data"))
    normal = sorted((data / "train" / "NORMAL").iterdir())
    ill = sorted((data / "train" / "PNEUMONIA").iterdir())
    judged = sorted((data / "test" / "NORMAL").iterdir())
    (data / "train" / "NORMAL" / "cut.jpeg").write_bytes(normal[0].read_bytes()[:300])
    (data / "train" / "NORMAL" / "empty.jpeg").write_bytes(b"")
    shutil.copy(normal[1], data / "train" / "NORMAL" / "copy.jpeg")
    shutil.copy(normal[2], data / "test" / "NORMAL" / "leak.jpeg")
    shutil.copy(normal[3], data / "train" / "PNEUMONIA" / "mislabelled.jpeg")
    pixels = Image.open(normal[4])
    pixels.save(data / "train" / "NORMAL" / "reencoded.png")
    moved = pixels.resize((116, 101)).crop((4, 3, 114, 99))
    moved.save(data / "test" / "NORMAL" / "moved.jpeg", quality=80)
    shutil.copy(judged[0], judged[0].with_name(normal[5].name.replace("-0001.", "-0009.")))
    put(data, "blank.png", Image.new("L", (110, 96), 30))
    put(data, "turned.png", Image.open(ill[0]).rotate(90, expand=True))
    put(data, "inverted.png", Image.fromarray(255 - np.asarray(Image.open(ill[1]))))
    letter = Image.new("L", (110, 96), 255)
    ImageDraw.Draw(letter).text((5, 5), "Dear colleague,\nthank you for\nyour letter", fill=0)
    put(data, "letter.png", letter)
    colour = np.zeros((96, 110, 3), np.uint8)
    colour[..., 0], colour[..., 1] = 200, np.arange(110, dtype=np.uint8)
    put(data, "holiday.png", Image.fromarray(colour))
    return data


def put(data: Path, name: str, image: Image.Image) -> None:
    image.save(data / "train" / "PNEUMONIA" / name)


def find(audit: Audit, pattern: str) -> Finding:
    (found,) = [f for f in audit.findings if re.fullmatch(pattern, f.id)]
    return found


def names(finding: Finding) -> list[list[str]]:
    return [sorted(Path(path).name for path in group) for group in finding.files]


@pytest.fixture(scope="module")
def audited(faulty: Path) -> Audit:
    return audit_data(faulty)


def test_a_sound_folder_has_no_errors_and_no_odd_images(sound: Audit) -> None:
    assert sound.count("error") == 0
    assert not sound.odd
    assert not sound.exact
    # Films of one generated patient differ by position and exposure alone; those of a real one do
    # not come as near (docs/how-to/audit.md).
    entries = sound.measured.entries
    assert all(entries[p.first].patient == entries[p.second].patient for p in sound.near)
    assert [crossing.parts for crossing in sound.crossings] == [("train", "test")]
    assert sound.crossings[0].clean


def test_counts(sound: Audit, phantoms: Path) -> None:
    found = counts(sound)
    files = sorted(path.relative_to(phantoms).as_posix() for path in phantoms.rglob("*.jpeg"))
    assert found["images"] == len(files)
    train = found["parts"]["train"]
    assert train["images"] == sum(name.startswith("train/") for name in files)
    assert train["labels"]["NORMAL"] == sum(name.startswith("train/NORMAL/") for name in files)
    patients = {name.rsplit("/", 1)[1].rsplit("-", 1)[0] for name in files}
    assert found["patients"] == len(patients) == 60
    assert sum(int(n) * m for n, m in found["images_per_patient"].items()) == len(files)
    assert train["etiologies"]["virus"] == sum("train/PNEUMONIA/VIRUS" in name for name in files)
    assert found["modes"] == {"L": found["labels"]}


def test_each_fault_is_found_with_its_files(audited: Audit) -> None:
    assert names(find(audited, "unreadable")) == [["cut.jpeg"], ["empty.jpeg"]]
    assert "empty" in find(audited, "unreadable").details["reasons"]["train/NORMAL/empty.jpeg"]
    copies = names(find(audited, "exact-duplicates"))
    for name in ("copy.jpeg", "leak.jpeg", "mislabelled.jpeg", "reencoded.png"):
        assert sum(name in group for group in copies) == 1, name
    assert [g for g in names(find(audited, "near-duplicates")) if "moved.jpeg" in g]
    (leak,) = names(find(audited, "exact-duplicates-shared-train-test"))
    assert "leak.jpeg" in leak
    assert any("moved.jpeg" in g for g in names(find(audited, "near-duplicates-shared-train-test")))
    shared = find(audited, "patients-shared-train-test")
    assert len(shared.details["patients"]) == 1
    (labels,) = names(find(audited, "duplicates-with-two-labels"))
    assert "mislabelled.jpeg" in labels
    for kind, name in {
        "blank": "blank.png",
        "turned": "turned.png",
        "inverted": "inverted.png",
        "document": "letter.png",
        "colour": "holiday.png",
    }.items():
        assert names(find(audited, f"odd-{kind}")) == [[name]], kind
    assert find(audited, "small-test").severity == "warning"


def test_findings_come_errors_first_and_say_what_to_do(audited: Audit) -> None:
    order = [("error", "warning", "note").index(f.severity) for f in audited.findings]
    assert order == sorted(order)
    for finding in audited.findings:
        assert finding.title
        assert finding.why.endswith(".")
        assert finding.action.endswith(".")
    assert len({f.id for f in audited.findings}) == len(audited.findings)


def test_each_file_is_read_once(
    phantoms: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    data = Path(shutil.copytree(phantoms, tmp_path / "data"))
    seen: list[Path] = []

    def counted(path: Path) -> bytes:
        seen.append(path)
        return read_bytes(path)

    monkeypatch.setattr("pneumoscope.data.audit.measures.read_bytes", counted)
    audit_data(data)
    assert sorted(seen) == sorted(data.rglob("*.jpeg"))


def test_pixels_are_those_of_the_one_pixel_path(sound: Audit, phantoms: Path) -> None:
    row, picture = next(iter(sound.measured.samples.items()))
    entry = sound.measured.entries[row]
    assert (picture == prepare(phantoms / entry.path, measures.INPUT)).all()
    assert sound.measured.brightness[row] == pytest.approx(picture.mean(), abs=1e-3)
    assert sound.measured.contrast[row] == pytest.approx(picture.std(), abs=1e-3)
    label = entry.label
    rows = [r for r, e in enumerate(sound.measured.entries) if e.label == label]
    sums = sound.measured.sums[label]
    assert sums.count == len(rows)
    assert sums.mean.mean() == pytest.approx(sound.measured.brightness[rows].mean(), abs=0.2)
    assert sums.histogram.sum() == len(rows) * picture.size


def test_more_unreadable_files_than_training_takes_are_an_error_and_no_end(tmp_path: Path) -> None:
    for k in range(4):
        Image.fromarray(noise(k)).save(folder(tmp_path, "NORMAL") / f"{k}.png")
    for k in range(3):
        (folder(tmp_path, "PNEUMONIA") / f"{k}.png").write_bytes(b"no image")
    audit = audit_data(tmp_path)
    assert find(audit, "unreadable").severity == "error"
    assert len(audit.measured) == 4


def test_nothing_readable_is_an_error(tmp_path: Path) -> None:
    (folder(tmp_path, "NORMAL") / "a.png").write_bytes(b"")
    audit = audit_data(tmp_path)
    assert find(audit, "no-images").severity == "error"
    with pytest.raises(DataError, match="no such folder"):
        audit_data(tmp_path / "missing")


def test_one_class_and_no_class_are_audited(phantoms: Path, tmp_path: Path) -> None:
    flat = tmp_path / "flat"
    flat.mkdir()
    for path in sorted((phantoms / "train" / "NORMAL").iterdir()):
        shutil.copy(path, flat)
    shutil.copy(next(iter(flat.iterdir())), flat / "copy.jpeg")
    audit = audit_data(flat)
    assert find(audit, "one-class").title == "The images have no labels"
    assert len(find(audit, "exact-duplicates").files) == 1
    assert audit.shortcuts is None
    shutil.copytree(flat, tmp_path / "one" / "NORMAL")
    one = audit_data(tmp_path / "one")
    assert find(one, "one-class").title == "All images are of one class (NORMAL)"
    assert len(one.exact) == 1


def test_a_manifest_without_some_parts_counts_them_as_training(
    phantoms: Path, tmp_path: Path
) -> None:
    files = sorted((phantoms / "train" / "NORMAL").iterdir())[:6]
    rows = [(str(path), "NORMAL", "test" if k == 0 else "") for k, path in enumerate(files)]
    write_csv(tmp_path / "table.csv", ("path", "label", "split"), rows)
    parts = counts(audit_data(tmp_path / "table.csv"))["parts"]
    assert {part: own["images"] for part, own in parts.items()} == {"train": 5, "test": 1}


def test_three_classes_are_audited(phantoms: Path, tmp_path: Path) -> None:
    data = Path(shutil.copytree(phantoms / "train", tmp_path / "data"))
    (data / "OTHER").mkdir()
    shutil.copy(next((data / "NORMAL").iterdir()), data / "OTHER" / "x.jpeg")
    audit = audit_data(data)
    assert find(audit, "many-classes").title == "3 classes: NORMAL, OTHER, PNEUMONIA"
    assert len(find(audit, "duplicates-with-two-labels").files) == 1
    assert audit.shortcuts is None


def test_shortcuts_of_several_classes_are_those_of_their_positive_group(
    phantoms: Path, tmp_path: Path
) -> None:
    data = by_kind(phantoms, tmp_path / "data") / "train"
    several = audit_data(data, positive=GROUP)
    two = audit_data(phantoms / "train").shortcuts
    assert several.shortcuts is not None
    assert two is not None
    assert several.shortcuts.classes == ("NORMAL", "PNEUMONIA")
    assert several.classes is None
    assert "NORMAL and PNEUMONIA" in find(several, "many-classes").why
    assert several.shortcuts.images == two.images
    names = [{clue.name for clue in one.clues} for one in (several.shortcuts, two)]
    assert names[0] == names[1]


def test_a_misspelt_class_folder_is_an_error(phantoms: Path, tmp_path: Path) -> None:
    data = Path(shutil.copytree(phantoms, tmp_path / "data"))
    (data / "test" / "NORMAL").rename(data / "test" / "NORMALE")
    found = find(audit_data(data), "class-not-in-train")
    assert found.severity == "error"
    assert found.title == "The class NORMALE is in test but not in train"
    assert len(found.files) == len(list((data / "test" / "NORMALE").iterdir()))


def test_a_split_file_is_proved(phantoms: Path, sound: Audit, tmp_path: Path) -> None:
    patients: dict[str, list[str]] = {}
    for entry in sound.measured.entries:
        patients.setdefault(str(entry.patient), []).append(entry.path)
    torn = next(paths for paths in patients.values() if len(paths) > 1)
    rows = [(path, "train") for paths in patients.values() for path in paths if path != torn[0]]
    write_csv(tmp_path / "split.csv", ("path", "split"), [*rows, (torn[0], "val")])
    audit = audit_data(phantoms, split_file=tmp_path / "split.csv")
    assert sorted(find(audit, "patients-shared-train-val").files[0]) == sorted(torn)
    assert audit.count("error") == 1


def test_the_size_of_a_file_and_its_mode_are_shortcuts(phantoms: Path, tmp_path: Path) -> None:
    for label in ("NORMAL", "PNEUMONIA"):
        place = folder(tmp_path, label)
        for number, path in enumerate(sorted((phantoms / "train" / label).iterdir())):
            image: Image.Image = Image.open(path)
            if label == "PNEUMONIA":
                image = image.resize((90, 96)).convert("RGB" if number % 3 else "L")
            image.save(place / path.name, quality=95 if label == "NORMAL" else 60)
    audit = audit_data(tmp_path)
    assert audit.shortcuts is not None
    found = {clue.name: clue for clue in audit.shortcuts.clues}
    assert found["width"].area.value == 1.0
    assert found["width"].medians == {"NORMAL": 110.0, "PNEUMONIA": 90.0}
    assert found["file size"].area.value > 0.95
    assert "height" in audit.shortcuts.constant
    assert "width" in find(audit, "shortcut-file").title
    only = find(audit, "mode-only-in-class-RGB")
    assert len(only.files) == only.details["files"] > 10
    assert not [f for f in audit.findings if f.id == "mode-only-in-class-L"]


def test_a_sound_folder_gives_nothing_away_by_its_files(sound: Audit) -> None:
    assert sound.shortcuts is not None
    assert set(sound.shortcuts.constant) == {"width", "height", "aspect ratio", "mode"}
    for clue in sound.shortcuts.clues:
        if clue.kind == "file":
            assert clue.area.low < 0.65, clue


def test_the_seed_decides_and_the_order_of_threads_does_not(phantoms: Path, sound: Audit) -> None:
    again = audit_data(phantoms, workers=3)
    assert again.to_dict() == sound.to_dict()
    assert set(again.measured.samples) == set(sound.measured.samples)
    assert set(audit_data(phantoms, seed=1).measured.samples) != set(sound.measured.samples)


def test_the_positive_class_can_be_named(tmp_path: Path) -> None:
    for label in ("a", "b"):
        Image.fromarray(noise(1)).save(folder(tmp_path, label) / "x.png")
    assert audit_data(tmp_path, positive="a").classes == ("b", "a")
    with pytest.raises(OptionError, match="Did you mean 'a'"):
        audit_data(tmp_path, positive="aa")


def test_suspects_are_ranked() -> None:
    found = suspects(["x", "y", "z"], [1, 0, 1], [0.4, 0.99, 0.8], classes=("N", "P"))
    assert [(s.path, s.label, round(s.probability, 2)) for s in found] == [
        ("y", "N", 0.01),
        ("x", "P", 0.4),
    ]


def test_names_tell_the_etiology() -> None:
    assert etiology_of("a/person1_virus_2.jpeg") == "virus"
    assert etiology_of("bacteria/NORMAL-1-0001.jpeg") is None
    assert count(2, "copy", "copies") == "2 copies"


def test_the_real_folder(shared: Path) -> None:
    audit = audit_data(shared / "data" / "chest_xray")
    found = counts(audit)["parts"]
    assert (found["train"]["patients"], found["val"]["patients"]) == (3654, 15)
    assert audit.count("error") == 0
    assert [crossing.clean for crossing in audit.crossings] == [True]
    assert len(find(audit, "exact-duplicates").files) == 24
    assert not audit.odd
    small = find(audit, "small-val")
    assert small.details["images"] == 16
    assert "67% to 98%" in small.title


def test_the_real_folder_at_its_native_size(shared: Path) -> None:
    audit = audit_data(shared / "data" / "chest_xray_native")
    assert find(audit, "mode-only-in-class-RGB").title.startswith("RGB files occur only in PNEUMO")
    title = find(audit, "shortcut-file").title
    assert all(clue in title for clue in ("file size", "width", "aspect ratio"))
    assert not audit.odd


def folder(root: Path, name: str) -> Path:
    (root / name).mkdir(parents=True, exist_ok=True)
    return root / name


def noise(seed: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.random.default_rng(seed).integers(0, 256, (40, 50), dtype=np.uint8)
