"""One generated radiograph: a patient, an optional pneumonia, and an exposure combined."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pneumoscope.data.phantom.anatomy import draw_anatomy
from pneumoscope.data.phantom.canvas import resized, resized_bytes, resized_mask
from pneumoscope.data.phantom.film import draw_film, expose, soften
from pneumoscope.data.phantom.layers import bones, smooth_parts, vessels
from pneumoscope.data.phantom.opacities import draw_pneumonia
from pneumoscope.errors import OptionError, nearest

LABELS = ("NORMAL", "PNEUMONIA")
PATHOGENS = ("BACTERIA", "VIRUS")

_SMALLEST_PX, _LARGEST_PX = 16, 8192


@dataclass(frozen=True, slots=True)
class Phantom:
    """A generated radiograph with its ground truth.

    Attributes:
        pixels: The image, shape [height, width], black air and white bone.
        lungs: Mask of the lung fields, shape [height, width].
        opacity: Mask of the pneumonia within the lung fields, shape [height, width]; False
            everywhere in a normal radiograph.
        label: "NORMAL" or "PNEUMONIA".
    """

    pixels: NDArray[np.uint8]
    lungs: NDArray[np.bool_]
    opacity: NDArray[np.bool_]
    label: str


def render(
    label: str,
    *,
    patient_seed: int,
    image_seed: int = 0,
    size_px: tuple[int, int] | None = None,
    pathogen: str | None = None,
) -> Phantom:
    """Return a generated frontal chest radiograph.

    Anatomy and pneumonia are determined by ``patient_seed``; position, inspiration, exposure, noise
    and size by ``image_seed``, so that several images of one patient look like one person. The same
    patient can be rendered with and without a pneumonia.

    Args:
        label: "NORMAL" or "PNEUMONIA".
        patient_seed: Seed of the patient, 0 or more.
        image_seed: Seed of the image of the patient, 0 or more.
        size_px: (height, width) of the image; None draws a native size, about 1000 by 1250.
        pathogen: "BACTERIA" (lobar or patchy) or "VIRUS" (mostly interstitial); None makes it
            depend on the patient. Ignored for a normal radiograph.

    Raises:
        OptionError: An argument has an invalid value.

    Example:
        >>> phantom = render("PNEUMONIA", patient_seed=7, size_px=(96, 128))
        >>> phantom.pixels.shape, str(phantom.pixels.dtype), phantom.label
        ((96, 128), 'uint8', 'PNEUMONIA')
        >>> bool(phantom.opacity.any())
        True
    """
    if label not in LABELS:
        raise OptionError("label", must="a class", was=label, hint=nearest(str(label), LABELS))
    if pathogen is not None and pathogen not in PATHOGENS:
        hint = nearest(str(pathogen), PATHOGENS)
        raise OptionError("pathogen", must="a kind of pneumonia", was=pathogen, hint=hint)
    check_whole_number("patient_seed", patient_seed)
    check_whole_number("image_seed", image_seed)
    check_size(size_px)
    # Separate streams: a pneumonia must not change anything else.
    anatomy = draw_anatomy(np.random.default_rng([patient_seed, 1]))
    film = draw_film(np.random.default_rng([patient_seed, image_seed, 2]), size_px)
    pneumonia = None
    if label == "PNEUMONIA":
        rng = np.random.default_rng([patient_seed, 3])
        drawn = PATHOGENS[int(rng.random() < 0.4)]
        pneumonia = draw_pneumonia(rng, pathogen or drawn)
    soft = smooth_parts(anatomy, film, pneumonia)
    air = resized(soft.air, film.view.shape)
    attenuation = resized(soft.tissue, film.view.shape) - air
    # Scattered radiation reduces the contrast of bone over dense tissue.
    visible = np.clip(1.25 - 1.15 * attenuation, 0.25, 1.0)
    attenuation += bones(anatomy, film) * visible + vessels(anatomy, film) * air
    trunk = resized_bytes(soft.trunk, film.view.shape) * np.float32(1 / 255)
    pixels = expose(film, soften(film, attenuation), body=trunk)
    lungs = resized_mask(soft.lungs, film.shape, above=0.5)
    opacity = np.zeros(film.shape, dtype=np.bool_)
    if pneumonia is not None:
        # Relative to its densest part, so that a faint pneumonia has an extent as well.
        densest = max(1e-6, float((soft.disease * soft.lungs).max()))
        opacity = lungs & resized_mask(soft.disease / densest, film.shape, above=0.4)
    return Phantom(pixels=pixels, lungs=lungs, opacity=opacity, label=label)


def check_whole_number(name: str, value: object, *, at_least: int = 0) -> None:
    """Raise OptionError unless a value is an integer of at least a minimum."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < at_least:
        raise OptionError(name, must=f"a whole number, {at_least} or more", was=value)


def check_size(size_px: tuple[int, int] | None) -> None:
    """Raise OptionError unless the size of an image is valid."""
    if size_px is None:
        return
    if not isinstance(size_px, tuple) or len(size_px) != 2:
        raise OptionError("size_px", must="(height, width) or None", was=size_px)
    for side in size_px:
        check_whole_number("size_px", side, at_least=_SMALLEST_PX)
        if side > _LARGEST_PX:
            raise OptionError("size_px", must=f"at most {_LARGEST_PX} pixels a side", was=size_px)
