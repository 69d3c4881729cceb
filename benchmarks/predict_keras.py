"""A folder of images through the report's network: ours against ``predict`` of Keras."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median

from fresh_model import write_fresh_model
from harness import Outcome, Plan, Row, call, say, seconds, skip
from keras_place import PLACE
from pictures import replicate
from pneumoscope.reader.predictor import Predictor

_KERAS_SCRIPT = Path(__file__).with_name("keras_predict.py")


def measure(plan: Plan) -> Outcome:
    """Read the same files with both, in turns, without the time of imports."""
    built = PLACE / "bin" / "python"
    python = plan.keras or (built if built.exists() else None)
    if python is None:
        return skip("no Keras; name a Python that has tensorflow with --keras")
    count = plan.count(1500, generated=1500, quick=40)
    folder = plan.work / "images"
    paths = replicate(plan.small, folder, count=count)
    predictor = Predictor(write_fresh_model(plan.work / "model.onnx"), gated=False)
    predictor.check()
    ours: list[float] = []
    keras: list[float] = []
    rounds = plan.count(2, generated=2, quick=1)
    for number in range(1, rounds + 1):
        ours += [seconds(lambda: list(predictor.predict_many(paths))) for _ in range(2)]
        facts = json.loads(call([python, _KERAS_SCRIPT, folder]).splitlines()[-1])
        if facts["images"] != count:
            raise RuntimeError("Keras did not read every image")
        keras.append(facts["seconds"])
        say(f"round {number} of {rounds}: ours {ours[-1]:.2f} s, Keras {keras[-1]:.2f} s")
    mine, theirs = count / median(ours), count / median(keras)
    row = Row(
        "predict a folder of images of 224x224 pixels with the report's network, its loop alone",
        f"{mine:.0f} images/s",
        f"{theirs:.0f} images/s (Keras on tensorflow {facts['tensorflow']}, batches of 32)",
        mine / theirs,
    )
    return Outcome([row], {"images": count, "seconds": ours, "keras_seconds": keras})
