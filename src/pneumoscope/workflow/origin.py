"""Check whether scores may be used for decisions about a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pneumoscope.errors import DataError, LeakError
from pneumoscope.workflow.parts import origin_of, same_names_text

if TYPE_CHECKING:
    from pathlib import Path

    from pneumoscope.evaluation.multilabel.scores import FindingScores
    from pneumoscope.evaluation.scores import Scores
    from pneumoscope.reader.model_file.bundle import Bundle
    from pneumoscope.watch import Watcher


def check_origin(
    model: Path, bundle: Bundle, scores: Scores | FindingScores, path: Path, *, watcher: Watcher
) -> None:
    """Reject scores of another model or of test images; warn about training images.

    Args:
        model: The run folder or model file.
        bundle: The opened model.
        scores: The scores, of classes or of findings.
        path: Their file, for messages.
        watcher: Receives warnings.

    Raises:
        DataError: The scores are of another model.
        LeakError: The scores are of the test images of the run.
        ModelFileError: The hashes of the model file are damaged.
    """
    if scores.model and scores.model != bundle.sha256:
        raise DataError(
            f"{path}: the scores are from another model (SHA-256 {scores.model[:12]}…, this one "
            f"is {bundle.sha256[:12]}…); write its own with: `evaluate(MODEL, DATA, "
            "scores=FILE)`"
        )
    origin = origin_of(model, bundle.info)
    if origin is None or not scores.sha256:
        return
    judging = sum(origin.part(digest) == "test" for digest in scores.sha256)
    if judging:
        raise LeakError(
            f"{path}: {judging} of {len(scores)} images are test images of {model}, which must "
            "not be used for this; use the scores of the validation set, or of your own "
            "images."
        )
    relation = origin.relation(scores.sha256, scores.patient, paths=scores.path)
    if relation.same_names:
        watcher.warn(same_names_text(relation.same_names, len(scores)))
    if relation.seen:
        watcher.warn(
            f"the model was trained on {relation.seen} of {len(scores)} images, or on other images "
            "of their patients: a fit on them is overconfident."
        )
