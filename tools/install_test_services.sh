#!/bin/sh
# Install what the tests of the page need beside Python packages: a browser.
# Without it, and where it cannot be installed, these tests are skipped and say so.
set -eu

for name in chromium chromium-browser google-chrome; do
    if command -v "$name" >/dev/null; then
        exit 0
    fi
done
if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
    if apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends chromium >/dev/null; then
        exit 0
    fi
fi
echo "No Chromium, and it cannot be installed here: the tests of the page will be skipped." >&2
