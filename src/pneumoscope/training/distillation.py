"""Soften the labels of training images by the probabilities of cross-fitted teachers.

Hinton, Vinyals and Dean (arXiv:1503.02531) train a small network on the probabilities of an
ensemble. On its own training images an ensemble repeats the labels, so here every teacher is
trained without one fold of the patients and only scores that fold.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from pneumoscope.data.split import UNUSED, Split
from pneumoscope.data.split.draw import draw_folds
from pneumoscope.errors import DataError, OptionError
from pneumoscope.export import network_logits
from pneumoscope.runs import RunFolder, rows_of, write_csv
from pneumoscope.training.network import network_of
from pneumoscope.training.recipe import Recipe, change_recipe

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from pneumoscope.data.prepared import PreparedData
    from pneumoscope.training.fitted import Fitted

    Teach = Callable[[Recipe, PreparedData, RunFolder], Fitted]

FILE = "teachers.csv"
"""The probabilities of the teachers, in the run folder."""

_FOLDER = "teachers"
_PROBABILITY = "probability "


def soft_targets(
    recipe: Recipe, data: PreparedData, *, folder: RunFolder, teach: Teach
) -> NDArray[np.float32]:
    """Return the targets of the training rows: means of labels and of teachers' probabilities.

    The probabilities are the mean over the teachers. They are kept in ``teachers.csv``, so that a
    resumed run does not train the teachers again.

    Args:
        recipe: Recipe with ``distil``, ``distil_weight`` and ``teachers``; the teachers have its
            other settings.
        data: The images.
        folder: The run folder.
        teach: ``teach(recipe, data, folder)`` trains a network, or continues its training.

    Returns:
        Targets of the training rows in order, [n, K]; NaN for findings without a label.

    Raises:
        DataError: ``teachers.csv`` contains other images.
        KeyboardInterrupt: The training of a teacher was interrupted.
    """
    rows = data.split.rows("train")
    names = data.catalog.findings or data.catalog.classes
    paths = [data.catalog.entries[row].path for row in rows]
    place = folder.root / FILE
    if not place.is_file():
        told = _cross_fitted(recipe, data, folder, teach)[rows]
        cells = zip(paths, (map(repr, own) for own in told.tolist()), strict=True)
        write_csv(
            place,
            ("path", *(_PROBABILITY + name for name in names)),
            ((path, *own) for path, own in cells),
        )
        shutil.rmtree(folder.root / _FOLDER, ignore_errors=True)
    known = rows_of(place)
    if [row["path"] for row in known] != paths:
        raise DataError(f"{place}: contains other images; remove it to train the teachers again.")
    told = np.array([[float(row[_PROBABILITY + name]) for name in names] for row in known])
    labels = _labels(data, rows)
    share = np.where(np.isnan(told), 0.0, recipe.learning.distil_weight)
    mixed: NDArray[np.float32] = ((1 - share) * labels + share * np.nan_to_num(told)).astype(
        np.float32
    )
    return mixed


def _labels(data: PreparedData, rows: Sequence[int]) -> NDArray[np.float64]:
    """Return the labels as targets, [n, K]; NaN for findings without a label."""
    chosen = data.catalog.select(rows)
    if chosen.findings:
        labels = chosen.finding_labels.astype(np.float64)
        return np.where(labels < 0, np.nan, labels)
    return np.eye(len(chosen.classes))[chosen.class_numbers]


def _cross_fitted(
    recipe: Recipe, data: PreparedData, folder: RunFolder, teach: Teach
) -> NDArray[np.float64]:
    """Return the mean probabilities of the teachers for each catalog row, [n, K].

    NaN for rows that are in no fold.
    """
    parts = data.split.parts
    folds = draw_folds(
        data.catalog, parts, data.cohort.groups, folds=recipe.learning.distil, seed=recipe.seed
    )
    count = len(data.catalog.findings or data.catalog.classes)
    found = np.full((len(parts), count), np.nan)
    for fold in range(recipe.learning.distil):
        judged = [row for row, own in enumerate(folds) if own == fold]
        if not judged:
            continue
        without = [UNUSED if own == fold else part for own, part in zip(folds, parts, strict=True)]
        images = replace(data, split=Split(tuple(without)))
        told = []
        for name, own in teacher_recipes(recipe):
            fitted = teach(own, images, RunFolder(folder.root / _FOLDER / f"{name}-{fold}"))
            if fitted.interrupted:
                raise KeyboardInterrupt
            logits = network_logits(fitted.classifier, data.batches(judged))
            told.append(_probabilities(logits, several=bool(data.catalog.findings)))
        found[judged] = np.mean(told, axis=0)
    return found


def check_teachers(recipe: Recipe) -> None:
    """Raise an error before training if a teacher cannot be built.

    Raises:
        OptionError: A teacher is an unknown network.
        WeightsError: The weights of a teacher are not available.
    """
    if not recipe.learning.distil:
        return
    for _, own in teacher_recipes(recipe):
        try:
            network_of(own)
        except OptionError as fault:
            must = "known networks, separated by commas"
            raise OptionError("teachers", must=must, was=own.learning.model) from fault


def teacher_recipes(recipe: Recipe) -> Iterator[tuple[str, Recipe]]:
    """Yield name and recipe of each teacher."""
    own = recipe.learning.model
    for number, model in enumerate(recipe.learning.teachers.split(",")):
        network = model.strip() or own
        changes = {"model": network, "distil": 0, "teachers": "", "seed": recipe.seed + 1 + number}
        if network != own:  # options and a file of weights are those of the other network
            changes["model_options"] = {}
            if recipe.learning.weights != "none":
                changes["weights"] = "auto"
        yield f"{number}", change_recipe(recipe, **changes)


def _probabilities(logits: NDArray[np.float64], *, several: bool) -> NDArray[np.float64]:
    """Return the probabilities of ``network_logits``, [n, K]."""
    if logits.ndim == 1:
        logits = np.stack((-logits / 2, logits / 2), axis=1)
    known = torch.from_numpy(logits)
    found: NDArray[np.float64] = (known.sigmoid() if several else known.softmax(1)).numpy()
    return found
