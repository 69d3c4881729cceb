"""Colour evidence over an image.

Orange is evidence for the positive class, blue against it. The two colours can be distinguished
with all common colour vision deficiencies. The scale is the same for all images of a reader, so
that weak evidence is not exaggerated; below a stated level, nothing is drawn.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from PIL import Image
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont, ImageFont

    from pneumoscope.reader.model_file.metadata import ModelInfo

FOR, AGAINST = (230, 97, 1), (33, 113, 181)
"""The colours of evidence for and against the positive class, RGB."""

EVIDENCE_FULL = "evidence_full"
"""The key in a model file's ``reference`` for the evidence with full colour, in logits."""

_MOST_OPAQUE = 0.65
_INK, _GROUND = (245, 245, 245), (16, 16, 16)


@dataclass(frozen=True, slots=True)
class Scale:
    """The colour scale of evidence, in units of the logit.

    Attributes:
        full: Evidence from which the colour is full.
        least: Minimum evidence that is drawn.
    """

    full: float = 4.0
    least: float = 0.5

    @classmethod
    def of(cls, evidence: NDArray[np.float32]) -> Scale:
        """Return the smallest scale of ±4, ±8, ±16 and so on that contains a map."""
        scale = cls()
        largest = float(np.abs(evidence).max(initial=0))
        while scale.full < largest:
            scale = cls(2 * scale.full, 2 * scale.least)
        return scale

    @classmethod
    def of_reader(cls, info: ModelInfo) -> Scale:
        """Return the scale of all images of a reader.

        It is stored in the model file under ``evidence_full`` of ``reference``; otherwise it is
        ``UNSTATED``.
        """
        stated = info.reference.get(EVIDENCE_FULL)
        if isinstance(stated, int | float) and math.isfinite(stated) and stated > 0:
            return cls(float(stated), float(stated) / 8)
        return UNSTATED

    def opacity(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the opacity of values: zero below the minimum, then linear up to the full one."""
        strength = (np.abs(values) - self.least) / (self.full - self.least)
        found: NDArray[np.float32] = np.clip(strength, 0, 1).astype(np.float32) * _MOST_OPAQUE
        return found


UNSTATED = Scale(16.0, 2.0)
"""The scale of readers without a stated one."""


def overlay(
    evidence: NDArray[np.float32],
    pixels: NDArray[np.uint8] | NDArray[np.uint16],
    *,
    caption: str,
    scale: Scale | None = None,
) -> Image.Image:
    """Return the image with its evidence, RGB, at the size of ``pixels``.

    A strip at the lower edge contains the colour scale and the caption.

    Args:
        evidence: Signed map of any size over the whole image, in units of the logit, [h, w].
        pixels: The image, grey, [height, width].
        caption: Text of the strip, such as class and probability; if there is no evidence, or none
            for the positive class, this is added. Line breaks are preserved.
        scale: Colour scale; if None, the smallest that contains the map.

    Raises:
        ValueError: The map contains NaN.
    """
    from PIL import Image  # noqa: PLC0415 - only where a picture is drawn

    if not np.isfinite(evidence).all():
        raise ValueError("the evidence map contains values that are not numbers")
    scale = scale or Scale.of(evidence)
    mixed = coloured(evidence, grey_levels(pixels), scale)
    image = Image.fromarray(np.rint(mixed).astype(np.uint8))
    lines = [caption]
    any_colour = bool((np.abs(evidence) >= scale.least).any())
    if not any_colour:
        lines.append(f"no evidence (±{scale.least:g})")
    elif not bool((evidence >= scale.least).any()):
        lines.append("no evidence for it")
    _strip(image, lines, scale=scale if any_colour else None)
    return image


def coloured(
    evidence: NDArray[np.float32], grey: NDArray[np.float32], scale: Scale
) -> NDArray[np.float32]:
    """Return grey levels with evidence in colour, float32 [height, width, 3] from 0 to 255.

    Args:
        evidence: Signed map of any size over the whole image, in units of the logit, [h, w].
        grey: Grey levels 0 to 255, [height, width].
        scale: Colour scale.
    """
    from PIL import Image  # noqa: PLC0415 - only where a picture is drawn

    height, width = grey.shape
    fine = Image.fromarray(np.ascontiguousarray(evidence, np.float32)).resize(
        (width, height), Image.Resampling.BILINEAR
    )
    values = np.asarray(fine)[..., np.newaxis]
    opacity = scale.opacity(values)
    colour = np.where(values > 0, np.array(FOR, np.float32), np.array(AGAINST, np.float32))
    mixed = grey[..., np.newaxis] * (1 - opacity) + colour * opacity
    return mixed.astype(np.float32)


def grey_levels(pixels: NDArray[np.uint8] | NDArray[np.uint16]) -> NDArray[np.float32]:
    """Return grey levels 0 to 255; higher depths are scaled to the range used."""
    if pixels.dtype == np.uint8:
        return pixels.astype(np.float32)
    low, high = np.percentile(pixels, (0.5, 99.5))
    scaled = (pixels.astype(np.float32) - low) * (255 / max(high - low, 1))
    grey: NDArray[np.float32] = np.clip(scaled, 0, 255)
    return grey


def _strip(image: Image.Image, texts: list[str], *, scale: Scale | None) -> None:
    """Draw text and colour bar onto the lower edge; without scale, no bar.

    Long text is broken into several lines as long as they cover little of the image; otherwise the
    first words are omitted.
    """
    from PIL import ImageDraw, ImageFont  # noqa: PLC0415 - only where a picture is drawn

    width, height = image.size
    side = min(width, height)
    tall = max(12 if side < 150 else 14, round(side * 0.045))
    if height < 3 * tall or width < 6 * tall:  # no space for words
        return
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(tall * 0.72)
    pad = tall // 3
    bar = None if scale is None else _bar(draw, font, tall=tall, scale=scale)

    def fits(line: str, beside: int) -> bool:
        return pad + draw.textlength(line, font=font) + beside <= width

    lines: list[str] = []
    for line in " · ".join(texts).split("\n"):
        words = [part for part in line.split(" · ") if fits(part, pad)]
        lines += _lines(words, lambda words: fits(words, pad))
    if bar and bar.width <= width and not (lines and fits(lines[-1], tall // 2 + bar.width)):
        lines.append("")
    most = 1 if height < 6 * tall else max(2, height // (5 * tall))
    lines = lines[-most:]
    top = height - len(lines) * tall
    draw.rectangle((0, top, width, height), fill=_GROUND)
    for number, line in enumerate(lines):
        place = (pad, top + (number + 0.5) * tall)
        draw.text(place, line, fill=_INK, font=font, anchor="lm")
    if bar and bar.width <= width:
        image.paste(bar, (width - bar.width, height - tall))


def _lines(words: list[str], fits: Callable[[str], bool]) -> list[str]:
    """Break words into lines."""
    lines: list[str] = []
    for word in words:
        longer = f"{lines[-1]} · {word}" if lines else word
        if lines and fits(longer):
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def _bar(
    draw: ImageDraw, font: FreeTypeFont | ImageFont, *, tall: int, scale: Scale
) -> Image.Image:
    """Return the colour bar from full against to full for."""
    from PIL import Image, ImageDraw  # noqa: PLC0415 - only where a picture is drawn

    large = tall >= 20
    low = f"against -{scale.full:g}" if large else f"-{scale.full:g}"
    high = f"+{scale.full:g} logits for" if large else f"+{scale.full:g}"
    gap, length = max(2, tall // 4), (5 if large else 3) * tall
    left = round(draw.textlength(low, font=font)) + gap
    right = left + length + gap
    width = right + round(draw.textlength(high, font=font)) + tall // 3
    image = Image.new("RGB", (width, tall), _GROUND)
    strip = ImageDraw.Draw(image)
    strip.text((0, tall / 2), low, fill=_INK, font=font, anchor="lm")
    strip.text((right, tall / 2), high, fill=_INK, font=font, anchor="lm")
    for step in range(length):
        value = (2 * step / (length - 1) - 1) * scale.full
        opacity = float(scale.opacity(np.array([value], np.float32))[0])
        colour = FOR if value > 0 else AGAINST
        shown = tuple(round(128 * (1 - opacity) + part * opacity) for part in colour)
        strip.line((left + step, tall / 4, left + step, tall * 3 / 4), fill=shown)
    return image
