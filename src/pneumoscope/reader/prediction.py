"""The result of reading one image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pneumoscope.reader.policy import NOT_ASSESSABLE, UNCERTAIN

if TYPE_CHECKING:
    from pneumoscope.images.record import DicomRecord
    from pneumoscope.reader.findings import Finding
    from pneumoscope.reader.model_file.bundle import Bundle

__all__ = ["ERROR", "NOT_ASSESSABLE", "UNCERTAIN", "ModelName", "Prediction", "probability_text"]

ERROR = "ERROR"
"""The conclusion about an image that could not be read."""


class ModelName:
    """The model that made a prediction.

    Attributes:
        name: Name of the network.
        version: Version of the model; empty if it has none.
    """

    __slots__ = ("_bundle", "_sha256", "name", "version")

    def __init__(self, name: str, version: str, sha256: str | Bundle) -> None:
        self.name = name
        self.version = version
        self._sha256 = sha256 if isinstance(sha256, str) else ""
        self._bundle = None if isinstance(sha256, str) else sha256

    @property
    def sha256(self) -> str:
        """The hash of the model file, computed on first use."""
        return self._bundle.sha256 if self._bundle else self._sha256

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ModelName) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __repr__(self) -> str:
        return f"ModelName({self.name!r}, {self.version!r}, {self.sha256!r})"

    def __reduce__(self) -> tuple[type[ModelName], tuple[str, str, str]]:
        return ModelName, self._key()

    def _key(self) -> tuple[str, str, str]:
        return self.name, self.version, self.sha256


@dataclass(frozen=True, slots=True)
class Prediction:
    """The result of reading one image.

    Attributes:
        path: The file as given; empty for arrays and bytes.
        conclusion: One of the model's classes, the name of a group of them if the kind is
            uncertain, ``UNCERTAIN``, ``NOT_ASSESSABLE`` or ``ERROR``. For a model of several
            findings, ``POSITIVE`` (one of them is present), ``UNCERTAIN`` (one may be) or
            ``NEGATIVE``.
        probability: Probability of the positive class, or of all positive classes, in [0, 1]; None
            if the image was not read or cannot be assessed, since a number would be mistaken for a
            result, and for a model of several findings, each of which has its own.
        logit: Logit of the same; for more than two classes, the log odds of ``probability``.
        threshold: The decision threshold; None for a model of several findings.
        error: Why the image could not be read; empty if it was.
        rule: The rule that chose the threshold.
        conformal_set: The plausible classes: one, or several if the conclusion is ``UNCERTAIN``;
            None if the model has no uncertain zone, or the image was not assessed.
        reasons: Why the image is uncertain or cannot be assessed, facts outside the intended use,
            and other notes about the file, in words.
        model: The model.
        seconds: Time for this image, or its share if several were processed at once.
        evidence: Path of the evidence picture; empty if not requested.
        distance: Distance of the image from the training images according to the gate; about 1 for
            training images. None if the gate has no distance, or refused the image before computing
            it.
        dicom: Identity and rendering of a DICOM image; None for other formats and unreadable files.
        outside: Facts of the file outside the model's intended use; also in ``reasons``.
        refused: Why the gate rejects the image, even if the gate is off and there is a conclusion;
            empty if it does not.
        decode_seconds: The part of ``seconds`` for decoding and preparing the image.
        probabilities: Probabilities of ``classes``, [K], for a model of more than two; otherwise
            None.
        logits: The same before calibration.
        classes: The classes of ``probabilities``; empty if there are none.
        findings: The conclusions about the findings of a multi-label model; empty for other models,
            and if the image was not assessed.
    """

    path: str
    conclusion: str
    probability: float | None
    logit: float | None
    threshold: float | None
    error: str = ""
    rule: str = ""
    conformal_set: tuple[str, ...] | None = None
    reasons: tuple[str, ...] = ()
    model: ModelName | None = None
    seconds: float = 0.0
    evidence: str = ""
    distance: float | None = None
    dicom: DicomRecord | None = None
    outside: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    decode_seconds: float = 0.0
    probabilities: tuple[float, ...] | None = None
    logits: tuple[float, ...] | None = None
    classes: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()

    @property
    def assessed(self) -> bool:
        """Whether there is a conclusion about the image, including UNCERTAIN."""
        return self.probability is not None or bool(self.findings)


def probability_text(probability: float) -> str:
    """Return a probability as text that is never exactly 0 or 1.

    >>> probability_text(0.99999), probability_text(0.25)
    ('>0.999', '0.250')
    """
    if probability > 0.9995:
        return ">0.999"
    return "<0.001" if probability < 0.0005 else f"{probability:.3f}"
