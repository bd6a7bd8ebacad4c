"""Values that src/imaging/spread_tests.rs compares with: SPREAD_MODEL of source-extractor with the model of PSFEx, on a field of as many
stars as exponential galaxies that src/imaging/synthetic.rs repeats bit for bit.

    apt-get install source-extractor psfex; pip install numpy astropy
    python3 spread.py > spread.json
"""

import json
import math
import pathlib
import subprocess
import tempfile

import numpy as np
from astropy.io import fits

from synthetic_field import Generator, pixel_light

SHAPE, CELL, CELLS = (1024, 1024), 56, 18
FWHM, SKY, READ_SQUARE = 3.0, 300.0, 25.0
PLACES_SEED, NOISE_SEED = 61, 62
FAINTEST, BRIGHTEST = 700.0, 200000.0
REACH = 25

# Radii in scale lengths and shares of the light of four rings: Gauss's quadrature of r exp(-r).
RINGS = [
    (0.7432919279814314, 0.44687059321877637),
    (2.5716350076462784, 0.4776357723638682),
    (5.731178751689099, 0.07417778473105209),
    (10.953894312683191, 0.001315849686303245),
]
DIAGONAL = 0.7071067811865476
DIRECTIONS = [
    (1.0, 0.0), (DIAGONAL, DIAGONAL), (0.0, 1.0), (-DIAGONAL, DIAGONAL),
    (-1.0, 0.0), (-DIAGONAL, -DIAGONAL), (0.0, -1.0), (DIAGONAL, -DIAGONAL),
]


def objects():
    """x, y, electrons, scale length (0 for a star), axis ratio, and the direction of the major axis; one in each cell of a grid."""
    draw = Generator(PLACES_SEED)
    found = []
    for number in range(CELLS * CELLS):
        x = 36.0 + CELL * (number % CELLS) + 16.0 * (draw.uniform() - 0.5)
        y = 36.0 + CELL * (number // CELLS) + 16.0 * (draw.uniform() - 0.5)
        steps = int(24.0 * draw.uniform())
        flux = FAINTEST
        for _ in range(steps):
            flux = flux * 1.2789
        scale, ratio = 0.8 + 0.8 * draw.uniform(), 0.4 + 0.6 * draw.uniform()
        u, v = draw.uniform() - 0.5, draw.uniform() - 0.5
        length = math.sqrt(u * u + v * v)
        is_galaxy = number % 2 == 1
        found.append((x, y, flux, scale if is_galaxy else 0.0, ratio, u / length, v / length))
    return found


def points(entry):
    """An object as stars."""
    x, y, flux, scale, ratio, cos, sin = entry
    if scale == 0.0:
        return [(x, y, flux)]
    found = []
    for radius, share in RINGS:
        for along, across in DIRECTIONS:
            u, v = radius * scale * along, ratio * (radius * scale * across)
            found.append((x + (u * cos - v * sin), y + (u * sin + v * cos), flux * share / 8.0))
    return found


def frame():
    height, width = SHAPE
    light = np.zeros(SHAPE)
    core = FWHM / 1.0196490570679173
    for entry in objects():
        for x0, y0, flux in points(entry):
            column, row = math.floor(x0 + 0.5), math.floor(y0 + 0.5)
            ys = np.arange(max(row - REACH, 0), min(row + REACH + 1, height))
            xs = np.arange(max(column - REACH, 0), min(column + REACH + 1, width))
            part = flux * pixel_light((xs - x0)[None, :], (ys - y0)[:, None], core)
            light[ys[0] : ys[-1] + 1, xs[0] : xs[-1] + 1] += part
    noise = Generator(NOISE_SEED)
    data = np.zeros(SHAPE, np.float32)
    for y in range(height):
        for x in range(width):
            expected = float(light[y, x]) + SKY
            data[y, x] = expected + math.sqrt(expected + READ_SQUARE) * noise.normal()
    return data


def measured(data):
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        fits.writeto(folder / "image.fits", data)
        (folder / "default.sex").write_text("")
        (folder / "default.psfex").write_text("")

        def extract(catalogue, kind, parameters, *options):
            (folder / "default.param").write_text("\n".join(parameters) + "\n")
            subprocess.run(
                ["source-extractor", "image.fits", "-c", "default.sex", "-PARAMETERS_NAME", "default.param",
                 "-CATALOG_NAME", catalogue, "-CATALOG_TYPE", kind, "-FILTER", "N", "-DETECT_THRESH", "1.5",
                 "-DETECT_MINAREA", "5", "-GAIN", "1.0", "-GAIN_KEY", "NONE", "-SATUR_LEVEL", "1e9", "-SATUR_KEY", "NONE",
                 "-PHOT_APERTURES", "12", "-VERBOSE_TYPE", "QUIET", *options],
                cwd=folder, check=True,
            )

        extract(
            "stars.fits", "FITS_LDAC",
            ["VIGNET(35,35)", "X_IMAGE", "Y_IMAGE", "FLUX_RADIUS", "SNR_WIN", "FLUX_APER(1)", "FLUXERR_APER(1)", "ELONGATION",
             "FLAGS", "FLUX_MAX"],
        )
        subprocess.run(
            ["psfex", "stars.fits", "-c", "default.psfex", "-PSFVAR_DEGREES", "0", "-PSF_SIZE", "35,35", "-CHECKPLOT_TYPE", "NONE",
             "-CHECKIMAGE_TYPE", "NONE", "-SAMPLE_MINSN", "50", "-WRITE_XML", "N", "-VERBOSE_TYPE", "QUIET"],
            cwd=folder, check=True,
        )
        extract(
            "galaxies.fits", "FITS_1.0",
            ["X_IMAGE", "Y_IMAGE", "SPREAD_MODEL", "SPREADERR_MODEL", "FLAGS"],
            "-PSF_NAME", "stars.psf",
        )
        return fits.getdata(folder / "galaxies.fits", 1)


def main():
    data = frame()
    table = measured(data)
    x, y = table["X_IMAGE"] - 1, table["Y_IMAGE"] - 1
    spreads = []
    for entry in objects():
        distance = np.hypot(x - entry[0], y - entry[1])
        nearest = int(distance.argmin())
        if distance[nearest] < 1.5 and table["FLAGS"][nearest] == 0:
            pair = table["SPREAD_MODEL"][nearest], table["SPREADERR_MODEL"][nearest]
            spreads.append([float(f"{value:.6g}") for value in pair])
        else:
            spreads.append(None)
    versions = [
        subprocess.run([tool, "-v"], capture_output=True, text=True, check=True) for tool in ("source-extractor", "psfex")
    ]
    print(json.dumps({
        "made_with": [(each.stdout + each.stderr).strip() for each in versions],
        "sum": float(data.astype(float).sum()),
        "spreads": spreads,
    }))


main()
