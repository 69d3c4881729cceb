"""The documentation site: it builds without a warning, and names everything that is public."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import pneumoscope

pytest.importorskip("sphinx", reason="Sphinx is not installed")

DOCS = Path(__file__).parents[1] / "docs"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the pages, built as ``make docs`` builds them."""
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-b", "html", "-W", "--keep-going", "-q"]
    done = subprocess.run(
        [*command, "-d", str(out / "trees"), str(DOCS), str(out / "html")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return out / "html"


def test_every_page_is_in_the_table_of_contents(site: Path) -> None:
    pages = {path.relative_to(DOCS).with_suffix("") for path in DOCS.rglob("*.md")}
    built = {path.relative_to(site).with_suffix("") for path in site.rglob("*.html")}
    assert pages <= built


def test_every_public_name_has_its_documentation(site: Path) -> None:
    page = (site / "reference/api.html").read_text(encoding="utf-8")
    found = set(re.findall(r'id="pneumoscope\.(\w+)"', page))
    assert set(pneumoscope.__all__) <= found


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert not re.findall(r'<(?:script|img|iframe)[^>]+src="https?://', text), page.name
        assert not re.findall(r'<link[^>]+rel="stylesheet"[^>]+href="https?://', text), page.name
