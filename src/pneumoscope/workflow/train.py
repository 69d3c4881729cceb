"""A data set → a run folder with a trained reader: the whole road.

Every step reads and writes files; nothing here computes, each step has its room.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pneumoscope.data.cache import build_cache
from pneumoscope.data.catalog import PARTS, Catalog, read_catalog
from pneumoscope.data.prepared import PreparedData
from pneumoscope.data.split import UNUSED, read_split, split_catalog
from pneumoscope.errors import DataError, OptionError, OutputError, in_range
from pneumoscope.evaluation.metrics import Metrics, measure
from pneumoscope.evaluation.operating_point import parse_rule
from pneumoscope.evaluation.scores import score
from pneumoscope.reader.predictor import Predictor
from pneumoscope.runs import RunFolder, provenance, rows_of, write_json
from pneumoscope.watch import Watcher
from pneumoscope.workflow.judge import judge_run
from pneumoscope.workflow.parts import tell_notes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pneumoscope.training.devices import Placement
    from pneumoscope.training.fitted import Fitted
    from pneumoscope.training.recipe import Recipe


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """What a training run gave: its folder, and its numbers a part of the data each."""

    run: RunFolder
    fitted: Fitted
    metrics: dict[str, Metrics]


def train_reader(
    data: Path,
    out: Path,
    *,
    recipe: Recipe | None,
    split_file: Path | None = None,
    placement: Placement | None = None,
    resume: bool = False,
    workers: int | None = None,
    watcher: Watcher | None = None,
) -> Trained | None:
    """Train a reader and return its run; None in the helper processes of a distributed run.

    Args:
        data: What ``read_catalog`` takes.
        out: The run folder; new, or with ``resume`` one that was begun.
        recipe: What to learn and how; with ``resume`` None, since the run has its own.
        split_file: A split to read instead of drawing one.
        placement: Devices and processes.
        resume: Continue a run that was ended or killed.
        workers: Decoding threads; one a core if None.
        watcher: Hears how it goes.

    Raises:
        PneumoscopeError: The data, an option or the place cannot be worked with.

    Example:
        >>> train_reader(Path("chest_xray"), Path("runs/first"),
        ...              recipe=recipe_of("seed"))  # doctest: +SKIP
    """
    # Here, since evaluating and reading share this module and need no training framework.
    from pneumoscope.models.choice import choose_backbone  # noqa: PLC0415
    from pneumoscope.models.registry import build_model  # noqa: PLC0415
    from pneumoscope.training.devices import best_device, is_leader  # noqa: PLC0415
    from pneumoscope.training.recipe import Recipe  # noqa: PLC0415
    from pneumoscope.workflow.finish import write_model  # noqa: PLC0415

    watcher = watcher or Watcher()
    started = time.perf_counter()
    leader = is_leader()
    placement = _checked_placement(placement, probe=recipe is not None and recipe.probe)
    with _run_folder(out, resume=resume, leader=leader) as run:
        if resume:
            if recipe is not None:
                raise OptionError("--resume", must="given without a recipe", was=recipe)
            recipe = Recipe.load(run.config)
            split_file = run.split if run.split.exists() else split_file
        assert recipe is not None  # noqa: S101 - a caller without resume gives one
        parse_rule(recipe.operating_point)  # or fail now, and not after hours of training
        if recipe.model == "auto":
            choice = choose_backbone(best_device(placement.accelerator))
            recipe = replace(recipe, model=choice.model)
            watcher.say(f"Backbone: {choice.model}, since {choice.why}")
        model = build_model(  # or fail at once
            recipe.model, recipe.input, weights=recipe.weights, **recipe.model_options
        )
        if model.weights:
            watcher.say(f"Weights: {model.weights.source} (SHA-256 {model.weights.sha256})")
        prepared = _prepared(data, recipe, split_file=split_file, workers=workers, watcher=watcher)
        if resume and run.catalog.exists():
            _check_unchanged(run, prepared.catalog)
        if leader:
            recipe.save(run.config)
            prepared.catalog.save(run.catalog, dicom=prepared.cache.dicom)
            prepared.split.save(run.split, prepared.catalog)
    try:
        fitted = _learn(
            recipe,
            prepared,
            run,
            placement=placement,
            resume=resume,
            watcher=watcher,
        )
    except OptionError:
        if leader and not resume:
            run.discard()
        raise
    if not fitted.leader:
        return None
    facts = _facts(recipe, prepared, fitted)
    written = write_model(
        fitted.classifier,
        run.model,
        recipe=recipe,
        data=prepared,
        facts=facts,
        traced=fitted.traced,
    )
    for note in written.decided.notes:
        watcher.warn(note)
    watcher.say(
        "Model written; from image files on it agrees with the network within "
        f"{written.difference:.1e} in probability"
    )
    metrics = {
        part: _score_part(run, prepared, part, watcher=watcher)
        for part in ("val", "test")
        if prepared.split.rows(part)
    }
    from pneumoscope.report.run_report import write_run_report  # noqa: PLC0415 - matplotlib

    judged = judge_run(run, data=prepared, source=data)
    write_json(run.metrics, {item.part: item.to_dict() for item in judged})
    facts["seconds_total"] = round(time.perf_counter() - started, 1)
    write_json(run.provenance, provenance(data=str(data.resolve()), **facts))
    write_run_report(run, recipe=recipe, data=prepared, judged=judged)
    return Trained(run, fitted, metrics)


def _checked_placement(placement: Placement | None, *, probe: bool) -> Placement:
    """Return where training runs; refuse, before anything is written, what is not here."""
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
) -> Fitted:
    """Say what will be learnt and how long it will take, and learn it."""
    from pneumoscope.training.devices import best_device, is_leader  # noqa: PLC0415
    from pneumoscope.training.estimate import in_words, seconds_per_image  # noqa: PLC0415
    from pneumoscope.training.fit import fit  # noqa: PLC0415
    from pneumoscope.training.probe import fit_probe  # noqa: PLC0415

    _tell_plan(recipe, data, watcher)

    def heard(row: Any) -> None:
        watcher.say(_epoch_line(row))

    if recipe.probe:
        watcher.say(_EPOCH_HEADER)
        with watcher.progress("Computing features", unit="batches") as on_step:
            return fit_probe(
                recipe,
                data,
                folder=run,
                accelerator=placement.accelerator,
                on_epoch=heard,
                on_step=on_step,
            )
    if is_leader():
        device = best_device(placement.accelerator)
        epoch = seconds_per_image(recipe, device=device) * len(data.split.rows("train"))
        watcher.say(
            f"An epoch takes {in_words(epoch)} on this machine ({device}), all "
            f"{recipe.max_epochs} of them {in_words(epoch * recipe.max_epochs)}"
        )
    watcher.say(_EPOCH_HEADER)
    with watcher.progress("Training", unit="steps") as on_step:
        return fit(
            recipe,
            data,
            folder=run,
            placement=placement,
            resume=resume,
            on_epoch=heard,
            on_step=on_step,
        )


@contextmanager
def _run_folder(out: Path, *, resume: bool, leader: bool) -> Iterator[RunFolder]:
    """Give the run folder; a new one is removed again if the block fails."""
    if resume:
        run = RunFolder(out)
        if not run.config.is_file():
            raise OutputError(f"{out}: no run to resume (no {run.config.name} in it).")
        yield run
        return
    if not leader:
        yield RunFolder(out)
        return
    run = RunFolder.create(out)
    try:
        yield run
    except BaseException:
        run.discard()
        raise


def _prepared(
    data: Path,
    recipe: Recipe,
    *,
    split_file: Path | None,
    workers: int | None,
    watcher: Watcher,
) -> PreparedData:
    if workers is not None:
        in_range("--workers", workers, low=1, high=1000)
    with watcher.progress("Reading the folder") as progress:
        catalog = read_catalog(
            data,
            positive=recipe.positive,
            patient_regex=recipe.patient_regex,
            options=recipe.data_options(),
            progress=progress,
        )
    with watcher.progress("Preparing the images") as progress:
        cache, catalog = build_cache(catalog, recipe.input, workers=workers, progress=progress)
    if split_file is not None:
        return PreparedData(catalog, cache, read_split(split_file, catalog))
    split = split_catalog(
        catalog,
        validation=recipe.validation,
        fraction=recipe.val_fraction,
        test_fraction=recipe.test_fraction,
        block=recipe.block,
        folds=recipe.folds,
        fold=recipe.fold,
        seed=recipe.seed,
    )
    return PreparedData(catalog, cache, split)


def _check_unchanged(run: RunFolder, catalog: Catalog) -> None:
    before = {(row["path"], row["sha256"]) for row in rows_of(run.catalog)}
    now = {(entry.path, entry.sha256) for entry in catalog.entries}
    if before != now:
        raise DataError(
            f"{catalog.root}: {len(before ^ now)} images changed, came or went since {run.root} "
            "was begun, so it cannot be continued; train into a new --out."
        )


def _tell_plan(recipe: Recipe, data: PreparedData, watcher: Watcher) -> None:
    catalog, split = data.catalog, data.split
    for item in catalog.unreadable:
        watcher.warn(f"skipped: {item.reason}")
    tell_notes(catalog, watcher)
    if catalog.unreadable:
        watcher.warn(f"{len(catalog.unreadable)} unreadable files were skipped.")
    counts = {part: len(split.rows(part)) for part in ("train", "val", "test", UNUSED)}
    patients = {
        part: len({catalog.entries[row].patient for row in split.rows(part)}) for part in counts
    }
    watcher.say(
        "Images: "
        + ", ".join(
            f"{counts[part]:,} {name} ({patients[part]:,} patients)"
            for part, name in (("train", "training"), ("val", "validation"), ("test", "test"))
            if counts[part]
        )
    )
    if counts[UNUSED]:
        own = sum(catalog.entries[row].split == "val" for row in split.rows(UNUSED))
        if own:
            why = "too small to decide anything and " if recipe.validation == "auto" else ""
            watcher.say(
                f"The data's own validation folder ({own} images) is {why}set aside; "
                "--validation folder would use it."
            )
        if counts[UNUSED] > own:
            watcher.say(
                f"{counts[UNUSED] - own} images are set aside, since they, or others of their "
                "patients, stand in another part, or since the split file leaves them out."
            )
    if not catalog.patients_known:
        watcher.warn(
            "file names do not tell the patient of every image, so such images count as patients "
            "of their own; if patients have several images, name them with --patient-regex or in "
            "a CSV with a patient column."
        )
    watcher.say(
        f"Training {recipe.model} (preset {recipe.preset}): {recipe.optimizer}, learning rate "
        f"{recipe.learning_rate:g}, batches of {recipe.batch_size}, at most {recipe.max_epochs} "
        f"epochs, patience {recipe.patience}, seed {recipe.seed}"
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


def _score_part(run: RunFolder, data: PreparedData, part: str, *, watcher: Watcher) -> Metrics:
    predictor = Predictor(run.model, gated=False)
    chosen = data.catalog.select(data.split.rows(part))
    name = {"val": "validation", "test": "test"}[part]
    with watcher.progress(f"Reading the {name} images") as progress:
        scores, _ = score(predictor, chosen, part=part, progress=progress)
    scores.save(run.scores(part))
    return measure(scores, threshold=predictor.info.operating_point.threshold)
