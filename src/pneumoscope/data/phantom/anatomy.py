"""Anatomy: shapes that are the same in every image of a patient, in body coordinates.

The anatomy is independent of the class of the image. Features that make a normal radiograph hard to
read (prominent hilar vessels, a large thymus, soft-tissue folds, scapulae over the lungs) occur in
both classes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from pneumoscope.data.phantom.canvas import Points, curve, ellipse, mirrored

LEFT_OF_IMAGE, RIGHT_OF_IMAGE = -1.0, 1.0
SIDES = (LEFT_OF_IMAGE, RIGHT_OF_IMAGE)

# The thoracic wall's inner half width by height (from the apex to the costophrenic angle = 1).
_WALL_HEIGHTS = (-0.1, 0.0, 0.04, 0.12, 0.25, 0.42, 0.6, 0.8, 1.0, 1.3)
_WALL_WIDTHS = (0.34, 0.44, 0.54, 0.67, 0.79, 0.88, 0.945, 0.985, 1.0, 0.97)


@dataclass(frozen=True, slots=True)
class Vessels:
    """One generation of the pulmonary vessels' tree, at a lung height of 1.

    Attributes:
        lines: The vessels' middle lines, shape [vessels, points, 2].
        widths: Their widths, shape [vessels, points].
    """

    lines: Points
    widths: Points


@dataclass(frozen=True, slots=True)
class Anatomy:
    """One patient. Lengths are in body units; shares and gains have 1 or 0 as neutral value.

    Attributes:
        age: From 0 (infant: flat ribs, wide heart, large thymus) to 1 (school child).
        height: From the lung apices to the costophrenic angles on full inspiration.
        taper: Narrowing of the upper thorax.
        domes: Height of the diaphragm's domes above the costophrenic angles, by side.
        rib_drop: Descent of a rib from the spine to the lateral wall.
        heart: Transverse size of the heart, as a factor.
        heart_tilt: Downward tilt of the heart's apex.
        thymus: Width of the thymus beside the upper mediastinum, left and right in the image.
        fat: Soft tissue outside the ribs.
        fold: Opacity of the breast or soft-tissue shadow over the lower lungs.
        scapula: Overlap of the scapulae with the lungs.
        arm_angle: Direction of the arms from the horizontal, in radians; negative is raised.
        vessel_gain: Prominence of the hilar vessels.
        gas: Gastric and bowel gas below the image-right dome: x, y, half width, half height.
        vessels: The pulmonary vessels of both sides, by generation from the hila outwards.
        unevenness: Seed of the slow variation of the aeration, which every patient has.
    """

    age: float
    height: float
    taper: float
    domes: tuple[float, float]
    rib_drop: float
    heart: float
    heart_tilt: float
    thymus: tuple[float, float]
    fat: float
    fold: float
    scapula: float
    arm_angle: float
    vessel_gain: float
    gas: tuple[tuple[float, float, float, float], ...]
    vessels: tuple[Vessels, ...]
    unevenness: int


def draw_anatomy(rng: np.random.Generator) -> Anatomy:
    """Return a patient drawn at random."""
    age = float(rng.beta(1.3, 1.6))
    thymus_size = max(0.0, 0.15 - 0.22 * age + 0.06 * rng.normal())
    low_dome = 0.13 + 0.03 * rng.normal()
    gas: list[tuple[float, float, float, float]] = []
    if rng.random() < 0.6:
        gas.append((rng.uniform(0.3, 0.6), 0.12, rng.uniform(0.12, 0.28), rng.uniform(0.05, 0.12)))
    gas += [
        (rng.uniform(-0.2, 0.7), rng.uniform(0.25, 0.6), *rng.uniform(0.03, 0.09, 2))
        for _ in range(rng.integers(0, 7))
    ]
    return Anatomy(
        age=age,
        height=float(np.clip(1.2 + 0.3 * age + 0.05 * rng.normal(), 1.1, 1.65)),
        taper=float(np.clip(0.05 * rng.normal(), -0.1, 0.1)),
        domes=(float(low_dome + rng.uniform(0.02, 0.07)), float(low_dome)),
        rib_drop=float(np.clip(0.13 + 0.15 * age + 0.03 * rng.normal(), 0.08, 0.35)),
        heart=float(np.clip(1.08 - 0.16 * age + 0.07 * rng.normal(), 0.8, 1.3)),
        heart_tilt=float(0.06 * rng.normal()),
        thymus=(thymus_size * rng.uniform(0.5, 1.4), thymus_size * rng.uniform(0.3, 1.3)),
        fat=float(rng.uniform(0.1, 0.24)),
        fold=float(rng.uniform(0.03, 0.1) if rng.random() < 0.35 else 0.0),
        scapula=float(rng.normal(0.06, 0.09)),
        arm_angle=float(rng.choice([-1.0, -0.35, 0.9]) + 0.25 * rng.normal()),
        vessel_gain=float(np.exp(0.3 * rng.normal())),
        gas=tuple(gas),
        vessels=_vessels(rng),
        unevenness=int(rng.integers(2**31)),
    )


def wall(anatomy: Anatomy, y: Points, *, height: float) -> Points:
    """Return the inner half width of the thorax at heights ``y``, any shape."""
    share = y / height
    narrow = anatomy.taper * np.clip(1.0 - share, 0.0, 1.0)
    return np.interp(share, _WALL_HEIGHTS, _WALL_WIDTHS) - narrow


def torso_outline(anatomy: Anatomy, *, lift: float) -> Points:
    """Return the outline of neck, shoulders and trunk; a raised arm lifts the shoulder."""
    fat, lift = anatomy.fat, max(lift, 0.0)
    right = [
        (0.33, -1.2),
        (0.31, -0.5),
        (0.36, -0.34),
        (0.55, -0.24 - 0.4 * lift),
        (0.85, -0.18 - 0.8 * lift),
        (1.08, -0.02 - 0.7 * lift),
        (1.12 + 0.5 * fat, 0.22),
        (1.06 + fat, 0.5),
        (1.04 + fat, 0.9),
        (1.03 + fat, 1.3),
        (0.99 + fat, 1.8),
        (1.0 + fat, 3.2),
    ]
    half = curve(right)
    return np.concatenate((half, mirrored(half, LEFT_OF_IMAGE)[::-1]))


def arm(anatomy: Anatomy) -> tuple[Points, Points]:
    """Return the middle line of the image-right arm and its widths."""
    reach = np.linspace(0.0, 1.5, 16)
    angle = anatomy.arm_angle
    line = np.stack((0.98 + reach * math.cos(angle), 0.1 + reach * math.sin(angle)), axis=1)
    return line, 0.34 + 0.16 * np.exp(-3.0 * reach)


def lung_outline(anatomy: Anatomy, side: float, *, height: float) -> Points:
    """Return the outline of one lung, which reaches behind mediastinum and heart."""
    y = np.array([0.03, 0.08, 0.16, 0.28, 0.42, 0.58, 0.74, 0.88]) * height
    lateral = list(zip(wall(anatomy, y, height=height).tolist(), y.tolist(), strict=True))
    angle = (float(wall(anatomy, np.array([height]), height=height)[0]) - 0.01, height)
    top = height - anatomy.domes[side == RIGHT_OF_IMAGE]
    dome = [
        (0.86, top + 0.055),
        (0.66, top + 0.0),
        (0.42, top - 0.015),
        (0.22, top + 0.02),
        (0.04, top + 0.08),
    ]
    medial = [(0.04, top + 0.08), (0.05, 0.6), (0.12, 0.2), (0.2, 0.04), (0.34, -0.035)]
    outline = [*lateral, angle, angle, *dome, *medial]
    return mirrored(curve(outline, closed=True), side)


def mediastinum_outline(anatomy: Anatomy, *, height: float) -> Points:
    """Return the outline of great vessels, thymus and heart, from the image's left upwards."""
    k, s, tilt = anatomy.heart, height / 1.25, anatomy.heart_tilt
    left, right = anatomy.thymus
    return curve(
        [
            (-0.15, 1.45 * s),
            (-0.24 * k, 1.1 * s),
            (-0.31 * k, 0.93 * s),
            (-0.28 * k, 0.74 * s),
            (-0.2 - 0.4 * left, 0.58 * s),
            (-0.19 - left, 0.4 * s),
            (-0.18 - 0.6 * left, 0.18 * s),
            (-0.19, -0.05),
            (-0.21, -1.5),
            (0.21, -1.5),
            (0.19, -0.05),
            (0.2 + 0.5 * right, 0.17 * s),
            (0.23 + right, 0.31 * s),
            (0.22 + 0.8 * right, 0.42 * s),
            (0.27 + 0.2 * right, 0.53 * s),
            (0.4 * k, 0.68 * s),
            (0.54 * k, 0.86 * s),
            (0.59 * k, (1.02 + tilt) * s),
            (0.53 * k, (1.15 + tilt) * s),
            (0.3, 1.45 * s),
        ],
        closed=True,
    )


def ribs(anatomy: Anatomy, side: float, *, height: float) -> tuple[Points, Points]:
    """Return the posterior and the anterior lines of one side's ribs, each [ribs, points, 2].

    A rib is a ring that falls from the spine forward, so that its projection is an ellipse: the
    upper arc is the posterior part, the lower one the anterior part.
    """
    # The ribs move less than the diaphragm, so a poor inspiration shows fewer of them.
    spacing = (0.5 * anatomy.height + 0.5 * height) * 0.103
    number = np.arange(11.0)[:, None]
    start = -0.12 + spacing * number
    drop = anatomy.rib_drop * np.minimum(1.0, 0.45 + 0.09 * number)
    lateral = wall(anatomy, start + drop, height=height) + 0.03
    phi = np.linspace(0.5 * np.pi, -0.02, 20)
    x = 0.1 + (lateral - 0.1) * np.cos(phi)
    rise = 0.3 * drop * np.sin(np.pi * np.clip(np.cos(phi), 0.0, 1.0) ** 0.8)
    posterior = np.stack((x, start + drop * (1.0 - np.sin(phi)) - rise), axis=-1)
    # The anterior ends stop at the costal cartilage, and the lowest ribs have none in the film.
    phi = np.linspace(0.02, -1.0, 14) * np.clip(1.9 - 0.13 * number, 0.0, 1.0)
    x = lateral * np.cos(phi)
    anterior = np.stack((x, start + drop * (1.0 - 1.3 * np.sin(phi))), axis=-1)
    return mirrored(posterior, side), mirrored(anterior[:8], side)


def clavicle(side: float, *, lift: float) -> tuple[Points, Points]:
    """Return the middle line of one clavicle and its widths.

    Args:
        side: The side.
        lift: Height of the lateral end above the medial one.
    """
    line = curve(
        [
            (0.13, 0.05),
            (0.28, 0.05 - 0.3 * lift),
            (0.5, -0.02 - 0.5 * lift),
            (0.74, -0.04 - 0.95 * lift),
            (0.95, -0.02 - 1.1 * lift),
        ]
    )
    share = np.linspace(-1.0, 1.0, len(line))
    return mirrored(line, side), (0.05 + 0.03 * share**2 * (share < 0)) * np.minimum(
        1.0, 6.0 * (1.05 - share)
    )


def scapula(anatomy: Anatomy, side: float) -> Points:
    """Return the outline of one scapula."""
    inward = anatomy.scapula
    outline = curve(
        [
            (1.06, 0.0),
            (0.98, 0.03),
            (0.84 - inward, -0.04),
            (0.8 - inward, 0.2),
            (0.87 - 1.2 * inward, 0.62),
            (0.93 - inward, 0.66),
            (1.0 - 0.5 * inward, 0.36),
            (1.07, 0.14),
        ],
        closed=True,
    )
    return mirrored(outline, side)


def fold(side: float, *, height: float) -> Points:
    """Return the outline of the breast or soft-tissue shadow of one side."""
    return ellipse(0.62 * side, 0.62 * height, 0.42, 0.22 * height)


def _vessels(rng: np.random.Generator) -> tuple[Vessels, ...]:
    """Return arteries and veins branching from both hila, by generation."""
    # Directions from the hilum in degrees below the lateral horizontal: the lower lobe's artery
    # is the widest, the upper lobe's vessels are thinner, the middle ones thinnest.
    degrees = np.tile([66.0, 40.0, 10.0, -30.0, -64.0], 2)
    width = np.tile([0.05, 0.03, 0.026, 0.03, 0.036], 2) * rng.uniform(0.8, 1.15, 10)
    side = np.repeat(SIDES, 5)
    angle = np.radians(degrees + 9 * rng.normal(size=10))
    angle = np.where(side > 0, angle, np.pi - angle)
    start = np.stack((0.25 * side + 0.04 * (side > 0), 0.46 - 0.02 * (side > 0)), axis=1)
    start += 0.025 * rng.normal(size=(10, 2))
    length = rng.uniform(0.15, 0.25, 10)
    generations = []
    hops = np.arange(8.0) / 7
    for _ in range(4):
        count = len(start)
        wave = 0.25 * rng.normal(size=(count, 1)) * hops
        wave = angle[:, None] + wave + 0.12 * rng.normal(size=(count, 8))
        step = np.stack((np.cos(wave), np.sin(wave)), axis=-1) * length[:, None, None] / 7
        step[:, 0] = 0.0
        lines = start[:, None] + np.cumsum(step, axis=1)
        generations.append(Vessels(lines, width[:, None] * (1.0 - 0.35 * hops)))
        # Two branches from the tip, and a thin one from somewhere along the vessel.
        end, tip, middle = (
            wave[:, -1],
            lines[:, -1],
            lines[np.arange(count), rng.integers(2, 6, count)],
        )
        turn = rng.uniform(0.2, 0.5, count)
        aside = rng.choice([-0.9, 0.9], count)
        start = np.concatenate((tip, tip, middle))
        angle = np.concatenate((end + turn, end - rng.uniform(0.25, 0.7, count), end + aside))
        width = np.concatenate((0.64 * width, 0.6 * width, 0.42 * width))
        length = np.concatenate((length, length, 0.7 * length)) * rng.uniform(0.6, 0.95, 3 * count)
    return tuple(generations)
