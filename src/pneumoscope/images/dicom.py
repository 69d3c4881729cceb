"""DICOM → grey pixels, and what the header says.

pydicom parses the header and undoes the encodings that it knows; ``codecs`` does the others. Only
the elements named here are read: no name of a person ever is.
"""

from __future__ import annotations

import io
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from pneumoscope.errors import (
    DamagedImageError,
    ImageError,
    ImageTooLargeError,
    OtherKindError,
    UnsupportedImageError,
)
from pneumoscope.images import codecs
from pneumoscope.images.greyscale import Look, Lut, Window
from pneumoscope.images.quiet import quietly
from pneumoscope.images.radiograph import (
    DicomFacts,
    ImageMeta,
    Radiograph,
    check_size,
    usual_depth,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pydicom.dataset import Dataset

MODALITIES = frozenset({"CR", "DX", "RG"})
"""Projection radiographs: computed, digital, and film that was scanned."""

MAX_INFLATED_BYTES = 64 * 2**20
"""A deflated data set that grows beyond this is not read."""

_IMPLICIT = "1.2.840.10008.1.2"
_EXPLICIT = "1.2.840.10008.1.2.1"
_DEFLATED = "1.2.840.10008.1.2.1.99"
_BIG_ENDIAN = "1.2.840.10008.1.2.2"
_NATIVE = frozenset({"", _IMPLICIT, _EXPLICIT, _DEFLATED, _BIG_ENDIAN})

# Storage of CR, DX for presentation, digitised film and secondary captures, where no modality is
# stated.
_STORED_AS = (
    "1.2.840.10008.5.1.4.1.1.1",
    "1.2.840.10008.5.1.4.1.1.1.1",
    "1.2.840.10008.5.1.4.1.1.7",
)
_SIDEWAYS = re.compile(r"^(LL|RL|LLO|RLO|LAO|RAO|LPO|RPO|LLD|RLD)$|LAT|OBLIQ|DECUB", re.IGNORECASE)
# Defined terms of PS3.16 annex L for parts that a frontal chest radiograph does not show.
_ELSEWHERE = frozenset(
    """
    ABDOMEN ANKLE ARM BLADDER BRAIN BREAST CALF CALCANEUS COCCYX COLON CSPINE EAR ELBOW EXTREMITY
    EYE FACE FEMUR FINGER FOOT FOREARM HAND HEAD HIP HUMERUS JAW KIDNEY KNEE LEG LOWEXTREMITY
    LSPINE LSSPINE LUMBAR MANDIBLE MAXILLA NECK NOSE ORBIT PATELLA PELVIS RADIUS SACRUM SCALP
    SHOULDER SIJOINT SINUS SKULL SPINE SSPINE STOMACH TEETH THIGH THUMB TIBIA TIBIAFIBULA TMJ TOE
    TSPINE ULNA UPEXTREMITY URETER UTERUS WRIST ZYGOMA
    """.split()  # noqa: SIM905 - a list of words reads better so
)
_NOBODY = frozenset({"", "0", "ANONYMOUS", "ANONYMIZED", "ANONYMISED", "NONE", "UNKNOWN", "NA"})

_TAGS = [
    "SOPClassUID",
    "Modality",
    "PresentationIntentType",
    "BodyPartExamined",
    "PatientID",
    "PatientAge",
    "PatientSex",
    "ViewPosition",
    "ViewCodeSequence",
    "ImagerPixelSpacing",
    "PixelSpacing",
    "NumberOfFrames",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "PlanarConfiguration",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "RescaleSlope",
    "RescaleIntercept",
    "ModalityLUTSequence",
    "VOILUTSequence",
    "WindowCenter",
    "WindowWidth",
    "VOILUTFunction",
    *(
        f"{colour}PaletteColorLookupTable{what}"
        for colour in ("Red", "Green", "Blue")
        for what in ("Descriptor", "Data")
    ),
    "PixelData",
]


def probe(data: bytes, *, name: str) -> ImageMeta:
    """Return what the header says.

    Raises:
        ImageError: Damaged, or not a frontal chest radiograph that is read here.
    """
    with _guarded(name), quietly():
        dataset, syntax = _read(data, name=name, pixels=False)
        return _checked(dataset, syntax, name=name)


def decode(data: bytes, *, name: str) -> Radiograph:
    """Return the grey pixels, uint8 or uint16 [rows, columns]; black is air.

    Modality table or rescale, then VOI table or the first window, then the inversion of
    MONOCHROME1. Without values of interest the range of the stored bits is shown; where that is
    all 16 bits, or signed, the range that the pixels use. Colour becomes luma.

    Raises:
        ImageError: Damaged, not a frontal chest radiograph, or encoded in a way that is not read.
    """
    with _guarded(name):
        with quietly():
            dataset, syntax = _read(data, name=name, pixels=True)
            meta = _checked(dataset, syntax, name=name)
            look = _look(dataset)
        stored = _stored(dataset, meta, name=name)
        if stored.ndim == 3:
            return Radiograph(_luma(stored), meta, _bits_of(stored, dataset))
        if meta.mode == "PALETTE COLOR":
            with quietly():
                return Radiograph(_from_palette(stored, dataset), meta)
        return _shown(stored, dataset, meta, look)


@contextmanager
def _guarded(name: str) -> Iterator[None]:
    """Turn whatever a parser or a decoder stumbles over into one error."""
    try:
        yield
    except ImageError:
        raise
    except Exception as fault:  # pydicom has no base class for what hostile bytes raise in it
        raise DamagedImageError(
            f"{name}: truncated or damaged DICOM ({_short(fault)}); copy it again."
        ) from fault


def _read(data: bytes, *, name: str, pixels: bool) -> tuple[Dataset, str]:
    """Return the elements that are read here, and the transfer syntax that the file has."""
    from pydicom import dcmread  # noqa: PLC0415 - pydicom is loaded where there is DICOM
    from pydicom.dataset import FileMetaDataset  # noqa: PLC0415 - the same
    from pydicom.uid import UID  # noqa: PLC0415 - the same

    start, syntax = _file_meta(data)
    body = _inflated(data[start:], name=name) if syntax == _DEFLATED else data[start:]
    if body[:2] == b"\x02\0" or body[128:132] == b"DICM":
        raise DamagedImageError(f"{name}: its file meta information is damaged; copy it again.")
    dataset = dcmread(
        io.BytesIO(body), force=True, specific_tags=list(_TAGS), stop_before_pixels=not pixels
    )
    if syntax in _NATIVE:  # how the elements are written is seen, whatever the file meta says
        implicit, little = dataset.original_encoding
        found = _IMPLICIT if implicit else _EXPLICIT if little else _BIG_ENDIAN
    else:
        found = syntax
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = UID(found)
    return dataset, syntax or found


def _file_meta(data: bytes) -> tuple[int, str]:
    """Return where the data set begins and the transfer syntax that group 0002 names, or ""."""
    position = 132 if data[128:132] == b"DICM" else 0
    syntax = ""
    while data[position : position + 2] == b"\x02\0":
        kind = data[position + 4 : position + 6]
        wide = kind in {b"OB", b"UN", b"OW", b"SQ", b"UT", b"UC", b"UR"}
        where = slice(position + 8, position + 12) if wide else slice(position + 6, position + 8)
        begin = position + (12 if wide else 8)
        end = begin + int.from_bytes(data[where], "little")
        if end > len(data) or not kind.isalpha():
            break
        if data[position + 2 : position + 4] == b"\x10\0":
            syntax = data[begin:end].decode("ascii", "replace").strip("\0 ")
        position = end
    return position, syntax


def _inflated(data: bytes, *, name: str) -> bytes:
    """Return an inflated data set, if it is not a bomb."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    body = inflater.decompress(data, MAX_INFLATED_BYTES)
    if inflater.unconsumed_tail:
        raise ImageTooLargeError(
            f"{name}: a deflated DICOM data set of more than {MAX_INFLATED_BYTES:,} bytes; "
            "save it without compression."
        )
    if not inflater.eof:
        raise DamagedImageError(f"{name}: truncated or damaged deflated DICOM; copy it again.")
    return body


def _checked(dataset: Dataset, syntax: str, *, name: str) -> ImageMeta:
    """Return what the header says, if it is that of an image that may be judged."""
    from pydicom.uid import UID  # noqa: PLC0415 - pydicom is loaded where there is DICOM

    rows, columns = _whole(dataset, "Rows"), _whole(dataset, "Columns")
    stored_as = _text(dataset, "SOPClassUID")
    kind = UID(stored_as).name if stored_as else "no storage class named"
    if not rows or not columns:
        raise UnsupportedImageError(f"{name}: a DICOM file without an image ({kind}).")
    facts = _facts(dataset, syntax)
    if facts.modality and facts.modality not in MODALITIES:
        raise OtherKindError(
            name,
            f"modality {facts.modality!r}; only radiographs are read "
            f"({', '.join(sorted(MODALITIES))})",
        )
    if not facts.modality and stored_as and stored_as not in _STORED_AS:
        raise OtherKindError(
            name,
            f"stored as {kind}, without a modality; only radiographs are read "
            f"({', '.join(sorted(MODALITIES))})",
        )
    frames = _whole(dataset, "NumberOfFrames", 1)
    if frames > 1:
        raise UnsupportedImageError(
            f"{name}: {frames} frames; a radiograph has one. Save the frame that is meant."
        )
    if _SIDEWAYS.search(facts.view):
        raise OtherKindError(
            name, f"view {facts.view!r}; only frontal views (AP, PA) can be judged"
        )
    if facts.body_part.upper() in _ELSEWHERE:
        raise OtherKindError(
            name,
            f"body part {facts.body_part!r}; only chest radiographs can be judged. "
            "If it is one, correct its BodyPartExamined",
        )
    if _text(dataset, "PresentationIntentType").upper() == "FOR PROCESSING":
        raise UnsupportedImageError(
            f"{name}: the detector's raw image (FOR PROCESSING); "
            "export the one that is FOR PRESENTATION."
        )
    samples = _whole(dataset, "SamplesPerPixel", 1)
    allocated = _whole(dataset, "BitsAllocated")
    if samples not in {1, 3} or allocated not in {8, 16}:
        raise UnsupportedImageError(
            f"{name}: {samples} samples of {allocated} bits a pixel; "
            "read are 1 or 3 samples of 8 or 16 bits."
        )
    if _whole(dataset, "HighBit") >= _whole(dataset, "BitsStored", allocated):
        raise UnsupportedImageError(
            f"{name}: its values are not in the low bits of their words (HighBit); export it anew."
        )
    check_size(columns, rows, name=name, bytes_per_pixel=samples * allocated // 8)
    return ImageMeta(columns, rows, facts.photometric, "DICOM", facts)


def _facts(dataset: Dataset, syntax: str) -> DicomFacts:
    patient = _text(dataset, "PatientID")
    return DicomFacts(
        patient_id="" if patient.upper() in _NOBODY else patient,
        patient_age=_text(dataset, "PatientAge"),
        patient_sex=_text(dataset, "PatientSex"),
        view=_text(dataset, "ViewPosition") or _view_code(dataset),
        modality=_text(dataset, "Modality").upper(),
        body_part=_text(dataset, "BodyPartExamined"),
        photometric=_text(dataset, "PhotometricInterpretation").upper(),
        transfer_syntax=syntax,
        pixel_spacing_mm=_spacing(dataset, "PixelSpacing"),
        imager_pixel_spacing_mm=_spacing(dataset, "ImagerPixelSpacing"),
    )


def _view_code(dataset: Dataset) -> str:
    codes = _value(dataset, "ViewCodeSequence")
    return _text(codes[0], "CodeMeaning") if codes else ""


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
    bits = _whole(dataset, "BitsStored")
    if not 1 <= bits < 8 * stored.dtype.itemsize or largest >= 2**bits:
        bits = 8 if stored.dtype.itemsize == 1 else usual_depth(largest)
    return 0, 2**bits - 1


def _look(dataset: Dataset) -> Look:
    slope, intercept = _number(dataset, "RescaleSlope"), _number(dataset, "RescaleIntercept")
    center, width = _number(dataset, "WindowCenter"), _number(dataset, "WindowWidth")
    window = None
    if center is not None and width is not None:
        function = _text(dataset, "VOILUTFunction").upper()
        window = Window(center, width, function or "LINEAR")
    return Look(
        slope=slope or 1.0,
        intercept=intercept or 0.0,
        modality=_lut_of(dataset, "ModalityLUTSequence"),
        voi=_lut_of(dataset, "VOILUTSequence"),
        window=window if window and window.usable else None,
        inverted=_text(dataset, "PhotometricInterpretation").upper() == "MONOCHROME1",
    )


def _lut_of(dataset: Dataset, keyword: str) -> Lut | None:
    items = _value(dataset, keyword)
    if not items:
        return None
    signed = _whole(dataset, "PixelRepresentation") == 1 or _whole(dataset, "RescaleIntercept") < 0
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
    bits = _whole(dataset, "BitsStored")
    return bits if rgb.dtype != np.uint8 and 8 <= bits < 16 and rgb.max() < 2**bits else None


def _value(dataset: Dataset, keyword: str) -> Any:
    """Return the value of an element; None where it is missing, empty or cannot be."""
    try:
        return dataset.get(keyword)
    except Exception:  # a fact that cannot be read is a fact that is not given
        return None


def _text(dataset: Dataset, keyword: str) -> str:
    value = _value(dataset, keyword)
    if isinstance(value, list | tuple) or type(value).__name__ == "MultiValue":
        value = value[0] if len(value) else None
    text = "" if value is None else str(value)
    return "".join(letter for letter in text if letter.isprintable()).strip()[:64]


def _number(dataset: Dataset, keyword: str) -> float | None:
    try:
        number = float(_text(dataset, keyword))
    except ValueError:
        return None
    return number if np.isfinite(number) else None


def _whole(dataset: Dataset, keyword: str, default: int = 0) -> int:
    number = _number(dataset, keyword)
    return default if number is None else int(number)


def _spacing(dataset: Dataset, keyword: str) -> tuple[float, float] | None:
    try:
        row, column = (float(number) for number in _value(dataset, keyword))
    except (TypeError, ValueError):
        return None
    return (row, column) if row > 0 and column > 0 else None


def _short(fault: Exception) -> str:
    return " ".join(str(fault).split())[:120] or type(fault).__name__
