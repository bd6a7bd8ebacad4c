#!/bin/sh
# Runs every script of this directory against the real Comet; the exit code is the number of those that failed.
# GIC_BIN names the program, COMET_BIN the directory of Comet's commands, GIC_TEST_DATA the directory of the data.
cd "$(dirname "$0")" || exit 1
failed=0
for script in comet_author comet_retraction comet_broker; do
    echo "== $script"
    "${PYTHON:-python3}" "$script.py" || failed=$((failed + 1))
done
exit $failed
