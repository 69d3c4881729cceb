"""The one-file model: an ONNX graph whose metadata say everything that a reader must know.

The graph goes from prepared pixels to probabilities: input ``pixels`` uint8 [n, 1, height, width],
outputs ``logits`` and ``probabilities`` float32 [n, 2] in the order of the classes. Normalisation
is inside. The metadata are one JSON object under the key ``pneumoscope``.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pneumoscope.errors import ModelFileError, OptionError
from pneumoscope.images.prepare import InputSpec

if TYPE_CHECKING:
    import onnxruntime

FORMAT = 1
KEY = "pneumoscope"
CALIBRATION_SCALE, CALIBRATION_BIAS = "calibration_scale", "calibration_bias"
"""Names of the two numbers in the graph that make probabilities of logits."""

MAX_BYTES = 2**31 - 1
NOTICE = "Research software, not a medical device."

_RUN_MODEL = "model.onnx"


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """From which probability on an image is called positive, and by which rule that was chosen.

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
    """What the metadata of a model file say.

    Attributes:
        name: The network.
        input: What it takes.
        classes: (negative, positive).
        operating_point: Where it concludes the positive class.
        training: How and from what it was made, for people.
        conformal: When to set an image aside: the dict of ``evaluation.conformal.Conformal``;
            empty where the reader always concludes.
        history: What was changed after training, oldest first: recalibrations, for people.
    """

    name: str
    input: InputSpec
    classes: tuple[str, str]
    operating_point: OperatingPoint
    training: dict[str, Any]
    conformal: dict[str, Any] = field(default_factory=dict)
    history: tuple[dict[str, Any], ...] = ()

    def to_json(self) -> str:
        """Return the metadata as they stand in the file."""
        return json.dumps(
            {
                "format": FORMAT,
                "name": self.name,
                "input": self.input.to_dict(),
                "classes": list(self.classes),
                "operating_point": asdict(self.operating_point),
                "training": self.training,
                "conformal": self.conformal,
                "history": list(self.history),
                "notice": NOTICE,
            }
        )

    @classmethod
    def from_json(cls, text: str) -> ModelInfo:
        """Return what ``to_json`` wrote.

        Raises:
            ValueError: Something is missing, or of the wrong kind.
        """
        try:
            values = json.loads(text)
            if values["format"] != FORMAT:
                raise ValueError(
                    f"its format is {values['format']!r}, this version reads {FORMAT}; "
                    "update pneumoscope"
                )
            negative, positive = values["classes"]
            point = OperatingPoint(**values["operating_point"])
            if not 0 <= point.threshold <= 1:
                raise ValueError(f"its threshold is {point.threshold!r}")
            return cls(
                str(values["name"]),
                InputSpec.from_dict(values["input"]),
                (str(negative), str(positive)),
                point,
                dict(values["training"]),
                dict(values.get("conformal", {})),
                tuple(dict(change) for change in values.get("history", ())),
            )
        except (KeyError, TypeError, OptionError) as fault:
            raise ValueError(f"its metadata are incomplete ({fault!r})") from fault


@dataclass(frozen=True, slots=True, eq=False)
class Bundle:
    """An opened model: what it says of itself, the bytes of its file, and its graph."""

    path: Path
    info: ModelInfo
    content: bytes
    session: onnxruntime.InferenceSession

    @property
    def sha256(self) -> str:
        """The hash of the file, computed when it is asked for."""
        import hashlib  # noqa: PLC0415 - reading an image does without

        return hashlib.sha256(self.content).hexdigest()


def find_model(place: Path) -> Path:
    """Return the model file that a path means: itself, or the one of a run folder.

    Raises:
        ModelFileError: There is none.
    """
    if place.is_dir():
        inside = place / _RUN_MODEL
        if not inside.is_file():
            raise ModelFileError(
                f"{place}: no {_RUN_MODEL} in this folder; is it a run that has ended? "
                "Train one with: pneumoscope train DATA --out RUN"
            )
        return inside
    if not place.exists():
        raise ModelFileError(f"{place}: no such model file or run folder.")
    return place


def open_bundle(place: Path, *, threads: int = 1) -> Bundle:
    """Return the model of a file or run folder, ready to run on the CPU.

    Args:
        place: A model file or a run folder.
        threads: Processor threads for one call of the graph.

    Raises:
        ModelFileError: There is no model, or the file is none of this package.
    """
    import onnxruntime  # noqa: PLC0415 - not before there is something to run

    path = find_model(place)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ModelFileError(
                f"{path}: too large to be a model ({path.stat().st_size:,} bytes)."
            )
        content = path.read_bytes()
    except OSError as fault:
        raise ModelFileError(f"{path}: cannot be read ({fault.strerror}).") from fault
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as fault:  # onnxruntime's exceptions share no public base
        raise ModelFileError(
            f"{path}: no model can be read from it ({_first_line(fault)}); "
            "expected is the model.onnx that pneumoscope train writes."
        ) from fault
    metadata = session.get_modelmeta().custom_metadata_map
    if KEY not in metadata:
        raise ModelFileError(
            f"{path}: an ONNX file, but not one of pneumoscope (no {KEY!r} in its metadata)."
        )
    try:
        info = ModelInfo.from_json(metadata[KEY])
    except ValueError as fault:
        raise ModelFileError(f"{path}: cannot be used: {fault}.") from fault
    return Bundle(path, info, content, session)


def _first_line(fault: Exception) -> str:
    lines = str(fault).strip().splitlines()
    return lines[0][:200] if lines else type(fault).__name__
