"""``pneumoscope demo``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pneumoscope.cli.terminal import TerminalWatcher


def demo(
    out: Annotated[Path, typer.Option(help="Where images and run go; it must not exist.")] = Path(
        "demo"
    ),
    patients: Annotated[int, typer.Option(help="Generated patients.")] = 600,
    seed: Annotated[int, typer.Option(help="Of the generated images and of the training.")] = 0,
) -> None:
    """Generate radiographs, train on them, evaluate, predict, and write the report.

    The images come from a random generator, not from people; the numbers say that the software
    works and nothing about medicine.
    """
    from pneumoscope.workflow.demo import run_demo  # noqa: PLC0415 - torch

    result = run_demo(out, patients=patients, seed=seed, watcher=TerminalWatcher())
    typer.echo(result.text)
    typer.echo(str(result.report))
