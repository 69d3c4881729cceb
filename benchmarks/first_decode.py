"""Native-size files → a new cache: images a second."""

from __future__ import annotations

import io
import itertools
import multiprocessing
from collections.abc import Iterable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from harness import Outcome, Plan, Row, interleaved, medians, say
from pictures import replicate
from pneumoscope.data.cache import build_cache
from pneumoscope.data.catalog import read_catalog
from pneumoscope.images.prepare import InputSpec
from pneumoscope.parallel import cores

_SIZE = (224, 224)
_CHUNK = 8


def measure(plan: Plan) -> Outcome:
    """Fill caches, and do the same with Pillow alone, in turns."""
    folder = plan.work / "images"
    count = plan.count(960, generated=480, quick=12)
    paths = replicate(plan.native, folder, count=count)
    contents = [path.read_bytes() for path in paths]
    catalog = read_catalog(folder)
    homes = (plan.work / f"cache-{number}" for number in itertools.count())
    say(f"{count} images, {sum(map(len, contents)) / 1e6:.0f} MB, {cores()} threads or processes")
    spawned = multiprocessing.get_context("spawn")
    with (
        ThreadPoolExecutor(cores()) as threads,
        ProcessPoolExecutor(cores(), mp_context=spawned) as processes,
    ):
        _all(processes, paths[: 2 * _CHUNK * cores()])  # started before the clock is
        taken = interleaved(
            {
                "ours": lambda: build_cache(catalog, InputSpec(), home=next(homes)),
                "Pillow in threads": lambda: _all(threads, paths),
                "Pillow in processes": lambda: _all(processes, paths),
                "decoder alone": lambda: list(threads.map(_decode, contents)),
            },
            rounds=plan.count(3, generated=3, quick=1),
        )
    middle = medians(taken)
    way = min(("Pillow in threads", "Pillow in processes"), key=middle.__getitem__)
    rate = {name: count / value for name, value in middle.items()}
    ours = f"{rate['ours']:.0f} images/s"
    return Outcome(
        [
            Row(
                "first decode, native-size JPEG into the cache",
                ours,
                f"{rate[way]:.0f} images/s ({way})",
                rate["ours"] / rate[way],
                at_least=1.4,
            ),
            Row(
                "the same against its decoder alone",
                ours,
                f"{rate['decoder alone']:.0f} images/s (bytes in memory, no resize, nothing kept)",
                rate["ours"] / rate["decoder alone"],
                at_least=0.8,
            ),
        ],
        {"images": count, "seconds": taken},
    )


def _all(pool: Executor, paths: Iterable[Path]) -> None:
    for _ in pool.map(_pillow, paths, chunksize=_CHUNK):
        pass


def _pillow(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        return np.asarray(image.convert("L").resize(_SIZE, Image.Resampling.BILINEAR))


def _decode(content: bytes) -> None:
    image = JpegImageFile(io.BytesIO(content))
    image.draft("L", _SIZE)
    image.load()
