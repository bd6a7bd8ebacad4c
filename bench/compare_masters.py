#!/usr/bin/env python3
"""A master of bias frames beside the tools of the trade, on the same frames, in one run: seconds, ratios, residual to the truth.

    bench/compare_masters.py --gic target/release/gic [--size 2048 --frames 10] [--work DIR] [--markdown FILE]

Raw frames of 16 bits, Rice-compressed with a tile for each row, of a known pattern with read noise of 1.3 ADU and cosmic rays, made by numpy.
Each tool reads the `.fz` files and writes the master: `gic calibrate` (start, sums of every frame, read noise, statistics, header and record
included; its default, the mean clipped at 4 robust deviations), astropy with bottleneck's median, ccdproc's sigma-clipped combine (median
and median absolute deviation, as its manual has it), SWarp's CLIPPED if it is installed (of unpacked frames). Whole commands are timed for
programs, calls for libraries (imports not); the tools take turns, and the best of --repeat counts. --threads 1 holds gic to one core. The
residual is the root mean square of master less truth. Needs numpy and astropy; the others are used where they are there, and named where
they are not. `--stars` says nothing here: there are none in bias frames.
"""

import os
import shutil
import subprocess
import sys

import numpy as np
from astropy.io import fits

from compare import command, options, places, tell, version

LEVEL, READ_NOISE, HITS = 600.0, 1.29, 2e-5


def make(work, size, count, seed):
    """The frames, and what they would be without noise."""
    generator = np.random.default_rng(seed)
    columns = np.arange(size) / size
    truth = LEVEL + 5 * columns[None, :] + generator.normal(0, 0.3, (size, size))
    paths = []
    for index in range(count):
        electrons = truth + generator.normal(0, READ_NOISE, truth.shape)
        hits = generator.integers(0, truth.size, int(HITS * truth.size))
        electrons.flat[hits] += generator.exponential(500, len(hits))
        raw = np.clip(np.round(electrons), 0, 65535).astype("u2")
        cards = {
            "EXPTYPE": "bias", "EXPTIME": 0.0, "DATE-OBS": f"2026-11-02T01:00:{index % 60:02d}.000", "INSTRUME": "C0", "FILTER": "w",
        }
        path = work / f"20261102T01{index:04d}C0b.fits.fz"
        fits.CompImageHDU(raw, fits.Header(cards), compression_type="RICE_1").writeto(path, overwrite=True)
        paths.append(path)
    return truth, paths


def tools(work, gic, paths, threads):
    """By name: a call that makes the master, where it is then, and what was set."""
    where = work / "masters"

    def with_gic():
        shutil.rmtree(where, ignore_errors=True)
        command(*(["taskset", "-c", "0"] if threads == 1 else []), gic, "calibrate", "-s", *paths, "-r", where)

    made = lambda: next(where.glob("bias/current/*.fits"))
    found = {"gic": (with_gic, made, "mean clipped at 4 robust deviations")}
    frames = lambda: [fits.getdata(path).astype("f4") for path in paths]
    if version("bottleneck"):
        import bottleneck

        def with_bottleneck():
            fits.writeto(work / "bottleneck.fits", bottleneck.nanmedian(np.array(frames()), axis=0), overwrite=True)

        name = f"bottleneck {version('bottleneck')}, astropy {version('astropy')}"
        found[name] = (with_bottleneck, lambda: work / "bottleneck.fits", "nanmedian")
    if version("ccdproc"):
        import ccdproc
        from astropy.nddata import CCDData
        from astropy.stats import mad_std

        def with_ccdproc():
            planes = [CCDData(plane, unit="adu") for plane in frames()]
            clipping = dict(
                sigma_clip=True, sigma_clip_low_thresh=5, sigma_clip_high_thresh=5, sigma_clip_func=np.ma.median, sigma_clip_dev_func=mad_std
            )
            ccdproc.combine(planes, method="average", dtype="f4", **clipping).write(work / "ccdproc.fits", overwrite=True)

        found[f"ccdproc {version('ccdproc')}"] = (with_ccdproc, lambda: work / "ccdproc.fits", "clipped at 5, average")
    swarp = shutil.which("SWarp") or shutil.which("swarp")
    if swarp:
        plain = []
        for path in paths:
            plain.append(work / path.name.removesuffix(".fz"))
            fits.writeto(plain[-1], fits.getdata(path), overwrite=True)

        def with_swarp():
            command(
                swarp, *plain, "-c", "/dev/null", "-IMAGEOUT_NAME", work / "swarp.fits", "-WEIGHTOUT_NAME", work / "swarp.weight.fits",
                "-RESAMPLE", "N", "-SUBTRACT_BACK", "N", "-COMBINE_TYPE", "CLIPPED", "-FSCALASTRO_TYPE", "NONE", "-VERBOSE_TYPE", "QUIET",
                "-WRITE_XML", "N",
            )

        name = subprocess.run([swarp, "-v"], capture_output=True, text=True).stdout.split("(")[0].strip()
        found[name] = (with_swarp, lambda: work / "swarp.fits", "CLIPPED, of unpacked frames")
    for name in ("bottleneck", "ccdproc"):
        if not version(name):
            print(f"{name} is not there: left out", file=sys.stderr)
    return found


def main():
    import time

    parser = options(__doc__)
    parser.add_argument("--frames", type=int, default=10)
    parser.add_argument("--threads", type=int, choices=(1, 2), default=2)
    arguments = parser.parse_args()
    gic, work = places(arguments, "gic-masters-")
    truth, paths = make(work, arguments.size, arguments.frames, arguments.seed)
    found = tools(work, gic, paths, arguments.threads)
    seconds = {name: [] for name in found}
    processor = {name: [] for name in found}
    for _ in range(arguments.repeat):
        for name, (call, _, _) in found.items():
            before, began = os.times(), time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - began)
            processor[name].append(sum(os.times()[:4]) - sum(before[:4]))
    rows = []
    for name, (_, path, what) in found.items():
        residual = float(np.sqrt(np.mean((fits.getdata(path()) - truth) ** 2)))
        rows.append((name, min(seconds[name]), min(processor[name]), residual, what))
    if not arguments.work:
        shutil.rmtree(work)
    ours = rows[0]
    lines = [
        f"{arguments.frames} frames of {arguments.size}², {os.cpu_count()} cores (gic on {arguments.threads}), best of {arguments.repeat}", "",
        "| tool | seconds | against gic | CPU seconds | against gic | residual, ADU | settings |", "|---|---|---|---|---|---|---|",
    ]
    for name, wall, cpu, residual, what in rows:
        lines.append(f"| {name} | {wall:.3f} | {wall / ours[1]:.2f} | {cpu:.2f} | {cpu / ours[2]:.2f} | {residual:.4f} | {what} |")
    tell(arguments, lines, [dict(zip(("tool", "seconds", "cpu_seconds", "residual", "settings"), row)) for row in rows])


if __name__ == "__main__":
    main()
