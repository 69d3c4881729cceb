"""One epoch of the report's network: augmentation, optimiser and validation included."""

from __future__ import annotations

import json
import statistics
from pathlib import Path

from harness import Outcome, Plan, Row, call, say, seconds
from keras_place import keras_python
from pictures import replicate
from pneumoscope.data.cache import build_cache
from pneumoscope.data.catalog import read_catalog
from pneumoscope.data.prepared import PreparedData
from pneumoscope.data.split import split_catalog
from pneumoscope.runs import RunFolder
from pneumoscope.training.devices import Placement
from pneumoscope.training.fit import fit
from pneumoscope.training.fitted import Fitted
from pneumoscope.training.recipe import Recipe, recipe_of

_KERAS_SCRIPT = Path(__file__).with_name("keras_epoch.py")


def measure(plan: Plan) -> Outcome:
    """Train with both, in turns; each round is a new training from new weights."""
    images = plan.small
    if plan.generated or plan.quick:
        images = plan.work / "images"
        replicate(plan.small, images, count=plan.count(0, generated=1000, quick=48))
    python = plan.keras or keras_python()
    prepared: list[PreparedData] = []
    preparing = seconds(lambda: prepared.append(_prepared(images)))
    say(f"catalog, cache and split, once: {preparing:.1f} s")
    recipe = recipe_of("seed", max_epochs=2 if plan.quick else 3, patience=100_000)
    ours: list[float] = []
    ours_first: list[float] = []
    keras: list[float] = []
    keras_later: list[float] = []
    rounds = plan.count(plan.rounds, generated=plan.rounds, quick=1)
    for number in range(1, rounds + 1):
        fitted = _fitted(recipe, prepared[0], plan.work / f"run-{number}")
        first, *later = (row.seconds for row in fitted.epochs)
        ours_first.append(first)
        ours += later
        say(f"round {number} of {rounds}: ours {_shown([first, *later])}")
        facts = json.loads(call([python, _KERAS_SCRIPT, images, "2"]).splitlines()[-1])
        first, *later = facts["seconds"]
        keras.append(min(facts["seconds"]))
        keras_later += later
        say(f"round {number} of {rounds}: Keras {_shown([first, *later])}")
    mine, theirs = statistics.median(ours), statistics.median(keras)
    first_ours, theirs_later = statistics.median(ours_first), statistics.median(keras_later)
    return Outcome(
        [
            Row(
                "training epoch, after the first",
                f"{mine:.1f} s ({fitted.precision})",
                f"{theirs_later:.1f} s (Keras on tensorflow {facts['tensorflow']}, float32)",
                mine / theirs_later,
                at_most=0.40,
            ),
            Row(
                "the same against the quickest epoch of each run of Keras",
                f"{mine:.1f} s",
                f"{theirs:.1f} s (Keras)",
                mine / theirs,
                at_most=0.42,
            ),
            Row(
                "the first epoch, all images read and decoded for it alone",
                f"{preparing + first_ours:.1f} s",
                f"{theirs:.1f} s (Keras, its quickest)",
                (preparing + first_ours) / theirs,
            ),
        ],
        {
            "ours_seconds": ours,
            "ours_first_seconds": ours_first,
            "ours_preparing_seconds": round(preparing, 3),
            "ours_images": [len(prepared[0].split.rows(part)) for part in ("train", "val")],
            "keras_quickest_seconds": keras,
            "keras_later_seconds": keras_later,
            "keras": {
                name: facts[name] for name in ("images", "parameters", "tensorflow", "keras")
            },
        },
    )


def _prepared(images: Path) -> PreparedData:
    recipe = recipe_of("seed")
    cache, catalog = build_cache(read_catalog(images), recipe.data.input)
    return PreparedData(catalog, cache, split_catalog(catalog, seed=recipe.seed))


def _fitted(recipe: Recipe, prepared: PreparedData, place: Path) -> Fitted:
    # On the CPU in any case, since Keras only uses the CPU here.
    placement = Placement(accelerator="cpu")
    return fit(recipe, prepared, folder=RunFolder.create(place), placement=placement)


def _shown(values: list[float]) -> str:
    return ", ".join(f"{value:.1f} s" for value in values)
