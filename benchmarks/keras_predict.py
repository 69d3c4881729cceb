"""Read a folder with the report's network in Keras; prints the seconds as one JSON line.

Runs in a separate environment, without this package: keras_predict.py FOLDER
"""

from __future__ import annotations

import json
import sys
import time

import tensorflow as tf

from keras_epoch import network

Generator = tf.keras.preprocessing.image.ImageDataGenerator


def main(folder: str) -> None:
    """Predict twice, first for tracing and reading every file; print the second duration."""
    model = network()
    seconds = 0.0
    outputs = []
    for _ in range(2):
        images = Generator(rescale=1 / 255).flow_from_directory(
            folder,
            target_size=(224, 224),
            color_mode="grayscale",
            batch_size=32,
            class_mode=None,
            shuffle=False,
        )
        started = time.perf_counter()
        outputs = model.predict(images, verbose=0)
        seconds = time.perf_counter() - started
    facts = {"seconds": seconds, "images": len(outputs), "tensorflow": tf.__version__}
    print(json.dumps(facts))


if __name__ == "__main__":
    main(sys.argv[1])
