#!/bin/sh
# Runs this program and the tools of the trade on the same frames, one after the other, and writes ACCURACY.md: figures of both, ratios, versions, settings.
#   bench/compare.sh [SIZE STARS]...        (default: 2048 3000 4096 5000)
# Takes about a quarter of an hour on two quiet cores. PYTHON names an interpreter with numpy, scipy and astropy; sep, ccdproc, bottleneck, astroalign, astroscrappy
# and ois are used if it has them, source-extractor, PSFEx, SCAMP, solve-field, SWarp, hotpants if they are installed. REPEAT (5): the best of so many runs counts.
# STUDY (1000): so many fields are solved, and as many wrong ones refused.
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
repeat=${REPEAT:-5}
[ $# -gt 0 ] || set -- 2048 3000 4096 5000
cargo build --release --locked --bin gic
field=$(cargo bench --locked --bench astrometry --no-run 2>&1 | sed -n 's/.*(\(.*astrometry-[0-9a-f]*\)).*/\1/p')
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
{
    echo '# Accuracy and speed'
    echo
    echo 'Written by `bench/compare.sh`: this program and the tools of the trade on the same synthetic frames, of which everything is known, in one run. Seconds are those of whole'
    echo 'commands for programs and of calls for libraries (imports not counted), by the clock, the best of' "$repeat;" 'settings are in the scripts. Figures against real'
    echo 'frames and definitions are asserted by the tests (`tests/oracles/`, `src/**/*_tests.rs`).'
    echo
    echo "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1), $(nproc) cores, $(uname -s) $(uname -r | cut -d- -f1), rustc $(rustc --version | cut -d' ' -f2), $(date -u +%Y-%m-%d)."
} >"$work/page"
section() {
    title=$1
    shift
    rm -f "$work/table"
    printf '\n## %s\n\n' "$title" >>"$work/page"
    if "$@" >"$work/log" 2>&1; then
        cat "$work/table" >>"$work/page"
    else
        cat "$work/log" >&2
        echo 'Not measured: a tool that this needs is missing or failed.' >>"$work/page"
    fi
}
while [ $# -gt 1 ]; do
    size=$1
    stars=$2
    shift 2
    section "A frame of $size² with $stars stars" "$python" bench/compare.py --size "$size" --stars "$stars" --repeat "$repeat" --markdown "$work/table"
    section "Its point-spread function" "$python" bench/compare_psf.py --size "$size" --stars "$stars" --repeat "$repeat" --markdown "$work/table"
    section "A pair of $size² with $stars stars, subtracted" "$python" bench/compare_subtraction.py --size "$size" --stars "$stars" --repeat "$repeat" --markdown "$work/table"
    section "A master of ten frames of $size²" "$python" bench/compare_masters.py --size "$size" --repeat "$repeat" --markdown "$work/table"
    section "Alignment and stack of ten frames of $size²" "$python" bench/compare_stack.py --gic target/release/gic --size "$size" --stars "$stars" --repeat "$repeat" --markdown "$work/table"
    section "Detections of $stars stars on $size² to world coordinates" "$python" bench/astrometry.py --program "$field" --side "$size" --stars "$stars" --repeat "$repeat" --markdown "$work/table"
done
study() {
    "$field" --study "${STUDY:-1000}" >"$work/study"
    grep -v '^seed' "$work/study" | sed 's/^  */  /; s/^\([a-z]\)/* \1/' >"$work/table"
}
section 'Astrometry on fields of every kind (8 to 20,000 stars, pointing wrong by up to 5′, any rotation, mirrored, scale wrong by 2 %)' study
cp "$work/page" ACCURACY.md
echo 'ACCURACY.md written'
