"""Train a recipe repeatedly on some images and score others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from pneumoscope.export import network_logits
from pneumoscope.runs import RunFolder
from pneumoscope.training.devices import Placement
from pneumoscope.training.fit import fit
from pneumoscope.training.probe import Features, probe_logits

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pneumoscope.data.prepared import PreparedData
    from pneumoscope.data.split import Split
    from pneumoscope.training.recipe import Recipe

Learner = Callable[[str, "Split", Sequence[int]], "NDArray[np.float64] | None"]
"""``learner(name, split, scored)`` trains on the ``train`` rows of a split, chooses the epoch on
its ``val`` rows, and returns the logits of the scored rows; None if it was interrupted."""


def learner_of(
    recipe: Recipe,
    data: PreparedData,
    *,
    folder: RunFolder,
    features: Features | None = None,
    placement: Placement | None = None,
    on_step: Callable[[int, int], None] | None = None,
) -> Learner:
    """Return a function that trains the recipe on a split and scores rows.

    Args:
        recipe: The recipe.
        data: The images.
        folder: Folder of logs and checkpoints, with a subfolder of ``groups/`` for each training.
            An unfinished training is continued, a finished one is reused.
        features: Features of all rows, for a probe.
        placement: The device; one process.
        on_step: Called after each batch of a network.
    """
    if recipe.learning.probe:
        if features is None:
            raise ValueError("a probe is fitted on features")
        known = features

        def probe(name: str, split: Split, scored: Sequence[int]) -> NDArray[np.float64]:
            del name
            return probe_logits(recipe, data, known, split.rows("train"), scored)

        return probe
    device = Placement((placement or Placement()).accelerator, "1")

    def network(name: str, split: Split, scored: Sequence[int]) -> NDArray[np.float64] | None:
        place = RunFolder(folder.root / "groups" / name)
        place.root.mkdir(parents=True, exist_ok=True)
        own = replace(data, split=split)
        fitted = fit(recipe, own, folder=place, placement=device, resume=True, on_step=on_step)
        if fitted.interrupted:
            return None
        return network_logits(fitted.classifier, data.batches(scored))

    return network
