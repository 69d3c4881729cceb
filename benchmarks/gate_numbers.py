"""The shares that the gate refuses, of real radiographs and of other images.

    python benchmarks/gate_numbers.py --out gate.json
    python benchmarks/gate_numbers.py --model shipped

Prints a table for people and writes the same as JSON. Needs the real images in the folder
``PNEUMOSCOPE_SHARED``, and uses photographs and documents of installed packages (scikit-image,
scikit-learn, pydicom); missing ones are listed and left out.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from pneumoscope.errors import ImageError
from pneumoscope.images.prepare import InputSpec
from pneumoscope.parallel import ordered_map
from pneumoscope.reader.checks.gate import Look, PixelGate
from pneumoscope.reader.predictor import Predictor
from pneumoscope.reader.preprocess import LoadedImage, load_image

if TYPE_CHECKING:
    from numpy.typing import NDArray

SPEC = InputSpec()
_Source = bytes | np.ndarray[Any, Any]
_PATIENT = re.compile(r"(person\d+_[a-z]+|(?:NORMAL2-)?IM-\d+)")


@dataclass(frozen=True, slots=True)
class Kind:
    """The results of the gate for one kind of image.

    Attributes:
        n: Number of images.
        refused: Number of images refused by any rule.
        auroc: AUC of the distance alone, against held-out radiographs.
        beyond: Number of images beyond the distance that 1 % of the held-out radiographs exceed.
    """

    n: int
    refused: int
    auroc: float
    beyond: int


def measure(shared: Path) -> dict[str, Any]:
    """Fit a gate on four fifths of the patients; count on the last fifth, and on all else."""
    files = sorted((shared / "data" / "chest_xray").rglob("*.jpeg"))
    files += sorted((shared / "data" / "chest_xray_native").rglob("*.jpeg"))
    taken = list(ordered_map(lambda path: load_image(path, SPEC), files))
    patients = [_patient(path) for path in files]
    held = np.array([zlib.crc32(name.encode()) % 5 == 0 for name in patients])
    order = sorted(np.flatnonzero(~held), key=lambda row: zlib.crc32(patients[row].encode(), 1))
    pixels = np.stack([one.pixels for one in taken])
    gate = PixelGate(look=Look.fit(pixels[order]))
    known = [one for one, out in zip(taken, held, strict=True) if out]
    plain = PixelGate()
    refused_plain = [one for one in taken if plain.reasons(one.pixels, one.shape)]
    refused = [reasons for one in known if (reasons := gate.reasons(one.pixels, one.shape))]
    distances = _distances(gate, known)
    limit = float(np.quantile(distances, 0.99))
    kinds: dict[str, Kind] = {}
    for name, images in others(known):
        far = _distances(gate, images)
        kinds[name] = Kind(
            len(images),
            sum(bool(gate.reasons(one.pixels, one.shape)) for one in images),
            _auroc(distances, far),
            int((far > limit).sum()),
        )
    return {
        "radiographs": len(taken),
        "plain_rules_refuse": len(refused_plain),
        "held_out": {
            "radiographs": len(known),
            "patients": len({name for name, out in zip(patients, held, strict=True) if out}),
            "refused": len(refused),
            "reasons": [list(reasons) for reasons in refused],
        },
        "limits": {"turned": gate.look.turned, "farthest": gate.look.farthest} if gate.look else {},
        "kinds": {
            name: {"n": k.n, "refused": k.refused, "auroc": k.auroc, "beyond_1_percent": k.beyond}
            for name, k in kinds.items()
        },
    }


def table(found: Mapping[str, Any]) -> str:
    """Return the numbers as a table in Markdown."""
    held = found["held_out"]
    lines = [
        (
            f"Of {held['radiographs']:,} radiographs of {held['patients']:,} patients that the "
            f"gate was not fitted to, {held['refused']} are refused; the rules without the look "
            f"refuse {found['plain_rules_refuse']} of all {found['radiographs']:,}."
        ),
        "",
        "| kind | images | refused | AUROC of the distance | beyond the 1 % distance |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {name} | {k['n']} | {k['refused']} | {k['auroc']:.3f} | {k['beyond_1_percent']} |"
        for name, k in found["kinds"].items()
    ]
    return "\n".join(lines)


def of_sizes(model: str, shared: Path) -> dict[str, dict[str, Any]]:
    """Return the refusals of both gates of a model file for files at native and at reduced size."""
    reader = Predictor(model)
    native = sorted((shared / "data" / "chest_xray_native").rglob("*.jpeg"))
    small = {path.name: path for path in (shared / "data" / "chest_xray").rglob("*.jpeg")}
    found = {}
    for name, files in (("native", native), ("reduced", [small[path.name] for path in native])):
        refused = {
            path.name: list(one.refused)
            for path, one in zip(files, reader.predict_many(files), strict=True)
            if one.refused
        }
        found[name] = {"n": len(files), "refused": len(refused), "reasons": refused}
    return found


def others(
    known: Sequence[LoadedImage], spec: InputSpec = SPEC
) -> Iterator[tuple[str, list[LoadedImage]]]:
    """Yield images that are not upright chest radiographs, by kind, prepared for a model."""
    for name, sources in _kinds(known):
        yield name, [load_image(source, spec) for source in sources]


def _kinds(known: Sequence[LoadedImage]) -> Iterator[tuple[str, list[_Source]]]:
    for name, turns in (
        ("chest turned by 90° to the left", 1),
        ("chest turned by 180°", 2),
        ("chest turned by 90° to the right", 3),
    ):
        yield name, [_of_array(np.rot90(one.pixels, turns)) for one in known]
    yield "chest inverted", [_of_array(255 - one.pixels) for one in known]
    coloured, grey = _photographs()
    yield "photographs and pictures in colour", coloured
    yield "the same in grey, and grey ones", grey
    yield "samples of DICOM that show no chest", _dicom_samples()
    rng = np.random.default_rng(0)
    yield "pages of text", [_page(rng) for _ in range(100)]
    yield "screens", [_screen(rng) for _ in range(100)]
    yield "noise", [_noise(rng) for _ in range(100)]
    yield "blank, or a plain gradient", [_plain(rng) for _ in range(100)]


def _photographs() -> tuple[list[_Source], list[_Source]]:
    coloured: list[_Source] = []
    grey: list[_Source] = []
    for array in _installed_pictures():
        if array.ndim == 2:
            grey.append(_of_array(array))
        else:
            coloured.append(_encoded(Image.fromarray(array[..., :3])))
            grey.append(_encoded(Image.fromarray(array[..., :3]).convert("L")))
    return coloured, grey


def _installed_pictures() -> Iterator[NDArray[np.uint8]]:
    try:
        from skimage import data  # noqa: PLC0415 - may be missing
        from skimage import io as skio  # noqa: PLC0415
    except ImportError:
        print("scikit-image is not installed; its pictures are left out")
    else:
        folder = Path(data.__file__).parent
        for path in sorted(folder.rglob("*")):
            if path.suffix.lower() in {".png", ".jpg", ".jpeg", ".tif", ".gif"}:
                array = np.asarray(skio.imread(path))
                if array.ndim == 3 and array.shape[2] not in {3, 4}:
                    array = array[0]
                if array.dtype == bool:
                    array = array.astype(np.uint8) * 255
                if array.dtype == np.uint8 and min(array.shape[:2]) >= 64 and array.ndim in {2, 3}:
                    yield array
    try:
        from sklearn.datasets import load_sample_images  # noqa: PLC0415 - may be missing
    except ImportError:
        print("scikit-learn is not installed; its pictures are left out")
    else:
        yield from load_sample_images().images


def _dicom_samples() -> list[_Source]:
    try:
        import pydicom  # noqa: PLC0415 - may be missing
        from pydicom import data  # noqa: PLC0415
    except ImportError:
        print("pydicom is not installed; its samples are left out")
        return []
    found: list[_Source] = []
    for path in sorted(Path(data.__file__).parent.rglob("*.dcm")):
        try:
            array = np.asarray(pydicom.dcmread(path).pixel_array, np.float32)
        except Exception:  # noqa: S112 - samples of damage are among them
            continue
        if array.ndim != 2 or min(array.shape) < 64:
            continue
        low, high = np.percentile(array, (0.5, 99.5))
        scaled = np.clip((array - low) * (255 / max(high - low, 1)), 0, 255)
        found.append(_of_array(scaled.astype(np.uint8)))
    return found


def _page(rng: np.random.Generator) -> _Source:
    image = Image.new("L", (800, int(rng.integers(900, 1200))), 255)
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(int(rng.integers(10, 30)))
    letters = "abcdefghij klmno pqrst uvwxyz"
    for y in range(60, image.height - 60, int(rng.integers(20, 45))):
        line = "".join(letters[i] for i in rng.integers(0, len(letters), 70))
        draw.text((60, y), line, fill=int(rng.integers(0, 90)), font=font)
    return _encoded(image)


def _screen(rng: np.random.Generator) -> _Source:
    image = Image.new("L", (1280, 800), int(rng.integers(0, 256)))
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(16)
    for _ in range(int(rng.integers(5, 25))):
        x, y = int(rng.integers(0, 1100)), int(rng.integers(0, 700))
        w, h = int(rng.integers(50, 600)), int(rng.integers(30, 400))
        draw.rectangle((x, y, x + w, y + h), fill=int(rng.integers(0, 256)))
        draw.text((x + 5, y + 5), "File  Edit  View  Window  Help", fill=255, font=font)
    return _encoded(image)


def _noise(rng: np.random.Generator) -> _Source:
    side = int(rng.choice([8, 32, 224, 500]))
    return _of_array(
        np.asarray(
            Image.fromarray(rng.integers(0, 256, (side, side), dtype=np.uint8)).resize((300, 300))
        )
    )


def _plain(rng: np.random.Generator) -> _Source:
    ramp = np.linspace(0, int(rng.integers(0, 256)), 300)
    image = np.broadcast_to(ramp, (300, 300)).astype(np.uint8)
    return _of_array(np.rot90(image, int(rng.integers(0, 4))))


def _of_array(pixels: NDArray[Any]) -> _Source:
    return np.ascontiguousarray(pixels)


def _encoded(image: Image.Image) -> _Source:
    content = io.BytesIO()
    image.save(content, "JPEG", quality=90)
    return content.getvalue()


def _distances(gate: PixelGate, images: Sequence[LoadedImage]) -> NDArray[np.float64]:
    if gate.look is None:
        raise ValueError("a gate without a look knows no distance")
    return np.array([gate.look.distances(one.pixels)[0] for one in images], np.float64)


def _auroc(known: NDArray[np.float64], others: NDArray[np.float64]) -> float:
    if not len(others):
        return float("nan")
    higher = (others[:, np.newaxis] > known).mean()
    return float(higher + (others[:, np.newaxis] == known).mean() / 2)


def _patient(path: Path) -> str:
    found = _PATIENT.match(path.name)
    return found[1] if found else path.name


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, help="write the numbers to this JSON file")
    parser.add_argument(
        "--model",
        help="count what both gates of this model file refuse of files at native and reduced size",
    )
    args = parser.parse_args()
    shared = Path(os.environ.get("PNEUMOSCOPE_SHARED", "shared"))
    if not (shared / "data" / "chest_xray").is_dir():
        raise SystemExit(f"no real images at {shared}; name their place with PNEUMOSCOPE_SHARED")
    if args.model:
        found = of_sizes(args.model, shared)
        print("\n".join(f"{name}: {k['refused']} of {k['n']}" for name, k in found.items()))
    else:
        found = measure(shared)
        print(table(found))
    if args.out:
        args.out.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    try:
        main()
    except ImageError as fault:
        raise SystemExit(str(fault)) from fault
