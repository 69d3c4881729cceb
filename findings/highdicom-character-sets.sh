#!/usr/bin/env bash
# highdicom 0.28.2 with pydicom 3.0.2; Python 3.11.
# The character sets of the Japanese and Korean examples of PS3.5 (annexes H and I) are refused:
# an empty first value and ISO 2022 IR 149 are none of highdicom's SpecificCharacterSetValues. So a
# report cannot be made of an image in them by the constructors alone.
# Seen output:
#   ISO_IR 192: accepted
#   ['', 'ISO 2022 IR 87']: ValueError '' is not a valid SpecificCharacterSetValues
#   ['', 'ISO 2022 IR 149']: ValueError '' is not a valid SpecificCharacterSetValues
#   ['ISO 2022 IR 6', 'ISO 2022 IR 149']: ValueError 'ISO 2022 IR 149' is not a valid SpecificCharacterSetValues
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    highdicom==0.28.2 pydicom==3.0.2
"$place/venv/bin/python" - <<'PYTHON'
from highdicom.base import SOPClass
from pydicom.uid import SecondaryCaptureImageStorage, generate_uid

CASES = (
    "ISO_IR 192",
    ["", "ISO 2022 IR 87"],
    ["", "ISO 2022 IR 149"],
    ["ISO 2022 IR 6", "ISO 2022 IR 149"],
)
seen = []
for charset in CASES:
    try:
        SOPClass(
            study_instance_uid=generate_uid(),
            series_instance_uid=generate_uid(),
            series_number=1,
            sop_instance_uid=generate_uid(),
            sop_class_uid=SecondaryCaptureImageStorage,
            instance_number=1,
            modality="OT",
            patient_name="Doe^Jane",
            specific_character_set=charset,
        )
        said = "accepted"
    except ValueError as fault:
        said = f"ValueError {fault}"
    print(f"{charset}: {said}")
    seen.append(said)
unknown = "is not a valid SpecificCharacterSetValues"
assert seen == [
    "accepted",
    f"ValueError '' {unknown}",
    f"ValueError '' {unknown}",
    f"ValueError 'ISO 2022 IR 149' {unknown}",
], seen
PYTHON
