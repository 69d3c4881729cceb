"""Replace parameter names in messages by the options of the command line.

Messages contain parameters of Python: in an ``OptionError`` as a separate field, in others in
backticks, such as `val_fraction`, or with a value, `validation=folder`. If the current verb has an
option for a parameter, it is shown instead. A verb named as a function, such as `train(DATA,
out=RUN)`, is shown as a command.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pneumoscope.errors import OptionError

if TYPE_CHECKING:
    import argparse

_FLAGS: dict[str, str] = {}
_OTHERWISE = {"part": "split", "class_map": "map"}
"""Parameters whose options have other names."""


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

    Others are unchanged.
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
