"""Evaluate a reader on corrupted images.

Each corruption is a function on decoded grey pixels, whose result goes through ``prepare`` like any
image. Amounts are in familiar units: grey levels, degrees, shares of the side.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pneumoscope.errors import ImageError, OptionError
from pneumoscope.evaluation.estimate import Estimate
from pneumoscope.evaluation.numbers import numbers_of
from pneumoscope.evaluation.scores import Scores
from pneumoscope.evaluation.shares import share
from pneumoscope.images.depth import sample_of, shown_range
from pneumoscope.images.read import decode, read_bytes
from pneumoscope.parallel import Progress, ordered_map
from pneumoscope.stats.intervals import LEVEL

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pneumoscope.data.catalog import Catalog, Entry
    from pneumoscope.reader.predictor import Predictor

LIMIT = 200
NUMBERS = ("auc", "accuracy", "sensitivity", "specificity")


@dataclass(frozen=True, slots=True)
class Corruption:
    """A corruption of images.

    Attributes:
        name: Name.
        unit: Unit of the amounts.
        amounts: Five amounts, from slight to strong.
        apply: Function of grey pixels, an amount, the (height, width) of the input and a generator.
    """

    name: str
    unit: str
    amounts: tuple[float, float, float, float, float]
    apply: Callable[
        [NDArray[np.uint8], float, tuple[int, int], np.random.Generator], NDArray[np.uint8]
    ]


@dataclass(frozen=True, slots=True)
class Corrupted:
    """The metrics under one corruption at one strength.

    Attributes:
        corruption: Name of the corruption; ``none`` for the original images.
        strength: 1 to 5; 0 for the original images.
        amount: Amount in ``unit``.
        unit: Unit of the amount.
        numbers: ``auc``, ``accuracy``, ``sensitivity`` and ``specificity``.
        changed: Share of images whose conclusion differs from that on the original image.
    """

    corruption: str
    strength: int
    amount: float
    unit: str
    numbers: dict[str, Estimate]
    changed: Estimate

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Corrupted:
        """Return the row written by ``to_dict``."""
        return cls(
            values["corruption"],
            values["strength"],
            values["amount"],
            values["unit"],
            {name: Estimate.from_dict(values[name]) for name in NUMBERS},
            Estimate.from_dict(values["changed"]),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the row as JSON values."""
        return {
            "corruption": self.corruption,
            "strength": self.strength,
            "amount": self.amount,
            "unit": self.unit,
            **{name: number.to_dict() for name, number in self.numbers.items()},
            "changed": self.changed.to_dict(),
        }


def robustness(
    predictor: Predictor,
    catalog: Catalog,
    *,
    threshold: float | None = None,
    limit: int | None = LIMIT,
    names: tuple[str, ...] | None = None,
    seed: int = 0,
    level: float = LEVEL,
    progress: Progress | None = None,
) -> tuple[Corrupted, ...]:
    """Return the metrics on the original images and under each corruption at five strengths.

    Images that cannot be read are excluded.

    Args:
        predictor: The reader, without its gate.
        catalog: Labelled images.
        threshold: Probability at or above which an image is called positive; that of the model if
            None.
        limit: Maximum number of images, sampled with stratification by class; None for all.
        names: Corruptions to apply; all of them if None.
        seed: Seed of the sample and of the noise.
        level: Confidence level.
        progress: Called as images are processed.

    Raises:
        OptionError: The limit is below 10, or a corruption is unknown.
    """
    chosen = [CORRUPTIONS[name] for name in names or CORRUPTIONS] if _known(names) else []
    cases = [(corruption, strength) for corruption in chosen for strength in range(1, 6)]
    if threshold is None:
        threshold = predictor.info.operating_point.threshold
    entries = [catalog.entries[row] for row in drawn_rows(catalog.labels, limit=limit, seed=seed)]

    def read(entry: Entry) -> NDArray[np.float64] | None:
        try:
            plain = predictor.predict(catalog.file(entry))
            pixels = grey_levels(catalog.file(entry), at_least=predictor.info.input.shape)
        except ImageError:
            return None  # already reported by the evaluation
        outputs = [(plain.logit, plain.probability)]
        for corruption, strength in cases:
            # The noise of an image does not depend on the order of reading.
            generator = np.random.default_rng([seed, strength, zlib.crc32(entry.path.encode())])
            amount = corruption.amounts[strength - 1]
            worse = corruption.apply(pixels, amount, predictor.info.input.shape, generator)
            prediction = predictor.predict(worse)
            outputs.append((prediction.logit, prediction.probability))
        return np.array(outputs, np.float64)

    read_entries, answers = [], []
    for done, answer in enumerate(ordered_map(read, entries, ahead=2), 1):
        if answer is not None:
            read_entries.append(entries[done - 1])
            answers.append(answer)
        if progress:
            progress(done, len(entries))
    if not answers:
        return ()
    stacked = np.stack(answers, axis=1)
    return _rows(cases, read_entries, stacked, catalog, threshold=threshold, level=level)


def drawn_rows(label: NDArray[np.int64], *, limit: int | None, seed: int) -> list[int]:
    """Return at most ``limit`` rows in order, stratified by class.

    Raises:
        OptionError: The limit is below 10.
    """
    if limit is None or limit >= len(label):
        return list(range(len(label)))
    if limit < 10:
        raise OptionError("limit", must="a whole number from 10", was=limit)
    generator = np.random.default_rng(seed)
    rows: list[int] = []
    for value in (0, 1):
        members = np.flatnonzero(label == value)
        wanted = round(limit * len(members) / len(label)) if value == 0 else limit - len(rows)
        wanted = min(max(wanted, 1), len(members))
        rows += generator.choice(members, wanted, replace=False).tolist()
    return sorted(rows)


def _known(names: tuple[str, ...] | None) -> bool:
    for name in names or ():
        if name not in CORRUPTIONS:
            raise OptionError("the corruption", must=f"one of {', '.join(CORRUPTIONS)}", was=name)
    return True


def grey_levels(path: Path, *, at_least: tuple[int, int]) -> NDArray[np.uint8]:
    """Return the grey pixels of a file as uint8, scaled as for the model's input.

    Args:
        path: The file.
        at_least: (height, width) of the model's input; see ``images.read.decode``.

    Raises:
        ImageError: The file cannot be read.
    """
    radiograph = decode(read_bytes(path), name=str(path), at_least=at_least, any_kind=True)
    pixels, bits = radiograph.pixels, radiograph.bits
    if pixels.dtype == np.uint8:
        return np.asarray(pixels, np.uint8)
    low, high = shown_range(sample_of(pixels)) if bits is None else (0.0, 2.0**bits - 1)
    return _clipped((pixels.astype(np.float32) - np.float32(low)) * np.float32(255 / (high - low)))


def _rows(
    cases: list[tuple[Corruption, int]],
    entries: list[Entry],
    answers: NDArray[np.float64],
    catalog: Catalog,
    *,
    threshold: float,
    level: float,
) -> tuple[Corrupted, ...]:
    inside = catalog.label_space.positive
    label = np.array([entry.label in inside for entry in entries], np.int64)
    paths = tuple(entry.path for entry in entries)
    patients = tuple(entry.patient for entry in entries)
    before = answers[0, :, 1] >= threshold

    def row(
        outputs: NDArray[np.float64], corruption: Corruption | None, strength: int
    ) -> Corrupted:
        scores = Scores(paths, patients, label, outputs[:, 0], outputs[:, 1])
        found = numbers_of(scores, threshold=threshold, level=level, resamples=0, curves=False)
        return Corrupted(
            corruption.name if corruption else "none",
            strength,
            corruption.amounts[strength - 1] if corruption else 0.0,
            corruption.unit if corruption else "",
            {name: found[name] for name in NUMBERS},
            share(
                (outputs[:, 1] >= threshold) != before,
                np.ones(len(label), bool),
                scores.patient_numbers,
                level=level,
            ),
        )

    rows = [row(answers[0], None, 0)]
    rows += [row(output, *case) for case, output in zip(cases, answers[1:], strict=True)]
    return tuple(rows)


def _clipped(values: NDArray[Any]) -> NDArray[np.uint8]:
    clipped: NDArray[np.uint8] = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return clipped


def _add(
    pixels: NDArray[np.uint8], amount: float, _: tuple[int, int], __: np.random.Generator
) -> NDArray[np.uint8]:
    return _clipped(pixels.astype(np.float32) + amount)


def _contrast(
    pixels: NDArray[np.uint8], amount: float, _: tuple[int, int], __: np.random.Generator
) -> NDArray[np.uint8]:
    mean = float(pixels.mean())
    return _clipped(mean + amount * (pixels.astype(np.float32) - mean))


def _gamma(
    pixels: NDArray[np.uint8], amount: float, _: tuple[int, int], __: np.random.Generator
) -> NDArray[np.uint8]:
    table = _clipped(255 * (np.arange(256) / 255) ** amount)
    return table[pixels]


def _blur(
    pixels: NDArray[np.uint8], amount: float, _: tuple[int, int], __: np.random.Generator
) -> NDArray[np.uint8]:
    from PIL import Image, ImageFilter  # noqa: PLC0415 - so that evaluating starts light

    blurred = Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(amount * min(pixels.shape)))
    return np.asarray(blurred)


def _noise(
    pixels: NDArray[np.uint8], amount: float, _: tuple[int, int], generator: np.random.Generator
) -> NDArray[np.uint8]:
    noise = generator.standard_normal(pixels.shape, dtype=np.float32)
    return _clipped(pixels.astype(np.float32) + np.float32(amount) * noise)


def _jpeg(
    pixels: NDArray[np.uint8], amount: float, _: tuple[int, int], __: np.random.Generator
) -> NDArray[np.uint8]:
    from PIL import Image  # noqa: PLC0415 - the same

    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=round(amount))
    return np.asarray(Image.open(file, formats=("JPEG",)))


def _rotation(
    pixels: NDArray[np.uint8], amount: float, _: tuple[int, int], generator: np.random.Generator
) -> NDArray[np.uint8]:
    from PIL import Image  # noqa: PLC0415 - the same

    degrees = amount * (1 if generator.random() < 0.5 else -1)
    turned = Image.fromarray(pixels).rotate(degrees, Image.Resampling.BILINEAR)
    return np.asarray(turned)


def _crop(
    pixels: NDArray[np.uint8], amount: float, _: tuple[int, int], __: np.random.Generator
) -> NDArray[np.uint8]:
    height, width = pixels.shape
    rows, columns = int(amount * height), int(amount * width)
    return np.ascontiguousarray(pixels[rows : height - rows, columns : width - columns])


def _downscale(
    pixels: NDArray[np.uint8], amount: float, shape: tuple[int, int], _: np.random.Generator
) -> NDArray[np.uint8]:
    from PIL import Image  # noqa: PLC0415 - the same

    size = max(1, round(amount * shape[1])), max(1, round(amount * shape[0]))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR))


CORRUPTIONS: Mapping[str, Corruption] = {
    item.name: item
    for item in (
        Corruption("brighter", "grey levels added", (10, 20, 30, 45, 60), _add),
        Corruption("darker", "grey levels added", (-10, -20, -30, -45, -60), _add),
        Corruption("less contrast", "times the contrast", (0.85, 0.7, 0.55, 0.4, 0.3), _contrast),
        Corruption("more contrast", "times the contrast", (1.2, 1.4, 1.7, 2.0, 2.5), _contrast),
        Corruption("gamma", "exponent", (1.2, 1.4, 1.7, 2.0, 2.5), _gamma),
        Corruption(
            "blur", "standard deviation, of the side", (0.004, 0.008, 0.012, 0.018, 0.025), _blur
        ),
        Corruption("noise", "standard deviation in grey levels", (4, 8, 12, 20, 30), _noise),
        Corruption("JPEG", "quality", (60, 40, 25, 15, 8), _jpeg),
        Corruption("rotation", "degrees to either side", (3, 6, 10, 15, 20), _rotation),
        Corruption("crop", "share cut from each side", (0.02, 0.04, 0.06, 0.09, 0.12), _crop),
        Corruption(
            "downscaling", "of the model's input", (0.75, 0.5, 0.35, 0.25, 0.18), _downscale
        ),
    )
}
"""All corruptions by name; noise is added at the size at which the image is decoded."""
