"""The metadata of a model file: everything a reader needs besides the graph.

The graph computes probabilities of prepared pixels: input ``pixels`` uint8 [n, 1, height, width],
outputs ``logits`` and ``probabilities`` float32 [n, K] in the order of the classes, or of the
findings of a multi-label reader. Normalisation is included. There may be two further outputs:
``features`` float32 [n, d], which the gate uses, and ``evidence`` float32 [n, rows, columns], the
contribution of each region to the logit, or one map per class, [n, K, rows, columns], for more than
two classes. The metadata are one JSON object under the key ``pneumoscope``.
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
"""The format of files of two classes, of which the second is positive."""
FORMAT_OF_CLASSES = 2
"""The format of files of more classes: like 1, with ``positive`` for the classes that count as
positive. Software for two classes only refuses it."""
FORMAT_OF_FINDINGS = 3
"""The format of files of several findings per image: ``classes`` are the findings, each with its
own probability, and ``findings`` are their decision rules."""
FORMATS = (FORMAT, FORMAT_OF_CLASSES, FORMAT_OF_FINDINGS)
KEY = seal.KEY
CALIBRATION_SCALE, CALIBRATION_BIAS = "calibration_scale", "calibration_bias"
"""Names of the two values of the calibration in the graph."""

NOTICE = "Research software, not a medical device."

PAIRS = ("logits", "probabilities")
"""The outputs that every graph has, float32 [n, K] each."""


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """The decision threshold and the rule that chose it.

    Attributes:
        rule: The rule, as for ``evaluation.operating_point.parse_rule``.
        threshold: The probability.
        achieved: Performance on the images that it was chosen on, for information; empty if there
            were none.
        model: SHA-256 of the model file whose scores it was chosen on; empty if unknown.
    """

    rule: str = "probability=0.5"
    threshold: float = 0.5
    achieved: dict[str, Any] = field(default_factory=dict)
    model: str = ""


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """The metadata of a model file.

    Attributes:
        name: Name of the network.
        input: The input.
        classes: Names of the classes, in the order of the graph's outputs.
        operating_point: The operating point of the positive group.
        training: Description of the training, for information.
        version: Version of the model, for information.
        licence: Licence of the model.
        intended: The intended use, as for ``scope_of``.
        gate: The gate, as returned by ``PixelGate.to_dict``, with that of a ``FeatureGate`` under
            ``features``. Empty without a gate.
        conformal: The rule of the uncertain zone; None without a zone.
        reference: Distributions on validation images: ``probability_histogram``, counts in equal
            bins from 0 to 1; ``distance_histogram``, ``edges`` and ``counts`` of the gate's
            distances.
        self_test: Expected output for a generated image.
        card: Further information for users.
        history: Changes after training, such as recalibrations, oldest first, for information.
        learnt: Shortened hashes of the images used in training and for decisions, as written by
            ``training_hashes``; empty if unknown.
        positive: The classes that count as positive; if empty, the last one.
        group: Name of the positive group; empty if it has none.
        findings: Decision rules of ``classes`` in a multi-label model; empty for classes that
            exclude each other.
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
            ManyFindingsError: They are findings, which do not exclude each other.
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
            OptionError: The finding does not exist.
        """
        from pneumoscope.reader.findings import of_finding  # noqa: PLC0415 - for several findings

        return of_finding(self, name)

    def policy(self, *, outside: str = "note", threshold: float | None = None) -> DecisionPolicy:
        """Return the decision policy of the model.

        Args:
            outside: How images outside the intended use are handled; one of
                ``reader.policy.OUTSIDE``.
            threshold: A threshold that replaces that of the model.

        Raises:
            ValueError: ``outside`` has another value, or the threshold is not from 0 to 1.
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
            ValueError: A field is missing or has the wrong type.
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
                raise ValueError("it has no decision rules for its findings")
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


# Without gate, self-test or conformal rule, their modules are not imported, since defining each
# class takes about half a millisecond.


def _conformal(values: Mapping[str, Any]) -> Conformal:
    from pneumoscope.reader.conformal import Conformal  # noqa: PLC0415 - see above

    return Conformal.from_dict(values)


def _findings(values: Any, names: tuple[str, ...]) -> tuple[FindingRule, ...]:
    from pneumoscope.reader.findings import FindingRule  # noqa: PLC0415 - see above

    rules = tuple(
        FindingRule.from_dict(value, OperatingPoint(**value["operating_point"])) for value in values
    )
    if len(rules) != len(names):
        raise ValueError(f"it has {len(names)} findings, but decision rules for {len(rules)}")
    return rules


def _self_test(values: Mapping[str, Any]) -> SelfTest:
    from pneumoscope.reader.model_file.self_test import SelfTest  # noqa: PLC0415 - see above

    return SelfTest.from_dict(values)
