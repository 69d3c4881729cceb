"""The difference between a model file of smaller precision and its float32 networks."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pneumoscope.errors import ExportError
from pneumoscope.stats.roc import area_under_roc

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pneumoscope.labels import LabelSpace

LARGEST_LOSS = 0.002
"""Maximum loss in validation AUC caused by a smaller precision."""

LARGEST_SHIFT = 0.1
"""Maximum of the 95th percentile of differences in probability on validation images."""

LARGEST_CHANGED = 0.02
"""Maximum share of validation images whose conclusion changes; one image is always accepted."""


@dataclass(frozen=True, slots=True)
class Shift:
    """The changes on validation images caused by smaller precision.

    Attributes:
        n: Number of images.
        auc_loss: AUC of the float32 networks minus that of the file; for more than two classes, the
            largest such loss of the positive group or of a class against the rest.
        largest: The largest difference in probability.
        usual: The 95th percentile of the differences in probability.
        changed: Number of images whose conclusion changes.
    """

    n: int
    auc_loss: float
    largest: float
    usual: float
    changed: int

    @classmethod
    def between(
        cls,
        before: NDArray[np.float64],
        after: NDArray[np.float64],
        label: NDArray[np.int64],
        *,
        changed: int,
    ) -> Shift:
        """Return the shift from float32 networks to the file.

        Args:
            before: Probabilities of the positive class by the networks, [n].
            after: The same by the file.
            label: 1 for images of the positive class, otherwise 0; [n]. Both occur.
            changed: Number of images whose conclusion changes.
        """
        areas = [area_under_roc(label, probability) for probability in (before, after)]
        if areas[0] is None or areas[1] is None:
            raise ValueError("a shift needs images of both classes")
        moved = np.abs(after - before)
        return cls(
            len(label),
            areas[0] - areas[1],
            float(moved.max()),
            float(np.quantile(moved, 0.95)),
            changed,
        )

    @classmethod
    def between_classes(
        cls,
        before: NDArray[np.float64],
        after: NDArray[np.float64],
        number: NDArray[np.int64],
        labels: LabelSpace,
        *,
        changed: int,
    ) -> Shift:
        """Return the shift of a reader of more than two classes, the largest of any class.

        Args:
            before: Probabilities of each class by the networks, [n, K].
            after: The same by the file.
            number: True class of each image, [n].
            labels: The classes. Both groups must occur; for a class that does not occur, only
                probabilities are compared.
            changed: Number of images whose conclusion changes.
        """
        inside = np.array(labels.is_positive)
        sides = [(inside[number], [each[:, inside].sum(axis=1) for each in (before, after)])]
        sides += [
            (number == k, [each[:, k] for each in (before, after)]) for k in range(len(labels))
        ]
        found = [
            cls.between(first, last, own.astype(np.int64), changed=changed)
            for own, (first, last) in sides
            if 0 < own.sum() < len(own)
        ]
        moved = np.abs(after - before).max(axis=1)
        return cls(
            len(number),
            max(one.auc_loss for one in found),
            float(moved.max()),
            float(np.quantile(moved, 0.95)),
            changed,
        )

    def check(self, path: Path, precision: str) -> None:
        """Raise an error if the differences are too large.

        Raises:
            ExportError: One of the three bounds is exceeded, or a value is NaN.
        """
        allowed = max(1, int(LARGEST_CHANGED * self.n))
        faults = []
        if not self.auc_loss <= LARGEST_LOSS:
            faults.append(
                f"the validation AUC falls by {self.auc_loss:.4f} ({LARGEST_LOSS:g} is allowed)"
            )
        if not self.usual <= LARGEST_SHIFT:
            faults.append(
                f"the probabilities of 5% of the validation images move by {self.usual:.2g} or "
                f"more ({LARGEST_SHIFT:g} is allowed)"
            )
        if self.changed > allowed:
            faults.append(
                f"{self.changed} of {self.n:,} conclusions change (at most {allowed} allowed: "
                f"{LARGEST_CHANGED:.0%} or one image)"
            )
        if faults:
            raise ExportError(
                f"{path}: not written: in {precision}, {' and '.join(faults)}; use a higher "
                "precision."
            )

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values, as stored in a model file."""
        return asdict(self)

    def text(self) -> str:
        """Return the shift in one line.

        >>> Shift(500, 0.0002, 0.21, 0.013, 4).text()
        'AUC -0.00020; probabilities differ by at most 0.21, 95% of them by at most 0.013; 4 of \
500 conclusions change (0.8%)'
        """
        return (
            f"AUC {-self.auc_loss:+.5f}; probabilities differ by at most {self.largest:.2g}, 95% "
            f"of them by at most {self.usual:.2g}; {self.changed:,} of {self.n:,} conclusions "
            f"change ({self.changed / self.n:.1%})"
        )
