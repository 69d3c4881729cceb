"""Train a reader: from a data set to a run folder.

Every step reads and writes files and is implemented in another package; this module only combines
them.
"""

from __future__ import annotations

import time
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pneumoscope.data.catalog import PARTS, Catalog
from pneumoscope.data.prepared import PreparedData
from pneumoscope.data.split import UNUSED
from pneumoscope.errors import DataError, OptionError, OutputError
from pneumoscope.evaluation.evaluation import Evaluation
from pneumoscope.evaluation.operating_point import parse_rule
from pneumoscope.evaluation.scores import Scores
from pneumoscope.runs import (
    RunFolder,
    locked_folder,
    provenance,
    rows_of,
    write_json,
)
from pneumoscope.watch import Watcher
from pneumoscope.workflow.evaluate_run import evaluate_part, evaluate_part_of_findings
from pneumoscope.workflow.guard import removed_if_it_fails, with_way_on
from pneumoscope.workflow.new_patients import (
    GROUPS,
    check_groups,
    features_of_pool,
    over_groups,
)
from pneumoscope.workflow.prepare import prepare_data, report_plan

if TYPE_CHECKING:
    from collections.abc import Callable

    from pneumoscope.evaluation.multilabel.evaluation import FindingsEvaluation
    from pneumoscope.evaluation.new_patients import NewPatients
    from pneumoscope.training.devices import Placement
    from pneumoscope.training.fitted import Fitted
    from pneumoscope.training.log import Epoch
    from pneumoscope.training.probe import Features
    from pneumoscope.training.recipe import Recipe
    from pneumoscope.workflow.new_patients import OverGroups


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """The result of a training run.

    Attributes:
        run: Folder of the run.
        fitted: The trained network.
        evaluations: The metrics of each part; empty for several findings per image.
        findings: The metrics of each part for several findings per image.
        new_patients: Expected performance on new patients, if groups were held out in turn.
    """

    run: RunFolder
    fitted: Fitted
    evaluations: dict[str, Evaluation]
    findings: dict[str, FindingsEvaluation] = field(default_factory=dict)
    new_patients: NewPatients | None = None


def train_reader(
    data: Path,
    out: Path,
    *,
    recipe: Recipe | None,
    split_file: Path | None = None,
    placement: Placement | None = None,
    resume: bool = False,
    workers: int | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
    watcher: Watcher | None = None,
) -> Trained | None:
    """Train a reader and return its run; None in helper processes of distributed runs.

    Args:
        data: The data, as for ``read_catalog``.
        out: The run folder: a new one, or with ``resume`` an existing one.
        recipe: The recipe; None with ``resume``, since the run has its own.
        split_file: A split to read instead of drawing one.
        placement: Devices and processes.
        resume: Whether to continue an interrupted run.
        workers: Number of decoding threads; one per core if None.
        on_epoch: Called with each row of the log.
        watcher: Receives progress reports.

    Raises:
        PneumoscopeError: The data, an option or the folder are invalid.

    Example:
        >>> train_reader(Path("chest_xray"), Path("runs/first"),
        ...              recipe=recipe_of("seed"))  # doctest: +SKIP
    """
    # Imported here, since evaluation shares this module and does not need a training framework.
    from pneumoscope.training.devices import is_leader  # noqa: PLC0415
    from pneumoscope.training.recipe import Recipe  # noqa: PLC0415

    started = time.perf_counter()
    leader = is_leader()
    watcher = watcher if watcher is not None and leader else Watcher()
    placement = _checked_placement(placement, probe=recipe is not None and recipe.learning.probe)
    run = _opened(out, resume=resume, leader=leader)
    with locked_folder(run.root) if leader else nullcontext():
        with removed_if_it_fails(run, new=leader and not resume):
            if resume:
                if recipe is not None:
                    raise OptionError("resume", must="used without a recipe", was=recipe)
                recipe = Recipe.load(run.config)
                split_file = run.split if run.split.exists() else split_file
            assert recipe is not None  # noqa: S101 - a caller without resume gives one
            recipe = _checked(recipe, placement, watcher)
            prepared = prepare_data(
                data,
                recipe,
                split_file=split_file,
                drawn=resume and split_file == run.split,
                workers=workers,
                watcher=watcher,
            )
            if resume and run.catalog.exists():
                _check_unchanged(run, prepared.catalog)
            if leader:
                recipe.save(run.config)
                prepared.catalog.save(run.catalog, dicom=prepared.cache.dicom)
                prepared.split.save(run.split, prepared.catalog)
            if recipe.data.validation == GROUPS:
                check_groups(recipe, prepared, source=data)
        with with_way_on(run):
            learnt = _learnt(
                recipe, prepared, run, source=data, placement=placement, resume=resume,
                new=leader and not resume, on_epoch=on_epoch, watcher=watcher,
            )  # fmt: skip
            if learnt is None:
                return None
            fitted, held = learnt
            return _finished(
                run, recipe, prepared, fitted, held, source=data, started=started, watcher=watcher
            )


def _learnt(
    recipe: Recipe,
    prepared: PreparedData,
    run: RunFolder,
    *,
    source: Path,
    placement: Placement,
    resume: bool,
    new: bool,
    on_epoch: Callable[[Epoch], None] | None,
    watcher: Watcher,
) -> tuple[Fitted, OverGroups | None] | None:
    """Train, and hold groups out if the recipe says so; None in helper processes."""
    by_groups = recipe.data.validation == GROUPS
    features = None
    if by_groups and recipe.learning.probe:
        features = features_of_pool(
            recipe, prepared, accelerator=placement.accelerator, watcher=watcher
        )
    try:
        fitted = _learn(
            recipe, prepared, run, placement=placement, resume=resume, watcher=watcher,
            on_epoch=on_epoch, features=features,
        )  # fmt: skip
    except OptionError:
        if new:
            run.discard()
        raise
    if not fitted.leader:
        return None
    if by_groups and fitted.interrupted:
        watcher.warn(
            "training was interrupted before groups were held out; decisions are based on the "
            "validation block only."
        )
    if not by_groups or fitted.interrupted:
        return fitted, None
    held = over_groups(
        recipe, prepared, run, source=source, features=features, placement=placement,
        watcher=watcher,
    )  # fmt: skip
    return fitted, held


def _checked(recipe: Recipe, placement: Placement, watcher: Watcher) -> Recipe:
    """Return the recipe with its network chosen, after early checks."""
    from pneumoscope.models.choice import choose_backbone  # noqa: PLC0415
    from pneumoscope.training.devices import best_device  # noqa: PLC0415
    from pneumoscope.training.distillation import check_teachers  # noqa: PLC0415
    from pneumoscope.training.network import network_of  # noqa: PLC0415
    from pneumoscope.training.recipe import change_recipe  # noqa: PLC0415

    parse_rule(recipe.decision.operating_point)
    if recipe.data.validation == GROUPS and not recipe.learning.probe:
        from pneumoscope.training.fit import check_alone  # noqa: PLC0415 - Lightning

        check_alone(placement)
    if recipe.learning.model == "auto":
        choice = choose_backbone(best_device(placement.accelerator))
        recipe = change_recipe(recipe, model=choice.model)
        watcher.say(f"Backbone: {choice.model}, since {choice.why}")
    check_teachers(recipe)
    model = network_of(recipe)
    if model.weights:
        watcher.say(f"Weights: {model.weights.source} (SHA-256 {model.weights.sha256})")
    return recipe


def _finished(
    run: RunFolder,
    recipe: Recipe,
    prepared: PreparedData,
    fitted: Fitted,
    held: OverGroups | None,
    *,
    source: Path,
    started: float,
    watcher: Watcher,
) -> Trained:
    """Write the model file, the metrics and the report of a run."""
    from pneumoscope.report.run_report import write_run_report  # noqa: PLC0415 - matplotlib
    from pneumoscope.workflow.finish import write_model  # noqa: PLC0415 - torch

    facts = _facts(recipe, prepared, fitted)
    written = write_model(
        fitted.classifier,
        run.model,
        recipe=recipe,
        data=prepared,
        facts=facts,
        traced=fitted.traced,
        decided=held.decided if held is not None else None,
    )
    for note in written.decided.notes:
        watcher.warn(note)
    watcher.say(
        "Model exported; on the original files its probabilities agree with those of the trained "
        f"network within {written.difference:.1e}"
    )
    parts = [part for part in ("val", "test") if prepared.split.rows(part)]
    findings: dict[str, FindingsEvaluation] = {}
    evaluated: list[tuple[Evaluation, Scores]] = []
    if prepared.catalog.findings:
        findings = {
            part: evaluate_part_of_findings(run, prepared, part, data=source, watcher=watcher)
            for part in parts
        }
    else:
        evaluated = [
            evaluate_part(run, prepared, part, data=source, watcher=watcher) for part in parts
        ]
    evaluations = {found.part: found for found, _ in evaluated}
    results = findings or evaluations
    write_json(run.metrics, {part: one.to_dict() for part, one in results.items()})
    facts["seconds_total"] = round(time.perf_counter() - started, 1)
    write_json(run.provenance, provenance(data=str(source.resolve()), **facts))
    found = held.found if held is not None else None
    write_run_report(
        run,
        recipe=recipe,
        data=prepared,
        judged=[(one, None) for one in findings.values()] if findings else evaluated,
        new_patients=found,
    )
    return Trained(run, fitted, evaluations, findings, found)


def _checked_placement(placement: Placement | None, *, probe: bool) -> Placement:
    """Return the device placement, after checking that it is available."""
    from pneumoscope.training.devices import Placement, check_here  # noqa: PLC0415

    placement = placement or Placement()
    if probe:
        check_here(placement)
    else:
        from pneumoscope.training.fit import check_placement  # noqa: PLC0415 - Lightning

        check_placement(placement)
    return placement


def _learn(
    recipe: Recipe,
    data: PreparedData,
    run: RunFolder,
    *,
    placement: Placement,
    resume: bool,
    watcher: Watcher,
    on_epoch: Callable[[Epoch], None] | None,
    features: Features | None,
) -> Fitted:
    """Print the plan and an estimate of the duration, and train."""
    from pneumoscope.training.devices import best_device, is_leader  # noqa: PLC0415
    from pneumoscope.training.estimate import in_words, seconds_per_image  # noqa: PLC0415
    from pneumoscope.training.fit import fit  # noqa: PLC0415

    report_plan(recipe, data, watcher)

    def on_row(row: Any) -> None:
        watcher.say(_epoch_line(row))
        if on_epoch:
            on_epoch(row)

    if recipe.learning.probe:
        from pneumoscope.training.probe import fit_probe  # noqa: PLC0415 - scikit-learn: a second

        watcher.say(_EPOCH_HEADER)
        with watcher.progress("Computing features", unit="batches") as on_step:
            return fit_probe(
                recipe,
                data,
                folder=run,
                accelerator=placement.accelerator,
                on_epoch=on_row,
                on_step=on_step,
                known=features,
            )
    if is_leader():
        device = best_device(placement.accelerator)
        epoch = seconds_per_image(recipe, device=device) * len(data.split.rows("train"))
        most = recipe.learning.max_epochs
        watcher.say(
            f"Estimated time on this machine ({device}): {in_words(epoch)} per epoch, "
            f"{in_words(epoch * most)} for {most} epochs"
        )
    watcher.say(_EPOCH_HEADER)
    with watcher.progress("Training", unit="steps") as on_step:
        return fit(
            recipe,
            data,
            folder=run,
            placement=placement,
            resume=resume,
            on_epoch=on_row,
            on_step=on_step,
        )


def _opened(out: Path, *, resume: bool, leader: bool) -> RunFolder:
    """Return the run folder, new or existing."""
    if not resume:
        return RunFolder.create(out) if leader else RunFolder(out)
    run = RunFolder(out)
    if not run.config.is_file():
        raise OutputError(f"{out}: no run to resume (no {run.config.name}).")
    return run


def _check_unchanged(run: RunFolder, catalog: Catalog) -> None:
    before = {(row["path"], row["sha256"]) for row in rows_of(run.catalog)}
    now = {(entry.path, entry.sha256) for entry in catalog.entries}
    if before != now:
        raise DataError(
            f"{catalog.root}: {len(before ^ now)} images were changed, added or removed since "
            f"{run.root} was started, so it cannot be continued; train with a new `out`."
        )


_EPOCH_HEADER = "epoch    loss  accuracy  val_loss  val_accuracy  val_auc  seconds  images/s"


def _epoch_line(row: Any) -> str:
    return (
        f"{row.epoch:5d}  {row.loss:6.4f}  {row.accuracy:8.4f}  {row.val_loss:8.4f}  "
        f"{row.val_accuracy:12.4f}  {row.val_auc:7.4f}  {row.seconds:7.1f}  "
        f"{row.images_per_second:8.1f}"
    )


def _facts(recipe: Recipe, data: PreparedData, fitted: Fitted) -> dict[str, Any]:
    return {
        "data_fingerprint": data.catalog.fingerprint,
        "images": {part: len(data.split.rows(part)) for part in (*PARTS, UNUSED)},
        "unreadable": len(data.catalog.unreadable),
        "data_root": str(data.catalog.root.resolve()),
        "left_out": [item.to_dict() for item in data.catalog.left_out],
        "data_notes": list(data.catalog.notes),
        "recipe": recipe.to_dict(),
        "seed": recipe.seed,
        "epochs": len(fitted.epochs),
        "best_epoch": fitted.best.epoch,
        "interrupted": fitted.interrupted,
        "weights": fitted.classifier.weights.to_dict() if fitted.classifier.weights else None,
        "precision": fitted.precision,
        "device": fitted.device,
        "seconds_training": round(fitted.seconds, 1),
    }
