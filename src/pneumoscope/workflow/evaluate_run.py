"""The evaluation of a new run on its own validation and test sets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pneumoscope.evaluation.evaluation import Evaluation, evaluate
from pneumoscope.evaluation.question import Question, Reader
from pneumoscope.evaluation.scoring import score
from pneumoscope.reader.predictor import Predictor
from pneumoscope.workflow.known_images import images_of_run

if TYPE_CHECKING:
    from pathlib import Path

    from pneumoscope.data.catalog import Catalog
    from pneumoscope.data.prepared import PreparedData
    from pneumoscope.evaluation.multilabel.evaluation import FindingsEvaluation
    from pneumoscope.evaluation.question import Images
    from pneumoscope.evaluation.scores import Scores
    from pneumoscope.runs import RunFolder
    from pneumoscope.watch import Watcher

RUN_QUESTION = Question(resamples=500, group_resamples=200)
"""Fewer resamples than in ``evaluate``, so that training does not wait for its report."""


def evaluate_part(
    run: RunFolder, prepared: PreparedData, part: str, *, data: Path, watcher: Watcher
) -> tuple[Evaluation, Scores]:
    """Score a part with the reader of a new run, write the scores, and evaluate them.

    Args:
        run: The run, with its model file.
        prepared: Its images.
        part: ``val`` or ``test``.
        data: The folder or manifest of the images.
        watcher: Shows the progress.

    Raises:
        DataError: More than 5 % of the files could not be read.
        OutputError: The scores cannot be written.
    """
    predictor = Predictor(run.model, gated=False)
    with watcher.progress(f"Reading the {_NAMES[part]} images") as progress:
        scores, _ = score(predictor, _chosen(prepared, part), part=part, progress=progress)
    scores.save(run.scores(part))
    reader = Reader.of(predictor.info, name=run.root.resolve().name, sha256=predictor.sha256)
    images = _images(run, prepared, part, data=data)
    return evaluate(scores, RUN_QUESTION, reader=reader, images=images), scores


def evaluate_part_of_findings(
    run: RunFolder, prepared: PreparedData, part: str, *, data: Path, watcher: Watcher
) -> FindingsEvaluation:
    """Do the same for a reader of several findings; see ``evaluate_part``."""
    from pneumoscope.evaluation.multilabel.evaluation import evaluate_findings  # noqa: PLC0415 - rare
    from pneumoscope.evaluation.multilabel.scores import score_findings  # noqa: PLC0415
    from pneumoscope.workflow.evaluate_findings import reader_of  # noqa: PLC0415

    predictor = Predictor(run.model, gated=False)
    with watcher.progress(f"Reading the {_NAMES[part]} images") as progress:
        scores, _ = score_findings(predictor, _chosen(prepared, part), part=part, progress=progress)
    scores.save(run.scores(part))
    return evaluate_findings(
        scores,
        RUN_QUESTION,
        rules=predictor.info.findings,
        reader=reader_of(predictor.info, run.root.resolve().name, predictor.sha256),
        images=_images(run, prepared, part, data=data),
    )


_NAMES = {"val": "validation", "test": "test"}


def _chosen(prepared: PreparedData, part: str) -> Catalog:
    return prepared.catalog.select(prepared.split.rows(part))


def _images(run: RunFolder, prepared: PreparedData, part: str, *, data: Path) -> Images:
    training = _chosen(prepared, "train").entries
    return images_of_run(run, part, catalog=prepared.catalog, training=training, data=data)
