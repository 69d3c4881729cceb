"""The worker process that reads images for the service.

It opens the models, and answers one request after the other on a socket. HTTP is handled by the
service, which starts another worker if this one dies.
"""

from __future__ import annotations

import gc
import io
import json
import os
import signal
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pneumoscope.errors import ImageError, OtherKindError, PneumoscopeError
from pneumoscope.serve.channel import receive, send

if TYPE_CHECKING:
    from pneumoscope.reader.model_file.metadata import ModelInfo, OperatingPoint
    from pneumoscope.reader.prediction import Prediction
    from pneumoscope.reader.predictor import Predictor

PICTURE_SIDE = 8192
"""Maximum length of a side of a picture for the page; larger ones are reduced."""


def main(arguments: list[str]) -> int:
    """Serve a socket until the other side closes it.

    Args:
        arguments: File descriptor of the socket, and the models as a JSON object of name → path.
    """
    # The whole process group may receive the signal; this process ends when its socket is closed.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    connection = socket.socket(fileno=int(arguments[0]))
    try:
        return _serve(connection, json.loads(arguments[1]))
    except (BrokenPipeError, ConnectionResetError):
        return 0  # the service may end at any time


def _serve(connection: socket.socket, models: dict[str, str | None]) -> int:
    """Open the models, and answer until the socket is closed."""
    try:
        readers = _opened(models)
    except PneumoscopeError as fault:
        send(connection, {"failed": str(fault)})
        return 1
    send(connection, {"models": {name: _about(reader) for name, reader in readers.items()}})
    while message := receive(connection):
        fields, content = message
        answer, body = _answered(readers[fields["model"]], fields, content)
        del message, content
        send(connection, answer, body)
    return 0


def _opened(models: Mapping[str, str | None]) -> dict[str, Predictor]:
    """Return a single-threaded reader for each model, after its self-test.

    Raises:
        ModelFileError: A model cannot be used.
    """
    gc.disable()  # imported objects contain no cycles
    from pneumoscope.reader.model_file.session import Graph  # noqa: PLC0415 - errors are reported

    # ONNX Runtime opens the graphs while other modules are imported.
    graphs = {name: Graph(path and Path(path)) for name, path in models.items()}
    from pneumoscope.reader.predictor import Predictor  # noqa: PLC0415

    readers = {name: Predictor(graph) for name, graph in graphs.items()}
    for reader in readers.values():
        reader.check()
    gc.freeze()
    gc.enable()
    return readers


def _about(reader: Predictor) -> dict[str, Any]:
    """Return the description of a model; of several findings, that of each finding."""
    info = reader.info
    return {
        "sha256": reader.sha256,
        "name": info.name,
        "version": info.version,
        "classes": list(info.classes),
        **(_findings(info) if info.findings else _decided(reader)),
        "input": info.input.to_dict(),
        "intended": dict(info.intended),
        "card": dict(info.card),
        "reference": dict(info.reference),
        "draws_evidence": reader.draws_evidence,
    }


def _decided(reader: Predictor) -> dict[str, Any]:
    """Return the decision rule of a model of classes."""
    info = reader.info
    return {
        "positive": list(info.labels.positive),
        "pair": list(info.labels.pair),
        **_rule(info.operating_point, reader.policy.zone),
        "findings": {},
    }


def _findings(info: ModelInfo) -> dict[str, Any]:
    """Return the decision rules of a model of several findings."""
    from pneumoscope.reader.findings import policy_of  # noqa: PLC0415 - for models of findings

    none = {"threshold": None, "rule": "", "achieved": None, "uncertain_zone": None}
    return {
        "positive": [],
        "pair": [],
        **none,
        "findings": {
            name: {
                **_rule(rule.operating_point, policy_of(rule).zone),
                "reference": dict(rule.reference or {}),
            }
            for name, rule in zip(info.classes, info.findings, strict=True)
        },
    }


def _rule(point: OperatingPoint, zone: tuple[float, float] | None) -> dict[str, Any]:
    return {
        "threshold": point.threshold,
        "rule": point.rule,
        "achieved": point.achieved,
        "uncertain_zone": zone and list(zone),
    }


def _answered(
    reader: Predictor, fields: dict[str, Any], content: bytes
) -> tuple[dict[str, Any], bytes]:
    """Return the answer to a request with its bytes."""
    try:
        if fields["kind"] == "picture":
            return {"status": "ok"}, _picture(content)
        return _predicted(reader, fields, content)
    except ImageError as fault:
        reason = fault.reason if isinstance(fault, OtherKindError) else _plain(str(fault))
        return {"status": "unreadable", "reason": reason, "kind": type(fault).__name__}, b""
    except PneumoscopeError as fault:
        return {"status": "failed", "reason": str(fault)}, b""
    except MemoryError:
        return {
            "status": "unreadable",
            "reason": "there is not enough memory to read this image",
            "kind": "MemoryError",
        }, b""


def _predicted(
    reader: Predictor, fields: dict[str, Any], content: bytes
) -> tuple[dict[str, Any], bytes]:
    from pneumoscope.reader.policy import NOT_ASSESSABLE  # noqa: PLC0415 - loaded already
    from pneumoscope.reader.records import record_of  # noqa: PLC0415

    found = reader.predict(content)
    record = record_of(found)
    record["path"] = fields.get("name", "")
    picture = b""
    if fields.get("evidence") and found.assessed and reader.draws_evidence:
        picture = _evidence(reader, found, content, fields.get("evidence_of"))
        record["evidence"] = fields["evidence"]
    answer = {
        "status": "ok",
        "conclusion": found.conclusion,
        "probability": found.probability,
        "findings": {one.name: [one.conclusion, one.probability] for one in found.findings},
        "refused": found.conclusion == NOT_ASSESSABLE,
        "by_header": found.conclusion == NOT_ASSESSABLE and found.distance is None,
        "seconds": found.seconds,
        "decode_seconds": found.decode_seconds,
    }
    text = json.dumps(record).encode()
    answer["record_bytes"] = len(text)  # the picture follows the record
    return answer, text + picture


def _evidence(reader: Predictor, found: Prediction, content: bytes, of: str | None) -> bytes:
    from pneumoscope.reader.evidence import evidence_image  # noqa: PLC0415 - only if requested
    from pneumoscope.reader.model_file.metadata import NOTICE  # noqa: PLC0415 - the same

    out = io.BytesIO()
    drawn = evidence_image(reader, found, content, notice=NOTICE, of=of)
    drawn.save(out, format="PNG", compress_level=1)
    return out.getvalue()


def _picture(content: bytes) -> bytes:
    """Return an image as an 8-bit grey PNG, with the grey levels that the reader uses."""
    import numpy as np  # noqa: PLC0415 - only if requested
    from PIL import Image  # noqa: PLC0415

    from pneumoscope.reader.overlay import grey_levels  # noqa: PLC0415
    from pneumoscope.reader.preprocess import native  # noqa: PLC0415

    image = Image.fromarray(np.rint(grey_levels(native(content))).astype(np.uint8))
    image.thumbnail((PICTURE_SIDE, PICTURE_SIDE))
    out = io.BytesIO()
    image.save(out, format="PNG", compress_level=1)
    return out.getvalue()


def _plain(message: str) -> str:
    """Return a message without bytes in it."""
    return message.removeprefix("<bytes>: ")


if __name__ == "__main__":
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    sys.exit(main(sys.argv[1:]))
