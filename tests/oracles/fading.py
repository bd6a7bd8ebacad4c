#!/usr/bin/env python3
"""Power-law fits by scipy.optimize.curve_fit, read by src/imaging/fading.rs.

Usage: python3 fading.py > fading.json
"""
import json

import numpy as np
import scipy
from scipy.optimize import curve_fit


def model(t, amplitude, index):
    return amplitude * (t / 60.0) ** (-index)


def case(name, generator, times, amplitude, index, sky_error, floor):
    times = np.asarray(times, dtype=float)
    true = model(times, amplitude, index)
    error = np.sqrt(sky_error**2 + np.abs(true) * 0.5)
    flux = true + generator.normal(0, error)
    sigma = np.hypot(error, floor * flux)
    fit, covariance = curve_fit(model, times, flux, p0=[amplitude, index], sigma=sigma,
                                absolute_sigma=True, xtol=1e-14, ftol=1e-14, gtol=1e-14)
    weight = sigma**-2.0
    mean = np.sum(weight * flux) / np.sum(weight)
    return {
        "name": name, "relative_floor": floor,
        "points": [[float(a), float(b), float(c)] for a, b, c in zip(times, flux, error)],
        "flux_at_60_seconds": fit[0], "index": fit[1],
        "index_error": float(np.sqrt(covariance[1, 1])),
        "chi_square": float(np.sum(weight * (flux - model(times, *fit))**2)),
        "constant_chi_square": float(np.sum(weight * (flux - mean)**2)),
    }


def main():
    generator = np.random.default_rng(7)
    minutes = 125 + 65 * np.arange(55)
    cases = [
        case("afterglow_hour", generator, minutes, 2500.0, 1.0, 6.0, 0.01),
        case("steep", generator, minutes, 9000.0, 2.2, 6.0, 0.01),
        case("shallow_faint", generator, minutes, 40.0, 0.6, 6.0, 0.01),
        case("constant", generator, minutes, 300.0, 0.0, 6.0, 0.02),
        case("rising", generator, minutes[:10], 20.0, -1.2, 6.0, 0.0),
        case("three_points", generator, [150, 300, 620], 900.0, 1.1, 5.0, 0.01),
        case("two_points", generator, [150, 900], 900.0, 1.1, 5.0, 0.0),
        case("first_bright_rest_nothing", generator, minutes[:12] * 4, 20000.0, 3.0, 8.0, 0.01),
    ]
    print(json.dumps({"scipy": scipy.__version__, "cases": cases}, indent=1))


if __name__ == "__main__":
    main()
