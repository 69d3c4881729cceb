"""Inspect a model file before ONNX Runtime opens it.

Opening an untrusted file must only run a graph of standard operators on tensors that the file
contains. Therefore tensors in other files, operators and functions outside the ONNX standard,
control flow, and excessive sizes are refused. A graph of standard operators can still be slow or
use much memory, and no check can determine whether its conclusions are correct.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from pneumoscope.errors import ModelFileError
from pneumoscope.reader.model_file.protobuf import BYTES, VARINT, WireError, fields, varints

if TYPE_CHECKING:
    from pathlib import Path

MAX_BYTES = 512 * 2**20
MAX_NODES = 20_000
MAX_TENSORS = 20_000
MAX_ATTRIBUTES = 200_000
MAX_METADATA_BYTES = 8 * 2**20

OWN_DOMAINS = frozenset({b"", b"ai.onnx"})
"""Accepted domains of operators: only the ONNX standard."""

NOT_IN_A_READER = frozenset(
    {
        # control flow: nested graphs, which may run forever
        *(b"If", b"Loop", b"Scan", b"SequenceMap"),
        # randomness: the result for an image would vary
        *(b"Bernoulli", b"Multinomial", b"RandomNormal", b"RandomNormalLike"),
        *(b"RandomUniform", b"RandomUniformLike"),
        # pixels are prepared beforehand, and text is not needed
        *(b"ImageDecoder", b"RegexFullMatch", b"StringConcat", b"StringNormalizer"),
        *(b"StringSplit", b"TfIdfVectorizer"),
    }
)

# Field numbers of onnx.proto.
_MODEL_GRAPH, _MODEL_OPSET, _MODEL_METADATA = 7, 8, 14
_MODEL_TRAINING, _MODEL_FUNCTIONS, _MODEL_DEVICES = 20, 25, 26
_OPSET_DOMAIN, _OPSET_VERSION = 1, 2
_ENTRY_KEY, _ENTRY_VALUE = 1, 2
_GRAPH_NODE, _GRAPH_TENSOR, _GRAPH_SPARSE = 1, 5, 15
_NODE_OPERATOR, _NODE_ATTRIBUTE, _NODE_DOMAIN = 4, 5, 7
_ATTRIBUTE_TENSOR, _ATTRIBUTE_TENSORS = 5, 10
_ATTRIBUTE_GRAPHS = frozenset({6, 11})
_ATTRIBUTE_SPARSE = frozenset({22, 23})
_TENSOR_DIMS, _TENSOR_EXTERNAL, _TENSOR_PLACE = 1, 13, 14
_HERE = 0  # data location of tensors: in this file


class Entry(NamedTuple):
    """The position of a metadata entry in the file, [start, end) in bytes."""

    start: int
    end: int
    value_start: int
    value_end: int


class Contents(NamedTuple):
    """The contents of a model file, found without opening it.

    Attributes:
        operators: Number of occurrences of each operator of the graph.
        tensors: Number of tensors.
        values: Total number of their values.
        opset: The ONNX opset version.
        metadata: Position of each entry of the metadata.
    """

    operators: Mapping[str, int]
    tensors: int
    values: int
    opset: int
    metadata: Mapping[str, Entry]


class _Refused(Exception):  # noqa: N818 - converted into our own error by the caller
    pass


class _Found:
    def __init__(self) -> None:
        self.operators: Counter[bytes] = Counter()
        self.nodes = self.attributes = self.tensors = self.values = 0
        self.opset = self.graphs = self.metadata_bytes = 0
        self.metadata: dict[str, Entry] = {}


def inspect(content: bytes, path: Path) -> Contents:
    """Return the contents of a model file.

    Args:
        content: Bytes of the file.
        path: Name of the file in messages.

    Raises:
        ModelFileError: It is not an ONNX file, or is refused; the message states why.
    """
    if len(content) > MAX_BYTES:
        raise ModelFileError(
            f"{path}: too large for a model file ({len(content):,} bytes, limit {MAX_BYTES:,})."
        )
    found = _Found()
    try:
        _model(content, found)
    except WireError as fault:
        raise ModelFileError(
            f"{path}: not a readable model file ({fault}); expected a model.onnx written by "
            "pneumoscope train."
        ) from fault
    except _Refused as reason:
        raise ModelFileError(f"{path}: not opened, because {reason}.") from None
    return Contents(
        {_shown(name): count for name, count in sorted(found.operators.items())},
        found.tensors,
        found.values,
        found.opset,
        found.metadata,
    )


def _model(data: bytes, found: _Found) -> None:
    end = len(data)
    at = 0
    for number, kind, a, b in fields(data, 0, end):
        if number == _MODEL_GRAPH:
            _expect(kind, BYTES)
            found.graphs += 1
            if found.graphs > 1:
                raise _Refused("it contains more than one graph")
            _graph(data, a, b, found)
        elif number == _MODEL_METADATA:
            _expect(kind, BYTES)
            _entry(data, a, b, found, begin=at)
        elif number == _MODEL_OPSET:
            _expect(kind, BYTES)
            _opset(data, a, b, found)
        elif number == _MODEL_FUNCTIONS:
            raise _Refused("it defines custom operators")
        elif number == _MODEL_TRAINING:
            raise _Refused("it contains training graphs")
        elif number == _MODEL_DEVICES:
            raise _Refused("it requires several devices")
        at = b
    if not found.graphs:
        raise WireError("it contains no graph")


def _opset(data: bytes, start: int, end: int, found: _Found) -> None:
    domain, version = b"", 0
    for number, _, a, b in fields(data, start, end):
        if number == _OPSET_DOMAIN:
            domain = data[a:b]
        elif number == _OPSET_VERSION:
            version = a
    if domain not in OWN_DOMAINS:
        raise _Refused(f"it uses operators of {_shown(domain)!r}, which are not standard ONNX")
    found.opset = version


def _entry(data: bytes, start: int, end: int, found: _Found, *, begin: int) -> None:
    found.metadata_bytes += end - start
    if found.metadata_bytes > MAX_METADATA_BYTES:
        raise _Refused("its metadata are too large")
    key, value = b"", (end, end)
    for number, kind, a, b in fields(data, start, end):
        _expect(kind, BYTES)
        if number == _ENTRY_KEY:
            key = data[a:b]
        elif number == _ENTRY_VALUE:
            value = (a, b)
    name = _shown(key)
    if name in found.metadata:
        raise _Refused(f"its metadata contain {name!r} twice")
    found.metadata[name] = Entry(begin, end, *value)


def _graph(data: bytes, start: int, end: int, found: _Found) -> None:
    for number, kind, a, b in fields(data, start, end):
        if number == _GRAPH_NODE:
            _expect(kind, BYTES)
            _node(data, a, b, found)
        elif number == _GRAPH_TENSOR:
            _expect(kind, BYTES)
            _tensor(data, a, b, found)
        elif number == _GRAPH_SPARSE:
            raise _Refused("it contains sparse tensors")


def _node(data: bytes, start: int, end: int, found: _Found) -> None:
    found.nodes += 1
    if found.nodes > MAX_NODES:
        raise _Refused(f"its graph has more than {MAX_NODES:,} nodes")
    operator = b""
    for number, kind, a, b in fields(data, start, end):
        if number == _NODE_ATTRIBUTE:
            _expect(kind, BYTES)
            _attribute(data, a, b, found)
        elif number == _NODE_OPERATOR:
            _expect(kind, BYTES)
            operator = data[a:b]
        elif number == _NODE_DOMAIN:
            _expect(kind, BYTES)
            if data[a:b] not in OWN_DOMAINS:
                raise _Refused(
                    f"it uses an operator of {_shown(data[a:b])!r}, which is not standard ONNX"
                )
    if operator in NOT_IN_A_READER:
        raise _Refused(f"it uses the operator {_shown(operator)}, which is not allowed")
    found.operators[operator] += 1


def _attribute(data: bytes, start: int, end: int, found: _Found) -> None:
    found.attributes += 1
    if found.attributes > MAX_ATTRIBUTES:
        raise _Refused(f"its nodes have more than {MAX_ATTRIBUTES:,} attributes")
    for number, kind, a, b in fields(data, start, end):
        if number in _ATTRIBUTE_GRAPHS:
            raise _Refused("a node contains a subgraph")
        if number in _ATTRIBUTE_SPARSE:
            raise _Refused("it contains sparse tensors")
        if number in {_ATTRIBUTE_TENSOR, _ATTRIBUTE_TENSORS}:
            _expect(kind, BYTES)
            _tensor(data, a, b, found)


def _tensor(data: bytes, start: int, end: int, found: _Found) -> None:
    found.tensors += 1
    if found.tensors > MAX_TENSORS:
        raise _Refused(f"it contains more than {MAX_TENSORS:,} tensors")
    values = 1
    for number, kind, a, b in fields(data, start, end):
        if number == _TENSOR_DIMS:
            for size in (a,) if kind == VARINT else varints(data, a, b):
                values *= size
                # The smallest data type takes half a byte.
                if values > 2 * (end - start):
                    raise _Refused("a tensor declares more values than the file contains")
        elif number == _TENSOR_EXTERNAL or (
            number == _TENSOR_PLACE and (kind, a) != (VARINT, _HERE)
        ):
            raise _Refused("a tensor is stored in another file")
    found.values += values


def _expect(kind: int, expected: int) -> None:
    if kind != expected:
        raise WireError(f"a field has the type {kind} instead of {expected}")


def _shown(name: bytes) -> str:
    return name[:100].decode("utf-8", "replace")
