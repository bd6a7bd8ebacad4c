"""Stars of Moffat profiles (index 3) and noise, as src/imaging/synthetic.rs makes them bit for bit: for the scripts beside it."""

import math

import numpy as np


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


def star_light(stars, shape, fwhm):
    """The light of stars (x, y, flux) on the pixels of an image of `shape`, each within 60 pixels of its own."""
    height, width = shape
    core = fwhm / 1.0196490570679173
    light = np.zeros(shape)
    for x0, y0, flux in stars:
        column, row = math.floor(x0 + 0.5), math.floor(y0 + 0.5)
        for y in range(max(row - 60, 0), min(row + 61, height)):
            for x in range(max(column - 60, 0), min(column + 61, width)):
                light[y, x] += flux * pixel_light(x - x0, y - y0, core)
    return light
