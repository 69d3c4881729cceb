"""A folder of large DICOM files into model inputs: decoding, window, resize."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID, ComputedRadiographyImageStorage, generate_uid

from harness import Outcome, Plan, Row, say
from places import python_with
from pneumoscope.data.phantom import render

# python-gdcm decodes lossless JPEG for pydicom, pylibjpeg-openjpeg JPEG 2000.
PACKAGES = ("pydicom", "numpy", "pillow", "python-gdcm", "pylibjpeg", "pylibjpeg-openjpeg")

_READ = Path(__file__).with_name("dicom_read.py")
_LOOP = Path(__file__).with_name("dicom_loop.py")
_SIZES = ((2000, 2000), (2500, 2048), (3000, 2500), (3500, 2800), (4000, 3000))
_DIFFERENT = 15
"""Number of generated images; the others are copies with other names."""


def measure(plan: Plan) -> Outcome:
    """Read the same files in turns: this package, an earlier version if given, the loop."""
    folder = plan.work / "images"
    count = plan.count(300, generated=300, quick=6)
    _write(folder, count)
    contenders: dict[str, list[str | Path]] = {"ours": [sys.executable, _READ, folder]}
    if plan.before:
        contenders["before"] = [sys.executable, _READ, folder]
    contenders["loop"] = [python_with("dicom", PACKAGES), _LOOP, folder]
    taken: dict[str, list[float]] = {name: [] for name in contenders}
    rounds = plan.count(2, generated=2, quick=1)
    for number in range(1, rounds + 1):
        for name, command in contenders.items():
            source = plan.before / "src" if plan.before and name == "before" else None
            taken[name].append(_seconds(command, source, count))
        shown = ", ".join(f"{name} {values[-1]:.1f} s" for name, values in taken.items())
        say(f"round {number} of {rounds}: {shown}")
    rates = {name: count / median(values) for name, values in taken.items()}
    mine = f"{rates['ours']:.1f} images/s"
    rows = [
        Row(
            f"a folder of {count} DICOM files of 4 to 12 megapixels into model inputs",
            mine,
            f"{rates['loop']:.1f} images/s (pydicom and Pillow, a process a core)",
            rates["ours"] / rates["loop"],
            at_least=1.2,
        )
    ]
    if "before" in rates:
        rows.append(
            Row(
                "the same against an earlier version",
                mine,
                f"{rates['before']:.1f} images/s",
                rates["ours"] / rates["before"],
                at_least=1.7,
            )
        )
    return Outcome(rows, {"images": count, "seconds": taken})


def _seconds(command: list[str | Path], source: Path | None, count: int) -> float:
    environment = {**os.environ, **({"PYTHONPATH": str(source)} if source else {})}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{Path(command[1]).name} failed:\n{done.stderr[-2000:]}")
    facts = json.loads(done.stdout)
    if facts["images"] != count:
        raise RuntimeError(f"{Path(command[1]).name} did not read every image")
    return float(facts["seconds"])


def _write(folder: Path, count: int) -> None:
    """Write uncompressed, JPEG 2000 and lossless JPEG files in turns."""
    folder.mkdir()
    made: list[bytes] = []
    for number in range(min(count, _DIFFERENT)):
        height, width = _SIZES[number // 3 % len(_SIZES)]
        made.append(_file(_pixels(number, height, width), number % 3))
    for number in range(count):
        (folder / f"{number:03}.dcm").write_bytes(made[number % len(made)])


def _pixels(seed: int, height: int, width: int) -> NDArray[np.uint16]:
    """Return a radiograph of 12 bits with the noise of a detector."""
    label = ("NORMAL", "PNEUMONIA")[seed % 2]
    picture = render(label, patient_seed=seed, size_px=(768, 768)).pixels
    large = Image.fromarray(picture).resize((width, height), Image.Resampling.BICUBIC)
    noise = np.random.default_rng(seed).normal(0, 12, (height, width))
    return np.clip(np.asarray(large) * (4095 / 255) + noise, 0, 4095).astype(np.uint16)


def _file(pixels: NDArray[np.uint16], kind: int) -> bytes:
    data_set = Dataset()
    data_set.SOPClassUID = ComputedRadiographyImageStorage
    data_set.SOPInstanceUID = generate_uid()
    data_set.Modality, data_set.BodyPartExamined, data_set.ViewPosition = "CR", "CHEST", "PA"
    data_set.Rows, data_set.Columns = pixels.shape
    data_set.SamplesPerPixel, data_set.PhotometricInterpretation = 1, "MONOCHROME2"
    data_set.BitsAllocated, data_set.BitsStored, data_set.HighBit = 16, 12, 11
    data_set.PixelRepresentation = 0
    data_set.WindowCenter, data_set.WindowWidth = 2048, 4096
    data_set.file_meta = FileMetaDataset()
    syntax = ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.70")[kind]
    data_set.file_meta.TransferSyntaxUID = UID(syntax)
    if kind == 0:
        data_set.PixelData = pixels.tobytes()
        data_set["PixelData"].VR = "OW"
    else:
        frame = bytes(
            imagecodecs.jpeg2k_encode(
                pixels, level=0, reversible=True, codecformat="j2k", bitspersample=12
            )
            if kind == 1
            else imagecodecs.jpeg8_encode(pixels, lossless=True, predictor=1, bitspersample=12)
        )
        data_set.PixelData = encapsulate([frame + b"\0" * (len(frame) % 2)])
        data_set["PixelData"].VR = "OB"
        data_set["PixelData"].is_undefined_length = True
    return _bytes(data_set)


def _bytes(data_set: Dataset) -> bytes:
    file = io.BytesIO()
    data_set.save_as(file, enforce_file_format=True)
    return file.getvalue()
