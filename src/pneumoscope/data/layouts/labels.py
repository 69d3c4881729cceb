"""Map the names of findings in the data to the classes of a reader."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from pneumoscope.errors import OptionError, closest, one_of

POLICIES: Final = ("ignore", "positive", "negative")
"""Ways to count uncertain labels."""

REST: Final = "*"
"""In a map: all other images."""

NO_CLASS: Final = "label not in the class map"
NO_LABEL: Final = "no label"
UNCERTAIN: Final = "uncertain label of the positive class"
SEVERAL: Final = "labels of several classes, none of them positive"
SEVERAL_POSITIVE: Final = "labels of several positive classes"

_BLANKS = re.compile(r"[\s_\-]+")


def plain(name: str) -> str:
    """Normalise a name: lower case, with one space for spaces, hyphens and underscores.

    >>> plain(" Lung_Opacity ")
    'lung opacity'
    """
    return _BLANKS.sub(" ", name).strip().casefold()


@dataclass(frozen=True, slots=True)
class ClassMap:
    """The names in the data that make up each class.

    Attributes:
        classes: (class, its names in the data); the name ``*`` represents all other images.
        inherited: Whether the map comes from a run and the data may differ from those of the run:
            names that do not occur in the data are no error, and the name of a class counts as
            well.

    Raises:
        OptionError: A name is in two classes, or a class has no names.
    """

    classes: tuple[tuple[str, tuple[str, ...]], ...]
    inherited: bool = False

    def __post_init__(self) -> None:
        taken: dict[str, str] = {}
        for new, names in self.classes:
            if not new or not names:
                raise OptionError(
                    "class_map", must="CLASS=NAME[,NAME…]", was=f"{new}={','.join(names)}"
                )
            for name in names:
                if taken.setdefault(plain(name) or name, new) != new:
                    raise OptionError(
                        "class_map", must="maps that assign each name to one class", was=name
                    )

    @classmethod
    def of(cls, values: Mapping[str, Sequence[str]], *, inherited: bool = False) -> ClassMap | None:
        """Return the map of ``{class: names}``; None if there are no classes."""
        if not values:
            return None
        return cls(tuple((new, tuple(names)) for new, names in values.items()), inherited)

    @property
    def names(self) -> dict[str, str]:
        """Normalised name in the data → class."""
        found = {plain(name): new for new, own in self.classes for name in own if name != REST}
        if self.inherited:
            for new, _ in self.classes:
                found.setdefault(plain(new), new)
        return found

    @property
    def rest(self) -> str:
        """The class of all other images; empty if there is none."""
        return next((new for new, own in self.classes if REST in own), "")

    def check(self, known: Sequence[str]) -> None:
        """Raise an error for names that do not occur in the data.

        Raises:
            OptionError: A name does not occur; the message suggests the closest.
        """
        if self.inherited:
            return
        there = {plain(name): name for name in known}
        for new, names in self.classes:
            for name in names:
                if name != REST and plain(name) not in there:
                    raise OptionError(
                        f"class_map {new}", must="names of the data", was=name,
                        hint=_hint(name, there),
                    )  # fmt: skip


def classify(  # noqa: PLR0911 - one return per rule
    names: Sequence[str],
    uncertain: Sequence[str],
    *,
    classes: ClassMap,
    positive: str | Sequence[str] | None,
    policy: str,
) -> tuple[str, str]:
    """Return the class of an image, or an empty one and the reason.

    An image is positive if any of its names belongs to the positive class. It belongs to another
    class only if all of its names do. An image with names of several positive classes has no class.

    Args:
        names: Findings that the image has.
        uncertain: Uncertain findings of the image.
        classes: The map.
        positive: The positive class or classes; None if undetermined.
        policy: How uncertain findings count.

    >>> pair = ClassMap((("PNEUMONIA", ("Pneumonia",)), ("NORMAL", ("No Finding",))))
    >>> classify(["Effusion", "pneumonia"], [], classes=pair, positive="PNEUMONIA", policy="ignore")
    ('PNEUMONIA', '')
    >>> classify(["No Finding", "Hernia"], [], classes=pair, positive="PNEUMONIA", policy="ignore")
    ('', 'label not in the class map')
    """
    known, rest = classes.names, classes.rest
    maybe = [plain(name) for name in uncertain]
    present = [plain(name) for name in names] + (maybe if policy == "positive" else [])
    hits = {known[name] for name in present if name in known}
    group = {positive} if isinstance(positive, str) else set(positive or ())
    if len(hits & group) > 1:
        return "", SEVERAL_POSITIVE
    if hits & group:
        return (hits & group).pop(), ""
    doubted = policy != "positive" and any(known.get(name) in group for name in maybe)
    if doubted and policy == "ignore":
        return "", UNCERTAIN
    others = [name for name in present if name not in known]
    if policy == "ignore":
        others += [name for name in maybe if name not in known]
    if rest and (others or not hits):
        return rest, ""
    if others:
        return "", NO_CLASS
    if len(hits) > 1:
        return "", SEVERAL
    if hits:
        return hits.pop(), ""
    negative = [new for new, _ in classes.classes if new not in group]
    if doubted and len(negative) == 1:
        return negative[0], ""
    return "", NO_LABEL


def check_policy(policy: str) -> None:
    """Raise an error for an unknown policy for uncertain labels.

    Raises:
        OptionError: It is not one of ``POLICIES``.
    """
    one_of("uncertain_labels", policy, POLICIES)


def in_short(counts: Counter[str], *, most: int = 8) -> str:
    """Return the most frequent names with their counts.

    >>> in_short(Counter({"Effusion": 12, "Mass": 3}))
    'Effusion 12, Mass 3'
    """
    text = ", ".join(f"{name or '(none)'} {n:,}" for name, n in counts.most_common(most))
    more = len(counts) - most
    return f"{text}, and {more} more" if more > 0 else text


def _hint(name: str, there: Mapping[str, str]) -> str:
    """Return the closest name in the data, or all of them."""
    close = closest(plain(name), there)
    if close is None:
        return f"Known: {', '.join(there.values())}."
    return f"Did you mean {there[close]!r}?"
