"""Train the reader that the package carries, and write its card: what ``make reader`` runs.

    python tools/make_reader.py chest_xray --native chest_xray_native

Trains one network for each seed by ``recipes/reader.yaml``, averages them into
``src/pneumoscope/assets/reader.onnx``, and measures what ``docs/reference/reader-card.md`` says.
A seed whose run has ended is not trained again, and one that was interrupted is resumed.
"""

from __future__ import annotations

import argparse
import datetime
import json
from dataclasses import replace
from pathlib import Path

from pneumoscope.cli.terminal import TerminalWatcher
from pneumoscope.reader.graph import SHIPPED_FILE
from pneumoscope.runs import RunFolder
from pneumoscope.training.recipe import Recipe
from pneumoscope.workflow.export import export_runs
from pneumoscope.workflow.train import train_reader
from reader_card import write_card

REPOSITORY = Path(__file__).parents[1]
RECIPE = REPOSITORY / "recipes" / "reader.yaml"
SEEDS = (0, 1, 2)
LARGEST_BYTES = 6_000_000

LICENCE = "Apache-2.0; trained on data under CC BY 4.0 and on weights under Apache-2.0"
CREDIT = (
    "D. Kermany, K. Zhang, M. Goldbaum: Labeled Optical Coherence Tomography (OCT) and Chest X-Ray "
    "Images for Classification, 2018, doi:10.17632/rscbjbr9sj, CC BY 4.0"
)
INTENDED = {
    "age_years": [1, 5],
    "view": ["AP"],
    "modality": ["CR", "DX"],
    "body_part": ["CHEST"],
}


def main() -> None:
    """Train, average, measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="the public data set; its training folder teaches")
    parser.add_argument("--native", type=Path, help="some of its files at their original size")
    parser.add_argument("--runs", type=Path, default=REPOSITORY / "runs" / "reader")
    parser.add_argument("--out", type=Path, default=SHIPPED_FILE)
    asked = parser.parse_args()
    watcher = TerminalWatcher()
    runs = [asked.runs / f"seed-{seed}" for seed in SEEDS]
    for seed, place in zip(SEEDS, runs, strict=True):
        run = RunFolder(place)
        if run.model.is_file():
            watcher.say(f"{place}: has ended")
            continue
        begun = run.config.is_file()
        recipe = None if begun else replace(Recipe.load(RECIPE), seed=seed)
        train_reader(asked.data, place, recipe=recipe, resume=begun, watcher=watcher)
    today = datetime.datetime.now(datetime.UTC).date()
    exported = export_runs(
        runs,
        asked.out,
        data=asked.data,
        precision="float16",
        rules=Recipe.load(RECIPE),
        more={
            "version": f"{today:%Y.%m}",
            "licence": LICENCE,
            "intended": INTENDED,
            "card": {
                "data": CREDIT,
                "weights": "MobileNetV2 0.35 trained on ImageNet by Google, Apache-2.0",
                "limits": (
                    "Children of one to five years, antero-posterior, one hospital; research "
                    "software, not a medical device."
                ),
                "more": "docs/reference/reader-card.md",
            },
        },
        watcher=watcher,
    )
    if exported.bytes > LARGEST_BYTES:
        raise SystemExit(f"{exported.bytes:,} bytes are more than {LARGEST_BYTES:,}")
    card = write_card(asked.out, runs, data=asked.data, native=asked.native)
    place = REPOSITORY / "docs" / "reference" / "reader-card.md"
    place.write_text(card.text, encoding="utf-8")
    place.with_suffix(".json").write_text(json.dumps(card.numbers, indent=1), encoding="utf-8")
    watcher.say(f"{asked.out}: {exported.bytes / 1e6:.2f} MB; its card is {place}")


if __name__ == "__main__":
    main()
