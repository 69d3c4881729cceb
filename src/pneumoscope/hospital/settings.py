"""The settings of a node, from a YAML file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from pneumoscope.errors import DataError, OptionError, nearest
from pneumoscope.parallel import cores

_AE_TITLE = re.compile(r"[\x21-\x5b\x5d-\x7e](?:[\x20-\x5b\x5d-\x7e]{0,14}[\x21-\x5b\x5d-\x7e])?")

KINDS = ("report", "picture", "presentation")


@dataclass(frozen=True, slots=True)
class Tls:
    """Paths of certificates (PEM).

    Attributes:
        certificate: Of this node.
        key: Of the certificate.
        authorities: Who must have signed the other side's certificate.
    """

    certificate: Path
    key: Path
    authorities: Path


@dataclass(frozen=True, slots=True)
class Destination:
    """A receiver of objects: a DICOM node or a DICOMweb address.

    Attributes:
        name: What the queue calls it.
        ae_title: Of a DICOM node.
        host: Of a DICOM node.
        port: Of a DICOM node.
        url: A DICOMweb address instead, such as ``https://pacs.example/dicom-web``.
        kinds: Which objects it gets: ``report``, ``picture``, ``presentation``.
        commitment: Whether to ask it for storage commitment.
        attempts: After so many failures a delivery is dead.
        first_pause: Seconds after the first failure; twice as long after each further one, up to
            an hour.
        seconds: An answer must come within this time.
        tls: For a TLS connection.
    """

    name: str
    ae_title: str = ""
    host: str = ""
    port: int = 104
    url: str = ""
    kinds: tuple[str, ...] = ("report", "picture")
    commitment: bool = False
    attempts: int = 20
    first_pause: float = 5.0
    seconds: float = 60.0
    tls: Tls | None = None

    def __post_init__(self) -> None:
        if bool(self.url) == bool(self.host):
            raise OptionError(
                f"destination {self.name}", must="set to a host or a url, not both", was=self.url
            )
        if self.host:
            check_ae_title(self.ae_title)
        unknown = set(self.kinds) - set(KINDS)
        if unknown:
            raise OptionError("kinds", must=", ".join(KINDS), was=sorted(unknown))
        if self.url and self.commitment:
            raise OptionError(
                "commitment", must="omitted for a DICOMweb address, which has none", was=True
            )
        for name in ("seconds", "first_pause"):
            if not getattr(self, name) > 0:
                raise OptionError(name, must="above 0", was=getattr(self, name))
        if self.attempts < 1:
            raise OptionError("attempts", must="at least 1", was=self.attempts)


@dataclass(frozen=True, slots=True)
class NodeSettings:
    """Settings of a node.

    Attributes:
        folder: Where images, objects and the queue are kept.
        destinations: Who gets the objects.
        ae_title: Of this node.
        host: Address to listen on.
        port: Port to listen on; 0 takes a free one.
        model: A model file or run folder; None is the reader of the package.
        callers: Calling AE titles that may send, each with addresses or none; empty lets all.
        check_called: Whether callers must name this node's AE title.
        workers: Images that are read at once.
        associations: Associations at once.
        least_free_mb: Below so much free disk space nothing is accepted.
        keep_images: Whether images are kept after everything was delivered.
        tls: For TLS connections.
        quiet_seconds: Objects of a study are sent together, once no image of it has come for so
            long; 0 sends those of each image at once.
        institution: For the reports.
        metrics_port: Port of the figures for Prometheus, on ``host``; 0 takes a free one, None
            serves none.
    """

    folder: Path
    destinations: tuple[Destination, ...] = ()
    ae_title: str = "PNEUMOSCOPE"
    host: str = "127.0.0.1"
    port: int = 11112
    model: Path | None = None
    callers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    check_called: bool = True
    workers: int = field(default_factory=cores)
    associations: int = 25
    least_free_mb: int = 2048
    keep_images: bool = False
    tls: Tls | None = None
    quiet_seconds: float = 0.0
    institution: str = ""
    metrics_port: int | None = None

    def __post_init__(self) -> None:
        check_ae_title(self.ae_title)
        for caller in self.callers:
            check_ae_title(caller)
        names = [one.name for one in self.destinations]
        if len(set(names)) < len(names):
            raise OptionError("destinations", must="given different names", was=names)
        for name, least in (
            *(("workers", 1), ("associations", 1), ("least_free_mb", 0)),
            ("quiet_seconds", 0),
        ):
            if getattr(self, name) < least:
                raise OptionError(name, must=f"at least {least}", was=getattr(self, name))

    @classmethod
    def load(cls, path: Path) -> NodeSettings:
        """Read settings from a YAML file; relative paths are relative to its folder.

        Raises:
            DataError: It cannot be read, or holds what no setting is.
            OptionError: A value cannot be.
        """
        try:
            values = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as fault:
            raise DataError(f"{path}: the settings cannot be read ({fault}).") from fault
        if not isinstance(values, Mapping):
            raise DataError(f"{path}: the settings must be keys with values.")
        try:
            return _settings(values, path.parent)
        except (TypeError, AttributeError, ValueError) as fault:
            raise DataError(f"{path}: a setting has the wrong type ({fault}).") from fault


def check_ae_title(title: str) -> None:
    """Raise an error for an invalid AE title (PS3.5, 6.2).

    Raises:
        OptionError: It is none.
    """
    if not _AE_TITLE.fullmatch(title):
        raise OptionError("ae_title", must="1 to 16 characters of ASCII without \\", was=title)


def _settings(values: Mapping[str, Any], base: Path) -> NodeSettings:
    found = _known(NodeSettings, values)
    found["folder"] = base / str(found["folder"])
    if found.get("model"):
        found["model"] = base / str(found["model"])
    if "tls" in found:
        found["tls"] = _tls(found["tls"], base)
    found["callers"] = {
        str(title): tuple(str(address) for address in addresses or ())
        for title, addresses in (found.get("callers") or {}).items()
    }
    found["destinations"] = tuple(
        _destination(str(name), one, base)
        for name, one in (found.get("destinations") or {}).items()
    )
    return NodeSettings(**found)


def _destination(name: str, values: Mapping[str, Any], base: Path) -> Destination:
    found = _known(Destination, {"name": name, **values})
    if "tls" in found:
        found["tls"] = _tls(found["tls"], base)
    if "kinds" in found:
        found["kinds"] = tuple(found["kinds"])
    return Destination(**found)


def _tls(values: Mapping[str, Any], base: Path) -> Tls:
    return Tls(**{name: base / str(value) for name, value in _known(Tls, values).items()})


def _known(kind: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    known = {one.name: one for one in fields(kind)}
    for name in values:
        if name not in known:
            raise OptionError("a setting", must="known", was=name, hint=nearest(str(name), known))
    for name, one in known.items():
        needed = one.default is MISSING and one.default_factory is MISSING
        if needed and name not in values:
            raise OptionError(name, must="given", was=None)
    return dict(values)
