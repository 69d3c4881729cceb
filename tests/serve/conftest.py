"""One service for the tests that do not change it."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest

from helpers.service import Running, running

pytest.importorskip("uvicorn", reason="the extra 'serve' is not installed")

from PIL import Image

from pneumoscope.data.phantom import render


@pytest.fixture(scope="session")
def xray() -> bytes:
    """Return a generated radiograph as JPEG."""
    out = io.BytesIO()
    Image.fromarray(render("NORMAL", patient_seed=5, size_px=(500, 600)).pixels).save(
        out, format="JPEG", quality=90
    )
    return out.getvalue()


@pytest.fixture(scope="session")
def service() -> Iterator[Running]:
    """Return a service with two processes."""
    with running("--workers", "2") as found:
        yield found
