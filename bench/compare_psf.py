#!/usr/bin/env python3
"""The point-spread function of a frame beside PSFEx, on the same frames, in one run: seconds, ratios, residuals and fluxes to the truth.

    bench/compare_psf.py --gic target/release/gic [--size 2048 --stars 3000] [--varying] [--work DIR] [--markdown FILE]

A synthetic raw frame as in compare.py (with --varying its profile grows and is drawn out towards the corners), reduced by `gic reduction`.
Ours: `gic findstars` with `psf_photometry` less the same without it, so that the fit of the profile and the fluxes of all sources are in
the time. PSFEx: the whole command after its catalogue (vignettes of 35 pixels by source-extractor), PIXEL_AUTO, degree 2, no check plots.
Its fluxes come from source-extractor with that model (not in the time). The two take turns, the best of --repeat counts. Chi-square: ours
the median over bright lone stars of the reduced one of their windows, that of PSFEx from its XML. Photometry: scatter of lone
stars of more than 100 000 electrons about the truth, and centroids as they are in the tables. Needs numpy, scipy and astropy.
"""

import math
import os
import re
import shutil
import subprocess
import time

import numpy as np
from astropy.io import fits
from scipy.spatial import cKDTree

import compare
from compare import command, options, places, tell

FWHM, BETA = compare.FWHM, compare.BETA
# Two magnitudes deeper than there: of 3000 stars two in three are found, and one in ten shows more than the photons' noise.
ZERO_POINT = 24.5


def varying_light(size, count, generator):
    """As compare.stars_light, with a profile that is wider by a tenth and drawn out radially by a tenth in the corners."""
    x, y = generator.uniform(6, size - 7, (2, count))
    magnitude = 14 + 8 * np.log2(1 + generator.uniform(0, 1, count) * 255) / 8
    electrons = 10 ** (-0.4 * (magnitude - compare.ZERO_POINT)) * compare.SECONDS
    light = np.zeros((size, size))
    node, weights = math.sqrt(0.6) / 2, np.array([5, 8, 5]) / 18
    for xi, yi, flux in zip(x, y, electrons):
        u, v = (xi - size / 2) / (size / 2), (yi - size / 2) / (size / 2)
        square = (u * u + v * v) / 2
        core = FWHM * (1 + 0.1 * square) / (2 * math.sqrt(2 ** (1 / BETA) - 1))
        # A shear that grows with the square of the distance from the centre, along the radius.
        e1, e2 = 0.05 * (u * u - v * v), 0.05 * 2 * u * v
        reach = 12 if flux < 2e4 else 40
        column, row = int(round(xi)), int(round(yi))
        rows = np.arange(max(row - reach, 0), min(row + reach + 1, size))
        columns = np.arange(max(column - reach, 0), min(column + reach + 1, size))
        stamp = 0
        for i, dy in enumerate((-node, 0, node)):
            for j, dx in enumerate((-node, 0, node)):
                p, q = columns[None, :] + dx - xi, rows[:, None] + dy - yi
                a, b = (1 - e1) * p - e2 * q, -e2 * p + (1 + e1) * q
                stamp = stamp + weights[i] * weights[j] * (1 + (a * a + b * b) / core**2) ** -BETA
        determinant = 1 - e1 * e1 - e2 * e2
        light[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] += flux * determinant * (BETA - 1) / math.pi / core**2 * stamp
    return light, np.c_[x, y, magnitude, electrons]


def judged(table, truth, size):
    """Scatter and offset of bright lone stars: table of x, y, flux, chi-square (or NaN)."""
    # Nothing within 20 pixels that has a hundredth of the light.
    near = cKDTree(truth[:, :2]).query_ball_point(truth[:, :2], 20)
    lone = np.array([truth[others, 3].sum() - flux < 0.01 * flux for others, flux in zip(near, truth[:, 3])])
    inside = (truth[:, :2] > 25).all(1) & (truth[:, :2] < size - 26).all(1)
    distance, place = cKDTree(table[:, :2]).query(truth[:, :2])
    bright = lone & inside & (distance < 1) & (truth[:, 3] > 1e5)
    found, true = table[place[bright]], truth[bright]
    good = np.isfinite(found[:, 2]) & (found[:, 2] > 0)
    found, true = found[good], true[good]
    magnitudes = -2.5 * np.log10(found[:, 2] / true[:, 3]) * 1000
    centroid = math.sqrt(np.mean((found[:, :2] - true[:, :2]) ** 2))
    photons = 1085.7 * np.median(1 / np.sqrt(true[:, 3]))
    rms = math.sqrt(np.mean((magnitudes - np.median(magnitudes)) ** 2))
    scatter = 1.4826 * np.median(np.abs(magnitudes - np.median(magnitudes)))
    return dict(
        stars=int(good.sum()), scatter_mmag=scatter, rms_mmag=rms, offset_mmag=float(np.median(magnitudes)), photons_mmag=photons,
        centroid=centroid, chi_square=float(np.nanmedian(found[:, 3])) if np.isfinite(found[:, 3]).any() else math.nan,
    )


def main():
    parser = options(__doc__)
    parser.add_argument("--varying", action="store_true", help="a profile that varies over the frame")
    arguments = parser.parse_args()
    gic, work = places(arguments, "gic-psf-")
    compare.ZERO_POINT = ZERO_POINT
    if arguments.varying:
        compare.stars_light = varying_light
    truth = compare.make(work, arguments.size, arguments.stars, arguments.seed)
    (work / "reduction.cfg").write_text(
        f"[Calibration]\nbias = {work}/bias.fits\ndark = {work}/dark.fits\nflat = {work}/flat.fits\n[Parameters]\ncalibrations = none\n"
    )
    command(gic, "reduction", "-s", work / "frame.fits.fz", "-r", work / "ours", "-c", work / "reduction.cfg")
    reduced = work / "ours" / "frame_reduced.fits"
    common = "[Parameters]\nthreshold_sigma = 4.0\nminimum_pixels = 5\nfilter_fwhm = 3.0\n"
    (work / "with.cfg").write_text(common + "psf_photometry = yes\n")
    (work / "without.cfg").write_text(common + "psf_photometry = no\n")

    image = work / "image.fits"
    with fits.open(reduced) as units:
        fits.writeto(image, units[0].data, overwrite=True)
    extractor = shutil.which("source-extractor") or shutil.which("sex")
    psfex = shutil.which("psfex")
    share = next((path for path in ("/usr/share/source-extractor", "/usr/share/sextractor") if os.path.isdir(path)), None)

    def extract(*more, parameters, catalogue, kind):
        (work / "sex.param").write_text(parameters)
        command(
            extractor, image, "-c", f"{share}/default.sex", "-PARAMETERS_NAME", work / "sex.param", "-FILTER_NAME",
            f"{share}/gauss_3.0_5x5.conv", "-CATALOG_NAME", work / catalogue, "-CATALOG_TYPE", kind, "-DETECT_THRESH", "4",
            "-ANALYSIS_THRESH", "4", "-DETECT_MINAREA", "5", "-PHOT_APERTURES", "12", "-GAIN", "1.0", "-BACK_SIZE", "64",
            "-VERBOSE_TYPE", "QUIET", "-SATUR_LEVEL", "130000", *more,
        )

    if psfex and extractor:
        extract(
            parameters="X_IMAGE\nY_IMAGE\nFLUX_RADIUS\nSNR_WIN\nFLUX_APER(1)\nFLUXERR_APER(1)\nELONGATION\nFLAGS\nVIGNET(35,35)\n",
            catalogue="psf.cat", kind="FITS_LDAC",
        )
        (work / "default.psfex").write_text(subprocess.run([psfex, "-d"], capture_output=True, text=True).stdout)
    times = {"with": [], "without": [], "psfex": []}
    processor = {"with": [], "without": [], "psfex": []}

    def timed(name, call):
        before, began = os.times(), time.perf_counter()
        call()
        times[name].append(time.perf_counter() - began)
        processor[name].append(sum(os.times()[2:4]) - sum(before[2:4]))

    for _ in range(arguments.repeat):
        for name in ("without", "with"):
            timed(name, lambda: command(gic, "findstars", "-s", reduced, "-r", work / "ours", "-c", work / f"{name}.cfg"))
        if psfex and extractor:
            timed("psfex", lambda: command(
                psfex, work / "psf.cat", "-c", work / "default.psfex", "-BASIS_TYPE", "PIXEL_AUTO", "-PSFVAR_DEGREES", "2", "-PSF_SIZE", "35,35",
                "-SAMPLE_MINSN", "20", "-SAMPLE_FWHMRANGE", "2,10", "-SAMPLE_VARIABILITY", "0.3", "-CHECKPLOT_TYPE", "NONE",
                "-CHECKPLOT_DEV", "NULL", "-CHECKIMAGE_TYPE", "NONE", "-NTHREADS", "2", "-VERBOSE_TYPE", "QUIET", "-WRITE_XML", "Y", "-XML_NAME",
                work / "psfex.xml", "-PSF_DIR", work,
            ))
    data = fits.getdata(work / "ours" / "frame_sources.fits", 1)
    names = data.columns.names
    chi = data["CHI2PSF"] if "CHI2PSF" in names else np.full(len(data), np.nan)
    ours = judged(np.c_[data["X"] - 1, data["Y"] - 1, data["FLUXPSF"], chi], truth, arguments.size)
    seconds = min(times["with"]) - min(times["without"])
    cpu = min(processor["with"]) - min(processor["without"])
    rows = [("gic", seconds, cpu, ours, f"{len(data)} fluxes in the time; findstars {min(times['with']):.3f} s with it, {min(times['without']):.3f} s without")]
    if psfex and extractor:
        xml = (work / "psfex.xml").read_text()
        fields = re.findall(r'<FIELD name="([^"]+)"', xml[xml.index('name="PSF_Fields"') :])
        cells = re.findall(r"<TD>([^<]*)</TD>", xml[xml.index('name="PSF_Fields"') :])
        known = dict(zip(fields, cells))
        extract(
            "-PSF_NAME", work / "psf.psf", parameters="XWIN_IMAGE\nYWIN_IMAGE\nXPSF_IMAGE\nYPSF_IMAGE\nFLUX_PSF\nCHI2_PSF\nFLAGS\n", catalogue="psfflux.fits",
            kind="FITS_1.0",
        )
        data = fits.getdata(work / "psfflux.fits", 1)
        theirs = judged(
            np.c_[data["XPSF_IMAGE"] - 1, data["YPSF_IMAGE"] - 1, data["FLUX_PSF"], np.full(len(data), np.nan)], truth, arguments.size
        )
        theirs["chi_square"] = float(known.get("Chi2_Mean", "nan"))
        name = subprocess.run([psfex, "--version"], capture_output=True, text=True).stdout.split("(")[0].strip() or "PSFEx"
        rows.append((name, min(times["psfex"]), min(processor["psfex"]), theirs, f"{known.get('NStars_Accepted_Total', '?')} stars accepted, PIXEL_AUTO, degree 2"))
    if not arguments.work:
        shutil.rmtree(work)
    lines = [
        f"{arguments.size}², {arguments.stars} stars, {'varying' if arguments.varying else 'one'} profile, {os.cpu_count()} cores, "
        f"best of {arguments.repeat}", "",
        "| tool | seconds | against gic | CPU seconds | against gic | chi-square | scatter, rms (photons), mmag | offset, mmag | centroid, px | stars | |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, wall, busy, figures, what in rows:
        lines.append(
            f"| {name} | {wall:.3f} | {wall / seconds:.2f} | {busy:.2f} | {busy / cpu:.2f} | {figures['chi_square']:.3f} | {figures['scatter_mmag']:.2f}, {figures['rms_mmag']:.2f} "
            f"({figures['photons_mmag']:.2f}) | {figures['offset_mmag']:+.2f} | {figures['centroid']:.4f} | {figures['stars']} | {what} |"
        )
    tell(arguments, lines, [dict(tool=row[0], seconds=row[1], cpu_seconds=row[2], what=row[4], **row[3]) for row in rows])


if __name__ == "__main__":
    main()
