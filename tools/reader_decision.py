"""Fit the decision of the included reader again on the validation images of its run."""

from __future__ import annotations

import datetime
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pneumoscope.data.catalog import Catalog, read_catalog
from pneumoscope.data.split import Split, split_catalog
from pneumoscope.evaluation.policy import summary
from pneumoscope.evaluation.scores import Scores
from pneumoscope.evaluation.scoring import score
from pneumoscope.images.prepare import prepare
from pneumoscope.parallel import cores
from pneumoscope.reader.checks.gate import FeatureGate
from pneumoscope.reader.model_file.bundle import Bundle, open_bundle
from pneumoscope.reader.model_file.metadata import ModelInfo
from pneumoscope.reader.model_file.training_hashes import hashes_of
from pneumoscope.reader.predictor import Predictor
from pneumoscope.stats.tolerance import tolerance_limit
from pneumoscope.training.recipe import Recipe
from pneumoscope.workflow.decide import decide_on
from pneumoscope.workflow.known_to_model import FALSE_REFUSALS
from pneumoscope.workflow.recalibrate import write_calibrated

WHAT = "threshold, uncertain zone and gate decided anew on the validation images"


def split_of(info: ModelInfo, data: Path) -> tuple[Catalog, Split]:
    """Return the images that a model was trained on and their parts, by the recipe in its file."""
    recipe = Recipe.from_dict(info.training["recipe"])
    catalog = read_catalog(data, classes=info.classes, patient_regex=recipe.data.patient_regex)
    if catalog.fingerprint != info.training["data_fingerprint"]:
        raise SystemExit(f"{data}: not the images that this model was made from")
    split = split_catalog(
        catalog,
        validation=recipe.data.validation,
        fraction=recipe.data.val_fraction,
        test_fraction=recipe.data.test_fraction,
        block=recipe.data.block,
        folds=recipe.data.folds,
        fold=recipe.data.fold,
        seed=recipe.seed,
    )
    return catalog, split


def scores_of(model: Path, catalog: Catalog, split: Split) -> Scores:
    """Return the scores of a model for the validation images, read from their files."""
    validation = catalog.select(split.rows("val"))
    scores, unreadable = score(Predictor(model, gated=False), validation, part="val")
    assert not unreadable
    return scores


def redecide(model: Path, *, data: Path, rules: Recipe) -> None:
    """Fit calibration, threshold, uncertain zone and gate again; the network is unchanged.

    The file also gets the hashes of its training images, and a new checksum.
    """
    bundle = open_bundle(model, threads=cores())
    catalog, split = split_of(bundle.info, data)
    decided = decide_on(scores_of(model, catalog, split), rules)
    gate = _gate(bundle, catalog, split)
    assert not decided.notes, decided.notes
    entries = catalog.entries
    info = replace(
        bundle.info,
        operating_point=decided.point,
        conformal=decided.conformal,
        gate={**bundle.info.gate, "features": gate.to_dict()},
        learnt=hashes_of(
            *(
                [(entries[row].path, entries[row].sha256) for row in split.rows(part)]
                for part in ("train", "val")
            )
        ),
        training={
            **_with_rules(bundle.info.training, rules),
            "calibration": decided.calibration.to_dict(),
            "undecided": list(decided.notes),
        },
        history=(
            *(
                change
                for change in bundle.info.history
                if "decided anew" not in str(change.get("what"))
            ),
            {"what": WHAT, "written": f"{datetime.datetime.now(datetime.UTC).date()}"},
        ),
    )
    info = replace(
        info,
        reference={**info.reference, "policy": summary(info.policy(), decided.scores)},
    )
    write_calibrated(bundle, model, info=info, calibration=decided.calibration)


def describe(model: Path, card: dict[str, Any]) -> Bundle:
    """Write measured numbers into the card inside a model file, and return the new model."""
    from pneumoscope.reader.model_file.checksum import with_info  # noqa: PLC0415
    from pneumoscope.reader.model_file.session import read_model  # noqa: PLC0415 - here alone

    info = open_bundle(model).info
    changed = replace(info, card={**info.card, **card})
    model.write_bytes(with_info(read_model(model), changed, path=model))
    return open_bundle(model)


def _gate(bundle: Bundle, catalog: Catalog, split: Split) -> FeatureGate:
    """Return the feature gate with its limit set on the validation images."""
    assert bundle.feature_gate is not None
    distribution = bundle.feature_gate.distribution
    validation = catalog.select(split.rows("val"))
    pixels = np.stack([prepare(validation.file(e), bundle.info.input) for e in validation.entries])
    distances = np.concatenate(
        [
            distribution.distance(bundle.run(pixels[start : start + 32], ["features"])[0])
            for start in range(0, len(pixels), 32)
        ]
    )
    return FeatureGate(distribution, tolerance_limit(distances, share=1 - FALSE_REFUSALS))


def _with_rules(training: dict[str, Any], rules: Recipe) -> dict[str, Any]:
    names = ("calibration", "operating_point", "error_level")
    return {
        **training,
        "recipe": {**training["recipe"], **{name: rules.value(name) for name in names}},
    }
