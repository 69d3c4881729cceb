"""Small data sets in the layouts of the public ones, with generated pictures."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from helpers.files import dicom_file

N = 24
"""Number of images of each class."""


@dataclass(frozen=True)
class Made:
    """A written data set.

    Attributes:
        place: The folder.
        table: The table that can be given instead of the folder; None if there is none.
        options: Options of the command line.
        counts: (negative, positive) images.
        left_out: Start of a reason → number of rows.
        patients: Number of patients; 0 if unknown.
        studies: Whether studies are known.
        splits: The parts defined by the data.
    """

    place: Path
    table: Path | None
    options: tuple[str, ...]
    counts: tuple[int, int]
    left_out: dict[str, int] = field(default_factory=dict)
    patients: int = 0
    studies: bool = False
    splits: tuple[str, ...] = ()


def picture(seed: int, *, bright: bool = False) -> NDArray[np.uint8]:
    """Return 40 x 48 grey values of noise, optionally with a bright patch."""
    pixels = np.random.default_rng(seed).integers(0, 160, (40, 48), dtype=np.uint8)
    if bright:
        pixels[10:30, 10:30] = np.minimum(pixels[10:30, 10:30] + 90, 255)
    return pixels


def put(path: Path, seed: int, *, bright: bool = False, patient: str | None = None) -> None:
    """Write a picture: DICOM with a patient, if given, or in the format of the suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = picture(seed, bright=bright)
    if path.suffix in {".dcm", ".dicom"}:
        path.write_bytes(dicom_file(pixels, PatientID=patient, PatientName=None))
    else:
        Image.fromarray(pixels).save(path)


def write_table(path: Path, header: Sequence[str], rows: Sequence[Sequence[object]]) -> Path:
    """Write a CSV file, gzipped if its name ends in .gz."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(header)
    writer.writerows(rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    data = text.getvalue().encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def kaggle(root: Path) -> Made:
    """Write the Kaggle archive as unpacked."""
    base = root / "archive" / "chest_xray"
    for copy in (base, base / "chest_xray"):
        for k, part in enumerate(("train", "val", "test")):
            for positive, label in enumerate(("NORMAL", "PNEUMONIA")):
                for i in range(N if part == "train" else 4):
                    patient = 300 * k + i
                    name = f"person{patient}_bacteria_{i}" if positive else f"IM-{patient:04d}-0001"
                    seed = 1000 * k + 100 * positive + i
                    put(copy / part / label / f"{name}.jpeg", seed, bright=bool(positive))
                (copy / part / label / "._IM-0001.jpeg").write_bytes(b"\0\5\x16\7")
        (copy / ".DS_Store").write_bytes(b"x")
    junk = base / "__MACOSX" / "chest_xray" / "train" / "NORMAL" / "._IM-0001.jpeg"
    junk.parent.mkdir(parents=True)
    junk.write_bytes(b"\0\5\x16\7")
    total = N + 8
    return Made(
        root / "archive", None, (), (total, total),
        {"hidden": 8, "files next to": 2 * total}, patients=2 * total,
        splits=("test", "train", "val"),
    )  # fmt: skip


def nih(root: Path) -> Made:
    """Write NIH ChestX-ray14; its first release ends each line in a comma."""
    rows: list[tuple[object, ...]] = []
    train: list[str] = []
    test: list[str] = []
    for i in range(3 * N):
        label = ("No Finding", "Effusion|Pneumonia", "Hernia")[i % 3]
        name = f"{i // 2:08d}_{i % 2:03d}.png"
        put(root / f"images_{1 + i % 3:03d}" / "images" / name, i, bright=i % 3 == 1)
        rows.append(
            (name, label, i % 2, i // 2, 50, "M", ("PA", "AP")[i % 2], 48, 40, 0.1, 0.1, "")
        )
        (test if i >= 60 else train).append(name)
    rows.append(
        ("99999999_000.png", "No Finding", 0, 99999999, 50, "F", "PA", 48, 40, 0.1, 0.1, "")
    )
    header = (
        "Image Index", "Finding Labels", "Follow-up #", "Patient ID", "Patient Age",
        "Patient Gender", "View Position", "OriginalImage[Width", "Height]",
        "OriginalImagePixelSpacing[x", "y]", "",
    )  # fmt: skip
    table = write_table(root / "Data_Entry_2017.csv", header, rows)
    (root / "train_val_list.txt").write_text("\n".join(train) + "\n")
    (root / "test_list.txt").write_text("\n".join(test) + "\n")
    return Made(
        root, table, ("--map", "PNEUMONIA=pneumonia", "--map", "NORMAL=No Finding"), (N, N),
        {"label not in": N, "the image is not": 1}, patients=36, splits=("test", "train"),
    )  # fmt: skip


FINDINGS = (
    "No Finding", "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion",
    "Edema", "Consolidation", "Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion",
    "Pleural Other", "Fracture", "Support Devices",
)  # fmt: skip
TWO = ("--map", "PNEUMONIA=Pneumonia", "--map", "NORMAL=No Finding")


def _values(**found: str) -> list[str]:
    return [found.get(name.replace(" ", "_"), "") for name in FINDINGS]


def _case(i: int) -> list[str]:
    return (
        _values(No_Finding="1.0", Support_Devices="1.0"),
        _values(Pneumonia="1.0", Lung_Opacity="1.0", Edema="-1.0"),
        _values(Pneumonia="-1.0", Lung_Opacity="1.0"),
        _values(Cardiomegaly="1.0", Pneumonia="0.0"),
    )[i % 4]


def chexpert(root: Path) -> Made:
    """Write CheXpert-v1.0-small."""
    base = root / "CheXpert-v1.0-small"
    header = ("Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *FINDINGS)
    for table, number in (("train", 4 * N), ("valid", 16)):
        rows = []
        for i in range(number):
            patient = f"patient{i + (90000 if table == 'valid' else 0):05d}"
            folder = f"{base.name}/{table}/{patient}/study1"
            for view, kind, ap in (
                ("view1_frontal", "Frontal", "AP"),
                ("view2_lateral", "Lateral", ""),
            ):
                if kind == "Lateral" and i % 8:
                    continue
                seed = 1000 * (table == "valid") + 10_000 * (kind == "Lateral") + i
                put(root / folder / f"{view}.jpg", seed, bright=i % 4 == 1)
                rows.append((f"{folder}/{view}.jpg", "Male", 60, kind, ap, *_case(i)))
        write_table(base / f"{table}.csv", header, rows)
    rows = []
    for i in range(8):  # the table of the test images only contains the view in file names
        folder = f"test/patient{64741 + i}/study1"
        for k, view in enumerate(("view1_frontal", "view2_lateral")):
            put(base / folder / f"{view}.jpg", 5000 + 100 * k + i, bright=i % 2 == 1)
            rows.append((f"{folder}/{view}.jpg", *(value or "0.0" for value in _case(i % 2))))
    write_table(base / "test_labels.csv", ("Path", *FINDINGS), rows)
    total = N + 4
    return Made(
        base, None, TWO, (total + 4, total + 4),
        {"not a frontal view": N // 2 + 2 + 8, "uncertain": total, "label not in": total},
        patients=2 * total + 8, studies=True, splits=("test", "train", "val"),
    )  # fmt: skip


def mimic(root: Path) -> Made:
    """Write MIMIC-CXR-JPG."""
    labels, facts, splits = [], [], []
    for i in range(4 * N):
        patient, study = 10000000 + i, 50000000 + i
        labels.append((patient, study, *_case(i)))
        for k, view in enumerate(("PA", "LATERAL")):
            image = f"{i:08x}-{k}"
            put(
                root / f"files/p{patient // 10**6}/p{patient}/s{study}/{image}.jpg",
                2 * i + k, bright=i % 4 == 1,
            )  # fmt: skip
            facts.append((image, patient, study, "CHEST (PA AND LAT)", view, 40, 48))
            splits.append((image, study, patient, ("train", "train", "validate", "test")[i // 24]))
    write_table(
        root / "mimic-cxr-2.0.0-metadata.csv.gz",
        ("dicom_id", "subject_id", "study_id", "PerformedProcedureStepDescription",
         "ViewPosition", "Rows", "Columns"), facts,
    )  # fmt: skip
    write_table(
        root / "mimic-cxr-2.0.0-split.csv.gz", ("dicom_id", "study_id", "subject_id", "split"),
        splits,
    )  # fmt: skip
    table = write_table(
        root / "mimic-cxr-2.0.0-chexpert.csv.gz", ("subject_id", "study_id", *FINDINGS), labels
    )
    return Made(
        root, table, TWO, (N, N),
        {"not a frontal view": 4 * N, "uncertain": N, "label not in": N},
        patients=2 * N, studies=True, splits=("test", "train", "val"),
    )  # fmt: skip


def rsna(root: Path) -> Made:
    """Write the RSNA challenge: one row per box; its patient IDs identify images."""
    rows: list[tuple[object, ...]] = []
    classes = []
    for i in range(3 * N):
        name = f"{i:08x}-patient"
        place = root / "stage_2_train_images" / f"{name}.dcm"
        put(place, i, bright=i % 3 == 1, patient=name)
        if i % 3 == 1:
            rows += [(name, 10.0 * box, 10, 20, 20, 1) for box in (1, 2)]
            classes += [(name, "Lung Opacity")] * 2
        else:
            rows.append((name, "", "", "", "", 0))
            classes.append((name, ("Normal", "", "No Lung Opacity / Not Normal")[i % 3]))
    table = write_table(
        root / "stage_2_train_labels.csv",
        ("patientId", "x", "y", "width", "height", "Target"), rows,
    )  # fmt: skip
    write_table(root / "stage_2_detailed_class_info.csv", ("patientId", "class"), classes)
    return Made(
        root, table, ("--map", "PNEUMONIA=Lung Opacity", "--map", "NORMAL=Normal"),
        (N, N), {"label not in": N, "rows that repeat": N},
    )  # fmt: skip


def vindr(root: Path) -> Made:
    """Write VinDr-CXR: labels of whole images by three readers."""
    for part, number, other in (("train", 3 * N, "Other diseases"), ("test", 12, "Other disease")):
        header = ("image_id", "rad_id", "Consolidation", "Pneumonia", other, "No finding")
        rows = []
        for i in range(number):
            name = f"{part}{i:028x}"
            put(root / part / f"{name}.dicom", 5000 * len(part) + i, bright=i % 3 == 1)
            for reader in range(3 if part == "train" else 1):
                case = ((0, 0, 0, 1), (1, int(reader == 0), 0, 0), (0, 0, 1, 0))[i % 3]
                own = (f"R{reader}",) if part == "train" else ("R",)
                rows.append((name, *own, *case))
        write_table(root / "annotations" / f"image_labels_{part}.csv", header, rows)
    return Made(
        root, None, ("--map", "PNEUMONIA=Pneumonia", "--map", "NORMAL=no_finding"),
        (N + 4, N + 4), {"label not in": N + 4}, splits=("test", "train"),
    )  # fmt: skip


def vindr_boxes(root: Path) -> Made:
    """Write VinDr-CXR as on Kaggle: one row per box and reader."""
    rows = []
    for i in range(3 * N):
        put(root / "train" / f"{i:032x}.dicom", i, bright=i % 3 == 1)
        for reader in ("R8", "R9", "R10"):
            name = ("No finding", "Consolidation", "Cardiomegaly")[i % 3]
            rows.append(
                (f"{i:032x}", name, 14, reader, *([""] * 4 if i % 3 == 0 else [1, 2, 3, 4]))
            )
    header = ("image_id", "class_name", "class_id", "rad_id", "x_min", "y_min", "x_max", "y_max")
    table = write_table(root / "train.csv", header, rows)
    return Made(
        root, table, ("--map", "PNEUMONIA=Consolidation", "--map", "NORMAL=No finding"), (N, N),
        {"label not in": N},
    )  # fmt: skip


def padchest(root: Path) -> Made:
    """Write PadChest."""
    rows = []
    for i in range(3 * N):
        name = f"{i:020d}.png"
        labels = ("['normal']", "['pneumonia', 'infiltrates']", "['scoliosis', 'normal']")[i % 3]
        put(root / str(i % 5) / name, i, bright=i % 3 == 1)
        rows.append(
            (i, name, i % 5, f"S{i}", f"P{i // 2}", "PA" if i % 2 else "AP_horizontal", labels)
        )
    rows.append((99, "lateral.png", 0, "S1", "P1", "L", "['normal']"))
    rows.append((100, f"{0:020d}x.png", 0, "S2", "P1", "PA", ""))
    put(root / "0" / "lateral.png", 999)
    put(root / "0" / f"{0:020d}x.png", 998)
    table = write_table(
        root / "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv",
        ("", "ImageID", "ImageDir", "StudyID", "PatientID", "Projection", "Labels"), rows,
    )  # fmt: skip
    return Made(
        root, table, ("--map", "PNEUMONIA=Pneumonia", "--map", "NORMAL=normal"), (N, N),
        {"label not in": N, "not a frontal view": 1, "no label": 1}, patients=36, studies=True,
    )  # fmt: skip


def covidx(root: Path) -> Made:
    """Write COVIDx: lines without a header, patients with blanks, and lines without a source."""
    for part, number in (("train", 2 * N), ("test", 8)):
        lines = []
        for i in range(number):
            name = f"{part}-{i}.png"
            put(root / part / name, 7000 * len(part) + i, bright=bool(i % 2))
            patient = f"COVID {i // 2}" if part == "train" and i < N else f"{part}{i // 2}"
            source = "" if part == "test" and i < 4 else " rsna"
            lines.append(f"{patient} {name} {('negative', 'positive')[i % 2]}{source}")
        (root / f"{part}_COVIDx9B.txt").write_text("\n".join(lines) + "\n")
    return Made(
        root, None, ("--positive", "positive"), (N + 4, N + 4), {}, patients=N + 4,
        splits=("test", "train"),
    )  # fmt: skip


def radiography(root: Path) -> Made:
    """Write the COVID-19 Radiography Database: images and masks of each class."""
    base = root / "COVID-19_Radiography_Dataset"
    for k, name in enumerate(("COVID", "Normal", "Viral Pneumonia", "Lung_Opacity")):
        for i in range(N):
            put(base / name / "images" / f"{name}-{i}.png", 100 * k + i, bright=k != 1)
            put(base / name / "masks" / f"{name}-{i}.png", 1)
        (base / f"{name}.metadata.xlsx").write_bytes(b"PK")
    return Made(
        root, None,
        ("--map", "PNEUMONIA=viral-pneumonia,COVID", "--map", "NORMAL=NORMAL"), (N, 2 * N),
        {"masks": 4 * N, "label not in": N},
    )  # fmt: skip


MAKERS: dict[str, Callable[[Path], Made]] = {
    maker.__name__: maker
    for maker in (
        kaggle, nih, chexpert, mimic, rsna, vindr, vindr_boxes, padchest, covidx, radiography,
    )
}  # fmt: skip


def classes_with_names(root: Path, names: Sequence[str], *, n: int = 3) -> Path:
    """Write class folders with n pictures each."""
    for k, name in enumerate(names):
        for i in range(n):
            put(root / name / f"{i}.png", 100 * k + i, bright=bool(k))
    return root
