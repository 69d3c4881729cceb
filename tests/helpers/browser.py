"""Chromium, driven by Playwright, and a page of the service in it."""

from __future__ import annotations

import base64
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Page

CHROMIUM = next(
    (
        path
        for name in ("chromium", "chromium-browser", "google-chrome")
        if (path := shutil.which(name))
    ),
    None,
)
"""The system's browser; None if there is none."""

WAIT_MS = 90_000

_TRANSFER = """files => {
  const transfer = new DataTransfer();
  for (const [name, content] of Object.entries(files)) {
    const bytes = Uint8Array.from(atob(content), letter => letter.charCodeAt(0));
    transfer.items.add(new File([bytes], name));
  }
  return transfer;
}"""


@contextmanager
def browser() -> Iterator[Browser]:
    """Start the browser."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - in dev

    as_root = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=as_root)
        try:
            yield started
        finally:
            started.close()


@contextmanager
def opened(browser: Browser, url: str, **options: Any) -> Iterator[Page]:
    """Open the page of a service; it must contact no other server, and have no errors."""
    context = browser.new_context(**options)
    page = context.new_page()
    page.set_default_timeout(WAIT_MS)
    asked: list[str] = []
    faults: list[str] = []

    def said(message: ConsoleMessage) -> None:
        if "Content Security Policy" in message.text:
            faults.append(message.text)

    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda fault: faults.append(str(fault)))
    page.on("console", said)
    # Registered first, since a chooser that opens during the registration would be missed.
    page.on("filechooser", lambda _: None)
    page.goto(url)
    try:
        yield page
    finally:
        context.close()
    assert asked
    assert [one for one in asked if not one.removeprefix("blob:").startswith(url)] == []
    assert faults == []


def transfer(page: Page, files: Mapping[str, bytes]) -> Any:
    """Return a ``DataTransfer`` that holds files."""
    coded = {name: base64.b64encode(content).decode() for name, content in files.items()}
    return page.evaluate_handle(_TRANSFER, coded)


def drop_paths(page: Page, *paths: Path) -> None:
    """Drop files or folders of the disk on the page, as a file manager does."""
    session = page.context.new_cdp_session(page)
    data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        session.send("Input.dispatchDragEvent", {"type": kind, "x": 60, "y": 200, "data": data})
    session.detach()
