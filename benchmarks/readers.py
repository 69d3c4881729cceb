"""The measured reader, and its architecture for a loop that does the same work."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from harness import Plan, say
from pneumoscope.images.prepare import InputSpec
from pneumoscope.reader.model_file.bundle import read_info
from pneumoscope.reader.model_file.session import SHIPPED, SHIPPED_FILE, find_model, read_model

_FRESH = "fresh"


@dataclass(frozen=True, slots=True)
class Reader:
    """A model file.

    Attributes:
        path: Path of the file.
        told: Description for the table.
        input: Input of the model.
        architecture: The same networks for ``torch_loop.py``, as JSON.
    """

    path: Path
    told: str
    input: InputSpec
    architecture: str


def reader_of(plan: Plan) -> Reader:
    """Return the reader given by the plan; an untrained one is written into its folder."""
    model = plan.model or (SHIPPED if SHIPPED_FILE.is_file() else _FRESH)
    if model == _FRESH:
        from fresh_model import write_fresh_model  # noqa: PLC0415 - torch

        path = write_fresh_model(plan.work / "fresh.onnx")
    else:
        path = find_model(model)
    info, _ = read_info(read_model(path), path)
    members = len(info.training.get("members", ())) or 1
    views = list(info.training.get("views", ("plain",)))
    told = f"{model if model in {SHIPPED, _FRESH} else path.name}: {info.name}"
    if members > 1 or len(views) > 1:
        told += f", {members} networks on {len(views)} views"
    say(f"reader: {told}, {info.input.height_px}x{info.input.width_px}, {path.stat().st_size:,} B")
    architecture = {
        "model": info.name,
        "members": members,
        "views": views,
        "size": list(info.input.shape),
    }
    return Reader(path, told, info.input, json.dumps(architecture))
