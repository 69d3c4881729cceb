"""The graph of a model file, which is opened in the background."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import numpy as np
import onnx
import pytest

from helpers.tiny_model import grey_image, tiny_info, tiny_proto, write_tiny
from pneumoscope.errors import ModelFileError
from pneumoscope.reader.model_file.checksum import with_info
from pneumoscope.reader.model_file.session import Graph
from pneumoscope.reader.predictor import Predictor


def unopenable(place: Path) -> Path:
    """Write a file in which nothing is suspicious, but a node asks for what no node gives."""
    model = tiny_proto()
    model.graph.node[-1].input[0] = "nowhere"
    place.write_bytes(with_info(model.SerializeToString(), tiny_info()))
    return place


def test_a_reader_of_a_graph_that_is_being_opened_reads_as_one_of_the_file(tmp_path: Path) -> None:
    path = write_tiny(tmp_path / "m.onnx")
    image = grey_image(120)
    early, late = Predictor(Graph(path)), Predictor(path)
    assert early.path == late.path == path
    assert early.predict(image).probability == late.predict(image).probability
    assert early.sha256 == late.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_graph_that_cannot_be_opened_says_so_when_it_is_needed(tmp_path: Path) -> None:
    path = unopenable(tmp_path / "m.onnx")
    graph = Graph(path)
    with pytest.raises(ModelFileError, match="not a readable model file"):
        _ = graph.session
    early = Predictor(Graph(path))
    with pytest.raises(ModelFileError, match="not a readable model file"):
        _ = early.draws_evidence
    with pytest.raises(ModelFileError, match="not a readable model file"):
        early.predict(grey_image(120))
    with pytest.raises(
        ModelFileError, match=rf"^{re.escape(str(path))}: not a readable model file"
    ):
        early.run(np.zeros((1, *early.info.input.shape), np.uint8))
    with pytest.raises(ModelFileError, match="not a readable model file"):
        Predictor(path)


def test_a_graph_that_lacks_an_output_says_so_when_it_is_needed(tmp_path: Path) -> None:
    model = onnx.load(write_tiny(tmp_path / "m.onnx"))
    del model.graph.output[1]
    onnx.save(model, tmp_path / "lacks.onnx")
    early = Predictor(Graph(tmp_path / "lacks.onnx"))
    with pytest.raises(ModelFileError, match="no output 'probabilities'"):
        early.predict(grey_image(120))
