#!/usr/bin/env python3
"""Share of the light of an elliptical Moffat profile in single pixels, by adaptive quadrature.

Oracle of src/simulation/point_spread.rs. Needs numpy and scipy; writes moffat_pixels.json beside itself.
Profile: I(u) = (beta - 1) / (pi a b) (1 + u)**-beta, u = (x'/a)**2 + (y'/b)**2, pixel centres at integers.
"""
import json
from math import cos, pi, sin, sqrt
from pathlib import Path

from scipy.integrate import dblquad

CASES = [
    dict(fwhm_pixels=1.75, ellipticity=0.0, angle=0.0, beta=3, x=60.0, y=60.0),
    dict(fwhm_pixels=1.75, ellipticity=0.12, angle=0.7, beta=3, x=60.37, y=59.81),
    dict(fwhm_pixels=3.4, ellipticity=0.2, angle=-1.1, beta=3, x=59.5, y=60.5),
    dict(fwhm_pixels=2.5, ellipticity=0.05, angle=2.0, beta=4, x=60.1, y=60.2),
]
OFFSETS = [(0, 0), (1, 0), (0, 1), (-1, 1), (2, -1), (3, 0), (0, -4), (5, 5), (-9, 2)]


def share(case, column, row):
    core = case["fwhm_pixels"] / (2 * sqrt(2 ** (1 / case["beta"]) - 1))
    ratio = sqrt(1 - case["ellipticity"])
    major, minor = core / ratio, core * ratio
    c, s = cos(case["angle"]), sin(case["angle"])

    def intensity(y, x):
        dx, dy = x - case["x"], y - case["y"]
        along, across = dx * c + dy * s, -dx * s + dy * c
        u = (along / major) ** 2 + (across / minor) ** 2
        return (case["beta"] - 1) / (pi * major * minor) * (1 + u) ** -case["beta"]

    value, _ = dblquad(intensity, column - 0.5, column + 0.5, row - 0.5, row + 0.5, epsabs=1e-12, epsrel=1e-10)
    return value


def main():
    for case in CASES:
        case["pixels"] = [
            dict(column=60 + i, row=60 + j, share=share(case, 60 + i, 60 + j)) for i, j in OFFSETS
        ]
    Path(__file__).with_suffix(".json").write_text(json.dumps(CASES, indent=1) + "\n")


if __name__ == "__main__":
    main()
