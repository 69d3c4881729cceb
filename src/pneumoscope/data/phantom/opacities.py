"""The disease: position and appearance of a pneumonia."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pneumoscope.data.phantom.canvas import Plane, View

# Lobes in the image's coordinates, at a lung height of 1: centre, half width, half height, and the
# height of the fissure that sharply limits the lobe, and the side of the lobe relative to it.
_LOBES = (
    (-0.52, 0.22, 0.36, 0.26, 0.42, -1.0),  # right upper
    (-0.42, 0.66, 0.27, 0.16, 0.46, 1.0),  # middle
    (-0.60, 0.78, 0.38, 0.24, None, 0.0),  # right lower
    (0.54, 0.26, 0.34, 0.28, None, 0.0),  # left upper
    (0.60, 0.62, 0.27, 0.18, None, 0.0),  # lingula
    (0.52, 0.80, 0.40, 0.24, None, 0.0),  # left lower
)


@dataclass(frozen=True, slots=True)
class Blob:
    """A soft-edged ellipse of opacity, in body coordinates at a lung height of 1."""

    x: float
    y: float
    half_width: float
    half_height: float
    strength: float
    fissure: float | None = None
    below: float = 0.0


@dataclass(frozen=True, slots=True)
class Pneumonia:
    """One patient's pneumonia.

    Attributes:
        blobs: The focal opacities; empty in an interstitial pneumonia.
        haze: Strength of the diffuse perihilar haze, 0 to 1.
        reticulation: Share of fine lines in the haze, 0 to 1.
        softness: Width of the blobs' edges, as a share of their size.
        bronchogram: Whether air-filled bronchi show within the opacity.
        balance: Share of the haze on each side of the image.
        seed: Seed of the texture.
    """

    blobs: tuple[Blob, ...]
    haze: float
    reticulation: float
    softness: float
    bronchogram: bool
    balance: tuple[float, float]
    seed: int


def draw_pneumonia(rng: np.random.Generator, pathogen: str) -> Pneumonia:
    """Return a pneumonia drawn at random.

    Args:
        rng: Random generator.
        pathogen: "BACTERIA" (lobar or patchy) or "VIRUS" (mostly interstitial, both sides).
    """
    # Faint ones are common, so that no reader can be perfect.
    strength = float(0.25 + 0.7 * rng.beta(1.5, 1.5))
    blobs: tuple[Blob, ...] = ()
    haze = 0.0
    is_focal = rng.random() < (0.97 if pathogen == "BACTERIA" else 0.2)
    if is_focal and pathogen == "BACTERIA" and rng.random() < 0.65:
        lobes = rng.choice(len(_LOBES), size=1 + (rng.random() < 0.35), replace=False)
        blobs = tuple(_lobe(rng, int(lobe), strength) for lobe in lobes)
    elif is_focal:
        blobs = tuple(_patch(rng, strength) for _ in range(rng.integers(3, 9)))
    else:
        haze = strength
    return Pneumonia(
        blobs=blobs,
        haze=haze,
        reticulation=float(rng.uniform(0.1, 0.45)),
        softness=float(rng.uniform(0.3, 0.8)),
        bronchogram=bool(rng.random() < 0.45),
        balance=(float(rng.uniform(0.55, 1.0)), float(rng.uniform(0.55, 1.0))),
        seed=int(rng.integers(2**31)),
    )


def consolidation(
    pneumonia: Pneumonia, view: View, grid: tuple[Plane, Plane], *, height: float
) -> Plane:
    """Return the share of the air that the pneumonia displaces, shape of the grid, 0 to 1.

    Args:
        pneumonia: The pneumonia of the patient.
        view: Position of the patient on the grid.
        grid: The body coordinates of the grid's pixels.
        height: Height of the lungs in this image, in body units.
    """
    rng = np.random.default_rng(pneumonia.seed)
    x = grid[0]
    y: Plane = grid[1] / np.float32(height)
    ragged = view.texture(rng.normal(size=(22, 22)).astype(np.float32))
    mottled = view.texture(rng.normal(size=(60, 60)).astype(np.float32))
    clear = np.ones(view.shape, dtype=np.float32)
    for blob in pneumonia.blobs:
        rim = ((x - blob.x) / blob.half_width) ** 2 + ((y - blob.y) / blob.half_height) ** 2
        inside: Plane = (1.0 - rim + 0.28 * ragged + 0.08 * mottled) / pneumonia.softness
        shape = _step(inside)
        if blob.fissure is not None:
            fissure: Plane = blob.fissure + np.float32(0.04) * np.abs(x)
            edge: Plane = (y - fissure) * np.float32(blob.below / 0.018)
            shape *= _step(edge)
        clear *= 1.0 - blob.strength * shape * (1.0 + 0.09 * ragged + 0.07 * mottled)
    if pneumonia.haze > 0:
        # Haze fades away from the hila; thickened interstitium adds ridges of noise.
        left, right = pneumonia.balance
        away = ((np.abs(x) - 0.3) / 0.5) ** 2 + ((y - 0.55) / 0.42) ** 2
        extent = np.exp(-0.6 * away) * np.where(x < 0, np.float32(left), np.float32(right))
        fine = view.texture(rng.normal(size=(110, 110)).astype(np.float32))
        ridges = 0.8 - np.abs(fine + 0.8 * mottled)
        pattern = 1.0 + 0.25 * ragged + pneumonia.reticulation * ridges
        clear *= 1.0 - np.clip(pneumonia.haze * extent * pattern, 0.0, 0.9)
    displaced: Plane = np.clip(1.0 - clear, 0.0, 0.97)
    return displaced


def _lobe(rng: np.random.Generator, number: int, strength: float) -> Blob:
    x, y, half_width, half_height, fissure, below = _LOBES[number]
    size = float(np.exp(rng.normal(0.15, 0.2)))
    return Blob(
        x=x + 0.07 * rng.normal(),
        y=y + 0.05 * rng.normal(),
        half_width=half_width * size,
        half_height=half_height * size,
        strength=strength,
        fissure=fissure,
        below=below,
    )


def _patch(rng: np.random.Generator, strength: float) -> Blob:
    side = 1.0 if rng.random() < 0.5 else -1.0
    radius = rng.uniform(0.13, 0.28)
    return Blob(
        x=side * rng.uniform(0.28, 0.85),
        y=rng.uniform(0.15, 0.88),
        half_width=radius * rng.uniform(0.8, 1.4),
        half_height=0.8 * radius * rng.uniform(0.8, 1.2),
        strength=strength * rng.uniform(0.6, 1.0),
    )


def _step(values: Plane) -> Plane:
    """Return a smooth step from 0 to 1 around 0, cheaper than a logistic function."""
    step: Plane = 0.5 + 0.5 * values / np.sqrt(1.0 + values * values)
    return step
