"""Several findings per image from tables of public data sets, with the published columns."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from helpers.public_sets import FINDINGS, put, write_table
from pneumoscope.data.catalog import Catalog, read_catalog
from pneumoscope.data.layouts import data_options

NIH = (
    *("Image Index", "Finding Labels", "Follow-up #", "Patient ID", "Patient Age"),
    *("Patient Gender", "View Position", "OriginalImage[Width", "Height]"),
    *("OriginalImagePixelSpacing[x", "y]"),
)
VINDR = (
    *("Aortic enlargement", "Atelectasis", "Calcification", "Cardiomegaly", "Clavicle fracture"),
    *("Consolidation", "Edema", "Emphysema", "Enlarged PA", "ILD", "Infiltration"),
    *("Lung Opacity", "Lung cavity", "Lung cyst", "Mediastinal shift", "Nodule/Mass"),
    *("Pleural effusion", "Pleural thickening", "Pneumothorax", "Pulmonary fibrosis"),
    *("Rib fracture", "Other lesion", "COPD", "Lung tumor", "Pneumonia", "Tuberculosis"),
)
PADCHEST = (
    *("", "ImageID", "ImageDir", "StudyDate_DICOM", "StudyID", "PatientID", "PatientBirth"),
    *("PatientSex_DICOM", "ViewPosition_DICOM", "Projection", "MethodProjection", "Pediatric"),
    *("Modality_DICOM", "Manufacturer_DICOM", "PhotometricInterpretation_DICOM"),
    *("PixelRepresentation_DICOM", "PixelAspectRatio_DICOM", "SpatialResolution_DICOM"),
    *("BitsStored_DICOM", "WindowCenter_DICOM", "WindowWidth_DICOM", "Rows_DICOM"),
    *("Columns_DICOM", "XRayTubeCurrent_DICOM", "Exposure_DICOM", "ExposureInuAs_DICOM"),
    *("ExposureTime", "RelativeXRayExposure_DICOM", "ReportID", "Report", "MethodLabel"),
    *("Labels", "Localizations", "LabelsLocalizationsBySentence", "labelCUIS"),
    "LocalizationsCUIS",
)


def read(place: Path, findings: str = "all", **options: object) -> Catalog:
    return read_catalog(place, options=data_options(findings=findings, **options))  # type: ignore[arg-type]


def of_each(catalog: Catalog) -> dict[str, tuple[int, ...]]:
    return {Path(entry.path).stem: entry.findings for entry in catalog.entries}


def row_of(columns: Sequence[str], **values: object) -> list[object]:
    """Return a row with some values; names have ``_`` for what is no letter."""
    plain = {"".join(c if c.isalnum() else "_" for c in name): name for name in columns}
    assert set(values) <= set(plain)
    return [values.get(key, "") for key in plain]


def test_nih_says_what_is_absent(tmp_path: Path) -> None:
    rows = []
    for name, labels, patient in (
        ("00000001_000.png", "Cardiomegaly|Emphysema", 1),
        ("00000001_001.png", "No Finding", 1),
        ("00000002_000.png", "Pleural_Thickening", 2),
    ):
        put(tmp_path / "images_001" / "images" / name, patient)
        size = (2682, 2749, 0.143, 0.143)
        rows.append((name, labels, 0, patient, 57, "M", "PA", *size))
    write_table(tmp_path / "Data_Entry_2017_v2020.csv", NIH, rows)
    (tmp_path / "train_val_list.txt").write_text("00000001_000.png\n00000001_001.png\n")
    (tmp_path / "test_list.txt").write_text("00000002_000.png\n")
    catalog = read(tmp_path)
    assert catalog.findings == ("Cardiomegaly", "Emphysema", "Pleural_Thickening")
    assert of_each(catalog) == {
        "00000001_000": (1, 1, 0), "00000001_001": (0, 0, 0), "00000002_000": (0, 0, 1)
    }  # fmt: skip
    assert [entry.split for entry in catalog.entries] == ["train", "train", "test"]
    assert len({entry.patient for entry in catalog.entries}) == 2
    some = read(tmp_path, "pleural thickening")  # the blank of its paper
    assert some.findings == ("Pleural_Thickening",)
    assert of_each(some) == {"00000001_000": (0,), "00000001_001": (0,), "00000002_000": (1,)}


def _mimic(root: Path) -> None:
    """Write three studies: a frontal and a lateral image each, labelled by study."""
    labels = [
        ("No Finding", {"No_Finding": "1.0", "Support_Devices": "1.0"}),
        ("uncertain", {"Pneumonia": "-1.0", "Edema": "0.0", "Lung_Opacity": "1.0"}),
        ("nothing", {}),
    ]
    names = sorted(FINDINGS)  # as published
    of_study, facts, parts = [], [], []
    for number, (_, values) in enumerate(labels):
        patient, study = 10000032 + number, 50414267 + number
        cells = [values.get(name.replace(" ", "_"), "") for name in names]
        of_study.append((patient, study, *cells))
        for view in ("PA", "LATERAL"):
            image = f"0{number}aa804e-{view.lower()}"
            put(root / f"files/p10/p{patient}/s{study}/{image}.jpg", number)
            facts.append(
                (image, patient, study, "CHEST (PA AND LAT)", view, 40, 48, 21800506, 213014.531,
                 "CHEST (PA AND LAT)", "postero-anterior", "Erect")
            )  # fmt: skip
            parts.append((image, study, patient, "train"))
    header: tuple[str, ...] = (
        *("dicom_id", "subject_id", "study_id", "PerformedProcedureStepDescription"),
        *("ViewPosition", "Rows", "Columns", "StudyDate", "StudyTime"),
        *("ProcedureCodeSequence_CodeMeaning", "ViewCodeSequence_CodeMeaning"),
        "PatientOrientationCodeSequence_CodeMeaning",
    )
    write_table(root / "mimic-cxr-2.0.0-metadata.csv.gz", header, facts)
    header = ("dicom_id", "study_id", "subject_id", "split")
    write_table(root / "mimic-cxr-2.0.0-split.csv.gz", header, parts)
    header = ("subject_id", "study_id", *names)
    write_table(root / "mimic-cxr-2.0.0-chexpert.csv.gz", header, of_study)


def test_mimic_takes_the_labels_of_the_study(tmp_path: Path) -> None:
    _mimic(tmp_path)
    asked = "Pneumonia,Edema,Lung Opacity"
    catalog = read(tmp_path, asked)
    assert of_each(catalog) == {"00aa804e-pa": (0, 0, 0), "01aa804e-pa": (-1, 0, 1)}
    assert {item.reason: item.n for item in catalog.left_out} == {
        "not a frontal view": 3, "no label of any finding": 1
    }  # fmt: skip
    assert [entry.split for entry in catalog.entries] == ["train", "train"]
    assert of_each(read(tmp_path, asked, uncertain_labels="positive"))["01aa804e-pa"] == (1, 0, 1)
    bare = of_each(read(tmp_path, asked, unlabelled="negative"))
    assert bare["02aa804e-pa"] == (0, 0, 0)
    assert "Support Devices" not in read(tmp_path).findings


def test_padchest_leaves_out_what_tells_of_no_finding(tmp_path: Path) -> None:
    rows = []
    for number, labels in enumerate(
        (
            "['pulmonary fibrosis', 'chronic changes', 'kyphosis']",
            "['normal']",
            "['unchanged']",  # since an examination that the table does not tell
            "['exclude']",
            "['kyphosis', 'suboptimal study', 'unchanged']",
            "['']",
        )
    ):
        name = f"{number}_003-129-001.png"
        put(tmp_path / "0" / name, number)
        rows.append(
            row_of(
                PADCHEST, ImageID=name, ImageDir=0, StudyID=f"S{number}", PatientID=f"P{number}",
                Projection="PA", Labels=labels, MethodLabel="Physician",
                Report='cambio pulmonar cronico, "cifosis" .', Localizations="['loc basal']",
            )
        )  # fmt: skip
    write_table(tmp_path / "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv", PADCHEST, rows)
    catalog = read(tmp_path)
    assert catalog.findings == ("chronic changes", "kyphosis", "pulmonary fibrosis")
    found = of_each(catalog)
    assert found == {
        "0_003-129-001": (1, 1, 1), "1_003-129-001": (0, 0, 0), "4_003-129-001": (0, 1, 0)
    }  # fmt: skip
    assert [str(item) for item in catalog.left_out] == ["3 left out: no label of any finding"]
    assert catalog.entries[0].study == "S0"


def test_vindr_has_what_any_reader_names(tmp_path: Path) -> None:
    train, test = "0" * 31 + "1", "0" * 31 + "2"
    for part, name in (("train", train), ("test", test)):
        put(tmp_path / part / f"{name}.dicom", 1)
    readers = []
    for reader, named in enumerate(
        ({"Pneumonia"}, {"Pneumonia", "Consolidation"}, {"Other diseases"}), 8
    ):
        columns = (*VINDR, "Other diseases", "No finding")
        readers.append((train, f"R{reader}", *(int(name in named) for name in columns)))
    write_table(
        tmp_path / "annotations" / "image_labels_train.csv",
        ("image_id", "rad_id", *VINDR, "Other diseases", "No finding"), readers,
    )  # fmt: skip
    write_table(
        tmp_path / "annotations" / "image_labels_test.csv",
        ("image_id", *VINDR, "Other disease", "No finding"),
        [(test, *([0] * len(VINDR)), 1, 0)],
    )
    catalog = read(tmp_path)
    assert catalog.findings == tuple(sorted((*VINDR, "Other diseases")))
    found = of_each(catalog)
    assert [name for name, value in zip(catalog.findings, found[train], strict=True) if value] == [
        "Consolidation", "Other diseases", "Pneumonia"
    ]  # fmt: skip
    assert sum(found[test]) == 1
    assert found[test][catalog.findings.index("Other diseases")] == 1
    assert [entry.split for entry in catalog.entries] == ["train", "test"]
    two = read(tmp_path, "Pneumonia,Other diseases")
    assert of_each(two) == {train: (1, 1), test: (0, 1)}


def test_vindr_boxes_are_united(tmp_path: Path) -> None:
    names = [f"{number:032x}" for number in range(2)]
    for name in names:
        put(tmp_path / "train" / f"{name}.dicom", 1)
    header = ("image_id", "class_name", "class_id", "rad_id", "x_min", "y_min", "x_max", "y_max")
    box = (691.0, 1375.0, 1653.0, 1831.0)
    rows = [
        (names[0], "Cardiomegaly", 3, "R11", *box),
        (names[0], "Aortic enlargement", 0, "R10", *box),
        (names[0], "Cardiomegaly", 3, "R10", *box),
        *[(names[1], "No finding", 14, reader, "", "", "", "") for reader in ("R8", "R9", "R10")],
    ]
    write_table(tmp_path / "train.csv", header, rows)
    catalog = read(tmp_path)
    assert catalog.findings == ("Aortic enlargement", "Cardiomegaly")
    assert of_each(catalog) == {names[0]: (1, 1), names[1]: (0, 0)}


def test_chexpert_small_and_large(tmp_path: Path) -> None:
    header = ("Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *FINDINGS)
    for base in ("CheXpert-v1.0-small", "CheXpert-v1.0"):
        folder = f"{base}/train/patient00001/study1"
        root = tmp_path / base
        put(tmp_path / folder / "view1_frontal.jpg", 1)
        put(tmp_path / folder / "view2_lateral.jpg", 2)
        said = {"Pneumonia": "-1.0", "Edema": "1.0", "Fracture": "0.0"}
        cells = [said.get(name, "") for name in FINDINGS]
        rows = [
            (f"{folder}/view1_frontal.jpg", "Female", 68, "Frontal", "AP", *cells),
            (f"{folder}/view2_lateral.jpg", "Female", 68, "Lateral", "", *cells),
        ]
        write_table(root / "train.csv", header, rows)
        catalog = read(root, "Pneumonia,Edema,Fracture,Atelectasis")
        assert of_each(catalog) == {"view1_frontal": (-1, 1, 0, -1)}
        (entry,) = catalog.entries
        assert (entry.patient.name, entry.split) == ("patient00001", "train")
        doubtful = read(root, "Pneumonia", uncertain_labels="negative", unlabelled="negative")
        assert of_each(doubtful) == {"view1_frontal": (0,)}
