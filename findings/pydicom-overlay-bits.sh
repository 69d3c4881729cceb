#!/usr/bin/env bash
# pydicom 3.0.2 with Pillow 13.0.0, imagecodecs 2026.3.6 to encode; Python 3.11.
# An old way to store an overlay is a bit above BitsStored. pixel_array clears such bits in
# uncompressed data and keeps them in JPEG 2000, so the same image has two different arrays.
# Seen output:
#   uncompressed: largest value 4095
#   JPEG 2000: largest value 8191
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    pydicom==3.0.2 pillow==13.0.0 imagecodecs==2026.3.6 numpy==2.4.6
"$place/venv/bin/python" - <<'PYTHON'
import imagecodecs
import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless

pixels = np.tile(np.arange(4096, dtype=np.uint16), (64, 1))
pixels[10:20, -50:] |= 1 << 12  # an overlay
frame = bytes(imagecodecs.jpeg2k_encode(pixels, level=0, reversible=True, codecformat="j2k"))
largest = {}
for what, syntax in (("uncompressed", ExplicitVRLittleEndian), ("JPEG 2000", JPEG2000Lossless)):
    data_set = Dataset()
    data_set.Rows, data_set.Columns = pixels.shape
    data_set.SamplesPerPixel, data_set.PhotometricInterpretation = 1, "MONOCHROME2"
    data_set.BitsAllocated, data_set.BitsStored, data_set.HighBit = 16, 12, 11
    data_set.PixelRepresentation = 0
    compressed = syntax == JPEG2000Lossless
    data_set.PixelData = (
        encapsulate([frame + b"\0" * (len(frame) % 2)]) if compressed else pixels.tobytes()
    )
    data_set["PixelData"].is_undefined_length = compressed
    data_set.file_meta = FileMetaDataset()
    data_set.file_meta.TransferSyntaxUID = syntax
    largest[what] = int(data_set.pixel_array.max())
    print(f"{what}: largest value {largest[what]}")
assert largest == {"uncompressed": 4095, "JPEG 2000": 8191}
PYTHON
