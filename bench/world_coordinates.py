#!/usr/bin/env python3
"""Our time and astropy's for 20,000 positions through distorted world coordinates, both ways, in one run on one core.

Runs `cargo bench --bench world_coordinates` and then astropy on the same headers and positions, with the tolerance
that reaches the same 1e-9 pixel. Usage: python3 bench/world_coordinates.py
"""

import json
import pathlib
import re
import subprocess
import time
import warnings

import astropy
import numpy as np
from astropy import log
from astropy.io import fits
from astropy.wcs import WCS

warnings.simplefilter("ignore")
log.setLevel("ERROR")

ROOT = pathlib.Path(__file__).resolve().parent.parent
COUNT, SIDE, ROUNDS = 20_000, 2048, 40
UNITS = {"ns": 1e-6, "µs": 1e-3, "ms": 1.0, "s": 1e3}


def ours():
    output = subprocess.run(
        ["cargo", "bench", "--offline", "--bench", "world_coordinates"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout
    # The middle of criterion's three figures; long names stand on a line of their own.
    found = re.findall(r"^20,000 positions/(.+?)\s+time:\s+\[\S+ \S+ (\S+) (\S+) \S+ \S+\]", output, re.MULTILINE)
    return {name: float(value) * UNITS[unit] for name, value, unit in found}


def best(work):
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        work()
        times.append(1e3 * (time.perf_counter() - start))
    return min(times)


def main():
    figures = ours()
    oracle = json.loads((ROOT / "tests/oracles/wcs_distorted.json").read_text())
    cards = {case["name"]: case["cards"] for case in oracle["cases"]}
    place = np.arange(1, COUNT + 1)
    pixels = np.column_stack([place * 7919 % SIDE + 0.3, place * 104_729 % SIDE + 0.6])
    print(f"milliseconds for {COUNT} positions; the best of {ROUNDS} for astropy {astropy.__version__}")
    print(f"{'':40} {'':14} {'gic':>8} {'astropy':>8} {'ratio':>7}")
    for name in dict.fromkeys(key.rsplit(": ", 1)[0] for key in figures):
        header = fits.Header()
        for keyword, value in cards[name].items():
            header[keyword] = value
        wcs = WCS(header)
        sky = wcs.all_pix2world(pixels, 0)
        peers = {
            "to the sky": best(lambda: wcs.all_pix2world(pixels, 0)),
            "to the image": best(lambda: wcs.all_world2pix(sky, 0, tolerance=1e-9, maxiter=60)),
        }
        for way, peer in peers.items():
            mine = figures[f"{name}: {way}"]
            print(f"{name:40} {way:14} {mine:8.2f} {peer:8.2f} {peer / mine:7.1f}")


if __name__ == "__main__":
    main()
