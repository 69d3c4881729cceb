"""Common final steps of evaluations: a warning about patients, and the page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pneumoscope.data.generated import is_generated
from pneumoscope.evaluation.evaluation import Evaluation
from pneumoscope.evaluation.scores import Scores
from pneumoscope.watch import Watcher

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pneumoscope.reader.model_file.metadata import ModelInfo
    from pneumoscope.report.pictures import Pictures


def warn_of_unknown_patients(scores: Scores, watcher: Watcher) -> None:
    """Warn if images count as separate patients."""
    if not scores.patients_known:
        watcher.warn(
            "the patient of some images is unknown, and each of these images counts as a "
            "patient; if patients have several images, the intervals are too narrow. Add a "
            "column 'patient'."
        )


def write_page(
    folder: Path,
    found: Evaluation,
    scores: Scores,
    *,
    info: ModelInfo | None,
    pictures: Pictures | None,
    root: Path | None,
    origin: Mapping[str, str],
    watcher: Watcher,
) -> None:
    """Write the report of an evaluation, and print its path."""
    from pneumoscope.report.evaluation_page import write_evaluation_page  # noqa: PLC0415 - heavy

    page = write_evaluation_page(
        folder,
        found,
        scores,
        info=info,
        pictures=pictures,
        origin=origin,
        generated=root is not None and is_generated(root),
    )
    watcher.say(f"Report: {page}")
