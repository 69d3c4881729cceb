"""The metadata of a model file: everything a reader needs besides the graph.

The graph goes from prepared pixels to probabilities: input ``pixels`` uint8 [n, 1, height, width],
outputs ``logits`` and ``probabilities`` float32 [n, K] in the order of the classes, or of the
findings of a reader of several findings an image. Normalisation
is inside. There may be two more outputs: ``features`` float32 [n, d], by which the gate judges, and
``evidence`` float32 [n, rows, columns], where in the image the logit comes from, with one map a
class, [n, K, rows, columns], where there are more than two. The metadata are one JSON object under
the key ``pneumoscope``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from pneumoscope.errors import ManyFindingsError, OptionError
from pneumoscope.images.prepare import InputSpec
from pneumoscope.reader.model_file import checksum as seal

if TYPE_CHECKING:
    from pneumoscope.labels import LabelSpace
    from pneumoscope.reader.conformal import Conformal
    from pneumoscope.reader.findings import FindingRule
    from pneumoscope.reader.model_file.self_test import SelfTest
    from pneumoscope.reader.policy import DecisionPolicy

FORMAT = 1
"""The format of files of two classes, of which the second one is positive."""
FORMAT_OF_CLASSES = 2
"""The format of files of more classes: as 1, and ``positive`` names those that count as positive.
Readers of two classes alone refuse it."""
FORMAT_OF_FINDINGS = 3
"""The format of files of several findings an image: ``classes`` are the findings, each with a
probability of its own, and ``findings`` says how each is decided."""
FORMATS = (FORMAT, FORMAT_OF_CLASSES, FORMAT_OF_FINDINGS)
KEY = seal.KEY
CALIBRATION_SCALE, CALIBRATION_BIAS = "calibration_scale", "calibration_bias"
"""Names of the two numbers in the graph that make probabilities of logits."""

NOTICE = "Research software, not a medical device."

PAIRS = ("logits", "probabilities")
"""The outputs that every graph has, float32 [n, K] each."""


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """The decision threshold and the rule that chose it.

    Attributes:
        rule: The rule, as ``evaluation.operating_point.parse_rule`` reads it.
        threshold: The probability.
        achieved: What it reached on the images that it was chosen on, for people; empty where it
            was not chosen on any.
        model: SHA-256 of the model file whose scores it was chosen on; empty where unknown.
    """

    rule: str = "probability=0.5"
    threshold: float = 0.5
    achieved: dict[str, Any] = field(default_factory=dict)
    model: str = ""


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """The metadata of a model file.

    Attributes:
        name: The network.
        input: What it takes.
        classes: Their names, in the order of the graph's outputs.
        operating_point: From which probability of the positive group on it is concluded.
        training: How and from what it was made, for people.
        version: Of this model, for people.
        licence: Under which it may be used.
        intended: Whom and what it is for, as ``scope_of`` takes it.
        gate: What it refuses to judge, as ``PixelGate.to_dict`` gives it; under ``features`` that
            of a ``FeatureGate``. Empty: it refuses nothing.
        conformal: The rule of its uncertain zone; None: it is never uncertain.
        reference: What it said of validation images: ``probability_histogram``, counts in equal
            bins from 0 to 1; ``distance_histogram``, ``edges`` and ``counts`` of the gate's
            distances.
        self_test: What it must say of a generated image.
        card: What else to know before using it, for people.
        history: What was changed after training, oldest first: recalibrations, for people.
        learnt: Shortened hashes of the images that it learnt from and that its decisions rest on,
            as ``reader.learnt`` writes them; empty: not known.
        positive: The classes that count as positive; empty: the last one.
        group: What the positive group is called; empty where it has no name of its own.
        findings: How each of ``classes`` is decided where they are findings, several of which an
            image may have; empty for classes that exclude each other.
    """

    name: str
    input: InputSpec
    classes: tuple[str, ...]
    operating_point: OperatingPoint
    training: dict[str, Any]
    version: str = ""
    licence: str = ""
    intended: Mapping[str, Any] = field(default_factory=dict)
    gate: Mapping[str, Any] = field(default_factory=dict)
    conformal: Conformal | None = None
    reference: Mapping[str, Any] = field(default_factory=dict)
    self_test: SelfTest | None = None
    card: Mapping[str, Any] = field(default_factory=dict)
    history: tuple[Mapping[str, Any], ...] = ()
    learnt: Mapping[str, Any] = field(default_factory=dict)
    positive: tuple[str, ...] = ()
    group: str = ""
    findings: tuple[FindingRule, ...] = ()

    @property
    def labels(self) -> LabelSpace:
        """The classes, with the positive group.

        Raises:
            ManyFindingsError: They are findings, which exclude each other as little as their
                names do.
        """
        if self.findings:
            raise ManyFindingsError(self.classes)
        from pneumoscope.labels import LabelSpace  # noqa: PLC0415 - see below

        return LabelSpace(self.classes, self.positive or self.classes[-1:], self.group)

    @property
    def pair(self) -> tuple[str, str]:
        """Names for the two groups of classes, (negative, positive); see ``labels``."""
        if self.findings:
            raise ManyFindingsError(self.classes)
        return self.labels.pair if self.positive else (self.classes[0], self.classes[-1])

    def of_finding(self, name: str) -> ModelInfo:
        """Return the metadata of a reader of one finding: classes ``no NAME`` and ``NAME``.

        Raises:
            OptionError: There is no such finding.
        """
        from pneumoscope.reader.findings import of_finding  # noqa: PLC0415 - for several findings

        return of_finding(self, name)

    def policy(self, *, outside: str = "note", threshold: float | None = None) -> DecisionPolicy:
        """Return the decision policy of the model.

        Args:
            outside: What is done with images outside the intended use; one of
                ``reader.policy.OUTSIDE``.
            threshold: Another threshold than the model's own.

        Raises:
            ValueError: ``outside`` is something else, or the threshold is not from 0 to 1.
        """
        from pneumoscope.reader.policy import DecisionPolicy  # noqa: PLC0415 - see below

        point = self.operating_point
        if threshold is not None and threshold != point.threshold:
            point = OperatingPoint(f"probability={threshold:g}", threshold)
        return DecisionPolicy(self.labels, point, self.conformal, outside)

    def to_dict(self) -> dict[str, Any]:
        """Return the metadata as JSON values without the checksum; empty fields are omitted."""
        optional = {
            "version": self.version,
            "licence": self.licence,
            "intended": dict(self.intended),
            "gate": dict(self.gate),
            "conformal": self.conformal and self.conformal.to_dict(),
            "reference": dict(self.reference),
            "self_test": self.self_test and self.self_test.to_dict(),
            "card": dict(self.card),
            "history": [dict(change) for change in self.history],
            "learnt": dict(self.learnt),
            "positive": list(self.positive),
            "group": self.group,
            "findings": [rule.to_dict() for rule in self.findings],
        }
        one = FORMAT_OF_CLASSES if self.positive else FORMAT
        return {
            "format": FORMAT_OF_FINDINGS if self.findings else one,
            "name": self.name,
            "input": self.input.to_dict(),
            "classes": list(self.classes),
            "operating_point": asdict(self.operating_point),
            "training": self.training,
            **{key: value for key, value in optional.items() if value},
            "notice": NOTICE,
        }

    def to_json(self) -> str:
        """Return the metadata as stored, with space for the checksum in front."""
        return json.dumps({seal.SEAL_KEY: seal.UNSEALED, **self.to_dict()})

    @classmethod
    def from_json(cls, text: str) -> ModelInfo:
        """Return the metadata written by ``to_json``.

        Raises:
            ValueError: Something is missing, or of the wrong kind.
        """
        try:
            values = json.loads(text)
            if values["format"] not in FORMATS:
                raise ValueError(
                    f"its format is {values['format']!r}, but this version reads "
                    f"{FORMATS[0]} to {FORMATS[-1]}; update pneumoscope"
                )
            classes = tuple(map(str, values["classes"]))
            positive = tuple(map(str, values.get("positive", ())))
            findings = _findings(values["findings"], classes) if "findings" in values else ()
            if values["format"] == FORMAT_OF_FINDINGS and not findings:
                raise ValueError("it does not say how its findings are decided")
            if len(classes) != 2 and not positive and not findings:
                raise ValueError(f"its classes are {classes!r}, and none is marked as positive")
            point = OperatingPoint(**values["operating_point"])
            if not 0 <= point.threshold <= 1:
                raise ValueError(f"its threshold is {point.threshold!r}")
            return cls(
                str(values["name"]),
                InputSpec.from_dict(values["input"]),
                classes,
                point,
                dict(values["training"]),
                str(values.get("version", "")),
                str(values.get("licence", "")),
                dict(values.get("intended", {})),
                dict(values.get("gate", {})),
                _conformal(values["conformal"]) if "conformal" in values else None,
                dict(values.get("reference", {})),
                _self_test(values["self_test"]) if "self_test" in values else None,
                dict(values.get("card", {})),
                tuple(dict(change) for change in values.get("history", ())),
                dict(values.get("learnt", {})),
                positive,
                str(values.get("group", "")),
                findings,
            )
        except (KeyError, TypeError, AttributeError, OptionError) as fault:
            raise ValueError(f"its metadata are incomplete ({fault!r})") from fault


# A model without gate, self-test or conformal rule is read without their modules, since each class
# takes about half a millisecond to define.


def _conformal(values: Mapping[str, Any]) -> Conformal:
    from pneumoscope.reader.conformal import Conformal  # noqa: PLC0415 - see above

    return Conformal.from_dict(values)


def _findings(values: Any, names: tuple[str, ...]) -> tuple[FindingRule, ...]:
    from pneumoscope.reader.findings import FindingRule  # noqa: PLC0415 - see above

    rules = tuple(
        FindingRule.from_dict(value, OperatingPoint(**value["operating_point"])) for value in values
    )
    if len(rules) != len(names):
        raise ValueError(f"it has {len(names)} findings, and says how {len(rules)} are decided")
    return rules


def _self_test(values: Mapping[str, Any]) -> SelfTest:
    from pneumoscope.reader.model_file.self_test import SelfTest  # noqa: PLC0415 - see above

    return SelfTest.from_dict(values)
