"""Read images with ONNX Runtime."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pneumoscope.errors import ImageError, ManyFindingsError, ModelFileError, OptionError
from pneumoscope.images.sources import name_of
from pneumoscope.parallel import cores, ordered_map
from pneumoscope.reader.archive.inputs import Unlisted
from pneumoscope.reader.model_file.bundle import Bundle, open_bundle
from pneumoscope.reader.model_file.metadata import PAIRS, ModelInfo
from pneumoscope.reader.policy import NOT_ASSESSABLE, OUTSIDE
from pneumoscope.reader.prediction import ERROR, ModelName, Prediction
from pneumoscope.reader.preprocess import LoadedImage, dicom_of_header
from pneumoscope.reader.work import Work

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pneumoscope.images.sources import Source
    from pneumoscope.reader.findings import FindingsPolicy
    from pneumoscope.reader.model_file.self_test import RunningTest
    from pneumoscope.reader.model_file.session import Graph
    from pneumoscope.reader.policy import DecisionPolicy

_BATCH = 2  # more are not faster on a CPU, and need more memory


class Predictor:
    """Reads images with one model.

    The checksum of the model file is verified and its self-test is run in parallel to the first
    image; the first result waits for both.

    Args:
        model: A model file or a run folder; ``shipped`` or None for the included reader. Or its
            graph, which may still be loading; its errors are then raised at first use.
        threads: CPU threads for one image; several are faster for a single image, one is best if
            many images are read in parallel.
        gated: Whether images that cannot be assessed are refused; if not, every image that can be
            decoded has a conclusion, and ``Prediction.refused`` states why the gate would refuse
            it.
        outside: How images outside the intended use are handled: ``note``, ``uncertain`` or
            ``refuse``.

    Raises:
        ModelFileError: There is no model, or the file is not a model file or is refused.
        OptionError: ``outside`` has another value.
    """

    def __init__(
        self,
        model: Graph | Path | str | None = None,
        *,
        threads: int = 1,
        gated: bool = True,
        outside: str = "note",
    ) -> None:
        self._bundle: Bundle = open_bundle(model, threads=threads)
        self._gated = gated
        self._findings: FindingsPolicy | None = None
        self._policy: DecisionPolicy | None = None
        try:
            if self.info.findings:
                self._findings = _findings_policy(self.info, outside)
            else:
                self._policy = self.info.policy(outside=outside)
        except ValueError as fault:
            raise OptionError(
                "outside", must=f"one of {', '.join(OUTSIDE)}", was=outside
            ) from fault
        self._threads = threads
        self._name = ModelName(self.info.name, self.info.version, self._bundle)
        self._test = _started_test(self._bundle) if self.info.self_test else None

    def __reduce__(self) -> tuple[Callable[..., Predictor], tuple[object, ...]]:
        """Pickle the path of the model file, which is opened again when unpickled."""
        facts = (self._threads, self._gated, self.outside, self.sha256)
        return _reopened, (self.path.absolute(), *facts)

    @property
    def info(self) -> ModelInfo:
        """The metadata of the model."""
        return self._bundle.info

    @property
    def path(self) -> Path:
        """The path of the model file."""
        return self._bundle.path

    @property
    def sha256(self) -> str:
        """The hash of the model file."""
        return self._bundle.sha256

    @property
    def gated(self) -> bool:
        """Whether images that cannot be assessed are refused."""
        return self._gated

    @property
    def policy(self) -> DecisionPolicy:
        """The decision policy.

        Raises:
            ManyFindingsError: The model has several findings, each with its own policy.
        """
        if self._policy is None:
            raise ManyFindingsError(self.info.classes)
        return self._policy

    def refuse_findings(self, what: str) -> None:
        """Raise an error for a model of several findings.

        Args:
            what: The operation that needs a single conclusion per image, for the message.

        Raises:
            ManyFindingsError: The model has several findings.
        """
        if self._findings is not None:
            raise ManyFindingsError(self.info.classes, what=what)

    @property
    def outside(self) -> str:
        """How images outside the intended use are handled."""
        return (self._findings or self.policy).outside

    @property
    def draws_evidence(self) -> bool:
        """Whether the model has evidence maps."""
        return "evidence" in self._bundle.outputs

    def run(self, pixels: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return logits and probabilities, float32 [n, K] each, of prepared pixels.

        Args:
            pixels: The result of ``prepare`` for each image, uint8 [n, height, width].

        Raises:
            ModelFileError: The graph cannot be run, or the model failed its self-test.
        """
        logits, probabilities = self._run(pixels, [*PAIRS])
        return logits, probabilities

    def evidence(self, pixels: NDArray[np.uint8], of: str | None = None) -> NDArray[np.float32]:
        """Return the evidence maps in units of the logit, float32 [n, h, w].

        Args:
            pixels: The result of ``prepare`` for each image, uint8 [n, height, width].
            of: The class that positive values are evidence for, and negative ones against; the
                positive group if None. A model of several findings needs the name of a finding.

        Raises:
            ModelFileError: The model has no evidence maps.
            OptionError: The class does not exist.
        """
        if of is not None and of not in self.info.classes:
            raise OptionError("of", must=f"one of {', '.join(self.info.classes)}", was=of)
        if not self.draws_evidence:
            raise ModelFileError(f"{self.path}: this model provides no evidence.")
        if self.info.findings and of is None:
            raise OptionError("of", must="the name of a finding", was=of)
        (found,) = self._run(pixels, ["evidence"])
        if self.info.findings:
            return found[:, self.info.classes.index(str(of))]
        if len(self.info.classes) > 2:
            from pneumoscope.reader.groups import map_of  # noqa: PLC0415 - for more than two classes

            return map_of(found, self.info.labels, of)
        found = found.reshape(len(pixels), *found.shape[-2:])
        return -found if of == self.info.classes[0] else found

    def check(self) -> None:
        """Wait until the checksum is verified and the self-test has passed.

        Raises:
            ModelFileError: The file was changed after it was written, or the self-test failed.
        """
        self._bundle.check_checksum()
        test = self._test  # several workers may call this at once
        if test is not None:
            test.wait()
            self._test = None

    def predict(self, source: Source) -> Prediction:
        """Read one image.

        Args:
            source: A path, the bytes of a file, a binary file object, a Pillow image, an array of
                pixels or ``Pixels``, as for ``prepare``.

        Raises:
            ImageError: The source cannot be read as an image.
            ModelFileError: The model failed its self-test, or its output is not a number.
        """
        started = time.perf_counter()
        work = Work(name_of(source), started)
        work.load_image(source, self)
        (found,) = self._concluded([work])
        if found.conclusion == ERROR:
            raise ModelFileError(f"{self.path}: {found.error}")
        return found

    def predict_many(
        self,
        sources: Iterable[Source | Unlisted],
        *,
        workers: int | None = None,
        alone_first: bool = True,
    ) -> Iterator[Prediction]:
        """Yield the prediction of each image in order; unreadable ones give ``ERROR``.

        Each worker decodes, prepares and reads its own images, so that decoding and inference
        overlap. Memory does not grow with the number of files; ``sources`` may be a generator.

        Args:
            sources: Image files, or other sources that ``predict`` accepts.
            workers: Number of threads; one per core if None.
            alone_first: Whether the first image is processed alone, so that its result is available
                immediately.

        Raises:
            OptionError: ``sources`` is a single image.
            ModelFileError: The model failed its self-test.
        """
        if isinstance(sources, str | bytes | bytearray | os.PathLike):
            raise OptionError(
                "sources",
                must="several images",
                was=type(sources).__name__,
                hint="Give a list, or use predict for one image.",
            )
        workers = workers or cores()
        rest = iter(sources)
        first = tuple(itertools.islice(rest, 2))
        if len(first) < 2:  # threads would cost more time than they save
            yield from self._read_group(first)
            return
        groups = _grouped(itertools.chain(first, rest), _BATCH, alone_first=alone_first)
        for group in ordered_map(self._read_group, groups, workers=workers, ahead=4):
            yield from group

    def _read_group(self, sources: Sequence[Source | Unlisted]) -> list[Prediction]:
        group = []
        for source in sources:
            work = Work(name_of(source), time.perf_counter())
            if isinstance(source, Unlisted):
                work.name, work.error = source.path, source.reason
            else:
                try:
                    work.load_image(source, self)
                except ImageError as fault:
                    work.error = str(fault)
                    work.dicom = dicom_of_header(fault.header)
            work.seconds = time.perf_counter() - work.started
            group.append(work)
        return self._concluded(group)

    def refusals(self, taken: LoadedImage) -> tuple[tuple[str, ...], float | None]:
        """Return why the gate rejects pixels, and their distance.

        The reason is empty if it does not; the distance is None if there is none.
        """
        gate = self._bundle.pixel_gate
        return gate.judge(taken.pixels, taken.shape) if gate else ((), None)

    def _concluded(self, group: Sequence[Work]) -> list[Prediction]:
        """Return the predictions of loaded images, in order."""
        assessed = [
            work for work in group if work.taken is not None and not (work.refused and self._gated)
        ]
        started = time.perf_counter()
        if assessed:
            self._run_network(assessed)
        else:
            self.check()
        share = (time.perf_counter() - started) / max(len(assessed), 1)
        for work in assessed:
            work.seconds += share
        return [self._prediction(work) for work in group]

    def _run_network(self, assessed: Sequence[Work]) -> None:
        pixels = np.stack([work.taken.pixels for work in assessed if work.taken is not None])
        gate = self._bundle.feature_gate
        outputs = [*PAIRS, "features"] if gate else [*PAIRS]
        logits, probabilities, *features = self._run(pixels, outputs)
        distances = gate.distribution.distance(features[0]) if gate and features else None
        logit, probability = self._bundle.positive(logits, probabilities)
        several = len(self.info.classes) > 2 or self._findings is not None
        for row, work in enumerate(assessed):
            work.logit = float(logit[row])
            work.probability = float(probability[row])
            if several:
                work.logits = tuple(logits[row].tolist())
                work.probabilities = tuple(probabilities[row].tolist())
            if not (np.isfinite(work.logit) and 0 <= work.probability <= 1):
                work.error = "the model output for this image is not a number"
            elif gate and distances is not None and not work.refused:
                work.distance = float(distances[row])
                work.refused = gate.reasons(work.distance)
                if work.refused:
                    from pneumoscope.reader.checks.appearance import kind  # noqa: PLC0415 - rare

                    work.refused += kind(pixels[row])

    def _run(self, pixels: NDArray[np.uint8], outputs: list[str]) -> list[NDArray[np.float32]]:
        try:
            return self._bundle.run(pixels, outputs)
        finally:  # in parallel to the self-test, whose error takes precedence
            self.check()

    def _prediction(self, work: Work) -> Prediction:
        refused = work.refused if self._gated else ()
        if self._findings is not None:
            return work.prediction_of_findings(self._findings, refused, self._name)
        point = self.info.operating_point
        conclusion, possible, reasons = ERROR, None, work.outside
        if not work.error:
            conclusion, possible, reasons = self.policy.decide(
                work.probabilities or work.probability, refused=refused, outside=work.outside
            )
        assessed = conclusion not in {ERROR, NOT_ASSESSABLE}
        return work.prediction(
            conclusion,
            reasons,
            self._name,
            probability=work.probability if assessed else None,
            logit=work.logit if assessed else None,
            threshold=point.threshold,
            rule=point.rule,
            conformal_set=possible,
            probabilities=work.probabilities if assessed else None,
            logits=work.logits if assessed else None,
            classes=self.info.classes if work.probabilities else (),
        )


def _reopened(path: Path, threads: int, gated: bool, outside: str, sha256: str) -> Predictor:
    """Return an unpickled reader.

    Raises:
        ModelFileError: The model file is missing, or was replaced.
    """
    reader = Predictor(path, threads=threads, gated=gated, outside=outside)
    if reader.sha256 != sha256:
        raise ModelFileError(f"{path}: this file was changed after the reader was pickled.")
    return reader


def _started_test(bundle: Bundle) -> RunningTest:
    from pneumoscope.reader.model_file.self_test import RunningTest  # noqa: PLC0415 - for models with one

    return RunningTest(bundle)


def _findings_policy(info: ModelInfo, outside: str) -> FindingsPolicy:
    from pneumoscope.reader.findings import FindingsPolicy  # noqa: PLC0415 - for models of findings

    return FindingsPolicy(info, outside=outside)


def _grouped(
    sources: Iterable[Source | Unlisted], size: int, *, alone_first: bool
) -> Iterator[tuple[Source | Unlisted, ...]]:
    """Yield groups of sources; the first may have one, for a fast first result."""
    rest = iter(sources)
    for count in itertools.chain((1,) if alone_first else (), itertools.repeat(size)):
        group = tuple(itertools.islice(rest, count))
        if not group:
            return
        yield group


def load(
    model: Path | str | None = None, *, threads: int | None = None, outside: str = "note"
) -> Predictor:
    """Load a reader for single images, using all cores for each, and run its self-test.

    Args:
        model: A model file or a run folder; ``shipped`` or None for the included reader.
        threads: CPU threads for one image; one per core if None.
        outside: How images outside the intended use are handled; see ``Predictor``.

    Raises:
        ModelFileError: There is no model, the file is not a model file, or the self-test failed.
        OptionError: ``outside`` is not ``note``, ``uncertain`` or ``refuse``.
    """
    predictor = Predictor(model, threads=threads or cores(), outside=outside)
    predictor.check()
    return predictor
