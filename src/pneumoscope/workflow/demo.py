"""The demonstration on generated radiographs."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pneumoscope.data.generated import GENERATED
from pneumoscope.evaluation.scores import Scores
from pneumoscope.reader.prediction import probability_text
from pneumoscope.reader.predictor import Predictor
from pneumoscope.runs import RunFolder
from pneumoscope.watch import Watcher
from pneumoscope.workflow.evaluate import evaluate_reader
from pneumoscope.workflow.generate import fill
from pneumoscope.workflow.train import train_reader

if TYPE_CHECKING:
    from pneumoscope.reader.prediction import Prediction


@dataclass(frozen=True, slots=True)
class Demonstrated:
    """The results of a demonstration as text, and the path of its report."""

    text: str
    report: Path


def run_demo(
    out: Path, *, patients: int = 600, seed: int = 0, watcher: Watcher | None = None
) -> Demonstrated:
    """Generate images into ``out/images``, train into ``out/run``, and summarise the results.

    If it fails, ``out`` is removed, since it only contains generated data.

    Raises:
        OutputError: ``out`` is not empty, or cannot be written.
    """
    folder = RunFolder.create(out)
    try:
        return _run_in(out, patients=patients, seed=seed, watcher=watcher or Watcher())
    except BaseException:
        folder.discard()
        raise


def _run_in(out: Path, *, patients: int, seed: int, watcher: Watcher) -> Demonstrated:
    import pneumoscope.training.fit  # noqa: F401, PLC0415 - a missing package must be reported before drawing
    from pneumoscope.training.augmentation import Augmentation  # noqa: PLC0415
    from pneumoscope.training.recipe import recipe_of  # noqa: PLC0415 - torch

    started = time.perf_counter()
    images, place = fill(out, patients=patients, seed=seed, watcher=watcher), out / "run"
    # Smaller than the preset, for a few hundred images and two minutes.
    recipe = recipe_of(
        "seed",
        image_size=96,
        filters=(16, 32, 64, 64),
        batch_norm=True,
        dropout=0.2,
        augmentation=Augmentation(rotation_degrees=8, zoom=0.08, shift=0.05),
        # Without warm-up, training fails for one seed in three: all units of a layer become
        # inactive.
        warmup_epochs=3.0,
        schedule="cosine",
        clip=1.0,
        max_epochs=30,
        patience=8,
        val_fraction=0.15,
        seed=seed,
    )
    trained = train_reader(images, place, recipe=recipe, watcher=watcher)
    assert trained is not None  # noqa: S101 - one process
    if trained.fitted.interrupted:  # a partly trained reader is of no use for the demonstration
        raise KeyboardInterrupt
    found = evaluate_reader(place, images, part="test", watcher=watcher)
    predictor = Predictor(place, gated=False)
    examples = [
        predictor.predict(images / name)
        for name in _two_of_each(Scores.load(trained.run.scores("test")).path)
    ]
    lines = [
        "",
        f"On {found.n} test images of new patients, the reader reached",
        f"  AUC {found['auc'].text()}, accuracy {found['accuracy'].text()}",
        f"  sensitivity {found['sensitivity'].text()}, specificity {found['specificity'].text()}",
        "For example:",
        *(_line(prediction) for prediction in examples),
        GENERATED,
        f"It took {time.perf_counter() - started:.0f} s. Report:",
    ]
    return Demonstrated("\n".join(lines), trained.run.report.resolve())


def _two_of_each(paths: tuple[str, ...]) -> list[str]:
    normal = [path for path in paths if "/NORMAL/" in path]
    return [*normal[:2], *[path for path in paths if path not in normal][:2]]


def _line(prediction: Prediction) -> str:
    assert prediction.probability is not None  # noqa: S101 - generated images can be assessed
    probability = probability_text(prediction.probability)
    return f"  {prediction.conclusion:<10} {probability:>6}  {prediction.path}"
