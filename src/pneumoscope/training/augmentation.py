"""The settings of augmentation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pneumoscope.errors import OptionError, in_range, nearest


@dataclass(frozen=True, slots=True, kw_only=True)
class Augmentation:
    """Settings of augmentation; amounts are drawn uniformly for each image.

    Geometric changes are one bilinear resampling; photometric ones act on intensities in [0, 1],
    which are kept in that range.

    Attributes:
        rotation_degrees: Maximum rotation about the centre, in either direction.
        zoom: Maximum scaling of height and of width, drawn separately; 0.1 is from 0.9 to 1.1.
        shift: Maximum translation along each axis, as a share of the side.
        shear_degrees: Maximum shear along the rows, in either direction.
        crop: Minimum share of the area that a crop keeps; 1 disables cropping.
        crop_stretch: Maximum change of the aspect ratio of that crop; 4/3 is from 3/4 to 4/3.
        flip: Whether images are mirrored left to right with probability one half, which moves the
            heart.
        brightness: Maximum change of intensity, in either direction.
        contrast: Maximum change of contrast about the mean intensity; 0.2 is from 0.8 to 1.2.
        gamma: Maximum change of the exponent of the intensities; 0.3 is from 1 / 1.3 to 1.3.
        blur_px: Maximum standard deviation of a Gaussian blur, in pixels.
        noise: Maximum standard deviation of Gaussian noise.
        erase: Probability of painting over a rectangle of up to a fifth of the area.
        erase_border: Probability of painting over a band along an edge, or a corner, where markers,
            labels and collimators are.
        swap_border: Probability of replacing the border by that of another image of the batch,
            whatever its class, so that borders do not tell the classes apart.
    """

    rotation_degrees: float = 0.0
    zoom: float = 0.0
    shift: float = 0.0
    shear_degrees: float = 0.0
    crop: float = 1.0
    crop_stretch: float = 1.0
    flip: bool = False
    brightness: float = 0.0
    contrast: float = 0.0
    gamma: float = 0.0
    blur_px: float = 0.0
    noise: float = 0.0
    erase: float = 0.0
    erase_border: float = 0.0
    swap_border: float = 0.0

    def __post_init__(self) -> None:
        in_range("rotation_degrees", self.rotation_degrees, low=0, high=180)
        in_range("zoom", self.zoom, low=0, high=0.9)
        in_range("shift", self.shift, low=0, high=0.9)
        in_range("shear_degrees", self.shear_degrees, low=0, high=60)
        in_range("crop", self.crop, low=0.05, high=1)
        in_range("crop_stretch", self.crop_stretch, low=1, high=4)
        in_range("brightness", self.brightness, low=0, high=1)
        in_range("contrast", self.contrast, low=0, high=0.99)
        in_range("gamma", self.gamma, low=0, high=9)
        in_range("blur_px", self.blur_px, low=0, high=8)
        in_range("noise", self.noise, low=0, high=1)
        in_range("erase", self.erase, low=0, high=1)
        in_range("erase_border", self.erase_border, low=0, high=1)
        in_range("swap_border", self.swap_border, low=0, high=1)

    @property
    def moves(self) -> bool:
        """Whether it includes geometric changes."""
        return any(
            (self.rotation_degrees, self.zoom, self.shift, self.shear_degrees, self.flip)
        ) or (self.crop, self.crop_stretch) != (1, 1)


AUGMENTATIONS: Mapping[str, Augmentation] = {
    "none": Augmentation(),
    "seed": Augmentation(rotation_degrees=20, zoom=0.1, shift=0.1, flip=True),
    "geometric": Augmentation(
        rotation_degrees=10, shear_degrees=5, shift=0.03, crop=0.3, crop_stretch=4 / 3
    ),
    "radiograph": Augmentation(
        rotation_degrees=10,
        shear_degrees=5,
        shift=0.03,
        crop=0.3,
        crop_stretch=4 / 3,
        brightness=0.2,
        contrast=0.4,
        gamma=0.5,
        blur_px=1.0,
        noise=0.04,
        erase=0.25,
        erase_border=0.25,
    ),
}


def augmentation_of(given: str | Mapping[str, object] | Augmentation) -> Augmentation:
    """Return the augmentation of a preset name or a mapping of fields.

    Raises:
        OptionError: An unknown name or field, or an invalid value.
    """
    match given:
        case Augmentation():
            return given
        case str():
            if given not in AUGMENTATIONS:
                raise OptionError(
                    "augmentation",
                    must=f"one of {', '.join(AUGMENTATIONS)}",
                    was=given,
                    hint=nearest(given, AUGMENTATIONS),
                )
            return AUGMENTATIONS[given]
        case Mapping():
            known = list(Augmentation.__dataclass_fields__)
            for key in given:
                if key not in known:
                    raise OptionError(
                        "augmentation", must="known keys", was=key, hint=nearest(key, known)
                    )
            return Augmentation(**given)  # type: ignore[arg-type]
        case _:
            raise OptionError("augmentation", must="a preset's name or keys with values", was=given)
