"""One picture in the DICOM variants that scanners and archives write."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import RLELossless

from helpers.files import dicom_bytes, dicom_data_set, encoded

LITTLE = "1.2.840.10008.1.2.1"
BASELINE, EXTENDED = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51"
LOSSLESS, JPEG_LS, JPEG_2000 = (f"1.2.840.10008.1.2.4.{end}" for end in (70, 80, 90))
HIGH_THROUGHPUT = tuple(f"1.2.840.10008.1.2.4.{end}" for end in (201, 202, 203))
MARGIN = 32
"""Width in pixels of the border of the padded variants."""

Pixels = NDArray[Any]


def made(
    pixels: Pixels,
    bits: int = 16,
    *,
    syntax: str = LITTLE,
    frame: bytes | None = None,
    **elements: Any,
) -> bytes:
    """Return a file; elements that are None are removed."""
    data_set = dicom_data_set(pixels, syntax=syntax)
    data_set.BitsStored = min(bits, data_set.BitsAllocated)
    data_set.HighBit = data_set.BitsStored - 1
    if frame is not None:
        data_set.PixelData = encapsulate([frame + b"\0" * (len(frame) % 2)])
        data_set["PixelData"].VR = "OB"
        data_set["PixelData"].is_undefined_length = True
    for keyword, value in elements.items():
        if value is None:
            data_set.pop(keyword, None)
        else:
            setattr(data_set, keyword, value)
    return dicom_bytes(data_set)


def relabelled(data: bytes, other: bytes) -> bytes:
    """Return a file with the transfer syntax, and all other file meta, of another one."""
    begin, end = (144 + int.from_bytes(each[140:144], "little") for each in (data, other))
    return other[:end] + data[begin:]


def lossless(pixels: Pixels, bits: int) -> bytes:
    options: dict[str, Any] = {"lossless": True, "predictor": 1, "bitspersample": bits}
    return bytes(imagecodecs.jpeg8_encode(pixels, **options))


def j2k(pixels: Pixels, bits: int) -> bytes:
    options: dict[str, Any] = {"level": 0, "reversible": True, "codecformat": "j2k"}
    return bytes(imagecodecs.jpeg2k_encode(pixels, bitspersample=bits, **options))


def jls(pixels: Pixels) -> bytes:
    return bytes(imagecodecs.jpegls_encode(pixels))


def deep(picture: Pixels) -> Pixels:
    """Return a picture with 12 bits."""
    return np.rint(picture / 255 * 4095).astype(np.uint16)


def spread(picture: Pixels, low: int, high: int, kind: str = "u2") -> Pixels:
    """Return a picture with given values of black and white."""
    return np.rint(low + picture / 255 * (high - low)).astype(kind)


def table(entries: Pixels | list[int], descriptor: list[int] | None) -> Sequence:
    item = Dataset()
    item.add_new("LUTDescriptor", "US", descriptor)
    item.add_new("LUTData", "US", [int(value) for value in entries])
    return Sequence([item])


def variants(picture: Pixels) -> Iterator[tuple[str, bytes]]:
    """Yield name and bytes of files that show the picture, uint8 [height, width]."""
    for family in (_depths, _windows, _luts, _high_bits, _signs, _syntaxes, _ends, _colours):
        yield from family(picture)
    yield from _missing(picture)


def _depths(picture: Pixels) -> Iterator[tuple[str, bytes]]:
    wide = deep(picture)
    yield "8 bits", made(picture, 8)
    yield "12 bits", made(wide, 12)
    yield "MONOCHROME1", made(4095 - wide, 12, PhotometricInterpretation="MONOCHROME1")
    yield "16 bits, 0-4095", made(wide)
    yield "16 bits, 2000-9000", made(spread(picture, 2000, 9000))
    yield "16 bits, 12000-20000", made(spread(picture, 12000, 20000))
    yield "signed, -500-2500", made(spread(picture, -500, 2500, "i2"))
    yield "rescaled", made(wide, 12, RescaleSlope=0.5, RescaleIntercept=-1024)
    for value in (4096, 65535):
        hot = wide.copy()
        hot[5, 5] = value
        yield f"one pixel of {value}", made(hot)
    for value in (-32768, 32767):
        hot = wide.astype(np.int16)
        hot[5, 5] = value
        yield f"signed, one pixel of {value}", made(hot)


def _windows(picture: Pixels) -> Iterator[tuple[str, bytes]]:
    wide = deep(picture)
    whole: dict[str, Any] = {"WindowCenter": 2048, "WindowWidth": 4096}
    yield "window", made(wide, 12, **whole)
    narrow = made(spread(picture, 800, 2000), WindowCenter="1400.0", WindowWidth="1200.0")
    yield (
        "window with decimal commas",
        narrow.replace(b"1400.0", b"1400,0").replace(b"1200.0", b"1200,0"),
    )
    high = spread(picture, 12000, 20000)
    yield "window that whitens", made(high, WindowCenter=3174, WindowWidth=2426)
    yield "window that blackens", made(high, WindowCenter=40000, WindowWidth=2000)
    two: dict[str, Any] = {"WindowCenter": [-5000, 2048], "WindowWidth": [10, 4096]}
    yield "two windows, the second good", made(wide, 12, **two)
    explained: dict[str, Any] = {"WindowCenter": [2048, 2048], "WindowWidth": [1000, 4096]}
    names = ["HARDER", "NORMAL"]
    yield "HARDER before NORMAL", made(wide, 12, WindowCenterWidthExplanation=names, **explained)


def _luts(picture: Pixels) -> Iterator[tuple[str, bytes]]:
    wide = deep(picture)
    same = np.arange(4096)
    window: dict[str, Any] = {"WindowCenter": 2048, "WindowWidth": 4096}
    for bits in (12, 14, 16):
        yield f"VOI LUT of {bits} bits", made(wide, 12, VOILUTSequence=table(same, [4096, 0, bits]))
    yield "modality LUT", made(wide, 12, ModalityLUTSequence=table(same, [4096, 0, 16]))
    for what, sequence in (
        ("no descriptor", table(same, None)),
        ("too few entries", table(same[:-1], [4096, 0, 12])),
        ("no content", Sequence([Dataset()])),
        ("no bits", table(same, [4096, 0, 0])),
    ):
        yield f"VOI LUT with {what}", made(wide, 12, VOILUTSequence=sequence, **window)
    empty = Sequence([Dataset()])
    yield "modality LUT without content", made(wide, 12, ModalityLUTSequence=empty, **window)


def _high_bits(picture: Pixels) -> Iterator[tuple[str, bytes]]:
    wide = deep(picture)
    drawn = np.zeros_like(wide)
    drawn[20:60, 20:90] = 1 << 12
    both = wide | drawn
    yield "overlay, uncompressed", made(both, 12)
    yield "overlay in .70", made(both, 12, syntax=LOSSLESS, frame=lossless(both, 16))
    yield "overlay in .80", made(both, 12, syntax=JPEG_LS, frame=jls(both))
    yield "overlay in .90", made(both, 12, syntax=JPEG_2000, frame=j2k(both, 16))
    shifted = (wide << 4).astype(np.uint16)
    yield "0-65520 with BitsStored 12", made(shifted, 12, syntax=JPEG_2000, frame=j2k(shifted, 16))
    yield "12 bits with BitsStored 10", made(wide, 10, syntax=LOSSLESS, frame=lossless(wide, 12))


def _signs(picture: Pixels) -> Iterator[tuple[str, bytes]]:
    stored = spread(picture, -1000, 3095, "i2")
    words = stored.view(np.uint16).copy()
    short = words & 0x1FFF
    yield "signed, 13 bits", made(stored, 13)
    yield "signed in .70 of 13 bits", made(stored, 13, syntax=LOSSLESS, frame=lossless(short, 13))
    yield "signed in .70 of 16 bits", made(stored, 13, syntax=LOSSLESS, frame=lossless(words, 16))
    yield "signed in .80 of 13 bits", made(stored, 13, syntax=JPEG_LS, frame=jls(short))
    yield "signed in .80 of 16 bits", made(stored, 13, syntax=JPEG_LS, frame=jls(words))
    yield "signed in an unsigned .90", made(stored, 13, syntax=JPEG_2000, frame=j2k(short, 13))
    wide = deep(picture)
    frame = j2k(wide.astype(np.int16), 16)
    yield "unsigned in a signed .90", made(wide, 12, syntax=JPEG_2000, frame=frame)


def _syntaxes(picture: Pixels) -> Iterator[tuple[str, bytes]]:
    wide = deep(picture)
    frames = {
        "JPEG 2000": j2k(wide, 12),
        "JPEG-LS": jls(wide),
        "lossless": lossless(wide, 12),
    }
    right = {"JPEG 2000": JPEG_2000, "JPEG-LS": JPEG_LS, "lossless": LOSSLESS}
    for what, frame in frames.items():
        yield what, made(wide, 12, syntax=right[what], frame=frame)
    for what, syntax in (
        ("JPEG 2000", LOSSLESS),
        ("JPEG-LS", LOSSLESS),
        ("lossless", JPEG_LS),
        ("lossless", JPEG_2000),
    ):
        yield f"{what} as {syntax[-3:]}", made(wide, 12, syntax=syntax, frame=frames[what])
    baseline = encoded(picture, "JPEG", quality=98)
    yield "baseline", made(picture, 8, syntax=BASELINE, frame=baseline)
    yield "baseline as .70", made(picture, 8, syntax=LOSSLESS, frame=baseline)
    compressed = made(wide, 12, syntax=LOSSLESS, frame=frames["lossless"])
    yield "uncompressed as .70", relabelled(made(wide, 12), compressed)
    yield "lossless as uncompressed", relabelled(compressed, made(wide, 12))
    extended = bytes(imagecodecs.jpeg8_encode(wide, level=98, bitspersample=12))
    yield "extended", made(wide, 12, syntax=EXTENDED, frame=extended)
    high = bytes(imagecodecs.htj2k_encode(wide))
    for syntax in HIGH_THROUGHPUT:
        yield f"HTJ2K as {syntax[-4:]}", made(wide, 12, syntax=syntax, frame=high)
    run_length = dicom_data_set(wide)
    run_length.compress(RLELossless, generate_instance_uid=False)
    yield "RLE", dicom_bytes(run_length)
    for what, other in (("JPEG 2000", right["JPEG 2000"]), ("lossless", LOSSLESS)):
        labelled = made(wide, 12, syntax=other, frame=frames[what])
        yield f"RLE as {other[-3:]}", relabelled(dicom_bytes(run_length), labelled)
        yield f"{what} as RLE", relabelled(labelled, dicom_bytes(run_length))
    yield "RLE as uncompressed", relabelled(dicom_bytes(run_length), made(wide, 12))


def _ends(picture: Pixels) -> Iterator[tuple[str, bytes]]:
    for what, (pixels, bits, syntax, frame) in streams(picture).items():
        yield f"{what} without its end marker", made(pixels, bits, syntax=syntax, frame=frame[:-2])
        yield f"{what} and 200 zeros", made(pixels, bits, syntax=syntax, frame=frame + bytes(200))
        whole = made(pixels, bits, syntax=syntax, frame=frame)
        yield f"{what} without a sequence delimiter", whole[:-8]
    wide = deep(picture)
    halves = dicom_data_set(wide, syntax=JPEG_2000)
    halves.BitsStored, halves.HighBit = 12, 11
    halves.PixelData = encapsulate([j2k(wide, 12)], fragments_per_frame=2, has_bot=False)
    halves["PixelData"].VR = "OB"
    halves["PixelData"].is_undefined_length = True
    yield "two fragments", dicom_bytes(halves)
    yield "bytes after the pixels", made(wide, 12, PixelData=wide.tobytes() + bytes(100))


def streams(picture: Pixels) -> dict[str, tuple[Pixels, int, str, bytes]]:
    """Return pixels, bits, transfer syntax and frame of compressed images by their name."""
    wide = deep(picture)
    extended = bytes(imagecodecs.jpeg8_encode(wide, level=98, bitspersample=12))
    progressive = encoded(picture, "JPEG", quality=98, progressive=True)
    restarts = encoded(picture, "JPEG", quality=98, restart_marker_rows=1)
    return {
        ".50": (picture, 8, BASELINE, encoded(picture, "JPEG", quality=98)),
        ".50 progressive": (picture, 8, BASELINE, progressive),
        ".50 with restarts": (picture, 8, BASELINE, restarts),
        ".51": (wide, 12, EXTENDED, extended),
        ".70": (wide, 12, LOSSLESS, lossless(wide, 12)),
        ".80": (wide, 12, JPEG_LS, jls(wide)),
        ".90": (wide, 12, JPEG_2000, j2k(wide, 12)),
    }


def _colours(picture: Pixels) -> Iterator[tuple[str, bytes]]:
    colour = np.stack([picture] * 3, 2)
    yield "RGB", made(colour, 8)
    yield (
        "RGB, plane by plane",
        made(colour, 8, PlanarConfiguration=1, PixelData=np.moveaxis(colour, 2, 0).tobytes()),
    )
    ycbcr = np.stack([picture, *[np.full_like(picture, 128)] * 2], 2)
    yield "YBR_FULL", made(ycbcr, 8, PhotometricInterpretation="YBR_FULL")
    for subsampling in (0, 2):
        marked = encoded(colour, "JPEG", quality=98, subsampling=subsampling)
        bare = marked[:2] + marked[20:]  # without the JFIF marker
        what = ("4:4:4", "", "4:2:0")[subsampling]
        yield f"YCbCr {what} as RGB", made(colour, 8, syntax=BASELINE, frame=bare)
        yield f"YCbCr {what}, marked", made(colour, 8, syntax=BASELINE, frame=marked)


def _missing(picture: Pixels) -> Iterator[tuple[str, bytes]]:
    wide = deep(picture)
    frame = lossless(wide, 12)
    for keyword in (
        "PhotometricInterpretation",
        "SamplesPerPixel",
        "PixelRepresentation",
        "BitsAllocated",
        "BitsStored",
        "HighBit",
    ):
        without: dict[str, Any] = {keyword: None}
        yield f"no {keyword}", made(wide, 12, **without)
        yield f"no {keyword}, .70", made(wide, 12, syntax=LOSSLESS, frame=frame, **without)
    yield "small letters", made(wide, 12).replace(b"MONOCHROME2", b"monochrome2")


def framed(picture: Pixels) -> Pixels:
    """Return the picture with a black margin, as the padded variants show it."""
    return np.pad(picture, MARGIN)


def padded_variants(picture: Pixels) -> Iterator[tuple[str, bytes]]:
    """Yield files with a margin that is not part of the image; each shows the framed picture."""
    black = framed(picture)
    outside = np.pad(np.zeros(picture.shape, bool), MARGIN, constant_values=True)

    def filled(values: Pixels, padding: Any) -> Pixels:
        found = values.copy()
        found[outside] = padding
        return found

    twelve, wide = deep(black), spread(black, 2000, 9000)
    negative = np.rint(9000 - black / 255 * 7000).astype(np.uint16)
    window: dict[str, Any] = {"WindowCenter": 5500, "WindowWidth": 7000}
    one: dict[str, Any] = {"PhotometricInterpretation": "MONOCHROME1"}
    yield "padding 4095", made(filled(twelve, 4095), 12, PixelPaddingValue=4095)
    yield "padding 65535", made(filled(wide, 65535), PixelPaddingValue=65535)
    yield "padding and window", made(filled(wide, 65535), PixelPaddingValue=65535, **window)
    yield "padding 0, MONOCHROME1", made(filled(negative, 0), PixelPaddingValue=0, **one, **window)
    yield (
        "padding 65535, MONOCHROME1",
        made(filled(negative, 65535), PixelPaddingValue=65535, **one),
    )
    ramp = filled(wide, np.linspace(60000, 65535, int(outside.sum())).astype(np.uint16))
    limits: dict[str, Any] = {"PixelPaddingValue": 60000, "PixelPaddingRangeLimit": 65535}
    yield "range of padding", made(ramp, **limits, **window)
    signed = dicom_data_set(filled(spread(black, -500, 2500, "i2"), -32768))
    signed.add_new("PixelPaddingValue", "SS", -32768)
    yield "signed padding", dicom_bytes(signed)
    height, width = black.shape
    for field in ("Shutter", "Collimator"):
        yield f"{field.lower()}", made(filled(twelve, 4095), 12, **shape_of(field, black.shape))
    corners = [
        *(MARGIN + 1, MARGIN + 1, MARGIN + 1, width - MARGIN),
        *(height - MARGIN, width - MARGIN, height - MARGIN, MARGIN + 1),
    ]
    polygon: dict[str, Any] = {
        "ShutterShape": "POLYGONAL",
        "VerticesOfThePolygonalShutter": corners,
    }
    yield "polygonal shutter", made(filled(twelve, 4095), 12, **polygon)
    yield from _padded_colours(picture, shape_of("Shutter", black.shape))
    yield from _padded_lossy(picture)


def shape_of(field: str, size: tuple[int, ...]) -> dict[str, Any]:
    """Return the elements of a rectangular shutter or collimator that hides the margin."""
    return {
        f"{field}Shape": "RECTANGULAR",
        f"{field}LeftVerticalEdge": MARGIN + 1,
        f"{field}RightVerticalEdge": size[1] - MARGIN,
        f"{field}UpperHorizontalEdge": MARGIN + 1,
        f"{field}LowerHorizontalEdge": size[0] - MARGIN,
    }


def _padded_colours(picture: Pixels, shutter: dict[str, Any]) -> Iterator[tuple[str, bytes]]:
    outside = np.pad(np.zeros(picture.shape, bool), MARGIN, constant_values=True)
    white = framed(picture)
    white[outside] = 255
    red = np.stack([white] * 3, 2)
    red[outside] = (255, 40, 40)
    yield "RGB and padding", made(np.stack([white] * 3, 2), 8, PixelPaddingValue=255)
    yield "RGB and padding of 16 bits", made(np.stack([white] * 3, 2), 8, PixelPaddingValue=65535)
    yield "RGB and a shutter", made(red, 8, **shutter)
    deep_red = np.stack([deep(framed(picture))] * 3, 2)
    deep_red[outside] = (65535, 9000, 9000)
    yield "RGB of 12 bits and a shutter", made(deep_red, 12, **shutter)
    sixteen = np.stack([spread(framed(picture), 2000, 9000)] * 3, 2)
    sixteen[outside] = (65535, 9000, 9000)
    yield "RGB of 16 bits and a shutter", made(sixteen, **shutter)
    turned: dict[str, Any] = {"PhotometricInterpretation": "PALETTE COLOR"}
    for colour in ("Red", "Green", "Blue"):
        keyword = f"{colour}PaletteColorLookupTable"
        turned[f"{keyword}Descriptor"] = [256, 0, 16]
        turned[f"{keyword}Data"] = (np.arange(255, -1, -1) * 257).astype("<u2").tobytes()
    yield "palette and padding", made(255 - framed(picture), 8, PixelPaddingValue=255, **turned)
    index = 255 - framed(picture)
    index[outside] = 0  # white
    yield "palette and white padding", made(index, 8, PixelPaddingValue=0, **turned)
    yield "palette and a shutter", made(index, 8, **turned, **shutter)


def _padded_lossy(picture: Pixels) -> Iterator[tuple[str, bytes]]:
    outside = np.pad(np.zeros(picture.shape, bool), MARGIN, constant_values=True)
    for value, quality in ((255, 90), (251, 60)):  # 251 comes out as another value
        filled = framed(picture)
        filled[outside] = value
        frame = encoded(filled, "JPEG", quality=quality)
        data = made(filled, 8, syntax=BASELINE, frame=frame, PixelPaddingValue=value)
        yield f"padding {value} in .50", data
    wide = deep(framed(picture))
    wide[outside] = 4000
    extended = bytes(imagecodecs.jpeg8_encode(wide, level=90, bitspersample=12))
    padded: dict[str, Any] = {"PixelPaddingValue": 4000}
    yield "padding in .51", made(wide, 12, syntax=EXTENDED, frame=extended, **padded)
    options: dict[str, Any] = {"level": 70, "reversible": False, "codecformat": "j2k"}
    lossy = bytes(imagecodecs.jpeg2k_encode(wide, bitspersample=12, **options))
    yield "padding in .91", made(wide, 12, syntax=f"{JPEG_2000[:-1]}1", frame=lossy, **padded)


def cut_variants(picture: Pixels) -> Iterator[tuple[str, bytes]]:
    """Yield files with a truncated frame that is closed by an end marker."""
    for what, (pixels, bits, syntax, frame) in streams(picture).items():
        for percent in (50, 80, 95):
            cut = frame[: len(frame) * percent // 100] + b"\xff\xd9"
            yield f"{what}, {percent} %", made(pixels, bits, syntax=syntax, frame=cut)
            yield (
                f"{what}, {percent} %, no marker",
                made(pixels, bits, syntax=syntax, frame=cut[:-2]),
            )
