"""Metadata of recipe fields: bounds, help and command-line options.

Command-line options and checks are generated from it; the fields are not listed anywhere else.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pneumoscope.errors import OptionError, in_range, one_of

_KEY = "setting"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """The metadata of one value.

    Attributes:
        name: The field, or the part of a field, that the value sets.
        about: Description, for the help.
        kind: ``bool``, ``int``, ``float`` or ``str``; ``tuple`` is a list of integers separated by
            commas.
        optional: Whether the value may be None.
        choices: Valid words; any if empty.
        words: Words that are valid instead of a number.
        low: Minimum, with ``high``; if None, the user of the value checks it.
        high: Maximum.
        flag: Name of the command-line option, if it differs from the name with hyphens; empty for
            no option.
        metavar: Name of the value in the help.
        parts: Settings of its parts, if the value is composite.
    """

    name: str = ""
    about: str
    kind: type = str
    optional: bool = False
    choices: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    flag: str | None = None
    metavar: str | None = None
    parts: tuple[Setting, ...] = ()

    def check(self, value: object) -> None:
        """Raise an error for an invalid value.

        Raises:
            OptionError: The value has the wrong type, is out of bounds, or is an unknown word.
        """
        if (value is None and self.optional) or (isinstance(value, str) and value in self.words):
            return
        if self.kind is bool and not isinstance(value, bool):
            raise OptionError(self.name, must="true or false", was=value)
        if self.kind is int and (isinstance(value, bool) or not isinstance(value, int)):
            raise OptionError(self.name, must="a whole number", was=value)
        if self.kind is str and not isinstance(value, str):
            raise OptionError(self.name, must="a string", was=value)
        if self.choices:
            one_of(self.name, str(value), self.choices)
        if self.low is not None and self.high is not None:
            in_range(self.name, value, low=self.low, high=self.high)  # type: ignore[arg-type]
        elif self.kind is float and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise OptionError(self.name, must="a number", was=value)


def setting(
    default: object,
    about: str,
    *,
    between: tuple[float, float] | None = None,
    choices: Sequence[str] = (),
    words: Sequence[str] = (),
    flag: str | None = None,
    metavar: str | None = None,
    kind: type | None = None,
) -> Any:
    """Return a dataclass field with one value; see ``Setting``.

    Args:
        default: Default value, which determines the type.
        about: Description, for the help.
        between: Minimum and maximum.
        choices: Valid words.
        words: Words that are valid instead of a number.
        flag: Name of the command-line option, if it differs from the name with hyphens; empty for
            no option.
        metavar: Name of the value in the help.
        kind: Type, if the default is None.
    """
    low, high = between or (None, None)
    found = Setting(
        about=about,
        kind=kind or (str if default is None else type(default)),
        optional=default is None,
        choices=tuple(choices),
        words=tuple(words),
        low=low,
        high=high,
        flag=flag,
        metavar=metavar,
    )
    return dataclasses.field(default=default, metadata={_KEY: found})


def composite(factory: Callable[[], object], about: str, *parts: Setting) -> Any:
    """Return a dataclass field that holds several values; the options set its ``parts``."""
    found = Setting(about=about, kind=dict, flag="", parts=parts)
    return dataclasses.field(default_factory=factory, metadata={_KEY: found})


def settings_of(kind: type[Any]) -> Iterator[Setting]:
    """Yield the settings of a dataclass in the order of its fields."""
    for own in _own_settings(kind):
        yield from own.parts or (own,)


def _own_settings(kind: Any) -> Iterator[Setting]:
    for field in dataclasses.fields(kind):
        if _KEY in field.metadata:
            yield dataclasses.replace(field.metadata[_KEY], name=field.name)


def check_settings(value: Any) -> None:
    """Raise an error for invalid values of a settings dataclass.

    Raises:
        OptionError: For the first invalid value.
    """
    for own in _own_settings(value):
        if own.kind is not dict:
            own.check(getattr(value, own.name))
