"""Readers of several findings per image: decision rules and conclusions.

Each finding has its own probability, operating point and, if fitted, uncertain zone; it is decided
like the positive class of two. Only loaded for models of findings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pneumoscope.errors import OptionError, nearest
from pneumoscope.labels import LabelSpace
from pneumoscope.reader.conformal import Conformal
from pneumoscope.reader.policy import NOT_ASSESSABLE, UNCERTAIN, DecisionPolicy

if TYPE_CHECKING:
    from pneumoscope.reader.model_file.metadata import ModelInfo, OperatingPoint

NEGATIVE: Final = "NEGATIVE"
POSITIVE: Final = "POSITIVE"
"""The conclusions about a finding, besides UNCERTAIN; and about an image, for which POSITIVE means
that a finding is present, UNCERTAIN that one may be, and NEGATIVE that none is."""

_PAIR = LabelSpace((NEGATIVE, POSITIVE), (POSITIVE,))


@dataclass(frozen=True, slots=True)
class FindingRule:
    """The decision rule of a finding.

    Attributes:
        operating_point: The operating point.
        conformal: The rule of its uncertain zone; None without a zone.
        calibration: Calibration of its logit, for information; empty if unknown.
        reference: Distributions on validation images, as in ``ModelInfo.reference``.
    """

    operating_point: OperatingPoint
    conformal: Conformal | None = None
    calibration: Mapping[str, Any] | None = None
    reference: Mapping[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the rule as JSON values; empty fields are omitted."""
        found = {
            "operating_point": asdict(self.operating_point),
            "conformal": self.conformal and self.conformal.to_dict(),
            "calibration": dict(self.calibration or {}),
            "reference": dict(self.reference or {}),
        }
        return {key: value for key, value in found.items() if value}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], point: OperatingPoint) -> FindingRule:
        """Return the rule written by ``to_dict``.

        Args:
            values: The result of ``to_dict``.
            point: The operating point.

        Raises:
            KeyError, TypeError, ValueError: A field is missing or invalid.
        """
        if not 0 <= point.threshold <= 1:
            raise ValueError(f"the threshold of a finding is {point.threshold!r}")
        conformal = values.get("conformal")
        return cls(
            point,
            None if conformal is None else Conformal.from_dict(conformal),
            dict(values.get("calibration", {})),
            dict(values.get("reference", {})),
        )


class Finding(NamedTuple):
    """The conclusion about one finding of an image.

    Attributes:
        name: The finding.
        probability: Probability in [0, 1].
        logit: Logit before calibration.
        threshold: Decision threshold.
        conclusion: ``POSITIVE``, ``NEGATIVE`` or ``UNCERTAIN``.
    """

    name: str
    probability: float
    logit: float
    threshold: float
    conclusion: str


class Concluded(NamedTuple):
    """The conclusions about an image.

    Attributes:
        conclusion: ``POSITIVE``, ``UNCERTAIN``, ``NEGATIVE`` or ``NOT_ASSESSABLE``.
        findings: The findings; empty if the image was refused.
        reasons: Why the image was set aside, and facts outside the intended use.
    """

    conclusion: str
    findings: tuple[Finding, ...]
    reasons: tuple[str, ...]


def policy_of(rule: FindingRule) -> DecisionPolicy:
    """Return the decision policy of one finding, with the classes NEGATIVE and POSITIVE."""
    return DecisionPolicy(_PAIR, rule.operating_point, rule.conformal)


class FindingsPolicy:
    """The rule from probabilities to conclusions about an image and each of its findings.

    Args:
        info: The metadata of a model of findings.
        outside: How images outside the intended use are handled, one of ``reader.policy.OUTSIDE``.

    Raises:
        ValueError: ``outside`` has another value.
    """

    def __init__(self, info: ModelInfo, *, outside: str = "note") -> None:
        self.names = info.classes
        self.outside = outside
        self.rules = tuple(map(policy_of, info.findings))
        # Only checks and applies ``outside``.
        DecisionPolicy(_PAIR, info.findings[0].operating_point, None, outside)

    def decide(
        self,
        logits: Sequence[float],
        probabilities: Sequence[float],
        *,
        refused: Sequence[str] = (),
        outside: Sequence[str] = (),
    ) -> Concluded:
        """Return the conclusions about one image.

        Args:
            logits: Logits of the findings, [F].
            probabilities: Probabilities of the findings, [F].
            refused: Why the gate rejects the image; empty if it does not.
            outside: Facts of the image outside the intended use.
        """
        outside = tuple(outside)
        if refused or (outside and self.outside == "refuse"):
            return Concluded(NOT_ASSESSABLE, (), (*refused, *outside))
        aside = bool(outside) and self.outside == "uncertain"
        found = tuple(
            Finding(
                name,
                probability,
                logit,
                rule.threshold,
                UNCERTAIN if aside else rule.decide(probability).conclusion,
            )
            for name, logit, probability, rule in zip(
                self.names, logits, probabilities, self.rules, strict=True
            )
        )
        conclusions = {finding.conclusion for finding in found}
        whole = next((one for one in (POSITIVE, UNCERTAIN) if one in conclusions), NEGATIVE)
        return Concluded(whole, found, outside)


def of_finding(info: ModelInfo, name: str) -> ModelInfo:
    """Return the metadata of a reader of one finding; see ``ModelInfo.of_finding``.

    Raises:
        OptionError: The finding does not exist.
    """
    if not info.findings or name not in info.classes:
        raise OptionError(
            "finding", must="a finding of this reader", was=name, hint=nearest(name, info.classes)
        )
    rule = info.findings[info.classes.index(name)]
    training = {key: value for key, value in info.training.items() if key != "calibration"}
    if rule.calibration:
        training["calibration"] = dict(rule.calibration)
    return replace(
        info,
        classes=(f"no {name}", name),
        operating_point=rule.operating_point,
        conformal=rule.conformal,
        reference={**info.reference, **(rule.reference or {})},
        training=training,
        self_test=None,
        findings=(),
    )
