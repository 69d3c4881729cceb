"""Read every file once and collect its header facts and pixel measurements."""

from __future__ import annotations

import hashlib
import io
from collections import defaultdict
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from pneumoscope.data.audit.store import SIDE_PX, PixelStore
from pneumoscope.data.catalog import Entry, Unreadable, with_facts
from pneumoscope.errors import ImageError
from pneumoscope.images.prepare import InputSpec, open_radiograph, prepare_bytes
from pneumoscope.images.radiograph import GREY_MODES, ImageMeta
from pneumoscope.images.read import read_bytes
from pneumoscope.parallel import ordered_map

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from pneumoscope.data.patients import PatientPattern
    from pneumoscope.parallel import Progress

INPUT: Final = InputSpec(2 * SIDE_PX, 2 * SIDE_PX)
"""The input that images are prepared for: the default input of a model."""

TINY_PX: Final = 16
"""Rows and columns of the images that stay in memory."""

SIDES: Final = ("top", "bottom", "left", "right")
_EDGE_PX = 4  # of 224: minimum width of a burnt-in frame or a collimator's shadow
_COLOUR_PX = 64
_MOST_COLOUR_PIXELS = 50_000_000  # radiographs of this size are never stored in colour


@dataclass(frozen=True, slots=True, eq=False)
class Sums:
    """Running sums over the images of one class.

    Attributes:
        total: Sum of the reduced images, int64 [112, 112].
        squares: Sum of their squares, int64 [112, 112].
        histogram: Number of pixels of each grey level, int64 [256].
        count: Number of images.
    """

    total: NDArray[np.int64]
    squares: NDArray[np.int64]
    histogram: NDArray[np.int64]
    count: int

    @property
    def mean(self) -> NDArray[np.float64]:
        """The mean image in grey levels, [112, 112]."""
        return self.total / max(1, self.count)

    @property
    def deviation(self) -> NDArray[np.float64]:
        """The standard deviation of each pixel over the images, [112, 112]."""
        variance = self.squares / max(1, self.count) - self.mean**2
        return np.sqrt(np.maximum(variance, 0))


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """The measurements of the readable images; arrays have one row per image.

    Attributes:
        entries: The images with the facts of their headers and the SHA-256 of their bytes.
        unreadable: The files that could not be read, and why.
        pixel_hash: SHA-256 of the prepared pixels and the size as stored.
        brightness: Mean grey level, 0 to 255.
        contrast: Standard deviation of the grey levels.
        colour: Mean difference between the colour channels, grey levels; 0 for grey files.
        white: Share of pixels with a grey level of at least 250.
        common: Share of pixels of the most frequent grey level.
        edges: Mean grey level of the outermost 2 % at top, bottom, left and right, [n, 4].
        edges_black: Share of black pixels (below 8) in these regions, [n, 4].
        tiny: The image at 16x16, uint8 [n, 16, 16].
        sums: Label → running sums over its images.
        samples: Row → prepared image, for the rows drawn for display.
    """

    entries: tuple[Entry, ...]
    unreadable: tuple[Unreadable, ...]
    pixel_hash: tuple[str, ...]
    brightness: NDArray[np.float32]
    contrast: NDArray[np.float32]
    colour: NDArray[np.float32]
    white: NDArray[np.float32]
    common: NDArray[np.float32]
    edges: NDArray[np.float32]
    edges_black: NDArray[np.float32]
    tiny: NDArray[np.uint8]
    sums: Mapping[str, Sums]
    samples: Mapping[int, NDArray[np.uint8]]

    def __len__(self) -> int:
        return len(self.entries)


@dataclass(frozen=True, slots=True, eq=False)
class _One:
    """The measurements of one file."""

    entry: Entry
    pixels: NDArray[np.uint8]
    half: NDArray[np.uint8]
    tiny: NDArray[np.uint8]
    pixel_hash: str
    facts: tuple[float, ...]
    histogram: NDArray[np.int64]


@dataclass(slots=True, eq=False)
class _Adding:
    """Mutable running sums."""

    total: NDArray[np.int64] = field(default_factory=lambda: np.zeros((SIDE_PX, SIDE_PX), np.int64))
    squares: NDArray[np.int64] = field(
        default_factory=lambda: np.zeros((SIDE_PX, SIDE_PX), np.int64)
    )
    histogram: NDArray[np.int64] = field(default_factory=lambda: np.zeros(256, np.int64))
    count: int = 0

    def add(self, one: _One) -> None:
        self.total += one.half
        self.squares += np.multiply(one.half, one.half, dtype=np.uint16)
        self.histogram += one.histogram
        self.count += 1


def measure_files(
    root: Path,
    entries: Sequence[Entry],
    *,
    store: PixelStore,
    samples_per_class: int = 8,
    seed: int = 0,
    workers: int | None = None,
    pattern: PatientPattern | None = None,
    header_patients: bool = True,
    progress: Progress | None = None,
) -> Measured:
    """Read every file once and return its measurements.

    Args:
        root: Folder that the paths of the entries are relative to.
        entries: The images, not read yet.
        store: Takes the reduced image of every readable file, in the order of the result.
        samples_per_class: Number of images of each class kept for display.
        seed: Seed of their selection.
        workers: Number of decoding threads; one per core if None.
        pattern: Extracts the patient from a path.
        header_patients: Whether PatientID in a DICOM header identifies the patient.
        progress: Called as files are read.

    Raises:
        OutputError: The reduced images cannot be stored.
    """
    wanted = _drawn(entries, samples_per_class, seed=seed)
    good: list[Entry] = []
    bad: list[Unreadable] = []
    hashes: list[str] = []
    facts = np.empty((len(entries), 13), np.float32)
    tiny = np.empty((len(entries), TINY_PX, TINY_PX), np.uint8)
    adding: dict[str, _Adding] = defaultdict(_Adding)
    samples: dict[int, NDArray[np.uint8]] = {}
    shown: dict[str, int] = defaultdict(int)
    measured = partial(_measured, root, pattern=pattern, header_patients=header_patients)
    results = ordered_map(measured, entries, workers=workers)
    for number, one in enumerate(results):
        if isinstance(one, Unreadable):
            bad.append(one)
        else:
            label = one.entry.label
            if number in wanted and shown[label] < samples_per_class:
                samples[len(good)] = one.pixels
                shown[label] += 1
            store.append(one.half)
            tiny[len(good)] = one.tiny
            facts[len(good)] = one.facts
            adding[label].add(one)
            good.append(one.entry)
            hashes.append(one.pixel_hash)
        if progress:
            progress(number + 1, len(entries))
    facts = facts[: len(good)]
    return Measured(
        tuple(good),
        tuple(bad),
        tuple(hashes),
        facts[:, 0],
        facts[:, 1],
        facts[:, 2],
        facts[:, 3],
        facts[:, 4],
        facts[:, 5:9],
        facts[:, 9:],
        tiny[: len(good)],
        {
            label: Sums(sums.total, sums.squares, sums.histogram, sums.count)
            for label, sums in sorted(adding.items())
        },
        samples,
    )


def pixel_hash(pixels: NDArray[np.uint8], width: int, height: int) -> str:
    """Return the SHA-256 of the prepared pixels and the stored size."""
    return hashlib.sha256(f"{width}x{height}:".encode() + pixels.tobytes()).hexdigest()


def same_pixels(first: Path, second: Path) -> bool:
    """Return whether two files decode to the same pixels, however they are encoded."""
    try:
        a, b = open_radiograph(first).pixels, open_radiograph(second).pixels
    except ImageError:  # gone or changed since it was measured
        return False
    return bool(np.array_equal(a, b))


def _drawn(entries: Sequence[Entry], per_class: int, *, seed: int) -> set[int]:
    """Choose files to show; twice as many as needed, since some may be unreadable."""
    rows: dict[str, list[int]] = defaultdict(list)
    for row, entry in enumerate(entries):
        rows[entry.label].append(row)
    generator = np.random.default_rng(seed)
    return {
        int(row)
        for _, members in sorted(rows.items())
        for row in generator.permutation(members)[: 2 * per_class]
    }


def _measured(
    root: Path, entry: Entry, *, pattern: PatientPattern | None, header_patients: bool
) -> _One | Unreadable:
    path = root / entry.path
    try:
        data = read_bytes(path)
        pixels, meta = prepare_bytes(data, INPUT, name=str(path))
    except ImageError as fault:
        return Unreadable(entry.path, str(fault))
    from PIL import Image  # noqa: PLC0415 - so that importing the package stays light

    image = Image.fromarray(pixels)
    half = image.reduce(INPUT.width_px // SIDE_PX)
    histogram = np.array(image.histogram(), np.int64)
    levels, total = np.arange(256), pixels.size
    mean = float(levels @ histogram) / total
    variance = float(levels**2 @ histogram) / total - mean**2
    facts = (
        mean,
        max(0.0, variance) ** 0.5,
        _colour(data, meta),
        float(histogram[250:].sum()) / total,
        float(histogram.max()) / total,
    )
    sides = (pixels[:_EDGE_PX], pixels[-_EDGE_PX:], pixels[:, :_EDGE_PX], pixels[:, -_EDGE_PX:])
    edges = (*(float(s.mean()) for s in sides), *(float((s < 8).mean()) for s in sides))
    return _One(
        with_facts(entry, data, meta, pattern=pattern, header_patients=header_patients),
        pixels,
        np.asarray(half),
        np.asarray(half.reduce(SIDE_PX // TINY_PX)),
        pixel_hash(pixels, meta.width, meta.height),
        (*facts, *edges),
        histogram,
    )


def _colour(data: bytes, meta: ImageMeta) -> float:
    """Return the mean difference between colour channels in grey levels; 0 without colour.

    A radiograph saved in colour has three equal channels, in contrast to a photograph. The file was
    decoded to grey before; this decodes a small colour version.
    """
    if meta.mode in GREY_MODES or meta.width * meta.height > _MOST_COLOUR_PIXELS:
        return 0.0
    from PIL import Image  # noqa: PLC0415 - so that importing the package stays light

    try:
        with Image.open(io.BytesIO(data), formats=("JPEG", "PNG", "TIFF")) as image:
            image.draft("RGB", (_COLOUR_PX, _COLOUR_PX))
            image.thumbnail((_COLOUR_PX, _COLOUR_PX), Image.Resampling.BOX)
            red, green, blue = (np.asarray(c, np.int16) for c in image.convert("RGB").split())
    except (OSError, ValueError, SyntaxError):  # not one of these formats: colour is not measured
        return 0.0
    most = np.maximum(np.maximum(red, green), blue)
    return float((most - np.minimum(np.minimum(red, green), blue)).mean())
