"""Estimate the cost of a plan."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pneumoscope.data.split import UNUSED, groups_of
from pneumoscope.data.split.draw import draw_share
from pneumoscope.study.entries import with_network
from pneumoscope.study.images import read_images
from pneumoscope.training.devices import best_device
from pneumoscope.training.estimate import in_words, seconds_per_image

if TYPE_CHECKING:
    from pneumoscope.study.plan import Plan
    from pneumoscope.training.recipe import Recipe
    from pneumoscope.watch import Watcher


def forecast_text(data: Path, plan: Plan, *, jobs: int, watcher: Watcher) -> str:
    """Return the number of runs of a plan and their maximum duration on this machine.

    The time per training image is measured for each network of the plan; a validation image counts
    as a third of it. Early stopping reduces the duration.

    Args:
        data: The data, as for ``read_catalog``.
        plan: The plan.
        jobs: Number of parallel runs, which makes little difference on a CPU, whose cores they
            share.
        watcher: Receives progress reports.
    """
    base = with_network(plan.base)
    catalog = read_images(data, base, watcher=watcher)
    parts = [entry.split or "train" for entry in catalog.entries]
    groups = groups_of(catalog)
    if plan.division.patients < 1:
        share = 1 - plan.division.patients
        draw_share(catalog, parts, groups, into=UNUSED, fraction=share, seed=0)
    train = sum(part == "train" for part in parts)
    held_out, val = (round(train * share) for share in (
        plan.division.held_out, (1 - plan.division.held_out) * plan.division.val_fraction
    ))  # fmt: skip
    device = best_device("auto")
    known: dict[str, float] = {}
    total = 0.0
    lines = []
    for planned in plan.runs():
        recipe = with_network(planned.recipe)
        key = _key(recipe)
        if key not in known:
            known[key] = seconds_per_image(recipe, device=device)
        epochs = 1 if recipe.learning.probe else recipe.learning.max_epochs
        own = known[key] * (epochs * (train - held_out - val + val / 3) + (held_out + val) / 3)
        total += own
        lines.append(f"  {planned.name}: {in_words(own)} at most")
    size, most = plan.base.value("image_size"), plan.base.learning.max_epochs
    learnt = train - held_out - val
    lines += [
        f"{len(lines)} runs of {len(plan.questions)} questions and {len(plan.seeds)} seeds",
        f"{size} pixels, at most {most} epochs, {plan.division.patients:.0%} of the patients",
        f"{learnt:,} training images, {val:,} validation images, {held_out:,} held-out images",
        f"At most {in_words(total)} on this machine ({device}), one run at a time",
    ]
    if jobs > 1:
        lines.append(f"{jobs} parallel runs share its cores")
    return "\n".join(lines)


def _key(recipe: Recipe) -> str:
    learning, shape = recipe.learning, recipe.data.input.shape
    return repr((learning.model, dict(learning.model_options), shape, learning.augmentation,
                 learning.batch_size, learning.optimizer))  # fmt: skip
