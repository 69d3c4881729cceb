"""The moments of training images stored in a model file, under ``reference.channels``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from pneumoscope.adaptation.layers import Moments

if TYPE_CHECKING:
    from numpy.typing import NDArray

KEY = "channels"
"""The entry of ``ModelInfo.reference``."""

MAX_CHANNELS = 1_000_000


_RAREST = 1e-3


def finding_groups(probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the memberships of images in groups by finding, for readers of several findings.

    Moments are averaged by group, and the groups must exclude each other. The first group is images
    without any finding; an image with several findings belongs to the group of each in part. No
    group is empty, since rare findings may not occur among the images.

    Args:
        probabilities: Of each finding, [n, F]; labels are 0 and 1.

    Returns:
        Memberships [n, 1 + F], which sum to 1: the probability that there is no finding, and the
        rest in the ratio of the probabilities.
    """
    inside = np.clip(np.asarray(probabilities, np.float64), _RAREST, 1 - _RAREST)
    none = np.prod(1 - inside, axis=1, keepdims=True)
    return np.concatenate([none, (1 - none) * inside / inside.sum(1, keepdims=True)], axis=1)


def packed(moments: Moments) -> dict[str, Any]:
    """Return moments as JSON values: base64 of little-endian float16.

    Args:
        moments: Moments of each class, [classes, channels].
    """
    return {
        "images": [round(float(weight), 3) for weight in moments.weight],
        "mean": _packed(moments.mean),
        "deviation": _packed(np.sqrt(moments.variance)),
    }


def unpacked(reference: Mapping[str, Any], *, classes: int, channels: int) -> Moments | None:
    """Return the moments of each class in a model's ``reference``; None if there are none.

    Args:
        reference: The field of ``ModelInfo``.
        classes: Number of classes of the model.
        channels: Total number of channels of the layers of its graph.

    Raises:
        ValueError: The moments are damaged, or belong to another graph.
    """
    values = reference.get(KEY)
    if not values:
        return None
    try:
        images = np.array(values["images"], np.float64)
        mean, deviation = _unpacked(values["mean"]), _unpacked(values["deviation"])
    except (KeyError, TypeError, ValueError) as fault:
        raise ValueError("its statistics of training images are damaged") from fault
    sound = all(np.isfinite(one).all() for one in (images, mean, deviation))
    fits = len(mean) == len(deviation) == classes * channels and images.shape == (classes,)
    if not (sound and fits and (deviation >= 0).all() and (images > 0).all()):
        raise ValueError("its statistics of training images do not fit its graph")
    shape = (classes, channels)
    return Moments(mean.reshape(shape), deviation.reshape(shape) ** 2, images)


def _packed(values: NDArray[np.float64]) -> str:
    from binascii import b2a_base64  # noqa: PLC0415 - not for every import

    most = float(np.finfo(np.float16).max)
    half = np.clip(values, -most, most).astype("<f2")
    return b2a_base64(half.tobytes(), newline=False).decode("ascii")


def _unpacked(text: str) -> NDArray[np.float64]:
    from binascii import a2b_base64  # noqa: PLC0415 - the same

    content = a2b_base64(text, strict_mode=True)
    if len(content) > 2 * MAX_CHANNELS:
        raise ValueError("too many channels")
    return np.frombuffer(content, "<f2").astype(np.float64)
