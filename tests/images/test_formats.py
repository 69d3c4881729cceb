"""WebP, BMP, GIF and JPEG 2000 are read like the same picture as PNG, completely or not at all."""

from __future__ import annotations

import contextlib
import struct
from typing import Any

import numpy as np
import pytest
from PIL import Image

from helpers.files import encoded
from helpers.hostile import NOISE, samples
from pneumoscope.data.phantom import render
from pneumoscope.errors import (
    DamagedImageError,
    ImageError,
    ImageTooLargeError,
    UnsupportedImageError,
)
from pneumoscope.images import raster
from pneumoscope.images.decoders import open_image
from pneumoscope.images.prepare import InputSpec, prepare
from pneumoscope.images.read import SUFFIXES, chroma, decode, probe, sniff

PICTURE = render("NORMAL", patient_seed=3, size_px=(230, 250)).pixels
WIDE = np.rint(PICTURE / 255 * 4095).astype(np.uint16)
SPEC = InputSpec(64, 64)
NEW = sorted(name for name in samples() if name.endswith((".bmp", ".gif", ".webp", ".jp2", ".j2k")))


@pytest.mark.parametrize(
    ("form", "options", "named"),
    [
        ("BMP", {}, "BMP"),
        ("GIF", {}, "GIF"),
        ("WEBP", {"lossless": True}, "WebP"),
        ("JPEG2000", {}, "JPEG 2000"),
        ("JPEG2000", {"no_jp2": True}, "JPEG 2000"),
        ("JPEG2000", {"no_jp2": True, "tile_size": (64, 64)}, "JPEG 2000"),
    ],
)
@pytest.mark.parametrize("mode", ["L", "RGB", "P", "RGBA"])
def test_the_same_picture_gives_the_same_pixels(
    form: str, options: dict[str, object], named: str, mode: str
) -> None:
    if (form, mode) in {("JPEG2000", "P"), ("GIF", "RGBA")}:
        pytest.skip("Pillow does not write it without loss")
    data = encoded(Image.fromarray(PICTURE).convert(mode), form, **options)
    assert sniff(data[:132], name="x") == named
    np.testing.assert_array_equal(decode(data, name="x").pixels, PICTURE)
    np.testing.assert_array_equal(prepare(data, SPEC), prepare(PICTURE, SPEC))
    assert chroma(data, name="x") == 0
    assert (probe(data, name="x").width, probe(data, name="x").height) == (250, 230)


def test_lossy_webp_differs_little() -> None:
    found = decode(encoded(PICTURE, "WEBP", quality=90), name="x").pixels
    assert np.abs(found.astype(int) - PICTURE).mean() < 3


@pytest.mark.parametrize("form", ["BMP", "GIF", "WEBP", "JPEG2000"])
def test_colour_counts_for_the_gate(form: str) -> None:
    tinted = np.stack([PICTURE, PICTURE // 2, PICTURE // 4], axis=2)
    data, png = encoded(tinted, form), encoded(tinted)
    assert chroma(data, name="x") == pytest.approx(chroma(png, name="x"), abs=6)
    assert np.abs(prepare(data, SPEC).astype(int) - prepare(png, SPEC)).mean() < 3


@pytest.mark.parametrize(
    ("form", "options"),
    [
        ("JPEG", {}),
        ("JPEG", {"progressive": True}),
        ("JPEG", {"subsampling": 0, "quality": 60}),
        ("PNG", {}),
        ("WEBP", {}),
        ("BMP", {}),
        ("TIFF", {}),
        ("GIF", {}),
    ],
)
@pytest.mark.parametrize("mode", ["RGB", "CMYK", "P", "L"])
def test_a_file_is_opened_once_for_pixels_and_colours(
    form: str, options: dict[str, Any], mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tinted = Image.fromarray(np.stack([PICTURE, PICTURE // 2, PICTURE // 4], axis=2))
    try:
        data = encoded(tinted.convert(mode), form, **options)
    except (OSError, ValueError):
        pytest.skip(f"Pillow writes no {mode} as {form}")
    format_name, opened = sniff(data[:132], name="x"), []

    def counting(*args: Any, **more: Any) -> Any:
        opened.append(args)
        return open_image(*args, **more)

    monkeypatch.setattr(raster, "open_image", counting)
    _, without, _ = raster.grey_image(data, format_name, name="x", at_least=(64, 64))
    before = len(opened)
    _, meta, _ = raster.grey_image(data, format_name, name="x", at_least=(64, 64), colours=True)
    assert len(opened) == 2 * before
    assert without.chroma is None
    # A CMYK JPEG is decoded by Pillow at the size that its pixels need, others at an eighth.
    assert meta.chroma == pytest.approx(chroma(data, name="x"), abs=2 if mode == "CMYK" else 0)
    assert meta.chroma is not None
    assert (meta.chroma > 20) == (mode != "L")


@pytest.mark.parametrize("bits", [10, 12])
def test_grey_jpeg_2000_keeps_its_depth(bits: int) -> None:
    imagecodecs = pytest.importorskip("imagecodecs")
    values = np.rint(PICTURE / 255 * (2**bits - 1)).astype(np.uint16) // 2  # half as bright
    data = imagecodecs.jpeg2k_encode(
        values, level=0, reversible=True, codecformat="jp2", bitspersample=bits
    )
    found = decode(data, name="x")
    assert found.bits == 16
    scaled = values.astype(float) * (65535 / (2**bits - 1))
    np.testing.assert_allclose(found.pixels, scaled, atol=2 ** (16 - bits))
    # The declared depth holds, though the largest value would fit into fewer bits.
    np.testing.assert_allclose(prepare(data, SPEC), prepare(PICTURE, SPEC) / 2, atol=2)


@pytest.mark.parametrize("name", NEW)
def test_a_file_that_was_cut_anywhere_is_never_half_an_image(name: str) -> None:
    data = samples()[name]
    whole = decode(data, name="x").pixels
    cuts = [*range(len(data) // 40, len(data), len(data) // 40), *range(len(data) - 4, len(data))]
    for cut in cuts:
        try:
            found = decode(data[:cut], name="x").pixels
        except DamagedImageError:
            continue
        assert cut > len(data) - 4, cut
        np.testing.assert_array_equal(found, whole)


@pytest.mark.parametrize("name", NEW)
@pytest.mark.parametrize("share", [0.2, 0.5, 0.8, 0.95])
def test_a_file_that_was_cut_and_closed_again_is_refused(name: str, share: float) -> None:
    data = samples()[name]
    cut = bytearray(data[: int(len(data) * share) // 2 * 2])
    if name.endswith(".gif"):
        cut += b"\0;"
    elif name.endswith(".webp"):
        struct.pack_into("<I", cut, 4, len(cut) - 8)
        if cut[12:16] != b"VP8X":
            struct.pack_into("<I", cut, 16, len(cut) - 20)
    elif name.endswith(".bmp"):
        struct.pack_into("<I", cut, 2, len(cut))
    else:
        cut += b"\xff\xd9"
    with pytest.raises(DamagedImageError):
        decode(bytes(cut), name="x")


def test_a_missing_tile_is_named() -> None:
    data = samples()["tiles.j2k"]
    last = data.rindex(b"\xff\x90\0\x0a")
    with pytest.raises(DamagedImageError, match="11 of 12 tiles"):
        decode(data[:last] + b"\xff\xd9", name="x")
    with pytest.raises(DamagedImageError, match="beyond the end"):
        decode(data[:-40], name="x")


@pytest.mark.parametrize("form", ["GIF", "WEBP"])
def test_an_animation_is_refused_with_the_reason(form: str) -> None:
    frames = [Image.fromarray(np.roll(NOISE, step, axis=1)) for step in range(3)]
    data = encoded(frames[0], form, save_all=True, append_images=frames[1:])
    for read in (decode, probe):
        with pytest.raises(UnsupportedImageError, match="several pages or pictures"):
            read(data, name="x")


def test_what_a_header_claims_is_checked_before_a_decoder_takes_memory() -> None:
    gif = bytearray(encoded(NOISE, "GIF"))
    struct.pack_into("<HH", gif, 6, 40_000, 40_000)
    webp = bytearray(encoded(NOISE, "WEBP"))
    struct.pack_into("<HH", webp, 26, 16_383, 16_383)
    bmp = bytearray(encoded(NOISE, "BMP"))
    struct.pack_into("<ii", bmp, 18, 40_000, 40_000)
    for data in (gif, webp, bmp):
        with pytest.raises(ImageTooLargeError):
            probe(bytes(data), name="x")


@pytest.mark.parametrize("name", NEW)
def test_flipped_bytes_give_an_image_or_an_image_error(name: str) -> None:
    chance = np.random.default_rng(1)
    healthy = samples()[name]
    for _ in range(40):
        data = bytearray(healthy)
        reach = len(data) if chance.random() < 0.5 else 200
        for place in chance.integers(0, reach, 3):
            data[place] = chance.integers(256)
        with contextlib.suppress(ImageError):
            assert decode(bytes(data), name="x").pixels.ndim == 2


def test_the_suffixes_name_every_format() -> None:
    assert {".webp", ".bmp", ".gif", ".jp2", ".j2k", ".jpf"} < set(SUFFIXES)
