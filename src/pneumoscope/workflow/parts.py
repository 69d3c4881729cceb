"""Labelled images with their relation to a reader."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pneumoscope.data.catalog import Catalog, read_catalog
from pneumoscope.data.cohort import ALL, Cohort, Origin
from pneumoscope.data.layouts import ClassMap, DataOptions
from pneumoscope.data.patients import PatientPattern
from pneumoscope.errors import ModelFileError, OptionError
from pneumoscope.reader.model_file.training_hashes import known_hashes
from pneumoscope.runs import RunFolder, rows_of
from pneumoscope.training.recipe import Recipe
from pneumoscope.workflow.places import data_of

if TYPE_CHECKING:
    from pneumoscope.data.relation import Relation
    from pneumoscope.labels import LabelSpace
    from pneumoscope.reader.model_file.metadata import ModelInfo
    from pneumoscope.watch import Watcher


def report_notes(catalog: Catalog, watcher: Watcher) -> None:
    """Print how the data were read, and warn about excluded rows."""
    for note in catalog.notes:
        watcher.say(note)
    for item in catalog.left_out:
        watcher.warn(str(item))


@dataclass(frozen=True, slots=True, eq=False)
class DataSource:
    """Labelled images for one or several readers; shared work is done once.

    Attributes:
        data: The data, as for ``read_catalog``.
        watcher: Receives progress reports, and how the data were interpreted.
        options: The class map, and how to read a table; options that are not given are taken from
            the reader's run.
        patient_regex: Regular expression that extracts the patient from a path. If None, that of
            the reader's run, if it matches.
    """

    data: Path
    watcher: Watcher
    options: DataOptions | None = None
    patient_regex: str | None = None
    _read: list[tuple[_How, Catalog]] = field(default_factory=list)

    def cohort(self, reader: Path, info: ModelInfo) -> Cohort:
        """Return the images with their parts and their relation to a reader.

        Args:
            reader: A run folder or a model file. If most images belong to a run, the parts are
                those of the run; otherwise those of the data.
            info: Metadata of its model file.

        Raises:
            DataError: The data or the run cannot be read.
            ModelFileError: The hashes of training images in the model file are damaged.
            OptionError: An option does not fit the data.
        """
        run = RunFolder(reader) if reader.is_dir() else None
        recipe = Recipe.load(run.config) if run is not None and run.config.is_file() else None
        pattern = None
        if self.patient_regex is not None:
            pattern = PatientPattern(self.patient_regex)
        elif recipe is not None and recipe.data.patient_regex is not None:
            pattern = PatientPattern(recipe.data.patient_regex, inherited=True)
        options = _options(run, recipe, self.data, self.options)
        how = (
            _How(None, pattern, _of_findings(info, recipe, options))
            if info.findings
            else _How(info.labels, pattern, options)
        )
        catalog = next((found for before, found in self._read if before == how), None)
        if catalog is None:
            catalog = self._catalog(how)
        return Cohort.of(catalog, origin_of(reader, info))

    def _catalog(self, how: _How) -> Catalog:
        with self.watcher.progress("Reading the folder") as progress:
            catalog = read_catalog(
                self.data,
                classes=how.classes,
                patient_regex=how.pattern,
                options=how.options,
                progress=progress,
            )
        report_notes(catalog, self.watcher)
        self._read.append((how, catalog))
        return catalog


@dataclass(frozen=True, slots=True)
class _How:
    """Options for reading data."""

    classes: LabelSpace | None
    pattern: PatientPattern | None
    options: DataOptions | None


def _of_findings(
    info: ModelInfo, recipe: Recipe | None, options: DataOptions | None
) -> DataOptions:
    """Return the options for a reader of several findings: the findings present in the data."""
    options = options or DataOptions()
    if options.classes is not None:
        raise OptionError(
            "class_map", must="omitted with a reader of several findings", was=info.classes
        )
    unlabelled = recipe.data.unlabelled if recipe is not None else None
    given = options.unlabelled if options.unlabelled != "ignore" else unlabelled or "ignore"
    return replace(options, findings=info.classes, unlabelled=given, lenient=True)


def _options(
    run: RunFolder | None, recipe: Recipe | None, data: Path, requested: DataOptions | None
) -> DataOptions | None:
    """Return the options for reading data: as requested, otherwise as in the run.

    On the run's own data, all of its options apply; on other data its classes do, as far as their
    names occur.
    """
    if recipe is None:
        return requested
    before = data_of(run)
    same = before is not None and before.resolve() == data.resolve()
    if same and requested is None:
        return recipe.data.options()
    if recipe.data.findings is not None:
        return requested or DataOptions(uncertain=recipe.data.uncertain_labels or "ignore")
    classes = ClassMap.of(recipe.data.class_map, inherited=True)
    if requested is None:
        return DataOptions(classes=classes, uncertain=recipe.data.uncertain_labels or "ignore")
    return requested if requested.classes is not None else replace(requested, classes=classes)


def origin_of(reader: Path, info: ModelInfo) -> Origin | None:
    """Return the training data of a reader, from its run or its model file.

    Args:
        reader: A run folder or a model file.
        info: Metadata of its model file.

    Returns:
        The images, or None if unknown.

    Raises:
        DataError: The tables of the run cannot be read.
        ModelFileError: The hashes of the model file are damaged.
    """
    origin = Origin.of_run(RunFolder(reader)) if reader.is_dir() else None
    if origin is not None:
        return origin
    try:
        known = {part: known_hashes(info.learnt, part) for part in ("val", "train")}
        names = known_hashes(info.learnt, "train", of="names")
    except ValueError as fault:
        raise ModelFileError(f"{reader}: {fault}.") from fault
    part_of = {digest.hex(): part for part, hashes in known.items() for digest in hashes}
    if not part_of:
        return None
    return Origin(
        part_of,
        digits=len(next(iter(part_of))),
        whole=False,
        names=frozenset(name.hex() for name in names),
    )


def is_whole(run: RunFolder, catalog: Catalog, part: str) -> bool:
    """Return whether a catalog contains exactly the images of a part of a run."""
    parts = {row["path"]: row["split"] for row in rows_of(run.split)}
    wanted = {
        (row["path"], row["sha256"])
        for row in rows_of(run.catalog)
        if part in {parts.get(row["path"]), ALL}
    }
    return wanted == {(entry.path, entry.sha256) for entry in catalog.entries}


def warn_of_training(relation: Relation, watcher: Watcher, *, reader: str = "") -> None:
    """Warn if a reader is evaluated on its training images.

    Args:
        relation: Relation of the images to the reader.
        watcher: Receives warnings.
        reader: Name of the reader, if there are several.
    """
    called = f"{reader}: " if reader else ""
    if relation.same_names:
        watcher.warn(f"{called}{same_names_text(relation.same_names, len(relation.named))}")
    elif relation.seen:
        watcher.warn(
            f"{called}the reader was trained on {relation.seen} of {len(relation.trained_on)} "
            "images, or on other images of their patients: these results do not apply to new "
            "patients."
        )


def same_names_text(count: int, images: int) -> str:
    """Describe images that have the names of training images."""
    return (
        f"{count:,} of {images:,} images have the names of training images: if they are the same "
        "images in another size or format, these results do not apply to new patients."
    )
