"""From stored DICOM values to grey: modality transformation, values of interest, inversion.

The order and the formulas are those of DICOM PS3.3 C.11.1, C.11.2 and C.7.6.3.1.2. Values are
computed once for each possible stored value, not for each pixel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Lut:
    """A lookup table: ``first`` is the input that is mapped to ``data[0]``; outputs of ``bits``.

    ``explanation`` is that of the header.
    """

    first: int
    bits: int
    data: NDArray[np.uint16]
    explanation: str = ""

    def __call__(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the outputs; inputs outside the table get its first or last entry."""
        index = np.clip(np.rint(values) - self.first, 0, len(self.data) - 1).astype(np.int64)
        return np.asarray(self.data[index], np.float64)

    @property
    def white(self) -> int:
        """The largest output of the declared depth, or of the table."""
        return int(max(2**self.bits - 1, self.data.max()))


@dataclass(frozen=True, slots=True)
class Window:
    """A window: ``width`` values around ``center``.

    ``function`` is ``LINEAR``, ``LINEAR_EXACT`` or ``SIGMOID``.
    """

    center: float
    width: float
    function: str = "LINEAR"

    @property
    def usable(self) -> bool:
        """Whether the numbers conform to the standard."""
        least = 1.0 if self.function == "LINEAR" else np.finfo(np.float64).tiny
        return bool(np.isfinite([self.center, self.width]).all()) and self.width >= least

    def __call__(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return grey from 0 to 1."""
        if self.function == "SIGMOID":
            power = np.clip(-4 * (values - self.center) / self.width, -700, 700)
            return 1 / (1 + np.exp(power))
        if self.function == "LINEAR_EXACT":
            return np.clip((values - self.center) / self.width + 0.5, 0, 1)
        if self.width == 1:
            return (values > self.center - 0.5).astype(np.float64)
        return np.clip((values - (self.center - 0.5)) / (self.width - 1) + 0.5, 0, 1)


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """How stored values are displayed.

    Attributes:
        slope: Slope of the modality transformation, without a ``modality`` table.
        intercept: Intercept of the same.
        modality: Table of the modality transformation.
        voi: The table of the values of interest; takes precedence over ``window``.
        window: The window.
        inverted: Whether the smallest value is white (MONOCHROME1).
    """

    slope: float = 1.0
    intercept: float = 0.0
    modality: Lut | None = None
    voi: Lut | None = None
    window: Window | None = None
    inverted: bool = False

    @property
    def plain(self) -> bool:
        """Whether only the range of the stored values is used."""
        return self.modality is None and self.voi is None and self.window is None

    def applied(self, stored: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the grey, 0 black to 1 white, of stored values of any shape.

        Not for a ``plain`` look, which depends on the range of the pixels.
        """
        values = self.modality(stored) if self.modality else stored * self.slope + self.intercept
        if self.voi:
            grey = self.voi(values) / self.voi.white
        elif self.window:
            grey = self.window(values)
        else:
            assert self.modality is not None  # noqa: S101 - otherwise the look is plain
            grey = values / self.modality.white
        return 1 - grey if self.inverted else grey

    def ranged(self, stored: NDArray[np.float64], low: float, high: float) -> NDArray[np.float64]:
        """Return the grey of stored values with ``low`` as black and ``high`` as white.

        A negative slope reverses them, as does ``inverted``.
        """
        grey = np.clip((stored - low) / ((high - low) or 1.0), 0, 1)
        return 1 - grey if self.inverted != (self.slope < 0) else grey
