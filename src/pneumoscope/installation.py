"""The command that adds an extra to this installation.

The package is not on an index, so ``pip install pneumoscope[train]`` would find nothing, or another
package of that name. The correct command depends on the origin recorded by pip.
"""

from __future__ import annotations

import json
import shlex
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

_PACKAGE = "pneumoscope"


def install_command(extra: str) -> str:
    """Return the command that adds an extra, such as ``train``."""
    checkout = _checkout()
    if checkout is not None:
        return f"pip install -e {shlex.quote(f'{_shown(checkout)}[{extra}]')}"
    origin = _origin()
    place = Path(unquote(urlsplit(origin.get("url", "")).path))
    if origin.get("url", "").startswith("file:") and place.exists():
        return f"pip install {shlex.quote(f'{_shown(place)}[{extra}]')}"
    if "vcs_info" in origin:
        vcs = origin["vcs_info"]
        source = f"{vcs['vcs']}+{origin['url']}@{vcs['commit_id']}"
        return f"pip install {shlex.quote(f'{_PACKAGE}[{extra}] @ {source}')}"
    return f"pip install '.[{extra}]' in the folder of its source"


def _checkout() -> Path | None:
    """Return the source checkout that contains this file; None in ``site-packages``."""
    root = Path(__file__).resolve().parents[2]
    return root if (root / "pyproject.toml").is_file() else None


def _origin() -> dict[str, Any]:
    """Return where the package was installed from (PEP 610), if recorded."""
    try:
        text = metadata.distribution(_PACKAGE).read_text("direct_url.json")
    except metadata.PackageNotFoundError:
        return {}
    found: dict[str, Any] = json.loads(text) if text else {}
    return found


def _shown(place: Path) -> str:
    return "." if place == Path.cwd() else str(place)
