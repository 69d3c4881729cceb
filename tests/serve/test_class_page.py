"""The page of a reader of three classes, in a real browser."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from helpers.browser import CHROMIUM, browser, opened, transfer
from helpers.classes import KINDS, write_kinds
from helpers.service import running
from pneumoscope.client import Client

pytest.importorskip("playwright", reason="the extra 'dev' is not installed")
if CHROMIUM is None:
    pytest.skip("no Chromium; tools/install_test_services.sh", allow_module_level=True)

from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Route

expect.set_options(timeout=60_000)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as started:
        yield started


@pytest.fixture(scope="module")
def page(chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    model = write_kinds(tmp_path_factory.mktemp("kinds") / "m.onnx")
    with (
        running("--model", str(model)) as service,
        opened(chromium, service.url, viewport={"width": 1280, "height": 800}) as found,
    ):
        yield found


def _paste(page: Page, name: str, content: bytes) -> None:
    page.evaluate(
        "data => document.dispatchEvent(new ClipboardEvent('paste', {clipboardData: data}))",
        transfer(page, {name: content}),
    )


@pytest.mark.parametrize(
    ("conclusion", "possible", "shown"),
    [
        ("PNEUMONIA", ["BACTERIA", "VIRUS"], "PNEUMONIA, kind uncertain"),
        ("UNCERTAIN", ["NORMAL", "VIRUS"], "UNCERTAIN: NORMAL or VIRUS"),
        ("BACTERIA", ["BACTERIA"], "BACTERIA"),
        ("NOT_ASSESSABLE", None, "NOT ASSESSABLE"),
    ],
)
def test_the_conclusion_names_what_is_possible(
    page: Page, xray: bytes, conclusion: str, possible: list[str] | None, shown: str
) -> None:
    def answer(route: Route) -> None:
        told: dict[str, Any] = route.fetch().json()
        told |= {"conclusion": conclusion, "conformal_set": possible}
        if possible:
            told["probabilities"] = dict(zip(KINDS, (0.1, 0.7, 0.2), strict=True))
        route.fulfill(status=200, content_type="application/json", body=json.dumps(told))

    page.route("**/v1/predictions*", answer)
    page.reload()
    _paste(page, f"{conclusion}.jpeg", xray)
    expect(page.locator("#conclusion")).to_have_text(shown)
    if possible:
        expect(page.locator("#each")).to_have_text("NORMAL 0.100, BACTERIA 0.700, VIRUS 0.200")
    page.unroute_all(behavior="wait")


def test_what_the_reader_really_says_is_shown(page: Page, xray: bytes, tmp_path: Path) -> None:
    page.reload()
    _paste(page, "own.jpeg", xray)
    expect(page.locator("#each")).to_contain_text("NORMAL 0.")
    expect(page.locator("#scale-high")).to_have_text("PNEUMONIA 1")
    page.screenshot(path=tmp_path / "page.png")
    assert (tmp_path / "page.png").stat().st_size > 10_000


def test_a_reader_sure_of_the_group_alone_says_so(
    chromium: Browser, xray: bytes, tmp_path: Path
) -> None:
    model = write_kinds(tmp_path / "m.onnx", quantiles=(0.0, 1.0, 1.0))
    with (
        running("--model", str(model), "--workers", "1") as service,
        opened(chromium, service.url) as page,
    ):
        record = Client(service.url).predict(xray)
        _paste(page, "a.jpeg", xray)
        expect(page.locator("#conclusion")).to_have_text("PNEUMONIA, kind uncertain")
        expect(page.locator("#list .verdict")).to_have_text("PNEUMONIA, kind uncertain")
    assert record["conclusion"] == "PNEUMONIA"
    assert record["conformal_set"] == ["BACTERIA", "VIRUS"]
    assert record["reasons"] == ["PNEUMONIA, kind uncertain: BACTERIA and VIRUS are possible"]
