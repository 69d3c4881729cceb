"""The page is complete in itself, says what it was given, and trusts nothing that it was given."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from pneumoscope.errors import OptionError, OutputError
from pneumoscope.report import (
    Panel,
    Report,
    Section,
    Statement,
    confusion_matrix,
    render,
    save,
    write_report,
)
from pneumoscope.report.page import NOTICE, Picture
from pneumoscope.report.rendering import environment, read_yaml

HOSTILE = '<script>alert("x")</script> & "quoted" <img src=http://evil.example/a.png onerror=x>'


class Page(HTMLParser):
    """Elements, their attributes and the text of a page; fails on elements left open."""

    VOID = frozenset({"meta", "br", "img", "path", "use", "image", "rect", "defs", "circle"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(html)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.words.append(data.strip())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def plain(**changes: object) -> Report:
    report = Report(
        title="Run 7",
        question="Can it tell pneumonia from normal?",
        data="624 test images of 401 patients.",
        answer="Yes, on images like these.",
        caveats=("One hospital only.",),
        headline=(Statement("Sensitivity", "0.962 (0.938-0.978)", 390, "at probability >= 0.50"),),
        sections=(),
        footer="pneumoscope 0.1.0",
    )
    return replace(report, **changes)  # type: ignore[arg-type]


def png() -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (4, 4)).save(buffer, format="PNG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("figures")
    panels = []
    for name, cells in (("one", [[5, 1], [2, 9]]), ("two", [[4, 2], [2, 9]])):
        figure = confusion_matrix(cells, ("NORMAL", "PNEUMONIA"))
        svg = save(figure.draw(), folder, name=name)
        panels.append(Panel(name, "How to read it.", svg=svg, alt=figure.summary))
    sections = (
        Section("Results", "First.\n\nSecond.", plain().headline, tuple(panels)),
        Section(
            "Photo", panels=(Panel("A photo", "Look.", pictures=(Picture((png(),), "A photo"),)),)
        ),
        Section("Table", table=(("file", "probability"), (("a.png", "0.98"), ("b.png", "1e-3")))),
        Section("Long", table=(("n",), tuple((str(n),) for n in range(30)))),
    )
    return render(plain(sections=sections))


def test_it_opens_with_the_question_the_data_the_answer_and_the_caveats(full: str) -> None:
    words = Page(full[full.index("<main>") : full.index("</body>")]).words

    assert words[:10] == [
        "Run 7",
        "Can it tell pneumonia from normal?",
        "624 test images of 401 patients.",
        "Yes, on images like these.",
        "Sensitivity",
        "0.962",
        "(0.938-0.978)",
        "at probability >= 0.50",
        "390 images",
        "Before you rely on this",
    ]
    assert words[10] == "One hospital only."
    assert words[-2:] == [NOTICE, "pneumoscope 0.1.0"]


def test_it_loads_nothing_from_outside(full: str) -> None:
    page = Page(full)

    assert "http://" not in full
    assert "https://" not in full
    assert "@import" not in full
    assert not {"script", "link", "iframe", "base", "object"} & {tag for tag, _ in page.elements}
    loads = [
        value or ""
        for _, attributes in page.elements
        for key, value in attributes.items()
        if key in {"src", "href", "srcset", "data", "poster", "xlink:href"}
    ]
    loads += re.findall(r"url\(([^)]*)\)", full)
    assert loads
    assert all(value.startswith(("#", "data:image/")) for value in loads)
    policy = [meta["content"] for meta in page.all("meta") if "http-equiv" in meta]
    assert policy == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]


def test_ids_are_unique_in_the_page_and_links_lead_somewhere(full: str) -> None:
    page = Page(full)

    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {(link["href"] or "")[1:] for link in page.all("a")} <= set(ids)


def test_figures_have_a_text_for_those_who_cannot_see_them(full: str) -> None:
    page = Page(full)

    labels = [div["aria-label"] for div in page.all("div") if div.get("role") == "img"]
    assert labels[0] == (
        "NORMAL: 5 classified as NORMAL, 1 classified as PNEUMONIA; "
        "PNEUMONIA: 2 classified as NORMAL, 9 classified as PNEUMONIA"
    )
    assert [image["alt"] for image in page.all("img")] == ["A photo"]


def test_numbers_are_set_right_and_long_tables_fold(full: str) -> None:
    assert '<th scope="col">file</th><th scope="col" class="number">probability</th>' in full
    assert '<td>a.png</td><td class="number">0.98</td>' in full
    assert full.count("<details>") == 1
    assert "Table (30 rows)" in full
    assert full.count(" wide") == 0  # tables of few columns stay tables on a phone


def test_it_is_made_for_phone_print_and_dark(full: str) -> None:
    assert 'name="viewport" content="width=device-width' in full
    assert "@media print" in full
    # A page printed from a dark screen is white: the dark colours hold for screens alone.
    assert re.findall(r"@media[^{]*dark[^{]*", full) == [
        "@media screen and (prefers-color-scheme: dark) "
    ]


def test_every_text_is_escaped() -> None:
    line = Statement(HOSTILE, HOSTILE, 1, HOSTILE)
    panel = Panel(HOSTILE, HOSTILE, pictures=(Picture((png(),), HOSTILE),))
    report = Report(
        title=HOSTILE,
        question=HOSTILE,
        data=HOSTILE,
        answer=HOSTILE,
        caveats=(HOSTILE,),
        headline=(line,),
        sections=(
            Section(HOSTILE, HOSTILE, (line,), (panel,), ((HOSTILE,), ((HOSTILE,),))),
            Section("", panels=(Panel(HOSTILE, HOSTILE, svg="<svg></svg>", alt=HOSTILE),)),
        ),
        footer=HOSTILE,
    )

    page = Page(render(report))

    assert not page.all("script")
    assert len(page.all("img")) == 1
    assert all("onerror" not in attributes for _, attributes in page.elements)
    assert page.all("img")[0]["alt"] == HOSTILE
    assert page.words.count(HOSTILE) == 22


def test_a_report_may_be_almost_empty() -> None:
    page = Page(render(Report("", "", "", "", (), (), (Section("Empty"),), "")))

    tags = {tag for tag, _ in page.elements}
    assert not tags & {"dl", "aside", "nav", "table", "figure"}
    assert NOTICE in page.words


def test_pictures_stand_side_by_side_and_in_fewer_columns_on_a_phone() -> None:
    sheet = (Picture((png(), png()), "NORMAL", "PNEUMONIA 0.98"), Picture((png(),), "", "<b>"))
    page = render(plain(sections=(Section("S", panels=(Panel("P", "C", pictures=sheet),)),)))
    assert "--columns: 4; --narrow: 2" in page
    images = Page(page).all("img")
    assert [image["alt"] for image in images] == [
        "NORMAL, PNEUMONIA 0.98", "evidence map of the preceding image", "<b>",
    ]  # fmt: skip
    assert all(str(image["src"]).startswith("data:image/png;base64,") for image in images)


def test_wide_tables_tell_their_columns_in_each_cell() -> None:
    header, row = ("group", "n", "AUC", "p"), ("a", "9", "0.9 (0.8 to 1.0)", "")
    page = render(plain(sections=(Section("S", table=(header, (row,))),)))
    assert '<table class="rows wide">' in page
    assert [cell["data-label"] for cell in Page(page).all("td")] == list(header)


def test_images_column_is_there_only_if_a_line_has_a_number() -> None:
    bare = render(plain(headline=(), sections=(Section("S", statements=(Statement("A", "1"),)),)))
    zero = render(
        plain(headline=(), sections=(Section("S", statements=(Statement("A", "1", 0),)),))
    )

    assert "Images</th>" not in bare
    assert '<td class="number count">0</td>' in zero


def test_a_jpeg_is_named_as_such() -> None:
    panel = Panel("P", "C", pictures=(Picture((b"\xff\xd8\xff\xe0rest",)),))

    assert "data:image/jpeg;base64," in render(plain(sections=(Section("S", panels=(panel,)),)))


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(OptionError, match="given exactly one of svg, pictures and instead"):
        Panel("P", "C")
    with pytest.raises(OptionError, match=r"and instead, got \['svg', 'pictures'\]"):
        Panel("P", "C", svg="<svg></svg>", pictures=(Picture((png(),)),))
    with pytest.raises(OptionError, match="begins with <svg"):
        Panel("P", "C", svg="<?xml version='1.0'?><svg></svg>")
    with pytest.raises(OptionError, match="2 columns in every row"):
        Section("S", table=(("a", "b"), (("1",),)))


def test_it_is_written_whole_and_replaces_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "run" / "report.html"
    write_report(path, plain(answer="Before."))
    write_report(path, plain(answer="Größer als 0,9."))

    assert "Größer als 0,9." in path.read_text(encoding="utf-8")
    assert [left.name for left in path.parent.iterdir()] == ["report.html"]


def test_where_it_cannot_be_written_nothing_is_left(tmp_path: Path) -> None:
    (tmp_path / "report.html").mkdir()
    (tmp_path / "file").write_text("")

    with pytest.raises(OutputError, match=r"report\.html: cannot be written"):
        write_report(tmp_path / "report.html", plain())
    with pytest.raises(OutputError, match="choose another folder"):
        write_report(tmp_path / "file" / "report.html", plain())
    assert sorted(left.name for left in tmp_path.iterdir()) == ["file", "report.html"]


@pytest.mark.parametrize("file", ["pages.yaml", "sections.yaml", "figures.yaml"])
def test_the_texts_of_a_file_are_templates_that_compile(file: str) -> None:
    def texts(value: object) -> Iterator[str]:
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            yield from (text for item in (*value.keys(), *value.values()) for text in texts(item))

    for kind, entry in read_yaml(file).items():
        for text in texts(entry):
            assert environment().from_string(text) is not None, kind
        if file == "figures.yaml":
            assert {"title", "caption", "summary"} <= set(entry), kind
        if "numbers" in entry:
            assert set(entry["numbers"]) <= set(
                read_yaml("names.yaml")[entry.get("names", "metrics")]
            )
