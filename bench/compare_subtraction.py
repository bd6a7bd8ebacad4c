#!/usr/bin/env python3
"""`gic subtraction` beside HOTPANTS and ois, on the same pair of frames, in one run: seconds, ratios, accuracy against the truth.

    bench/compare_subtraction.py --gic target/release/gic [--size 2048 --stars 3000] [--work DIR] [--markdown FILE]

A synthetic pair on one grid, made by numpy: stars of known place and brightness on both, seeing of 3.4 and 2.6 pixels that varies by some per cent
over the frame, other zero points and skies with other gradients, and 39 stars of magnitude 17 to 21 on the new frame only. Whole commands are timed
for programs, the call for the library ois (Bramich's pixel kernel fitted in cells, up to 2048²; once; imports, reading and writing not counted); the best of --repeat.
HOTPANTS and ois are used where they are there, and named where they are not. Needs numpy, scipy and astropy.

Of every difference: residual, the median of |net flux within 6 pixels| over the flux of stars of magnitude 14 to 15.5; the scatter of the significance on
empty sky, where a tool gives the noise; transients found at 5 sigma; other peaks at 5 sigma, farther than 8 pixels from stars brighter than 17. For tools that
give a difference without significance the same matched filter is used for all, its noise measured on empty sky.
"""

import os
import shutil
import sys
import time

import numpy as np
from astropy.io import fits
from compare import READ_NOISE, SECONDS, best, command, moffat_core, moffat_light, options, places, tell, version
from scipy.ndimage import gaussian_filter, maximum_filter
from scipy.spatial import cKDTree

TRANSIENTS = 39
# It takes minutes there.
LARGEST_FOR_OIS = 2048
NEW = {"fwhm": 3.4, "zero_point": 23.3}
TEMPLATE = {"fwhm": 2.6, "zero_point": 23.05}


def light(size, x, y, electrons, fwhm):
    """Electrons of Moffat stars whose width grows by two per cent towards the corners."""
    core = moffat_core(fwhm) * (1 + 0.04 * ((x / size - 0.5) ** 2 + (y / size - 0.5) ** 2))
    return moffat_light(size, x, y, electrons, core, faint_reach=14)


def make(work, size, count, seed):
    generator = np.random.default_rng(seed)
    x, y = generator.uniform(6, size - 7, (2, count))
    magnitude = 14 + np.log2(1 + generator.uniform(0, 1, count) * 255)
    where = generator.uniform(40, size - 41, (2, TRANSIENTS))
    how_bright = np.linspace(17, 21, TRANSIENTS)
    electrons = lambda magnitudes, image: 10 ** (-0.4 * (magnitudes - image["zero_point"])) * SECONDS
    rows, columns = np.mgrid[0:size, 0:size] / size
    new = light(size, np.r_[x, where[0]], np.r_[y, where[1]], electrons(np.r_[magnitude, how_bright], NEW), NEW["fwhm"])
    template = light(size, x, y, electrons(magnitude, TEMPLATE), TEMPLATE["fwhm"])
    new += 300 + 40 * columns - 20 * rows + 15 * rows * columns
    template += 220 - 25 * columns + 30 * rows**2
    for name, expected in (("new", new), ("template", template)):
        data = (generator.poisson(expected) + generator.normal(0, READ_NOISE, expected.shape)).astype("f4")
        variance = np.maximum(data, 0) + np.float32(READ_NOISE**2)
        header = fits.Header({"EXPTIME": SECONDS, "FILTER": "w", "DATE-OBS": "2026-11-0%dT04:20:00" % (2 if name == "new" else 1)})
        planes = [fits.PrimaryHDU(data, header), fits.ImageHDU(variance, name="VARIANCE"), fits.ImageHDU(np.zeros(data.shape, "u1"), name="MASK")]
        fits.HDUList(planes).writeto(work / f"{name}.fits", overwrite=True)
        fits.writeto(work / f"{name}_plain.fits", data, header, overwrite=True)
    return {"x": x, "y": y, "magnitude": magnitude, "flux": electrons(magnitude, NEW), "where": where.T, "how_bright": how_bright}


def judged(difference, significance, truth, size):
    x, y, magnitude = truth["x"], truth["y"], truth["magnitude"]
    rows, columns = np.mgrid[0:size, 0:size]
    transients = cKDTree(truth["where"])
    bright = (magnitude < 15.5) & (x > 25) & (y > 25) & (x < size - 26) & (y < size - 26)
    bright &= (transients.query(np.c_[x, y])[0] > 15) & (cKDTree(np.c_[x, y]).query(np.c_[x, y], k=2)[0][:, 1] > 8)
    circle = np.hypot(*np.mgrid[-6:7, -6:7]) <= 6
    net = lambda column, row: (difference[row - 6 : row + 7, column - 6 : column + 7] * circle).sum()
    shares = [abs(net(int(round(a)), int(round(b)))) / flux for a, b, flux in zip(x[bright], y[bright], truth["flux"][bright])]
    empty = np.ones((size, size), bool)
    for a, b, m in zip(np.r_[x, truth["where"][:, 0]], np.r_[y, truth["where"][:, 1]], np.r_[magnitude, truth["how_bright"]]):
        reach = 12 if m > 18 else 25
        empty[max(int(b) - reach, 0) : int(b) + reach + 1, max(int(a) - reach, 0) : int(a) + reach + 1] = False
    own = significance is not None
    if not own:
        filtered = gaussian_filter(difference - np.median(difference[empty]), NEW["fwhm"] / 2.3548)
        significance = filtered / (1.4826 * np.median(np.abs(filtered[empty])))
    inside = (columns > 20) & (rows > 20) & (columns < size - 21) & (rows < size - 21)
    scatter = np.std(significance[empty & inside & (significance != 0)])
    high = np.abs(significance)
    row, column = np.nonzero((high >= 5) & (high == maximum_filter(high, 9)) & inside)
    distance, which = transients.query(np.c_[column, row])
    found = np.unique(which[(distance < 3) & (significance[row, column] > 0)])
    near_bright = cKDTree(np.c_[x, y][magnitude < 17]).query(np.c_[column, row])[0] < 8
    others = int(np.sum((distance > 5) & ~near_bright))
    deep = truth["how_bright"] < 19.5
    noise = f"significance on empty sky {scatter:.3f}" if own else "no significance of its own"
    return (
        f"residual {100 * np.median(shares):.2f} % of {bright.sum()} stars, found {np.sum(deep[found])} of {deep.sum()} brighter than 19.5, "
        f"{len(found)} of {TRANSIENTS} in all, {others} false, {noise}"
    )


def main():
    arguments = options(__doc__).parse_args()
    gic, work = places(arguments, "gic-compare-subtraction-")
    size = arguments.size
    truth = make(work, size, arguments.stars, arguments.seed)
    (work / "subtraction.cfg").write_text(f"[Template]\ntemplate = {work}/template.fits\n")
    words = (gic, "subtraction", "-s", work / "new.fits", "-r", work / "ours", "-c", work / "subtraction.cfg")
    rows = []
    seconds, _ = best(arguments.repeat, lambda: command(*words))
    with fits.open(work / "ours" / "new_difference.fits") as units:
        planes = {unit.name: unit.data for unit in units}
        data = units[0].data
    rows.append(("gic", seconds, judged(data, planes["SIGNIFICANCE"], truth, size)))
    program = shutil.which("hotpants")
    if program:
        out = work / "hotpants.fits"
        words = (
            program, "-inim", work / "new_plain.fits", "-tmplim", work / "template_plain.fits", "-outim", out, "-tu", "1e6", "-iu", "1e6",
            "-tl", "-500", "-il", "-500", "-tr", READ_NOISE, "-ir", READ_NOISE, "-ko", "2", "-bgo", "2", "-nsx", "10", "-nsy", "10", "-n", "i",
            "-v", "0", "-c", "t",
        )
        seconds, _ = best(arguments.repeat, lambda: command(*words))
        rows.append(("HOTPANTS", seconds, judged(fits.getdata(out), None, truth, size)))
    else:
        print("hotpants is not there: left out", file=sys.stderr)
    if version("ois") and size <= LARGEST_FOR_OIS:
        import ois

        new, template = (fits.getdata(work / f"{name}_plain.fits").astype("f8") for name in ("new", "template"))
        began = time.perf_counter()
        difference = ois.optimal_system(new, template, kernelshape=(11, 11), bkgdegree=2, method="Bramich", gridshape=(4, 4))[0]
        seconds = time.perf_counter() - began
        filled = np.ma.filled(difference, 0.0)
        rows.append((f"ois {version('ois')}", seconds, judged(filled, None, truth, size) + "; the call alone, once"))
    if not arguments.work:
        shutil.rmtree(work)
    lines = [
        f"A pair of {size}² with {arguments.stars} stars, {os.cpu_count()} cores, best of {arguments.repeat}", "",
        "| tool | seconds | against gic | accuracy |", "|---|---|---|---|",
    ]
    lines += [f"| {name} | {seconds:.3f} | {seconds / rows[0][1]:.2f} | {what} |" for name, seconds, what in rows]
    tell(arguments, lines, [dict(zip(("tool", "seconds", "accuracy"), row)) for row in rows])


if __name__ == "__main__":
    main()
