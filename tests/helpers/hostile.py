"""A folder of hostile files."""

from __future__ import annotations

import contextlib
import functools
import os
import struct
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless

from helpers.files import dicom_bytes, dicom_data_set, dicom_file, encoded, png, png_header, tiff

NOISE = np.random.default_rng(0).integers(0, 256, (200, 180), dtype=np.uint8)


@functools.cache
def samples() -> Mapping[str, bytes]:
    """Return one valid file of each kind, by name."""
    noise = Image.fromarray(NOISE)
    wide = NOISE.astype(np.uint16) * 16
    colour = np.stack([NOISE, NOISE[::-1], NOISE[:, ::-1]], axis=2)
    return {
        "grey.jpeg": encoded(noise, "JPEG"),
        "colour.jpeg": encoded(colour, "JPEG"),
        "progressive.jpeg": encoded(noise, "JPEG", progressive=True),
        "grey.png": encoded(noise),
        "wide.png": encoded(wide),
        "colour.png": encoded(colour),
        "grey.tiff": tiff(NOISE),
        "lzw.tiff": encoded(noise, "TIFF", compression="tiff_lzw"),
        "deflate.tiff": encoded(wide, "TIFF", compression="tiff_adobe_deflate"),
        "grey.bmp": encoded(noise, "BMP"),
        "colour.bmp": encoded(colour, "BMP"),
        "grey.gif": encoded(noise, "GIF"),
        "lossy.webp": encoded(colour, "WEBP"),
        "lossless.webp": encoded(noise, "WEBP", lossless=True),
        "alpha.webp": encoded(noise.convert("RGBA"), "WEBP"),
        "grey.jp2": encoded(noise, "JPEG2000"),
        "wide.jp2": encoded(wide, "JPEG2000"),
        "colour.jp2": encoded(colour, "JPEG2000"),
        "tiles.j2k": encoded(noise, "JPEG2000", no_jp2=True, tile_size=(64, 64)),
        "explicit.dcm": dicom_file(wide, BitsStored=12, WindowCenter=2000, WindowWidth=4000),
        "implicit.dcm": dicom_file(wide, syntax=ImplicitVRLittleEndian),
        "deflated.dcm": dicom_file(wide, syntax=DeflatedExplicitVRLittleEndian),
        "rle.dcm": _rle(wide),
        "baseline.dcm": dicom_file(
            NOISE, syntax="1.2.840.10008.1.2.4.50", frame=encoded(noise, "JPEG")
        ),
        "jpeg2000.dcm": dicom_file(
            NOISE,
            syntax="1.2.840.10008.1.2.4.90",
            frame=encoded(noise, "JPEG2000", no_jp2=True),
        ),
    }


def hostile_files(folder: Path) -> list[Path]:
    """Write hostile files into a folder and return their paths.

    Each must end in a result or in one typed error, in little time and memory.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths: list[Path] = []
    for name, content in (*_contents(), *_named()):
        path = folder / name
        with contextlib.suppress(OSError):  # a system that cannot have such a name
            path.write_bytes(content)
            paths.append(path)
    return [*paths, *_special(folder)]


def _contents() -> Iterator[tuple[str, bytes]]:
    yield "empty.jpeg", b""
    yield "one-byte.png", b"\x89"
    yield "text.dcm", b"This is a letter, not a radiograph.\n" * 20
    for name, content in samples().items():
        for tenth in range(1, 10):
            yield f"cut-{tenth}-{name}", content[: len(content) * tenth // 10]
        yield f"wrong-suffix-{name}.txt", content
    yield from _odd_pictures()
    yield from _bombs()
    yield from _odd_dicom()


def _odd_pictures() -> Iterator[tuple[str, bytes]]:
    noise = Image.fromarray(NOISE)
    dot = np.full((1, 1), 7, np.uint8)
    for form in ("JPEG", "PNG", "TIFF", "BMP", "GIF", "WEBP", "JPEG2000"):
        yield f"one-pixel.{form.lower()}", encoded(dot, form)
    yield "one-pixel.dcm", dicom_file(dot)
    yield "line.png", encoded(np.tile(NOISE[:1], (1, 50)))
    yield "palette.png", encoded(noise.convert("P"))
    yield "palette.tiff", encoded(noise.convert("P"), "TIFF")
    yield "bilevel.tiff", encoded(noise.convert("1"), "TIFF", compression="group4")
    yield "alpha.png", encoded(noise.convert("RGBA"))
    yield "cmyk.jpeg", encoded(noise.convert("CMYK"), "JPEG")
    yield "cmyk.tiff", encoded(noise.convert("CMYK"), "TIFF")
    frames = [Image.fromarray(np.roll(NOISE, step, axis=1)) for step in range(3)]
    for form in ("PNG", "GIF", "TIFF", "WEBP"):
        yield (
            f"animated.{form.lower()}",
            encoded(frames[0], form, save_all=True, append_images=frames[1:]),
        )
    values = NOISE.astype(np.float32)
    yield "float.tiff", tiff(values)
    values[3, 4] = np.nan
    yield "nan.tiff", tiff(values)
    yield "twice.jpeg", encoded(noise, "JPEG") * 2
    yield "webp.jpeg", encoded(noise, "WEBP")
    yield "bmp.png", encoded(noise, "BMP")


def _deflated_zeros(count: int) -> bytes:
    """Return zeros in the deflate format; compressing them all at once takes a second."""
    block = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    end = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    whole, rest = divmod(count, 2**20)
    one = block.compress(bytes(2**20)) + block.flush(zlib.Z_FULL_FLUSH)
    return one * whole + end.compress(bytes(rest)) + end.flush()


def _packed_zeros(count: int) -> bytes:
    """Return zeros in the zlib format."""
    checksum = (count % 65521) << 16 | 1
    return b"\x78\xda" + _deflated_zeros(count) + struct.pack(">I", checksum)


def _bombs() -> Iterator[tuple[str, bytes]]:
    packed = zlib.compress(bytes(10_000))
    huge = png_header(30_000, 30_000)
    yield "huge.png", png((b"IHDR", huge), (b"IDAT", packed), (b"IEND", b""))
    dense = _packed_zeros(9_999 * 10_000)
    grey = png_header(9_998, 9_999)
    yield "dense.png", png((b"IHDR", grey), (b"IDAT", dense), (b"IEND", b""))
    colour = png_header(9_999, 9_999, colour=2)
    yield "colour-bomb.png", png((b"IHDR", colour), (b"IDAT", dense), (b"IEND", b""))
    deep = png_header(3_100, 3_100, bits=16, colour=2)
    dense = _packed_zeros(3_100 * (3_100 * 6 + 1))
    yield "deep-colour.png", png((b"IHDR", deep), (b"IDAT", dense), (b"IEND", b""))
    text = _packed_zeros(200 * 2**20)
    small = (b"IHDR", png_header(8, 8))
    pixels = (b"IDAT", zlib.compress(bytes(72)))
    yield (
        "text-bomb.png",
        png(small, *[(b"zTXt", b"k\0\0" + text)] * 20, pixels, (b"IEND", b"")),
    )
    yield "profile-bomb.png", png(small, (b"iCCP", b"p\0\0" + text), pixels, (b"IEND", b""))
    jpeg = bytearray(encoded(Image.fromarray(NOISE), "JPEG"))
    frame = jpeg.index(b"\xff\xc0")
    jpeg[frame + 5 : frame + 9] = struct.pack(">HH", 30_000, 30_000)
    yield "huge.jpeg", bytes(jpeg)
    huge_tiff = bytearray(tiff(NOISE))
    for tag in (256, 257):
        at = huge_tiff.index(struct.pack("<HHI", tag, 4, 1)) + 8
        huge_tiff[at : at + 4] = struct.pack("<I", 30_000)
    yield "huge.tiff", bytes(huge_tiff)
    yield from _new_bombs()
    many = bytearray(tiff(NOISE))
    at = many.index(struct.pack("<HHI", 279, 4, 1)) + 4
    many[at : at + 4] = struct.pack("<I", 2**31)
    yield "many-strips.tiff", bytes(many)
    loop = bytearray(tiff(NOISE))
    entries = struct.unpack_from("<H", loop, 8)[0]
    struct.pack_into("<I", loop, 10 + 12 * entries, 8)
    yield "pages-in-a-circle.tiff", bytes(loop)


def _new_bombs() -> Iterator[tuple[str, bytes]]:
    """Yield small files of the rarer formats whose headers claim many pixels or tiles."""
    noise = Image.fromarray(NOISE)
    bmp = bytearray(encoded(noise, "BMP"))
    struct.pack_into("<ii", bmp, 18, 60_000, 60_000)
    yield "huge.bmp", bytes(bmp)
    gif = bytearray(encoded(noise, "GIF"))
    struct.pack_into("<HH", gif, 6, 65_535, 65_535)
    yield "huge-screen.gif", bytes(gif)
    frame = gif.index(b"\x2c", 13 + 3 * 256)
    struct.pack_into("<HH", gif, frame + 5, 65_535, 65_535)
    yield "huge-frame.gif", bytes(gif)
    webp = bytearray(encoded(noise, "WEBP"))
    struct.pack_into("<HH", webp, 26, 16_383, 16_383)
    yield "huge.webp", bytes(webp)
    extended = bytearray(encoded(noise.convert("RGBA"), "WEBP", exif=b"Exif\0\0"))
    extended[24:30] = b"\xff\xff\0" * 2
    yield "huge-canvas.webp", bytes(extended)
    yield "huge.j2k", _resized_codestream(encoded(noise, "JPEG2000", no_jp2=True))
    tiled = bytearray(encoded(noise, "JPEG2000", no_jp2=True))
    struct.pack_into(">II", tiled, 24, 1, 1)
    yield "tiny-tiles.j2k", bytes(tiled)


def _odd_dicom() -> Iterator[tuple[str, bytes]]:
    wide = NOISE.astype(np.uint16)
    yield "absurd-rows.dcm", dicom_file(wide, Rows=65535, Columns=65535)
    yield "zero-rows.dcm", dicom_file(wide, Rows=0)
    yield "one-row-too-many.dcm", dicom_file(wide, Rows=201)
    yield (
        "DICOMDIR",
        dicom_file(wide, SOPClassUID="1.2.840.10008.1.3.10", Rows=None, PixelData=None),
    )
    yield "no-pixels.dcm", dicom_file(wide, PixelData=None)
    yield "zero-bits.dcm", dicom_file(wide, BitsStored=0)
    yield "many-bits.dcm", dicom_file(wide, BitsStored=60000)
    yield "no-preamble.dcm", dicom_file(wide)[132:]
    healthy = dicom_file(wide)
    yield "no-meta.dcm", healthy[healthy.index(b"\x08\0\x16\0") :]
    yield "rubbish-after-preamble.dcm", bytes(128) + b"DICM" + bytes(NOISE.tobytes()[:5000])
    yield "twice-a-preamble.dcm", bytes(128) + b"DICM" + healthy
    deflated = dicom_file(wide, syntax=DeflatedExplicitVRLittleEndian)
    head = deflated[: 144 + struct.unpack_from("<I", deflated, 140)[0]]
    yield "deflate-bomb.dcm", head + _deflated_zeros(300 * 2**20)
    yield "nested.dcm", _nested(2000)
    private = dicom_data_set(wide)
    for group in range(9, 2001, 2):
        block = private.private_block(group, "NOBODY KNOWS", create=True)
        block.add_new(1, "LO", "something")
        block.add_new(2, "UN", b"\0\1\2\3")
    yield "private.dcm", dicom_bytes(private)
    yield (
        "huge-frame.dcm",
        dicom_file(
            NOISE,
            syntax="1.2.840.10008.1.2.4.90",
            frame=_resized_codestream(encoded(Image.fromarray(NOISE), "JPEG2000", no_jp2=True)),
        ),
    )
    nonsense = dicom_file(wide, WindowCenter=0, WindowWidth=0, RescaleSlope=0)
    yield "nonsense-window.dcm", nonsense
    broken = dicom_data_set(wide)
    broken.VOILUTSequence = Sequence([Dataset()])
    yield "empty-lut.dcm", dicom_bytes(broken)


def _rle(pixels: np.ndarray) -> bytes:
    data_set = dicom_data_set(pixels)
    data_set.compress(RLELossless, generate_instance_uid=False)
    return dicom_bytes(data_set)


def _nested(depth: int) -> bytes:
    """Return a data set with sequences of undefined length in each other, before the pixels."""
    whole = dicom_file(NOISE)
    at = whole.index(b"\x10\0\x10\0")  # PatientName, after group 0008
    begin = b"\x08\0\x40\x11SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\0\xe0\xff\xff\xff\xff"
    end = b"\xfe\xff\x0d\xe0\0\0\0\0" + b"\xfe\xff\xdd\xe0\0\0\0\0"
    return whole[:at] + begin * depth + end * depth + whole[at:]


def _resized_codestream(frame: bytes) -> bytes:
    at = frame.index(b"\xff\x4f\xff\x51") + 8
    return frame[:at] + struct.pack(">II", 60_000, 60_000) + frame[at + 8 :]


def _named() -> Iterator[tuple[str, bytes]]:
    healthy = encoded(Image.fromarray(NOISE), "JPEG")
    yield "two\nlines.jpeg", healthy
    yield "Röntgen-胸部-🫁.jpeg", healthy
    yield "n" * 250 + ".jpeg", healthy
    yield "-rf.jpeg", healthy
    yield "[glob]*?.jpeg", healthy


def _special(folder: Path) -> Iterator[Path]:
    """Yield special files that the system supports."""
    circle = folder / "circle.jpeg"
    with contextlib.suppress(OSError, NotImplementedError):
        circle.symlink_to(folder / "other.jpeg")
        (folder / "other.jpeg").symlink_to(circle)
        yield circle
    if hasattr(os, "mkfifo"):
        os.mkfifo(folder / "pipe.dcm")
        yield folder / "pipe.dcm"
    if hasattr(os, "geteuid") and os.geteuid() != 0:
        secret = folder / "secret.png"
        secret.write_bytes(b"\x89PNG\r\n\x1a\n")
        secret.chmod(0)
        yield secret
    yield folder / "missing.jpeg"
