"""Whether pages have drawings, which take most of the time of a tiny run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from pneumoscope.report import canvas

_can_draw = canvas.can_draw


def never() -> bool:
    """Return that drawing is not available."""
    return False


@contextmanager
def drawing(on: bool = True) -> Iterator[None]:
    """Enable or disable drawings of pages inside the ``with`` block."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(canvas, "can_draw", _can_draw if on else never)
        yield
