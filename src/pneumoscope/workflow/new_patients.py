"""Hold out every group of the data in turn, and fit decisions over them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from pneumoscope.data.acquisition import acquisition_statistics, clusters
from pneumoscope.data.columns import manifest_columns
from pneumoscope.data.split import Split
from pneumoscope.data.split.new_groups import NewGroup, NewGroups, inner_split, new_groups, rest_of
from pneumoscope.errors import DataError, ManyFindingsError
from pneumoscope.evaluation.new_patients import AsNew, NewPatients, outcome
from pneumoscope.evaluation.scores import Scores
from pneumoscope.reader.policy import DecisionPolicy
from pneumoscope.runs import write_json
from pneumoscope.workflow.decide import Decided, calibrated, decide_on, raw_scores
from pneumoscope.workflow.decide_groups import decide_over

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from pneumoscope.data.prepared import PreparedData
    from pneumoscope.runs import RunFolder
    from pneumoscope.training.cross_fit import Learner
    from pneumoscope.training.devices import Placement
    from pneumoscope.training.probe import Features
    from pneumoscope.training.recipe import Recipe
    from pneumoscope.watch import Watcher

GROUPS = "groups"
"""The validation that holds out groups."""


@dataclass(frozen=True, slots=True, eq=False)
class OverGroups:
    """The results of holding out groups in turn.

    Attributes:
        decided: The decision of the final reader.
        found: The expected performance on new patients.
    """

    decided: Decided
    found: NewPatients


def groups_of_recipe(data: PreparedData, recipe: Recipe, *, source: Path) -> NewGroups:
    """Return the groups that a recipe holds out.

    Args:
        data: The images, of which those of ``train`` and ``val`` are divided.
        recipe: Recipe with ``groups``, ``folds`` and ``seed``.
        source: The data as given; a manifest contains the columns.

    Raises:
        OptionError: The column does not exist.
        DataError: There are fewer than two groups.
    """
    catalog, together = data.catalog, data.cohort.groups

    def made_alike(rows: Sequence[int]) -> list[int]:
        found = clusters(
            acquisition_statistics(data, rows),
            catalog.class_numbers[list(rows)],
            np.array(together)[list(rows)],
            count=recipe.data.folds,
            seed=recipe.seed,
        )
        return [int(number) for number in found]

    return new_groups(
        catalog,
        pool_of(data),
        together,
        by=recipe.data.groups,
        count=recipe.data.folds,
        seed=recipe.seed,
        columns=manifest_columns(source),
        clusters=made_alike,
    )


def pool_of(data: PreparedData) -> list[int]:
    """Return the training and validation rows, in order."""
    return sorted([*data.split.rows("train"), *data.split.rows("val")])


def over_groups(
    recipe: Recipe,
    data: PreparedData,
    run: RunFolder,
    *,
    source: Path,
    features: Features | None = None,
    placement: Placement | None = None,
    watcher: Watcher,
) -> OverGroups:
    """Train without each group in turn, score it, and fit decisions over all groups.

    A probe, which is fitted in seconds, is also fitted without each pair of groups, so that
    decisions for a group only depend on models trained without it. For networks trained by gradient
    steps, the models of the other groups were trained on it; only its own scores are excluded.

    Writes ``new-patients.json``, and the scores of each group under ``groups/``.

    Args:
        recipe: The recipe, with the decision rules.
        data: The images.
        run: Folder of the results and the networks of the groups.
        source: The data as given.
        features: Features of all rows of the pool, for a probe.
        placement: The device.
        watcher: Receives progress reports.

    Raises:
        DataError: There are too few groups, or a class is missing without one of them.
        OptionError: ``groups`` is not a column.
        OutputError: The results cannot be written.
        KeyboardInterrupt: A training was interrupted.
    """
    from pneumoscope.training.cross_fit import learner_of  # noqa: PLC0415 - torch

    made = groups_of_recipe(data, recipe, source=source)
    pairs = _pairs(recipe, data, made.groups) if recipe.learning.probe else {}
    nested = {place for pair in pairs for place in pair} == set(range(len(made.groups)))
    pairs = pairs if nested else {}
    fits = len(made.groups) + len(pairs)
    if made.note:
        watcher.say(f"Groups: {made.note}")
    watcher.say(
        f"Groups held out in turn: {len(made.groups)} groups by {made.by} "
        f"({', '.join(group.name for group in made.groups)}); {fits} trainings"
    )
    with watcher.progress("Holding out groups", unit="trainings") as progress:
        learner = learner_of(recipe, data, folder=run, features=features, placement=placement)
        turns = _Turns(recipe, data, made.groups, learner, progress, fits)
        alone = [turns.without(place) for place in range(len(made.groups))]
        paired = turns.of_pairs(pairs)
    groups = [
        _as_new(recipe, data, made.groups, place, alone=alone, pairs=paired)
        for place in range(len(alone))
    ]
    decided = decide_over([one.scores for one in alone], recipe)
    found = NewPatients.of(
        [one for one, _ in groups],
        by=made.by,
        rule=decided.point.rule,
        share=recipe.decision.group_share,
        nested=nested,
        note=made.note,
    )
    write_json(run.new_patients, found.to_dict())
    for group, (_, scores) in zip(made.groups, groups, strict=True):
        folder = run.root / "groups"
        folder.mkdir(exist_ok=True)
        scores.save(folder / f"{slug(group.name)}.csv")
    return OverGroups(decided, found)


def slug(name: str) -> str:
    """Return the name of a group as a file name.

    >>> slug("block 1/5")
    'block-1-5'
    """
    return re.sub(r"[^\w.=-]+", "-", name).strip("-.")[:80] or "group"


@dataclass(frozen=True, slots=True, eq=False)
class _Turn:
    """The scores of a model trained without a group.

    Attributes:
        scores: Uncalibrated scores of the group.
        block: Uncalibrated scores of the validation block of its training.
        taught: Number of training images.
    """

    scores: Scores
    block: Scores
    taught: int


@dataclass(slots=True, eq=False)
class _Turns:
    """The trainings without one group or two."""

    recipe: Recipe
    data: PreparedData
    groups: Sequence[NewGroup]
    learner: Learner
    progress: Any
    total: int
    done: int = 0

    def without(self, place: int) -> _Turn:
        """Train without a group; score it and the validation block of its training."""
        group = self.groups[place]
        split = _without(self.recipe, self.data, group.rows)
        block = split.rows("val")
        logits = self._logits(slug(group.name), split, [*group.rows, *block])
        count = len(group.rows)
        return _Turn(
            raw_scores(self.data, group.rows, logits[:count]),
            raw_scores(self.data, block, logits[count:]),
            len(split.rows("train")),
        )

    def of_pairs(self, splits: Mapping[tuple[int, int], Split]) -> dict[tuple[int, int], Scores]:
        """Return for (group, other) the scores of the other by a model trained without both."""
        found = {}
        for (first, second), split in splits.items():
            one, other = self.groups[first], self.groups[second]
            rows = sorted({*one.rows, *other.rows})
            logits = self._logits(f"{slug(one.name)}+{slug(other.name)}", split, rows)
            place = {row: number for number, row in enumerate(rows)}
            for key, group in (((first, second), other), ((second, first), one)):
                own = logits[[place[row] for row in group.rows]]
                found[key] = raw_scores(self.data, group.rows, own)
        return found

    def _logits(self, name: str, split: Split, rows: Sequence[int]) -> NDArray[np.float64]:
        logits = self.learner(name, split, rows)
        if logits is None:
            raise KeyboardInterrupt
        self.done += 1
        self.progress(self.done, self.total)
        return logits


def _without(recipe: Recipe, data: PreparedData, held: Sequence[int]) -> Split:
    """Return the parts of a training without some rows and rows connected to them.

    Raises:
        DataError: A class is missing in one of them.
    """
    together = data.cohort.groups
    return inner_split(
        data.catalog,
        rest_of(pool_of(data), held, together),
        together,
        block=recipe.data.block,
        fraction=recipe.data.val_fraction,
        seed=recipe.seed + 1,
    )


def _pairs(
    recipe: Recipe, data: PreparedData, groups: Sequence[NewGroup]
) -> dict[tuple[int, int], Split]:
    """Return the parts of each training without two groups, if all classes remain.

    Two series of one class may contain all its images: training without both is impossible, so
    neither is used in decisions for the other.
    """
    found = {}
    for first, second in combinations(range(len(groups)), 2):
        rows = sorted({*groups[first].rows, *groups[second].rows})
        try:
            found[first, second] = _without(recipe, data, rows)
        except DataError:
            continue
    return found


def _as_new(
    recipe: Recipe,
    data: PreparedData,
    groups: Sequence[NewGroup],
    place: int,
    *,
    alone: Sequence[_Turn],
    pairs: dict[tuple[int, int], Scores],
) -> tuple[AsNew, Scores]:
    """Return the results of a group with decisions fitted on the others, and its scores."""
    group, turn = groups[place], alone[place]
    others = [
        _apart(data, groups[other], group, pairs[place, other] if pairs else alone[other].scores)
        for other in range(len(groups))
        if other != place and (not pairs or (place, other) in pairs)
    ]
    labels = data.catalog.label_space

    def under(decided: Decided, scores: Scores) -> tuple[Scores, DecisionPolicy]:
        policy = DecisionPolicy(labels, decided.point, decided.conformal)
        return calibrated(scores, decided.calibration), policy

    over = decide_over([scores for scores in others if len(scores)], recipe)
    by_block = decide_on(turn.block, recipe)
    scored, policy = under(over, turn.scores)
    return (
        AsNew(
            group.name,
            n=len(group.rows),
            own=len(group.own),
            patients=len(set(scored.patient)),
            positives=int(scored.label.sum()),
            completed=group.completed,
            taught=turn.taught,
            found=outcome(scored, policy),
            at_block=outcome(*under(by_block, turn.scores)),
            promised=outcome(*under(by_block, turn.block)),
            notes=over.notes,
        ),
        scored,
    )


def _apart(data: PreparedData, other: NewGroup, group: NewGroup, scores: Scores) -> Scores:
    """Return the scores of another group without images shared with the evaluated group."""
    left = set(rest_of(other.rows, group.rows, data.cohort.groups))
    return scores.select(np.array([row in left for row in other.rows], np.bool_))


def features_of_pool(
    recipe: Recipe, data: PreparedData, *, accelerator: str, watcher: Watcher
) -> Features:
    """Return the features of all training and validation images, for probes."""
    from pneumoscope.training.probe import probe_features  # noqa: PLC0415 - torch

    with watcher.progress("Computing features", unit="batches") as on_step:
        return probe_features(recipe, data, pool_of(data), accelerator=accelerator, on_step=on_step)


def check_groups(recipe: Recipe, data: PreparedData, *, source: Path) -> None:
    """Raise an error early if no groups can be held out.

    Raises:
        ManyFindingsError: The images have several findings each.
        DataError, OptionError: As for ``over_groups``.
    """
    if data.catalog.findings:
        raise ManyFindingsError(data.catalog.findings, what="validation over groups")
    made = groups_of_recipe(data, recipe, source=source)
    for group in made.groups:
        _without(recipe, data, group.rows)
    names = [slug(group.name) for group in made.groups]
    if len(set(names)) < len(names):
        raise DataError(f"{data.catalog.root}: two groups have the same name ({', '.join(names)}).")
