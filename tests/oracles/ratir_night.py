"""The night of 2013-07-16 of RATIR C1, measured with numpy and sep: writes ratir_night.json beside this file.

    python3 tests/oracles/ratir_night.py ../shared/data/ratir_20130716

Two sets of figures. "golden": by the definitions behind the project's golden values (median of the biases; objects with nothing but
the bias taken off). "calibrated": bias (mean), dark and flat taken off, as the controller does. Two widths, medians of the unflagged detections brighter than the seventh decile: "fwhm" of the
Gaussian with the isophotal moments, 2 sqrt(ln 2 (a² + b²)), and "moffat_fwhm" of a round Moffat profile fitted with scipy to the
pixels within twelve of the star. The noise is sep's global one.
"""

import json
import pathlib
import sys

import numpy as np
import sep
from astropy.io import fits
from scipy.optimize import least_squares

night = pathlib.Path(sys.argv[1])


def read(path):
    with fits.open(path) as units:
        unit = next(unit for unit in units if unit.data is not None)
        return unit.data.astype("f4"), unit.header


def frames(letter):
    return {path.name.split(".")[0]: read(path) for path in sorted(night.glob(f"*C1{letter}.fits.fz"))}


def moffat_fwhm(data, x, y):
    """Full width at half maximum about (x, y); nan where no profile fits."""
    column, row = int(round(x)), int(round(y))
    if not (12 <= column < data.shape[1] - 12 and 12 <= row < data.shape[0] - 12):
        return np.nan
    rows, columns = np.mgrid[row - 12 : row + 13, column - 12 : column + 13]
    light = data[row - 12 : row + 13, column - 12 : column + 13].astype(float)

    def misfit(parameters):
        height, centre_x, centre_y, core, exponent, level = parameters
        square = (columns - centre_x) ** 2 + (rows - centre_y) ** 2
        return (height * (1 + square / core**2) ** -exponent + level - light).ravel()

    start = [data[row, column], x, y, 3.0, 3.0, 0.0]
    bounds = [[0, x - 2, y - 2, 0.5, 1.1, -50], [np.inf, x + 2, y + 2, 50, 50, 50]]
    fit = least_squares(misfit, start, bounds=bounds, loss="soft_l1", f_scale=3.0)
    return 2 * fit.x[3] * np.sqrt(2 ** (1 / fit.x[4]) - 1)


def sky_and_stars(data):
    data = np.ascontiguousarray(data, dtype="f4")
    background = sep.Background(data)
    stars = sep.extract(data - background.back(), 3.0, err=background.globalrms, minarea=8)
    width = 2 * np.sqrt(np.log(2) * (stars["a"] ** 2 + stars["b"] ** 2))
    bright = (stars["flag"] == 0) & (stars["flux"] > np.percentile(stars["flux"], 70))
    light = data - background.back()
    moffat = [moffat_fwhm(light, star["x"], star["y"]) for star in stars[bright]]
    return {
        "sky": float(np.median(data)),
        "noise": float(background.globalrms),
        "fwhm": float(np.median(width[bright])),
        "moffat_fwhm": float(np.nanmedian(moffat)),
    }


biases = [data for data, _ in frames("b").values()]
darks = {name: data for name, (data, _) in frames("d").items()}
median_bias, mean_bias = np.median(biases, axis=0), np.mean(biases, axis=0)
dark = np.median([data - median_bias for data in darks.values()], axis=0)
flats = []
for data, _ in frames("f").values():
    level = np.median(data - median_bias)
    if level > 3000 and np.mean(data >= 16383) < 0.01:
        flats.append((data - median_bias) / level)
flat = np.median(flats, axis=0)
result = {
    "versions": {"numpy": np.__version__, "sep": sep.__version__},
    "flat_count": len(flats),
    "golden": {
        "dark_levels": {name: float(np.median(data - median_bias)) for name, data in darks.items()},
        "objects": {},
    },
    "calibrated": {
        "dark_levels": {name: float(np.median(data - mean_bias)) for name, data in darks.items()},
        "objects": {},
    },
}
for name, (data, header) in frames("o").items():
    result["golden"]["objects"][name] = sky_and_stars(data - median_bias)
    seconds = header["EXPTIME"]
    result["calibrated"]["objects"][name] = sky_and_stars((data - median_bias - dark * seconds / 80) / flat)
pathlib.Path(__file__).with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")
