"""The page, in a real browser."""

from __future__ import annotations

import csv
import io
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from helpers.browser import CHROMIUM, browser, drop_paths, opened, transfer
from helpers.service import Running, running, wait_until
from helpers.tiny_model import write_tiny
from pneumoscope.cli import main
from pneumoscope.data.phantom import render
from pneumoscope.evaluation.scores import Scores
from pneumoscope.labels import LabelSpace
from pneumoscope.reader.predictor import Predictor

pytest.importorskip("playwright", reason="the extra 'dev' is not installed")
if CHROMIUM is None:
    pytest.skip("no Chromium; tools/install_test_services.sh", allow_module_level=True)

from playwright.sync_api import FilePayload, expect

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Route

expect.set_options(timeout=90_000)

SIZES = {
    "phone": {"width": 390, "height": 844},
    "laptop": {"width": 1280, "height": 800},
    "large": {"width": 2560, "height": 1440},
}
RANKS = ("failed", "refused", "unsure", "positive", "negative")
HEX_DIGEST = re.compile(r"[0-9a-f]{64}")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as started:
        yield started


@pytest.fixture
def page(chromium: Browser, service: Running) -> Iterator[Page]:
    with opened(chromium, service.url, viewport=SIZES["laptop"]) as found:
        yield found


@pytest.fixture(scope="module")
def images() -> dict[str, bytes]:
    """Return generated radiographs that the reader judges; the first one it concludes on."""
    reader, found = Predictor(), dict[str, bytes]()
    concluded = []
    for seed in range(5, 60):
        for label in ("PNEUMONIA", "NORMAL"):
            content = _jpeg(render(label, patient_seed=seed, size_px=(500, 600)).pixels)
            said = reader.predict(content)
            if said.probability is not None:
                name = f"person{seed}_{label}.jpeg"
                found[name] = content
                if said.conclusion in reader.info.classes:
                    concluded.append(name)
        if len(found) >= 20 and concluded:
            break
    assert len(found) >= 20
    return {name: found[name] for name in [*concluded, *sorted(set(found) - set(concluded))]}


def _jpeg(pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, format="JPEG", quality=90)
    return out.getvalue()


def _photograph() -> bytes:
    """Return a picture in colour that is no radiograph."""
    across, down = np.meshgrid(np.linspace(0, 1, 320), np.linspace(0, 1, 240))
    sky = np.stack([90 + 60 * down, 140 + 40 * down, np.full_like(down, 230.0)], axis=-1)
    hill = down > 0.6 + 0.15 * np.sin(across * 7)
    sky[hill] = (40, 120, 35)
    return _jpeg((sky + np.random.default_rng(0).normal(0, 6, sky.shape)).clip(0, 255).astype("u1"))


def _upload(page: Page, files: dict[str, bytes]) -> None:
    page.locator("#files").set_input_files(
        [FilePayload(name=name, mimeType="", buffer=content) for name, content in files.items()]
    )


def _ready(page: Page, count: int) -> None:
    expect(page.locator("#progress")).to_contain_text(f"{count} of {count} read")


def _one(images: dict[str, bytes]) -> dict[str, bytes]:
    return dict(list(images.items())[:1])


def _conclusion(images: dict[str, bytes]) -> str:
    """Return what the reader concludes on the first image."""
    return Predictor().predict(next(iter(images.values()))).conclusion


# --- ways in ---


def test_a_dropped_file_opens_with_its_conclusion(
    page: Page, images: dict[str, bytes], tmp_path: Path
) -> None:
    name, content = next(iter(images.items()))
    (tmp_path / name).write_bytes(content)
    expected = Predictor().predict(content)
    drop_paths(page, tmp_path / name)
    expect(page.locator("#conclusion")).to_have_text(expected.conclusion)
    expect(page.locator("#file")).to_have_text(name)
    assert expected.probability is not None
    expect(page.locator("#scale-text")).to_contain_text("probability")
    expect(page.locator("#bar")).to_have_attribute("aria-label", re.compile("the threshold is 0"))
    expect(page.locator("#made-for")).to_contain_text("Intended use: patients aged 1 to 5 years")
    expect(page.locator("#how-good")).to_contain_text("sensitivity 0.9")
    shown = page.locator("#value").evaluate("node => parseFloat(node.style.left) / 100")
    assert shown == pytest.approx(expected.probability, abs=1e-6)
    size = page.locator("#conclusion").evaluate(
        "node => parseFloat(getComputedStyle(node).fontSize)"
    )
    assert size >= 27


def test_a_dropped_folder_is_read_with_what_is_below(
    page: Page, images: dict[str, bytes], tmp_path: Path
) -> None:
    for number, (name, content) in enumerate(list(images.items())[:3]):
        place = tmp_path / "folder" / f"below{number}"
        place.mkdir(parents=True)
        (place / name).write_bytes(content)
    (tmp_path / "folder" / ".hidden").write_bytes(b"x")
    drop_paths(page, tmp_path / "folder")
    _ready(page, 3)
    expect(page.locator("#list button")).to_have_count(3)


def test_an_image_may_be_pasted(page: Page, images: dict[str, bytes]) -> None:
    page.evaluate(
        "data => document.dispatchEvent(new ClipboardEvent('paste', {clipboardData: data}))",
        transfer(page, _one(images)),
    )
    _ready(page, 1)
    expect(page.locator("#conclusion")).to_have_text(_conclusion(images))


def test_images_and_folders_may_be_picked(
    page: Page, images: dict[str, bytes], tmp_path: Path
) -> None:
    for name, content in list(images.items())[:2]:
        (tmp_path / name).write_bytes(content)
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Choose images").click()
    chooser.value.set_files(next(tmp_path.iterdir()))
    _ready(page, 1)
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Choose a folder").click()
    chooser.value.set_files(tmp_path)
    _ready(page, 3)


# --- the image ---


def test_the_evidence_is_shown_and_hidden_by_a_key(page: Page, images: dict[str, bytes]) -> None:
    _upload(page, _one(images))
    plain, marked = page.locator("#plain-pane"), page.locator("#evidence-pane")
    expect(page.locator("#marked")).to_be_visible()
    expect(plain).to_be_visible()
    sizes = page.evaluate(
        "() => ['plain', 'marked'].map(id => document.getElementById(id).naturalWidth)"
    )
    assert sizes == [600, 600]
    page.keyboard.press("s")  # one over the other
    expect(plain).to_be_hidden()
    page.keyboard.press("e")
    expect(marked).to_be_hidden()
    expect(plain).to_be_visible()
    expect(page.get_by_role("button", name="Evidence")).to_have_attribute("aria-pressed", "false")
    page.keyboard.press("e")
    expect(marked).to_be_visible()


def test_the_image_is_enlarged_moved_and_windowed(page: Page, images: dict[str, bytes]) -> None:
    _upload(page, _one(images))
    expect(page.locator("#marked")).to_be_visible()
    page.locator("#plain-frame").hover()
    page.mouse.wheel(0, -500)
    page.keyboard.press("+")
    expect(page.locator("#zoom-value")).to_have_text(re.compile("%"))
    both = [
        page.locator(f"#{name}").evaluate("node => node.style.transform")
        for name in ("plain", "marked")
    ]
    assert both[0] == both[1] != ""
    page.locator("#plain-frame").focus()
    page.keyboard.press("ArrowRight")
    assert page.locator("#plain").evaluate("node => node.style.transform") != both[0]
    page.keyboard.press("0")
    expect(page.locator("#zoom-value")).to_have_text("fit")
    page.keyboard.press("[")
    expect(page.locator("#window-value")).to_have_text("240")
    slope = float(page.locator("#levels-r").get_attribute("slope") or 0)
    assert slope == pytest.approx(256 / 240)
    page.keyboard.press("i")
    assert float(page.locator("#levels-r").get_attribute("slope") or 0) == pytest.approx(-256 / 240)


def test_an_image_stays_as_it_is_shown_when_its_conclusion_comes(
    chromium: Browser, images: dict[str, bytes]
) -> None:
    with running("--workers", "2") as service, opened(chromium, service.url) as page:
        expect(page.locator("#empty-made-for")).not_to_be_empty()
        held: list[Route] = []

        def hold(route: Route) -> None:
            held.append(route)

        page.route("**/v1/predictions*", hold)
        _upload(page, _one(images))
        expect(page.locator("#plain")).to_be_visible()
        page.keyboard.press("+")
        page.keyboard.press("[")
        zoom = page.locator("#zoom").input_value()
        assert float(zoom) > 1
        while not held:
            page.wait_for_timeout(20)
        held[0].continue_()
        expect(page.locator("#marked")).to_be_visible()
        expect(page.locator("#zoom")).to_have_value(zoom)
        expect(page.locator("#window-value")).to_have_text("240")


def test_a_picture_that_is_asked_for_twice_is_shown(page: Page, images: dict[str, bytes]) -> None:
    _upload(page, dict(list(images.items())[:2]))
    _ready(page, 2)
    for _ in range(10):  # each before the one ahead was decoded
        page.keyboard.press("j")
        page.keyboard.press("k")
    expect(page.locator("#plain")).to_be_visible()
    expect(page.locator("#marked")).to_be_visible()
    expect(page.locator("#view")).not_to_have_class(re.compile("nothing"))


# --- no conclusion ---


def test_a_photograph_is_refused_as_prominently_as_a_result(page: Page) -> None:
    _upload(page, {"holiday.jpeg": _photograph()})
    said = page.locator("#conclusion")
    expect(said).to_have_text("NOT ASSESSABLE")
    expect(page.locator("#meaning")).to_contain_text("This is not a normal result.")
    expect(page.locator("#reasons li")).not_to_have_count(0)
    expect(page.locator("#scale")).to_be_hidden()
    expect(page.locator("#view-status")).to_contain_text("have no evidence")
    for name in ("Evidence", "Side by side"):
        button = page.get_by_role("button", name=name, exact=True)
        expect(button).to_have_attribute("aria-disabled", "true")
    assert said.evaluate("node => parseFloat(getComputedStyle(node).fontSize)") >= 27


def test_an_upload_that_is_too_large_is_told(chromium: Browser, tmp_path: Path) -> None:
    large = tmp_path / "large.dcm"
    large.write_bytes(np.random.default_rng(0).bytes(30_000_000))
    with (
        running("--workers", "1", "--max-mb", "1") as service,
        opened(chromium, service.url) as page,
    ):
        page.locator("#files").set_input_files(large)
        expect(page.locator("#conclusion")).to_have_text("NO RESULT")
        expect(page.locator("#reasons")).to_contain_text("longer than 1,048,576 bytes")
        expect(page.get_by_role("button", name="Read again")).to_be_hidden()
        expect(page.locator("#offline")).to_be_hidden()


def test_what_is_no_image_is_told(page: Page) -> None:
    _upload(page, {"letter.txt": b"Dear colleague"})
    expect(page.locator("#conclusion")).to_have_text("NO RESULT")
    expect(page.locator("#view-status")).to_have_text("This file cannot be shown.")
    expect(page.locator("#plain-frame")).to_be_hidden()


def test_a_service_that_goes_away_and_comes_back(
    chromium: Browser, images: dict[str, bytes]
) -> None:
    with running("--workers", "1") as service:
        worker = service.workers()[0]
        with opened(chromium, service.url) as page:
            expect(page.locator("#empty-made-for")).not_to_be_empty()
            os.kill(worker, signal.SIGSTOP)
            _upload(page, dict(list(images.items())[:3]))
            expect(page.locator("#conclusion")).to_have_text("reading …")
            wait_until(lambda: service.metric("pneumoscope_queue_depth") >= 2)
            service.stop(signal.SIGKILL)
            os.kill(worker, signal.SIGKILL)
            alert = page.get_by_role("alert")
            expect(alert).to_contain_text("The service does not respond.")
            expect(page.locator("#conclusion")).to_have_text("NO RESULT")
            with running("--workers", "1", "--port", str(service.port)):
                page.get_by_role("button", name="Read again").click()
                _ready(page, 3)
                expect(page.locator("#progress")).to_have_text("3 of 3 read.")
                expect(page.locator("#conclusion")).to_have_text(_conclusion(images))
                expect(alert).to_be_hidden()


# --- many ---


def test_twenty_files_at_once_stand_by_who_needs_a_person_first(
    page: Page, images: dict[str, bytes]
) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (300, 300), np.uint8)
    files = {
        **dict(list(images.items())[:16]),
        "noise.jpeg": _jpeg(noise),
        "holiday.jpeg": _photograph(),
        "cut.jpeg": next(iter(images.values()))[:3000],
        "letter.txt": b"Dear colleague",
    }
    assert len(files) == 20
    _upload(page, files)
    _ready(page, 20)
    expect(page.locator("#progress")).to_contain_text("2 without a result")
    rows = page.locator("#list button")
    expect(rows).to_have_count(20)
    kinds = rows.evaluate_all("rows => rows.map(row => row.className)")
    assert kinds == sorted(kinds, key=RANKS.index)
    assert (kinds.count("failed"), kinds.count("refused")) == (2, 2)
    numbers = [
        float(text.strip("<>"))
        for kind in RANKS[3:]
        for text in page.locator(f"#list .{kind} .number").all_inner_texts()
    ]
    assert numbers == sorted(numbers, reverse=True)
    rows.first.click()
    expect(page.locator("#conclusion")).to_have_text("NO RESULT")
    page.keyboard.press("j")
    expect(rows.nth(1)).to_have_attribute("aria-current", "true")


# --- opinions ---


def test_opinions_are_kept_and_saved_as_scores(
    page: Page, images: dict[str, bytes], tmp_path: Path
) -> None:
    _upload(page, images)
    _ready(page, len(images))
    classes = Predictor().info.classes
    for number, name in enumerate(images):
        page.locator("#list button").filter(has_text=name).click()
        expect(page.locator("#file")).to_have_text(name)
        truth = classes[number % 2]  # so that both classes occur, whatever the reader says
        choices = page.locator("#opinions button").all_inner_texts()
        if choices == ["Agree", "Disagree"]:
            page.keyboard.press("ad"[page.locator("#conclusion").inner_text() != truth])
        else:
            assert choices == [f"It is {name}" for name in classes]
            page.keyboard.press("ad"[classes.index(truth)])
        expect(page.locator("#opinions [aria-pressed=true]")).to_have_count(1)
        if number == 0:
            page.keyboard.press("n")
            page.keyboard.type('=SUM(1), "seen"')
            page.locator("#file").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Save opinions as CSV").click()
    path = tmp_path / download.value.suggested_filename
    download.value.save_as(path)
    expect(page.locator("#saved")).to_have_text(f"{len(images)} opinions saved.")

    reader = Predictor()
    scores = Scores.load(path)
    assert sorted(scores.path) == sorted(images)
    assert scores.model == reader.sha256
    assert all(HEX_DIGEST.fullmatch(digest) for digest in scores.sha256)
    by_name = dict(zip(scores.path, scores.logit.tolist(), strict=True))
    assert all(by_name[name] == reader.predict(content).logit for name, content in images.items())
    rows = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
    assert {row["opinion"] for row in rows} <= {"agree", "disagree", "decided"}
    noted = next(row for row in rows if row["note"])
    assert noted["note"] == '\'=SUM(1), "seen"'  # no formula for a spreadsheet
    assert main(["evaluate", str(path), "--resamples", "100"]) == 0
    assert main(["recalibrate", "shipped", str(path), "--out", str(tmp_path / "own.onnx")]) == 0

    page.reload()  # opinions outlive the page
    _upload(page, _one(images))
    expect(page.locator("#note")).to_have_value('=SUM(1), "seen"')
    expect(page.locator("#opinions [aria-pressed=true]")).to_have_count(1)
    page.get_by_role("button", name="About this reader").click()
    page.get_by_role("button", name="Delete them").click()
    page.keyboard.press("Escape")
    expect(page.locator("#opinions [aria-pressed=true]")).to_have_count(0)
    assert page.evaluate("() => localStorage.getItem('pneumoscope-opinions')") == "{}"


def test_opinions_on_several_classes_are_of_the_positive_group_or_not(
    page: Page, images: dict[str, bytes], tmp_path: Path
) -> None:
    def models(route: Route) -> None:
        found = route.fetch().json()
        found["models"][0]["parameters"] |= {
            "classes": ["NORMAL", "BACTERIA", "VIRUS"],
            "positive": ["BACTERIA", "VIRUS"],
            "pair": ["NORMAL", "PNEUMONIA"],
        }
        route.fulfill(json=found)

    def predictions(route: Route) -> None:
        each = {"NORMAL": 0.1, "BACTERIA": 0.2, "VIRUS": 0.7}
        said = {"conclusion": "VIRUS", "probability": 0.9, "probabilities": each}
        route.fulfill(json=route.fetch().json() | said)

    page.route("**/v1/models", models)
    page.route("**/v1/predictions*", predictions)
    page.reload()
    expect(page.locator("#empty-made-for")).not_to_be_empty()
    some = list(images)[:3]
    _upload(page, {name: images[name] for name in some})
    _ready(page, 3)
    expect(page.locator("#each")).to_have_text("NORMAL 0.100, BACTERIA 0.200, VIRUS 0.700")
    expect(page.locator("#scale-high")).to_have_text("PNEUMONIA 1")
    words = ("Agree", "It is NORMAL", "It is BACTERIA")
    for name, word in zip(some, words, strict=True):
        page.locator("#list button").filter(has_text=name).click()
        expect(page.locator("#opinions button")).to_have_text(list(words))
        page.get_by_role("button", name=word).click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Save opinions as CSV").click()
    path = tmp_path / "opinions.csv"
    download.value.save_as(path)
    rows = csv.DictReader(path.read_text(encoding="utf-8").splitlines())
    labels = {row["path"]: row["label"] for row in rows}
    assert labels == dict(zip(some, ("1", "0", "1"), strict=True))
    own = Scores.load(path).classes
    assert own is not None
    kinds = ("NORMAL", "BACTERIA", "VIRUS")
    assert own.labels == LabelSpace.of(kinds, kinds[1:], "PNEUMONIA")
    assert sorted(own.number.tolist()) == [0, 1, 2]
    page.unroute_all(behavior="ignoreErrors")  # evidence may still be asked for


def test_notes_without_an_opinion_are_not_lost_in_silence(page: Page) -> None:
    _upload(page, {"holiday.jpeg": _photograph()})
    expect(page.locator("#conclusion")).to_have_text("NOT ASSESSABLE")
    page.locator("#note").fill("a beach")
    page.get_by_role("button", name="Save opinions as CSV").click()
    expect(page.locator("#saved")).to_have_text(
        "There is no opinion to save; 1 note without an opinion stays in this browser."
    )


# --- several models ---


def test_one_of_several_models_is_chosen(
    chromium: Browser, images: dict[str, bytes], tmp_path: Path
) -> None:
    tiny = write_tiny(tmp_path / "tiny.onnx")
    models = ("--model", "first=shipped", "--model", f"second={tiny}")
    sums = {"first": Predictor().sha256, "second": Predictor(tiny).sha256}
    some = dict(list(images.items())[:2])
    expected = Predictor(tiny).predict(next(iter(some.values())))
    with (
        running("--workers", "1", *models) as service,
        opened(chromium, service.url, viewport=SIZES["laptop"]) as page,
    ):
        choice = page.get_by_label("Model", exact=True)
        expect(choice.locator("option")).to_have_count(2)
        expect(choice).to_have_value("first")
        _upload(page, some)
        _ready(page, 2)
        expect(page.locator("#conclusion")).to_have_text(_conclusion(images))
        choice.select_option("second")
        _ready(page, 2)
        expect(page.locator("#conclusion")).to_have_text(expected.conclusion.replace("_", " "))
        expect(page.locator("#made-for")).to_be_empty()  # it says nothing of that
        expect(page.locator("#marked")).to_be_visible()
        page.keyboard.press("a")
        kept = page.evaluate(
            "() => Object.values(JSON.parse(localStorage['pneumoscope-opinions']))"
        )
        assert [one["model"] for one in kept] == [sums["second"]]
        choice.select_option("first")
        _ready(page, 2)
        expect(page.locator("#conclusion")).to_have_text(_conclusion(images))
        expect(page.locator("#opinions [aria-pressed=true]")).to_have_count(0)
        expect(page.locator("#made-for")).to_contain_text("patients aged 1 to 5 years")
        counted = {
            name: service.metric(
                f'pneumoscope_requests_total{{route="/v1/predictions",status="{name}"}}'
            )
            for name in ("200", "404")
        }
        assert counted["200"] >= 6
        assert counted["404"] == 0


def test_a_single_model_needs_no_choice(page: Page) -> None:
    expect(page.locator("#empty-made-for")).not_to_be_empty()
    expect(page.locator("#model-choice")).to_be_hidden()


def test_the_page_says_where_images_go(page: Page) -> None:
    expect(page.locator("#where")).to_have_text(
        "Nothing leaves this machine, and images are not stored."
    )


# --- access ---


def test_a_token_is_asked_for_once(chromium: Browser, images: dict[str, bytes]) -> None:
    with (
        running("--workers", "1", env={"PNEUMOSCOPE_TOKEN": "s3cret"}) as service,
        opened(chromium, service.url) as page,
    ):
        for word in ("wrong", "s3cret"):
            expect(page.get_by_role("dialog", name="Token")).to_be_visible()
            page.get_by_label("Token").last.fill(word)
            page.get_by_role("button", name="Continue").click()
        expect(page.locator("#empty-made-for")).not_to_be_empty()
        expect(page.locator("#login")).to_be_hidden()
        _upload(page, _one(images))
        expect(page.locator("#marked")).to_be_visible()
        page.reload()
        expect(page.locator("#empty-made-for")).not_to_be_empty()
        expect(page.locator("#login")).to_be_hidden()


def test_the_keyboard_alone_suffices(page: Page, images: dict[str, bytes], tmp_path: Path) -> None:
    for name, content in list(images.items())[:2]:
        (tmp_path / name).write_bytes(content)
    reached = []
    for _ in range(12):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("() => document.activeElement.innerText.trim()"))
        if reached[-1] == "Choose images":
            break
    assert reached[0] == "Skip to the result"
    outline = page.evaluate("() => getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    chooser.value.set_files(sorted(tmp_path.iterdir()))
    _ready(page, 2)
    expect(page.locator("#marked")).to_be_visible()
    first = page.locator("#file").inner_text()
    current = page.locator("#list button").evaluate_all(
        "rows => rows.findIndex(row => row.getAttribute('aria-current') === 'true')"
    )
    page.keyboard.press("k" if current else "j")
    expect(page.locator("#file")).not_to_have_text(first)
    page.keyboard.press("a")
    expect(page.locator("#opinions [aria-pressed=true]")).to_have_count(1)
    page.keyboard.press("n")
    page.keyboard.type("aje?")  # letters, not commands
    expect(page.locator("#note")).to_have_value("aje?")
    expect(page.locator("#opinions [aria-pressed=true]")).to_have_count(1)
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keyboard")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#help")).to_be_hidden()
    with page.expect_file_chooser():
        page.keyboard.press("o")


# --- looks ---


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(
    chromium: Browser, service: Running, images: dict[str, bytes], scheme: str, size: str
) -> None:
    axe_module = pytest.importorskip("axe_playwright_python.sync_playwright")
    with opened(
        chromium,
        service.url,
        viewport=SIZES[size],
        color_scheme=scheme,
        reduced_motion="reduce",
        bypass_csp=True,  # axe is put into the page
    ) as page:
        page.evaluate(axe_module.Axe().axe_script)

        def check(what: str) -> None:
            found = page.evaluate(
                "async () => (await axe.run({resultTypes: ['violations']})).violations"
            )
            assert [(one["id"], one["nodes"][0]["html"]) for one in found] == [], what

        expect(page.locator("#empty-made-for")).not_to_be_empty()
        check("empty")
        files = {**dict(list(images.items())[:3]), "holiday.jpeg": _photograph(), "a.txt": b"text"}
        _upload(page, files)
        _ready(page, 5)
        for kind in RANKS:
            rows = page.locator(f"#list button.{kind}")
            if rows.count():
                rows.first.click()
                check(kind)
        expect(page.locator("#marked")).to_be_visible()
        check("with evidence")
        for name, title in (("help-open", "Keyboard"), ("about-open", "About this reader")):
            page.locator(f"#{name}").click()
            expect(page.get_by_role("dialog", name=title)).to_be_visible()
            check(title)
            page.keyboard.press("Escape")


@pytest.fixture(scope="module")
def long_name(chromium: Browser, service: Running, images: dict[str, bytes]) -> Iterator[Page]:
    """Return a page with an image whose name is longer than a line."""
    name = "a_name_without_a_break_" * 6 + ".jpeg"
    with opened(chromium, service.url, viewport={"width": 320, "height": 800}) as page:
        _upload(page, {name: next(iter(images.values()))})
        expect(page.locator("#marked")).to_be_visible()
        yield page


@pytest.mark.parametrize("width", [320, 390, 768, 1024, 1280, 1920, 2560])
def test_nothing_is_wider_than_the_screen(long_name: Page, width: int) -> None:
    long_name.set_viewport_size({"width": width, "height": 800})
    expect(long_name.locator("#marked")).to_be_visible()
    shown, wide = long_name.evaluate(
        "() => [window.innerWidth, "
        "document.documentElement.scrollWidth - document.documentElement.clientWidth]"
    )
    assert shown == width
    assert wide <= 0


def test_a_printed_page_shows_the_whole_image_and_the_model(
    page: Page, images: dict[str, bytes]
) -> None:
    _upload(page, _one(images))
    expect(page.locator("#marked")).to_be_visible()
    page.keyboard.press("a")
    page.locator("#note").fill("seen by two")
    page.locator("#plain-frame").focus()
    for _ in range(6):
        page.keyboard.press("+")
    page.evaluate("() => window.dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    facts = page.locator("#print-facts")
    expect(facts).to_contain_text(Predictor().sha256)
    expect(facts).to_contain_text("Note: seen by two")
    expect(facts).to_contain_text("not a medical device")
    for hidden in ("#images", "#opinion", ".sliders", "header .tools"):
        expect(page.locator(hidden)).to_be_hidden()
    frame, image = (page.locator(name).bounding_box() for name in ("#plain-frame", "#plain"))
    assert frame is not None
    assert image is not None
    assert image["width"] <= frame["width"] + 1
    assert image["height"] <= frame["height"] + 1
    ground = page.locator("body").evaluate("node => getComputedStyle(node).backgroundColor")
    assert ground == "rgb(255, 255, 255)"
    assert len(page.pdf()) > 10_000
