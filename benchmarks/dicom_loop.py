"""A common loop over DICOM files: pydicom, its window, Pillow's resize, one process per core.

It runs in a separate environment, without pneumoscope.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pydicom
from PIL import Image
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut


def read(path: str) -> int:
    """Return the sum of an image of 224x224 pixels, prepared in the common way."""
    warnings.simplefilter("ignore")
    data_set = pydicom.dcmread(path)
    shown = apply_voi_lut(apply_modality_lut(data_set.pixel_array, data_set), data_set)
    shown = shown.astype(np.float32)
    shown = (shown - shown.min()) / (shown.max() - shown.min()) * 255
    small = Image.fromarray(shown.astype(np.uint8)).resize((224, 224), Image.Resampling.BILINEAR)
    return int(np.asarray(small).sum())


def main() -> None:
    """Read every file once, in as many processes as there are cores."""
    paths = sorted(str(path) for path in Path(sys.argv[1]).iterdir())
    with multiprocessing.Pool(len(os.sched_getaffinity(0))) as pool:
        pool.map(read, paths[:4])  # after the imports of the first files
        started = time.perf_counter()
        count = len(pool.map(read, paths, chunksize=1))
        print(json.dumps({"images": count, "seconds": time.perf_counter() - started}))


if __name__ == "__main__":
    main()
