"""Read chest X-rays. Research software, not a medical device.

The public names, loaded when they are first used: importing the package, and reading images with
a trained model, need no training framework.

Example:
    >>> import pneumoscope
    >>> reader = pneumoscope.load("runs/first")  # doctest: +SKIP
    >>> reader.predict("a.jpeg").conclusion  # doctest: +SKIP
    'NORMAL'
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pneumoscope.data.catalog import Catalog as Catalog
    from pneumoscope.data.catalog import read_catalog as read_catalog
    from pneumoscope.data.split import Split as Split
    from pneumoscope.data.split import split_catalog as split_catalog
    from pneumoscope.errors import PneumoscopeError as PneumoscopeError
    from pneumoscope.evaluation.evaluation import Evaluation as Evaluation
    from pneumoscope.evaluation.evaluation import evaluate as evaluate
    from pneumoscope.evaluation.question import Question as Question
    from pneumoscope.evaluation.scores import Scores as Scores
    from pneumoscope.images.prepare import InputSpec as InputSpec
    from pneumoscope.images.prepare import prepare as prepare
    from pneumoscope.images.sources import Pixels as Pixels
    from pneumoscope.reader.prediction import Prediction as Prediction
    from pneumoscope.reader.predictor import Predictor as Predictor
    from pneumoscope.reader.predictor import load as load
    from pneumoscope.training.recipe import Recipe as Recipe
    from pneumoscope.training.recipe import recipe_of as recipe_of
    from pneumoscope.workflow.evaluate import evaluate_reader as evaluate_reader
    from pneumoscope.workflow.train import train_reader as train_reader

# Libraries read these when they are loaded. Otherwise ONNX Runtime's Linux wheels write a device
# identifier into the user's cache folder and contact a server, and Hugging Face's library reports
# its use.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"

_HOMES = {
    "Catalog": "data.catalog",
    "InputSpec": "images.prepare",
    "Evaluation": "evaluation.evaluation",
    "Pixels": "images.sources",
    "PneumoscopeError": "errors",
    "Prediction": "reader.prediction",
    "Predictor": "reader.predictor",
    "Recipe": "training.recipe",
    "Scores": "evaluation.scores",
    "Split": "data.split",
    "Question": "evaluation.question",
    "evaluate": "evaluation.evaluation",
    "evaluate_reader": "workflow.evaluate",
    "load": "reader.predictor",
    "prepare": "images.prepare",
    "read_catalog": "data.catalog",
    "recipe_of": "training.recipe",
    "split_catalog": "data.split",
    "train_reader": "workflow.train",
}

__all__ = sorted(_HOMES)  # noqa: PLE0605 - one list, tested against the imports above


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return list(__all__)
