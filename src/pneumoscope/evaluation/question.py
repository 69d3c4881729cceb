"""What is asked of scores, and what is known of the reader and the images that gave them."""

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
"""Two classes whose names nothing tells."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """From which probability on an image is called positive, and who said so.

    Attributes:
        value: The probability.
        source: ``model`` (its operating point), ``given`` (by the user) or ``default`` (0.5, where
            there is no model).
        rule: How the model's was chosen, as ``parse_rule`` reads it; else empty.
    """

    value: float
    source: str = "default"
    rule: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of scores.

    Attributes:
        threshold: The probability from which an image is called positive; None for the model's
            own, or 0.5 where there is no model.
        prevalence: Give predictive values for this share of positive patients as well.
        level: Confidence level of every interval.
        resamples: Resamples of the patients; 0 leaves these intervals out.
        group_resamples: The same in groups of the images; as many as elsewhere if None.
        seed: Of everything that is drawn.
        per: What is judged: each ``image``, ``study`` or ``patient``.
        aggregate: How the probabilities of a study or patient become one: ``mean`` or ``max``.
        curves: Whether the arrays of the figures are wanted.

    Raises:
        OptionError: A value that cannot be.
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
        """Whether it asks for other numbers than those of the reader as it is.

        The answer to such a question does not belong into a run's ``metrics.json``.
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
    """What is known of the reader that gave scores.

    Attributes:
        name: What it is called: a run, a model file, a scores file.
        labels: The classes that it tells apart.
        version: Of the model.
        sha256: Of the model file.
        policy: How it decides, at its own operating point; None where there is no model.
        calibration: What was fitted, as the model file tells it; None where it does not.
        class_calibration: The same of a model of more than two classes.
        point: Its operating point, where that is known and the rest of the policy is not.
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
        """Return what a model file says of itself.

        Args:
            info: Its metadata.
            name: What it is called.
            sha256: Of the file.
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
        """Return the threshold that a question is answered at."""
        if question.threshold is not None:
            return Threshold(question.threshold, "given")
        point = self.policy.operating_point if self.policy is not None else self.point
        if point is not None:
            return Threshold(point.threshold, "model", point.rule)
        return Threshold(_THRESHOLD)

    def policy_for(self, question: Question) -> DecisionPolicy | None:
        """Return how it decides at the threshold that a question names; None without a model."""
        if self.policy is None or question.threshold is None:
            return self.policy
        given = OperatingPoint(f"probability={question.threshold:g}", question.threshold)
        return replace(self.policy, operating_point=given)

    def to_dict(self) -> dict[str, Any]:
        """Return name, version and hash as JSON values."""
        return {"name": self.name, "version": self.version, "sha256": self.sha256}


@dataclass(frozen=True, slots=True, eq=False)
class Images:
    """What is known of the images that were scored.

    Attributes:
        part: ``train``, ``val``, ``test`` or ``all``; empty where the data know no parts.
        relation: How they stand to those that the reader learnt from.
        seen: How many of them, or others of their patients, the reader was trained on.
        has_test: Whether the reader's own data have a test part; None where nothing tells.
        fingerprint: Of the data that they come from; empty where it is not known.
        columns: Name → path → group, what they are grouped by.
        sizes: Path → bytes of the file; the baseline of file sizes needs all of them.
        studies: Path → study.
        training: Bytes and labels of the images that the baselines are fitted on; None fits them
            on these.
        unreadable: How many files could not be read.
        left_out: Rows and files of the data that were not taken.
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
    told = _recorded(info)
    return Calibration(**told) if told is not None and "scale" in told else None


def _class_calibration(info: ModelInfo) -> VectorCalibration | None:
    """Return the calibration that a model file of more classes records."""
    told = _recorded(info)
    return VectorCalibration.from_dict(told) if told is not None and "scales" in told else None


def _recorded(info: ModelInfo) -> dict[str, Any] | None:
    """Return what was fitted, the last time if it was changed."""
    told = [change["calibration"] for change in info.history if "calibration" in change]
    last = told[-1] if told else info.training.get("calibration")
    return dict(last) if isinstance(last, Mapping) else None
