"""Conversion of body coordinates to pixels, and drawing in body coordinates.

Body coordinates are the image's, x to the right (the patient's left) and y downwards. One unit is
half the width of the inner thorax; (0, 0) lies in the midline at the height of the lung apices.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

Points = NDArray[np.float64]
Plane = NDArray[np.float32]

# Shapes are drawn at twice the requested resolution, as Pillow's polygons are not antialiased.
_OVERSAMPLING = 2


@dataclass(frozen=True, slots=True)
class View:
    """The position of a patient on a pixel grid.

    Attributes:
        shape: (rows, columns) of the grid.
        unit_px: Pixels per body unit.
        turn: Rotation of the patient in the image plane, in radians, clockwise.
        centre: The body point in the middle of the grid.
    """

    shape: tuple[int, int]
    unit_px: float
    turn: float
    centre: tuple[float, float]

    def reduced(self, factor: float) -> View:
        """Return the same view on a grid ``factor`` times as coarse."""
        rows, columns = (max(8, round(side / factor)) for side in self.shape)
        scale = 0.5 * (rows / self.shape[0] + columns / self.shape[1])
        return View((rows, columns), self.unit_px * scale, self.turn, self.centre)

    def to_pixels(self, points: Points) -> Points:
        """Return the pixel coordinates (x, y) of body points, shape [..., 2]."""
        cosine, sine = math.cos(self.turn) * self.unit_px, math.sin(self.turn) * self.unit_px
        turned = (points - np.array(self.centre)) @ np.array([[cosine, sine], [-sine, cosine]])
        middle: Points = turned + 0.5 * np.array(self.shape[::-1])
        return middle

    def grid(self) -> tuple[Plane, Plane]:
        """Return the body coordinates x and y of every pixel's centre, shape [rows, columns]."""
        cosine, sine = math.cos(self.turn) / self.unit_px, math.sin(self.turn) / self.unit_px
        u = np.arange(self.shape[1], dtype=np.float32) + np.float32(0.5 - self.shape[1] / 2)
        v = np.arange(self.shape[0], dtype=np.float32)[:, None]
        v = v + np.float32(0.5 - self.shape[0] / 2)
        x = u * np.float32(cosine) + v * np.float32(sine) + np.float32(self.centre[0])
        y = v * np.float32(cosine) - u * np.float32(sine) + np.float32(self.centre[1])
        return x, y

    def texture(self, values: Plane, *, corner: tuple[float, float] = (-1.4, -0.5)) -> Plane:
        """Return a small grid of values over the thorax, smoothly interpolated.

        The texture is in body coordinates, so it moves with the patient.

        Args:
            values: The values, shape [n, n]; they cover a square of 2.8 body units.
            corner: The body point of the square's upper left corner.
        """
        cells = values.shape[0] / 2.8
        cosine = math.cos(self.turn) * cells / self.unit_px
        sine = math.sin(self.turn) * cells / self.unit_px
        x0 = (self.centre[0] - corner[0]) * cells
        y0 = (self.centre[1] - corner[1]) * cells
        rows, columns = self.shape
        affine = (
            *(cosine, sine, x0 - cosine * columns / 2 - sine * rows / 2),
            *(-sine, cosine, y0 + sine * columns / 2 - cosine * rows / 2),
        )
        sheet = Image.fromarray(values).transform(
            (columns, rows), Image.Transform.AFFINE, affine, resample=Image.Resampling.BICUBIC
        )
        return np.asarray(sheet, dtype=np.float32)


class Canvas:
    """A plane with values from 0 to 1, on which shapes in body coordinates are drawn."""

    def __init__(self, view: View) -> None:
        self._view = View(
            (view.shape[0] * _OVERSAMPLING, view.shape[1] * _OVERSAMPLING),
            view.unit_px * _OVERSAMPLING,
            view.turn,
            view.centre,
        )
        self._image = Image.new("L", self._view.shape[::-1])
        self._draw = ImageDraw.Draw(self._image)

    def fill(self, outlines: Points, value: float) -> None:
        """Fill one outline, shape [n, 2], or several of as many points, shape [m, n, 2]."""
        corners = self._view.to_pixels(outlines).reshape(-1, 2 * outlines.shape[-2])
        for polygon in corners.tolist():
            self._draw.polygon(polygon, fill=round(255 * value))

    def finish(self, *, blur: float = 0.0) -> Plane:
        """Return what was drawn, shape [rows, columns], 0 to 1.

        Args:
            blur: Standard deviation of a final Gaussian blur, in body units.
        """
        image = self._image.reduce(_OVERSAMPLING)
        radius = blur * self._view.unit_px / _OVERSAMPLING
        if radius > 0.2:
            image = image.filter(ImageFilter.GaussianBlur(radius))
        return np.asarray(image, dtype=np.float32) * np.float32(1 / 255)


def resized(plane: Plane, shape: tuple[int, int]) -> Plane:
    """Return a plane resized to another shape, bicubic, with antialiasing if it becomes smaller."""
    if plane.shape == shape:
        return plane
    image = Image.fromarray(plane).resize(shape[::-1], Image.Resampling.BICUBIC)
    return np.asarray(image, dtype=np.float32)


def resized_bytes(plane: Plane, shape: tuple[int, int]) -> NDArray[np.uint8]:
    """Return a plane of values from 0 to 1 resized with 8 bits, which is several times faster."""
    image = Image.fromarray(np.clip(plane * 255.0 + 0.5, 0, 255).astype(np.uint8))
    return np.asarray(image.resize(shape[::-1], Image.Resampling.BICUBIC))


def resized_mask(plane: Plane, shape: tuple[int, int], *, above: float) -> NDArray[np.bool_]:
    """Return where a plane of values from 0 to 1, resized to another shape, exceeds a threshold."""
    image = Image.fromarray(np.clip(plane * 255.0 + 0.5, 0, 255).astype(np.uint8))
    inside: NDArray[np.bool_] = (
        np.asarray(image.resize(shape[::-1], Image.Resampling.BILINEAR)) > above * 255.0
    )
    return inside


def coarse_level(plane: Plane, factor: int) -> Plane:
    """Return a plane without its details below a size, same shape."""
    image = Image.fromarray(plane)
    level = image.reduce(max(1, factor)).resize(image.size, Image.Resampling.BICUBIC)
    return np.asarray(level, dtype=np.float32)


def curve(points: Sequence[tuple[float, float]], *, closed: bool = False, steps: int = 8) -> Points:
    """Return a smooth line through points (Catmull-Rom); a repeated point is a corner.

    Args:
        points: The points to pass through, at least two.
        closed: Whether the last point is joined to the first.
        steps: Number of output points per input point.
    """
    p = np.asarray(points, dtype=np.float64)
    padded = (
        np.concatenate((p[-1:], p, p[:2]))
        if closed
        else np.concatenate((2 * p[:1] - p[1:2], p, 2 * p[-1:] - p[-2:-1]))
    )
    a, b, c, d = (padded[i : len(padded) - 3 + i, None] for i in range(4))
    t = (np.arange(steps) / steps)[None, :, None]
    line = 0.5 * (
        2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3
    )
    line = line.reshape(-1, 2)
    return line if closed else np.concatenate((line, p[-1:]))


def tube(lines: Points, widths: float | Points) -> Points:
    """Return the outlines of lines, shape [..., n, 2], drawn with a width or with [..., n]."""
    before = np.concatenate((lines[..., :1, :], lines[..., :-1, :]), axis=-2)
    along = np.concatenate((lines[..., 1:, :], lines[..., -1:, :]), axis=-2) - before
    length = np.hypot(along[..., 0], along[..., 1]) + 1e-9
    half = (0.5 * widths / length)[..., None]
    across = along[..., ::-1] * np.array([-1.0, 1.0]) * half
    return np.concatenate((lines + across, (lines - across)[..., ::-1, :]), axis=-2)


def ellipse(x: float, y: float, half_width: float, half_height: float) -> Points:
    """Return the outline of an ellipse."""
    angle = np.linspace(0, 2 * np.pi, 28, endpoint=False)
    return np.stack((x + half_width * np.cos(angle), y + half_height * np.sin(angle)), axis=1)


def mirrored(points: Points, side: float) -> Points:
    """Return points, shape [..., 2], with x multiplied by ``side``: -1 is the image's left half."""
    turned: Points = points * np.array([side, 1.0])
    return turned
