"""An opened model file: its metadata, gates and graph."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pneumoscope.errors import ModelFileError
from pneumoscope.reader.model_file import checksum as seal
from pneumoscope.reader.model_file.inspection import Contents, inspect
from pneumoscope.reader.model_file.metadata import PAIRS, ModelInfo
from pneumoscope.reader.model_file.session import Graph, first_line

if TYPE_CHECKING:
    import numpy as np
    import onnxruntime
    from numpy.typing import NDArray

    from pneumoscope.reader.checks.gate import FeatureGate, PixelGate


class Bundle:
    """An opened model: metadata, gates and graph.

    Args:
        graph: The graph of its file, which may still be loading.
        info: Metadata of the file.

    Raises:
        ModelFileError: The gates are invalid.
    """

    def __init__(self, graph: Graph, info: ModelInfo) -> None:
        self.path = graph.path
        self.contents = graph.contents
        self.info = info
        self._graph = graph
        self.pixel_gate: PixelGate | None = None
        self._feature_gate: FeatureGate | None = None
        if info.gate:
            self._open_gates(info.gate)

    def _open_gates(self, gate: Mapping[str, Any]) -> None:
        from pneumoscope.reader.checks.gate import FeatureGate, PixelGate  # noqa: PLC0415 - see above

        try:
            if "rules" in gate:
                self.pixel_gate = PixelGate.from_dict(gate)
            if "features" in gate:
                self._feature_gate = FeatureGate.from_dict(gate["features"])
        except (KeyError, TypeError, ValueError) as fault:
            raise ModelFileError(
                f"{self.path}: cannot be used: its gate is damaged ({fault!r})."
            ) from fault

    def opened(self) -> Bundle:
        """Return itself once the graph is open and the checksum is verified.

        Raises:
            ModelFileError: The file was changed after it was written, or the graph cannot be opened
                or lacks an output.
        """
        self.check_checksum()
        _ = self.outputs
        return self

    def check_checksum(self) -> None:
        """Wait until the checksum of the file is verified.

        Raises:
            ModelFileError: The file was changed since it was written.
        """
        self._graph.check_checksum()

    @cached_property
    def outputs(self) -> tuple[str, ...]:
        """The names of the graph's outputs; waits until it is open.

        Raises:
            ModelFileError: The graph cannot be opened, or lacks an output.
        """
        names = tuple(output.name for output in self.session.get_outputs())
        missing = set(PAIRS) - set(names)
        if missing:
            raise ModelFileError(
                f"{self.path}: cannot be used: its graph has no output {min(missing)!r}."
            )
        return names

    @property
    def session(self) -> onnxruntime.InferenceSession:
        """The opened graph; waits until it is open.

        Raises:
            ModelFileError: The graph cannot be opened.
        """
        return self._graph.session

    @property
    def feature_gate(self) -> FeatureGate | None:
        """The gate on the graph's features, if there is one; waits for the graph."""
        return self._feature_gate if "features" in self.outputs else None

    def run(self, pixels: NDArray[np.uint8], outputs: list[str]) -> list[NDArray[np.float32]]:
        """Run the graph; return the named outputs, each float32 [n, …].

        Args:
            pixels: The result of ``prepare`` for each image, uint8 [n, height, width].
            outputs: Names of the outputs.

        Raises:
            ModelFileError: The graph cannot be run on the pixels, or has other outputs.
        """
        session = self.session  # a graph that cannot be opened raises its own error
        try:
            found: list[NDArray[np.float32]] = session.run(outputs, {"pixels": pixels[:, None]})
        except Exception as fault:  # onnxruntime's exceptions have no public base class
            raise ModelFileError(
                f"{self.path}: its graph cannot be run ({first_line(fault)})."
            ) from fault
        for name, values in zip(outputs, found, strict=True):
            own = (len(self.info.classes),) if name in PAIRS else values.shape[1:]
            wanted = (len(pixels), *own)
            if values.shape != wanted or values.dtype != "float32":
                raise ModelFileError(
                    f"{self.path}: cannot be used: its output {name!r} is {values.dtype} "
                    f"{list(values.shape)} for {len(pixels)} images."
                )
        return found

    def positive(
        self, logits: NDArray[np.float32], probabilities: NDArray[np.float32]
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return logit and probability of the positive group, [n] each.

        For two classes, the logit is that of the network; for more, it is the log odds of the
        probability. For findings, both are those of the most probable one.

        Args:
            logits: Logits of the graph, [n, K].
            probabilities: Probabilities of the graph, [n, K].
        """
        if self.info.findings:
            return logits.max(axis=1), probabilities.max(axis=1)
        if len(self.info.classes) == 2 and not self.info.positive:
            return logits[:, 1] - logits[:, 0], probabilities[:, 1]
        from pneumoscope.reader.groups import of_group  # noqa: PLC0415 - for more than two classes

        return of_group(probabilities, self.info.labels)

    @property
    def sha256(self) -> str:
        """The hash of the opened file, computed on first use."""
        return self._graph.sha256


def read_info(content: bytes, path: Path) -> tuple[ModelInfo, Contents]:
    """Return the metadata and contents of a model file without opening its graph.

    Raises:
        ModelFileError: The file is not a model file of this package, or is refused.
    """
    contents = inspect(content, path)
    return _info(seal.own_text(content, contents, path), path), contents


def open_bundle(
    model: Graph | Path | str | None, *, threads: int = 1, allow_changed: bool = False
) -> Bundle:
    """Open the model of a file or run folder on the CPU.

    Args:
        model: A model file or a run folder; ``shipped`` or None for the package's own. Or its
            graph, which may still be loading; its errors are then raised at first use.
        threads: CPU threads for one call of the graph, if it is opened here.
        allow_changed: Whether to accept a file that was changed after it was written.

    Raises:
        ModelFileError: There is no model, or the file is not a model file of this package, was
            changed after it was written, or is refused.
    """
    if isinstance(model, Graph):
        return Bundle(model, _info(model.text, model.path))
    graph = Graph(model, threads=threads, allow_changed=allow_changed)
    return Bundle(graph, _info(graph.text, graph.path)).opened()


def _info(text: str, path: Path) -> ModelInfo:
    try:
        return ModelInfo.from_json(text)
    except (ValueError, RecursionError) as fault:
        raise ModelFileError(f"{path}: cannot be used: {fault}.") from fault
