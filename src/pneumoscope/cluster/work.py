"""Read a shard into a part, independently of the engine.

This is the complete interface for Ray, Dask, Spark or a scheduler of batch jobs::

    job = Job.of(Predictor("runs/first"))            # where the run is started
    reader = ShardReader(job)                        # once in each worker process
    part = reader.read(Shard(0, ("a.jpeg", "b.png")))
"""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pneumoscope.cluster.listing import Item, file_system, is_remote
from pneumoscope.cluster.parts import Part, part_of
from pneumoscope.errors import EngineError, ModelFileError
from pneumoscope.images.read import MAX_BYTES
from pneumoscope.parallel import ordered_map
from pneumoscope.reader.archive.inputs import Unlisted
from pneumoscope.reader.model_file.session import SHIPPED_FILE
from pneumoscope.reader.prediction import ERROR, ModelName, Prediction
from pneumoscope.reader.predictor import Predictor
from pneumoscope.reader.records import Record, record_of
from pneumoscope.runs import version

if TYPE_CHECKING:
    from pneumoscope.cluster.shards import Shard

_FETCHING = 8  # in parallel: an object store responds slowly, but to many requests at once


@dataclass(frozen=True, slots=True)
class Job:
    """The settings that workers need to read shards, sent with the paths.

    Attributes:
        model: The content of the model file; empty for the included reader.
        sha256: SHA-256 of the model file.
        gated: As for ``Predictor``.
        outside: As for ``Predictor``.
        folder: The folder that relative paths refer to.
        version: Version of the package.
    """

    model: bytes
    sha256: str
    gated: bool
    outside: str
    folder: str
    version: str

    @classmethod
    def of(cls, predictor: Predictor) -> Job:
        """Return the job for a predictor, with paths relative to the current folder.

        Raises:
            ModelFileError: The model file can no longer be read, or was replaced.
        """
        content = b""
        if predictor.path != SHIPPED_FILE:
            try:
                content = predictor.path.read_bytes()
            except OSError as fault:
                raise ModelFileError(
                    f"{predictor.path}: cannot be read ({fault.strerror})."
                ) from fault
        outside = predictor.outside
        return cls(content, predictor.sha256, predictor.gated, outside, str(Path.cwd()), version())


class ShardReader:
    """Reads shards; one per process, with one thread.

    Raises:
        EngineError: This machine has another version of the package.
        ModelFileError: The model file is invalid, or the package on this machine includes another
            reader.
    """

    def __init__(self, job: Job) -> None:
        if job.version != version():
            raise EngineError(
                f"a worker has pneumoscope {version()}, but the run was started with "
                f"{job.version}; install the same version on all machines."
            )
        self._predictor = _opened(job)
        if os.path.isdir(job.folder):  # noqa: PTH112 - other machines may have no such folder
            os.chdir(job.folder)

    def read(self, shard: Shard) -> Part:
        """Return the part of a shard; unreadable images become rows.

        Raises:
            ModelFileError: The model failed its self-test.
        """
        info = self._predictor.info
        findings = info.classes if info.findings else ()
        return part_of(shard, self._records(shard), info.reference, findings=findings)

    def _records(self, shard: Shard) -> Iterator[Record]:
        sources = (
            ordered_map(_fetched, shard.items, workers=_FETCHING, ahead=1)
            if any(isinstance(item, str) and is_remote(item) for item in shard.items)
            else iter(shard.items)
        )
        predictions = self._predictor.predict_many(
            sources, workers=1, alone_first=shard.number == 0
        )
        for item, prediction in zip(shard.items, predictions, strict=True):
            record = record_of(prediction)
            record["path"] = _path(item)  # the bytes of an object have no path
            yield record


MakeReader = Callable[[Job], ShardReader]
"""A function that creates the reader of a worker; tests use their own."""


class _Object(io.BytesIO):
    """The bytes of an object in an object store.

    Attributes:
        name: The address, for messages.
    """

    def __init__(self, content: bytes, name: str) -> None:
        super().__init__(content)
        self.name = name


def _fetched(item: Item) -> Any:
    """Return the bytes of remote objects, and everything else unchanged."""
    if isinstance(item, Unlisted) or not is_remote(item):
        return item
    try:
        files = file_system(item)
        size = files.info(item)["size"]
        if size is not None and size > MAX_BYTES:
            return Unlisted(item, f"{item}: {size:,} bytes are too large for a radiograph.")
        return _Object(files.cat_file(item), item)
    except Exception as fault:  # the packages of fsspec's protocols have no common exception class
        told = getattr(fault, "strerror", None) or str(fault) or type(fault).__name__
        return Unlisted(item, f"{item}: cannot be read ({told}).")


def _path(item: Item) -> str:
    return item.path if isinstance(item, Unlisted) else item


def _opened(job: Job) -> Predictor:
    options: dict[str, Any] = {"threads": 1, "gated": job.gated, "outside": job.outside}
    if job.model:
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder) / "model.onnx"
            place.write_bytes(job.model)
            predictor = Predictor(place, **options)
            predictor.check()
    else:
        predictor = Predictor(None, **options)
        predictor.check()
    if predictor.sha256 != job.sha256:
        raise ModelFileError(
            "the included reader of a worker differs from that of the machine that started the "
            "run; install the same package on all machines."
        )
    return predictor


@dataclass(frozen=True, slots=True)
class Fault:
    """An error at a shard that is neither a bad image nor a dead process.

    Attributes:
        kind: Name of the exception.
        message: The message of the exception.
    """

    kind: str
    message: str

    def error(self) -> Exception:
        """Return the exception that ends the run."""
        if self.kind == ModelFileError.__name__:
            return ModelFileError(self.message)
        if self.kind == EngineError.__name__:
            return EngineError(self.message)
        return EngineError(f"a worker failed ({self.kind}: {self.message}).")


def attempt(reader: ShardReader, shard: Shard) -> Part | Fault:
    """Return the part of a shard or a ``Fault``; exceptions are not sent between processes."""
    try:
        return reader.read(shard)
    except Exception as fault:  # the error ends the run
        return Fault(type(fault).__name__, str(fault))


def lost_part(predictor: Predictor, shard: Shard, *, times: int, reason: str) -> Part:
    """Return the part of a shard that killed every worker that tried to read it."""
    point = predictor.info.operating_point
    name = ModelName(predictor.info.name, predictor.info.version, predictor.sha256)
    why = (
        f"not read: {times} workers ended while reading the {len(shard.items)} images of shard "
        f"{shard.number} ({reason}); at least one of these images is the cause."
    )

    def records() -> Iterator[Record]:
        for item in shard.items:
            told = item.reason if isinstance(item, Unlisted) else f"{item}: {why}"
            yield record_of(
                Prediction(
                    _path(item),
                    ERROR,
                    None,
                    None,
                    point.threshold,
                    told,
                    rule=point.rule,
                    model=name,
                )
            )

    info = predictor.info
    findings = info.classes if info.findings else ()
    return part_of(shard, records(), info.reference, findings=findings)
