"""The runs of a plan on disk: folder, recipe and split of each, before they are trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from pneumoscope.errors import OutputError, PneumoscopeError
from pneumoscope.runs import provenance, update_json, version, write_json, write_text
from pneumoscope.study.folder import JOURNAL, StudyFolder, StudyRun, identity
from pneumoscope.study.images import StudyImages, digest_of, read_images
from pneumoscope.study.plan import Plan, Planned
from pneumoscope.training.recipe import PRESETS, Recipe, change_recipe
from pneumoscope.watch import Watcher

if TYPE_CHECKING:
    from pneumoscope.data.catalog import Catalog


BASE_FILE = "base.yaml"


@dataclass(frozen=True, slots=True)
class Entered:
    """A run of a plan with its folder.

    Attributes:
        planned: The planned run.
        run: The folder of the run.
        split: The file of the split.
    """

    planned: Planned
    run: StudyRun
    split: Path


def opened(out: Path) -> StudyFolder:
    """Return the folder of a study, new or existing.

    Raises:
        OutputError: The folder contains other files, or cannot be created.
    """
    folder = StudyFolder(out)
    try:
        if out.exists() and any(out.iterdir()) and not folder.facts_file.is_file():
            raise OutputError(f"{out}: is not a study; choose another `out`.")
        out.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise OutputError(f"{out}: cannot be created ({fault.strerror}).") from fault
    return folder


def images_of(folder: StudyFolder, data: Path, plan: Plan, *, watcher: Watcher) -> StudyImages:
    """Return the images of a study with their split, and record them.

    Raises:
        OutputError: The folder contains a study of other images, or with another split.
    """
    base = with_network(plan.base)
    catalog = read_images(data, base, watcher=watcher)
    # Before any long computation, so that a study that is killed here can be continued.
    _note_study(folder, data, plan, catalog)
    journal = folder.root / JOURNAL
    if journal.is_file() and journal.stat().st_size:
        text = journal.read_bytes()
        if not text.endswith(b"\n"):  # a line truncated by a crash
            journal.write_bytes(text + b"\n")
    return StudyImages.of(catalog, base, plan.division, watcher=watcher)


def _note_study(folder: StudyFolder, data: Path, plan: Plan, catalog: Catalog) -> None:
    division = {name: getattr(plan.division, name) for name in plan.division.__slots__}
    if folder.facts_file.is_file():
        facts = folder.facts()
        for what, before, now in (
            ("other images", facts["data_fingerprint"], catalog.fingerprint),
            ("a different split of the images", facts["division"], division),
        ):
            if before != now:
                raise OutputError(
                    f"{folder.root}: contains a study of {what}; choose another `out`."
                )
    write_plan(folder, plan)
    if not folder.facts_file.is_file():
        write_json(
            folder.facts_file,
            provenance(
                data=str(data.resolve()),
                data_root=str(catalog.root.resolve()),
                data_fingerprint=catalog.fingerprint,
                division=division,
                about=plan.about,
            ),
        )


def write_plan(folder: StudyFolder, plan: Plan) -> None:
    """Write the plan; a recipe file used as base is copied next to it."""
    source = dict(plan.source)
    if source.get("base", "seed") not in PRESETS:
        plan.given.save(folder.root / BASE_FILE)
        source["base"] = BASE_FILE
    write_text(folder.plan, yaml.safe_dump(source, sort_keys=False, allow_unicode=True))


def with_network(recipe: Recipe) -> Recipe:
    """Return the recipe with ``auto`` replaced by the network for this machine."""
    if recipe.learning.model != "auto":
        return recipe
    from pneumoscope.models.choice import choose_backbone  # noqa: PLC0415 - torch
    from pneumoscope.training.devices import best_device  # noqa: PLC0415

    return change_recipe(recipe, model=choose_backbone(best_device("auto")).model)


def enter(folder: StudyFolder, images: StudyImages, plan: Plan) -> list[Entered]:
    """Create folder, recipe and split of each run of a plan; return them in order.

    Raises:
        PneumoscopeError: The images cannot be split as set in a recipe.
    """
    return [enter_run(folder, images, plan, planned) for planned in plan.runs()]


def enter_run(folder: StudyFolder, images: StudyImages, plan: Plan, planned: Planned) -> Entered:
    """Create folder, recipe and split of a run.

    A run whose split is impossible, for example without a validation folder, counts as failed.
    """
    recipe = with_network(divided(planned.recipe, plan))
    digest, error = "none", ""
    try:
        split = images.split(recipe.data)
    except PneumoscopeError as fault:
        error = str(fault)
    else:
        digest = digest_of(images.catalog, split)
    place = folder.splits / f"{digest}.csv"
    if not error and not place.is_file():
        split.save(place, images.catalog)
    own = identity(recipe, fingerprint=images.catalog.fingerprint, split=digest)
    run = folder.run(planned.name, own)
    if not run.description_file.is_file():
        recipe.save(run.files.config)
        answers = {
            "title": planned.name,
            "identity": own,
            "split": place.name,
            "version": version(),
        }
        write_json(run.description_file, answers)
    if error:
        run.fail(error)
    return Entered(planned, run, place)


def divided(recipe: Recipe, plan: Plan) -> Recipe:
    """Return a recipe with the split of the plan, except for its own changes."""
    own, base = recipe.data, plan.base.data
    wanted = {
        "validation": plan.division.validation,
        "val_fraction": plan.division.val_fraction,
        "block": plan.division.block,
    }
    kept = {name: v for name, v in wanted.items() if getattr(own, name) == getattr(base, name)}
    return change_recipe(recipe, **kept)


def write_runs(
    folder: StudyFolder, entered: Sequence[Entered], *, more: Sequence[dict[str, Any]] = ()
) -> None:
    """Record in ``study.json`` which run answers which question."""
    update_json(
        folder.facts_file,
        {"runs": [
            {"run": item.run.name, "title": item.planned.name, "seed": item.planned.recipe.seed,
             "answers": [list(pair) for pair in item.planned.answers]}
            for item in entered
        ] + list(more)},
    )  # fmt: skip
