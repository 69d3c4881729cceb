"""``pneumoscope predict``."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pneumoscope.reader.predictor import Prediction

SOME_UNREADABLE = 3


class Format(StrEnum):
    """How predictions are printed."""

    table = "table"
    json = "json"
    jsonl = "jsonl"
    csv = "csv"


def predict(
    images: Annotated[
        list[str], typer.Argument(help="Image files, folders and patterns such as 'x/*.png'.")
    ],
    model: Annotated[Path, typer.Option(help="A run folder or a model file.")],
    output: Annotated[
        Format, typer.Option("--format", help="A table for people, the others for programs.")
    ] = Format.table,
) -> None:
    """Say what a reader concludes about each image. Exit code 3 if some could not be read.

    Example: pneumoscope predict a.jpeg b.png folder/ --model runs/first
    """
    from pneumoscope.cli.predictions import WRITERS  # noqa: PLC0415 - after parsing
    from pneumoscope.parallel import cores  # noqa: PLC0415
    from pneumoscope.reader.inputs import image_paths  # noqa: PLC0415
    from pneumoscope.reader.predictor import ERROR, Predictor  # noqa: PLC0415

    paths = image_paths(images)
    # One image alone gets all cores, many images get one each.
    predictor = Predictor(model, threads=cores() if len(paths) == 1 else 1)
    workers = 1 if len(paths) == 1 else None
    unreadable = 0

    def counted(predictions: Iterable[Prediction]) -> Iterator[Prediction]:
        nonlocal unreadable
        for prediction in predictions:
            unreadable += prediction.conclusion == ERROR
            yield prediction

    WRITERS[output.value](sys.stdout, counted(predictor.predict_many(paths, workers=workers)))
    if unreadable:
        raise typer.Exit(SOME_UNREADABLE)
