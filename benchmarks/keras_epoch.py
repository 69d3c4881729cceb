"""Train as the report did, in Keras; prints the seconds of each epoch as one JSON line.

Runs in a separate environment, without this package: keras_epoch.py FOLDER EPOCHS
"""

from __future__ import annotations

import json
import sys
import time

import tensorflow as tf

keras = tf.keras
layers = keras.layers
Generator = keras.preprocessing.image.ImageDataGenerator


def main(folder: str, epochs: int) -> None:
    """Train for some epochs and print their durations."""
    changing = Generator(
        rescale=1 / 255,
        rotation_range=20,
        zoom_range=0.1,
        width_shift_range=0.1,
        height_shift_range=0.1,
        horizontal_flip=True,
        validation_split=0.1,
    )
    # The report's own generator would augment the validation images as well, which is omitted here.
    plain = Generator(rescale=1 / 255, validation_split=0.1)
    shape = {
        "target_size": (224, 224),
        "color_mode": "grayscale",
        "batch_size": 32,
        "class_mode": "categorical",
    }
    training = changing.flow_from_directory(folder, subset="training", **shape)
    validation = plain.flow_from_directory(folder, subset="validation", shuffle=False, **shape)
    model = network()
    model.compile(
        keras.optimizers.Adam(1e-3), loss="categorical_crossentropy", metrics=["accuracy"]
    )
    clock: list[float] = []
    taken: list[float] = []
    on_epoch = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda _epoch, _logs: clock.append(time.perf_counter()),
        on_epoch_end=lambda _epoch, _logs: taken.append(time.perf_counter() - clock[-1]),
    )
    model.fit(training, validation_data=validation, epochs=epochs, callbacks=[on_epoch], verbose=0)
    facts = {
        "seconds": [round(value, 3) for value in taken],
        "parameters": model.count_params(),
        "images": [training.samples, validation.samples],
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
    }
    print(json.dumps(facts))


def network() -> tf.keras.Model:
    """Return the report's network."""
    blocks = []
    for filters in (32, 64, 64):
        blocks += [
            layers.Conv2D(filters, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Dropout(0.4),
        ]
    return keras.Sequential(
        [
            keras.Input((224, 224, 1)),
            *blocks,
            layers.Flatten(),
            layers.Dense(64, activation="relu"),
            layers.Dropout(0.4),
            layers.Dense(2, activation="softmax"),
        ]
    )


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
