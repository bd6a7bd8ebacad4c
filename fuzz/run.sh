#!/bin/sh
# Runs each fuzz target for some seconds, one after the other, on one core. Needs cargo-fuzz; works with a stable compiler.
#   fuzz/run.sh SECONDS [TARGET...]
set -eu
cd "$(dirname "$0")"
seconds=$1
shift
[ $# -gt 0 ] || set -- transport voevent ini fits
export RUSTC_BOOTSTRAP=1
for target in "$@"; do
    case $target in
        transport | voevent) dictionary=dictionaries/voevent.dict ;;
        *) dictionary=dictionaries/$target.dict ;;
    esac
    cargo fuzz run --fuzz-dir . --sanitizer none "$target" -- -dict="$dictionary" -max_total_time="$seconds" \
        -max_len=65536 -timeout=20 -rss_limit_mb=2048 -print_final_stats=1
done
