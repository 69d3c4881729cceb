"""The metadata of a model file: everything a reader needs besides the graph.

The graph goes from prepared pixels to probabilities: input ``pixels`` uint8 [n, 1, height, width],
outputs ``logits`` and ``probabilities`` float32 [n, K] in the order of the classes. Normalisation
is inside. There may be two more outputs: ``features`` float32 [n, d], by which the gate judges, and
``evidence`` float32 [n, rows, columns], where in the image the logit comes from, with one map a
class, [n, K, rows, columns], where there are more than two. The metadata are one JSON object under
the key ``pneumoscope``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pneumoscope.errors import ModelFileError, OptionError
from pneumoscope.images.prepare import InputSpec
from pneumoscope.reader.model_file import checksum as seal
from pneumoscope.reader.model_file.inspection import Contents, inspect
from pneumoscope.reader.model_file.session import Graph, first_line

if TYPE_CHECKING:
    import numpy as np
    import onnxruntime
    from numpy.typing import NDArray

    from pneumoscope.labels import LabelSpace
    from pneumoscope.reader.checks.gate import FeatureGate, PixelGate
    from pneumoscope.reader.conformal import Conformal
    from pneumoscope.reader.model_file.self_test import SelfTest
    from pneumoscope.reader.policy import DecisionPolicy

FORMAT = 1
"""The format of files of two classes, of which the second one is positive."""
FORMAT_OF_CLASSES = 2
"""The format of files of more classes: as 1, and ``positive`` names those that count as positive.
Readers of two classes alone refuse it."""
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

    @property
    def labels(self) -> LabelSpace:
        """The classes, with the positive group."""
        from pneumoscope.labels import LabelSpace  # noqa: PLC0415 - see below

        return LabelSpace(self.classes, self.positive or self.classes[-1:], self.group)

    @property
    def pair(self) -> tuple[str, str]:
        """Names for the two groups of classes, (negative, positive)."""
        return self.labels.pair if self.positive else (self.classes[0], self.classes[-1])

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
        }
        return {
            "format": FORMAT_OF_CLASSES if self.positive else FORMAT,
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
            if values["format"] not in {FORMAT, FORMAT_OF_CLASSES}:
                raise ValueError(
                    f"its format is {values['format']!r}, but this version reads {FORMAT} and "
                    f"{FORMAT_OF_CLASSES}; update pneumoscope"
                )
            classes = tuple(map(str, values["classes"]))
            positive = tuple(map(str, values.get("positive", ())))
            if len(classes) != 2 and not positive:
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
            )
        except (KeyError, TypeError, AttributeError, OptionError) as fault:
            raise ValueError(f"its metadata are incomplete ({fault!r})") from fault


# A model without gate, self-test or conformal rule is read without their modules, since each class
# takes about half a millisecond to define.


def _conformal(values: Mapping[str, Any]) -> Conformal:
    from pneumoscope.reader.conformal import Conformal  # noqa: PLC0415 - see above

    return Conformal.from_dict(values)


def _self_test(values: Mapping[str, Any]) -> SelfTest:
    from pneumoscope.reader.model_file.self_test import SelfTest  # noqa: PLC0415 - see above

    return SelfTest.from_dict(values)


class Bundle:
    """An opened model: metadata, gates and graph.

    Args:
        graph: The graph of its file; it may still be opened.
        info: What the model says of itself.

    Raises:
        ModelFileError: Its gates cannot be.
    """

    def __init__(self, graph: Graph, info: ModelInfo) -> None:
        self.path = graph.path
        self.contents = graph.contents
        self.info = info
        self._graph = graph
        self.pixel_gate: PixelGate | None = None
        self._feature_gate: FeatureGate | None = None
        if info.gate:
            self._open_gates(info.gate)

    def _open_gates(self, gate: Mapping[str, Any]) -> None:
        from pneumoscope.reader.checks.gate import FeatureGate, PixelGate  # noqa: PLC0415 - see above

        try:
            if "rules" in gate:
                self.pixel_gate = PixelGate.from_dict(gate)
            if "features" in gate:
                self._feature_gate = FeatureGate.from_dict(gate["features"])
        except (KeyError, TypeError, ValueError) as fault:
            raise ModelFileError(
                f"{self.path}: cannot be used: its gate is damaged ({fault!r})."
            ) from fault

    def opened(self) -> Bundle:
        """Return itself when the graph is open and the checksum verified.

        Raises:
            ModelFileError: The file was changed since it was written, or the graph cannot be
                opened or lacks an output.
        """
        self.check_seal()
        _ = self.outputs
        return self

    def check_seal(self) -> None:
        """Wait until the checksum of the file is verified.

        Raises:
            ModelFileError: The file was changed since it was written.
        """
        self._graph.check_seal()

    @cached_property
    def outputs(self) -> tuple[str, ...]:
        """The names of the graph's outputs; waits until it is open.

        Raises:
            ModelFileError: The graph cannot be opened, or lacks an output.
        """
        names = tuple(output.name for output in self.session.get_outputs())
        missing = set(PAIRS) - set(names)
        if missing:
            raise ModelFileError(
                f"{self.path}: cannot be used: its graph has no output {min(missing)!r}."
            )
        return names

    @property
    def session(self) -> onnxruntime.InferenceSession:
        """The opened graph; waits until it is open.

        Raises:
            ModelFileError: It cannot be opened.
        """
        return self._graph.session

    @property
    def feature_gate(self) -> FeatureGate | None:
        """The gate on the graph's features, if there is one; waits for the graph."""
        return self._feature_gate if "features" in self.outputs else None

    def run(self, pixels: NDArray[np.uint8], outputs: list[str]) -> list[NDArray[np.float32]]:
        """Run the graph; return the named outputs, each float32 [n, …].

        Args:
            pixels: What ``prepare`` gave for each image, uint8 [n, height, width].
            outputs: Their names.

        Raises:
            ModelFileError: The graph cannot be run on them, or gives something else.
        """
        session = self.session  # a graph that cannot be opened says so itself
        try:
            found: list[NDArray[np.float32]] = session.run(outputs, {"pixels": pixels[:, None]})
        except Exception as fault:  # onnxruntime's exceptions share no public base
            raise ModelFileError(
                f"{self.path}: its graph cannot be run ({first_line(fault)})."
            ) from fault
        for name, values in zip(outputs, found, strict=True):
            own = (len(self.info.classes),) if name in PAIRS else values.shape[1:]
            wanted = (len(pixels), *own)
            if values.shape != wanted or values.dtype != "float32":
                raise ModelFileError(
                    f"{self.path}: cannot be used: its output {name!r} is {values.dtype} "
                    f"{list(values.shape)} for {len(pixels)} images."
                )
        return found

    def positive(
        self, logits: NDArray[np.float32], probabilities: NDArray[np.float32]
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return logit and probability of the positive group, [n] each.

        Of two classes the logit is the network's own; of more it is the log odds of the
        probability.

        Args:
            logits: What the graph gave, [n, K].
            probabilities: The same.
        """
        if len(self.info.classes) == 2 and not self.info.positive:
            return logits[:, 1] - logits[:, 0], probabilities[:, 1]
        from pneumoscope.reader.groups import of_group  # noqa: PLC0415 - for more than two classes

        return of_group(probabilities, self.info.labels)

    @property
    def sha256(self) -> str:
        """The hash of the opened file, computed on first use."""
        return self._graph.sha256


def read_info(content: bytes, path: Path) -> tuple[ModelInfo, Contents]:
    """Return the metadata and contents of a model file without opening its graph.

    Raises:
        ModelFileError: The file is none of this package, or one that is not opened.
    """
    contents = inspect(content, path)
    return _info(seal.own_text(content, contents, path), path), contents


def open_bundle(
    model: Graph | Path | str | None, *, threads: int = 1, unsealed: bool = False
) -> Bundle:
    """Open the model of a file or run folder on the CPU.

    Args:
        model: A model file or a run folder; ``shipped`` or None for the package's own. Or its
            graph, which somebody began to open; its faults then come when it is first used.
        threads: Processor threads for one call of the graph, if it is opened here.
        unsealed: Whether a file is opened, too, that was changed since it was written.

    Raises:
        ModelFileError: There is no model, the file is none of this package, it was changed since
            it was written, or it is not opened.
    """
    if isinstance(model, Graph):
        return Bundle(model, _info(model.text, model.path))
    graph = Graph(model, threads=threads, unsealed=unsealed)
    return Bundle(graph, _info(graph.text, graph.path)).opened()


def _info(text: str, path: Path) -> ModelInfo:
    try:
        return ModelInfo.from_json(text)
    except (ValueError, RecursionError) as fault:
        raise ModelFileError(f"{path}: cannot be used: {fault}.") from fault
