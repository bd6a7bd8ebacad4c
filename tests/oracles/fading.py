"""Power-law fits by scipy, for src/imaging/fading.rs. Writes fading.json beside this script."""
import json, pathlib
import numpy as np
from scipy.optimize import curve_fit

generator = np.random.default_rng(20261101)
cases = []
for index, count, floor, noise in [(1.0, 8, 0.0, 20.0), (0.7, 20, 0.01, 60.0), (2.2, 5, 0.02, 5.0), (-0.5, 12, 0.0, 30.0), (0.0, 10, 0.01, 15.0)]:
    seconds = np.linspace(150.0, 150.0 + 60.0 * (count - 1), count)
    truth = 3000.0 * (seconds / 60.0) ** -index
    error = np.full(count, noise)
    flux = truth + noise * generator.standard_normal(count)
    sigma = np.sqrt(error**2 + (floor * flux) ** 2)
    law = lambda t, a, k: a * (t / 60.0) ** -k
    (amplitude, fitted), covariance = curve_fit(law, seconds, flux, p0=(3000.0, index + 0.1), sigma=sigma, absolute_sigma=True, ftol=1e-14, xtol=1e-14, gtol=1e-14)
    constant = np.sum(flux / sigma**2) / np.sum(1 / sigma**2)
    cases.append(dict(
        points=[[float(t), float(f), float(e)] for t, f, e in zip(seconds, flux, error)],
        floor=floor, amplitude=float(amplitude), index=float(fitted), index_error=float(np.sqrt(covariance[1, 1])),
        chi_square=float(np.sum(((flux - law(seconds, amplitude, fitted)) / sigma) ** 2)),
        constant_chi_square=float(np.sum(((flux - constant) / sigma) ** 2))))
pathlib.Path(__file__).with_suffix(".json").write_text(json.dumps(cases, indent=1) + "\n")
