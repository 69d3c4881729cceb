"""Map the names in the data to the classes of a task, and determine the positive ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from pneumoscope.data.entries import Entry
from pneumoscope.data.layouts import DataOptions, Listing
from pneumoscope.data.layouts.labels import plain
from pneumoscope.data.layouts.listing import MANIFEST
from pneumoscope.errors import DataError, OptionError, nearest
from pneumoscope.labels import LabelSpace

POSITIVE: Final = "PNEUMONIA"
"""The positive class by default, if present, in any case."""

_LAYOUT = (
    " Expected: class folders (NORMAL/, PNEUMONIA/); train/, val/ and test/ with class folders "
    "inside; a CSV with the columns path,label[,patient][,study][,split]; or the folder of a "
    "public data set."
)
_SHOWN = 30
MOST_CLASSES: Final = 100
"""More distinct labels than this are not interpreted as the classes of a task."""
_NEGATIVE_WORDS = ("no finding", "normal", "healthy", "negative")
_POSITIVE_WORDS = ("pneumonia", "bacteria", "virus", "viral", "covid", "positive")


def positive_of_map(
    data: Path, options: DataOptions, *, fixed: LabelSpace | None, positive: str | None
) -> tuple[str, ...] | None:
    """Return the positive classes of a map, or None without a map.

    Args:
        data: The folder or table, for messages.
        options: Options with the map.
        fixed: The classes of an existing model.
        positive: The positive class, or several; see ``positive_group``.

    Raises:
        DataError: The map does not determine them.
        OptionError: ``positive`` is not a class of the map.
    """
    if options.classes is None:
        return None
    known = [new for new, _ in options.classes.classes]
    if fixed is not None:
        there = (find_class(name, known) for name in fixed.positive)
        return tuple(name for name in there if name is not None)
    return _group(data, known, positive, of="`class_map`")[0]


def classes_of_data(
    data: Path, listing: Listing, *, fixed: LabelSpace | None, positive: str | None
) -> tuple[list[Entry], LabelSpace]:
    """Return the entries with consistently spelled classes, and the classes.

    Args:
        data: The folder or table, for messages.
        listing: Its images.
        fixed: The classes of an existing model.
        positive: The positive class, or several; see ``positive_group``.

    Raises:
        DataError: No images, fewer than two classes, or an unknown class.
        OptionError: ``positive`` is not a class of the data.
    """
    found = list(listing.entries)
    if not any(entry.label for entry in found):
        if listing.names or listing.layout:
            held = ", ".join(str(item) for item in listing.left_out) or "no rows"
            raise DataError(f"{data}: no images remain ({held}).{map_command(listing)}")
        raise DataError(f"{data}: no files in class folders.{_LAYOUT}")
    if fixed:
        found = _respelled(found, fixed.names)
        for name in sorted({entry.label for entry in found} - set(fixed.names)):
            pair = (fixed.names[0], fixed.names[1]) if len(fixed) == 2 else None
            raise DataError(
                f"{data}: unknown class {name!r}; the model has {' and '.join(fixed.names)}. "
                f"{nearest(name, fixed.names)}{map_command(listing, pair)}"
            )
        return found, fixed
    training = [entry for entry in found if entry.split in {"train", ""}] or found
    counts = Counter(entry.label for entry in training)
    found = _respelled(found, [name for name, _ in counts.most_common()])
    training = [entry for entry in found if entry.split in {"train", ""}] or found
    return found, _space(data, listing, found, Counter(e.label for e in training), positive)


def _space(
    data: Path,
    listing: Listing,
    found: Sequence[Entry],
    training: Counter[str],
    positive: str | None,
) -> LabelSpace:
    """Return the classes of the training set: the negative ones first, each in order."""
    if not _are_classes(listing, training, named=positive is not None):
        raise DataError(_not_classes(data, listing, training))
    for name in Counter(entry.label for entry in found):
        if name not in training:
            raise DataError(
                f"{data}: unknown class {name!r}, which is not in the training set. "
                + nearest(name, training)
            )
    more = map_command(listing) if len(training) > 2 and not listing.mapped else ""
    group, title = _group(data, sorted(training), positive, of="the data", more=more)
    negative = [name for name in sorted(training) if name not in group]
    return LabelSpace.of([*negative, *group], group, title)


def _are_classes(listing: Listing, training: Counter[str], *, named: bool) -> bool:
    """Return whether the labels of the training set are the classes of a task.

    Two labels always are. More labels are if they come from class folders, a table with one label
    per image, or a map. Those of a public data set only are if the positive classes are named,
    since an image may have several findings there.
    """
    if len(training) == 2 or listing.mapped:
        return len(training) >= 2
    single = listing.layout is None or listing.layout.name in {MANIFEST.name, "columns"}
    joined = any("|" in name or name.endswith("?") for name in training)
    return 2 < len(training) <= MOST_CLASSES and (single or named) and not joined


def _group(
    data: Path, known: Sequence[str], positive: str | None, *, of: str, more: str = ""
) -> tuple[tuple[str, ...], str]:
    """Return the positive classes as the data spell them, in order, and the name of the group.

    Raises:
        DataError: The positive classes are not determined.
        OptionError: A named class does not exist, or no negative class is left.
    """
    if positive is not None:
        return positive_group(positive, known, of=of)
    if own := find_class(POSITIVE, known):
        return (own,), ""
    guessed, negative = _guessed(Counter(known))
    if len(known) > 2 and negative and len(guessed) == len(known) - 1:
        return tuple(sorted(guessed)), ""
    choice = "one of them" if len(known) <= 2 else "one or several of them, such as CLASS,CLASS"
    raise DataError(
        f"{data}: the positive class of {' and '.join(sorted(known))} is unknown; set `positive` "
        f"to {choice}.{more}"
    )


def positive_group(
    text: str, known: Sequence[str], *, of: str = "the data"
) -> tuple[tuple[str, ...], str]:
    """Parse the positive classes, in order, and the name of their group.

    >>> positive_group("virus,bacteria", ["NORMAL", "BACTERIA", "VIRUS"])
    (('BACTERIA', 'VIRUS'), '')
    >>> positive_group("PNEUMONIA=BACTERIA,VIRUS", ["NORMAL", "BACTERIA", "VIRUS"])
    (('BACTERIA', 'VIRUS'), 'PNEUMONIA')

    Args:
        text: A class, or several separated by commas, or ``NAME=CLASS,CLASS``.
        known: The classes, as spelled in the data.
        of: What the classes belong to, for messages.

    Raises:
        OptionError: A named class does not exist, or all classes are named.
    """
    if own := find_class(text, known):
        return (own,), ""
    group = set()
    for name in names_in(text) or (text,):
        own = find_class(name, known)
        if own is None:
            raise OptionError(
                "positive", must=f"a class from {of}", was=name, hint=nearest(name, sorted(known))
            )
        group.add(own)
    if len(group) == len(set(known)):
        raise OptionError("positive", must="some of the classes, not all of them", was=text)
    return tuple(sorted(group)), text.rpartition("=")[0].strip()


def names_in(positive: str | None) -> tuple[str, ...]:
    """Return the class names in an argument of ``positive_group``; PNEUMONIA for None.

    >>> names_in("PNEUMONIA=BACTERIA,VIRUS")
    ('BACTERIA', 'VIRUS')
    """
    if positive is None:
        return (POSITIVE,)
    return tuple(name.strip() for name in positive.rpartition("=")[2].split(",") if name.strip())


def find_class(name: str, known: Iterable[str]) -> str | None:
    """Return a class as spelled in the data, ignoring case; None if unknown."""
    names = list(known)
    if name in names:
        return name
    fitting = [own for own in names if plain(own) == plain(name)]
    return fitting[0] if len(fitting) == 1 else None


def map_command(listing: Listing, classes: tuple[str, str] | None = None) -> str:
    """Return a hint with ``--map`` options that would define two classes; empty without names.

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
    return f"\nAssign the names to two classes, for example: {' '.join(texts)}"


def _guessed(names: Counter[str]) -> tuple[list[str], list[str]]:
    """Return names that probably belong to the positive and to the negative class."""
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


def _not_classes(data: Path, listing: Listing, training: Counter[str]) -> str:
    names = listing.names if listing.names and not listing.mapped else training
    shown = ", ".join(f"{name}: {n:,}" for name, n in names.most_common(_SHOWN))
    more = f", and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    text = f"{data}: two classes are needed, found {len(names)} ({shown}{more})."
    if listing.mapped:
        held = "".join(f" {item}." for item in listing.left_out)
        return f"{text} `class_map` must give both classes, each with names from the data.{held}"
    if len(names) > 1:
        return text + map_command(listing)
    return text + _LAYOUT


def _respelled(found: Sequence[Entry], names: Sequence[str]) -> list[Entry]:
    """Return entries with labels spelled as in ``names``, the first of equal ones."""
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
