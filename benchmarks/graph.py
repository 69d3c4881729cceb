"""The graph alone, on all cores: the cost of evidence maps, and the gain of 8-bit integers."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from fresh_model import write_fresh_model
from harness import Outcome, Plan, Row, interleaved, medians, say
from pictures import replicate
from pneumoscope.export_int8 import quantize
from pneumoscope.images.prepare import InputSpec, prepare
from pneumoscope.parallel import ordered_map
from pneumoscope.reader.model_file.bundle import open_bundle
from readers import reader_of

_NETWORK = "timm:mobilenetv2_035"
_BATCH = 8  # as in the predictor
_VNNI = {"avx512_vnni", "avx_vnni"}

Pixels = NDArray[np.uint8]


def measure(plan: Plan) -> Outcome:
    """Run the graph with and without evidence, and in float32 and int8, in turns each."""
    count = plan.count(512, generated=512, quick=16)
    rounds = plan.count(5, generated=5, quick=1)
    paths = replicate(plan.small, plan.work / "images", count=count)
    rows, details = _evidence(plan, paths, rounds)
    more, others = _int8(plan, paths, rounds)
    if not (rows or more):
        raise RuntimeError("there was nothing to measure; see above")
    return Outcome([*rows, *more], {"images": count, **details, **others})


def _evidence(
    plan: Plan, paths: Sequence[Path], rounds: int
) -> tuple[list[Row], dict[str, object]]:
    reader = reader_of(plan)
    bundle = open_bundle(reader.path, threads=1)
    if "evidence" not in bundle.outputs:
        say(f"evidence is left out: {reader.told} shows none")
        return [], {}
    pixels = _prepared(paths, reader.input)
    plain = ["logits", "probabilities", *(["features"] if bundle.feature_gate else [])]
    taken = interleaved(
        {
            "without evidence": _over(pixels, lambda group: bundle.run(group, plain)),
            "with evidence": _over(pixels, lambda group: bundle.run(group, [*plain, "evidence"])),
        },
        rounds=rounds,
    )
    took = medians(taken)
    row = Row(
        f"the graph with evidence maps ({reader.told})",
        _rate(len(pixels), took["with evidence"]),
        f"{_rate(len(pixels), took['without evidence'])} (without)",
        # A ratio of seconds, not of rates: the cost of the maps.
        took["with evidence"] / took["without evidence"],
        at_most=1.3,
    )
    return [row], {"evidence_seconds": taken}


def _int8(plan: Plan, paths: Sequence[Path], rounds: int) -> tuple[list[Row], dict[str, object]]:
    if not _cpu_flags() & _VNNI:
        say("int8 is left out: this processor does not name VNNI among what it can do")
        return [], {}
    pixels = _prepared(paths, InputSpec())
    whole = write_fresh_model(plan.work / "float32.onnx", _NETWORK, weights="auto")
    small = plan.work / "int8.onnx"
    shutil.copyfile(whole, small)
    quantize(small, pixels[: min(64, len(pixels))])
    taken = interleaved(
        {
            "int8": _over(pixels, _bare(small)),
            "float32": _over(pixels, _bare(whole)),
        },
        rounds=rounds,
    )
    took = medians(taken)
    row = Row(
        f"the graph of {_NETWORK} in int8, with VNNI",
        _rate(len(pixels), took["int8"]),
        f"{_rate(len(pixels), took['float32'])} (float32)",
        took["float32"] / took["int8"],
    )
    return [row], {"int8_seconds": taken}


def _prepared(paths: Sequence[Path], spec: InputSpec) -> Pixels:
    return np.stack(list(ordered_map(lambda path: prepare(path, spec), paths)))


def _over(pixels: Pixels, run: Callable[[Pixels], object]) -> Callable[[], object]:
    """Return a function that runs a graph on all images, with one thread per core."""
    groups = [pixels[start : start + _BATCH] for start in range(0, len(pixels), _BATCH)]
    run(groups[0])  # after the initialisation of the first call
    return lambda: list(ordered_map(run, groups))


def _bare(path: Path) -> Callable[[Pixels], object]:
    """Return a function that runs the graph of a file, without checks of its metadata."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda group: session.run(["probabilities"], {"pixels": group[:, np.newaxis]})


def _rate(count: int, seconds: float) -> str:
    return f"{count / seconds:.0f} images/s"


def _cpu_flags() -> set[str]:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:  # not Linux
        return set()
    return set(text.split())
