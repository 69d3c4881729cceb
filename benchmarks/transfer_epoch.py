"""One epoch of fine-tuning: augmentation, optimiser and validation included."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from statistics import median

from harness import Outcome, Plan, Row, call, say
from pictures import replicate
from pneumoscope.data.cache import build_cache
from pneumoscope.data.catalog import read_catalog
from pneumoscope.data.prepared import PreparedData
from pneumoscope.data.split import split_catalog
from pneumoscope.runs import RunFolder
from pneumoscope.training.devices import Placement
from pneumoscope.training.fit import fit
from pneumoscope.training.recipe import Recipe, recipe_of

_MODEL = "mobilenetv2_035"
_TORCH_SCRIPT = Path(__file__).with_name("torch_epoch.py")
_WORKERS = 2
_WHOLE = 5216  # images of the data set's training folder


def measure(plan: Plan) -> Outcome:
    """Train with both, in turns; each round is a new training.

    Ours is the second epoch, since the first one only trains the last layer. Epochs have the
    number of batches given in the plan, and are scaled to the whole training folder.
    """
    batches = plan.count(plan.batches, generated=plan.batches, quick=2)
    recipe = recipe_of("transfer", model=f"timm:{_MODEL}", max_epochs=2)
    prepared = _prepared(plan, recipe, batches)
    parts = {part: prepared.split.rows(part) for part in ("train", "val")}
    count = sum(map(len, parts.values()))
    plan_file = plan.work / "torch.json"
    plan_file.write_text(json.dumps(_told(recipe, prepared)), encoding="utf-8")
    ours: list[float] = []
    first: list[float] = []
    theirs: list[float] = []
    rounds = plan.count(2, generated=2, quick=1)
    for number in range(1, rounds + 1):
        folder = RunFolder.create(plan.work / f"run-{number}")
        # On the CPU in any case, since the other loop only uses the CPU.
        fitted = fit(recipe, prepared, folder=folder, placement=Placement(accelerator="cpu"))
        first.append(fitted.epochs[0].seconds)
        ours.append(fitted.epochs[1].seconds)
        say(f"round {number} of {rounds}: ours {first[-1]:.1f} s, {ours[-1]:.1f} s")
        facts = json.loads(call([sys.executable, _TORCH_SCRIPT, plan_file]).splitlines()[-1])
        theirs.append(facts["seconds"])
        say(f"round {number} of {rounds}: plain PyTorch {theirs[-1]:.1f} s")
    mine, other = median(ours), median(theirs)
    row = Row(
        f"fine-tuning epoch of {_MODEL}, all layers, {_WHOLE:,} images (scaled from {count:,})",
        f"{mine * _WHOLE / count:.0f} s ({fitted.precision})",
        f"{other * _WHOLE / count:.0f} s (plain PyTorch {facts['torch']}, float32, "
        f"{_WORKERS} workers)",
        mine / other,
        at_most=0.45,
    )
    details = {
        "images": {part: len(rows) for part, rows in parts.items()},
        "seconds": ours,
        "head_only_seconds": first,
        "torch_seconds": theirs,
    }
    return Outcome([row], details)


def _prepared(plan: Plan, recipe: Recipe, batches: int) -> PreparedData:
    """Return images for a number of training batches, and a ninth as many for validation."""
    count = round(batches * recipe.learning.batch_size / (1 - recipe.data.val_fraction))
    images = plan.work / "images"
    replicate(plan.small, images, count=count)
    cache, catalog = build_cache(read_catalog(images), recipe.data.input)
    return PreparedData(catalog, cache, split_catalog(catalog, seed=recipe.seed))


def _told(recipe: Recipe, prepared: PreparedData) -> dict[str, object]:
    """Return the same for ``torch_epoch.py``."""
    entries = prepared.catalog.entries
    labels = prepared.catalog.labels.tolist()
    parts = {
        part: [
            (str(prepared.catalog.file(entries[row])), labels[row])
            for row in prepared.split.rows(part)
        ]
        for part in ("train", "val")
    }
    return {
        **parts,
        "model": _MODEL,
        "size": recipe.data.input.shape,
        "batch_size": recipe.learning.batch_size,
        "workers": _WORKERS,
        "mean": 0.5,
        "std": 0.5,
    }
