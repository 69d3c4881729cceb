"""The names in the data → (negative, positive)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from pneumoscope.data.entries import Entry
from pneumoscope.data.layouts import Listing
from pneumoscope.data.layouts.labels import plain
from pneumoscope.errors import DataError, OptionError, nearest

POSITIVE: Final = "PNEUMONIA"
"""The class whose probability is given where there is one of this name, in any case."""

_LAYOUT = (
    " Expected are class folders (NORMAL/, PNEUMONIA/), or train/, val/, test/ with class "
    "folders inside, or a CSV with the columns path,label[,patient][,study][,split], or the "
    "folder of a public data set."
)
_SHOWN = 30
_NEGATIVE_WORDS = ("no finding", "normal", "healthy", "negative")
_POSITIVE_WORDS = ("pneumonia", "bacteria", "virus", "covid", "opacity", "positive")


def classes_of_data(
    data: Path, listing: Listing, *, classes: tuple[str, str] | None, positive: str | None
) -> tuple[list[Entry], tuple[str, str]]:
    """Return the entries, with each class spelled in one way, and (negative, positive).

    Args:
        data: The folder or table, for messages.
        listing: Its images.
        classes: (negative, positive) where a model has fixed them.
        positive: The class whose probability is wanted; PNEUMONIA where it exists.

    Raises:
        DataError: No images, not two classes, or an unknown class.
        OptionError: ``positive`` is no class of the data.
    """
    found = list(listing.entries)
    if not any(entry.label for entry in found):
        if listing.names or listing.layout:
            held = ", ".join(str(item) for item in listing.left_out) or "no rows"
            raise DataError(f"{data}: no image is left ({held}).{map_command(listing.names)}")
        raise DataError(f"{data}: holds no files in class folders.{_LAYOUT}")
    if classes:
        found = _respelled(found, classes)
        for name in sorted({entry.label for entry in found} - set(classes)):
            raise DataError(
                f"{data}: unknown class {name!r}, the model knows {' and '.join(classes)}. "
                f"{nearest(name, classes)}{map_command(listing.names, classes)}"
            )
        return found, classes
    training = [entry for entry in found if entry.split in {"train", ""}] or found
    counts = Counter(entry.label for entry in training)
    found = _respelled(found, [name for name, _ in counts.most_common()])
    training = [entry for entry in found if entry.split in {"train", ""}] or found
    return found, _pair(data, listing, found, Counter(e.label for e in training), positive)


def _pair(
    data: Path,
    listing: Listing,
    found: Sequence[Entry],
    training: Counter[str],
    positive: str | None,
) -> tuple[str, str]:
    """Return (negative, positive)."""
    if len(training) != 2:
        raise DataError(_not_two(data, listing, training))
    for name in Counter(entry.label for entry in found):
        if name not in training:
            raise DataError(
                f"{data}: unknown class {name!r}, which the training part does not have. "
                + nearest(name, training)
            )
    chosen = find_class(positive, training) if positive is not None else None
    if positive is not None and chosen is None:
        raise OptionError(
            "--positive",
            must="a class of the data",
            was=positive,
            hint=nearest(positive, sorted(training)),
        )
    chosen = chosen or find_class(POSITIVE, training)
    if chosen is None:
        raise DataError(
            f"{data}: which of {' and '.join(sorted(training))} is the finding? "
            "Name it with --positive."
        )
    (negative,) = (name for name in training if name != chosen)
    return negative, chosen


def find_class(name: str, known: Sequence[str] | Counter[str]) -> str | None:
    """Return a class as the data spell it, in whatever case it was asked for; None if unknown."""
    if name in known:
        return name
    fitting = [own for own in known if plain(own) == plain(name)]
    return fitting[0] if len(fitting) == 1 else None


def map_command(names: Counter[str], classes: tuple[str, str] | None = None) -> str:
    """Return a hint with ``--map`` options that would make two classes; empty without names.

    Args:
        names: How many images have each finding.
        classes: (negative, positive) of a model, if there is one.
    """
    if not names:
        return ""
    lower = {name: plain(name) for name in names}
    negative = [name for word in _NEGATIVE_WORDS for name, own in lower.items() if own == word] or [
        name for name, own in lower.items() if own.startswith("no ")
    ]
    positive: list[str] = []
    for word in _POSITIVE_WORDS:
        matching = [n for n, own in lower.items() if word in own and n not in negative]
        if matching and not (positive and word == "opacity"):
            positive += [name for name in matching if name not in positive]
    own = classes or ("NORMAL", POSITIVE)
    texts = [
        f"--map {_quoted(own[1])}={_quoted(','.join(positive) or 'NAME,NAME')}",
        f"--map {_quoted(own[0])}={_quoted(','.join(negative[:1]) or 'NAME')}",
    ]
    return f"\nSay which names make up which class, for example: {' '.join(texts)}"


def _not_two(data: Path, listing: Listing, training: Counter[str]) -> str:
    names = listing.names if listing.names and not listing.mapped else training
    shown = ", ".join(f"{name}: {n:,}" for name, n in names.most_common(_SHOWN))
    more = f", and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    text = f"{data}: two classes are needed, found {len(names)} ({shown}{more})."
    if listing.mapped:
        held = "".join(f" {item}." for item in listing.left_out)
        return f"{text} --map must name both classes, each with names of the data.{held}"
    if len(names) > 1:
        return text + map_command(listing.names)
    return text + _LAYOUT


def _respelled(found: Sequence[Entry], names: Sequence[str]) -> list[Entry]:
    """Return entries whose labels are spelled as in ``names``, the first of equal ones."""
    spelled: dict[str, str] = {}
    for name in names:
        spelled.setdefault(plain(name), name)
    return [
        entry
        if entry.label in ("", own := spelled.get(plain(entry.label), entry.label))
        else replace(entry, label=own)
        for entry in found
    ]


def _quoted(text: str) -> str:
    return f'"{text}"' if " " in text else text
