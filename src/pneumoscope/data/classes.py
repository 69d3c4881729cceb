"""The names in the data → (negative, positive)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from pneumoscope.data.entries import Entry
from pneumoscope.data.layouts import DataOptions, Listing
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
_POSITIVE_WORDS = ("pneumonia", "bacteria", "virus", "viral", "covid", "positive")


def positive_of_map(
    data: Path, options: DataOptions, *, classes: tuple[str, str] | None, positive: str | None
) -> str | None:
    """Return the positive class of a map, None where there is no map.

    Args:
        data: The folder or table, for messages.
        options: With the map.
        classes: (negative, positive) where a model has fixed them.
        positive: The class whose probability is wanted; PNEUMONIA where it exists.

    Raises:
        DataError: The map does not tell.
        OptionError: ``positive`` is no class of the map.
    """
    if options.classes is None:
        return None
    known = [new for new, _ in options.classes.classes]
    wanted = classes[1] if classes else positive or POSITIVE
    found = find_class(wanted, known)
    if found is None and classes is None and positive is not None:
        raise OptionError(
            "positive", must="a class of `class_map`", was=positive, hint=nearest(positive, known)
        )
    if found is None and classes is None:
        raise DataError(
            f"{data}: which of {' and '.join(known)} is the finding? Name it with `positive`."
        )
    return found


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
            raise DataError(f"{data}: no image is left ({held}).{map_command(listing)}")
        raise DataError(f"{data}: holds no files in class folders.{_LAYOUT}")
    if classes:
        found = _respelled(found, classes)
        for name in sorted({entry.label for entry in found} - set(classes)):
            raise DataError(
                f"{data}: unknown class {name!r}, the model knows {' and '.join(classes)}. "
                f"{nearest(name, classes)}{map_command(listing, classes)}"
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
            "positive",
            must="a class of the data",
            was=positive,
            hint=nearest(positive, sorted(training)),
        )
    chosen = chosen or find_class(POSITIVE, training)
    if chosen is None:
        raise DataError(
            f"{data}: which of {' and '.join(sorted(training))} is the finding? "
            "Name it with `positive`."
        )
    (negative,) = (name for name in training if name != chosen)
    return negative, chosen


def find_class(name: str, known: Iterable[str]) -> str | None:
    """Return a class as the data spell it, in whatever case it was asked for; None if unknown."""
    names = list(known)
    if name in names:
        return name
    fitting = [own for own in names if plain(own) == plain(name)]
    return fitting[0] if len(fitting) == 1 else None


def map_command(listing: Listing, classes: tuple[str, str] | None = None) -> str:
    """Return a hint with ``--map`` options that would make two classes; empty without names.

    Args:
        listing: The data.
        classes: (negative, positive) of a model, if there is one.
    """
    if not listing.names:
        return ""
    known = listing.layout.suggest if listing.layout else {}
    suggested = {new: [name for name in own if name in listing.names] for new, own in known.items()}
    if len(suggested) == 2 and all(suggested.values()):
        (first, positive), (second, negative) = suggested.items()
    else:
        first, second = POSITIVE, "NORMAL"
        positive, negative = _guessed(listing.names)
    if classes:
        second, first = classes
    texts = [
        f"`class_map={_quoted(first)}={_quoted(','.join(positive) or 'NAME')}`",
        f"`class_map={_quoted(second)}={_quoted(','.join(negative) or 'NAME')}`",
    ]
    if not classes and plain(first) != plain(POSITIVE):
        texts.append(f"`positive={_quoted(first)}`")
    return f"\nSay which names make up which class, for example: {' '.join(texts)}"


def _guessed(names: Counter[str]) -> tuple[list[str], list[str]]:
    """Return names that may be of the positive and of the negative class."""
    words = {name: plain(name) for name in names}
    negative = [name for word in _NEGATIVE_WORDS for name, own in words.items() if own == word]
    negative = negative[:1] or [name for name, own in words.items() if own.startswith("no ")][:1]
    positive = [
        name
        for name, own in words.items()
        if name not in negative
        and not own.startswith("no ")
        and any(word in own for word in _POSITIVE_WORDS)
    ]
    return positive, negative


def _not_two(data: Path, listing: Listing, training: Counter[str]) -> str:
    names = listing.names if listing.names and not listing.mapped else training
    shown = ", ".join(f"{name}: {n:,}" for name, n in names.most_common(_SHOWN))
    more = f", and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    text = f"{data}: two classes are needed, found {len(names)} ({shown}{more})."
    if listing.mapped:
        held = "".join(f" {item}." for item in listing.left_out)
        return f"{text} `class_map` must name both classes, each with names of the data.{held}"
    if len(names) > 1:
        return text + map_command(listing)
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
