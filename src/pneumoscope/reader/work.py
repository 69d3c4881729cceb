"""The state of one image, from the source to the prediction."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from pneumoscope.errors import OtherKindError
from pneumoscope.images.radiograph import ImageMeta
from pneumoscope.reader.prediction import ERROR, Prediction
from pneumoscope.reader.preprocess import LoadedImage, dicom_of, load_image

if TYPE_CHECKING:
    from pneumoscope.images.record import DicomRecord
    from pneumoscope.images.sources import Source
    from pneumoscope.reader.checks.intended_use import Scope
    from pneumoscope.reader.findings import FindingsPolicy
    from pneumoscope.reader.model_file.metadata import ModelInfo
    from pneumoscope.reader.prediction import ModelName
    from pneumoscope.reader.predictor import Predictor


class Work:
    """An image in progress."""

    __slots__ = (
        *("dicom", "distance", "error", "logit", "name", "notes", "probability"),
        *("decode_seconds", "logits", "outside", "probabilities", "refused", "seconds"),
        *("started", "taken"),
    )

    def __init__(self, name: str, started: float) -> None:
        self.name = name
        self.started = started
        self.seconds = 0.0
        self.decode_seconds = 0.0
        self.taken: LoadedImage | None = None
        self.error = ""
        self.refused: tuple[str, ...] = ()
        self.notes: tuple[str, ...] = ()
        self.outside: tuple[str, ...] = ()
        self.logit = 0.0
        self.probability = 0.0
        self.logits: tuple[float, ...] | None = None
        self.probabilities: tuple[float, ...] | None = None
        self.distance: float | None = None
        self.dicom: DicomRecord | None = None

    def load_image(self, source: Source, predictor: Predictor) -> None:
        """Decode and prepare the image, and check the gate and the intended use.

        Raises:
            ImageError: The source cannot be read as an image.
        """
        try:
            self.taken = load_image(source, predictor.info.input, any_kind=not predictor.gated)
        except OtherKindError as fault:
            if not predictor.gated:  # a conclusion was requested, but there is none
                raise
            self.refused = (fault.reason,)
            if isinstance(fault.header, ImageMeta):
                self.dicom = dicom_of(fault.header)
            return
        self.dicom = self.taken.dicom
        self.refused, self.distance = predictor.refusals(self.taken)
        scope = _scope(self.taken, predictor.info)
        self.outside = scope.outside if scope else ()
        self.notes = (*self.taken.notes, *(scope.unknown if scope else ()))
        if self.taken.other_kind:
            self.notes = (self.taken.other_kind, *self.notes)
            self.refused = (self.taken.other_kind, *self.refused)
        self.seconds = self.decode_seconds = time.perf_counter() - self.started

    def prediction(
        self, conclusion: str, reasons: tuple[str, ...], model: ModelName, **more: Any
    ) -> Prediction:
        """Return the prediction, with the known facts of the image.

        Args:
            conclusion: The conclusion.
            reasons: The reasons, in words.
            model: The model.
            more: Further fields of ``Prediction``, such as the probability of an assessed image.
        """
        numbers: dict[str, Any] = {"probability": None, "logit": None, "threshold": None, **more}
        return Prediction(
            path=self.name,
            conclusion=conclusion,
            error=self.error,
            reasons=(*reasons, *self.notes),
            model=model,
            seconds=self.seconds,
            distance=self.distance,
            dicom=self.dicom,
            outside=self.outside,
            refused=self.refused,
            decode_seconds=self.decode_seconds,
            **numbers,
        )

    def prediction_of_findings(
        self, policy: FindingsPolicy, refused: tuple[str, ...], model: ModelName
    ) -> Prediction:
        """Return the prediction of a model of several findings.

        Args:
            policy: The decision policy of the findings.
            refused: Why the image has no conclusion; empty if it has one.
            model: The model.
        """
        if self.error:
            return self.prediction(ERROR, self.outside, model)
        conclusion, findings, reasons = policy.decide(
            self.logits or (), self.probabilities or (), refused=refused, outside=self.outside
        )
        return self.prediction(conclusion, reasons, model, findings=findings)


def _scope(taken: LoadedImage, info: ModelInfo) -> Scope | None:
    if not (taken.facts and info.intended):
        return None
    from pneumoscope.reader.checks.intended_use import scope_of  # noqa: PLC0415 - for files that state facts

    return scope_of(taken.facts, info.intended)
