"""Folders, tables and maps as users have them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from helpers.files import dicom_file
from helpers.public_sets import picture, put, write_table
from pneumoscope.data.catalog import Catalog, read_catalog
from pneumoscope.data.layouts import ClassMap, TableDescription, data_options
from pneumoscope.data.layouts.labels import classify
from pneumoscope.data.layouts.options import parse_columns, parse_map
from pneumoscope.data.layouts.shipped import ORDER, known_layout, layout_option
from pneumoscope.data.patients import is_placeholder
from pneumoscope.errors import DataError, OptionError
from pneumoscope.training.recipe import Recipe, recipe_of

PAIR = ("NORMAL", "PNEUMONIA")


def classes(root: Path, *, names: Sequence[str] = PAIR, n: int = 3, seed: int = 0) -> Path:
    for k, name in enumerate(names):
        for i in range(n):
            put(root / name / f"{i}.png", 1000 * seed + 100 * k + i)
    return root


def counted(catalog: Catalog) -> dict[str, int]:
    return dict(Counter(entry.split for entry in catalog.entries))


def left(catalog: Catalog) -> dict[str, int]:
    return {item.reason.split()[0]: item.n for item in catalog.left_out}


def test_two_folders_of_one_part_are_both_read(tmp_path: Path) -> None:
    for seed, part in enumerate(("Train", "Testing", "val", "validation")):
        classes(tmp_path / part, seed=seed)
    catalog = read_catalog(tmp_path)
    assert counted(catalog) == {"train": 6, "val": 12, "test": 6}
    assert catalog.notes == ("val/ and validation/ are both read as the set val.",)


def test_masks_are_left_out_and_counted(tmp_path: Path) -> None:
    classes(tmp_path)
    put(tmp_path / "NORMAL" / "masks" / "0.png", 5)
    put(tmp_path / "NORMAL" / "0_mask.png", 6)
    put(tmp_path / "ManualMask" / "0.png", 7)
    put(tmp_path / "NORMAL" / "unmasked" / "x.png", 8)
    catalog = read_catalog(tmp_path)
    assert len(catalog) == 7
    assert left(catalog) == {"masks,": 3}


def test_wrappers_are_entered_and_copies_left_out(tmp_path: Path) -> None:
    inner = tmp_path / "archive" / "set"
    classes(inner)
    classes(inner / "set")
    (tmp_path / "__MACOSX" / "archive").mkdir(parents=True)
    (tmp_path / "__MACOSX" / "archive" / "._set").write_bytes(b"x")
    catalog = read_catalog(tmp_path)
    assert len(catalog) == 6
    assert catalog.entries[0].path == "archive/set/NORMAL/0.png"
    assert left(catalog) == {"files": 6, "hidden": 1}


def test_one_class_alone_is_no_wrapper(tmp_path: Path) -> None:
    put(tmp_path / "NORMAL" / "p1" / "0.png", 1)
    put(tmp_path / "NORMAL" / "p2" / "0.png", 2)
    with pytest.raises(DataError, match=r"found 1 \(NORMAL: 2\)"):
        read_catalog(tmp_path)


def test_images_and_masks_are_no_classes(tmp_path: Path) -> None:
    for kind in ("images", "masks"):
        put(tmp_path / "Lung_Opacity" / kind / "0.png", 1)
    with pytest.raises(DataError, match=r"found 1 \(Lung_Opacity: 1\)"):
        read_catalog(tmp_path)
    classes(tmp_path / "all" / "train", seed=1)
    classes(tmp_path / "all" / "test" / "all", seed=2)
    for kind in ("images", "masks"):
        put(tmp_path / "all" / "val" / "NORMAL" / kind / "0.png", 1)
    catalog = read_catalog(tmp_path / "all")
    assert counted(catalog) == {"train": 6, "test": 6, "val": 1}
    assert catalog.classes == PAIR


def test_paths_written_on_windows_are_found(tmp_path: Path) -> None:
    classes(tmp_path)
    rows = [(f"{label}\\0.png", label) for label in PAIR]
    catalog = read_catalog(write_table(tmp_path / "t.csv", ("path", "label"), rows))
    assert [entry.path for entry in catalog.entries] == [f"{label}/0.png" for label in PAIR]


def test_classes_may_differ_in_case(tmp_path: Path) -> None:
    classes(tmp_path / "train", names=("Normal", "Pneumonia"))
    classes(tmp_path / "test", names=PAIR, seed=1)
    assert read_catalog(tmp_path).classes == ("Normal", "Pneumonia")
    assert read_catalog(tmp_path, classes=PAIR).classes == PAIR
    assert len(read_catalog(tmp_path, classes=PAIR)) == 12


def test_classes_are_mapped_and_the_rest_is_counted(tmp_path: Path) -> None:
    classes(tmp_path, names=("BACTERIA", "VIRUS", "NORMAL", "TB"))
    options = data_options(class_map={"PNEUMONIA": ["bacteria", "Virus"], "NORMAL": ["normal"]})
    catalog = read_catalog(tmp_path, options=options)
    assert catalog.labels.sum() == 6
    assert [str(item) for item in catalog.left_out] == [
        "3 left out: label not in the class map (TB 3)"
    ]
    assert read_catalog(tmp_path, positive="normal", options=options).positive == "NORMAL"
    with pytest.raises(OptionError, match="Did you mean 'BACTERIA'"):
        read_catalog(tmp_path, options=data_options(class_map={"PNEUMONIA": ["BACTRIA"]}))
    with pytest.raises(DataError, match="`class_map` must give both classes"):
        read_catalog(tmp_path, options=data_options(class_map={"PNEUMONIA": ["VIRUS"]}))
    with pytest.raises(DataError, match="set `positive` to one of them"):
        read_catalog(tmp_path, options=data_options(class_map={"A": ["VIRUS"], "B": ["TB"]}))
    with pytest.raises(OptionError, match="a class from `class_map`"):
        read_catalog(tmp_path, positive="x", options=options)
    rest = data_options(class_map={"PNEUMONIA": ["VIRUS"], "OTHER": ["*"]})
    assert read_catalog(tmp_path, options=rest).labels.tolist().count(0) == 9


def test_a_map_of_a_run_takes_what_other_data_have(tmp_path: Path) -> None:
    classes(tmp_path)
    given = {"PNEUMONIA": ["BACTERIA"], "NORMAL": ["No Finding"]}
    catalog = read_catalog(tmp_path, options=data_options(class_map=given, inherited=True))
    assert len(catalog) == 6
    with pytest.raises(OptionError, match="must be names of the data"):
        read_catalog(tmp_path, options=data_options(class_map=given))


@pytest.mark.parametrize(
    ("names", "maybe", "policy", "label"),
    [
        ("P", "", "ignore", "PNEUMONIA"),
        ("N P", "", "ignore", "PNEUMONIA"),
        ("N", "", "ignore", "NORMAL"),
        ("N X", "", "ignore", ""),
        ("", "", "ignore", ""),
        ("", "P", "ignore", ""),
        ("", "P", "positive", "PNEUMONIA"),
        ("", "P", "negative", "NORMAL"),
        ("X", "P", "negative", ""),
        ("N", "P", "negative", "NORMAL"),
        ("N", "X", "ignore", ""),
        ("N", "X", "negative", "NORMAL"),
    ],
)
def test_several_findings_of_one_image(names: str, maybe: str, policy: str, label: str) -> None:
    pair = ClassMap((("PNEUMONIA", ("P",)), ("NORMAL", ("N",))))
    found, reason = classify(
        names.split(), maybe.split(), classes=pair, positive="PNEUMONIA", policy=policy
    )
    assert found == label
    assert bool(reason) == (not label)


@pytest.mark.parametrize("sign", [",", ";", "\t"])
def test_a_table_with_columns_of_its_own(tmp_path: Path, sign: str) -> None:
    classes(tmp_path)
    lines = [sign.join(("bild", "befund", "pat", "blick"))]
    for k, label in enumerate(PAIR):
        lines += [sign.join((f"{label}/{i}.png", label, f"p{k}{i}", "PA")) for i in range(3)]
    lines.append(sign.join(("NORMAL/0.png", "NORMAL", "p00", "PA")))
    lines.append(sign.join(("NORMAL/0.png", "NORMAL", "p00", "LAT")))
    table = tmp_path / "t.csv"
    table.write_text("\n".join(lines) + "\n")
    columns = parse_columns(["path=bild,label=befund", "patient=pat,view=blick"])
    catalog = read_catalog(table, options=data_options(columns=columns))
    assert len(catalog) == 6
    assert catalog.patients_known
    assert left(catalog) == {"not": 1, "rows": 1}
    with pytest.raises(DataError, match=r"no column befnd.*Did you mean 'befund'"):
        read_catalog(table, options=data_options(columns={"path": "bild", "label": "befnd"}))


def test_contradictory_rows_are_listed(tmp_path: Path) -> None:
    classes(tmp_path)
    rows = [(f"{label}/0.png", label) for label in (*PAIR, "NORMAL")]
    table = write_table(tmp_path / "t.csv", ("path", "label"), [*rows, ("NORMAL/0.png", PAIR[1])])
    with pytest.raises(DataError, match=r"1 rows contradict") as caught:
        read_catalog(table)
    assert "NORMAL/0.png: NORMAL" in str(caught.value)
    assert "line 5" in str(caught.value)


def test_placeholder_patients_are_unknown(tmp_path: Path) -> None:
    classes(tmp_path, n=6)
    names = [f"{label}/{i}.png" for label in PAIR for i in range(6)]
    for patients, known in (
        (["ANON"] * 12, False),
        (["17"] * 12, False),
        ([f"a{i}" for i in range(11)] + ["unknown"], False),
        ([f"a{i}" for i in range(12)], True),
        (["a"] * 8 + ["b"] * 4, True),
    ):
        table = write_table(
            tmp_path / "t.csv", ("path", "label", "patient"),
            [(n, n.split("/", 1)[0], p) for n, p in zip(names, patients, strict=True)],
        )  # fmt: skip
        catalog = read_catalog(table)
        assert catalog.patients_known == known
        assert bool(catalog.notes) == (patients != [f"a{i}" for i in range(12)])
        assert max(Counter(entry.patient for entry in catalog.entries).values()) <= 8
    with pytest.raises(OptionError, match="distinguishes patients"):
        read_catalog(tmp_path, patient_regex=r"(png)")
    assert not is_placeholder("anon17")


def test_layouts_are_written_and_read(tmp_path: Path) -> None:
    for name in ORDER:
        layout = known_layout(name)
        assert TableDescription.from_dict(layout.to_dict()) == layout
        assert layout.title
        assert layout.suggest
    mine = tmp_path / "mine.yaml"
    mine.write_text("columns: {path: f, label: l}\nvalues: {'1': PNEUMONIA, '0': NORMAL}\n")
    classes(tmp_path)
    table = write_table(
        tmp_path / "t.csv", ("f", "l"), [("NORMAL/0.png", 0), ("PNEUMONIA/0.png", 1)]
    )
    found = layout_option(str(mine))
    assert read_catalog(table, options=data_options(layout=found)).classes == PAIR
    recipe = recipe_of("seed", layout=found, class_map=parse_map(["PNEUMONIA=1"]))
    recipe.save(tmp_path / "config.yaml")
    assert Recipe.load(tmp_path / "config.yaml") == recipe
    mine.write_text("colums: {}\n")
    with pytest.raises(OptionError, match="Did you mean 'columns'"):
        layout_option(str(mine))
    with pytest.raises(OptionError, match="Did you mean 'nih'"):
        layout_option("nhi")


def test_lines_that_no_sign_separates(tmp_path: Path) -> None:
    lines = (
        "3 SARS-day0.jpeg pneumonia",
        "COVID 477 COVID(477).png COVID-19 sirm",
        "0759abcb 0759abcb.png normal rsna",
        "0759abcb 0759abcd.png normal",
    )
    for i, name in enumerate(("SARS-day0.jpeg", "COVID(477).png", "0759abcb.png", "0759abcd.png")):
        put(tmp_path / "train" / name, i)
    table = tmp_path / "train_COVIDx7A.txt"
    table.write_text("\n".join(lines) + "\n\n")
    options = data_options(class_map={"PNEUMONIA": ["pneumonia", "COVID-19"], "NORMAL": ["normal"]})
    catalog = read_catalog(tmp_path, options=options)
    assert [(Path(e.path).name, e.label, e.patient.name) for e in catalog.entries] == [
        ("SARS-day0.jpeg", "PNEUMONIA", "3"),
        ("COVID(477).png", "PNEUMONIA", "COVID 477"),
        ("0759abcb.png", "NORMAL", "0759abcb"),
        ("0759abcd.png", "NORMAL", "0759abcb"),
    ]
    table.write_text("\n".join((*lines, "SITE2 MIDRC-0.png level2 ricord")) + "\n")
    with pytest.raises(DataError, match=r"line 5: not patient_id filename label source: 'SITE2"):
        read_catalog(table, options=data_options(layout="covidx"))
    must = "line of a layout must be a regular expression with named groups"
    with pytest.raises(OptionError, match=must):
        TableDescription(name="x", columns={"path": "a", "label": "b"}, line="(.*)")


def test_the_view_comes_from_the_name_where_no_column_says_it(tmp_path: Path) -> None:
    classes(tmp_path)
    columns = {"path": "path", "label": "label", "view": "view"}
    layout = TableDescription(name="x", columns=columns, view_pattern="_(pa|lat)")
    names = {"a_pa.png": "", "b_lat.png": "", "c.png": "", "d_lat.png": "PA"}
    rows = []
    for k, (name, view) in enumerate(names.items()):
        put(tmp_path / name, 50 + k)
        rows.append((name, PAIR[k % 2], view))
    table = write_table(tmp_path / "t.csv", ("path", "label", "view"), rows)
    catalog = read_catalog(table, options=data_options(layout=layout.to_dict()))
    assert [entry.path for entry in catalog.entries] == ["a_pa.png", "d_lat.png"]
    assert [str(item) for item in catalog.left_out] == [
        "2 left out: not a frontal view (lat 1, not stated 1)"
    ]


@pytest.mark.parametrize(
    "text", ["PNEUMONIA", "=a", "PNEUMONIA=", "PNEUMONIA=,", "A=x"], ids=lambda text: text
)
def test_maps_that_cannot_be(text: str) -> None:
    with pytest.raises(OptionError, match="class_map"):
        ClassMap.of(parse_map([text, "B=x"]))


def test_options_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="uncertain_labels must be combined with `class_map`"):
        data_options(uncertain_labels="positive")
    with pytest.raises(OptionError, match="Did you mean 'ignore'"):
        data_options(uncertain_labels="ignor", class_map={"A": ["x"]})
    with pytest.raises(OptionError, match="omitted if `layout`"):
        data_options(columns={"path": "a", "label": "b"}, layout="nih")
    with pytest.raises(OptionError, match="Did you mean 'patient'"):
        parse_columns(["path=a,label=b,patiant=c"])
    with pytest.raises(OptionError, match="label=COLUMN"):
        parse_columns(["path=a"])
    classes(tmp_path)
    with pytest.raises(DataError, match="contains no table of the layout 'nih'"):
        read_catalog(tmp_path, options=data_options(layout="nih"))
    assert np.all(read_catalog(tmp_path).labels[:3] == 0)


def test_the_study_comes_from_the_table_or_else_from_dicom(tmp_path: Path) -> None:
    for k, label in enumerate(PAIR):
        place = tmp_path / label / "0.dcm"
        place.parent.mkdir()
        place.write_bytes(dicom_file(picture(k), StudyInstanceUID=f"1.2.{k}", PatientID=f"P{k}"))
    assert [entry.study for entry in read_catalog(tmp_path).entries] == ["1.2.0", "1.2.1"]
    rows = [(f"{label}/0.dcm", label, study) for label, study in zip(PAIR, ("a", ""), strict=True)]
    table = write_table(tmp_path / "t.csv", ("path", "label", "study"), rows)
    catalog = read_catalog(table)
    assert [entry.study for entry in catalog.entries] == ["a", "1.2.1"]
    catalog.save(tmp_path / "catalog.csv")
    assert (tmp_path / "catalog.csv").read_text().splitlines()[0].endswith(",study")
