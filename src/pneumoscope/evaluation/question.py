"""The settings of an evaluation, and information about the reader and the images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from pneumoscope.data.relation import TrainingRelation
from pneumoscope.errors import OptionError, one_of
from pneumoscope.evaluation.bootstrap import RESAMPLES
from pneumoscope.evaluation.calibration import Calibration
from pneumoscope.evaluation.multiclass.calibration import VectorCalibration
from pneumoscope.evaluation.units import AGGREGATES, UNITS
from pneumoscope.labels import LabelSpace
from pneumoscope.reader.model_file.metadata import OperatingPoint
from pneumoscope.stats.intervals import LEVEL

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pneumoscope.data.entries import LeftOut
    from pneumoscope.reader.model_file.metadata import ModelInfo
    from pneumoscope.reader.policy import DecisionPolicy

_THRESHOLD = 0.5

UNNAMED = LabelSpace.of(("negative", "positive"))
"""Two classes with unknown names."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """The decision threshold and its source.

    Attributes:
        value: The probability.
        source: ``model`` (its operating point), ``given`` (by the user) or ``default`` (0.5,
            without a model).
        rule: Rule that chose the threshold of the model, as for ``parse_rule``; otherwise empty.
    """

    value: float
    source: str = "default"
    rule: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Question:
    """The settings of an evaluation.

    Attributes:
        threshold: The probability from which an image is called positive; None for that of the
            model, or 0.5 without a model.
        prevalence: Share of positive patients for which predictive values are computed in addition.
        level: Confidence level of every interval.
        resamples: Number of resamples of the patients; 0 omits these intervals.
        group_resamples: The same in subgroups of the images; equal to ``resamples`` if None.
        seed: Seed of all random draws.
        per: Unit of evaluation: ``image``, ``study`` or ``patient``.
        aggregate: How the probabilities of a study or patient are aggregated: ``mean`` or ``max``.
        curves: Whether to compute the arrays of the figures.

    Raises:
        OptionError: An invalid value.
    """

    threshold: float | None = None
    prevalence: float | None = None
    level: float = LEVEL
    resamples: int = RESAMPLES
    group_resamples: int | None = None
    seed: int = 0
    per: str = "image"
    aggregate: str = "mean"
    curves: bool = True

    def __post_init__(self) -> None:
        one_of("per", self.per, UNITS)
        one_of("aggregate", self.aggregate, AGGREGATES)
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise OptionError("threshold", must="from 0 to 1", was=self.threshold)
        if self.prevalence is not None and not 0 < self.prevalence < 1:
            raise OptionError(
                "prevalence", must="between 0 and 1, such as 0.1", was=self.prevalence
            )
        if not 0 < self.level < 1:
            raise OptionError("level", must="between 0 and 1, such as 0.95", was=self.level)

    @property
    def what_if(self) -> bool:
        """Whether the settings differ from those of the reader itself.

        Evaluations with such settings are not written into a run's ``metrics.json``.
        """
        return (
            self.threshold is not None
            or self.prevalence is not None
            or self.level != LEVEL
            or self.per != "image"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Reader:
    """Information about the reader that produced scores.

    Attributes:
        name: Name of a run, model file or scores file.
        labels: The classes of the reader.
        version: Version of the model.
        sha256: SHA-256 of the model file.
        policy: The decision policy at its own operating point; None without a model.
        calibration: The calibration recorded in the model file; None if there is none.
        class_calibration: The same for a model of more than two classes.
        point: The operating point, if only this part of the policy is known.
    """

    name: str = ""
    labels: LabelSpace = UNNAMED
    version: str = ""
    sha256: str = ""
    policy: DecisionPolicy | None = None
    calibration: Calibration | None = None
    class_calibration: VectorCalibration | None = None
    point: OperatingPoint | None = None

    @classmethod
    def of(cls, info: ModelInfo, *, name: str, sha256: str = "") -> Reader:
        """Return the information in the metadata of a model file.

        Args:
            info: Metadata of the model file.
            name: Displayed name.
            sha256: SHA-256 of the file.
        """
        return cls(
            name,
            info.labels,
            info.version,
            sha256,
            info.policy(),
            _calibration(info),
            _class_calibration(info),
        )

    def threshold_for(self, question: Question) -> Threshold:
        """Return the decision threshold of an evaluation."""
        if question.threshold is not None:
            return Threshold(question.threshold, "given")
        point = self.policy.operating_point if self.policy is not None else self.point
        if point is not None:
            return Threshold(point.threshold, "model", point.rule)
        return Threshold(_THRESHOLD)

    def policy_for(self, question: Question) -> DecisionPolicy | None:
        """Return the decision policy at the threshold of an evaluation; None without a model."""
        if self.policy is None or question.threshold is None:
            return self.policy
        given = OperatingPoint(f"probability={question.threshold:g}", question.threshold)
        return replace(self.policy, operating_point=given)

    def to_dict(self) -> dict[str, Any]:
        """Return name, version and hash as JSON values."""
        return {"name": self.name, "version": self.version, "sha256": self.sha256}


@dataclass(frozen=True, slots=True, eq=False)
class Images:
    """Information about the scored images.

    Attributes:
        part: ``train``, ``val``, ``test`` or ``all``; empty if the data have no parts.
        relation: Relation of the images to those of the training.
        seen: Number of images that were used in training, or whose patients were.
        has_test: Whether the data of the training have a test set; None if unknown.
        fingerprint: Fingerprint of the data; empty if unknown.
        columns: Columns that define subgroups: name → path → group.
        sizes: Path → size of the file in bytes; the baseline of the file size needs all of them.
        studies: Path → study.
        training: Sizes and labels of the images that the baselines are fitted on; if None, they are
            fitted on the evaluated images.
        unreadable: Number of files that could not be read.
        left_out: Excluded rows and files of the data.
    """

    part: str = ""
    relation: TrainingRelation = TrainingRelation.UNKNOWN
    seen: int = 0
    has_test: bool | None = None
    fingerprint: str = ""
    columns: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    sizes: Mapping[str, int] = field(default_factory=dict)
    studies: Mapping[str, str] = field(default_factory=dict)
    training: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None
    unreadable: int = 0
    left_out: tuple[LeftOut, ...] = ()


def _calibration(info: ModelInfo) -> Calibration | None:
    """Return the calibration that a model file of two classes records."""
    recorded = _recorded(info)
    return Calibration(**recorded) if recorded is not None and "scale" in recorded else None


def _class_calibration(info: ModelInfo) -> VectorCalibration | None:
    """Return the calibration that a model file of more classes records."""
    recorded = _recorded(info)
    return (
        VectorCalibration.from_dict(recorded)
        if recorded is not None and "scales" in recorded
        else None
    )


def _recorded(info: ModelInfo) -> dict[str, Any] | None:
    """Return the calibration, the latest if it was changed."""
    recorded = [change["calibration"] for change in info.history if "calibration" in change]
    last = recorded[-1] if recorded else info.training.get("calibration")
    return dict(last) if isinstance(last, Mapping) else None
