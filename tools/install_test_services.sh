#!/bin/sh
# Install what the tests need beside Python packages: a browser for the page of the service and
# a reverse proxy for it; for the DICOM node a toolkit, an archive, and a validator of structured
# reports.
# Where something is missing and cannot be installed, the tests that need it are skipped and say so.
set -eu

has() { command -v "$1" >/dev/null; }

missing=""
has chromium || has chromium-browser || has google-chrome || missing="$missing chromium"
has nginx || [ -x /usr/sbin/nginx ] || missing="$missing nginx-light"
has storescu || missing="$missing dcmtk"
has Orthanc || missing="$missing orthanc"
[ -e /usr/share/orthanc/plugins/libOrthancDicomWeb.so ] || missing="$missing orthanc-dicomweb"
has DicomSRValidator || missing="$missing pixelmed-apps"
has npm || missing="$missing nodejs npm"

if [ -z "$missing" ]; then
    :
elif has apt-get && [ "$(id -u)" = 0 ]; then
    apt-get update -qq || true
    for package in $missing; do
        # RUNLEVEL=1: Debian's Orthanc would start as a service, on all interfaces.
        RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive \
            apt-get install -y -qq --no-install-recommends "$package" >/dev/null ||
            echo "$package cannot be installed here: the tests that need it will be skipped." >&2
    done
else
    echo "Not installed, and not installable here:$missing. The tests that need it will be skipped." >&2
fi

if has npm && [ ! -e "$(npm root --global)/dcmjs" ]; then
    npm install --global --ignore-scripts --no-audit --no-fund --loglevel=error dcmjs@0.52.2 >/dev/null ||
        echo "dcmjs cannot be installed here: the test that needs it will be skipped." >&2
fi
