"""Untrusted model files: what is opened, and what is refused before."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from helpers.tiny_model import tiny_info, tiny_proto, write_tiny
from pneumoscope.errors import ModelFileError
from pneumoscope.reader.model_file import inspection as trust
from pneumoscope.reader.model_file.bundle import open_bundle
from pneumoscope.reader.model_file.checksum import state_of, with_checksum, with_info
from pneumoscope.reader.model_file.inspection import inspect
from pneumoscope.reader.model_file.metadata import KEY
from pneumoscope.reader.model_file.protobuf import WireError, encoded, fields, varints

WHERE = Path("model.onnx")
TINY = tiny_proto().SerializeToString()


def state_in(content: bytes) -> str:
    return state_of(content, inspect(content, WHERE), WHERE)


def seal_in(content: bytes) -> str:
    (entry,) = onnx.load_from_string(content).metadata_props
    return str(json.loads(entry.value)["seal"])


def test_what_is_found_is_what_onnx_finds() -> None:
    model = tiny_proto()
    found = inspect(model.SerializeToString(), WHERE)
    assert sum(found.operators.values()) == len(model.graph.node)
    assert set(found.operators) == {node.op_type for node in model.graph.node}
    assert found.tensors == len(model.graph.initializer)
    assert found.values == sum(numpy_helper.to_array(t).size for t in model.graph.initializer)
    assert found.opset == model.opset_import[0].version
    entry = found.metadata[KEY]
    content = model.SerializeToString()
    text = content[entry.value_start : entry.value_end].decode()
    assert text == next(prop.value for prop in model.metadata_props if prop.key == KEY)


def hostile(change: Callable[[onnx.ModelProto], object]) -> bytes:
    model = tiny_proto()
    change(model)
    return bytes(model.SerializeToString())


def outside(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")


def outside_in_attribute(model: onnx.ModelProto) -> None:
    tensor = numpy_helper.from_array(np.zeros(2, np.float32))
    tensor.external_data.add(key="location", value="x")
    model.graph.node.append(helper.make_node("Constant", [], ["c"], value=tensor))


def subgraph(model: onnx.ModelProto) -> None:
    inner = helper.make_graph([], "inner", [], [])
    model.graph.node.append(helper.make_node("Identity", ["a"], ["b"], body=inner))


def function(model: onnx.ModelProto) -> None:
    model.functions.append(helper.make_function("ours", "F", ["a"], ["b"], [], []))


def large_claim(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].dims[:] = [1 << 40, 1 << 40]


def domain(model: onnx.ModelProto) -> None:
    model.opset_import.add(domain="com.example", version=1)


def node_domain(model: onnx.ModelProto) -> None:
    model.graph.node[0].domain = "com.microsoft"


def loop(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("Loop", ["a"], ["b"]))


def sparse(model: onnx.ModelProto) -> None:
    model.graph.sparse_initializer.add().dims.append(1)


def training(model: onnx.ModelProto) -> None:
    model.training_info.add().algorithm.name = "x"


def twice(model: onnx.ModelProto) -> None:
    model.metadata_props.add(key=KEY, value="{}")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (outside, "is stored in another file"),
        (outside_in_attribute, "is stored in another file"),
        (subgraph, "contains a subgraph"),
        (function, "custom operators"),
        (large_claim, "more values than the file contains"),
        (domain, r"com\.example"),
        (node_domain, r"com\.microsoft"),
        (loop, "operator Loop"),
        (sparse, "sparse"),
        (training, "training graphs"),
        (twice, "twice"),
    ],
)
def test_what_no_reader_needs_is_refused(
    tmp_path: Path, change: Callable[[onnx.ModelProto], object], says: str
) -> None:
    (tmp_path / "model.onnx").write_bytes(hostile(change))
    with pytest.raises(ModelFileError, match=says) as caught:
        open_bundle(tmp_path / "model.onnx")
    assert "model.onnx: not opened, because" in str(caught.value)


def test_two_graphs_are_refused() -> None:
    """Readers of protocol buffers join them, so each alone could look harmless."""
    with pytest.raises(ModelFileError, match="more than one graph"):
        inspect(TINY + TINY, WHERE)


def test_sizes_are_bounded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, says in (
        ("MAX_NODES", "more than 2 nodes"),
        ("MAX_TENSORS", "more than 2 tensors"),
        ("MAX_ATTRIBUTES", "more than 2 attributes"),
        ("MAX_METADATA_BYTES", "too large"),
        ("MAX_BYTES", "too large for a model file"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(trust, name, 2)
            with pytest.raises(ModelFileError, match=says):
                inspect(TINY, WHERE)


@given(cut=st.integers(0, len(TINY) - 1))
@settings(max_examples=200, deadline=None)
def test_a_cut_file_is_an_error_or_less(cut: int) -> None:
    try:
        found = inspect(TINY[:cut], WHERE)
    except ModelFileError:
        return
    # Metadata come last: a cut between two fields leaves a sound file without them.
    assert found.metadata == {}


@given(data=st.binary(max_size=400))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_contents_or_one_error(data: bytes) -> None:
    with pytest.raises(ModelFileError, match=r"model\.onnx"):
        inspect(data + b"\x08", WHERE)  # a key without its value: never whole
    with contextlib.suppress(ModelFileError):
        inspect(data, WHERE)


@given(place=st.integers(0, len(TINY) - 1), byte=st.integers(0, 255))
@settings(max_examples=300, deadline=None)
def test_a_changed_byte_is_found_by_the_seal_or_an_error(place: int, byte: int) -> None:
    content = bytearray(with_checksum(TINY))
    if content[place] == byte:
        return
    content[place] = byte
    try:
        state = state_in(bytes(content))
    except ModelFileError:
        return
    assert state != "intact"


@given(
    number=st.integers(1, 2**29 - 1),
    content=st.binary(max_size=300),
    values=st.lists(st.integers(0, 2**64 - 1), max_size=5),
)
@settings(deadline=None)
def test_fields_are_read_as_they_are_written(
    number: int, content: bytes, values: list[int]
) -> None:
    data = encoded(number, content) * 2
    assert [(n, data[a:b]) for n, _, a, b in fields(data, 0, len(data))] == [(number, content)] * 2
    tensor = TensorProto(uint64_data=values)
    packed = tensor.SerializeToString()
    found = [
        value for _, _, a, b in fields(packed, 0, len(packed)) for value in varints(packed, a, b)
    ]
    assert found == values


@pytest.mark.parametrize(
    "data",
    [b"\x00\x00", b"\x0b", b"\x0a\x05ab", b"\x0a", b"\x08", b"\x08" + b"\xff" * 11, b"\x0d\x01",
     b"\x09\x01"],
)  # fmt: skip
def test_what_is_no_protocol_buffer_raises(data: bytes) -> None:
    with pytest.raises(WireError):
        list(fields(data, 0, len(data)))


def test_new_metadata_leave_the_graph_alone_and_are_sealed(tmp_path: Path) -> None:
    info = tiny_info(version="2", card={"text": '"seal": "no"'})
    changed = with_info(TINY, info)
    model = onnx.load_from_string(changed)
    assert model.graph == tiny_proto().graph
    assert [prop.key for prop in model.metadata_props] == [KEY]
    assert state_in(changed) == "intact"
    (tmp_path / "m.onnx").write_bytes(changed)
    bundle = open_bundle(tmp_path / "m.onnx")
    assert bundle.info == info
    # The same entry in another place of the file is the same model.
    again = with_info(with_info(changed, tiny_info()), info)
    assert seal_in(again) == seal_in(changed)


def test_a_file_from_before_there_were_seals_has_none() -> None:
    model = tiny_proto()
    (entry,) = model.metadata_props
    facts = json.loads(entry.value)
    del facts["seal"]
    entry.value = json.dumps(facts)
    content = model.SerializeToString()
    assert state_in(content) == "none"
    with pytest.raises(ModelFileError, match="no space for a checksum"):
        with_checksum(content)
    assert state_in(with_info(content, tiny_info())) == "intact"


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.onnx")
    with pytest.raises(ModelFileError, match="not a regular file"):
        open_bundle(tmp_path / "pipe.onnx")


def test_outputs_that_cannot_be_are_refused(tmp_path: Path) -> None:
    path = write_tiny(tmp_path / "m.onnx")
    model = onnx.load(path)
    del model.graph.output[1]
    (tmp_path / "lacks.onnx").write_bytes(with_checksum(model.SerializeToString()))
    with pytest.raises(ModelFileError, match="no output 'probabilities'"):
        open_bundle(tmp_path / "lacks.onnx")
    bundle = open_bundle(path)
    with pytest.raises(ModelFileError, match="its graph cannot be run"):
        bundle.run(np.zeros((1, 5, 5), np.uint8), ["logits"])
