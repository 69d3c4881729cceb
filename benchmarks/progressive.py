"""Native-size progressive JPEG files → model inputs: images a second, against baseline ones."""

from __future__ import annotations

import io
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from harness import Outcome, Plan, Row, interleaved, medians, say
from pneumoscope.images.prepare import InputSpec, prepare_bytes
from pneumoscope.parallel import cores

_SPEC = InputSpec()


def measure(plan: Plan) -> Outcome:
    """Prepare the same images in both codings, in turns.

    A progressive file contains the image in several scans, all of which must be decoded with all
    coefficients in memory; decoding at a smaller size saves little.
    """
    count = plan.count(200, generated=100, quick=6)
    found = sorted(path for path in plan.native.rglob("*") if path.is_file())
    order = np.random.default_rng(0).permutation(len(found))[:count]
    codings = {
        "baseline": [_coded(found[number], progressive=False) for number in order],
        "progressive": [_coded(found[number], progressive=True) for number in order],
    }
    say(f"{len(order)} images, {cores()} threads")
    with ThreadPoolExecutor(cores()) as threads:
        taken = interleaved(
            {name: partial(_all, threads, contents) for name, contents in codings.items()},
            rounds=plan.count(3, generated=3, quick=1),
        )
    rate = {name: len(order) / value for name, value in medians(taken).items()}
    return Outcome(
        [
            Row(
                "progressive JPEG of native size into model inputs, files in memory",
                f"{rate['progressive']:.0f} images/s",
                f"{rate['baseline']:.0f} images/s (the same images as baseline JPEG)",
                rate["progressive"] / rate["baseline"],
                at_least=0.25,
            )
        ],
        {"images": len(order), "seconds": taken},
    )


def _coded(path: Path, *, progressive: bool) -> bytes:
    """Return an image as grey JPEG with the same tables in both codings."""
    with Image.open(path) as image:
        out = io.BytesIO()
        image.convert("L").save(out, "JPEG", quality=92, optimize=True, progressive=progressive)
    return out.getvalue()


def _all(threads: Executor, contents: list[bytes]) -> None:
    for _ in threads.map(_prepare, contents):
        pass


def _prepare(content: bytes) -> None:
    prepare_bytes(content, _SPEC, name="benchmark")
