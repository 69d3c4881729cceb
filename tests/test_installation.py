"""The command that adds an extra must work in this installation."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pneumoscope import installation
from pneumoscope.installation import install_command

ROOT = Path(__file__).parents[1]


def test_in_a_checkout_the_command_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    assert install_command("train") == "pip install -e '.[train]'"
    monkeypatch.chdir(tmp_path)
    assert install_command("train") == f"pip install -e '{ROOT.resolve()}[train]'"


@pytest.mark.parametrize(
    ("origin", "command"),
    [
        ({"url": "file://{here}", "dir_info": {}}, "pip install '{here}[dicom]'"),
        ({"url": "file:///gone/since", "dir_info": {}}, "pip install '.[dicom]' in the folder"),
        (
            {
                "url": "https://example.org/p.git",
                "vcs_info": {"vcs": "git", "commit_id": "0ab1"},
            },
            "pip install 'pneumoscope[dicom] @ git+https://example.org/p.git@0ab1'",
        ),
        (None, "pip install '.[dicom]' in the folder"),
    ],
)
def test_an_installed_package_names_where_it_came_from(
    origin: dict[str, object] | None,
    command: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here = tmp_path / "with space"
    here.mkdir()
    text = json.dumps(origin).replace("{here}", str(here).replace(" ", "%20"))

    class Distribution:
        def read_text(self, _: str) -> str | None:
            return text if origin else None

    monkeypatch.setattr(installation, "_checkout", lambda: None)
    monkeypatch.setattr("importlib.metadata.distribution", lambda _: Distribution())
    assert install_command("dicom").startswith(command.format(here=here))
