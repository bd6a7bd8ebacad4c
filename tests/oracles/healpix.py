#!/usr/bin/env python3
"""Nested HEALPix cells by astropy-healpix, for src/catalogs/healpix.rs. Writes healpix.json beside this script.

Cells overlapping a cone are those in which one of many points of the cone lies: all of them certainly overlap it.
"""
import json
import pathlib

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from astropy_healpix import HEALPix

random = np.random.default_rng(4)
ORDERS = [0, 1, 2, 5, 8, 9, 12, 20, 29]


def grid(order):
    return HEALPix(nside=2**order, order="nested")


cells = []
for order in ORDERS:
    ra = np.concatenate([random.uniform(0, 360, 100), [0, 0, 359.9999999, 45.1, 123, 200, 10, 10]])
    dec = np.concatenate([
        np.degrees(np.arcsin(random.uniform(-1, 1, 100))),
        [0.1, -0.1, 5, 89.9999, -89.99999, 41.8, 41.9, -41.9],
    ])
    cell = grid(order).lonlat_to_healpix(ra * u.deg, dec * u.deg)
    lon, lat = grid(order).healpix_to_lonlat(cell)
    for row in zip(ra, dec, cell, lon.deg, lat.deg):
        cells.append([order, float(row[0]), float(row[1]), int(row[2]), float(row[3]), float(row[4])])
# Near the poles, close to the lines between base cells.
for dec in (89.0, 80.0, 60.0, -60.0, -80.0, -89.0):
    for ra in np.arange(0.5, 360, 15.0):
        cell = grid(9).lonlat_to_healpix(ra * u.deg, dec * u.deg)
        lon, lat = grid(9).healpix_to_lonlat(cell)
        cells.append([9, float(ra), dec, int(cell), float(lon.deg), float(lat.deg)])

cones = []
for order, ra, dec, radius in [
    (4, 10, 20, 5), (6, 359.9, 0.1, 3), (8, 110, 24, 0.5), (8, 0, 90, 0.7), (8, 77, -89.8, 0.5), (5, 44, 41.8, 4),
    (9, 266.4, -28.9, 0.3), (3, 180, -45, 30), (8, 30.27, 24.5, 0.001), (0, 20, 10, 1), (2, 90, 0, 91),
]:
    n = 20000
    distance = radius * np.sqrt(random.uniform(0, 1, n)) if radius < 10 else np.degrees(
        np.arccos(1 - random.uniform(0, 1, n) * (1 - np.cos(np.radians(radius)))))
    points = SkyCoord(ra, dec, unit="deg").directional_offset_by(
        random.uniform(0, 360, n) * u.deg, distance * u.deg)
    hit = grid(order).lonlat_to_healpix(points.ra, points.dec)
    cones.append([order, ra, dec, radius, sorted({int(cell) for cell in hit})])

radii = []
for order in range(6):
    number = np.arange(12 * 4**order)
    lon, lat = grid(order).healpix_to_lonlat(number)
    corners = grid(order).boundaries_lonlat(number, step=1)
    middle = SkyCoord(lon, lat)[:, None]
    radii.append([order, float(middle.separation(SkyCoord(corners[0], corners[1])).deg.max())])

text = json.dumps({"cells": cells, "cones": cones, "radii": radii})
pathlib.Path(__file__).with_suffix(".json").write_text(text.replace("]], ", "]],\n").replace("], [", "],\n[") + "\n")
