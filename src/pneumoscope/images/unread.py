"""Describe files of formats that are not supported."""

from __future__ import annotations

_AS_PNG = "which is not supported; save the image as PNG"

_LOOKS: tuple[tuple[int, bytes, str], ...] = (
    (0, b"%PDF", "this is a PDF document; export the radiograph from it as DICOM or PNG"),
    (0, b"PK\x03\x04", "this is a zip archive; unpack it first"),
    (0, b"\x1f\x8b", "this is a gzip file; unpack it first"),
    (0, b"BZh", "this is a bzip2 file; unpack it first"),
    (0, b"\xfd7zXZ", "this is an xz file; unpack it first"),
    (0, b"7z\xbc\xaf\x27\x1c", "this is a 7-Zip archive; unpack it first"),
    (0, b"Rar!", "this is a RAR archive; unpack it first"),
    (0, b"\xff\x0a", f"this is a JPEG XL image, {_AS_PNG}"),
    (0, b"\0\0\0\x0cJXL ", f"this is a JPEG XL image, {_AS_PNG}"),
    (0, b"II\xbc", f"this is a JPEG XR image, {_AS_PNG}"),
    (0, b"8BPS", f"this is a Photoshop file, {_AS_PNG}"),
    (0, b"v/1\x01", f"this is an OpenEXR image, {_AS_PNG}"),
    (0, b"\0\0\1\0", f"this is an icon, {_AS_PNG}"),
    (0, b"\x5c\1\0\0", "this looks like a NIfTI volume; export the radiograph as DICOM or PNG"),
    (0, b"\0\0\1\x5c", "this looks like a NIfTI volume; export the radiograph as DICOM or PNG"),
    (0, b"NRRD", "this is an NRRD volume; export the radiograph as DICOM or PNG"),
    (0, b"\x93NUMPY", "this is a NumPy file; load it with numpy.load and give the array"),
    (0, b"\x89HDF", "this is an HDF5 file; load the pixels and give the array"),
    (0, b"\x1aE\xdf\xa3", "this is a video; save the radiograph in it as PNG"),
    (8, b"AVI ", "this is a video; save the radiograph in it as PNG"),
    (8, b"WAVE", "this is a sound file"),
)
_PICTURES = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1", b"avif", b"avis")


def looks_like(start: bytes) -> str:
    """Return a description of a file by its first bytes, with advice if there is any.

    Args:
        start: The first bytes of the file.

    >>> looks_like(b"%PDF-1.7")
    'this is a PDF document; export the radiograph from it as DICOM or PNG'
    """
    for place, magic, description in _LOOKS:
        if start[place : place + len(magic)] == magic:
            return description
    if start[4:8] == b"ftyp":
        if start[8:12] in _PICTURES:
            return f"this is a HEIC or AVIF image, {_AS_PNG}"
        return "this is a video; save the radiograph in it as PNG"
    if all(byte in b"\t\n\r" or 32 <= byte < 127 for byte in start):
        return "this is a text file, regardless of its name"
    return "its content is not a supported image format"
