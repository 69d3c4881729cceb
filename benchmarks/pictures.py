"""The images of the benchmarks."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from pneumoscope.data.phantom import write_folder

LABELS = ("NORMAL", "PNEUMONIA")
_NAMES = {"NORMAL": "NORMAL", "PNEUMONIA": "BACTERIA"}
_REPOSITORY = Path(__file__).resolve().parents[1]


def real_images() -> tuple[Path, Path] | None:
    """Return the folders of real images at 224 pixels and at native size; None if not there."""
    shared = Path(os.environ.get("PNEUMOSCOPE_SHARED", _REPOSITORY.parent / "shared"))
    small = shared / "data" / "chest_xray" / "train"
    native = shared / "data" / "chest_xray_native"
    there = all((folder / label).is_dir() for folder in (small, native) for label in LABELS)
    return (small, native) if there else None


def generated_images(folder: Path, *, quick: bool) -> tuple[Path, Path]:
    """Write radiographs at 224 pixels and at native size, and return the two folders."""
    small = write_folder(
        folder / "small", patients=30 if quick else 300, size_px=(224, 224), splits={"train": 1.0}
    )
    native = write_folder(
        folder / "native", patients=10 if quick else 80, seed=1, splits={"train": 1.0}
    )
    return small / "train", native / "train"


def replicate(source: Path, folder: Path, *, count: int) -> list[Path]:
    """Write a number of images into ``folder/<label>/``, each a separate file and patient.

    The files of ``source`` are repeated as often as necessary. A number after the end of the image,
    which decoders do not read, makes each content different, so that caches have no effect.
    """
    found = [
        (path.read_bytes(), label)
        for label in LABELS
        for path in sorted((source / label).iterdir())
    ]
    # Mixed, so that few of them have both classes and all sizes, too.
    order = np.random.default_rng(0).permutation(len(found)).tolist()
    written = []
    for number in range(count):
        data, label = found[order[number % len(found)]]
        path = folder / label / f"{_NAMES[label]}-{number:07}-0001.jpeg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data + f"{number:07}".encode())
        written.append(path)
    return written
