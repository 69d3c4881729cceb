"""Pages with their drawings."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from helpers.drawing import drawing


@pytest.fixture(scope="module", autouse=True)
def _with_drawings() -> Iterator[None]:
    with drawing():
        yield
