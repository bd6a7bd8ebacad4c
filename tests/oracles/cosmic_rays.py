"""Pixels that astroscrappy (McCully et al., the program most use for L.A.Cosmic) flags on a synthetic field that
src/imaging/synthetic.rs repeats bit for bit, with cosmic rays of the same arithmetic.

    pip install numpy astroscrappy
    python3 cosmic_rays.py > cosmic_rays.json
"""

import json
import math

import astroscrappy
import numpy as np

from synthetic_field import Generator, star_light

SHAPE = (200, 200)
FWHM, SKY, SEED, READ_NOISE = 2.2, 300.0, 77, 5.0
# Filters of astroscrappy leave the outermost pixels as they are.
MARGIN = 8


def field():
    """Sixty stars, each tenth brighter than the one before."""
    places = Generator(11)
    return [
        (
            round(15 + 170 * places.uniform(), 3),
            round(15 + 170 * places.uniform(), 3),
            float(round(500 * 1.16**index)),
        )
        for index in range(60)
    ]


def tracks():
    """Seventy tracks: pixels (row, column) and whole electrons."""
    random = Generator(5)
    hits = []
    for _ in range(70):
        x, y = 12 + 176 * random.uniform(), 12 + 176 * random.uniform()
        dx, dy = 2.0 * random.uniform() - 1.0, 2.0 * random.uniform() - 1.0
        step = max(math.sqrt(dx * dx + dy * dy), 0.1)
        charge = 150.0 + 2500.0 * random.uniform() * random.uniform()
        for _ in range(1 + int(8.0 * random.uniform() * random.uniform())):
            row, column = int(y), int(x)
            if MARGIN <= row < SHAPE[0] - MARGIN and MARGIN <= column < SHAPE[1] - MARGIN:
                hits.append((row, column, float(round(charge * (0.7 + 0.6 * random.uniform())))))
            x, y = x + dx / step, y + dy / step
    return hits


def frame(stars, hits):
    height, width = SHAPE
    light = star_light(stars, SHAPE, FWHM)
    noise = Generator(SEED)
    data = np.zeros(SHAPE, np.float32)
    for y in range(height):
        for x in range(width):
            expected = float(light[y, x]) + SKY
            square = expected + 25.0
            data[y, x] = expected + math.sqrt(square) * noise.normal()
    for row, column, charge in hits:
        data[row, column] += np.float32(charge)
    return data


def flagged(data, **settings):
    mask, _ = astroscrappy.detect_cosmics(
        data, gain=1.0, readnoise=READ_NOISE, satlevel=1e9, sepmed=False, cleantype="medmask", fsmode="median", **settings
    )
    return [[int(row), int(column)] for row, column in np.argwhere(mask)]


def main():
    stars, hits = field(), tracks()
    data = frame(stars, hits)
    settings = [
        {"sigclip": 4.5, "sigfrac": 0.3, "objlim": 5.0, "niter": 4},
        {"sigclip": 4.5, "sigfrac": 0.5, "objlim": 2.0, "niter": 4},
        {"sigclip": 6.0, "sigfrac": 0.5, "objlim": 5.0, "niter": 1},
    ]
    print(json.dumps({
        "made_with": f"astroscrappy {astroscrappy.__version__}",
        "shape": SHAPE, "fwhm": FWHM, "sky": SKY, "seed": SEED, "read_noise": READ_NOISE, "margin": MARGIN,
        "stars": stars, "hits": hits, "sum": float(data.astype(float).sum()),
        "runs": [{**each, "flagged": flagged(data, **each)} for each in settings],
    }))


main()
