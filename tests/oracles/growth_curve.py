"""Aperture sums and curves of growth by photutils on the field that src/imaging/synthetic.rs repeats bit for bit.

Oracle of src/imaging/growth_curve.rs.

    pip install numpy photutils
    python3 growth_curve.py > growth_curve.json
"""

import json
import math

import numpy as np
from photutils.aperture import CircularAperture, aperture_photometry

from synthetic_field import Generator, star_light

SIZE, FWHM, SKY, SEED = 320, 3.2, 200.0, 77
RADIUS = 3.5
# To five full widths.
RADII = [2.0, RADIUS, 5.0, 7.0, 9.0, 12.0, 16.0]


def field():
    places = Generator(9)
    stars = []
    for row in range(5):
        for column in range(5):
            x = round(32 + 64 * column + 6 * places.uniform(), 3)
            y = round(32 + 64 * row + 6 * places.uniform(), 3)
            stars.append((x, y, float(round(40000 * 1.08 ** len(stars)))))
    return stars


def frame(stars):
    light = star_light(stars, (SIZE, SIZE), FWHM)
    generator = Generator(SEED)
    data = np.zeros((SIZE, SIZE), dtype=np.float32)
    for y in range(SIZE):
        for x in range(SIZE):
            expected = light[y, x] + SKY
            data[y, x] = expected + math.sqrt(expected + 25.0) * generator.normal()
    return data


def main():
    stars = field()
    data = frame(stars).astype(float) - SKY
    positions = [(x, y) for x, y, _ in stars]
    sums = np.array(
        [aperture_photometry(data, CircularAperture(positions, radius), method="exact")["aperture_sum"] for radius in RADII]
    ).T
    # The curve, normalised at its last radius, and the profile's share beyond that.
    curve = np.median(sums / sums[:, -1:], axis=0)
    square = (FWHM / 1.0196490570679173) ** 2
    beyond = (1 + RADII[-1] ** 2 / square) ** -2
    share = curve[RADII.index(RADIUS)] * (1 - beyond)
    print(
        json.dumps(
            dict(size=SIZE, fwhm=FWHM, sky=SKY, seed=SEED, radius=RADIUS, radii=RADII, stars=stars, sums=sums.tolist(), share=share),
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
