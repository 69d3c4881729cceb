"""The command line: each verb parses, calls one library function and prints.

Modules here import nothing heavy at the top, so that ``--help`` and reading start at once.

Exit codes: 0 done, 1 a fault that a message names, 2 wrong usage, 3 some images could not be read,
130 ended by Ctrl-C.
"""

from __future__ import annotations

import typer

from pneumoscope.cli.demo import demo
from pneumoscope.cli.evaluate import evaluate
from pneumoscope.cli.model import model
from pneumoscope.cli.predict import predict
from pneumoscope.cli.terminal import reported
from pneumoscope.cli.train import train

app = typer.Typer(
    name="pneumoscope",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Chest X-rays in, a conclusion out. Research software, not a medical device.",
)
for verb in (train, evaluate, predict, model, demo):
    app.command()(reported(verb))


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version  # noqa: PLC0415

        typer.echo(f"pneumoscope {version('pneumoscope')}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version and end."
    ),
) -> None:
    pass


def main() -> None:
    """Run the command line."""
    app()
