"""``pneumoscope model``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pneumoscope.cli.train import numbers

if TYPE_CHECKING:
    from collections.abc import Sequence


def model(
    name: Annotated[
        str, typer.Argument(help="A network, such as seed-cnn, or a model file or run.")
    ],
    filters: Annotated[
        str | None, typer.Option(help="seed-cnn: output channels of each block.")
    ] = None,
    batch_norm: Annotated[
        bool, typer.Option("--batch-norm", help="seed-cnn: normalise each block.")
    ] = False,
    image_size: Annotated[int, typer.Option(help="Side of the square input in pixels.")] = 224,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Print the layers of a network, or what a model file says of itself.

    Example: pneumoscope model seed-cnn
    """
    if Path(name).exists():
        _print_file(Path(name), as_json=as_json)
        return
    from pneumoscope.images.prepare import InputSpec  # noqa: PLC0415
    from pneumoscope.models.registry import build_model, layer_table  # noqa: PLC0415 - torch

    options: dict[str, Any] = {"filters": numbers(filters)} if filters else {}
    if batch_norm:
        options["batch_norm"] = True
    spec = InputSpec(image_size, image_size)
    network = build_model(name, spec, **options)
    layers = layer_table(network, spec)
    total = sum(weights.numel() for weights in network.parameters())
    trainable = sum(w.numel() for w in network.parameters() if w.requires_grad)
    if as_json:
        typer.echo(
            json.dumps(
                {
                    "name": name,
                    "input_shape": [image_size, image_size, 1],
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
    typer.echo(_aligned([("Layer (type)", "Output shape", "Param #"), *rows]))
    typer.echo(f"Total params: {total:,}")
    typer.echo(f"Trainable params: {trainable:,}")
    typer.echo("Shapes are (batch, height, width, channels).")


def _print_file(path: Path, *, as_json: bool) -> None:
    from pneumoscope.reader.bundle import open_bundle  # noqa: PLC0415 - onnxruntime

    bundle = open_bundle(path)
    facts = {"path": str(bundle.path), "sha256": bundle.sha256, **json.loads(bundle.info.to_json())}
    if as_json:
        typer.echo(json.dumps(facts))
        return
    typer.echo(_aligned(list(_flat(facts))))


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
