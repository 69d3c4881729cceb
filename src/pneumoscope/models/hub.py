"""Weights from the Hugging Face hub or its local cache."""

from __future__ import annotations

import re
import socket
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies

from pneumoscope.errors import WeightsError
from pneumoscope.models.names import Published
from pneumoscope.runs import sha256_of

_PATIENCE_SECONDS = 10


def cached(published: Published) -> Path | None:
    """Return the file if it is in the hub's local cache."""
    try:
        from huggingface_hub import try_to_load_from_cache  # noqa: PLC0415 - not for every model
    except ModuleNotFoundError:  # only reading is installed, so nothing was downloaded with it
        return None

    for file in published.files:
        found = try_to_load_from_cache(
            published.repository, file, revision=published.revision, cache_dir=_cache()
        )
        if isinstance(found, str):
            return Path(found)
    return None


def fetch(published: Published) -> Path:
    """Return the file in the hub's cache, downloading it if necessary.

    Raises:
        ConnectionError: The hub does not respond or does not provide the file; the message states
            why.
    """
    from huggingface_hub import hf_hub_download  # noqa: PLC0415 - not for every model
    from huggingface_hub.errors import (  # noqa: PLC0415
        LocalEntryNotFoundError,
        RemoteEntryNotFoundError,
    )

    _check_reachable()
    reason = ""
    for file in published.files:
        try:
            return Path(
                hf_hub_download(
                    published.repository, file, revision=published.revision, cache_dir=_cache()
                )
            )
        except RemoteEntryNotFoundError as fault:  # present under its other name
            reason = _line(fault)
        except LocalEntryNotFoundError as fault:
            raise ConnectionError(_line(fault.__cause__ or fault)) from fault
        except (OSError, ValueError) as fault:  # its network errors are OSErrors
            raise ConnectionError(_line(fault)) from fault
    raise ConnectionError(reason)


def check(path: Path, sha256: str | None = None) -> str:
    """Verify a cached file, and return its SHA-256, which is the name of large files.

    Raises:
        WeightsError: The content differs.
    """
    found = sha256 or sha256_of(path)
    name = path.resolve().name
    if re.fullmatch(r"[0-9a-f]{64}", name) and name != found:
        raise WeightsError(
            f"{path}: damaged: its SHA-256 is {found}, but the hub gives {name}. Remove the "
            "file, and it is downloaded again."
        )
    return found


def _check_reachable() -> None:
    """Fail immediately without a network; the hub's library would retry for half a minute.

    Raises:
        ConnectionError: The hub cannot be reached, or its library is set to offline mode.
    """
    from huggingface_hub import constants  # noqa: PLC0415

    if constants.HF_HUB_OFFLINE:
        raise ConnectionError("HF_HUB_OFFLINE is set")
    place = urlsplit(constants.ENDPOINT)
    if getproxies():  # the proxy then resolves the address
        return
    try:
        port = place.port or (443 if place.scheme == "https" else 80)
        socket.create_connection((place.hostname or "", port), timeout=_PATIENCE_SECONDS).close()
    except OSError as fault:
        raise ConnectionError(f"no connection to {place.hostname}: {_line(fault)}") from fault


def _cache() -> str:
    from huggingface_hub import constants  # noqa: PLC0415

    return str(constants.HF_HUB_CACHE)


def _line(fault: BaseException) -> str:
    text = str(fault).strip() or type(fault).__name__
    return text.splitlines()[0]
