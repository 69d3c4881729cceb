"""What the command line calls the parameters that messages of the library name.

Messages name a parameter of Python: an ``OptionError`` by itself, others between backticks. Where
the verb that runs has an option for it, people read that option.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pneumoscope.errors import OptionError

if TYPE_CHECKING:
    import argparse

_FLAGS: dict[str, str] = {}


def speak_of(parser: argparse.ArgumentParser) -> None:
    """Name the options of this parser from now on."""
    _FLAGS.clear()
    for action in parser._actions:
        if action.option_strings and action.dest != "help":
            _FLAGS[action.dest] = action.option_strings[0]


def with_flags(text: str) -> str:
    """Return a text in which parameters between backticks are the options of the verb.

    Others stay as they are.
    """
    return re.sub(r"`([a-z_]+)`", lambda found: _FLAGS.get(found[1], found[0]), text)


def in_flags(fault: Exception) -> str:
    """Return the message of a fault, as the command line says it."""
    if not isinstance(fault, OptionError):
        return with_flags(str(fault))
    name = re.sub(
        r"(?<![-\w])[a-z][a-z_]*", lambda found: _FLAGS.get(found[0], found[0]), fault.name
    )
    return with_flags(name + fault.rest)
