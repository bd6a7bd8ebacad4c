#!/usr/bin/env python3
"""This program beside the tools of the trade, on the same frames, in one run: seconds, ratios, accuracy against the truth.

    bench/compare.py --gic target/release/gic [--size 2048 --stars 3000] [--work DIR] [--markdown FILE]

A synthetic raw frame (16 bits, tile-compressed) with bias, dark current, flat, stars of known place and brightness, and masters, made by
numpy. Steps: reduction (`gic reduction`, numpy, ccdproc with uncertainty if it is installed), extraction (`gic findstars`,
source-extractor with the same measurements, sep). Whole commands are timed for programs (start, reading and writing included), calls for
libraries (reading and writing included, imports not); the best of --repeat. Needs numpy and astropy; sep, ccdproc, source-extractor and
fpack are used where they are there, and named where they are not.
"""

import argparse
import importlib.metadata
import json
import math
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

import numpy as np
from astropy.io import fits

GAIN, READ_NOISE, BIAS, SKY, SECONDS, ZERO_POINT = 2.0, 8.0, 600.0, 300.0, 60.0, 23.3
FWHM, BETA = 3.5, 3.0


def moffat_core(fwhm):
    """Core radius of a Moffat profile of this full width at half maximum."""
    return fwhm / (2 * math.sqrt(2 ** (1 / BETA) - 1))


def moffat_light(size, x, y, electrons, core, faint_reach=12):
    """Electrons of stars of Moffat profile, of one core radius or one each; what of them is on the frame."""
    light = np.zeros((size, size))
    # Three by three Gauss points in each pixel: the light that falls on it, not that at its centre.
    node, weights = math.sqrt(0.6) / 2, np.array([5, 8, 5]) / 18
    for xi, yi, flux, radius in zip(x, y, electrons, np.broadcast_to(core, len(x))):
        reach = faint_reach if flux < 2e4 else 40
        column, row = int(round(xi)), int(round(yi))
        rows = np.arange(max(row - reach, 0), min(row + reach + 1, size))
        columns = np.arange(max(column - reach, 0), min(column + reach + 1, size))
        if not len(rows) or not len(columns):
            continue
        stamp = 0
        for i, dy in enumerate((-node, 0, node)):
            for j, dx in enumerate((-node, 0, node)):
                square = (rows[:, None] + dy - yi) ** 2 + (columns[None, :] + dx - xi) ** 2
                stamp = stamp + weights[i] * weights[j] * (1 + square / radius**2) ** -BETA
        light[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] += flux * (BETA - 1) / math.pi / radius**2 * stamp
    return light


def stars_light(size, count, generator):
    """Electrons of stars alone, and their table x, y, magnitude, electrons: 14 to 22, twice as many a magnitude fainter."""
    x, y = generator.uniform(6, size - 7, (2, count))
    magnitude = 14 + 8 * np.log2(1 + generator.uniform(0, 1, count) * 255) / 8
    electrons = 10 ** (-0.4 * (magnitude - ZERO_POINT)) * SECONDS
    return moffat_light(size, x, y, electrons, moffat_core(FWHM)), np.c_[x, y, magnitude, electrons]


def make(work, size, count, seed):
    generator = np.random.default_rng(seed)
    light, truth = stars_light(size, count, generator)
    rows, columns = np.mgrid[0:size, 0:size] / size
    flat = (1 + 0.05 * np.cos(3 * rows) * np.sin(2 * columns) + generator.normal(0, 0.01, (size, size))).astype("f4")
    flat /= np.median(flat)
    bias = (BIAS + 5 * columns + generator.normal(0, 0.3, (size, size))).astype("f4")
    dark = np.full((size, size), 0.02, "f4") + (generator.uniform(0, 1, (size, size)) < 1e-4) * np.float32(5)
    electrons = generator.poisson((light + SKY) * flat + GAIN * dark * SECONDS) + generator.normal(0, READ_NOISE, light.shape)
    raw = np.clip(np.round(electrons / GAIN + bias), 0, 65535).astype("u2")
    cards = {
        "EXPTYPE": "object", "EXPTIME": SECONDS, "DATE-OBS": "2026-11-02T04:20:00.000", "INSTRUME": "C0", "FILTER": "w",
        "GAIN": GAIN, "RDNOISE": READ_NOISE, "SATURATE": 65000.0,
    }
    header = fits.Header(cards)
    fits.CompImageHDU(raw, header, compression_type="RICE_1").writeto(work / "frame.fits.fz", overwrite=True)
    for name, plane in [("bias", bias), ("dark", dark), ("flat", flat)]:
        master = fits.Header({"EXPTYPE": name, "EXPTIME": 1.0 if name == "dark" else 0.0, "BUNIT": "adu/s" if name == "dark" else "adu"})
        fits.writeto(work / f"{name}.fits", plane, master, overwrite=True)
    return truth


def best(repeat, call):
    times = []
    for _ in range(repeat):
        began = time.perf_counter()
        result = call()
        times.append(time.perf_counter() - began)
    return min(times), result


def command(*words):
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{words[0]} ended with {done.returncode}: {done.stderr[-2000:]}")
    return done


def version(package):
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def reduction(work, gic, repeat, rows):
    def ours_with(cosmic_rays):
        (work / "reduction.cfg").write_text(
            f"[Calibration]\nbias = {work}/bias.fits\ndark = {work}/dark.fits\nflat = {work}/flat.fits\n"
            f"[Parameters]\ncalibrations = none\ncosmic_rays = {cosmic_rays}\n"
        )
        words = (gic, "reduction", "-s", work / "frame.fits.fz", "-r", work / "ours", "-c", work / "reduction.cfg")
        return best(repeat, lambda: command(*words))[0]

    with_cosmic_rays = ours_with("always")
    ours = ours_with("never")
    reduced = work / "ours" / "frame_reduced.fits"
    read = lambda name: fits.getdata(work / name).astype("f4")
    formula = GAIN * (read("frame.fits.fz") - read("bias.fits") - SECONDS * read("dark.fits")) / read("flat.fits")
    with fits.open(reduced) as units:
        good = units["MASK"].data == 0
        difference = float(np.max(np.abs(units[0].data - formula)[good])) / GAIN
    rows.append(("reduction", "gic", ours, f"to the formula {difference:.1e} ADU; with variance and mask"))

    def with_numpy():
        frame, bias, dark, flat = (read(name) for name in ("frame.fits.fz", "bias.fits", "dark.fits", "flat.fits"))
        frame -= bias
        dark *= SECONDS
        frame -= dark
        frame /= flat
        frame *= GAIN
        fits.writeto(work / "numpy.fits", frame, overwrite=True)

    rows.append(("reduction", f"numpy {np.__version__}", best(repeat, with_numpy)[0], "neither variance nor mask"))
    if version("ccdproc"):
        import astropy.units as u
        import ccdproc
        from astropy.nddata import CCDData

        def with_ccdproc():
            plane = lambda name, unit="adu": CCDData(read(name), unit=unit)
            frame = ccdproc.create_deviation(plane("frame.fits.fz"), gain=GAIN * u.electron / u.adu, readnoise=READ_NOISE * u.electron)
            frame = ccdproc.subtract_bias(frame, plane("bias.fits"))
            frame = ccdproc.subtract_dark(
                frame, plane("dark.fits"), dark_exposure=1 * u.s, data_exposure=SECONDS * u.s, scale=True
            )
            frame = ccdproc.flat_correct(frame, plane("flat.fits", ""))
            ccdproc.gain_correct(frame, GAIN * u.electron / u.adu).write(work / "ccdproc.fits", overwrite=True)

        rows.append(("reduction", f"ccdproc {version('ccdproc')}", best(repeat, with_ccdproc)[0], "with uncertainty"))
    night(work, gic, repeat, rows, read)
    rows.append(("cosmic rays", "gic", with_cosmic_rays - ours, "L.A.Cosmic and trails: reduction with them less reduction without"))
    if version("astroscrappy"):
        import astroscrappy

        pixels = np.ascontiguousarray(fits.getdata(reduced).astype("f4"))
        clean = lambda: astroscrappy.detect_cosmics(pixels, gain=1.0, readnoise=READ_NOISE, satlevel=1e6, sepmed=True, cleantype="medmask")
        rows.append(("cosmic rays", f"astroscrappy {version('astroscrappy')}", best(1, clean)[0], "separable medians, the call alone"))
    return reduced


def night(work, gic, repeat, rows, read):
    """As in a night: masters are read once, before the frames. Seconds of each further frame: those of eleven less those of one, over ten."""
    frames = work / "frames"
    frames.mkdir(exist_ok=True)
    paths = [frames / f"f{number:02}.fits.fz" for number in range(11)]
    for path in paths:
        shutil.copy(work / "frame.fits.fz", path)

    def seconds_of(call):
        def further():
            shutil.rmtree(work / "reduced", ignore_errors=True)
            (work / "reduced").mkdir()
            began = time.perf_counter()
            call(paths[:1])
            between = time.perf_counter()
            shutil.rmtree(work / "reduced", ignore_errors=True)
            (work / "reduced").mkdir()
            again = time.perf_counter()
            call(paths)
            return (time.perf_counter() - again - (between - began)) / (len(paths) - 1)

        return min(further() for _ in range(repeat))

    ours = lambda frames: command(gic, "reduction", "-s", *frames, "-r", work / "reduced", "-c", work / "reduction.cfg")
    rows.append(("further frame reduced", "gic", seconds_of(ours), "masters read once; with variance and mask"))
    bias, dark, flat = (read(name) for name in ("bias.fits", "dark.fits", "flat.fits"))
    dark *= SECONDS

    def with_numpy(frames):
        for path in frames:
            frame = fits.getdata(path).astype("f4")
            frame -= bias
            frame -= dark
            frame /= flat
            frame *= GAIN
            fits.writeto(work / "reduced" / f"{path.name}.fits", frame)

    rows.append(("further frame reduced", f"numpy {np.__version__}", seconds_of(with_numpy), "masters in memory; neither variance nor mask"))
    if version("ccdproc"):
        import astropy.units as u
        import ccdproc
        from astropy.nddata import CCDData

        masters = [CCDData(plane, unit=unit) for plane, unit in ((bias, "adu"), (dark, "adu"), (flat, ""))]

        def with_ccdproc(frames):
            for path in frames:
                frame = CCDData(fits.getdata(path).astype("f4"), unit="adu")
                frame = ccdproc.create_deviation(frame, gain=GAIN * u.electron / u.adu, readnoise=READ_NOISE * u.electron)
                frame = ccdproc.subtract_bias(frame, masters[0])
                frame = ccdproc.subtract_dark(frame, masters[1], dark_exposure=SECONDS * u.s, data_exposure=SECONDS * u.s)
                frame = ccdproc.flat_correct(frame, masters[2], norm_value=1.0)
                ccdproc.gain_correct(frame, GAIN * u.electron / u.adu).write(work / "reduced" / f"{path.name}.fits")

        rows.append(("further frame reduced", f"ccdproc {version('ccdproc')}", seconds_of(with_ccdproc), "masters in memory; with uncertainty"))
    shutil.rmtree(work / "reduced", ignore_errors=True)


def judged(table, truth, size):
    """How well a list of x, y, flux, total flux, signal to noise does against the truth."""
    from scipy.spatial import cKDTree

    inside = (truth[:, 0] > 12) & (truth[:, 1] > 12) & (truth[:, 0] < size - 13) & (truth[:, 1] < size - 13)
    lone = cKDTree(truth[:, :2]).query(truth[:, :2], k=2)[0][:, 1] > 15
    found = cKDTree(table[:, :2])
    distance, place = found.query(truth[:, :2])
    hit = distance < 2
    edges = np.arange(17, 22.01, 0.25)
    shares = [np.mean(hit[inside & (truth[:, 2] >= low) & (truth[:, 2] < low + 0.25)]) for low in edges[:-1]]
    faint = next((index for index, share in enumerate(shares) if share < 0.5), len(shares) - 1)
    slope = shares[faint - 1] - shares[faint]
    depth = edges[faint] - 0.125 + 0.25 * ((shares[faint - 1] - 0.5) / slope if slope > 0 else 0)
    purity = float(np.mean(cKDTree(truth[:, :2]).query(table[:, :2])[0] < 2))
    bright = hit & inside & lone & (truth[:, 2] > 15.5) & (truth[:, 2] < 18)
    offsets = table[place[bright], :2] - truth[bright, :2]
    robust = lambda values: 1.4826 * np.median(np.abs(values - np.median(values)))
    scatter = [robust(-2.5 * np.log10(table[place[bright], column] / truth[bright, 3])) * 1000 for column in (2, 3)]
    return (
        f"50 % at {depth:.2f}, purity {purity:.3f}, centroid {math.sqrt(np.mean(offsets**2)):.4f} px, "
        f"aperture {scatter[0]:.1f} mmag, AUTO {scatter[1]:.1f} mmag, {len(table)} sources"
    )


def extraction(work, gic, repeat, rows, reduced, truth, size):
    (work / "findstars.cfg").write_text("[Parameters]\nthreshold_sigma = 4.8\nminimum_pixels = 5\nfilter_fwhm = 3.0\nspread_model = no\n")
    ours, _ = best(repeat, lambda: command(gic, "findstars", "-s", reduced, "-r", work / "ours", "-c", work / "findstars.cfg"))
    data = fits.getdata(work / "ours" / "frame_sources.fits", 1)
    table = np.c_[data["X"] - 1, data["Y"] - 1, data["FLUX"], data["FLUXAUTO"]]
    rows.append(("extraction", "gic", ours, judged(table, truth, size)))
    image = work / "image.fits"
    with fits.open(reduced) as units:
        fits.writeto(image, units[0].data, overwrite=True)
    program = shutil.which("source-extractor") or shutil.which("sex")
    if program:
        share = next(path for path in ("/usr/share/source-extractor", "/usr/share/sextractor") if os.path.isdir(path))
        (work / "sex.param").write_text(
            "X_IMAGE\nY_IMAGE\nXWIN_IMAGE\nYWIN_IMAGE\nERRAWIN_IMAGE\nFLUX_APER(2)\nFLUXERR_APER(2)\nFLUX_AUTO\nFLUXERR_AUTO\nFLUX_ISO\n"
            "KRON_RADIUS\nFLUX_RADIUS\nA_IMAGE\nB_IMAGE\nTHETA_IMAGE\nFLUX_MAX\nFWHM_IMAGE\nFLAGS\nISOAREA_IMAGE\n"
        )
        words = [
            program, image, "-c", f"{share}/default.sex", "-PARAMETERS_NAME", work / "sex.param", "-FILTER_NAME",
            f"{share}/gauss_3.0_5x5.conv", "-CATALOG_NAME", work / "sex.fits", "-CATALOG_TYPE", "FITS_1.0", "-DETECT_THRESH", "1.5",
            "-ANALYSIS_THRESH", "1.5", "-DETECT_MINAREA", "5", "-PHOT_APERTURES", "8,12", "-GAIN", "1.0", "-BACK_SIZE", "64",
            "-VERBOSE_TYPE", "QUIET", "-SATUR_LEVEL", "1e6",
        ]
        words = [word for word in words]
        seconds, _ = best(repeat, lambda: command(*words))
        data = fits.getdata(work / "sex.fits", 1)
        table = np.c_[data["XWIN_IMAGE"] - 1, data["YWIN_IMAGE"] - 1, data["FLUX_APER"][:, 0], data["FLUX_AUTO"]]
        name = subprocess.run([program, "--version"], capture_output=True, text=True).stdout.split("(")[0].strip()
        rows.append(("extraction", name, seconds, judged(table, truth, size)))
    else:
        print("source-extractor is not there: left out", file=sys.stderr)
    if version("sep"):
        import sep

        def with_sep():
            pixels = fits.getdata(image).astype("f4")
            background = sep.Background(pixels)
            pixels = pixels - background.back()
            found = sep.extract(pixels, 1.5, err=background.globalrms, minarea=5)
            x, y, a, b, theta = (found[key] for key in ("x", "y", "a", "b", "theta"))
            aperture, _, _ = sep.sum_circle(pixels, x, y, 4.0, err=background.globalrms, gain=1.0)
            kron, _ = sep.kron_radius(pixels, x, y, a, b, theta, 6.0)
            automatic, _, _ = sep.sum_ellipse(pixels, x, y, a, b, theta, np.maximum(2.5 * kron, 3.5), err=background.globalrms)
            half, _ = sep.flux_radius(pixels, x, y, 6 * a, 0.5, normflux=automatic, subpix=5)
            xwin, ywin, _ = sep.winpos(pixels, x, y, np.clip(2 / 2.35 * half, 0.5, 10))
            return np.c_[xwin, ywin, aperture, automatic]

        seconds, table = best(repeat, with_sep)
        rows.append(("extraction", f"sep {sep.__version__}", seconds, judged(table, truth, size)))


def options(documentation):
    """The options that all scripts of this kind have; more may be added."""
    parser = argparse.ArgumentParser(description=documentation.splitlines()[0])
    parser.add_argument("--gic", default="target/release/gic")
    parser.add_argument("--size", type=int, default=2048)
    parser.add_argument("--stars", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--work", help="directory to work in; kept")
    parser.add_argument("--markdown", help="write the table to this file as well")
    parser.add_argument("--json", action="store_true")
    return parser


def places(arguments, prefix):
    """The program and the directory to work in."""
    work = pathlib.Path(arguments.work or tempfile.mkdtemp(prefix=prefix)).resolve()
    work.mkdir(parents=True, exist_ok=True)
    return pathlib.Path(arguments.gic).resolve(), work


def tell(arguments, lines, records):
    """Prints the table, or the records as JSON, and writes the table where it was asked for."""
    text = "\n".join(lines)
    print(json.dumps(records, indent=1) if arguments.json else text)
    if arguments.markdown:
        pathlib.Path(arguments.markdown).write_text(text + "\n")


def main():
    arguments = options(__doc__).parse_args()
    gic, work = places(arguments, "gic-compare-")
    truth = make(work, arguments.size, arguments.stars, arguments.seed)
    rows = []
    reduced = reduction(work, gic, arguments.repeat, rows)
    extraction(work, gic, arguments.repeat, rows, reduced, truth, arguments.size)
    if not arguments.work:
        shutil.rmtree(work)
    ours = {step: seconds for step, name, seconds, _ in rows if name == "gic"}
    lines = [
        f"{arguments.size}², {arguments.stars} stars, {os.cpu_count()} cores, best of {arguments.repeat}", "",
        "| step | tool | seconds | against gic | accuracy |", "|---|---|---|---|---|",
    ]
    for step, name, seconds, accuracy in rows:
        lines.append(f"| {step} | {name} | {seconds:.3f} | {seconds / ours[step]:.2f} | {accuracy} |")
    tell(arguments, lines, [dict(zip(("step", "tool", "seconds", "accuracy"), row)) for row in rows])


if __name__ == "__main__":
    main()
