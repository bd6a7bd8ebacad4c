#!/usr/bin/env python3
"""Values of astropy.wcs for the TAN projection, read by src/imaging/wcs.rs.

Pixel positions are zero-based. Usage: python3 wcs.py > wcs.json
"""
import json
import math

import astropy
import numpy as np
from astropy.wcs import WCS


def rotated(scale_x, scale_y, angle):
    s, c = math.sin(math.radians(angle)), math.cos(math.radians(angle))
    return [[scale_x * c, -scale_y * s], [scale_x * s, scale_y * c]]


CASES = [
    ("upright", (512.5, 512.5), (30.2695, 24.5099), rotated(-0.000195, 0.000195, 0)),
    ("rotated", (512.5, 400.0), (130.0, -45.0), rotated(-0.000195, 0.000195, 37.3)),
    ("mirrored", (1.0, 1.0), (200.0, 5.0), rotated(0.0003, 0.0003, -120.0)),
    ("shear", (2048.0, 2056.0), (83.8, -5.4), [[-1.06e-4, 3.1e-6], [2.2e-6, 1.05e-4]]),
    ("across_zero", (512.5, 512.5), (359.99, 10.0), rotated(-0.000195, 0.000195, 5)),
    ("just_after_zero", (512.5, 512.5), (0.001, -30.0), rotated(-0.000195, 0.000195, 185)),
    ("north_pole", (512.5, 512.5), (45.0, 89.97), rotated(-0.000195, 0.000195, 10)),
    ("at_south_pole", (512.5, 512.5), (10.0, -90.0), rotated(-0.000195, 0.000195, 0)),
    ("reference_far_outside", (-9000.0, 20000.0), (266.4, -28.9), rotated(-0.0002, 0.0002, 80)),
    ("wide", (500.0, 500.0), (180.0, 60.0), rotated(-0.02, 0.02, 15)),
]


def main():
    generator = np.random.default_rng(1)
    cases = []
    for name, crpix, crval, cd in CASES:
        wcs = WCS(naxis=2)
        wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
        wcs.wcs.crpix, wcs.wcs.crval, wcs.wcs.cd = crpix, crval, cd
        wcs.wcs.set()
        pixels = np.vstack([[[0, 0], [1023, 0], [0, 1023], [1023, 1023]],
                            generator.uniform(0, 1023, (12, 2))])
        sky = wcs.wcs_pix2world(pixels, 0)
        cases.append({
            "name": name, "crpix1": crpix[0], "crpix2": crpix[1],
            "crval1": crval[0], "crval2": crval[1],
            "cd1_1": cd[0][0], "cd1_2": cd[0][1], "cd2_1": cd[1][0], "cd2_2": cd[1][1],
            "points": [[float(v) for v in (*p, *s)] for p, s in zip(pixels, sky)],
        })
    print(json.dumps({"astropy": astropy.__version__, "cases": cases}, indent=1))


if __name__ == "__main__":
    main()
