"""Write the model file of a trained network: graph, decision, gate, reference and checks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from pneumoscope.errors import ExportError
from pneumoscope.export import TOLERANCE, export, own_logits
from pneumoscope.export_int8 import quantize
from pneumoscope.parallel import cores
from pneumoscope.reader.findings import FindingRule
from pneumoscope.reader.model_file.bundle import open_bundle
from pneumoscope.reader.model_file.checksum import with_info
from pneumoscope.reader.model_file.metadata import ModelInfo, OperatingPoint
from pneumoscope.reader.model_file.session import read_model
from pneumoscope.reader.model_file.training_hashes import hashes_of
from pneumoscope.reader.predictor import Predictor
from pneumoscope.runs import written_whole
from pneumoscope.workflow.decide import Decided, decide
from pneumoscope.workflow.decide_findings import FindingsDecided, decide_findings
from pneumoscope.workflow.known_to_model import evenly, known_of_images, outputs_of
from pneumoscope.workflow.recalibrate import write_calibrated
from pneumoscope.workflow.shift import Shift

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pneumoscope.data.catalog import Catalog
    from pneumoscope.data.prepared import PreparedData
    from pneumoscope.models.ensemble import Averaged
    from pneumoscope.models.registry import Classifier
    from pneumoscope.training.fitted import Traced
    from pneumoscope.training.recipe import Recipe

_CHECKED_IMAGES = 200
_QUANTIZED_BY = 200  # number of images for the ranges of activations

Precision = Literal["float32", "float16", "int8"]


@dataclass(frozen=True, slots=True, eq=False)
class Written:
    """The performance of a new model file.

    Attributes:
        decided: The decision fitted on validation images.
        logit: Logits of the validation rows by the file, before calibration; float64 [n], or [n, K]
            for more than two classes and for findings.
        difference: The largest difference in probability between original files and cached images.
        shift: Differences between the file and the float32 networks, if their logits were given.
    """

    decided: Decided | FindingsDecided
    logit: NDArray[np.float64]
    difference: float
    shift: Shift | None = None


def write_model(
    classifier: Classifier | Averaged,
    path: Path,
    *,
    recipe: Recipe,
    data: PreparedData,
    facts: dict[str, Any],
    precision: Precision = "float32",
    logit: NDArray[np.float64] | None = None,
    network_logit: NDArray[np.float64] | None = None,
    more: dict[str, Any] | None = None,
    traced: Traced | None = None,
    taught: Sequence[int] | None = None,
    decided: Decided | None = None,
) -> Written:
    """Write the model file of a network, and verify it on the original image files.

    Calibration, threshold and uncertain zone are fitted on validation rows; the gate is fitted on
    training rows, with its limit for features set on validation rows.

    Args:
        classifier: The network, in evaluation mode, on the CPU.
        path: Path of the model file.
        recipe: Recipe with the decision rules.
        data: The images.
        facts: Description of the training.
        precision: Precision of stored weights; ``int8`` also uses integer arithmetic.
        logit: Logits of the validation rows for the decision, if the network was trained on some of
            them; None uses those of the file itself.
        network_logit: Logits of the validation rows by the float32 network; the differences of the
            file are then limited, and recorded in its metadata (``shift`` of ``training``).
        more: Further fields of ``ModelInfo``: version, licence, intended, card.
        traced: The exported graph of a probe.
        taught: Rows that the network was trained on; the training rows if None.
        decided: A decision fitted on images of other trainings; None fits it on the validation
            rows.

    Raises:
        ExportError: The outputs differ by more than ``TOLERANCE``, or the file differs too much
            from ``network_logit`` (``workflow.shift``).
        OutputError: The file cannot be written.
    """
    validation = data.split.rows("val")
    checked_rows = _of_all_classes(data, validation, _CHECKED_IMAGES)
    taught = data.split.rows("train") if taught is None else taught
    bare = _undecided(recipe, data, facts, taught, more or {})
    with written_whole(path) as temporary:
        export(
            classifier,
            temporary,
            info=bare,
            check=data.pixels(checked_rows),
            half=precision == "float16",
            graph=traced.graph if traced else None,
        )
        if precision == "int8":
            quantize(temporary, data.pixels(evenly(data.split.rows("train"), _QUANTIZED_BY)))
            temporary.write_bytes(with_info(read_model(temporary), bare, path=path))
        bundle = open_bundle(temporary, threads=cores())
        # The output of the file is used, since weights in half precision were rounded.
        own = own_logits(
            outputs_of(bundle, data, validation, "logits"), multilabel=bool(data.catalog.findings)
        )
        made = decided or _decided(recipe, data, own if logit is None else logit)
        probabilities = made.calibration.apply(own)
        measured = () if precision == "int8" else taught
        info = made.decided_info(bare)
        info = known_of_images(
            info, bundle, data, gated=recipe.decision.gate, traced=traced, channels=measured
        )
        info = replace(info, training={**info.training, "undecided": list(made.notes)})
        shift = None
        if network_logit is not None:
            shift = _shift(info, data, made.calibration.apply(network_logit), probabilities)
            shift.check(path, precision)
            info = replace(info, training={**info.training, "shift": shift.to_dict()})
        write_calibrated(bundle, temporary, info=info, calibration=made.calibration)
        place = {row: number for number, row in enumerate(validation)}
        expected = _compared(data, probabilities)[[place[row] for row in checked_rows]]
        difference = _checked_difference(temporary, path, data, checked_rows, expected)
    return Written(made, own, difference, shift)


def _checked_difference(
    temporary: Path,
    path: Path,
    data: PreparedData,
    rows: Sequence[int],
    expected: NDArray[np.float64],
) -> float:
    """Return the largest difference in probability between original files and cached images.

    Raises:
        ExportError: The difference is above ``TOLERANCE``.
    """
    difference = _difference(temporary, data, rows, expected)
    if not difference <= TOLERANCE:
        raise ExportError(
            f"{path}: not written, because the original files give other probabilities than "
            f"the cached images (difference {difference:.2g}). If files changed during "
            "training, train again; otherwise please report it."
        )
    return difference


def _decided(
    recipe: Recipe, data: PreparedData, logit: NDArray[np.float64]
) -> Decided | FindingsDecided:
    """Return the decision fitted on validation rows."""
    by_rows = decide_findings if data.catalog.findings else decide
    return by_rows(recipe, data, logit)


def _undecided(
    recipe: Recipe,
    data: PreparedData,
    facts: dict[str, Any],
    taught: Sequence[int],
    more: Mapping[str, Any],
) -> ModelInfo:
    """Return the metadata of a model before decisions are fitted on validation rows."""
    entries = data.catalog.entries
    findings = data.catalog.findings
    return replace(
        ModelInfo(
            recipe.learning.model,
            recipe.data.input,
            findings or data.catalog.classes,
            OperatingPoint(),
            facts,
            findings=tuple(FindingRule(OperatingPoint()) for _ in findings),
        ),
        learnt=hashes_of(
            ((entries[row].path, entries[row].sha256) for row in taught),
            ((entries[row].path, entries[row].sha256) for row in data.split.rows("val")),
        ),
        **_positive(data.catalog),
        **more,
    )


def _shift(
    info: ModelInfo,
    data: PreparedData,
    before: NDArray[np.float64],
    logits: NDArray[np.float64],
) -> Shift:
    """Return the differences between file and network on validation rows, both calibrated.

    For several findings, all labelled entries are pooled.
    """
    chosen = data.catalog.select(data.split.rows("val"))
    if info.findings:
        known = chosen.finding_labels >= 0
        changed = 0
        for place, name in enumerate(info.classes):
            policy, rows = info.of_finding(name).policy(), known[:, place]
            codes = [policy.decide_many(each[rows, place]).code for each in (before, logits)]
            changed += int((codes[0] != codes[1]).sum())
        label = chosen.finding_labels[known].astype(np.int64)
        return Shift.between(before[known], logits[known], label, changed=changed)
    codes = [info.policy().decide_many(each).code for each in (before, logits)]
    changed = int((codes[0] != codes[1]).sum())
    if before.ndim == 2:
        space = data.catalog.label_space
        return Shift.between_classes(before, logits, chosen.class_numbers, space, changed=changed)
    return Shift.between(
        _of_positive(data, before), _of_positive(data, logits), chosen.labels, changed=changed
    )


def _difference(
    model: Path, data: PreparedData, rows: Sequence[int], expected: NDArray[np.float64]
) -> float:
    """Return the largest difference between a model's outputs for original files and for pixels."""
    files = [data.catalog.file(data.catalog.entries[row]) for row in rows]
    read = Predictor(model, gated=False).predict_many(files)
    from_files = np.array(
        [
            [finding.probability for finding in prediction.findings]
            if data.catalog.findings
            else prediction.probability
            for prediction in read
        ],
        np.float64,
    )
    return float(np.abs(from_files - expected).max())


def _positive(catalog: Catalog) -> dict[str, Any]:
    """Return the metadata of a model file about the positive group of more than two classes."""
    space = catalog.label_space
    if len(space) == 2:  # also of findings
        return {}
    return {"positive": space.positive, "group": space.group}


def _compared(data: PreparedData, output: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the probability of the positive group, [n], or of each finding, [n, F]."""
    return output if data.catalog.findings else _of_positive(data, output)


def _of_positive(data: PreparedData, output: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the probability of the positive group, [n], from calibrated probabilities."""
    if output.ndim == 1:
        return output
    return data.catalog.label_space.positive_probability(output).astype(np.float64)


def _of_all_classes(data: PreparedData, rows: Sequence[int], count: int) -> list[int]:
    """Return at most a number of rows, in order, with equal numbers of each class if possible."""
    numbers, classes = data.catalog.class_numbers, len(data.catalog.classes)
    by_class = [[row for row in rows if numbers[row] == label] for label in range(classes)]
    taken: list[int] = []
    for left, own in zip(range(classes, 0, -1), sorted(by_class, key=len), strict=True):
        taken += evenly(own, (count - len(taken)) // left)
    return sorted(taken)
