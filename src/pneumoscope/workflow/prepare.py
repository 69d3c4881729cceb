"""Prepare and split the images of a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pneumoscope.data.cache import build_cache
from pneumoscope.data.catalog import read_catalog
from pneumoscope.data.lookalikes import find_copies
from pneumoscope.data.prepared import PreparedData
from pneumoscope.data.split import UNUSED, parts_in_file, read_split, split_catalog
from pneumoscope.errors import in_range
from pneumoscope.watch import Watcher
from pneumoscope.workflow.parts import report_notes

if TYPE_CHECKING:
    from pneumoscope.training.recipe import Recipe


def prepare_data(
    data: Path,
    recipe: Recipe,
    *,
    split_file: Path | None,
    drawn: bool = False,
    workers: int | None,
    watcher: Watcher,
) -> PreparedData:
    """Return the prepared images of a recipe with their split.

    Args:
        data: The data, as for ``read_catalog``.
        recipe: Recipe with options for reading, input and split.
        split_file: A split to read instead of drawing one.
        drawn: Whether the split was drawn before, so that it is not checked again.
        workers: Number of decoding threads; one per core if None.
        watcher: Receives progress reports.

    Raises:
        PneumoscopeError: The data or an option are invalid.
    """
    if workers is not None:
        in_range("workers", workers, low=1, high=1000)
    with watcher.progress("Reading the folder") as progress:
        catalog = read_catalog(
            data,
            positive=recipe.data.positive,
            patient_regex=recipe.data.patient_regex,
            options=recipe.data.options(),
            progress=progress,
        )
    with watcher.progress("Preparing the images") as progress:
        cache, catalog = build_cache(catalog, recipe.data.input, workers=workers, progress=progress)
    with watcher.progress("Looking for copies") as progress:
        near = recipe.data.near_copies == "tie"
        copies = find_copies(catalog, cache, near=near, progress=progress)
    if split_file is not None:
        split = (
            parts_in_file(split_file, catalog)
            if drawn
            else read_split(split_file, catalog, copies=copies)
        )
        return PreparedData(catalog, cache, split, copies)
    split = split_catalog(
        catalog,
        copies=copies,
        validation=recipe.data.validation,
        fraction=recipe.data.val_fraction,
        test_fraction=recipe.data.test_fraction,
        block=recipe.data.block,
        folds=recipe.data.folds,
        fold=recipe.data.fold,
        seed=recipe.seed,
    )
    return PreparedData(catalog, cache, split, copies)


def report_plan(recipe: Recipe, data: PreparedData, watcher: Watcher) -> None:
    """Print the numbers of images, excluded rows, and the planned training."""
    catalog, split = data.catalog, data.split
    for item in catalog.unreadable:
        watcher.warn(f"skipped: {item.reason}")
    report_notes(catalog, watcher)
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
            why = "too small, so it is " if recipe.data.validation == "auto" else ""
            watcher.say(
                f"The validation folder of the data set has {own} images and is {why}not used; "
                "`validation=folder` uses it anyway."
            )
        if others := counts[UNUSED] - own:
            watcher.say(
                f"{'1 image is' if others == 1 else f'{others:,} images are'} not used: the "
                "same image or patient is in another set, or the split file omits it."
            )
    if copies := data.cohort.pictures:
        watcher.say(
            f"Images stored more than once: {len(copies):,}, in {sum(map(len, copies)):,} "
            "files; all copies are kept in one set"
        )
    if few := data.cohort.too_few("val"):
        watcher.warn(
            f"validation: {few}. Epoch, threshold and calibration depend on chance; use more "
            "validation images."
        )
    if not catalog.patients_known:
        watcher.warn(
            "the patient of some images is unknown, and each of these images counts as a "
            "patient; if patients have several images, set `patient_regex` or use a CSV with a "
            "patient column."
        )
    learning = recipe.learning
    watcher.say(
        f"Training {learning.model} (preset {recipe.preset}): {learning.optimizer}, learning rate "
        f"{learning.learning_rate:g}, batches of {learning.batch_size}, at most "
        f"{learning.max_epochs} epochs, patience {learning.patience}, seed {recipe.seed}"
    )
