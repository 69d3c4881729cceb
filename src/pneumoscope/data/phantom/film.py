"""The image: position of the patient, exposure and detector.

All values only depend on the seed of the image, never on the class.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pneumoscope.data.phantom.canvas import (
    Canvas,
    Plane,
    Points,
    View,
    coarse_level,
    curve,
    ellipse,
    resized_bytes,
    tube,
)

# The longest side of the grid on which sharp shapes are composed; larger images are enlarged.
_COMPOSED_PX = (256, 640)


@dataclass(frozen=True, slots=True)
class Film:
    """One exposure.

    Attributes:
        shape: (height, width) of the image in pixels.
        view: Position of the patient on the grid on which the image is composed.
        inspiration: Height of the lungs as a share of full inspiration.
        lift: Height of the clavicles' lateral ends above the medial ones.
        shift: Sideways shift of the mediastinum by a slight rotation about the body's axis.
        penetration: Contrast of bone against soft tissue, as a factor.
        dark: Grey value, 0 to 1, of the darkest part of the body.
        bright: Grey value of the brightest part.
        gamma: Exponent of the film's curve.
        equalisation: Share of the large-scale contrast that the processing removes.
        tilt: Fall of the beam's intensity along x and y (the heel effect).
        noise: Standard deviation of the quantum noise, 0 to 1.
        unsharpness: Standard deviation of the detector's blur, in body units.
        borders: Width of the unexposed border on the left, top, right and bottom; share of a side.
        border_slope: Slope of the collimator's edges.
        border_grey: Grey value of the unexposed border.
        marker: "R", "L" or nothing.
        marker_place: Position of the marker as shares of width and height.
        marker_size: Height of the marker as a share of the image's.
        cable: Points that a lead passes through in body coordinates; empty for none.
        electrode: Whether the lead ends in an electrode.
        noise_seed: Seed of the noise.
    """

    shape: tuple[int, int]
    view: View
    inspiration: float
    lift: float
    shift: float
    penetration: float
    dark: float
    bright: float
    gamma: float
    equalisation: float
    tilt: tuple[float, float]
    noise: float
    unsharpness: float
    borders: tuple[float, float, float, float]
    border_slope: float
    border_grey: float
    marker: str
    marker_place: tuple[float, float]
    marker_size: float
    cable: tuple[tuple[float, float], ...]
    electrode: bool
    noise_seed: int


def draw_film(rng: np.random.Generator, size_px: tuple[int, int] | None) -> Film:
    """Return an exposure drawn at random, of a native size if ``size_px`` is None."""
    width = float(np.clip(1250 * math.exp(0.2 * rng.normal()), 800, 1900))
    aspect = float(np.clip(rng.normal(1.28, 0.14), 1.0, 1.6))
    height, width = size_px or (round(width / aspect), round(width))
    longest = min(_COMPOSED_PX[1], max(_COMPOSED_PX[0], height, width))
    scale = longest / max(height, width)
    shape = (max(8, round(height * scale)), max(8, round(width * scale)))
    unit_px = (0.5 * shape[1] / 2.6 + 0.5 * shape[0] / 2.05) * math.exp(0.06 * rng.normal())
    centre = (0.05 * rng.normal(), 0.64 + 0.06 * rng.normal())
    sides = rng.random(4) < 0.3
    is_marked, side = rng.random() < 0.7, rng.choice(["R", "L"], p=[0.8, 0.2])
    place = (rng.uniform(0.04, 0.11), rng.uniform(0.05, 0.4))
    start = rng.choice([-1.2, 1.2])
    cable = [
        (start + 0.1 * rng.normal(), rng.uniform(1.3, 2.0)),
        (0.9 * start + 0.15 * rng.normal(), rng.uniform(0.6, 1.0)),
        (0.6 * start + 0.3 * rng.normal(), rng.uniform(0.2, 0.6)),
        (0.4 * start + 0.3 * rng.normal(), rng.uniform(-0.1, 0.4)),
    ]
    has_cable = rng.random() < 0.15
    borders = np.where(sides, rng.uniform(0.005, 0.07, 4), 0.0)
    return Film(
        shape=(height, width),
        view=View(shape, unit_px, math.radians(2.2 * rng.normal()), centre),
        inspiration=float(rng.uniform(0.8, 0.9) if rng.random() < 0.2 else rng.uniform(0.92, 1.03)),
        lift=float(rng.uniform(-0.05, 0.3)),
        shift=0.03 * rng.normal(),
        penetration=float(rng.uniform(0.7, 1.25)),
        dark=float(rng.uniform(0.08, 0.3)),
        bright=float(rng.uniform(0.84, 1.0)),
        gamma=math.exp(0.18 * rng.normal()),
        equalisation=float(rng.uniform(0.0, 0.4)),
        tilt=(0.03 * rng.normal(), 0.05 * rng.normal()),
        noise=0.011 * math.exp(0.4 * rng.normal()),
        unsharpness=float(rng.uniform(0.002, 0.008)),
        borders=(borders[0], borders[1], borders[2], borders[3]),
        border_slope=0.01 * rng.normal(),
        border_grey=float(rng.choice([0.0, 0.0, 0.03])),
        marker=str(side) if is_marked else "",
        marker_place=place if side == "R" else (1.0 - place[0], place[1]),
        marker_size=float(rng.uniform(0.03, 0.055)),
        cable=tuple(cable) if has_cable else (),
        electrode=bool(rng.random() < 0.5),
        noise_seed=int(rng.integers(2**31)),
    )


def expose(film: Film, attenuation: Plane, *, body: Plane) -> NDArray[np.uint8]:
    """Return the finished image of a patient.

    Args:
        film: The exposure.
        attenuation: Attenuation of the beam by the body, on the film's view; about 0 to 1.
        body: Mask of the body, same shape, 0 to 1.
    """
    rows, columns = attenuation.shape
    across = np.linspace(-1, 1, columns, dtype=np.float32)
    down = np.linspace(-1, 1, rows, dtype=np.float32)[:, None]
    heel = np.float32(film.tilt[0]) * across + np.float32(film.tilt[1]) * down
    # The processing reduces the contrast of large structures, as every digital system does.
    level = coarse_level(attenuation, max(rows, columns) // 16)
    grey = attenuation + heel - np.float32(film.equalisation) * (level - np.float32(0.55))
    # The window depends on the body (automatic exposure), so that a white lung does not simply make
    # a bright image.
    inside = grey[::4, ::4][body[::4, ::4] > 0.5]
    inside = inside if inside.size else grey.ravel()
    low, high = (float(value) for value in np.quantile(inside, (0.03, 0.97)))
    span = (film.bright - film.dark) / max(high - low, 0.05)
    grey = np.clip((grey - np.float32(low)) * np.float32(span) + np.float32(film.dark), 0.0, None)
    grey = np.sqrt(body) * grey ** np.float32(film.gamma)
    grey = grey / (1.0 + np.maximum(grey - 0.85, 0.0))  # the curve's shoulder
    open_field = _collimation(film, across=across, down=down)
    grey = open_field * (grey - film.border_grey) + np.float32(film.border_grey)
    grey = np.maximum(grey, _overlay(film))
    full = resized_bytes(grey, film.shape).astype(np.float32)
    # Bright areas are reached by few quanta: the noise is largest there.
    full += _noise(film) * (full + np.float32(90.0))
    return np.clip(full, 0, 255, out=full).astype(np.uint8)


def soften(film: Film, attenuation: Plane) -> Plane:
    """Return the attenuation blurred by the detector."""
    sigma = film.unsharpness * film.view.unit_px
    share = min(0.25, 0.5 * sigma * sigma)
    for _ in range(2):
        across = np.pad(attenuation, 1, mode="edge")
        down: Plane = across[:, 1:-1] * (1 - 2 * share) + share * (across[:, :-2] + across[:, 2:])
        attenuation = down[1:-1] * (1 - 2 * share) + share * (down[:-2] + down[2:])
    return attenuation


def _collimation(film: Film, *, across: Plane, down: Plane) -> Plane:
    """Return a mask of the collimated field, 0 to 1, with a narrow penumbra."""
    left, top, right, bottom = (np.float32(2 * border) for border in film.borders)
    slope, sharpness = np.float32(film.border_slope), np.float32(0.35 * film.view.shape[0])
    field = np.ones(film.view.shape, dtype=np.float32)
    for border, place, other in (
        (left, 1 + across, down),
        (right, 1 - across, down),
        (top, 1 + down, across),
        (bottom, 1 - down, across),
    ):
        if border > 0:
            field *= np.clip((place - border + slope * other) * sharpness, 0.0, 1.0)
    return field


def _overlay(film: Film) -> Plane:
    """Return the side marker and the lead, which are metal and therefore always white."""
    canvas = Canvas(film.view)
    if film.cable:
        line = curve(film.cable, steps=14)
        canvas.fill(tube(line, 0.016), 0.85)
        if film.electrode:
            for radius, value in ((0.045, 0.8), (0.02, 1.0)):
                canvas.fill(line[-1] + ellipse(0.0, 0.0, radius, radius), value)
    for stroke in _letter(film.marker):
        canvas.fill(tube(_placed(film, stroke), 0.15 * _marker_units(film)), 1.0)
    return canvas.finish()


def _marker_units(film: Film) -> float:
    return film.marker_size * film.view.shape[0] / film.view.unit_px


def _placed(film: Film, stroke: Points) -> Points:
    """Return a letter's stroke, drawn in a unit square, in body coordinates.

    It is rotated by a few degrees, like a marker placed by hand.
    """
    rows, columns = film.view.shape
    corner = np.array(
        [
            (film.marker_place[0] - 0.5) * columns / film.view.unit_px + film.view.centre[0],
            (film.marker_place[1] - 0.5) * rows / film.view.unit_px + film.view.centre[1],
        ]
    )
    placed: Points = corner + (stroke - 0.5) * np.array([0.65, 1.0]) * _marker_units(film)
    return placed


def _letter(name: str) -> list[Points]:
    """Return the strokes of a marker's letter in a unit square, y downwards."""
    match name:
        case "":
            return []
        case "L":
            return [np.array([(0.05, 0.0), (0.05, 1.0)]), np.array([(0.0, 0.93), (0.95, 0.93)])]
        case "R":
            bowl = [(0.05, 0.07), (0.6, 0.07), (0.85, 0.15), (0.9, 0.28)]
            bowl += [(0.85, 0.42), (0.6, 0.5), (0.05, 0.5)]
            return [
                np.array([(0.05, 0.0), (0.05, 1.0)]),
                curve(bowl),
                np.array([(0.5, 0.5), (0.95, 1.0)]),
            ]
        case _:
            raise AssertionError(name)


def _noise(film: Film) -> Plane:
    """Return quantum noise with the short correlation length of a scintillator."""
    rng = np.random.default_rng(film.noise_seed)
    rows, columns = film.shape
    # A sum of four uniform numbers approximates a Gaussian one sufficiently, and is much faster.
    white = rng.integers(0, 256, (rows + 1, columns + 1), dtype=np.uint8).astype(np.int16)
    rough = white[:-1] + white[1:]
    rough = rough[:, :-1] + rough[:, 1:]
    # Averaging pixels into a smaller image averages their noise too.
    fewer = min(1.0, max(film.shape) / 1000) ** 0.6
    scale = film.noise * fewer / 148.0
    return (rough - np.int16(510)) * np.float32(scale)
