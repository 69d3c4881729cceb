"""A folder of native-size images through ``pneumoscope predict``, from start to end."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray

from harness import PNEUMOSCOPE, Outcome, Plan, Row, call, interleaved, medians, say
from pictures import replicate
from pneumoscope.images.prepare import InputSpec, prepare
from pneumoscope.parallel import cores, ordered_map
from pneumoscope.reader.model_file.bundle import open_bundle
from readers import Reader, reader_of

_LOOP = Path(__file__).with_name("torch_loop.py")
_BATCH = 8  # as in the predictor
_MOST_REFUSED = 0.05  # refused images skip the network, so only few are allowed


def measure(plan: Plan) -> Outcome:
    """Read the same files with the command and with a common loop, in turns.

    Decoding alone and the network alone are measured in the same turns, on all cores each.
    Together, they give the speed of a reader without overhead.
    """
    count = plan.count(1000, generated=500, quick=12)
    folder = plan.work / "images"
    paths = replicate(plan.native, folder, count=count)
    listed = plan.work / "paths.txt"
    listed.write_text("".join(f"{path}\n" for path in paths), encoding="utf-8")
    reader = reader_of(plan)
    pixels = np.stack(_prepared(paths, reader.input))
    loops: list[float] = []
    refused: list[int] = []

    def ours() -> None:
        table = call([PNEUMOSCOPE, "predict", folder, "--model", reader.path, "--format", "csv"])
        rows = [row["conclusion"] for row in csv.DictReader(table.splitlines())]
        if len(rows) != count or "ERROR" in rows:
            raise RuntimeError("pneumoscope predict did not read every image")
        refused.append(rows.count("NOT_ASSESSABLE"))

    def loop() -> None:
        facts = json.loads(call([sys.executable, _LOOP, listed, reader.architecture]))
        if facts["images"] != count:
            raise RuntimeError("the loop did not read every image")
        loops.append(facts["loop"])

    taken = interleaved(
        {
            "ours": ours,
            "decoding alone": lambda: _prepared(paths, reader.input),
            "network alone": _network(reader, pixels),
            "torch, whole process": loop,
        },
        rounds=plan.count(3, generated=3, quick=1),
    )
    if refused[0] > _MOST_REFUSED * count and not plan.quick:
        raise RuntimeError(
            f"the reader refuses {refused[0]} of {count} images, which then cost no inference; "
            "measure another one with --model"
        )
    waited = [_first_answer(folder, reader) for _ in range(plan.count(5, generated=5, quick=1))]
    say(f"first answers after {', '.join(f'{value:.2f} s' for value in waited)}")
    rates = {name: count / seconds for name, seconds in medians(taken).items()}
    mine, whole, alone = rates["ours"], rates["torch, whole process"], count / median(loops)
    decoding, network = rates["decoding alone"], rates["network alone"]
    limit = 1 / (1 / decoding + 1 / network)
    shown = f"{mine:.0f} images/s"
    return Outcome(
        [
            Row(
                f"predict a folder of native-size images, the whole process ({reader.told})",
                shown,
                f"{alone:.0f} images/s (the same networks in eager torch, one by one, its loop "
                "alone)",
                mine / alone,
                at_least=3.3,
            ),
            Row(
                "the same against its whole process",
                shown,
                f"{whole:.0f} images/s (with the import of torch)",
                mine / whole,
            ),
            Row(
                "the same against decoding alone and the network alone, one after the other",
                shown,
                f"{limit:.0f} images/s (of {decoding:.0f} and {network:.0f}, on all cores each)",
                mine / limit,
                at_least=0.8,
            ),
            Row(
                "the first answer of that folder, from the start of the process",
                f"{median(waited):.2f} s",
                seconds=median(waited),
                at_most_seconds=1,
            ),
        ],
        {
            "images": count,
            "refused": refused[0],
            "reader": reader.told,
            "seconds": taken,
            "torch_loop_seconds": loops,
            "first_answer_seconds": waited,
        },
    )


def _prepared(paths: Sequence[Path], spec: InputSpec) -> list[NDArray[np.uint8]]:
    return list(ordered_map(lambda path: prepare(path, spec), paths, workers=cores()))


def _network(reader: Reader, pixels: NDArray[np.uint8]) -> Callable[[], object]:
    """Return a function that runs the graph on all images, with one thread per core."""
    bundle = open_bundle(reader.path, threads=1)
    outputs = ["logits", "probabilities", *(["features"] if bundle.feature_gate else [])]
    groups = [pixels[start : start + _BATCH] for start in range(0, len(pixels), _BATCH)]
    bundle.run(groups[0], outputs)  # after the initialisation of the first call
    return lambda: list(ordered_map(lambda group: bundle.run(group, outputs), groups))


def _first_answer(folder: Path, reader: Reader) -> float:
    """Return the seconds from the start of the process to its first row."""
    command: list[str | Path] = [PNEUMOSCOPE, "predict", folder, "--model", reader.path]
    command += ["--format", "jsonl"]
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        line = process.stdout.readline()
        waited = time.perf_counter() - started
        process.kill()
    if "conclusion" not in json.loads(line or "{}"):
        raise RuntimeError("pneumoscope predict gave no answer")
    return waited
