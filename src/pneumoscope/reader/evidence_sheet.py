"""The evidence picture: the image next to the same image with its evidence, and the conclusion.

All information needed to interpret the picture is drawn into it: name, date, model, conclusion,
threshold, the scale with its unit, the share of the evidence at the edges, and the notice that this
is research. For an image that cannot be assessed, the picture shows the reasons.
"""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from pneumoscope.errors import ImageError
from pneumoscope.reader.evidence import evidence_of_image, other_findings, share_at_edges, titled
from pneumoscope.reader.model_file.metadata import NOTICE
from pneumoscope.reader.overlay import AGAINST, FOR, Scale, coloured, grey_levels
from pneumoscope.reader.prediction import NOT_ASSESSABLE
from pneumoscope.reader.preprocess import native
from pneumoscope.runs import written_whole

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont, ImageFont

    from pneumoscope.reader.model_file.metadata import ModelInfo
    from pneumoscope.reader.prediction import Prediction
    from pneumoscope.reader.predictor import Predictor

    Font = FreeTypeFont | ImageFont

PANEL_PX: Final = (448, 1024)
"""Minimum and maximum height of a panel, regardless of the size of the image."""

_WIDEST = 1400  # of a panel; very wide images are lower
_INK, _DIM, _GROUND, _WARN = (245, 245, 245), (170, 170, 170), (16, 16, 16), (255, 209, 102)


@dataclass(frozen=True, slots=True)
class Words:
    """The text of the picture.

    Attributes:
        title: The conclusion.
        facts: Lines below it.
        notes: Lines below the images.
    """

    title: str
    facts: tuple[str, ...]
    notes: tuple[str, ...]


def draw_evidence(
    predictor: Predictor,
    found: Prediction,
    folder: Path,
    *,
    content: bytes | None = None,
    of: str | None = None,
) -> Prediction:
    """Write the evidence picture of a prediction into a folder; return it with the path.

    Args:
        predictor: The reader of the prediction, with evidence maps.
        found: The prediction of a file; if it could not be assessed, the picture states why.
        folder: Folder of the picture, whose name is made of the file name and a hash of its path.
        content: The bytes of the file, if it has no path; the picture is then named ``stdin``.
        of: As for ``class_drawn``.

    Raises:
        ImageError: The file can no longer be read.
        OutputError: The picture cannot be written.
    """
    source = Path(found.path) if content is None else content
    name = Path(found.path).name if content is None else "standard input"
    made = datetime.now().astimezone()
    image = evidence_sheet(predictor, found, source, name=name, made=made, of=of)
    named = content or found.path.encode("utf-8", "surrogateescape")
    stem = Path(found.path).stem[:100] or "stdin"
    place = folder / f"{stem}-{hashlib.sha256(named).hexdigest()[:8]}.png"
    with written_whole(place) as temporary:
        image.save(temporary, format="PNG", compress_level=3)  # half the time
    return dataclasses.replace(found, evidence=str(place))


def evidence_sheet(
    predictor: Predictor,
    found: Prediction,
    source: Path | bytes,
    *,
    name: str,
    made: datetime,
    of: str | None = None,
) -> Image.Image:
    """Return the evidence picture of a prediction, RGB.

    Args:
        predictor: The reader of the prediction.
        found: The prediction; without a probability, the picture shows the reasons.
        source: The image.
        name: Name of the image.
        made: Time of reading.
        of: The class whose evidence is drawn; see ``evidence.class_drawn``.

    Raises:
        OptionError: The class does not exist.
        ImageError: The image can no longer be read.
    """
    if not found.assessed:
        return _not_assessable(predictor, found, source, name=name, made=made)
    of, title = titled(predictor.info, found, of)
    pixels = native(source)
    evidence = evidence_of_image(predictor, source, pixels.shape, of)
    scale = Scale.of_reader(predictor.info)
    height, width = _panel(pixels.shape)
    grey = _resized(grey_levels(pixels), height, width)
    mixed = coloured(evidence, grey, scale)
    shown = of or predictor.info.pair[1]
    outside, area = share_at_edges(evidence)
    least = f"±{scale.least:g}"
    at_edges = f"{outside:.0%} of it ({area:.0%} of the area)"
    notes = [
        f"Left: the image. Right: evidence for {shown} (orange) and against it (blue), in logits.",
        f"The scale is the same for all images of this reader: from {least} to ±{scale.full:g}.",
        f"Evidence in the outer eighth on each side: {at_edges}. Lung fields are not segmented.",
    ]
    if not (np.abs(evidence) >= scale.least).any():
        notes.insert(1, f"No evidence reaches {least}.")
    if found.dicom and (caption := found.dicom.caption()):
        notes.append(caption)
    words = Words(
        title,
        _facts(predictor, found, name, made, of=of),
        (*notes, *(f"Note: {reason}" for reason in found.reasons)),
    )
    return _sheet([grey, mixed], words, scale=scale)


def _facts(
    predictor: Predictor, found: Prediction, name: str, made: datetime, *, of: str | None = None
) -> tuple[str, ...]:
    info = predictor.info
    model = " ".join(part for part in (info.name, info.version) if part)
    counted, others = other_findings(found.findings, of)
    return (
        _threshold(info, found, of),
        *([" · ".join([counted, *others])] if counted else []),
        f"{name} · {made:%Y-%m-%d %H:%M}",
        f"Model {model} · SHA-256 {predictor.sha256[:12]}",
    )


def _threshold(info: ModelInfo, found: Prediction, of: str | None) -> str:
    """Return the decision threshold of the class or finding."""
    for finding in found.findings:
        if finding.name == of:
            return f"{of} at probability {finding.threshold:.3g} or above"
    if info.findings:
        return f"{len(info.findings)} findings, each with its own threshold"
    rule = f" (rule {found.rule})" if found.rule else ""
    return f"{info.labels.pair[1]} at probability {found.threshold:.3g} or above{rule}"


def _not_assessable(
    predictor: Predictor,
    found: Prediction,
    source: Path | bytes,
    *,
    name: str,
    made: datetime,
) -> Image.Image:
    """Return the picture of an image without a conclusion: the image and the reasons."""
    try:
        pixels = native(source)
    except ImageError:
        if found.conclusion != NOT_ASSESSABLE:
            raise
        grey = np.zeros((PANEL_PX[0], PANEL_PX[0]), np.float32)  # excluded by its header
    else:
        grey = _resized(grey_levels(pixels), *_panel(pixels.shape))
    words = Words(
        f"{found.conclusion}: no evidence is drawn",
        _facts(predictor, found, name, made),
        tuple(found.reasons) or (found.error or "no reason was given",),
    )
    return _sheet([grey], words, scale=None)


def _panel(shape: tuple[int, ...]) -> tuple[int, int]:
    """Return height and width of the panel of an image."""
    height, width = shape
    low, high = PANEL_PX
    tall = min(high, max(low, height))
    wide = round(width * tall / height)
    if wide > _WIDEST:
        tall, wide = max(1, round(height * _WIDEST / width)), _WIDEST
    return tall, max(1, wide)


def _resized(grey: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    from PIL import Image  # noqa: PLC0415 - only where a picture is drawn

    image = Image.fromarray(np.rint(grey).astype(np.uint8))
    return np.asarray(image.resize((width, height), Image.Resampling.LANCZOS)).astype(np.float32)


def _sheet(panels: list[NDArray[np.float32]], words: Words, *, scale: Scale | None) -> Image.Image:
    """Return panels side by side between the lines above and below."""
    from PIL import Image, ImageDraw, ImageFont  # noqa: PLC0415 - only where a picture is drawn

    tall = panels[0].shape[0]
    line = max(18, min(30, tall // 28))
    pad = line // 2
    width = max(30 * line, sum(panel.shape[1] for panel in panels) + pad * (len(panels) + 1))
    font, large = (ImageFont.load_default(size) for size in (line * 0.72, line * 1.05))
    probe = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    room = width - 2 * pad
    title = _wrapped(probe, words.title, large, room)
    facts = [row for text in words.facts for row in _wrapped(probe, text, font, room)]
    notes = [row for text in words.notes for row in _wrapped(probe, text, font, room)]
    notice = _wrapped(probe, NOTICE, font, room)
    bar = 0 if scale is None else 2 * line
    top = pad + round(1.4 * line) * len(title) + line * len(facts) + pad
    height = top + tall + pad + bar + line * (len(notes) + len(notice)) + pad
    image = Image.new("RGB", (width, height), _GROUND)
    draw = ImageDraw.Draw(image)
    y = pad
    for row in title:
        draw.text((pad, y), row, fill=_INK, font=large)
        y += round(1.4 * line)
    write = partial(_rows, draw, font=font, line=line)
    write(facts, (pad, y), fill=_DIM)
    x = pad
    for panel in panels:
        colours = panel if panel.ndim == 3 else np.repeat(panel[..., np.newaxis], 3, 2)
        image.paste(Image.fromarray(np.rint(colours).astype(np.uint8)), (x, top))
        x += panel.shape[1] + pad
    y = top + tall + pad
    if scale is not None:
        _bar(draw, (pad, y), line, font, scale)
        y += bar
    y = write(notes, (pad, y), fill=_DIM)
    write(notice, (pad, y), fill=_WARN)
    return image


def _rows(
    draw: ImageDraw,
    rows: list[str],
    place: tuple[int, int],
    *,
    font: Font,
    line: int,
    fill: tuple[int, int, int],
) -> int:
    """Write lines from a position on; return the position of the next one."""
    x, y = place
    for row in rows:
        draw.text((x, y), row, fill=fill, font=font)
        y += line
    return y


def _bar(draw: ImageDraw, place: tuple[int, int], line: int, font: Font, scale: Scale) -> None:
    """Draw the colour bar with its ends and its unit."""
    x, y = place
    length, tall = 12 * line, line // 2
    for step in range(length):
        value = (2 * step / (length - 1) - 1) * scale.full
        opacity = float(scale.opacity(np.array([value], np.float32))[0])
        colour = FOR if value > 0 else AGAINST
        shown = tuple(round(128 * (1 - opacity) + part * opacity) for part in colour)
        draw.line((x + step, y, x + step, y + tall), fill=shown)
    for share, text, anchor in (
        (0.0, f"-{scale.full:g}", "la"), (0.5, "0", "ma"), (1.0, f"+{scale.full:g}", "ra"),
    ):  # fmt: skip
        draw.text((x + share * length, y + tall + 2), text, fill=_INK, font=font, anchor=anchor)
    draw.text((x + length + line // 2, y), "logits", fill=_INK, font=font)


def _wrapped(draw: ImageDraw, text: str, font: Font, width: int) -> list[str]:
    """Break a text into lines that fit; a word that is too long is broken as well."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if draw.textlength(longer, font=font) <= width:
            lines[-1] = longer
            continue
        rest = word
        lines += [] if not lines[-1] else [""]
        while draw.textlength(rest, font=font) > width:
            counts = range(len(rest), 1, -1)
            fits = next((n for n in counts if draw.textlength(rest[:n], font=font) <= width), 1)
            lines[-1] = rest[:fits]
            lines.append("")
            rest = rest[fits:]
        lines[-1] = rest
    return lines
