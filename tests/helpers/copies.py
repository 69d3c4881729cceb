"""A folder in which pictures are stored more than once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from pneumoscope.data.phantom import render

CLASSES = ("NORMAL", "PNEUMONIA")


def write_copies(root: Path) -> Path:
    """Write train/ and test/ of generated patients; three pictures of train stand in test too."""
    for number in range(48):
        label = CLASSES[number % 2]
        film = render(label, patient_seed=number, image_seed=1, size_px=(256, 256)).pixels
        image = Image.fromarray(film)
        place = root / ("test" if number >= 40 else "train") / label
        place.mkdir(parents=True, exist_ok=True)
        image.save(place / f"film{number}.png")
        if number == 0:
            image.save(root / "train" / label / "twin.png", optimize=True)
    # The same pixels in another file; the mirror image; a crop that was saved anew.
    first, second, third = (
        Image.open(root / "train" / CLASSES[k % 2] / f"film{k}.png") for k in (0, 1, 2)
    )
    first.save(root / "test" / "NORMAL" / "other.png", compress_level=1)
    second.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(
        root / "test" / "PNEUMONIA" / "mirrored.png"
    )
    third.crop((6, 4, 250, 252)).resize((300, 300)).save(
        root / "test" / "NORMAL" / "moved.jpg", quality=60
    )
    blank = Image.fromarray(np.full((256, 256), 9, np.uint8))
    for level in (1, 9):  # blank pictures are no copies of each other
        blank.save(root / "train" / "NORMAL" / f"blank{level}.png", compress_level=level)
    return root
