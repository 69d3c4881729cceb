"""``pneumoscope model``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pneumoscope.cli.arguments import Verbs, add_json_option, add_verb, numbers
from pneumoscope.errors import ModelFileError, OptionError

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Sequence


FAILED = 1

_SHIPPED = "shipped"


def add_to(verbs: Verbs) -> None:
    """Add the verb."""
    parser = add_verb(
        verbs,
        "model",
        run,
        about="Print the layers of a network, or a summary of a model file: intended use, "
        "decision policy and performance. --json prints the complete metadata.",
        example="pneumoscope model seed-cnn",
    )
    parser.add_argument(
        "name",
        help="a network, such as seed-cnn; or a model file, a run folder, or shipped for "
        "the included reader",
    )
    parser.add_argument(
        "--filters", type=numbers, help="seed-cnn: channels of each block, for example 32,64,64"
    )
    parser.add_argument(
        "--batch-norm", action="store_true", help="seed-cnn: use batch normalisation"
    )
    parser.add_argument(
        "--image-size",
        type=int,
        metavar="PX",
        help="for a network: side length of the square input (default: 224)",
    )
    parser.add_argument(
        "--verify",
        action="store_true",
        help="for a model file: verify its checksum and run its self-test; exit code 1 if "
        "one fails",
    )
    add_json_option(parser)


def run(args: Namespace) -> int:
    """Print the table."""
    if args.name == _SHIPPED or Path(args.name).exists():
        given = {
            "--filters": args.filters is not None,
            "--batch-norm": args.batch_norm,
            "--image-size": args.image_size is not None,
        }
        for option in (name for name, there in given.items() if there):
            raise OptionError(option, must="used with a network, not a file", was=args.name)
        return _print_file(args.name, as_json=args.json, check=args.verify)
    if args.verify:
        raise OptionError("--verify", must="used with a model file", was=args.name)
    if ":" not in args.name and ("/" in args.name or args.name.endswith(".onnx")):
        raise ModelFileError(f"{args.name}: no such model file or run folder.")
    _print_layers(args)
    return 0


def _print_layers(args: Namespace) -> None:
    from pneumoscope.images.prepare import InputSpec  # noqa: PLC0415
    from pneumoscope.models.names import check_known  # noqa: PLC0415

    check_known(args.name)  # report a misspelled name without importing torch
    from pneumoscope.models.registry import build_model, layer_table  # noqa: PLC0415 - torch

    options: dict[str, Any] = {"batch_norm": True} if args.batch_norm else {}
    if args.filters:
        options["filters"] = args.filters
    side = 224 if args.image_size is None else args.image_size
    spec = InputSpec(side, side)
    network = build_model(args.name, spec, **options)
    layers = layer_table(network, spec)
    total = sum(weights.numel() for weights in network.parameters())
    trainable = sum(w.numel() for w in network.parameters() if w.requires_grad)
    if args.json:
        print(
            json.dumps(
                {
                    "name": args.name,
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


def _print_file(place: str, *, as_json: bool, check: bool) -> int:
    from pneumoscope.reader.model_file.bundle import open_bundle  # noqa: PLC0415 - onnxruntime
    from pneumoscope.reader.model_file.verify import verify  # noqa: PLC0415 - the same

    bundle = open_bundle(place)
    verified = verify(place) if check else None
    if not as_json:
        from pneumoscope.cli.model_summary import summary_text  # noqa: PLC0415 - the same

        print(summary_text(bundle))
        if verified:
            print("\n" + "\n".join(verified.lines()))
        return 0 if verified is None or verified.passed else FAILED
    contents = bundle.contents
    facts = {
        "path": str(bundle.path),
        "sha256": bundle.sha256,
        **bundle.info.to_dict(),
        "graph": {
            "operators": dict(contents.operators),
            "opset": contents.opset,
            "tensors": contents.tensors,
            "values": contents.values,
            "outputs": list(bundle.outputs),
        },
        **({"verified": verified.to_dict()} if verified else {}),
    }
    print(json.dumps(facts))
    return 0 if verified is None or verified.passed else FAILED


def _aligned(rows: Sequence[tuple[str, ...]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )
