"""Recalibrate a model file on a site's own scores.

Calibration, operating point and uncertain zone are fitted again; the network is unchanged. Requires
the package ``onnx`` (extra ``adapt`` or ``train``), since the calibration is stored in the graph.
"""

from __future__ import annotations

import datetime
import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from pneumoscope.errors import DataError, ModelFileError
from pneumoscope.evaluation.calibration import Calibration
from pneumoscope.evaluation.conformal import AUTO, fit_zone
from pneumoscope.evaluation.multiclass.calibration import VectorCalibration
from pneumoscope.evaluation.operating_point import choose, parse_rule
from pneumoscope.evaluation.policy import summary
from pneumoscope.evaluation.scores import Scores, check_may_decide
from pneumoscope.reader.conformal import Conformal
from pneumoscope.reader.model_file.bundle import Bundle, open_bundle
from pneumoscope.reader.model_file.metadata import (
    CALIBRATION_BIAS,
    CALIBRATION_SCALE,
    KEY,
    ModelInfo,
    OperatingPoint,
)
from pneumoscope.reader.model_file.session import read_model
from pneumoscope.reader.model_file.verify import finish
from pneumoscope.runs import written_whole
from pneumoscope.watch import Watcher
from pneumoscope.workflow.calibration_graph import MATRIX, class_calibration_of, set_matrix
from pneumoscope.workflow.decide import calibrated, fit
from pneumoscope.workflow.decide_findings import FindingsCalibration
from pneumoscope.workflow.origin import check_origin

_TOLERANCE = 1e-4


@dataclass(frozen=True, slots=True)
class Recalibrated:
    """The fitted values, and the path of the new model.

    Attributes:
        model: The new file.
        before: The previous calibration.
        after: The new calibration, of the network's logit.
        operating_point: The new operating point.
        conformal: The rule of the new uncertain zone; None if no level gives one.
    """

    model: Path
    before: Calibration | VectorCalibration
    after: Calibration | VectorCalibration
    operating_point: OperatingPoint
    conformal: Conformal | None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return {
            "model": str(self.model),
            "before": self.before.to_dict(),
            "calibration": {**self.after.to_dict(), "temperature": self.after.temperature},
            "operating_point": {
                "rule": self.operating_point.rule,
                "threshold": self.operating_point.threshold,
                "achieved": self.operating_point.achieved,
                "model": self.operating_point.model,
            },
            "conformal": self.conformal and self.conformal.to_dict(),
        }


def recalibrate(
    model: Path,
    scores_file: Path,
    out: Path,
    *,
    method: str | None = None,
    rule: str | None = None,
    level: float | Literal["auto"] = AUTO,
    part: str | None = None,
    watcher: Watcher | None = None,
) -> Recalibrated:
    """Write a model file with calibration, operating point and uncertain zone fitted again.

    The scores must be of this model, on images that were not used in training and will not be used
    to evaluate it.

    Args:
        model: A run folder or a model file; it is not changed.
        scores_file: Scores of labelled images by the model (``pneumoscope evaluate MODEL DATA
            --scores FILE``).
        out: The new model file.
        method: ``temperature`` or ``platt``; for more than two classes ``temperature``, ``vector``,
            ``dirichlet``, or ``auto``, the one with the lowest cross-validated loss. If None,
            ``platt`` for a model that has it, since a temperature cannot shift logits, otherwise
            ``temperature``.
        rule: Rule of the operating point; that of the model if None.
        level: The error level of the uncertain zone; ``auto`` as in ``fit_zone``.
        part: Only use the rows of this part, if the file has a column ``split``.
        watcher: Receives progress reports.

    Raises:
        LeakError: The scores are of training or test images.
        DataError: The scores do not belong to this model or are too few, or the level is
            meaningless.
        ModelFileError: The model's graph has no calibration.
        OptionError: The method, rule or level is invalid.
        OutputError: The file cannot be written.

    Example:
        >>> recalibrate(Path("runs/first"), Path("own.csv"), Path("own.onnx"))  # doctest: +SKIP
    """
    watcher = watcher or Watcher()
    bundle = open_bundle(model)
    wanted = parse_rule(rule or bundle.info.operating_point.rule)
    scores = Scores.load(scores_file, part=part)
    check_may_decide(scores, what="a recalibration")
    check_origin(model, bundle, scores, scores_file, watcher=watcher)
    before = calibration_of(bundle)
    raw = _raw_logits(scores, before, scores_file)
    if method is None:
        method = "platt" if before.method == "platt" else "temperature"
    after = fit(raw, method=method)
    if after.note:
        watcher.warn(f"the calibration may be unreliable: {after.note}")
    now = calibrated(raw, after)
    point = choose(wanted, now, model=bundle.sha256)
    zone = fit_zone(now, threshold=point.threshold, level=level)
    if zone.note:
        watcher.warn(f"no uncertain zone: {zone.note}.")
    warning = one_class_for_all(now, point.threshold, classes=bundle.info.pair)
    if warning:
        watcher.warn(warning)
    if not scores.patients_known:
        watcher.warn(
            "the patient of some images is unknown; if patients have several images, the fit "
            "is based on fewer patients than images."
        )
    change = {
        "what": f"calibration by {after.method}, operating point {wanted}, uncertain zone",
        "written": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "from_model": bundle.sha256,
        "scores_sha256": hashlib.sha256(scores_file.read_bytes()).hexdigest(),
        "images": len(scores),
        "positives": int(scores.label.sum()),
        "patients": len(set(scores.patient)),
        "calibration_before": before.to_dict(),
        "calibration": after.to_dict(),
        "operating_point_before": {
            "rule": bundle.info.operating_point.rule,
            "threshold": bundle.info.operating_point.threshold,
        },
    }
    info = replace(
        bundle.info,
        operating_point=point,
        conformal=zone.conformal,
        history=(*bundle.info.history, change),
    )
    info = replace(info, reference={**info.reference, "policy": summary(info.policy(), now)})
    write_calibrated(bundle, out, info=info, calibration=after)
    return Recalibrated(out, before, after, point, zone.conformal)


def one_class_for_all(scores: Scores, threshold: float, *, classes: tuple[str, str]) -> str:
    """Return a warning if no image is on one side of a threshold; otherwise empty.

    Args:
        scores: Calibrated scores.
        threshold: Probability at or above which an image is called positive.
        classes: (negative, positive).
    """
    called = scores.probability >= threshold
    for value, share, other in ((0, "specificity", 1), (1, "sensitivity", 0)):
        of_class = scores.label == value
        if of_class.any() and (called[of_class] != value).all():
            return (
                f"the {share} is 0: at a threshold of {threshold:.4g} every image of "
                f"{classes[value]} is classified as {classes[other]}. Choose another "
                "`operating_point`, such as youden."
            )
    return ""


def calibration_of(bundle: Bundle) -> Calibration | VectorCalibration:
    """Return the calibration in a model's graph.

    Raises:
        ModelFileError: There is none; models of earlier versions must be trained again.
    """
    _, found = _parsed(bundle)
    if len(bundle.info.classes) > 2:
        return class_calibration_of(found)
    scale, bias = (float(found[name]) for name in (CALIBRATION_SCALE, CALIBRATION_BIAS))
    plain = scale == 1 and bias == 0
    return Calibration(scale, bias, "none" if plain else "platt" if bias else "temperature")


def write_calibrated(
    bundle: Bundle,
    out: Path,
    *,
    info: ModelInfo,
    calibration: Calibration | VectorCalibration | FindingsCalibration,
) -> None:
    """Write a model file with another calibration and other metadata atomically.

    The new file is opened and run before it is renamed: its logits must equal those of the old
    file, and its probabilities must match the new calibration.

    Raises:
        ModelFileError: The graph has no calibration, or the output of the new file is wrong.
        OutputError: The file cannot be written.
    """
    import onnx  # noqa: PLC0415 - of the extra "adapt"
    from onnx import numpy_helper  # noqa: PLC0415

    model, _ = _parsed(bundle)
    scale: float | tuple[float, ...]
    bias: float | tuple[float, ...]
    if isinstance(calibration, Calibration):
        scale, bias = calibration.scale, calibration.bias
    else:
        scale, bias = calibration.scales, calibration.biases
        if isinstance(calibration, VectorCalibration):
            set_matrix(model, calibration.matrix)
    for tensor in model.graph.initializer:
        value = {CALIBRATION_SCALE: scale, CALIBRATION_BIAS: bias}.get(tensor.name)
        if value is not None:
            tensor.CopyFrom(numpy_helper.from_array(np.array(value, np.float32), tensor.name))
    onnx.helper.set_model_props(model, {KEY: info.to_json()})
    with written_whole(out) as temporary:
        temporary.write_bytes(model.SerializeToString())
        finish(temporary)
        _check(bundle, open_bundle(temporary), calibration)


def _parsed(bundle: Bundle) -> tuple[Any, dict[str, Any]]:
    import onnx  # noqa: PLC0415 - of the extra "adapt"
    from onnx import numpy_helper  # noqa: PLC0415

    model = onnx.load_from_string(read_model(bundle.path))
    names = (CALIBRATION_SCALE, CALIBRATION_BIAS)
    found = {
        tensor.name: numpy_helper.to_array(tensor)
        for tensor in model.graph.initializer
        if tensor.name in {*names, MATRIX}
    }
    if not set(names) <= found.keys():
        raise ModelFileError(
            f"{bundle.path}: its graph has no calibration (no {' and '.join(names)}), so it "
            "cannot be recalibrated; train it again with this version."
        )
    return model, found


def _raw_logits(scores: Scores, before: Calibration | VectorCalibration, path: Path) -> Scores:
    """Return the scores with uncalibrated logits, after checking that they belong to the model.

    A file of this package contains the network's logits. If a file only has probabilities, or
    logits computed from them, the previous calibration of the model is inverted.
    """
    if isinstance(before, VectorCalibration):
        own = scores.classes
        if own is None or own.logits.shape[1] != len(before.scales):
            raise DataError(
                f"{path}: has no probabilities of the classes; write the scores with: "
                "`evaluate(MODEL, DATA, scores=FILE)`"
            )
        if np.abs(before.apply(own.logits) - own.probabilities).max(initial=0) < _TOLERANCE:
            return scores
        raise DataError(_OF_ANOTHER.format(path=path))
    check = scores.probability
    if np.abs(before.apply(scores.logit) - check).max(initial=0) < _TOLERANCE:
        return scores
    back = (scores.log_odds - before.bias) / before.scale
    if np.abs(Calibration().apply(scores.logit) - check).max(initial=0) < _TOLERANCE:
        return replace(scores, logit=back)
    raise DataError(_OF_ANOTHER.format(path=path))


_OF_ANOTHER = (
    "{path}: its probabilities do not match this model's calibration of its logits, so the "
    "scores are from another model; write its own with: `evaluate(MODEL, DATA, scores=FILE)`"
)


def _check(
    old: Bundle, new: Bundle, calibration: Calibration | VectorCalibration | FindingsCalibration
) -> None:
    pixels = np.random.default_rng(0).integers(
        0, 256, (4, 1, *old.info.input.shape), dtype=np.uint8
    )
    outputs, feed = ["logits", "probabilities"], {"pixels": pixels}
    (before, _), (logits, probabilities) = (
        bundle.session.run(outputs, feed) for bundle in (old, new)
    )
    exact = logits.astype(np.float64)
    same = np.allclose(before, logits, rtol=1e-4, atol=1e-4)
    if isinstance(calibration, Calibration):
        probability, wanted = probabilities[:, 1], calibration.apply(exact[:, 1] - exact[:, 0])
    else:
        probability, wanted = probabilities, calibration.apply(exact)
    if not (same and np.abs(probability - wanted).max() < _TOLERANCE):
        raise ModelFileError(
            f"{old.path}: the recalibrated graph failed its check, so it was not written. "
            "Please report it with the versions of onnx and onnxruntime."
        )
