"""The stored values of a DICOM image → grey pixels, as its header wants them shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pneumoscope.errors import DamagedImageError, UnsupportedImageError
from pneumoscope.images.dicom import codecs
from pneumoscope.images.dicom.elements import number_of, text_of, value_of, whole_of
from pneumoscope.images.dicom.greyscale import Look, Lut, Window
from pneumoscope.images.quiet import quietly
from pneumoscope.images.radiograph import ImageMeta, Radiograph, usual_depth

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pydicom.dataset import Dataset


def radiograph_of(dataset: Dataset, meta: ImageMeta, *, name: str) -> Radiograph:
    """Return the image of a data set, black being air.

    Args:
        dataset: With its pixel data.
        meta: What the header says.
        name: Of the file, for faults.

    Raises:
        ImageError: Damaged, or encoded in a way that is not read.
    """
    with quietly():
        look = _look(dataset)
    stored = _stored(dataset, meta, name=name)
    if stored.ndim == 3:
        return Radiograph(_luma(stored), meta, _bits_of(stored, dataset))
    if meta.mode == "PALETTE COLOR":
        with quietly():
            return Radiograph(_from_palette(stored, dataset), meta)
    return _shown(stored, dataset, meta, look)


def _stored(dataset: Dataset, meta: ImageMeta, *, name: str) -> NDArray[Any]:
    """Return the stored values, [rows, columns] or RGB [rows, columns, 3]."""
    if "PixelData" not in dataset:
        raise UnsupportedImageError(f"{name}: a DICOM file without pixel data.")
    pixels = codecs.unpack(dataset, name=name)
    if pixels.shape[:2] != (meta.height, meta.width) or pixels.shape[2:] not in {(), (3,)}:
        raise DamagedImageError(
            f"{name}: its pixels are {list(pixels.shape)}, "
            f"its header says {meta.height} rows and {meta.width} columns."
        )
    return pixels


def _shown(stored: NDArray[Any], dataset: Dataset, meta: ImageMeta, look: Look) -> Radiograph:
    """Return grey pixels as the header wants them shown."""
    low, high = _range(stored, dataset, look)
    if look.plain and stored.dtype == np.uint8 and (low, high, look.slope > 0) == (0, 255, True):
        return Radiograph(255 - stored if look.inverted else stored, meta)
    table = np.rint(look.grey(low, high) * 65535).astype(np.uint16)
    index = stored if low == 0 else stored.astype(np.int32) - low
    return Radiograph(table[index], meta, 16)


def _range(stored: NDArray[Any], dataset: Dataset, look: Look) -> tuple[int, int]:
    """Return the smallest and largest value that the table of greys must hold."""
    least, largest = int(stored.min()), int(stored.max())
    if not look.plain:
        return min(least, 0), largest
    if stored.dtype.kind == "i":
        return least, max(largest, least + 1)
    bits = whole_of(dataset, "BitsStored")
    if not 1 <= bits < 8 * stored.dtype.itemsize or largest >= 2**bits:
        bits = 8 if stored.dtype.itemsize == 1 else usual_depth(largest)
    return 0, 2**bits - 1


def _look(dataset: Dataset) -> Look:
    slope, intercept = number_of(dataset, "RescaleSlope"), number_of(dataset, "RescaleIntercept")
    center, width = number_of(dataset, "WindowCenter"), number_of(dataset, "WindowWidth")
    window = None
    if center is not None and width is not None:
        function = text_of(dataset, "VOILUTFunction").upper()
        window = Window(center, width, function or "LINEAR")
    return Look(
        slope=slope or 1.0,
        intercept=intercept or 0.0,
        modality=_lut_of(dataset, "ModalityLUTSequence"),
        voi=_lut_of(dataset, "VOILUTSequence"),
        window=window if window and window.usable else None,
        inverted=text_of(dataset, "PhotometricInterpretation").upper() == "MONOCHROME1",
    )


def _lut_of(dataset: Dataset, keyword: str) -> Lut | None:
    items = value_of(dataset, keyword)
    if not items:
        return None
    signed = (
        whole_of(dataset, "PixelRepresentation") == 1 or whole_of(dataset, "RescaleIntercept") < 0
    )
    little = dataset.original_encoding[1] is not False
    item = items[0]
    return _lut(item["LUTDescriptor"].value, item["LUTData"].value, signed=signed, little=little)


def _lut(descriptor: Any, data: Any, *, signed: bool, little: bool) -> Lut:
    count, first, bits = (int(number) for number in descriptor)
    count = count or 65536
    if signed and first >= 2**15:
        first -= 2**16
    if isinstance(data, bytes):
        wide = "<u2" if little else ">u2"
        entries = np.frombuffer(data, np.uint8 if len(data) in {count, count + 1} else wide)
    else:
        entries = np.atleast_1d(np.asarray(data))
    if len(entries) < count or not 1 <= bits <= 16:
        raise ValueError(f"a lookup table of {count} entries has {len(entries)}")
    return Lut(first, bits, entries[:count].astype(np.uint16))


def _from_palette(stored: NDArray[Any], dataset: Dataset) -> NDArray[np.uint8]:
    """Return the luma of the colours that the values stand for."""
    values = np.arange(int(stored.max()) + 1, dtype=np.float64)
    little = dataset.original_encoding[1] is not False
    rgb = np.empty((len(values), 1, 3), np.uint8)
    for channel, colour in enumerate(("Red", "Green", "Blue")):
        table = f"{colour}PaletteColorLookupTable"
        lut = _lut(
            dataset[f"{table}Descriptor"].value,
            dataset[f"{table}Data"].value,
            signed=False,
            little=little,
        )
        rgb[:, 0, channel] = np.rint(lut(values) / lut.white * 255)
    return np.asarray(_luma(rgb)[:, 0][stored], np.uint8)


def _luma(rgb: NDArray[Any]) -> Any:
    if rgb.dtype == np.uint8:
        from PIL import Image  # noqa: PLC0415 - the same rounding as for other formats

        return np.asarray(Image.fromarray(rgb).convert("L"))
    weights = np.array([0.299, 0.587, 0.114], np.float32)
    return np.rint(rgb.astype(np.float32) @ weights).astype(np.uint16)


def _bits_of(rgb: NDArray[Any], dataset: Dataset) -> int | None:
    bits = whole_of(dataset, "BitsStored")
    return bits if rgb.dtype != np.uint8 and 8 <= bits < 16 and rgb.max() < 2**bits else None
