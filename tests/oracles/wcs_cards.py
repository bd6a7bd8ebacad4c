"""Matrices astropy.wcs makes of WCS cards in several dialects: writes wcs_cards.json beside this file."""

import json
import pathlib

from astropy.io import fits
from astropy.wcs import WCS

TAN = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRPIX1": 512.5, "CRPIX2": 368.25, "CRVAL1": 30.2695, "CRVAL2": 24.5099}
SWAPPED = {"CTYPE1": "DEC--TAN", "CTYPE2": "RA---TAN", "CRPIX1": 10.0, "CRPIX2": 20.0, "CRVAL1": -31.5, "CRVAL2": 115.25}

CASES = {
    "CD": TAN | {"CD1_1": -1.95e-4, "CD1_2": 3.4e-7, "CD2_1": 3.3e-7, "CD2_2": 1.94e-4},
    "CD, two elements": TAN | {"CD1_2": 1.95e-4, "CD2_1": -1.95e-4},
    "PC and CDELT": TAN | {"PC1_1": 0.9, "PC1_2": -0.1, "PC2_1": 0.12, "CDELT1": -2e-4, "CDELT2": 2.1e-4},
    "CDELT and CROTA2": TAN | {"CDELT1": -2e-4, "CDELT2": 2.1e-4, "CROTA2": 37.0},
    "CDELT alone": TAN | {"CDELT1": -2e-4, "CDELT2": 2.1e-4},
    "declination first, CD": SWAPPED | {"CD1_1": 1e-6, "CD1_2": 2e-4, "CD2_1": -2e-4, "CD2_2": 3e-6},
    "declination first, CROTA1": SWAPPED | {"CDELT1": 2e-4, "CDELT2": -2.1e-4, "CROTA1": 37.0},
}

result = []
for name, cards in CASES.items():
    header = fits.Header()
    for keyword, value in cards.items():
        header[keyword] = value
    wcs = WCS(header)
    celestial = [wcs.wcs.lng, wcs.wcs.lat]
    matrix = wcs.pixel_scale_matrix[celestial]
    result.append(
        {
            "name": name,
            "cards": cards,
            "cd": matrix.tolist(),
            "ra": wcs.wcs.crval[wcs.wcs.lng],
            "dec": wcs.wcs.crval[wcs.wcs.lat],
            "x": wcs.wcs.crpix[0] - 1,
            "y": wcs.wcs.crpix[1] - 1,
        }
    )
pathlib.Path(__file__).with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")
