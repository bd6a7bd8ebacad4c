"""Combination and reduction of small frames with numpy, in double precision: writes calibration.json beside this file.

The frames are whole numbers from a remainder, so that the tests make the same ones."""

import json
import pathlib

import numpy as np

SHAPE = (5, 37)
ROW, COLUMN = np.indices(SHAPE, dtype=np.int64)


def remainder(salt):
    seed = salt * 7919 + ROW * 104729 + COLUMN * 1299709
    return (seed * seed % 97).astype(float)


def frame(index, base):
    values = base + remainder(index)
    if index == 1:
        values[(ROW * COLUMN) % 17 == 3] = 60000
    if index == 2:
        values[(ROW + COLUMN) % 11 == 0] = np.nan
    return values


def clipped_mean(stack, sigma):
    median = np.nanmedian(stack, axis=0)
    distance = np.abs(stack - median)
    deviation = np.nanmedian(distance, axis=0) / 0.6744897501960817
    other = np.nanmean(distance, axis=0) * np.sqrt(np.pi / 2)
    deviation = np.where(deviation > 0, deviation, other)
    # Of an even number of pixels the upper one of the middle two.
    typical = [np.sort(row[np.isfinite(row)])[np.isfinite(row).sum() // 2] for row in deviation]
    deviation = np.maximum(deviation, np.array(typical)[:, None])
    kept = np.where(distance <= sigma * deviation, stack, np.nan)
    return np.nanmean(kept, axis=0)


result = {}
for count in (1, 2, 5, 8):
    stack = np.array([frame(index, 600) for index in range(count)])
    result[f"median_{count}"] = np.nanmedian(stack, axis=0)
    result[f"clipped_{count}"] = clipped_mean(stack, 3)

bias, dark = frame(7, 300), frame(9, 2) / 50
scaled = []
for index, seconds in enumerate([2, 3, 4.5, 6, 8]):
    light = frame(index, 5000 + 900 * index) - bias - dark * seconds
    scaled.append(light / np.nanmedian(light))
flat = np.nanmedian(scaled, axis=0)
result["flat"] = flat / np.nanmedian(flat)

raw = remainder(1) * 20 + 310
bias = remainder(2) * 0.1 + 300
dark = remainder(3) * 0.001
flat = remainder(4) * 0.004 + 0.8
signal = 6.2 * (raw - bias - dark * 60)
result["reduced"] = signal / flat
result["variance"] = (np.maximum(signal, 0) + 64) / flat**2

text = json.dumps({name: [float(f"{value:.12g}") for value in plane.ravel()] for name, plane in result.items()})
pathlib.Path(__file__).with_suffix(".json").write_text(text.replace("], ", "],\n") + "\n")
