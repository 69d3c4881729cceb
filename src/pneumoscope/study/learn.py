"""Train one run of a study and score its validation and held-out images."""

from __future__ import annotations

import shutil
import sys
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from pneumoscope.evaluation.multilabel.weighted import FindingTable, statistics
from pneumoscope.evaluation.scores import Scores, logit_of
from pneumoscope.evaluation.several import point
from pneumoscope.export import own_logits
from pneumoscope.models.registry import Classifier, to_unit
from pneumoscope.stats.logistic import log_loss
from pneumoscope.stats.roc import area_under_roc
from pneumoscope.study.folder import Result, StudyRun
from pneumoscope.study.images import HELD_OUT
from pneumoscope.training.devices import Placement, best_device
from pneumoscope.training.recipe import Recipe
from pneumoscope.workflow.decide import calibrated, decide_on, raw_scores
from pneumoscope.workflow.decide_findings import decide_findings_on, raw_finding_scores

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from pneumoscope.data.prepared import PreparedData
    from pneumoscope.evaluation.multilabel.scores import FindingScores
    from pneumoscope.training.fitted import Fitted
    from pneumoscope.training.log import Epoch

_BATCH = 64


def learn(
    run: StudyRun,
    data: PreparedData,
    *,
    on_epoch: Callable[[Epoch], None] | None = None,
    model: bool = False,
) -> Result:
    """Train a run, resuming it if necessary, and return its result.

    Writes the log, the scores of both parts, and finally the result. The checkpoints, which are
    only needed to continue a run, are then removed.

    Args:
        run: The folder of the run, with its recipe.
        data: The images, from ``open_split``.
        on_epoch: Called with each epoch's row; an exception ends the run, which can be continued
            later.
        model: Whether to write a model file.

    Raises:
        PneumoscopeError: Training failed, or a file cannot be written.
    """
    recipe = Recipe.load(run.files.config)
    fitted = _fitted(run, recipe, data, on_epoch)
    started = time.perf_counter()
    score = _score_findings if data.catalog.findings else _score
    scored = score(recipe, data, fitted.classifier)
    for own, place in (
        (scored.val, run.files.scores("val")),
        (scored.held_out, run.held_out),
    ):
        own.save(place)
    if model:
        _write_model(run, recipe, data, fitted)
    found = Result(
        val=scored.val_numbers,
        held_out=scored.held_out_numbers,
        threshold=scored.threshold,
        epochs=len(fitted.epochs),
        best_epoch=fitted.best.epoch,
        seconds=round(sum(row.seconds for row in fitted.epochs) + time.perf_counter() - started, 2),
        parameters=sum(weights.numel() for weights in fitted.classifier.network.parameters()),
        device=fitted.device,
        precision=fitted.precision,
        peak_bytes=peak_bytes(),
        validation_images=len(scored.val),
        thresholds=scored.thresholds,
    )
    run.write_result(found)
    shutil.rmtree(run.files.checkpoints, ignore_errors=True)
    return found


def _fitted(
    run: StudyRun, recipe: Recipe, data: PreparedData, on_epoch: Callable[[Epoch], None] | None
) -> Fitted:
    if recipe.learning.probe:
        from pneumoscope.training.probe import fit_probe  # noqa: PLC0415 - not for every run

        return fit_probe(recipe, data, folder=run.files, on_epoch=on_epoch)
    from pneumoscope.training.fit import fit  # noqa: PLC0415 - Lightning takes seconds

    fitted = fit(
        recipe, data, folder=run.files, placement=Placement(devices="1"), resume=True,
        on_epoch=on_epoch,
    )  # fmt: skip
    if fitted.interrupted:
        raise KeyboardInterrupt
    return fitted


@dataclass(frozen=True, slots=True, eq=False)
class _Scored:
    """The calibrated scores of both parts, their metrics, and the thresholds of the validation."""

    val: Scores | FindingScores
    held_out: Scores | FindingScores
    val_numbers: dict[str, float]
    held_out_numbers: dict[str, float]
    threshold: float | None
    thresholds: dict[str, float] = field(default_factory=dict)


def _score(recipe: Recipe, data: PreparedData, classifier: Classifier) -> _Scored:
    val, held_out = (
        raw_scores(data, data.split.rows(part), _logits(classifier, data, part), part=name)
        for part, name in (("val", "val"), (HELD_OUT, ""))
    )
    decided = decide_on(val, recipe)
    held_out = calibrated(held_out, decided.calibration)
    threshold = decided.point.threshold
    return _Scored(
        decided.scores,
        held_out,
        _numbers(decided.scores, threshold),
        _numbers(held_out, threshold),
        threshold,
    )


def _numbers(scores: Scores, threshold: float) -> dict[str, float]:
    right = (scores.probability >= threshold) == (scores.label == 1)
    area = area_under_roc(scores.label, scores.logit)
    loss = log_loss(logit_of(scores.probability), scores.label)
    return {
        "auc": float("nan") if area is None else area,
        "accuracy": float(right.mean()),
        "loss": float(np.mean(loss)),
    }


def _score_findings(recipe: Recipe, data: PreparedData, classifier: Classifier) -> _Scored:
    """Do the same for several findings, whose metrics are means over the findings."""
    val, held_out = (
        raw_finding_scores(data, data.split.rows(part), _logits(classifier, data, part), part=name)
        for part, name in (("val", "val"), (HELD_OUT, ""))
    )
    decided = decide_findings_on(val, recipe)
    held_out = replace(held_out, probabilities=decided.calibration.apply(held_out.logits))
    thresholds = [one.point.threshold for one in decided.each]
    return _Scored(
        decided.scores,
        held_out,
        _means(decided.scores, thresholds),
        _means(held_out, thresholds),
        None,
        dict(zip(decided.names, thresholds, strict=True)),
    )


def _means(scores: FindingScores, thresholds: Sequence[float]) -> dict[str, float]:
    found = point(statistics, FindingTable.of(scores, thresholds))
    known = {name: found[name][~np.isnan(found[name])] for name in ("auc", "accuracy", "loss")}
    return {
        name: float(values.mean()) if len(values) else float("nan")
        for name, values in known.items()
    }


def _logits(classifier: Classifier, data: PreparedData, part: str) -> NDArray[np.float64]:
    """Return the logits of the prepared images of a part in float32; see ``own_logits``."""
    network = classifier.to(best_device("auto"))
    device = next(network.parameters()).device
    classes = len(data.catalog.findings or data.catalog.classes)
    outputs = [np.zeros((0, classes), np.float32)]
    with torch.inference_mode():
        for pixels in data.batches(data.split.rows(part), size=_BATCH):
            batch = torch.from_numpy(pixels).unsqueeze(1).to(device)
            outputs.append(network(to_unit(batch)).float().cpu().numpy())
    classifier.cpu()
    return own_logits(np.concatenate(outputs), multilabel=classifier.multilabel)


def _write_model(run: StudyRun, recipe: Recipe, data: PreparedData, fitted: Fitted) -> None:
    from pneumoscope.workflow.finish import write_model  # noqa: PLC0415 - not for every study

    facts = {"data_fingerprint": data.catalog.fingerprint, "seed": recipe.seed}
    write_model(
        fitted.classifier, run.files.model, recipe=recipe, data=data, facts=facts,
        traced=fitted.traced,
    )  # fmt: skip


def peak_bytes() -> int:
    """Return the peak memory of this process; 0 if unknown."""
    try:
        import resource  # noqa: PLC0415 - not on Windows
    except ImportError:
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else 1024 * peak)
