"""Train one run of a study and score its validation and held-out images."""

from __future__ import annotations

import shutil
import sys
import time
from typing import TYPE_CHECKING

import numpy as np
import torch

from pneumoscope.evaluation.calibration import Calibration
from pneumoscope.evaluation.scores import Scores, logit_of
from pneumoscope.models.registry import Classifier, to_unit
from pneumoscope.runs import write_csv
from pneumoscope.stats.logistic import log_loss
from pneumoscope.stats.roc import area_under_roc
from pneumoscope.study.folder import Result, StudyRun
from pneumoscope.study.images import HELD_OUT
from pneumoscope.training.devices import Placement, best_device
from pneumoscope.training.recipe import Recipe
from pneumoscope.workflow.decide import decide_on

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from pneumoscope.data.prepared import PreparedData
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
    parts = ("val", HELD_OUT)
    raw = {part: _scores(fitted.classifier, data, part) for part in parts}
    decided = decide_on(raw["val"], recipe)
    threshold = decided.point.threshold
    numbers = {}
    for part, place in zip(parts, (run.files.scores("val"), run.held_out), strict=True):
        own = raw[part]
        probability = decided.calibration.apply(own.logit)
        write_csv(
            place,
            ("path", "patient", "label", "logit", "probability"),
            zip(own.path, own.patient, own.label.tolist(), map(repr, own.logit.tolist()),
                map(repr, probability.tolist()), strict=True),
        )  # fmt: skip
        numbers[part] = _numbers(own, probability, threshold)
    if model:
        _write_model(run, recipe, data, fitted)
    found = Result(
        val=numbers["val"],
        held_out=numbers[HELD_OUT],
        threshold=threshold,
        epochs=len(fitted.epochs),
        best_epoch=fitted.best.epoch,
        seconds=round(sum(row.seconds for row in fitted.epochs) + time.perf_counter() - started, 2),
        parameters=sum(weights.numel() for weights in fitted.classifier.network.parameters()),
        device=fitted.device,
        precision=fitted.precision,
        peak_bytes=peak_bytes(),
        validation_images=len(raw["val"]),
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


def _scores(classifier: Classifier, data: PreparedData, part: str) -> Scores:
    """Score the prepared images of a part in float32."""
    rows = data.split.rows(part)
    device = best_device("auto")
    network = classifier.to(device)
    logits = []
    with torch.inference_mode():
        for pixels in data.batches(rows, size=_BATCH):
            batch = torch.from_numpy(pixels).unsqueeze(1).to(device)
            output = network(to_unit(batch)).double().cpu().numpy()
            logits.append(output[:, 1] - output[:, 0])
    classifier.cpu()
    chosen = data.catalog.select(rows)
    logit = np.concatenate(logits) if logits else np.zeros(0)
    return Scores(
        tuple(entry.path for entry in chosen.entries),
        tuple(entry.patient for entry in chosen.entries),
        chosen.labels,
        logit,
        Calibration().apply(logit),
        part if part == "val" else "",
    )


def _numbers(
    scores: Scores, probability: NDArray[np.float64], threshold: float
) -> dict[str, float]:
    right = (probability >= threshold) == (scores.label == 1)
    area = area_under_roc(scores.label, scores.logit)
    loss = log_loss(logit_of(probability), scores.label)
    return {
        "auc": float("nan") if area is None else area,
        "accuracy": float(right.mean()),
        "loss": float(np.mean(loss)),
    }


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
