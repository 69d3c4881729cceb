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
        certificate: Certificate of this node.
        key: Key of the certificate.
        authorities: Authorities that sign the peer's certificate.
    """

    certificate: Path
    key: Path
    authorities: Path


@dataclass(frozen=True, slots=True)
class Destination:
    """A receiver of objects: a DICOM node or a DICOMweb address.

    Attributes:
        name: Name in the queue.
        ae_title: AE title of a DICOM node.
        host: Host of a DICOM node.
        port: Port of a DICOM node.
        url: A DICOMweb address instead, such as ``https://pacs.example/dicom-web``.
        kinds: The objects to send: ``report``, ``picture``, ``presentation``.
        commitment: Whether to request storage commitment.
        attempts: Number of failures after which a delivery is dead.
        first_pause: Seconds to wait after the first failure; doubled after each further one, up to
            an hour.
        seconds: Time limit for a response.
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
        folder: Folder of images, objects and the queue.
        destinations: Destinations of the objects.
        ae_title: AE title of this node.
        host: Address to listen on.
        port: Port to listen on; 0 takes a free one.
        model: A model file or run folder; None is the included reader.
        callers: Calling AE titles that may send, each with its addresses, if restricted; empty
            accepts all.
        check_called: Whether callers must use this node's AE title.
        workers: Number of images read in parallel.
        associations: Maximum number of simultaneous associations.
        least_free_mb: Minimum free disk space for accepting images.
        keep_images: Whether images are kept after delivery.
        tls: For TLS connections.
        quiet_seconds: Objects of a study are sent together once no image of it has arrived for this
            time; 0 sends those of each image immediately.
        institution: Institution stated in reports.
        metrics_port: Port of the Prometheus metrics, on ``host``; 0 takes a free one, None disables
            them.
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
            DataError: The file cannot be read, or contains an unknown setting.
            OptionError: An invalid value.
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
        OptionError: It is not an AE title.
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
            raise OptionError(
                "a setting",
                must=f"one of {', '.join(known)}",
                was=name,
                hint=nearest(str(name), known),
            )
    for name, one in known.items():
        needed = one.default is MISSING and one.default_factory is MISSING
        if needed and name not in values:
            raise OptionError(name, must="given", was=None)
    return dict(values)
