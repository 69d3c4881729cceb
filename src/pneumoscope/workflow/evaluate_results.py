"""Evaluate the results of ``predict`` with labels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from pneumoscope.evaluation.evaluation import Evaluation, evaluate, evaluated_scores
from pneumoscope.evaluation.question import Question
from pneumoscope.evaluation.results import labelled_results
from pneumoscope.evaluation.scores import Scores
from pneumoscope.watch import Watcher
from pneumoscope.workflow.evaluation_page import warn_of_unknown_patients, write_page
from pneumoscope.workflow.known_images import images_of_rows


def evaluate_results(
    place: Path,
    labels: Path | None = None,
    *,
    part: str | None = None,
    question: Question | None = None,
    scores_file: Path | None = None,
    report: Path | None = None,
    watcher: Watcher | None = None,
) -> Evaluation:
    """Evaluate the results of ``predict``; see ``evaluate_reader``."""
    watcher, question = watcher or Watcher(), question or Question()
    results = labelled_results(place, labels)
    scores = Scores.of_rows(place, results.rows, part=part)
    warn_of_unknown_patients(scores, watcher)
    for item in results.left_out:
        watcher.warn(str(item))
    if results.unreadable:
        watcher.warn(f"{results.unreadable:,} images with a label could not be read.")
    images = images_of_rows(results.rows, scores, part=part)
    images = replace(images, unreadable=results.unreadable, left_out=results.left_out)
    found = evaluate(scores, question, reader=results.reader, images=images)
    if scores_file is not None:
        scores.save(scores_file)
    if report is not None:
        write_page(
            report,
            found,
            evaluated_scores(scores, question, images),
            info=None,
            pictures=None,
            root=None,
            origin={"scores": str(place)},
            watcher=watcher,
        )
    return found
