#!/usr/bin/env python3
"""Alignment and stack beside the tools of the trade, on the same frames, in one run: seconds, ratios, accuracy against the truth.

    bench/compare_stack.py --gic target/release/gic [--size 2048 --stars 3000 --frames 10] [--work DIR] [--markdown FILE]

Frames of one field, made by numpy: shifted by up to 15 pixels and turned by up to 0.05 degrees, seeing of 3.0 to 4.2 pixels, transparency within
0.3 mag, cosmic rays, a satellite trail in one. `gic reduction` and `gic photometry` prepare them (not timed): reduced, solved, calibrated.
Then each tool reads the reduced frames and writes what it makes of them: one frame on the grid of the first (`gic alignment` of both, one thread;
SWarp LANCZOS3; astroalign), and the stack of all (`gic stacking`; SWarp CLIPPED, MEDIAN, WEIGHTED with the coordinates and the flux scales that gic has
found). gic carries variance and mask along and writes them; SWarp writes a weight map. Whole commands are timed for programs, calls for libraries; the tools take turns,
the best of --repeat counts. "a further frame" is the difference between commands with all frames and with one, for each frame more.

Against the truth: centroids (sep, windowed) of lone stars brighter than 17, root mean square per axis after the mean is taken off; the flux of these in 8 pixels above the sky beside them (median
and robust scatter against that on the unaligned frame, for the stack against the truth); the noise of empty apertures of 4 pixels in one frame over that in the stack;
pixels hit by cosmic rays, or crossed by the trail, that are more than five standard deviations above the sky.
Needs numpy, scipy, astropy, sep and gic; SWarp and astroalign are used where they are there.
"""

import math
import os
import shutil
import subprocess
import sys
import time

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from scipy.spatial import cKDTree

from compare import command, moffat_core, moffat_light, options, places, tell, version

GAIN, READ_NOISE, BIAS, SKY, SECONDS, ZERO_POINT, SCALE = 2.0, 8.0, 600.0, 300.0, 60.0, 23.3, 0.35 / 3600
APERTURE, BRIGHTEST, FAINTEST = 8.0, 14.5, 17.0


def coordinates(size, shift, degrees):
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = [110.0, 24.0]
    wcs.wcs.crpix = [(size + 1) / 2 + shift[0], (size + 1) / 2 + shift[1]]
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    wcs.wcs.cd = SCALE * np.array([[-cosine, sine], [sine, cosine]])
    return wcs


def make(work, size, count, frames, seed):
    """The raw frames; the stars on the grid of the first; where cosmic rays and the trail are, as world coordinates."""
    generator = np.random.default_rng(seed)
    reference = coordinates(size, (0, 0), 0)
    x, y = generator.uniform(-20, size + 20, (2, count))
    magnitude = 14 + 8 * np.log2(1 + generator.uniform(0, 1, count) * 255) / 8
    ra, dec = reference.pixel_to_world_values(x, y)
    with open(work / "catalogue.csv", "w") as table:
        table.write("id,kind,ra,dec,mag\n")
        for number in np.flatnonzero(magnitude < 20.5):
            table.write(f"{number},star,{ra[number]:.8f},{dec[number]:.8f},{magnitude[number]:.4f}\n")
    disturbed = []
    (work / "raw").mkdir(exist_ok=True)
    for index in range(frames):
        shift = (0, 0) if index == 0 else generator.uniform(-15, 15, 2)
        wcs = coordinates(size, shift, 0 if index == 0 else generator.uniform(-0.05, 0.05))
        transparency = 1 if index == 0 else 10 ** (-0.4 * generator.uniform(0, 0.3))
        electrons = 10 ** (-0.4 * (magnitude - ZERO_POINT)) * SECONDS * transparency
        xi, yi = wcs.world_to_pixel_values(ra, dec)
        # The best seeing is not the first frame's.
        fwhm = 3.5 if index == 0 else generator.uniform(3.0, 4.2)
        light = moffat_light(size, xi, yi, electrons, moffat_core(fwhm)) + SKY
        pixels = generator.poisson(light) + generator.normal(0, READ_NOISE, light.shape)
        rows, columns = generator.integers(20, size - 20, (2, int(4e-5 * size * size)))
        pixels[rows, columns] += generator.exponential(3000, len(rows)) + 1500
        hits = [(rows, columns)]
        if index == 2:
            along = np.arange(30, size - 30)
            across = (size // 5 + along * 0.4).astype(int)
            for offset, charge in ((-1, 300), (0, 900), (1, 300)):
                pixels[across + offset, along] += charge
            hits.append((across, along))
        for rows, columns in hits:
            sky = light[rows, columns] < SKY + 5
            disturbed.append(reference.world_to_pixel_values(*wcs.pixel_to_world_values(columns[sky], rows[sky])))
        raw = np.clip(np.round(pixels / GAIN + BIAS), 0, 65535).astype("u2")
        header = wcs.to_header()
        header.update(
            {"EXPTYPE": "object", "EXPTIME": SECONDS, "DATE-OBS": f"2026-11-02T04:{20 + index}:00.000", "INSTRUME": "C0", "FILTER": "w",
             "GAIN": GAIN, "RDNOISE": READ_NOISE, "SATURATE": 65000.0}
        )
        fits.CompImageHDU(raw, header, compression_type="RICE_1").writeto(work / "raw" / f"20261102T04{20 + index}00C0o.fits.fz", overwrite=True)
    fits.writeto(work / "bias.fits", np.full((size, size), BIAS, "f4"), fits.Header({"EXPTYPE": "bias", "EXPTIME": 0.0}), overwrite=True)
    return np.c_[x, y, magnitude], np.concatenate([np.array(place) for place in disturbed], axis=1)


def prepared(work, gic):
    """The reduced, solved, calibrated frames; plain images of them for SWarp, with the scale of their fluxes."""
    (work / "reduction.cfg").write_text(
        f"[Calibration]\nbias = {work}/bias.fits\n[Parameters]\ncalibrations = none\ncosmic_rays = never\n"
    )
    command(gic, "reduction", "-s", work / "raw", "-r", work / "reduced", "-c", work / "reduction.cfg")
    reduced = sorted((work / "reduced").glob("*_reduced.fits"))
    command(gic, "photometry", "-s", *reduced, "-r", work / "reduced", "--catalog", work / "catalogue.csv")
    plain = []
    for path in reduced:
        header = fits.getheader(path)
        if header["WCSSTAT"] != "solved":
            raise RuntimeError(f"{path.name} is not solved")
        card = fits.Header({"FLXSCALE": 10 ** (0.4 * (fits.getheader(reduced[0])["ZPMAG"] - header["ZPMAG"]))})
        card.extend(WCS(header).to_header(relax=True))
        plain.append(work / f"plain_{path.name}")
        fits.writeto(plain[-1], fits.getdata(path), card, overwrite=True)
    return reduced, plain


def lone(truth, size):
    inside = np.all((truth[:, :2] > 40) & (truth[:, :2] < size - 41), axis=1)
    apart = cKDTree(truth[truth[:, 2] < 20.5, :2]).query(truth[:, :2], k=2)[0][:, 1] > 22
    return truth[inside & apart & (truth[:, 2] > BRIGHTEST) & (truth[:, 2] < FAINTEST)]


def measured(path, truth, grid):
    """Places and fluxes of stars of the truth on an image, with places brought to the grid of the first frame."""
    import sep

    with fits.open(path) as units:
        pixels, header = np.ascontiguousarray(units[0].data.astype("f4")), units[0].header
    pixels -= sep.Background(pixels).back()
    own = WCS(header)
    x, y = own.world_to_pixel_values(*grid.pixel_to_world_values(truth[:, 0], truth[:, 1]))
    xwin, ywin, _ = sep.winpos(pixels, x, y, np.full(len(x), 1.6))
    flux, _, _ = sep.sum_circle(pixels, x, y, APERTURE, subpix=10, bkgann=(14.0, 20.0))
    places = grid.world_to_pixel_values(*own.pixel_to_world_values(xwin, ywin))
    return np.array(places).T, flux, pixels, own


def empty_noise(pixels, truth, own, grid, seed=7):
    """Standard deviation (robust) of the sums in empty apertures of 4 pixels."""
    import sep

    x, y = np.random.default_rng(seed).uniform(60, grid - 61, (2, 40000))
    stars = cKDTree(truth[truth[:, 2] < 21.5, :2])
    empty = stars.query(np.c_[x, y])[0] > 20
    sums, _, _ = sep.sum_circle(pixels, x[empty][:4000], y[empty][:4000], 4.0)
    return 1.4826 * np.median(np.abs(sums - np.median(sums)))


def robust(values):
    return 1.4826 * np.median(np.abs(values - np.median(values)))


def judge_alignment(path, original, truth, grid, size):
    stars = lone(truth, size)
    before, flux_before, _, _ = measured(original, stars, grid)
    after, flux_after, _, _ = measured(path, stars, grid)
    good = (flux_before > 0) & (flux_after > 0) & np.isfinite(after[:, 0])
    change = (after - before)[good]
    ratio = -2.5 * np.log10(flux_after[good] / flux_before[good]) * 1000
    centroid = math.sqrt(np.mean(np.minimum(np.abs(change), 1.0) ** 2))
    return f"centroid moved by {centroid:.4f} px, flux by {np.median(ratio):+.2f} mmag (scatter {robust(ratio):.2f}), {good.sum()} stars"


def judge_stack(path, plain, truth, disturbed, grid, size):
    stars = lone(truth, size)
    places, flux, pixels, own = measured(path, stars, grid)
    good = (flux > 0) & np.isfinite(places[:, 0])
    offsets = (places - stars[:, :2])[good]
    # Coordinates are the catalogue's to a few thousandths of a pixel: the mean is that of the solution.
    centroid = math.sqrt(np.mean((offsets - np.median(offsets, axis=0)) ** 2))
    error = (-2.5 * np.log10(flux[good]) - stars[good, 2]) * 1000
    _, _, one, _ = measured(plain[0], stars[:5], grid)
    # What weights can gain when clouds dim frames: the first is the clearest.
    attainable = math.sqrt(sum(fits.getheader(path)["FLXSCALE"] ** -2 for path in plain))
    shifted = np.array(own.world_to_pixel_values(*grid.pixel_to_world_values(truth[:, 0], truth[:, 1]))).T
    gain = empty_noise(one, truth, own, size) / empty_noise(pixels, np.c_[shifted, truth[:, 2]], own, size)
    x, y = own.world_to_pixel_values(*grid.pixel_to_world_values(*disturbed))
    columns, rows = np.round(x).astype(int), np.round(y).astype(int)
    inside = (columns > 30) & (rows > 30) & (columns < pixels.shape[1] - 31) & (rows < pixels.shape[0] - 31)
    noise = robust(pixels[::7, ::7])
    left = np.sum(pixels[rows[inside], columns[inside]] > 5 * noise)
    return (
        f"noise gain {gain:.3f} of {attainable:.3f}, centroid {centroid:.4f} px, photometry {robust(error):.1f} mmag, "
        f"{left} of {inside.sum()} disturbed pixels left, {good.sum()} stars"
    )


def timed(repeat, calls):
    """Best wall and processor seconds of each call; they take turns."""
    found = {name: (math.inf, math.inf) for name in calls}
    for _ in range(repeat):
        for name, call in calls.items():
            before, began = os.times(), time.perf_counter()
            call()
            wall, now = time.perf_counter() - began, os.times()
            cpu = sum(now[:4]) - sum(before[:4])
            found[name] = (min(found[name][0], wall), min(found[name][1], cpu))
    return found


def main():
    parser = options(__doc__)
    parser.add_argument("--frames", type=int, default=10)
    arguments = parser.parse_args()
    gic, work = places(arguments, "gic-stack-")
    size = arguments.size
    truth, disturbed = make(work, size, arguments.stars, arguments.frames, arguments.seed)
    reduced, plain = prepared(work, gic)
    grid = WCS(fits.getheader(reduced[0]))
    swarp = shutil.which("SWarp") or shutil.which("swarp")
    swarp_name = subprocess.run([swarp, "-v"], capture_output=True, text=True).stdout.split("(")[0].strip() if swarp else ""
    head = grid.to_header(relax=True)
    head["NAXIS"], head["NAXIS1"], head["NAXIS2"] = 2, size, size

    def with_swarp(name, inputs, *more):
        head.totextfile(work / f"{name}.head", overwrite=True)
        (work / f"swarp_{name}").mkdir(exist_ok=True)
        return lambda: command(
            swarp, *inputs, "-c", "/dev/null", "-IMAGEOUT_NAME", work / f"{name}.fits", "-WEIGHTOUT_NAME", work / f"{name}.weight.fits",
            "-RESAMPLING_TYPE", "LANCZOS3", "-RESAMPLE_DIR", work / f"swarp_{name}", "-FSCALASTRO_TYPE", "FIXED", "-SUBTRACT_BACK", "Y", "-BACK_SIZE", "64",
            "-VERBOSE_TYPE", "QUIET", "-WRITE_XML", "N", *more,
        )

    moved = reduced[1]
    aligned = work / "aligned"
    with_gic = lambda frames: lambda: command(gic, "alignment", "-s", *frames, "-r", aligned)
    stacked = lambda frames, where: lambda: command(gic, "stacking", "-s", *frames, "-r", work / where)
    calls = {"gic alignment": with_gic(reduced[:2]), "gic alignment of one": with_gic(reduced[:1]), "gic alignment of all": with_gic(reduced)}
    calls |= {"gic stack": stacked(reduced, "stack"), "gic stack of one": stacked(reduced[:1], "stack_of_one")}
    if swarp:
        calls["SWarp alignment"] = with_swarp("moved", [plain[1]], "-COMBINE", "N", "-DELETE_TMPFILES", "N")
        for kind in ("CLIPPED", "MEDIAN", "WEIGHTED"):
            calls[f"SWarp {kind}"] = with_swarp(kind, plain, "-COMBINE_TYPE", kind)
    else:
        print("SWarp is not there: left out", file=sys.stderr)
    if version("astroalign"):
        import astroalign

        def with_astroalign():
            source, target = (fits.getdata(path).astype("f4") for path in (plain[1], plain[0]))
            registered, _ = astroalign.register(source, target)
            fits.writeto(work / "astroalign.fits", registered.astype("f4"), grid.to_header(relax=True), overwrite=True)

        calls["astroalign"] = with_astroalign
    else:
        print("astroalign is not there: left out", file=sys.stderr)
    seconds = timed(arguments.repeat, calls)

    one = aligned / moved.name.replace("_reduced", "_aligned")
    rows = [("alignment of a frame", "gic", seconds["gic alignment"], judge_alignment(one, plain[1], truth, grid, size) + "; the first frame written as well")]
    if swarp:
        product = work / "swarp_moved" / (plain[1].stem + ".resamp.fits")
        what = judge_alignment(product, plain[1], truth, grid, size)
        rows.append(("alignment of a frame", f"{swarp_name}, LANCZOS3", seconds["SWarp alignment"], what))
    if "astroalign" in calls:
        what = judge_alignment(work / "astroalign.fits", plain[1], truth, grid, size)
        rows.append(("alignment of a frame", f"astroalign {version('astroalign')}", seconds["astroalign"], what))
    further = lambda all_of, first: tuple((a - b) / (arguments.frames - 1) for a, b in zip(seconds[all_of], seconds[first]))
    rows.append(("a further frame aligned", "gic", further("gic alignment of all", "gic alignment of one"), ""))
    stack = next((work / "stack").glob("stack_*.fits"))
    rows.append((f"stack of {arguments.frames}", "gic", seconds["gic stack"], judge_stack(stack, plain, truth, disturbed, grid, size)))
    for kind in ("CLIPPED", "MEDIAN", "WEIGHTED") if swarp else ():
        what = judge_stack(work / f"{kind}.fits", plain, truth, disturbed, grid, size)
        rows.append((f"stack of {arguments.frames}", f"{swarp_name}, {kind}", seconds[f"SWarp {kind}"], what))
    rows.append(("a further frame stacked", "gic", further("gic stack", "gic stack of one"), "read, sky, resampled, added"))
    if not arguments.work:
        shutil.rmtree(work)
    ours = {step: time for step, name, time, _ in rows if name == "gic"}
    lines = [
        f"{arguments.frames} frames of {size}², {arguments.stars} stars, {os.cpu_count()} cores, best of {arguments.repeat}", "",
        "| step | tool | seconds | against gic | CPU seconds | against gic | accuracy |", "|---|---|---|---|---|---|---|",
    ]
    for step, name, (wall, cpu), accuracy in rows:
        lines.append(
            f"| {step} | {name} | {wall:.3f} | {wall / ours[step][0]:.2f} | {cpu:.2f} | {cpu / max(ours[step][1], 1e-3):.2f} | {accuracy} |"
        )
    tell(arguments, lines, [dict(zip(("step", "tool", "seconds", "accuracy"), row)) for row in rows])


if __name__ == "__main__":
    main()
