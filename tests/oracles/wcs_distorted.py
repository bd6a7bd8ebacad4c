"""Positions astropy.wcs finds with distorted world coordinates (SIP, TPV) and rare forms of TAN, read by src/fits/wcs_tests.rs.

Pixel positions are zero-based. Each position was also taken back by astropy and came back to 1e-8 pixel.
TPV with the declination first is not here: astropy 8.0.2 takes the rows of the matrix for those of the other axis, and finds no way back.
Usage: python3 wcs_distorted.py, writes wcs_distorted.json beside this file.
With a directory of images as argument it writes wcs_real.json instead: positions on images that came with such headers.
"""

import json
import math
import pathlib
import sys
import warnings

import astropy
import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

warnings.simplefilter("ignore")

HERE = pathlib.Path(__file__).parent
SIZE = 2048
POINTS = 204
# Of forms that differ in how the cards are read alone.
FEW_POINTS = 60
REAL = [
    ("frames_misc/fram.fits", 0), ("frames_misc/solved.fits.fz", 1), ("fits_zoo/fits_astropy/m13.fits", 0),
    ("fits_zoo/fits_lsst_afw/HSC-0908120-056-small.fits", 1), ("decam_sfft/DEC-OBS04a.mini.fits", 0),
    ("decam_sfft/DEC-OBS04b.mini.fits", 0), ("decam_sfft/DEC-OBS04e.mini.fits", 0),
    ("arcsat_xo1_z/XO1-b_z_20250602_041008.fits.fz", 1),
]


def tan(ra, dec, crpix=(1024.5, 1000.25), kind="TAN"):
    return {"CTYPE1": f"RA---{kind}", "CTYPE2": f"DEC--{kind}", "CRPIX1": crpix[0], "CRPIX2": crpix[1], "CRVAL1": ra, "CRVAL2": dec}


def swapped(ra, dec, kind="TAN"):
    cards = tan(ra, dec, kind=kind)
    cards["CTYPE1"], cards["CTYPE2"] = cards["CTYPE2"], cards["CTYPE1"]
    cards["CRVAL1"], cards["CRVAL2"] = cards["CRVAL2"], cards["CRVAL1"]
    return cards


def cd(angle, scale=1.95e-4, mirrored=False, shear=0.0):
    sine, cosine = math.sin(math.radians(angle)), math.cos(math.radians(angle))
    side = scale if mirrored else -scale
    return {"CD1_1": side * cosine, "CD1_2": -scale * sine + shear, "CD2_1": side * sine, "CD2_2": scale * cosine}


def sip(generator, order, orders=None, inverse=None, least=2):
    """Coefficients that bend the corners by some ten pixels."""
    cards = {}
    for stem, degree in zip("AB", orders or (order, order)):
        cards[f"{stem}_ORDER"] = degree
        for i in range(degree + 1):
            for j in range(degree + 1 - i):
                if i + j >= least:
                    cards[f"{stem}_{i}_{j}"] = float(generator.uniform(-8, 8) / 1024 ** (i + j))
    if inverse:
        for stem, forward in (("AP", "A"), ("BP", "B")):
            cards[f"{stem}_ORDER"] = inverse
            for i in range(inverse + 1):
                for j in range(inverse + 1 - i):
                    cards[f"{stem}_{i}_{j}"] = -cards.get(f"{forward}_{i}_{j}", 0.0)
    return cards


RADIAL = {3: 1, 11: 3, 23: 5, 39: 7}


def tpv(generator, last, radial=True, reach=0.3):
    """Coefficients up to PVi_`last` that bend the plane by some per mille of `reach` degrees."""
    degrees = []
    for degree in range(8):
        degrees += [degree] * (degree + 1) + ([degree] if degree % 2 else [])
    cards = {}
    for axis in (1, 2):
        for index in range(last + 1):
            if index in RADIAL and not radial:
                continue
            if index == 1:
                value = 1 + generator.uniform(-0.01, 0.01)
            else:
                value = generator.uniform(-1, 1) * 2e-3 * reach / reach ** degrees[index]
            cards[f"PV{axis}_{index}"] = float(value)
    return cards


def in_unit(cards, unit, factor):
    scaled = {key: value * factor if key.startswith(("CRVAL", "CD")) else value for key, value in cards.items()}
    return scaled | {"CUNIT1": unit, "CUNIT2": unit}


def cases():
    make = np.random.default_rng(7)
    pc = {"PC1_1": 0.93, "PC1_2": -0.37, "PC2_1": 0.36, "PC2_2": 0.94, "CDELT1": -2e-4, "CDELT2": 2.05e-4}
    # With CDELT wcslib takes the polynomials of TPV before CDELT, not in degrees as the convention says.
    pc_alone = {"PC1_1": -1.9e-4, "PC1_2": 7e-5, "PC2_1": 6.9e-5, "PC2_2": 1.88e-4}
    return {
        "SIP of order 2 with AP, BP": tan(30.2695, 24.5099, kind="TAN-SIP") | cd(0) | sip(make, 2, inverse=2),
        "SIP of order 3, rotated": tan(130.0, -45.0, kind="TAN-SIP") | cd(37.3, shear=3e-6) | sip(make, 3),
        "SIP of order 4, mirrored, with AP, BP": tan(200.0, 5.0, kind="TAN-SIP") | cd(-120, mirrored=True) | sip(make, 4, inverse=4),
        "SIP of orders 2 and 4": tan(83.8, -5.4, kind="TAN-SIP") | cd(90) | sip(make, 4, orders=(2, 4)),
        "SIP of order 7": tan(83.8, -5.4, kind="TAN-SIP") | cd(12) | sip(make, 7),
        "SIP near the pole": tan(45.0, 89.97, kind="TAN-SIP") | cd(10) | sip(make, 3),
        "SIP across 0 h": tan(359.99, 10.0, kind="TAN-SIP") | cd(5) | sip(make, 3),
        "SIP, PC and CDELT": tan(0.001, -30.0, kind="TAN-SIP") | pc | sip(make, 2),
        "SIP, CDELT and CROTA2": tan(266.4, -28.9, kind="TAN-SIP") | {"CDELT1": -2e-4, "CDELT2": 2e-4, "CROTA2": 33.0} | sip(make, 3),
        "SIP, declination first": swapped(115.25, -31.5, kind="TAN-SIP") | cd(95) | sip(make, 3),
        "SIP without the suffix": tan(10.0, 20.0) | cd(1) | sip(make, 2),
        "SIP with the suffix on one axis": tan(10.0, 20.0) | {"CTYPE1": "RA---TAN-SIP"} | cd(1) | sip(make, 2),
        "SIP with constant and linear terms": tan(10.0, 20.0, kind="TAN-SIP") | cd(1) | sip(make, 3, least=0),
        "SIP with PV of the same": tan(10.0, 20.0, kind="TAN-SIP") | cd(1) | sip(make, 2) | tpv(make, 10, radial=False),
        "SIP, LONPOLE": tan(10.0, 20.0, kind="TAN-SIP") | cd(1) | sip(make, 2) | {"LONPOLE": 33.0, "LATPOLE": 0.0},
        "SIP, reference far outside": tan(10.0, 60.0, crpix=(-900.0, 3100.0), kind="TAN-SIP") | cd(1) | sip(make, 2),
        "TPV of degree 3 with r": tan(303.1, -65.97, kind="TPV") | cd(90, 7.3e-5) | tpv(make, 11, reach=0.1),
        "TPV of degree 7 with all powers of r": tan(30.0, 24.0, kind="TPV") | cd(20) | tpv(make, 39),
        "TPV, reference far outside": tan(30.0, -24.0, crpix=(-7000.0, 5000.0), kind="TPV") | cd(20, 8e-5, True) | tpv(make, 10, radial=False, reach=0.9),
        "TPV under the name of TAN": tan(150.0, 2.2) | cd(180) | tpv(make, 10, radial=False),
        "TPV of degree 4, rotated": tan(150.0, 2.2, kind="TPV") | cd(70) | tpv(make, 16),
        "TPV, LONPOLE": tan(150.0, 2.2, kind="TPV") | cd(70) | tpv(make, 11) | {"LONPOLE": 120.0},
        "TPV near the south pole, PC": tan(10.0, -89.98, kind="TPV") | pc_alone | tpv(make, 16),
        "TPV across 0 h with SIP of the same": tan(0.0, 30.0, kind="TPV") | cd(0) | tpv(make, 16) | sip(make, 2),
        "TPV in arc seconds": in_unit(tan(20.0, 30.0, kind="TPV") | cd(3), "arcsec", 3600.0) | tpv(make, 16),
        "TAN at the pole": tan(77.0, 90.0) | cd(3),
        "TAN at the pole, LONPOLE": tan(77.0, 90.0) | cd(3) | {"LONPOLE": 180.0},
        "TAN at the south pole": tan(77.0, -90.0) | cd(3),
        "TAN, LONPOLE by PV": tan(77.0, 3.0) | cd(3) | {"PV1_3": 100.0},
        "TAN, LONPOLE of no value": tan(77.0, 3.0) | cd(3) | {"LONPOLE": 999.0},
        "TAN in radians": {key: math.radians(value) if key.startswith(("CRVAL", "CD")) else value for key, value in (tan(20.0, 30.0) | cd(3)).items()}
        | {"CUNIT1": "rad", "CUNIT2": "rad"},
        "TAN, PC without CDELT": tan(20.0, 30.0) | {"PC1_1": -2e-4, "PC1_2": 1e-5, "PC2_1": 2e-5, "PC2_2": 2e-4},
    }


def positions(wcs, generator, shape, count, name):
    rows, columns = shape
    corners = [[0, 0], [columns - 1, 0], [0, rows - 1], [columns - 1, rows - 1]]
    inside = generator.uniform([0, 0], [columns - 1, rows - 1], (count - 4, 2)).round(1)
    pixels = np.vstack([corners, inside])
    found = wcs.all_pix2world(pixels, 0)
    back = wcs.all_world2pix(found, 0, tolerance=1e-10, maxiter=60)
    error = np.abs(back - pixels).max()
    print(f"{name}: astropy comes back to {error:.1e} pixel", file=sys.stderr)
    assert error < 1e-8, name
    found = found[:, [wcs.wcs.lng, wcs.wcs.lat]]
    return [[float(value) for value in (*pixel, *sky)] for pixel, sky in zip(pixels, found)]


def main():
    generator = np.random.default_rng(11)
    result = []
    if len(sys.argv) > 1:
        name = "wcs_real.json"
        for path, hdu in REAL:
            with fits.open(pathlib.Path(sys.argv[1]) / path) as file:
                header = file[hdu].header
                wcs = WCS(header)
                shape = [header.get(f"ZNAXIS{axis}", header.get(f"NAXIS{axis}", 256)) for axis in (2, 1)]
            result.append({"file": path, "points": positions(wcs, generator, shape, 40, path)})
    else:
        name = "wcs_distorted.json"
        for title, cards in cases().items():
            header = fits.Header()
            for keyword, value in cards.items():
                header[keyword] = value
            is_full = any(word in title for word in (" of order", " of degree", "pole", "0 h", "outside"))
            points = positions(WCS(header), generator, (SIZE, SIZE), POINTS if is_full else FEW_POINTS, title)
            result.append({"name": title, "cards": cards, "points": points})
    lines = ",\n".join(json.dumps(case) for case in result)
    text = f'{{"astropy": "{astropy.__version__}", "cases": [\n{lines}\n]}}\n'
    (HERE / name).write_text(text)


if __name__ == "__main__":
    main()
