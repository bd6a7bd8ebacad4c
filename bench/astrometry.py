#!/usr/bin/env python3
"""Detections to world coordinates: this program beside SCAMP, on the same LDAC files, alternating, the best of --repeat.

    cargo bench --bench astrometry --no-run        # says where the program is
    bench/astrometry.py --program target/release/deps/astrometry-... [--side 2048 --stars 3000] [--work DIR]

A field of stars of known place; a detection list with the errors of windowed centroids (from 3 millipixels for bright stars), missing and spurious
entries, a catalogue with errors of Gaia's size; the header wrong by 20 arcsec, 0.1 degrees and 0.2 %. SCAMP tuned: MATCH_RESOL 2", PIXSCALE_MAXERR 1.03,
POSANGLE_MAXERR 2, one thread, no photometric solution, no plots. "error": root mean square distance per axis of a solution from the truth over a grid;
"residual": of the detected stars through the solution from their true places, the same way.
solve-field, where it is installed: the detections by brightness, an index of the same catalogue (its making is not counted), scale within 3 %, pointing within
half a degree, no plots, TAN by its tweak of the first order.
Seconds: SCAMP and solve-field as whole programs; this program's reading of the files and its solution (the best of twenty in each run), and the solution alone.
Needs numpy, astropy, scamp; astrometry.net if it is there.
"""

import argparse
import json
import pathlib
import resource
import shutil
import subprocess
import tempfile
import time

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

SCALE, POINTING = 0.38, (150.0, 24.0)


def wcs_of(crval, crpix, cd):
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval, wcs.wcs.crpix, wcs.wcs.cd = crval, crpix, cd
    return wcs


def ldac(path, header, columns):
    # Blanks at the ends of cards count: astropy would write zeros for them.
    text = header.tostring(sep="", endcard=True, padding=True).encode()
    card = fits.Column("Field Header Card", f"{len(text)}A", array=np.array([text]).view("S%d" % len(text)))
    head = fits.BinTableHDU.from_columns([card])
    head.header["EXTNAME"] = "LDAC_IMHEAD"
    head.header["TDIM1"] = f"(80, {len(text) // 80})"
    objects = fits.BinTableHDU.from_columns(columns)
    objects.header["EXTNAME"] = "LDAC_OBJECTS"
    fits.HDUList([fits.PrimaryHDU(), head, objects]).writeto(path, overwrite=True)
    content = path.read_bytes()
    path.write_bytes(content.replace(text.rstrip() + b"\0" * (len(text) - len(text.rstrip())), text))


def make(work, side, count, seed):
    generator = np.random.default_rng(seed)
    middle = (side + 1) / 2
    angle, scale = np.radians(0.1), SCALE / 3600 * 1.002
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    centre = (POINTING[0] + 14 / 3600 / np.cos(np.radians(POINTING[1])), POINTING[1] - 14 / 3600)
    truth = wcs_of(centre, (middle, middle), turn @ np.diag([-scale, scale]))
    nominal = wcs_of(POINTING, (middle, middle), np.diag([-SCALE, SCALE]) / 3600)

    wide = 1.8
    total = int(count * wide**2)
    x, y = middle + (generator.uniform(-0.5, 0.5, (2, total))) * side * wide
    magnitude = 14 + 7.5 * np.log2(1 + generator.uniform(0, 1, total) * 255) / 8
    ra, dec = truth.all_pix2world(x, y, 1)
    seen = (x > 1) & (x < side) & (y > 1) & (y < side) & (magnitude < 21.5) & (generator.uniform(size=total) > 0.05)
    # Signal to noise 5 at magnitude 21.5, limited by the sky; a centroid to the width over the signal to noise, 3 mpx at best.
    signal = 5 * 10 ** (0.4 * (21.5 - magnitude)) / np.sqrt(1 + 10 ** (0.4 * (17.5 - magnitude)))
    error = np.hypot(1.5 / signal / 2.355 * 2, 0.003)
    fx, fy = x + generator.normal(0, error), y + generator.normal(0, error)
    flux = 10 ** (-0.4 * (magnitude - 25))
    extra = count // 15
    ex, ey = generator.uniform(1, side, (2, extra))
    eflux = 10 ** (-0.4 * (generator.uniform(16, 21.5, extra) - 25))
    everything = lambda a, b: np.concatenate([a[seen], b])
    fields = {
        "XWIN_IMAGE": everything(fx, ex), "YWIN_IMAGE": everything(fy, ey),
        "ERRAWIN_IMAGE": everything(error, np.full(extra, 0.05)), "ERRBWIN_IMAGE": everything(error, np.full(extra, 0.05)),
        "ERRTHETAWIN_IMAGE": np.zeros(seen.sum() + extra),
        "FLUX_AUTO": everything(flux, eflux), "FLUXERR_AUTO": everything(flux / signal, eflux / 20),
    }
    columns = [fits.Column(name, "1D", array=values) for name, values in fields.items()]
    columns.append(fits.Column("FLAGS", "1I", array=np.zeros(seen.sum() + extra, "i2")))
    header = nominal.to_header()
    header = fits.Header([("SIMPLE", True), ("BITPIX", -32), ("NAXIS", 2), ("NAXIS1", side), ("NAXIS2", side)]) + header
    for row in (1, 2):
        for column in (1, 2):
            header[f"CD{row}_{column}"] = nominal.wcs.cd[row - 1][column - 1]
            header.remove(f"PC{row}_{column}", ignore_missing=True)
    for name in ("CDELT1", "CDELT2"):
        header.remove(name, ignore_missing=True)
    header["EXPTIME"], header["EPOCH"] = 60.0, 2000.0
    ldac(work / "sources.cat", header, columns)

    near = np.hypot((ra - POINTING[0]) * np.cos(np.radians(POINTING[1])), dec - POINTING[1]) * 3600 < SCALE * side * 0.72 + 300
    listed = near & (generator.uniform(size=total) > 0.05)
    star = generator.normal(0, 0.3 / 3.6e6, (2, listed.sum()))
    reference = {
        "X_WORLD": ra[listed] + star[0] / np.cos(np.radians(POINTING[1])), "Y_WORLD": dec[listed] + star[1],
        "ERRA_WORLD": np.full(listed.sum(), 0.3 / 3.6e6), "ERRB_WORLD": np.full(listed.sum(), 0.3 / 3.6e6),
        "MAG": magnitude[listed], "MAGERR": np.full(listed.sum(), 0.02), "OBSDATE": np.full(listed.sum(), 2000.0),
    }
    ldac(work / "reference.cat", fits.Header(), [fits.Column(name, "1D", array=values) for name, values in reference.items()])
    return truth, (x[seen], y[seen], fx[seen], fy[seen])


def solve_field(work, side):
    """The command, once lists and index are made; None where the program is missing."""
    if not (shutil.which("solve-field") and shutil.which("build-astrometry-index")):
        return None
    with fits.open(work / "sources.cat") as file:
        table = file["LDAC_OBJECTS"].data
        order = np.argsort(-table["FLUX_AUTO"])
        columns = [("X", table["XWIN_IMAGE"]), ("Y", table["YWIN_IMAGE"]), ("FLUX", table["FLUX_AUTO"])]
        fits.BinTableHDU.from_columns([fits.Column(name, "1D", array=values[order]) for name, values in columns]).writeto(work / "list.xyls", overwrite=True)
    with fits.open(work / "reference.cat") as file:
        table = file["LDAC_OBJECTS"].data
        columns = [("RA", table["X_WORLD"]), ("DEC", table["Y_WORLD"]), ("MAG", table["MAG"])]
        fits.BinTableHDU.from_columns([fits.Column(name, "1D", array=values) for name, values in columns]).writeto(work / "stars.fits", overwrite=True)
    # Quads of a tenth to a half of the field, as is advised.
    preset = {2048: 1, 4096: 3}.get(side, 2)
    made = subprocess.run(["build-astrometry-index", "-i", "stars.fits", "-o", "index.fits", "-P", str(preset), "-S", "MAG", "-E", "-I", "1"], cwd=work, capture_output=True, text=True)
    if made.returncode:
        raise SystemExit(f"build-astrometry-index failed: {made.stderr[-2000:]}")
    (work / "astrometry.cfg").write_text(f"add_path {work.resolve()}\nindex index.fits\ninparallel\n")
    scales = [f"{SCALE * share:.4f}" for share in (0.97, 1.03)]
    return [
        "solve-field", "list.xyls", "--config", "astrometry.cfg", "--overwrite", "--no-plots", "--width", str(side), "--height", str(side), "--x-column", "X",
        "--y-column", "Y", "--sort-column", "FLUX", "--scale-units", "arcsecperpix", "--scale-low", scales[0], "--scale-high", scales[1],
        "--ra", str(POINTING[0]), "--dec", str(POINTING[1]), "--radius", "0.5", "--crpix-center", "--tweak-order", "1", "--match", "none", "--rdls", "none",
        "--corr", "none", "--index-xyls", "none", "--solved", "none", "--new-fits", "none", "--temp-axy",
    ]


def figures(wcs, truth, side, stars):
    grid = np.linspace(1, side, 21)
    gx, gy = (axis.ravel() for axis in np.meshgrid(grid, grid))
    is_, should = wcs.all_pix2world(gx, gy, 1), truth.all_pix2world(gx, gy, 1)
    east = (is_[0] - should[0]) * np.cos(np.radians(should[1]))
    error = 3.6e6 * np.sqrt(np.mean(np.r_[east, is_[1] - should[1]] ** 2))
    x, y, fx, fy = stars
    found, true = wcs.all_pix2world(fx, fy, 1), truth.all_pix2world(x, y, 1)
    square = ((found[0] - true[0]) * np.cos(np.radians(true[1]))) ** 2 + (found[1] - true[1]) ** 2
    return {"error_mas": error, "residual_mas": 3.6e6 * np.sqrt(np.mean(square) / 2)}


def timed(command, work):
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, cwd=work, capture_output=True, text=True)
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"{command[0]} failed: {done.stderr[-2000:]}")
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.stdout


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", type=pathlib.Path, required=True)
    parser.add_argument("--side", type=int, default=2048)
    parser.add_argument("--stars", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("--degree", type=int, default=1, help="of SCAMP's polynomial")
    parser.add_argument("--work", type=pathlib.Path)
    parser.add_argument("--markdown", type=pathlib.Path, help="write the table to this file as well")
    options = parser.parse_args()
    work = options.work or pathlib.Path(tempfile.mkdtemp(prefix="astrometry-"))
    work.mkdir(parents=True, exist_ok=True)
    truth, stars = make(work, options.side, options.stars, options.seed)
    ours = [options.program.resolve(), "--ldac", "sources.cat", "reference.cat", *map(str, POINTING), str(SCALE), str(options.side)]
    theirs = [
        "scamp", "sources.cat", "-ASTREF_CATALOG", "FILE", "-ASTREFCAT_NAME", "reference.cat", "-ASTREFMAG_KEY", "MAG", "-ASTREFMAGERR_KEY", "MAGERR",
        "-ASTREFCENT_KEYS", "X_WORLD,Y_WORLD", "-ASTREFERR_KEYS", "ERRA_WORLD,ERRB_WORLD", "-MATCH_RESOL", "2", "-PIXSCALE_MAXERR", "1.03",
        "-POSANGLE_MAXERR", "2", "-POSITION_MAXERR", "1", "-CROSSID_RADIUS", "1.5", "-DISTORT_DEGREES", str(options.degree), "-SOLVE_PHOTOM", "N",
        "-STABILITY_TYPE", "INSTRUMENT", "-CHECKPLOT_TYPE", "NONE", "-WRITE_XML", "N", "-VERBOSE_TYPE", "QUIET", "-NTHREADS", "1",
    ]
    best = {}
    contestants = [("gic", ours), ("scamp", theirs), ("solve-field", solve_field(work, options.side))]
    contestants = [(name, command) for name, command in contestants if command]
    for _ in range(options.repeat):
        for name, command in contestants:
            wall, cpu, text = timed(command, work)
            if name == "gic":
                report = json.loads(text)
                # The program solves twenty times over; its own clock tells one of them.
                wall = cpu = report["seconds_reading"] + report["seconds_solving"]
                best["gic, solution alone"] = min(best.get("gic, solution alone", 9), report["seconds_solving"])
            for unit, value in [("wall", wall), ("processor", cpu)]:
                best[name, unit] = min(best.get((name, unit), 9e9), value)
    header = fits.Header.fromstring((work / "sources.head").read_text().replace("é", "e"), sep="\n")
    cards = report
    solutions = {
        "gic": wcs_of(cards["crval"], cards["crpix"], cards["cd"]),
        "scamp": WCS(header),
    }
    names = {"gic": "gic, reading and solution"}
    if (work / "list.wcs").exists():
        solutions["solve-field"] = WCS(fits.getheader(work / "list.wcs"))
        known = subprocess.run(["solve-field", "--version"], capture_output=True, text=True)
        names["solve-field"] = f"solve-field {(known.stdout + known.stderr).split()[-1]}"
    version = subprocess.run(["scamp", "--version"], capture_output=True, text=True).stdout.split("(")[0].strip()
    lines = [
        f"{options.side}², {options.stars} stars, {report['matches']} matched by gic, best of {options.repeat}; degree {options.degree}", "",
        "| tool | seconds | of one processor | against gic | error of the solution, mas | residual of the detections, mas |", "|---|---|---|---|---|---|",
    ]
    names["scamp"] = version
    for name, wcs in solutions.items():
        result = figures(wcs, truth, options.side, stars)
        ratio = best[name, "processor"] / best["gic", "processor"]
        lines.append(
            f"| {names[name]} | {best[name, 'wall']:.4f} | {best[name, 'processor']:.4f} | {ratio:.1f} | {result['error_mas']:.2f} | {result['residual_mas']:.2f} |"
        )
    lines.append(f"| gic, the solution alone | {best['gic, solution alone']:.4f} | | | | |")
    text = "\n".join(lines)
    print(text)
    if options.markdown:
        options.markdown.write_text(text + "\n")


if __name__ == "__main__":
    main()
