"""The public names."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pneumoscope
from pneumoscope import errors


def test_every_public_name_is_there_and_typed() -> None:
    source = Path(pneumoscope.__file__).read_text(encoding="utf-8")
    typed = {
        alias.asname
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname
    }
    assert typed == set(pneumoscope.__all__) == set(dir(pneumoscope))
    for name in pneumoscope.__all__:
        assert getattr(pneumoscope, name).__doc__, name
    assert not hasattr(pneumoscope, "no_such_name")


def test_the_drawn_tree_of_exceptions_is_the_real_one() -> None:
    drawn = re.findall(r"[│├└─ ]*(\w+Error)", (errors.__doc__ or "").split("::")[1])
    real = [
        value.__name__
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, Exception)
    ]
    assert sorted(drawn) == sorted(real)
