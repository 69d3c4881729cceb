"""The common style of figures, and their export to disk and pages.

The colours are those of Okabe and Ito, "Color Universal Design" (2008), which people with any of
the common colour vision deficiencies tell apart: blue and vermillion on a light page, and their
brighter kin, sky blue and orange, on a dark one. Nothing is said by colour alone.

A figure is drawn once, for a light ground. The copy that goes into a page names its colours as
CSS variables, so that the page decides what they are in the dark.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final
from xml.etree import ElementTree

from pneumoscope.errors import OptionError
from pneumoscope.runs import written_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLOURS: Final = MappingProxyType(
    {
        "ink": "#1f2328",
        "muted": "#59636e",
        "rule": "#d1d5da",
        "blue": "#0072b2",
        "vermillion": "#d55e00",
        "green": "#009e73",
        "purple": "#cc79a7",
    }
)
"""On a light ground; a page has those of a dark one, as ``--figure-ink`` and so on."""
INK, MUTED, RULE, BLUE, VERMILLION, GREEN, PURPLE = COLOURS.values()
PALETTE: Final = (BLUE, VERMILLION, GREEN, PURPLE)

WIDE_IN: Final = 7.0
"""Width of a figure that holds pictures, in inches: 672 px on the page."""
NARROW_IN: Final = 5.2
"""Width of a plot, in inches: 499 px on the page, and all of it on a phone of 390 px."""

_PX_PER_PT: Final = 96 / 72
_SMALLEST_SCALE: Final = 0.68  # 10 pt text is then 9 px: below that a phone scrolls sideways


@contextmanager
def style() -> Iterator[None]:
    """Apply ``figures.mplstyle`` and matplotlib's defaults inside the ``with`` block.

    A matplotlibrc of the user's would otherwise show through.
    """
    import matplotlib as mpl  # noqa: PLC0415 - drawing is the only thing here that needs it

    with mpl.rc_context(fname=Path(__file__).with_name("figures.mplstyle")):
        yield


def save(figure: Figure, folder: Path, *, name: str) -> str:
    """Write a figure as ``name.png`` (2x) and ``name.svg``; return the SVG for a page.

    Both files appear whole or not at all, and the same figure gives the same bytes.

    Args:
        figure: What a ``draw()`` of this package returned.
        folder: Where the files go; made if it is missing.
        name: Letters, digits, ``-`` and ``_``. Names the files.

    Returns:
        One ``<svg>`` element: no prolog, no outside names, ids that no other figure has, colours
        as CSS variables with the light colour as the fallback.

    Raises:
        OptionError: ``name`` cannot name a file everywhere.
        OutputError: The folder cannot be written to.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> from pneumoscope.report import confusion_matrix
        >>> figure = confusion_matrix(np.eye(2), ("NORMAL", "PNEUMONIA")).draw()
        >>> save(figure, Path(tempfile.mkdtemp()), name="confusion")[:4]
        '<svg'
    """
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", name):
        raise OptionError(
            "name",
            must="a letter, then letters, digits, - and _",
            was=name,
            hint="Try 'roc' or 'learning-curves'.",
        )
    svg, png = io.BytesIO(), io.BytesIO()
    undated = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with style():
        # Placed once for both files; without an engine, drawing does not place it again.
        if (engine := figure.get_layout_engine()) is not None:
            engine.execute(figure)
            figure.set_layout_engine(None)
        figure.savefig(svg, format="svg", metadata=undated)
        figure.savefig(
            png,
            format="png",
            dpi=192,
            metadata={"Software": None},
            # Half the time of the default level, for files that are a tenth larger.
            pil_kwargs={"compress_level": 3},
        )
    # Both are in memory before the first is written: a drawing that fails leaves no half pair.
    for suffix, content in (("svg", svg), ("png", png)):
        with written_whole(folder / f"{name}.{suffix}") as temporary:
            temporary.write_bytes(content.getvalue())
    return _inline(svg.getvalue(), name=name)


def _inline(svg: bytes, *, name: str) -> str:
    """Turn a standalone SVG file into an element for a page with several of them."""
    root = ElementTree.fromstring(svg)  # noqa: S314 - it was written by matplotlib a moment ago
    prefix = f"{name}-{hashlib.sha256(svg).hexdigest()[:8]}-"
    for parent in list(root.iter()):
        for child in list(parent):
            # The ground goes, for the page has its own; so does the style sheet, which would hold
            # for the whole page. Its two inherited properties are set on the root below.
            if child.get("id") == "patch_1" or child.tag.endswith(("}style", "}metadata")):
                parent.remove(child)
    used = {
        match
        for element in root.iter()
        for value in element.attrib.values()
        for match in re.findall(r"^#(.+)$|url\(#([^)]+)\)", value)
    }
    targets = {first or second for first, second in used}
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        if element.tag not in {"text", "tspan"}:
            element.text = None
        element.tail = None
        attributes = {key.rpartition("}")[2]: value for key, value in element.attrib.items()}
        element.attrib.clear()
        for key, value in attributes.items():
            if key == "id" and value not in targets:
                continue
            element.set(key, _rewrite(key, value, prefix=prefix))
    width, height = (float(value) * _PX_PER_PT for value in root.attrib["viewBox"].split()[2:])
    root.attrib.pop("version", None)
    root.set("width", f"{width:.0f}")
    root.set("height", f"{height:.0f}")
    smallest = f"min-width: {width * _SMALLEST_SCALE:.0f}px"
    root.set("style", f"stroke-linejoin: round; stroke-linecap: butt; {smallest}")
    return ElementTree.tostring(root, encoding="unicode")


def _rewrite(key: str, value: str, *, prefix: str) -> str:
    """Return an attribute of a standalone SVG as needed inside a page."""
    match key:
        case "id":
            return prefix + value
        case "href" if value.startswith("#"):
            return f"#{prefix}{value[1:]}"
        case "style":
            value = re.sub(r"'DejaVu Sans'", "var(--figure-font, 'DejaVu Sans', sans-serif)", value)
            for name, colour in COLOURS.items():
                variable = f"--figure-{name}"
                value = value.replace(f": {colour}", f": var({variable}, {colour})")
            return value
        case _:
            return value.replace("url(#", f"url(#{prefix}")
