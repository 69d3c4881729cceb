"""Train the included reader and write its card; run by ``make reader``.

    python tools/make_reader.py chest_xray --native chest_xray_native
    python tools/make_reader.py chest_xray --native chest_xray_native --decide-only

Trains one network per seed with ``recipes/reader.yaml``, averages them into
``src/pneumoscope/assets/reader.onnx``, and measures the numbers of
``docs/reference/reader-card.md``. Finished runs are not repeated, and interrupted ones are resumed.
``--decide-only`` keeps the networks and only repeats the decision and the card.
"""

from __future__ import annotations

import argparse
import datetime
import json
from dataclasses import replace
from pathlib import Path

from pneumoscope.cli.terminal import TerminalWatcher
from pneumoscope.reader.model_file.session import SHIPPED_FILE
from pneumoscope.runs import RunFolder
from pneumoscope.training.recipe import Recipe
from pneumoscope.workflow.export import export_runs
from pneumoscope.workflow.train import train_reader
from reader_card import of_run, write_card
from reader_decision import redecide

REPOSITORY = Path(__file__).parents[1]
RECIPE = REPOSITORY / "recipes" / "reader.yaml"
CARD = REPOSITORY / "docs" / "reference" / "reader-card.md"
SEEDS = (0,)
LARGEST_BYTES = 3_000_000

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
    parser.add_argument(
        "--decide-only", action="store_true", help="keep the networks of the file that is there"
    )
    args = parser.parse_args()
    watcher = TerminalWatcher()
    numbers = CARD.with_suffix(".json")
    if args.decide_only:
        redecide(args.out, data=args.data, rules=Recipe.load(RECIPE))
        seeds = json.loads(numbers.read_text(encoding="utf-8"))["seeds"]
    else:
        seeds = [of_run(run) for run in _trained(args, watcher)]
    if args.out.stat().st_size > LARGEST_BYTES:
        raise SystemExit(f"{args.out}: more than {LARGEST_BYTES:,} bytes")
    card = write_card(args.out, seeds, data=args.data, native=args.native)
    CARD.write_text(card.text, encoding="utf-8")
    numbers.write_text(json.dumps(card.numbers, indent=1) + "\n", encoding="utf-8")
    watcher.say(f"{args.out}: {args.out.stat().st_size / 1e6:.2f} MB; its card is {CARD}")


def _trained(args: argparse.Namespace, watcher: TerminalWatcher) -> list[Path]:
    """Train a network for each seed, write their average, and return their runs."""
    runs = [args.runs / f"seed-{seed}" for seed in SEEDS]
    for seed, place in zip(SEEDS, runs, strict=True):
        run = RunFolder(place)
        if run.model.is_file():
            watcher.say(f"{place}: has ended")
            continue
        begun = run.config.is_file()
        recipe = None if begun else replace(Recipe.load(RECIPE), seed=seed)
        train_reader(args.data, place, recipe=recipe, resume=begun, watcher=watcher)
    today = datetime.datetime.now(datetime.UTC).date()
    export_runs(
        runs,
        args.out,
        data=args.data,
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
    return runs


if __name__ == "__main__":
    main()
