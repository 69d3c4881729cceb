"""Attenuation of the beam: one plane for each kind of tissue, on a film's view.

Attenuations are relative to that of the densest part of the body, and they add up, except scatter,
which ``radiograph`` accounts for, and metal, which ``film`` draws on top.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pneumoscope.data.phantom import anatomy as body_parts
from pneumoscope.data.phantom.anatomy import SIDES, Anatomy
from pneumoscope.data.phantom.canvas import (
    Canvas,
    Plane,
    View,
    curve,
    ellipse,
    mirrored,
    resized,
    tube,
)
from pneumoscope.data.phantom.film import Film
from pneumoscope.data.phantom.opacities import Pneumonia, consolidation


@dataclass(frozen=True, slots=True)
class SmoothParts:
    """The smooth parts, on a grid twice as coarse as the sharp ones.

    Attributes:
        tissue: Attenuation of everything but air in the lungs and bone.
        air: Reduction of the attenuation by air in the lungs that is not displaced by a pneumonia.
        trunk: Mask of the body.
        lungs: Mask of the lung fields.
        disease: Share of the air that is displaced.
    """

    tissue: Plane
    air: Plane
    trunk: Plane
    lungs: Plane
    disease: Plane


def smooth_parts(anatomy: Anatomy, film: Film, pneumonia: Pneumonia | None) -> SmoothParts:
    """Return tissue, air and disease of a patient for one exposure, coarse grid."""
    view = film.view.reduced(2)
    x, y = view.grid()
    height = anatomy.height * film.inspiration
    lungs = _filled(view, [body_parts.lung_outline(anatomy, s, height=height) for s in SIDES])
    middle = body_parts.mediastinum_outline(anatomy, height=height) + np.array([film.shift, 0.0])
    mediastinum = _filled(view, [middle], blur=0.012)
    torso = _filled(view, [body_parts.torso_outline(anatomy, lift=film.lift)], blur=0.035)
    arms, folds = Canvas(view), Canvas(view)
    for side in SIDES:
        line, widths = body_parts.arm(anatomy)
        for share, value in ((1.0, 0.7), (0.65, 1.0)):
            arms.fill(tube(mirrored(line, side), share * widths), value)
        folds.fill(body_parts.fold(side, height=height), 1.0)
    limbs = arms.finish(blur=0.045)
    trunk = np.maximum(torso, np.minimum(1.0, 1.3 * limbs))
    # The trunk is an elliptical cylinder; the neck and the arms are thinner.
    chord = np.sqrt(np.clip(1.0 - np.square(x / np.float32(1.12 + anatomy.fat)), 0.02, None))
    neck = np.clip((y + 0.45) / 0.5, 0.0, 1.0)
    thickness = torso * (0.26 + 0.46 * chord) * (0.72 + 0.28 * neck)
    tissue = np.maximum(thickness, 0.34 * limbs)
    abdomen = np.clip((y - 0.75 * height) / 0.5, 0.0, 1.0)
    chest = np.clip((y + 0.1) / 0.6, 0.0, 1.0) * (1.0 - abdomen)
    tissue += 0.08 * abdomen * torso + 0.06 * mediastinum * chest
    tissue += np.float32(anatomy.fold) * folds.finish(blur=0.015)
    tissue += np.float32(film.penetration) * _spine(anatomy, view)
    tissue -= _gas(anatomy, view, height=height)
    # The lungs are deep in the middle, thin at the apices and along the wall.
    rng = np.random.default_rng(anatomy.unevenness)
    slow = resized(rng.normal(size=(9, 9)).astype(np.float32), (54, 54))
    grain = view.texture(0.07 * slow + 0.035 * rng.normal(size=(54, 54)).astype(np.float32))
    lateral = np.square(np.square(x / np.float32(1.06)))
    depth = np.clip(1.0 - lateral, 0.0, 1.0) * (0.62 + 0.38 * np.clip(y / 0.45, 0.0, 1.0))
    air = 0.46 * lungs * depth * (1.0 - 0.94 * mediastinum) * (1.0 + grain)
    disease = np.zeros_like(air)
    if pneumonia is not None:
        disease = consolidation(pneumonia, view, (x, y), height=height)
        if pneumonia.bronchogram:
            disease = disease * (1.0 - 0.45 * _bronchi(anatomy, view, height=height))
    fields = lungs * (1.0 - mediastinum)
    return SmoothParts(tissue, air * (1.0 - disease), trunk, fields, disease)


def _filled(view: View, outlines: list[NDArray[np.float64]], *, blur: float = 0.006) -> Plane:
    canvas = Canvas(view)
    for outline in outlines:
        canvas.fill(outline, 1.0)
    return canvas.finish(blur=blur)


def _gas(anatomy: Anatomy, view: View, *, height: float) -> Plane:
    """Return the reduction of attenuation by trachea, main bronchi, gastric and bowel gas."""
    canvas = Canvas(view)
    top = height - anatomy.domes[1]
    for x, y, half_width, half_height in anatomy.gas:
        canvas.fill(ellipse(x, top + y, half_width, half_height), 0.75)
    carina = 0.37 * height
    trachea = curve([(0.0, -0.8), (0.0, -0.2), (0.015, carina)])
    right = curve([(0.0, carina - 0.03), (-0.1, carina + 0.09), (-0.18, carina + 0.15)])
    left = curve([(0.02, carina - 0.03), (0.13, carina + 0.1), (0.2, carina + 0.14)])
    for line, width, value in ((right, 0.06, 0.4), (left, 0.055, 0.4), (trachea, 0.085, 0.6)):
        canvas.fill(tube(line, width), value)
    return 0.2 * canvas.finish(blur=0.012)


def _bronchi(anatomy: Anatomy, view: View, *, height: float) -> Plane:
    """Return the larger bronchi, which run beside the central vessels."""
    canvas = Canvas(view)
    scale, beside = np.array([1.0, height]), np.array([0.012, -0.02])
    for branches in anatomy.vessels[:2]:
        canvas.fill(tube(branches.lines * scale + beside, 0.8 * branches.widths), 1.0)
    return canvas.finish(blur=0.006)


def vessels(anatomy: Anatomy, film: Film) -> Plane:
    """Return the attenuation of vessels in the air of the lungs, sharp grid."""
    canvas = Canvas(film.view)
    scale = np.array([1.0, anatomy.height * film.inspiration])
    # The widest last, since they only cover the origins of their branches.
    contrasts = (0.8, 0.75, 0.6, 0.45)
    for branches, value in reversed(tuple(zip(anatomy.vessels, contrasts, strict=True))):
        canvas.fill(tube(branches.lines * scale, branches.widths), value)
    return canvas.finish() * np.float32(0.3 * anatomy.vessel_gain)


def bones(anatomy: Anatomy, film: Film) -> Plane:
    """Return the attenuation of ribs, shoulder girdle and arms, sharp grid."""
    height = anatomy.height * film.inspiration
    back, front, girdle = Canvas(film.view), Canvas(film.view), Canvas(film.view)
    tip = 0.058 * np.minimum(1.0, np.linspace(3.0, 0.25, 14))
    for side in SIDES:
        posterior, anterior = body_parts.ribs(anatomy, side, height=height)
        for canvas, lines, width in ((back, posterior, 0.054), (front, anterior, tip)):
            # A rib is a tube: its cortex is denser than its marrow.
            for share, value in ((1.0, 1.0), (0.66, 0.74)):
                canvas.fill(tube(lines, share * width), value)
        blade = body_parts.scapula(anatomy, side)
        girdle.fill(blade, 0.34)
        girdle.fill(blade.mean(axis=0) + 0.9 * (blade - blade.mean(axis=0)), 0.2)
        line = mirrored(body_parts.arm(anatomy)[0], side)
        girdle.fill(line[0] + ellipse(0.0, 0.0, 0.1, 0.1), 0.55)
        for width, value in ((0.1, 0.7), (0.055, 0.5)):
            girdle.fill(tube(line, width), value)
        line, widths = body_parts.clavicle(side, lift=film.lift)
        for share, value in ((1.0, 0.9), (0.6, 0.7)):
            girdle.fill(tube(line, share * widths), value)
    skeleton: Plane = 0.125 * back.finish() + 0.06 * front.finish() + 0.2 * girdle.finish()
    skeleton *= np.float32(film.penetration)
    return skeleton


def _spine(anatomy: Anatomy, view: View) -> Plane:
    """Return the attenuation of the vertebrae, which are too blurred to need the sharp grid."""
    canvas = Canvas(view)
    spacing = 0.103 * anatomy.height
    level = np.arange(-8.0, 22.0)
    middle = np.stack((np.zeros(30), -0.1 + spacing * level), axis=1)[:, None]
    half_width = 0.1 + 0.0012 * level[:, None, None]
    body = np.array(
        [(-1, -1), (-0.88, 0), (-1, 1), (0, 0.9), (1, 1), (0.88, 0), (1, -1), (0, -0.9)]
    )
    for side in SIDES:
        process = np.array([(0.08, -0.015), (0.13, -0.025), (0.17, -0.035)]) * [side, 1.0]
        canvas.fill(tube(middle + process, 0.04), 0.3)
    half_height = np.full_like(half_width, 0.42 * spacing)
    canvas.fill(middle + body * np.concatenate((half_width, half_height), axis=2), 0.55)
    for side in SIDES:
        canvas.fill(middle + ellipse(0.066 * side, -0.01, 0.016, 0.025), 0.85)
    canvas.fill(middle + ellipse(0.0, 0.035, 0.013, 0.028), 0.8)
    return 0.15 * canvas.finish(blur=0.011)
