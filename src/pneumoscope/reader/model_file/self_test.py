"""Check a model against the output recorded for one generated image.

The image is computed with integers, so it is identical on all machines and need not be stored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pneumoscope.errors import ModelFileError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pneumoscope.reader.model_file.bundle import Bundle

IMAGE = "lungs-1"
"""The name of the image, which identifies its version."""

TOLERANCE = 0.05
"""Tolerance of the logit: rounding differs between CPUs, especially for 8-bit networks."""


@dataclass(frozen=True, slots=True)
class SelfTest:
    """The recorded output for the generated image.

    Attributes:
        image: The name of the image.
        logit: Logit of the positive group of classes.
        probability: Probability of the same.
        tolerance: Tolerance of the logit.
        logits: Logits of the findings, for a multi-label model; ``logit`` is the highest.
    """

    image: str
    logit: float
    probability: float
    tolerance: float = TOLERANCE
    logits: tuple[float, ...] = ()

    def passed(self, found: SelfTest) -> bool:
        """Return whether an output matches the expected one; NaN does not."""
        pairs = [(found.logit, self.logit)]
        if self.logits:
            if len(found.logits) != len(self.logits):
                return False
            pairs = list(zip(found.logits, self.logits, strict=True))
        return all(abs(now - then) <= self.tolerance for now, then in pairs)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        values: dict[str, Any] = {
            "image": self.image,
            "logit": self.logit,
            "probability": self.probability,
            "tolerance": self.tolerance,
        }
        return {**values, "logits": list(self.logits)} if self.logits else values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> SelfTest:
        """Return the self-test written by ``to_dict``.

        Raises:
            KeyError, TypeError, ValueError: A field is missing or invalid.
        """
        image = str(values["image"])
        if image != IMAGE:
            raise ValueError(f"its self-test needs the image {image!r}; update pneumoscope")
        return cls(
            image,
            float(values["logit"]),
            float(values["probability"]),
            float(values.get("tolerance", TOLERANCE)),
            tuple(map(float, values.get("logits", ()))),
        )


def generated_image(height_px: int, width_px: int) -> NDArray[np.uint8]:
    """Return the image ``lungs-1``, uint8 [height_px, width_px]: two dark lungs beside a spine."""
    rows = np.arange(height_px, dtype=np.int64)[:, np.newaxis] * 1024 // height_px - 512
    columns = np.arange(width_px, dtype=np.int64) * 1024 // width_px - 512
    body = 190 - (columns * columns + rows * rows) // 4000
    lungs = 110 - ((np.abs(columns) - 210) ** 2 * 4 + (rows + 40) ** 2) // 900
    ribs = np.where((rows + np.abs(columns) // 3) % 128 < 40, 18, 0)
    patch = 60 - ((columns - 200) ** 2 + (rows - 120) ** 2) // 200
    grain = (rows * 7 + columns * 13) % 11
    shown = body - np.maximum(lungs, 0) + ribs + np.maximum(patch, 0) + grain
    clipped: NDArray[np.uint8] = np.clip(shown, 0, 255).astype(np.uint8)
    return clipped


def say(bundle: Bundle) -> SelfTest:
    """Return the current output for the generated image, as stored in the file.

    Raises:
        ModelFileError: The graph cannot be run.
    """
    image = generated_image(*bundle.info.input.shape)
    outputs = bundle.run(image[np.newaxis], ["logits", "probabilities"])
    logit, probability = bundle.positive(outputs[0], outputs[1])
    each = tuple(map(float, outputs[0][0])) if bundle.info.findings else ()
    return SelfTest(IMAGE, float(logit[0]), float(probability[0]), logits=each)


class RunningTest:
    """The self-test in a background thread, while the first image is read.

    Args:
        bundle: A model whose file contains a self-test.
    """

    def __init__(self, bundle: Bundle) -> None:
        import threading  # noqa: PLC0415 - only needed here

        self._bundle = bundle
        self._passed = False
        self._fault: BaseException | None = None
        # Not a daemon: a process that ends while the graph runs is aborted by ONNX Runtime's
        # threads.
        self._thread = threading.Thread(target=self._work)
        self._thread.start()

    def wait(self) -> None:
        """Wait for the result.

        Raises:
            ModelFileError: The self-test failed.
        """
        self._thread.join()
        if self._passed:
            return
        if isinstance(self._fault, ModelFileError):
            raise self._fault
        raise ModelFileError(
            f"{self._bundle.path}: its self-test could not be run ({self._fault!r})."
        ) from self._fault

    def _work(self) -> None:
        try:
            self._compare()
        except BaseException as fault:  # raised again by wait: not a passed test
            self._fault = fault
        else:
            self._passed = True

    def _compare(self) -> None:
        test = self._bundle.info.self_test
        if test is None:
            raise ModelFileError(f"{self._bundle.path}: has no self-test.")
        found = say(self._bundle)
        if not test.passed(found):
            raise ModelFileError(
                f"{self._bundle.path}: failed its self-test: the logit of the generated image "
                f"is {found.logit:.4f} instead of {test.logit:.4f}. The file is damaged, or "
                "this machine computes differently from the one that wrote it; download or "
                "copy the file again."
            )
