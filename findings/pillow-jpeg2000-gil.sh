#!/usr/bin/env bash
# Pillow 13.0.0 (OpenJPEG 2.5.4), imagecodecs 2026.3.6; Python 3.11.
# While Pillow decodes JPEG 2000 no other Python thread runs: it keeps the lock of the interpreter.
# For JPEG, and with imagecodecs for JPEG 2000, other threads run.
# Seen output (counts differ by machine; the shares are what matters):
#   Pillow, JPEG 2000: another thread stood still for 98% of the decoding
#   Pillow, JPEG: 5%
#   imagecodecs, JPEG 2000: 1%
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    pillow==13.0.0 imagecodecs==2026.3.6 numpy==2.4.6
"$place/venv/bin/python" - <<'PYTHON'
import io
import threading
import time

import imagecodecs
import numpy as np
from PIL import Image

noise = np.random.default_rng(0).integers(0, 256, (2400, 2400), dtype=np.uint8)
jpeg2000 = bytes(imagecodecs.jpeg2k_encode(noise, level=0, reversible=True, codecformat="j2k"))
file = io.BytesIO()
Image.fromarray(noise).save(file, "JPEG", quality=98)
jpeg = file.getvalue()


def longest_stop(decode):
    """Return which share of the decoding another thread stood still at a stretch."""
    stops, running = [], True

    def tick():
        last = time.perf_counter()
        while running:
            time.sleep(0.001)
            now = time.perf_counter()
            stops.append(now - last)
            last = now

    thread = threading.Thread(target=tick)
    thread.start()
    time.sleep(0.05)
    started = time.perf_counter()
    decode()
    took = time.perf_counter() - started
    running = False
    thread.join()
    return min(1.0, max(stops) / took)


def pillow(data):
    image = Image.open(io.BytesIO(data))
    image.decodermaxblock = len(data)
    image.load()


held = longest_stop(lambda: pillow(jpeg2000))
print(f"Pillow, JPEG 2000: another thread stood still for {held:.0%} of the decoding")
free = longest_stop(lambda: pillow(jpeg))
print(f"Pillow, JPEG: {free:.0%}")
other = longest_stop(lambda: imagecodecs.jpeg2k_decode(jpeg2000))
print(f"imagecodecs, JPEG 2000: {other:.0%}")
assert held > 0.9 and free < 0.8 and other < 0.5
PYTHON
