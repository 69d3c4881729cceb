"""From the stored values of a DICOM image to the grey pixels to display."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pneumoscope.errors import UnsupportedImageError
from pneumoscope.images.depth import sample_of, shown_range
from pneumoscope.images.dicom.blank import Blank, blank_of, may_be_blank
from pneumoscope.images.dicom.elements import value_of
from pneumoscope.images.dicom.layout import Layout
from pneumoscope.images.dicom.stored import Stored, stored_values
from pneumoscope.images.dicom.voi import Choice, choose, lut_of
from pneumoscope.images.dicom_facts import Rendering
from pneumoscope.images.quiet import quietly
from pneumoscope.images.radiograph import LUMA, ImageMeta, Radiograph
from pneumoscope.images.raster import chroma_of

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pydicom.dataset import Dataset


def radiograph_of(
    dataset: Dataset,
    meta: ImageMeta,
    layout: Layout,
    *,
    name: str,
    at_least: tuple[int, int] | None = None,
) -> Radiograph:
    """Return the image of a data set with air as black.

    Args:
        dataset: Data set with pixel data.
        meta: Metadata from the header.
        layout: Layout of the pixels.
        name: Name of the file, for messages.
        at_least: Required (height, width), if a smaller image is sufficient; None for full size.

    Raises:
        ImageError: The image is damaged, or in an unsupported encoding.
    """
    if may_be_blank(dataset):
        at_least = None  # masks have the full size, and values must not be blended with padding
    stored = stored_values(dataset, layout, name=name, at_least=at_least)
    blank = _blank_of(stored, dataset, layout)
    if stored.pixels.ndim == 3:
        luma, bits = _luma_of(stored, blank)
        meta = meta._replace(chroma=_chroma(stored.pixels, blank))
        return Radiograph(luma, _rendered(meta, stored, blank, "luma"), bits)
    if layout.photometric == "PALETTE COLOR":
        colours = palette_colours(stored.pixels, dataset, name=name)
        luma = _blackened(_luma(colours), blank)
        meta = meta._replace(chroma=_chroma(colours, blank))
        return Radiograph(luma, _rendered(meta, stored, blank, "luma of a palette"))
    meta = meta._replace(chroma=0.0)
    return _shown(stored, dataset, meta, blank, inverted=layout.photometric == "MONOCHROME1")


def _chroma(colours: NDArray[Any], blank: Blank) -> float:
    """Return the colourfulness of an image, as ``read.chroma`` does for a file.

    Blank regions are black, since padding may be coloured in an image without colour.
    """
    from PIL import Image  # noqa: PLC0415 - for colours alone

    rgb = _blackened(colours, blank)
    if rgb.dtype != np.uint8:
        rgb = (rgb >> (8 * (rgb.dtype.itemsize - 1))).astype(np.uint8)
    return chroma_of(Image.fromarray(np.ascontiguousarray(rgb)))


def _blank_of(stored: Stored, dataset: Dataset, layout: Layout) -> Blank:
    """Return the mask of regions that are not part of the image."""
    if not may_be_blank(dataset):
        return Blank()
    # Neighbouring entries of a palette may differ.
    lossy = stored.lossy and layout.photometric != "PALETTE COLOR"
    with quietly():
        return blank_of(dataset, stored.pixels, bits=stored.bits, lossy=lossy)


def _blackened(shown: NDArray[Any], blank: Blank) -> NDArray[Any]:
    """Return pixels, [rows, columns] or with colours, set to black in blank regions."""
    if blank.mask is None:
        return shown
    mask = blank.mask if shown.ndim == 2 else blank.mask[..., None]
    return np.where(mask, shown.dtype.type(0), shown)


def _rendered(meta: ImageMeta, stored: Stored, blank: Blank, voi: str) -> ImageMeta:
    rendering = Rendering(
        decoder=stored.decoder,
        voi=voi,
        padding=blank.padding,
        shutter=blank.shutter,
        notes=(*stored.notes, *blank.notes),
    )
    return meta._replace(rendering=rendering)


def _luma_of(stored: Stored, blank: Blank) -> tuple[NDArray[Any], int | None]:
    """Return the luma of RGB, black in blank regions, and its depth if known."""
    rgb, declared = stored.pixels, stored.bits or 0
    luma = _luma(rgb)
    if rgb.dtype == np.uint8:
        return _blackened(luma, blank), None
    seen = rgb if blank.mask is None else rgb[~blank.mask]
    if 8 <= declared < 16 and seen.size and seen.max() < 2**declared:
        return _blackened(luma, blank), declared
    if blank.mask is None:
        return luma, None
    # Black is the smallest visible value, not that of the padding.
    low, high = shown_range(sample_of(luma, blank.mask))
    share = np.clip((luma - np.float32(low)) / np.float32(high - low or 1), 0, 1)
    return _blackened(np.rint(share * 65535).astype(np.uint16), blank), 16


def _shown(
    stored: Stored, dataset: Dataset, meta: ImageMeta, blank: Blank, *, inverted: bool
) -> Radiograph:
    """Return the grey pixels to display."""
    pixels = stored.pixels
    with quietly():
        sample = sample_of(pixels, blank.mask)
        choice = choose(dataset, sample, inverted=inverted)
    plain = choice.look.plain
    notes = (*stored.notes, *blank.notes, *choice.notes)
    bits = stored.bits
    if plain and pixels.dtype == np.uint8 and bits == 8:
        shown: NDArray[Any] = 255 - pixels if inverted != (choice.look.slope < 0) else pixels
        depth, words = None, "none: 8 bits as stored"
    else:
        table, words = _table(pixels, bits, choice, sample)
        index = pixels.view(np.uint16) if pixels.dtype == np.int16 else pixels
        shown, depth = table[index], 16
    shown = _blackened(shown, blank)
    rendering = Rendering(
        decoder=stored.decoder,
        modality=choice.modality,
        voi=words,
        inverted=inverted,
        padding=blank.padding,
        shutter=blank.shutter,
        notes=notes,
    )
    return Radiograph(shown, meta._replace(rendering=rendering), depth)


def _table(
    pixels: NDArray[Any], bits: int | None, choice: Choice, sample: NDArray[Any]
) -> tuple[NDArray[np.uint16], str]:
    """Return the grey of each stored word, 0 to 65535, and a description."""
    if pixels.dtype == np.int16:
        values = np.arange(2**16).astype(np.uint16).view(np.int16).astype(np.float64)
    else:
        values = np.arange(int(pixels.max()) + 1, dtype=np.float64)
    if not choice.look.plain:
        grey, words = choice.look.applied(values), choice.voi or "modality LUT alone"
    else:
        declared = bits if pixels.dtype.kind == "u" and bits is not None and bits < 16 else None
        dark = choice.look.inverted != (choice.look.slope < 0)
        low, high = shown_range(sample, bits=declared, inverted=dark)
        stored = declared is not None and (low, high) == (0, 2**declared - 1)
        source = "of the stored bits" if stored else "of the pixels"
        grey, words = choice.look.ranged(values, low, high), f"range {low:g} to {high:g} {source}"
    return np.rint(grey * 65535).astype(np.uint16), words


def palette_colours(stored: NDArray[Any], dataset: Dataset, *, name: str) -> NDArray[np.uint8]:
    """Return the colours of the values, RGB [rows, columns, 3].

    Raises:
        UnsupportedImageError: The palette is missing or malformed.
    """
    values = np.arange(int(stored.max()) + 1, dtype=np.float64)
    little = dataset.original_encoding[1] is not False
    rgb = np.empty((len(values), 3), np.uint8)
    for channel, colour in enumerate(("Red", "Green", "Blue")):
        table = f"{colour}PaletteColorLookupTable"
        with quietly():
            descriptor, data = (
                value_of(dataset, f"{table}{part}") for part in ("Descriptor", "Data")
            )
        lut, fault = lut_of(descriptor, data, signed=False, little=little)
        if lut is None:
            raise UnsupportedImageError(
                f"{name}: its {colour.lower()} palette cannot be used: {fault}; export it as grey."
            )
        rgb[:, channel] = np.rint(lut(values) / lut.white * 255)
    colours: NDArray[np.uint8] = rgb[stored]
    return colours


def _luma(rgb: NDArray[Any]) -> Any:
    if rgb.dtype == np.uint8:
        from PIL import Image  # noqa: PLC0415 - the same rounding as for other formats

        return np.asarray(Image.fromarray(np.ascontiguousarray(rgb)).convert("L"))
    weights = np.array(LUMA, np.float32)
    return np.rint(rgb.astype(np.float32) @ weights).astype(np.uint16)
