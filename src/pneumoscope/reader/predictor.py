"""Images → conclusions, with ONNX Runtime."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pneumoscope.errors import ImageError
from pneumoscope.images.prepare import prepare
from pneumoscope.parallel import cores, ordered_map
from pneumoscope.reader.bundle import Bundle, ModelInfo, open_bundle

if TYPE_CHECKING:
    from numpy.typing import NDArray

ERROR = "ERROR"
"""The conclusion about an image that could not be read."""

_BATCH = 8


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a reader says of one image.

    Attributes:
        path: The file, as it was named; empty for arrays and bytes.
        conclusion: One of the model's classes, or ``ERROR``.
        probability: Of the positive class, in [0, 1]; None if the image could not be read.
        logit: Of the same, unbounded.
        threshold: The probability from which the positive class is concluded.
        error: Why the image could not be read; empty if it was.
    """

    path: str
    conclusion: str
    probability: float | None
    logit: float | None
    threshold: float
    error: str = ""


class Predictor:
    """Reads images with one model.

    Args:
        model: A model file or a run folder.
        threads: Processor threads for one image; more of them help a single image, one is best
            where many images are read side by side.

    Raises:
        ModelFileError: There is no model, or the file is none.
    """

    def __init__(self, model: Path | str, *, threads: int = 1) -> None:
        self._bundle: Bundle = open_bundle(Path(model), threads=threads)

    @property
    def info(self) -> ModelInfo:
        """What the model says of itself."""
        return self._bundle.info

    @property
    def path(self) -> Path:
        """The model file."""
        return self._bundle.path

    @property
    def sha256(self) -> str:
        """The hash of the model file."""
        return self._bundle.sha256

    def run(self, pixels: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return logits and probabilities, float32 [n, 2] each, of prepared pixels.

        Args:
            pixels: What ``prepare`` gave for each image, uint8 [n, height, width].
        """
        logits, probabilities = self._bundle.session.run(
            ["logits", "probabilities"], {"pixels": pixels[:, np.newaxis]}
        )
        return logits, probabilities

    def predict(self, source: Path | str | bytes | NDArray[Any]) -> Prediction:
        """Return the conclusion about one image.

        Args:
            source: A path, the bytes of an encoded file, or grey pixels [height, width] as uint8
                or uint16.

        Raises:
            ImageError: It cannot be read as an image.
        """
        name = str(source) if isinstance(source, Path | str) else ""
        logits, probabilities = self.run(prepare(source, self.info.input)[np.newaxis])
        return self._prediction(name, logits[0], probabilities[0])

    def predict_many(
        self, paths: Iterable[Path | str], *, workers: int | None = None
    ) -> Iterator[Prediction]:
        """Yield the conclusion about each file, in order; an unreadable one gives ``ERROR``.

        Each of the workers decodes, prepares and reads its own images, so that decoding and
        inference overlap without waiting for each other. Memory does not grow with the number of
        files; ``paths`` may be a generator.

        Args:
            paths: Image files.
            workers: Threads; one a core if None.
        """
        workers = workers or cores()
        groups = _grouped(paths, _BATCH)
        for group in ordered_map(self._read_group, groups, workers=workers, ahead=4):
            yield from group

    def _read_group(self, paths: tuple[Path | str, ...]) -> list[Prediction]:
        inputs: list[NDArray[np.uint8]] = []
        errors: dict[int, str] = {}
        for position, path in enumerate(paths):
            try:
                inputs.append(prepare(path, self.info.input))
            except ImageError as fault:
                errors[position] = str(fault)
        read = iter(zip(*self.run(np.stack(inputs)), strict=True) if inputs else ())
        return [
            self._failure(str(path), errors[position])
            if position in errors
            else self._prediction(str(path), *next(read))
            for position, path in enumerate(paths)
        ]

    def _prediction(
        self, path: str, logits: NDArray[np.float32], probabilities: NDArray[np.float32]
    ) -> Prediction:
        point = self.info.operating_point
        probability = float(probabilities[1])
        negative, positive = self.info.classes
        return Prediction(
            path,
            positive if probability >= point.threshold else negative,
            probability,
            float(logits[1] - logits[0]),
            point.threshold,
        )

    def _failure(self, path: str, reason: str) -> Prediction:
        return Prediction(path, ERROR, None, None, self.info.operating_point.threshold, reason)


def _grouped(paths: Iterable[Path | str], size: int) -> Iterator[tuple[Path | str, ...]]:
    """Yield groups of paths; the first ones are small, so that a first answer comes at once."""
    rest = iter(paths)
    for count in itertools.chain((1, 2, 4), itertools.repeat(size)):
        group = tuple(itertools.islice(rest, count))
        if not group:
            return
        yield group


def load(model: Path | str, *, threads: int | None = None) -> Predictor:
    """Return a reader for single images, which uses all cores for each.

    Args:
        model: A model file or a run folder.
        threads: Processor threads for one image; one a core if None.

    Raises:
        ModelFileError: There is no model, or the file is none.
    """
    return Predictor(model, threads=threads or cores())
