"""Replace parameter names in messages by the options of the command line.

Messages name a parameter of Python: an ``OptionError`` by itself, others between backticks, as
`val_fraction` or with a value, as `validation=folder`. Where the verb that runs has an option for
it, people read that option. A verb that they name as a function, as `train(DATA, out=RUN)`, is read
as a command.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pneumoscope.errors import OptionError

if TYPE_CHECKING:
    import argparse

_FLAGS: dict[str, str] = {}
_OTHERWISE = {"part": "split", "class_map": "map"}
"""Parameters whose options are called otherwise."""


def speak_of(parser: argparse.ArgumentParser) -> None:
    """Use the options of this parser from now on."""
    _FLAGS.clear()
    for action in parser._actions:
        if action.option_strings and action.dest != "help":
            _FLAGS[action.dest] = action.option_strings[0]
    for parameter, name in _OTHERWISE.items():
        if name in _FLAGS:
            _FLAGS[parameter] = _FLAGS[name]


def with_flags(text: str) -> str:
    """Return a text with parameter names in backticks replaced by options.

    Others stay as they are.
    """
    text = re.sub(r"`([a-z]+)\(([^`]*)\)`", _command, text)
    return re.sub(r"`([a-z_]+)(?:=([^`]*))?`", _option, text)


def _option(found: re.Match[str]) -> str:
    flag = _FLAGS.get(found[1])
    if flag is None:
        return found[0]
    return f"{flag} {found[2]}" if found[2] else flag


def _command(found: re.Match[str]) -> str:
    words = ["pneumoscope", found[1]]
    for word in found[2].split(", "):
        name, sign, value = word.partition("=")
        words += [f"--{name.replace('_', '-')}", value] if sign else [word]
    return " ".join(words)


def in_flags(fault: Exception) -> str:
    """Return an error message with options instead of parameter names."""
    if not isinstance(fault, OptionError):
        return with_flags(str(fault))
    name = re.sub(
        r"(?<![-\w])[a-z][a-z_]*", lambda found: _FLAGS.get(found[0], found[0]), fault.name
    )
    return with_flags(name + fault.rest)
