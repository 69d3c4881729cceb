"""The calibration in the graph of a model file of several classes.

Every such graph has constant scales and biases. Dirichlet scaling needs a matrix before them:
``softmax((log_softmax(logits) @ matrix) * scales + biases)``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pneumoscope.errors import ModelFileError
from pneumoscope.evaluation.multiclass.calibration import VectorCalibration
from pneumoscope.reader.model_file.metadata import CALIBRATION_BIAS, CALIBRATION_SCALE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

MATRIX: Final = "calibration_matrix"
"""Name of the initializer with the matrix, [K, K], transposed: a column contains the weights of a
class."""

_LOGARITHMS, _LINE = "calibration_log_probabilities", "calibration_line"


def class_calibration_of(found: Mapping[str, NDArray[np.float32]]) -> VectorCalibration:
    """Return the calibration defined by the initializers of a graph.

    Args:
        found: Scales, biases and the matrix, if there is one, by name.
    """
    scales, biases = (
        tuple(map(float, found[name])) for name in (CALIBRATION_SCALE, CALIBRATION_BIAS)
    )
    if MATRIX in found:
        matrix = tuple(tuple(map(float, row)) for row in found[MATRIX].T)
        return VectorCalibration(scales, biases, "dirichlet", matrix=matrix)
    if set(scales) == {1.0} and set(biases) == {0.0}:
        return VectorCalibration.none(len(scales))
    one = len(set(scales)) == 1 and set(biases) == {0.0}
    return VectorCalibration(scales, biases, "temperature" if one else "vector")


def set_matrix(model: Any, matrix: tuple[tuple[float, ...], ...]) -> None:
    """Insert the matrix of Dirichlet scaling into a graph, or remove an existing one.

    Args:
        model: The parsed graph (``onnx.ModelProto``); it is changed.
        matrix: [K][K], one row per class; empty for calibrations without a matrix.

    Raises:
        ModelFileError: The graph does not use its scales as expected.
    """
    from onnx import helper, numpy_helper  # noqa: PLC0415 - of the extra "train"

    graph = model.graph
    users = [node for node in graph.node if CALIBRATION_SCALE in node.input]
    if len(users) != 1 or users[0].op_type != "Mul":
        raise ModelFileError(
            f"the graph of this model does not multiply its logits by {CALIBRATION_SCALE}, so it "
            "cannot be calibrated again; export the run again with this version."
        )
    (times,) = users
    place = 1 - list(times.input).index(CALIBRATION_SCALE)
    if times.input[place] == _LINE:
        own = {_LINE, _LOGARITHMS}
        (logarithms,) = (node for node in graph.node if _LOGARITHMS in node.output)
        times.input[place] = logarithms.input[0]
        kept = [node for node in graph.node if not own & set(node.output)]
        tensors = [tensor for tensor in graph.initializer if tensor.name != MATRIX]
        del graph.node[:], graph.initializer[:]
        graph.node.extend(kept)
        graph.initializer.extend(tensors)
    if not matrix:
        return
    (times,) = (node for node in graph.node if CALIBRATION_SCALE in node.input)
    number = next(at for at, node in enumerate(graph.node) if CALIBRATION_SCALE in node.input)
    weights = np.array(matrix, np.float32).T
    graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(weights), MATRIX))
    before = (
        helper.make_node("LogSoftmax", [times.input[place]], [_LOGARITHMS], axis=1),
        helper.make_node("MatMul", [_LOGARITHMS, MATRIX], [_LINE]),
    )
    times.input[place] = _LINE
    for node in reversed(before):
        graph.node.insert(number, node)
