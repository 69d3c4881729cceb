"""``pneumoscope weights``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pneumoscope.cli.arguments import Verbs, add_verb

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Sequence

_DONE, _FAULT = 0, 1


def add_to(verbs: Verbs) -> None:
    """Add the verb."""
    parser = verbs.add_parser(
        "weights",
        help="Download, verify and pack pretrained weights.",
        description="Download and verify pretrained weights, and pack them for machines without "
        "internet access. They are stored in the folder that the environment "
        "variable PNEUMOSCOPE_WEIGHTS names if it is set, "
        "otherwise in the user's data folder.",
        epilog="example: pneumoscope weights pull timm:resnet18.a1_in1k",
    )
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    pull = add_verb(
        actions,
        "pull",
        pull_weights,
        about="Download weights into the weights folder.",
        example="pneumoscope weights pull timm:resnet18.a1_in1k",
    )
    pull.add_argument("names", nargs="+", metavar="NAME", help="a network, as for train --model")
    verify = add_verb(
        actions,
        "verify",
        verify_weights,
        about="Verify the files of a folder by size and SHA-256.",
        example="pneumoscope weights verify usb/weights",
    )
    verify.add_argument(
        "folder",
        nargs="?",
        type=Path,
        metavar="DIR",
        help="folder of weights (default: that of this machine)",
    )
    pack = add_verb(
        actions,
        "pack",
        pack_weights,
        about="Copy weights and their weights.json into a folder for another machine.",
        example="pneumoscope weights pack timm:resnet18.a1_in1k --to usb/weights",
    )
    pack.add_argument("names", nargs="+", metavar="NAME", help="a network, as for train --model")
    pack.add_argument("--to", type=Path, required=True, metavar="DIR", help="target folder")


def pull_weights(args: Namespace) -> int:
    """Download weights, and print where they are."""
    from pneumoscope.models.folder import weights_folder  # noqa: PLC0415 - after parsing

    folder = weights_folder()
    _gather(args.names, folder)
    print(f"Folder: {folder}")
    return _DONE


def pack_weights(args: Namespace) -> int:
    """Pack weights, and print how to use them elsewhere."""
    _gather(args.names, args.to)
    print(
        f"Folder: {args.to}\nOn the other machine: set PNEUMOSCOPE_WEIGHTS to the folder, and "
        f"run pneumoscope weights verify {args.to.name}"
    )
    return _DONE


def verify_weights(args: Namespace) -> int:
    """Print one line per file; the exit code is 1 if any is wrong."""
    from pneumoscope.models.folder import verify_folder, weights_folder  # noqa: PLC0415 - the same

    folder = args.folder or weights_folder()
    findings = verify_folder(folder)
    for found in findings:
        print(f"{found.state:9}  {found.file}  {found.name}  {found.says}".rstrip())
    wrong = sum(found.state == "wrong" for found in findings)
    unchecked = sum(found.state == "unchecked" for found in findings)
    good = len(findings) - wrong - unchecked
    print(f"{folder}: {good} ok, {wrong} wrong, {unchecked} unchecked")
    return _FAULT if wrong else _DONE


def _gather(names: Sequence[str], folder: Path) -> None:
    from pneumoscope.cli.terminal import TerminalWatcher  # noqa: PLC0415 - after parsing
    from pneumoscope.models.pretrained import gather  # noqa: PLC0415 - torch

    with TerminalWatcher().progress("Fetching", unit="bytes") as progress:
        entries = gather(names, folder, progress=progress)
    for entry in entries:
        print(
            f"{entry.name}  {entry.file}  {entry.bytes:,} bytes  SHA-256 {entry.sha256}  "
            f"licence: {entry.licence or 'unknown'}  from {entry.source}"
        )
