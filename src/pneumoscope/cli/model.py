"""``pneumoscope model``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pneumoscope.cli.arguments import Verbs, add_verb, numbers

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Sequence


def add_to(verbs: Verbs) -> None:
    """Add the verb."""
    parser = add_verb(
        verbs,
        "model",
        run,
        about="Print the layers of a network, or what a model file says of itself.",
        example="pneumoscope model seed-cnn",
    )
    parser.add_argument("name", help="a network, such as seed-cnn, or a model file or run folder")
    parser.add_argument(
        "--filters", type=numbers, help="seed-cnn: channels of each block, such as 32,64,64"
    )
    parser.add_argument("--batch-norm", action="store_true", help="seed-cnn: in each block")
    parser.add_argument(
        "--image-size", type=int, default=224, metavar="PX", help="side of the square input"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(asked: Namespace) -> int:
    """Print the table."""
    if Path(asked.name).exists():
        _print_file(Path(asked.name), as_json=asked.json)
    else:
        _print_layers(asked)
    return 0


def _print_layers(asked: Namespace) -> None:
    from pneumoscope.images.prepare import InputSpec  # noqa: PLC0415
    from pneumoscope.models.registry import build_model, layer_table  # noqa: PLC0415 - torch

    options: dict[str, Any] = {"batch_norm": True} if asked.batch_norm else {}
    if asked.filters:
        options["filters"] = asked.filters
    spec = InputSpec(asked.image_size, asked.image_size)
    network = build_model(asked.name, spec, **options)
    layers = layer_table(network, spec)
    total = sum(weights.numel() for weights in network.parameters())
    trainable = sum(w.numel() for w in network.parameters() if w.requires_grad)
    if asked.json:
        print(
            json.dumps(
                {
                    "name": asked.name,
                    "input_shape": [*spec.shape, 1],
                    "layers": [
                        {
                            "name": layer.name,
                            "type": layer.type,
                            "output_shape": list(layer.output_shape),
                            "params": layer.params,
                        }
                        for layer in layers
                    ],
                    "total_params": total,
                    "trainable_params": trainable,
                }
            )
        )
        return
    rows = [
        (f"{layer.name} ({layer.type})", str((None, *layer.output_shape)), f"{layer.params:,}")
        for layer in layers
    ]
    print(_aligned([("Layer (type)", "Output shape", "Param #"), *rows]))
    print(f"Total params: {total:,}")
    print(f"Trainable params: {trainable:,}")
    print("Shapes are (batch, height, width, channels).")


def _print_file(path: Path, *, as_json: bool) -> None:
    from pneumoscope.reader.bundle import open_bundle  # noqa: PLC0415 - onnxruntime

    bundle = open_bundle(path)
    facts = {"path": str(bundle.path), "sha256": bundle.sha256, **json.loads(bundle.info.to_json())}
    if as_json:
        print(json.dumps(facts))
        return
    print(_aligned(list(_flat(facts))))


def _flat(values: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    rows = []
    for key, value in values.items():
        if isinstance(value, dict):
            rows += _flat(value, f"{prefix}{key}.")
        else:
            rows.append((f"{prefix}{key}", str(value)))
    return rows


def _aligned(rows: Sequence[tuple[str, ...]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
