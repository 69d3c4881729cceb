"""``pneumoscope predict``."""

from __future__ import annotations

import sys
import threading
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from pneumoscope.cli.arguments import Verbs, add_verb

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterable, Iterator

    from pneumoscope.reader.predictor import Prediction

SOME_UNREADABLE = 3
FORMATS = ("table", "json", "jsonl", "csv")


def add_to(verbs: Verbs) -> None:
    """Add the verb."""
    parser = add_verb(
        verbs,
        "predict",
        run,
        about="Say what a reader concludes about each image; exit code 3 if some are unreadable.",
        example="pneumoscope predict a.jpeg b.png folder/ --model runs/first",
    )
    parser.add_argument(
        "images", nargs="+", help="image files, folders and patterns such as 'x/*.png'"
    )
    parser.add_argument("--model", type=Path, required=True, help="a run folder or a model file")
    parser.add_argument(
        "--format", choices=FORMATS, default="table", help="a table for people, others for programs"
    )


def run(asked: Namespace) -> int:
    """Read the images, and print each conclusion as it comes."""
    from pneumoscope.cli.predictions import WRITERS  # noqa: PLC0415 - after parsing
    from pneumoscope.reader.inputs import image_paths  # noqa: PLC0415
    from pneumoscope.reader.predictor import ERROR, Predictor  # noqa: PLC0415

    # Pillow is loaded while the graph is built, which holds no lock of Python.
    threading.Thread(target=import_module, args=("PIL.JpegImagePlugin",), daemon=True).start()
    paths = image_paths(asked.images)
    predictor = Predictor(asked.model)
    unreadable = 0

    def counted(predictions: Iterable[Prediction]) -> Iterator[Prediction]:
        nonlocal unreadable
        for prediction in predictions:
            unreadable += prediction.conclusion == ERROR
            yield prediction

    found = predictor.predict_many(paths)
    WRITERS[asked.format](sys.stdout, counted(found))
    return SOME_UNREADABLE if unreadable else 0
