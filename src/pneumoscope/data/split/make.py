"""Make a split: draw or read it, then check it for leaks."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from pneumoscope.data.split.draw import (
    Block,
    block_or_share,
    draw_block,
    draw_folds,
    draw_share,
)
from pneumoscope.data.split.groups import groups_of, shared_between_parts
from pneumoscope.data.split.parts import UNUSED, Split, parts_in_file
from pneumoscope.errors import DataError, LeakError, OptionError, nearest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pneumoscope.data.catalog import Catalog
    from pneumoscope.data.copies import Copies

ENOUGH_TO_DECIDE = 100
"""Minimum size of a validation folder that is used by default; each class needs a fifth of it.

With 16 images the 95 % interval of an accuracy of 90 % is from 67 to 98 %.
"""

VALIDATIONS = ("auto", "grouped", "block", "kfold", "folder", "groups", "file")
"""Sources of validation rows; ``file`` means that ``read_split`` reads them."""


def split_catalog(
    catalog: Catalog,
    *,
    validation: str = "auto",
    fraction: float = 0.1,
    test_fraction: float = 0.0,
    block: str = "low",
    folds: int = 5,
    fold: int = 0,
    seed: int = 0,
    copies: Copies | None = None,
) -> Split:
    """Return a split without patients or copies of images in more than one set.

    Args:
        catalog: The images.
        validation: Source of the validation rows.

            ``grouped`` draws them from the training set, patient by patient, stratified by class
            and by the series of patient numbers (for the public data set, the etiology).

            ``block`` takes a contiguous block of the patient numbers of each series. If the data
            were split by number, like the folders of the public data set, this imitates the
            difference between training and test set better than random draws.

            ``kfold`` takes one of ``folds`` equal parts, drawn as by ``grouped``.

            ``folder`` takes the data's own ``val`` part.

            ``groups`` is ``block``, or ``grouped`` if patients have no numbers. These rows choose
            the epoch; held-out groups determine all other decisions (``data.split.new_groups``).

            ``auto`` is ``folder`` if that part is large enough for decisions, otherwise
            ``grouped``.
        fraction: The share of the training set that ``grouped`` and ``block`` take.
        test_fraction: The share drawn for testing if the data have no test set.
        block: ``low`` or ``high``, an end of the numbers; or ``K/N``, the K-th of N blocks with
            about equal numbers of images, regardless of ``fraction``.
        folds: Number of folds.
        fold: The validation fold, from 0.
        seed: Seed of random draws; ``block`` does not use it.
        copies: Images that show the same picture; if None, only identical files are connected.

    Raises:
        OptionError: An invalid value.
        DataError: A part would be empty or contain only one class, or patients have no numbers.

    A row of the training set whose patient or copy is in the data's own test set becomes
    ``unused``, as does a row that is connected to a block but outside it.
    """
    _check_options(validation, fraction=fraction, folds=folds, fold=fold)
    together = groups_of(catalog, copies)
    parts = _with_test(catalog, together, fraction=test_fraction, seed=seed)
    if validation == "auto":
        validation = "folder" if _decides(catalog, parts) else "grouped"
    chosen = Block.parse(block)
    if validation != "folder":
        parts = [UNUSED if part == "val" else part for part in parts]
    if validation == "grouped":
        draw_share(catalog, parts, together, into="val", fraction=fraction, seed=seed + 1)
    elif validation == "block":
        draw_block(catalog, parts, block=chosen, fraction=fraction)
    elif validation == "groups":
        block_or_share(catalog, parts, together, block=chosen, fraction=fraction, seed=seed + 1)
    elif validation == "kfold":
        numbers = draw_folds(catalog, parts, together, folds=folds, seed=seed + 1)
        parts = ["val" if k == fold else part for part, k in zip(parts, numbers, strict=True)]
    return _finished(catalog, parts, together)


def read_split(path: Path, catalog: Catalog, *, copies: Copies | None = None) -> Split:
    """Read a split from a file; rows that are not listed are ``unused``.

    Args:
        path: A CSV with ``path`` and ``split``.
        catalog: The images.
        copies: As for ``split_catalog``.

    Raises:
        DataError: The file is not a split, lists none of the images, or leaves a class without
            training or validation images.
        LeakError: A patient, or copies of an image, are in two sets.
    """
    split = parts_in_file(path, catalog)
    near = copies is not None and bool(copies.near)
    _check(catalog, split, groups_of(catalog, copies), near=near)
    return split


def _check_options(validation: str, *, fraction: float, folds: int, fold: int) -> None:
    if validation not in VALIDATIONS:
        raise OptionError(
            "validation",
            must=f"one of {', '.join(VALIDATIONS)}",
            was=validation,
            hint=nearest(validation, VALIDATIONS),
        )
    if validation == "file":
        raise OptionError("validation", must="combined with `split_file`", was=validation)
    _check_share("val_fraction", fraction, low=0.01)
    if not 2 <= folds <= 100:
        raise OptionError("folds", must="from 2 to 100", was=folds)
    if not 0 <= fold < folds:
        raise OptionError("fold", must=f"from 0 to {folds - 1}, one less than `folds`", was=fold)


def _check_share(name: str, value: float, *, low: float) -> None:
    if not low <= value <= 0.5:
        raise OptionError(name, must=f"a share from {low:g} to 0.5", was=value)


def _with_test(catalog: Catalog, groups: Sequence[int], *, fraction: float, seed: int) -> list[str]:
    """Return the sets given by the data, with a test set drawn on request."""
    _check_share("test_fraction", fraction, low=0.0)
    parts = [entry.split or "train" for entry in catalog.entries]
    if fraction and "test" in parts:
        raise OptionError("test_fraction", must="omitted if the data have a test set", was=fraction)
    if fraction:
        draw_share(catalog, parts, groups, into="test", fraction=fraction, seed=seed)
    return parts


def _finished(catalog: Catalog, parts: list[str], groups: Sequence[int]) -> Split:
    _set_leaks_aside(parts, groups)
    split = Split(tuple(parts))
    _check(catalog, split, groups)
    return split


def _set_leaks_aside(parts: list[str], groups: Sequence[int]) -> None:
    """Keep each group in its most important set: test, then validation, then training.

    Random draws keep groups whole; blocks, and folders of the data, may divide groups.
    """
    weight = {UNUSED: 0, "train": 1, "val": 2, "test": 3}
    heaviest: dict[int, str] = {}
    for group, part in zip(groups, parts, strict=True):
        heaviest[group] = max(heaviest.get(group, UNUSED), part, key=weight.__getitem__)
    for row, group in enumerate(groups):
        if parts[row] != heaviest[group]:
            parts[row] = UNUSED


def enough_to_decide(labels: Sequence[str], classes: Sequence[str]) -> bool:
    """Return whether there are at least 100 images and 20 of each class.

    Args:
        labels: Labels of the images.
        classes: All expected classes.
    """
    counts = Counter(labels)
    smallest = min((counts[name] for name in classes), default=0)
    return len(labels) >= ENOUGH_TO_DECIDE and smallest >= ENOUGH_TO_DECIDE // 5


def _decides(catalog: Catalog, parts: Sequence[str]) -> bool:
    pairs = zip(catalog.entries, parts, strict=True)
    return enough_to_decide([e.label for e, part in pairs if part == "val"], catalog.classes)


def _check_findings(catalog: Catalog, split: Split) -> None:
    """Raise DataError unless each finding can be learned and some finding can be validated."""
    labels = catalog.finding_labels
    for part in ("train", "val"):
        own = labels[split.rows(part)]
        both = (own == 1).any(axis=0) & (own == 0).any(axis=0)
        if part == "train" and not both.all():
            missing = [
                name for name, there in zip(catalog.findings, both, strict=True) if not there
            ]
            raise DataError(
                f"{catalog.root}: the set {part!r} has no images with and without "
                f"{', '.join(missing)}; leave it out of `findings`, or add images."
            )
        if not both.any():
            raise DataError(
                f"{catalog.root}: the set {part!r} has no finding with images of both kinds; more "
                "images, a larger `val_fraction`, or another `seed` or `validation` is needed."
            )


def _check(catalog: Catalog, split: Split, groups: Sequence[int], *, near: bool = False) -> None:
    if catalog.findings:
        _check_findings(catalog, split)
    for part in () if catalog.findings else ("train", "val"):
        labels = Counter(catalog.entries[row].label for row in split.rows(part))
        if any(labels[name] == 0 for name in catalog.classes):
            held = ", ".join(f"{name}: {labels[name]}" for name in catalog.classes)
            raise DataError(
                f"{catalog.root}: the set {part!r} lacks a class ({held}); use more images, a "
                "larger `val_fraction`, fewer `folds`, or another `seed`, `block` or "
                "`validation`."
            )
    leaks = shared_between_parts(split.parts, groups)
    if leaks:
        shown = ", ".join(
            f"{catalog.entries[row].path} ({split.parts[row]})" for row in leaks[0].rows[:4]
        )
        raise LeakError(
            f"{catalog.root}: {len(leaks)} patients or copies of an image are in more than one "
            f"set, for example {shown}; put each into one set."
            + (" Near copies count too, unless they are ignored." if near else "")
        )
