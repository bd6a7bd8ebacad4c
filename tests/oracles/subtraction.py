"""Values that src/imaging/subtraction_tests.rs compares with: the difference that ois makes (Bramich 2008: every pixel of the kernel free, constant in place)
of the pair of images that the tests make, which this script repeats bit for bit.

    pip install numpy ois
    python3 subtraction.py > subtraction.json
"""

import json

import numpy as np
import ois

from synthetic_field import Generator, star_light

SHAPE, SCALE = (400, 440), 0.8
NEW_STARS = [(100.3, 90.6, 6000.0), (310.8, 120.2, 3000.0), (200.1, 300.4, 12000.0), (61.5, 333.0, 2500.0)]
RADIUS = 6.0


def stars():
    draw = Generator(17)
    found = []
    for _ in range(120):
        x, y = 440.0 * draw.uniform(), 400.0 * draw.uniform()
        found.append((x, y, 1500.0 / (0.01 + draw.uniform())))
    return found


def frame(stars, fwhm, sky, slope, seed):
    draw = Generator(seed)
    light = star_light(stars, SHAPE, fwhm)
    data = np.zeros(SHAPE, "f4")
    for y in range(SHAPE[0]):
        for x in range(SHAPE[1]):
            expected = light[y, x] + sky + slope * (x + 0.5 * y)
            data[y, x] = expected + np.sqrt(expected + 25.0) * draw.normal()
    return data.astype("f8")


def circle(plane, x, y):
    rows, columns = np.mgrid[0 : SHAPE[0], 0 : SHAPE[1]]
    return float(plane[np.hypot(columns - x, rows - y) <= RADIUS].sum())


def main():
    of_template = stars()
    new = frame([(x, y, SCALE * flux) for x, y, flux in of_template] + NEW_STARS, 3.4, 300.0, 0.05, 5)
    template = frame(of_template, 2.6, 150.0, -0.02, 6)
    difference, _, kernel, _ = ois.optimal_system(new, template, kernelshape=(13, 13), bkgdegree=1, method="Bramich")
    difference = np.ma.filled(difference, 0.0)
    centre = lambda x, y: 15 < x < SHAPE[1] - 16 and 15 < y < SHAPE[0] - 16
    far = lambda x, y: all(np.hypot(x - other[0], y - other[1]) > 20 for other in NEW_STARS)
    bright = sorted((star for star in of_template if centre(*star[:2]) and far(*star[:2])), key=lambda star: -star[2])[:10]
    values = {
        "ois": "0.2",
        "radius": RADIUS,
        "kernel_sum": float(np.sum(kernel)),
        "transients": [{"x": x, "y": y, "flux": circle(difference, x, y)} for x, y, _ in NEW_STARS],
        "stars": [{"x": x, "y": y, "share": circle(difference, x, y) / (SCALE * flux)} for x, y, flux in bright],
        "checksum": float(new.sum() + template.sum()),
    }
    print(json.dumps(values, indent=1))


if __name__ == "__main__":
    main()
