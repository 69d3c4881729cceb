"""Export one model file from several runs, several views, or in smaller precision."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pneumoscope.data.cache import build_cache
from pneumoscope.data.catalog import Catalog, read_catalog
from pneumoscope.data.prepared import PreparedData
from pneumoscope.data.relation import TrainingRelation
from pneumoscope.data.split import UNUSED, Split, parts_in_file
from pneumoscope.errors import DataError, ManyFindingsError, one_of
from pneumoscope.evaluation.calibration import Calibration
from pneumoscope.evaluation.evaluation import Evaluation, evaluate
from pneumoscope.evaluation.multilabel.evaluation import FindingsEvaluation, evaluate_findings
from pneumoscope.evaluation.question import Images, Question, Reader
from pneumoscope.reader.findings import FindingRule
from pneumoscope.reader.policy import DecisionPolicy
from pneumoscope.runs import RunFolder
from pneumoscope.watch import Watcher
from pneumoscope.workflow.decide_findings import FindingsDecided

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pneumoscope.models.registry import Classifier
    from pneumoscope.training.recipe import Recipe
    from pneumoscope.workflow.finish import Precision, Written
    from pneumoscope.workflow.shift import Shift

PRECISIONS: tuple[Precision, ...] = ("float32", "float16", "int8")


@dataclass(frozen=True, slots=True, eq=False)
class Exported:
    """The result of an export.

    Attributes:
        model: Path of the model file.
        bytes: Size of the file.
        members: The averaged runs.
        precision: Precision of the stored weights.
        validation: Evaluation on the validation images, by members not trained on them.
        shift: Differences between the file and the float32 networks on these images.
        notes: Decisions that could not be made.
    """

    model: Path
    bytes: int
    members: tuple[Path, ...]
    precision: str
    validation: Evaluation | FindingsEvaluation
    shift: Shift
    notes: tuple[str, ...]

    @property
    def evaluation(self) -> Evaluation:
        """The evaluation of a model of classes.

        Raises:
            ManyFindingsError: The model has several findings.
        """
        if isinstance(self.validation, FindingsEvaluation):
            raise ManyFindingsError(self.validation.numbers.names)
        return self.validation


def export_runs(
    runs: Sequence[Path],
    out: Path,
    *,
    data: Path | None = None,
    views: Sequence[str] = ("plain",),
    precision: Precision = "float32",
    operating_point: str | None = None,
    rules: Recipe | None = None,
    more: dict[str, Any] | None = None,
    watcher: Watcher | None = None,
) -> Exported:
    """Write one model file from one or several runs.

    The logits of several runs are averaged, as are those of several views. Calibration, threshold
    and uncertain zone are fitted again, with each validation image scored by the members that were
    not trained on it: runs of several seeds share their validation rows, runs of several folds
    together cover all rows.

    Args:
        runs: Run folders, trained on the same data with the same input.
        out: The model file.
        data: The images; if None, those of the first run.
        views: Views of each image; see ``models.ensemble.VIEWS``.
        precision: Precision of stored weights: ``float32``, ``float16`` or ``int8``.
        operating_point: A rule for the threshold that replaces that of the recipe.
        rules: The recipe whose decision rules are used; that of the first run if None.
        more: Further fields of ``ModelInfo``: version, licence, intended, card.
        watcher: Receives progress reports.

    Raises:
        OptionError: An unknown precision or view.
        DataError: A run is incomplete, or the runs are not compatible.
        ExportError: The file disagrees with the network, or its precision causes larger changes
            than ``workflow.shift`` allows; an existing file is preserved.

    Example:
        >>> export_runs([Path("runs/a"), Path("runs/b")], Path("both.onnx"))  # doctest: +SKIP
    """
    from pneumoscope.export import network_logits  # noqa: PLC0415 - torch
    from pneumoscope.models.ensemble import Averaged, side_by_side  # noqa: PLC0415
    from pneumoscope.training.fitted import load_trained  # noqa: PLC0415
    from pneumoscope.workflow.finish import write_model  # noqa: PLC0415

    watcher = watcher or Watcher()
    one_of("precision", precision, PRECISIONS)
    folders = _folders(runs)
    recipes, recipe = _recipes(folders, rules, operating_point)
    prepared, splits = _prepared(folders, recipe, data, watcher)
    members: list[Classifier] = [
        load_trained(folder, own) for folder, own in zip(folders, recipes, strict=True)
    ]
    plain = tuple(views) == ("plain",)
    network = (side_by_side(members) if plain else None) or Averaged(members, views)
    rows = prepared.split.rows("val")
    watcher.say(f"Evaluating {len(rows):,} validation images with {len(members)} networks")
    logits = [
        network_logits(Averaged([member], views), prepared.batches(rows)) for member in members
    ]
    logit = _unseen_mean(logits, splits, rows)
    shared = all(split.rows("val") == rows for split in splits)
    facts = {
        "members": [_facts(folder) for folder in folders],
        "views": list(views),
        "precision": precision,
        "data_fingerprint": prepared.catalog.fingerprint,
        "recipe": recipe.to_dict(),
    }
    written = write_model(
        members[0] if plain and len(members) == 1 else network,
        out,
        recipe=recipe,
        data=prepared,
        facts=facts,
        precision=precision,
        logit=None if shared else logit,
        network_logit=np.stack(logits).mean(0),
        more=more,
        training_rows=_training_rows(splits),
    )
    assert written.shift is not None  # noqa: S101 - the logits were given
    return Exported(
        out,
        out.stat().st_size,
        tuple(runs),
        precision,
        _evaluated(out, written, prepared),
        written.shift,
        written.decided.notes,
    )


def _folders(runs: Sequence[Path]) -> list[RunFolder]:
    """Return the folders of the runs; each must contain a recipe and a split."""
    folders = [RunFolder(run) for run in runs]
    for folder in folders:
        if not folder.config.is_file() or not folder.split.is_file():
            raise DataError(f"{folder.root}: not a run (no {folder.config.name}).")
    return folders


def _recipes(
    folders: Sequence[RunFolder], rules: Recipe | None, operating_point: str | None
) -> tuple[list[Recipe], Recipe]:
    """Return the recipe of each run, and the recipe of the common file."""
    from pneumoscope.training.recipe import Recipe, change_recipe  # noqa: PLC0415 - torch

    recipes = [Recipe.load(folder.config) for folder in folders]
    recipe = _common(recipes, folders)
    if rules is not None:
        recipe = replace(recipe, decision=rules.decision)
    if operating_point is not None:
        recipe = change_recipe(recipe, operating_point=operating_point)
    return recipes, recipe


def _prepared(
    folders: Sequence[RunFolder], recipe: Recipe, data: Path | None, watcher: Watcher
) -> tuple[PreparedData, list[Split]]:
    """Return the images, with the union of the runs' validation rows, and the split of each run."""
    catalog = _catalog(folders[0], recipe, data, watcher)
    with watcher.progress("Preparing the images") as progress:
        cache, catalog = build_cache(catalog, recipe.data.input, progress=progress)
    splits = [parts_in_file(folder.split, catalog) for folder in folders]
    return PreparedData(catalog, cache, _validation_split(splits)), splits


def _training_rows(splits: Sequence[Split]) -> list[int]:
    """Return the training rows of all runs."""
    parts = zip(*(split.parts for split in splits), strict=True)
    return [row for row, names in enumerate(parts) if "train" in names]


def _common(recipes: Sequence[Recipe], folders: Sequence[RunFolder]) -> Recipe:
    first = recipes[0]
    for recipe, folder in zip(recipes, folders, strict=True):
        if recipe.data.input != first.data.input:
            raise DataError(
                f"{folder.root}: has a different input from {folders[0].root}, so the two "
                "cannot be averaged."
            )
        if recipe.data.findings != first.data.findings:
            raise DataError(
                f"{folder.root}: was trained on other findings than {folders[0].root}, so the "
                "two cannot be averaged."
            )
    return first


def _catalog(folder: RunFolder, recipe: Recipe, data: Path | None, watcher: Watcher) -> Catalog:
    if data is None:
        facts = json.loads(folder.provenance.read_text(encoding="utf-8"))
        data = Path(facts["data"])
    if not data.exists():
        raise DataError(
            f"{data}: the images of {folder.root} were not found; give their folder as `data`."
        )
    with watcher.progress("Reading the folder") as progress:
        return read_catalog(
            data,
            positive=recipe.data.positive,
            patient_regex=recipe.data.patient_regex,
            options=recipe.data.options(),
            progress=progress,
        )


def _validation_split(splits: Sequence[Split]) -> Split:
    """Return the union of the runs' validation and training rows as a split."""
    parts = []
    for names in zip(*(split.parts for split in splits), strict=True):
        if "val" in names:
            parts.append("val")
        else:
            parts.append("train" if "train" in names else UNUSED)
    return Split(tuple(parts))


def _unseen_mean(
    logits: Sequence[NDArray[np.float64]], splits: Sequence[Split], rows: Sequence[int]
) -> NDArray[np.float64]:
    """Return for each row the mean logit of the members that were not trained on it."""
    unseen = np.array([[split.parts[row] != "train" for row in rows] for split in splits])
    if logits[0].ndim == 2:
        unseen = unseen[:, :, np.newaxis]
    mean: NDArray[np.float64] = (np.stack(logits) * unseen).sum(0) / unseen.sum(0)
    return mean


def _facts(folder: RunFolder) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads(folder.provenance.read_text(encoding="utf-8"))
    kept = ("seed", "epochs", "best_epoch", "precision", "device", "images")
    weights = {"weights": (facts.get("weights") or {}).get("sha256")}
    return {name: facts[name] for name in kept if name in facts} | weights


def _evaluated(out: Path, written: Written, data: PreparedData) -> Evaluation | FindingsEvaluation:
    """Evaluate the new file on the validation images used for its decision."""
    if isinstance(written.decided, FindingsDecided):
        return evaluate_findings(
            written.decided.scores,
            Question(resamples=0, curves=False),
            rules=[FindingRule(one.point, one.conformal) for one in written.decided.each],
            reader={"name": out.stem, "version": "", "sha256": ""},
            images=Images("val", TrainingRelation.VALIDATION, fingerprint=data.catalog.fingerprint),
        )
    point, labels = written.decided.point, data.catalog.label_space
    line = written.decided.calibration
    return evaluate(
        written.decided.scores,
        Question(resamples=0, curves=False),
        reader=Reader(
            out.stem,
            labels,
            policy=DecisionPolicy(labels, point, written.decided.conformal),
            calibration=line if isinstance(line, Calibration) else None,
            class_calibration=None if isinstance(line, Calibration) else line,
        ),
        images=Images("val", TrainingRelation.VALIDATION, fingerprint=data.catalog.fingerprint),
    )
