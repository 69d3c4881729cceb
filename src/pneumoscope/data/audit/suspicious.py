"""Images whose label a reader contradicts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Suspect:
    """An image whose label a reader contradicts.

    Attributes:
        path: The image.
        label: The label in the data.
        probability: Probability of that label according to the reader, 0 to 0.5.
    """

    path: str
    label: str
    probability: float

    def to_dict(self) -> dict[str, Any]:
        """Return the suspect as JSON values."""
        return {"path": self.path, "label": self.label, "probability_of_label": self.probability}


def suspects(
    paths: Sequence[str],
    labels: Sequence[int],
    probabilities: Sequence[float],
    *,
    classes: tuple[str, str],
) -> list[Suspect]:
    """Return the images whose own label has a probability below 0.5, the lowest first.

    Args:
        paths: The images.
        labels: 1 for the positive class, otherwise 0.
        probabilities: Probabilities of the positive class, from a reader that was not trained on
            the images.
        classes: (negative, positive).
    """
    own = [p if label else 1 - p for label, p in zip(labels, probabilities, strict=True)]
    found = [
        Suspect(path, classes[label], probability)
        for path, label, probability in zip(paths, labels, own, strict=True)
        if probability < 0.5
    ]
    return sorted(found, key=lambda suspect: (suspect.probability, suspect.path))
