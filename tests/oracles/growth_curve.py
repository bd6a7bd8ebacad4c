"""Aperture sums and curves of growth by photutils on the field that src/imaging/synthetic.rs repeats bit for bit.

Oracle of src/imaging/growth_curve.rs.

    pip install numpy photutils
    python3 growth_curve.py > growth_curve.json
"""

import json
import math

import numpy as np
from photutils.aperture import CircularAperture, aperture_photometry


SIZE, FWHM, SKY, SEED = 320, 3.2, 200.0, 77
RADIUS = 3.5
# To five full widths.
RADII = [2.0, RADIUS, 5.0, 7.0, 9.0, 12.0, 16.0]


class Generator:
    def __init__(self, seed):
        self.state = seed

    def uniform(self):
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) % 2**64
        return (self.state >> 11) / 9007199254740992.0

    def normal(self):
        total = 0.0
        for _ in range(12):
            total += self.uniform()
        return total - 6.0


def pixel_light(dx, dy, core):
    node = 0.7745966692414834 / 2.0
    positions = [-node, 0.0, node]
    weights = [5.0 / 18.0, 8.0 / 18.0, 5.0 / 18.0]
    square = core * core
    total = 0.0
    for j in range(3):
        for i in range(3):
            u, v = dx + positions[i], dy + positions[j]
            q = 1.0 + (u * u + v * v) / square
            total += weights[i] * weights[j] / (q * q * q)
    return total * 2.0 / (math.pi * square)


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
    core = FWHM / 1.0196490570679173
    light = np.zeros((SIZE, SIZE))
    for x0, y0, flux in stars:
        column, row = math.floor(x0 + 0.5), math.floor(y0 + 0.5)
        for y in range(max(row - 60, 0), min(row + 61, SIZE)):
            for x in range(max(column - 60, 0), min(column + 61, SIZE)):
                light[y, x] += flux * pixel_light(x - x0, y - y0, core)
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
