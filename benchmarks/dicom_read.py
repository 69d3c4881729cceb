"""Read a folder of DICOM files into model inputs, in threads, and print the seconds."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

from pneumoscope.images.prepare import InputSpec, prepare
from pneumoscope.parallel import cores, ordered_map


def main() -> None:
    """Read every file once."""
    paths = sorted(Path(sys.argv[1]).iterdir())
    spec = InputSpec()
    prepare(paths[0], spec)  # after the imports of the first file
    started = time.perf_counter()
    count = sum(1 for _ in ordered_map(lambda path: prepare(path, spec), paths, workers=cores()))
    print(json.dumps({"images": count, "seconds": time.perf_counter() - started}))


main()
