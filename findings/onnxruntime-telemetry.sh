#!/usr/bin/env bash
# onnxruntime 1.32.0, Linux wheel (seen with Python 3.11 on x86_64).
# Importing it writes a device identifier and an event database into the home folder. With
# ORT_DISABLE_TELEMETRY=1 in the environment before the import, or with CI=true, it writes nothing;
# disable_telemetry_events() after the import comes too late.
# Seen output:
#   import: 2 files, .cache/Microsoft/DeveloperTools/.onnxruntime/deviceid among them
#   switched off after the import: 2 files
#   ORT_DISABLE_TELEMETRY=1: 0 files
#   CI=true: 0 files
set -euo pipefail
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/python" -m pip install --quiet --disable-pip-version-check onnxruntime==1.32.0

files() { # what it is called, the statement, further environment
    local home="$place/home-$RANDOM"
    mkdir "$home"
    env -i HOME="$home" PATH="$PATH" "${@:3}" "$place/venv/bin/python" -c "$2"
    (cd "$home" && find . -type f | sort) >"$place/files"
    echo "$1: $(wc -l <"$place/files") files"
}

files "import" "import onnxruntime"
grep -q deviceid "$place/files"
files "switched off after the import" "import onnxruntime; onnxruntime.disable_telemetry_events()"
grep -q deviceid "$place/files"
files "ORT_DISABLE_TELEMETRY=1" "import onnxruntime" ORT_DISABLE_TELEMETRY=1
test ! -s "$place/files"
files "CI=true" "import onnxruntime" CI=true
test ! -s "$place/files"
