#!/usr/bin/env python3
"""Places of minor planets, for src/catalogs/minor_planets. Writes minor_planets.json beside this script.

Independent of the program: Kepler's equation by bisection, rotation matrices by numpy; the Earth and the telescope by astropy (ERFA's epv00 and
the full chain from ITRS to GCRS); the pull of the planets by scipy's DOP853 with ERFA's plan94 and epv00. Elements are near those of real
bodies, rounded as in MPCORB.DAT.
"""
import json
import pathlib

import astropy.units as u
import erfa
import numpy as np
from astropy.coordinates import EarthLocation
from astropy.time import Time
from astropy.utils import iers
from scipy.integrate import solve_ivp

iers.conf.auto_download = False
K = 0.01720209895
LIGHT = 0.0057755183314361
OBLIQUITY = np.radians(84381.448 / 3600)
SITE = EarthLocation.from_geodetic(-115.4646, 31.0449, 2792.0)

# name, epoch (MJD TT), M, peri, node, incl, e, a, H, G
ORBITS = [
    ("(1) Ceres", 61000, 231.53975, 73.29975, 80.24963, 10.58788, 0.0795763, 2.7656157, 3.35, 0.15),
    ("(433) Eros", 61000, 310.55433, 178.92978, 304.27010, 10.82847, 0.2228359, 1.4581209, 10.39, 0.15),
    ("(99942) Apophis", 61000, 313.33220, 126.68010, 203.89480, 3.34097, 0.1911511, 0.9223594, 19.09, 0.24),
    ("(3200) Phaethon", 61000, 68.10230, 322.29950, 265.09700, 22.31040, 0.8898700, 1.2714100, 14.34, 0.15),
    ("(624) Hektor", 61000, 39.24680, 184.80170, 342.79170, 18.16230, 0.0242000, 5.2681000, 7.45, 0.15),
    ("(50000) Quaoar", 61000, 303.63940, 155.36620, 188.91540, 7.98780, 0.0359000, 43.1476000, 2.42, 0.15),
    ("high eccentricity", 60800, 0.85000, 118.10000, 54.40000, 63.10000, 0.9700000, 17.8000000, 14.00, 0.15),
    ("retrograde", 61000, 350.00000, 51.20000, 220.30000, 141.50000, 0.6500000, 5.1000000, 15.50, 0.15),
    ("near the Earth", 61000, 200.00000, 81.00000, 60.20000, 1.20000, 0.4300000, 1.5100000, 24.00, 0.15),
    ("Hungaria", 60600, 120.00000, 123.00000, 175.40000, 22.50000, 0.0742000, 1.9443000, 11.21, 0.15),
    ("Hilda", 61000, 100.00000, 42.10000, 228.10000, 7.80000, 0.1390000, 3.9700000, 7.50, 0.15),
]
TIMES = ["2025-11-20T04:20:01", "2025-11-28T10:00:00", "2026-03-01T03:15:30", "2026-09-09T08:00:00", "2028-02-29T05:00:00"]


def rotated(vector):
    x, y, z = vector
    c, s = np.cos(OBLIQUITY), np.sin(OBLIQUITY)
    return np.array([x, c * y - s * z, s * y + c * z])


def eccentric(mean, e):
    mean = (mean + np.pi) % (2 * np.pi) - np.pi
    low, high = -np.pi, np.pi
    for _ in range(200):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if middle - e * np.sin(middle) > mean else (middle, high)
    return 0.5 * (low + high)


def two_body(orbit, mjd):
    _, epoch, mean, peri, node, incl, e, a, _, _ = orbit
    n = np.degrees(K / a**1.5)
    n = round(n, 8)
    anomaly = eccentric(np.radians(mean + n * (mjd - epoch)), e)
    place = np.array([a * (np.cos(anomaly) - e), a * np.sqrt(1 - e * e) * np.sin(anomaly), 0])
    rate = np.radians(n) / (1 - e * np.cos(anomaly))
    speed = np.array([-a * np.sin(anomaly) * rate, a * np.sqrt(1 - e * e) * np.cos(anomaly) * rate, 0])

    def about(axis, angle):
        angle = np.radians(angle)
        c, s = np.cos(angle), np.sin(angle)
        return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) if axis == "z" else np.array([[1, 0, 0], [0, c, -s], [0, s, c]])

    turn = about("z", node) @ about("x", incl) @ about("z", peri)
    return rotated(turn @ place), rotated(turn @ speed)


MASSES = {2: 408523.72, 4: 3098703.6, 5: 1047.3486, 6: 3497.9018, 7: 22902.98, 8: 19412.26}


def planets(mjd):
    places = [(mass, erfa.plan94(2400000.5, mjd, number)["p"]) for number, mass in MASSES.items()]
    return places + [(328900.56, erfa.plan94(2400000.5, mjd, 3)["p"])]


def slope(mjd, state):
    place, speed = state[:3], state[3:]
    pull = -K**2 * place / np.linalg.norm(place) ** 3
    for inverse_mass, planet in planets(mjd):
        towards = planet - place
        pull = pull + K**2 / inverse_mass * (towards / np.linalg.norm(towards) ** 3 - planet / np.linalg.norm(planet) ** 3)
    return np.concatenate([speed, pull])


def perturbed(orbit, mjd):
    epoch = float(orbit[1])
    start = np.concatenate(two_body(orbit, epoch))
    if mjd == epoch:
        return start[:3]
    return solve_ivp(slope, (epoch, mjd), start, method="DOP853", rtol=1e-11, atol=1e-13).y[:3, -1]


def observer(time, topocentric):
    earth = erfa.epv00(time.tdb.jd1, time.tdb.jd2)[0]["p"]
    if not topocentric:
        return earth
    place, _ = SITE.get_gcrs_posvel(time)
    return earth + place.xyz.to_value(u.au)


def sight(place_at, time, topocentric):
    mjd = time.tt.mjd
    seen_from = observer(time, topocentric)
    light = 0.0
    for _ in range(8):
        place = place_at(mjd - light)
        towards = place - seen_from
        light = LIGHT * np.linalg.norm(towards)
    return place, towards


def row(orbit, time, topocentric, is_perturbed):
    mjd = time.tt.mjd
    if is_perturbed:
        # Over the light-time the path is that of the state when the light arrives.
        base = perturbed(orbit, mjd)
        before = perturbed(orbit, mjd - 0.02)
        after = perturbed(orbit, mjd + 0.02)
        speed, pull = (after - before) / 0.04, (after - 2 * base + before) / 0.0004

        def place_at(date):
            span = date - mjd
            return base + speed * span + 0.5 * pull * span**2
    else:
        def place_at(date):
            return two_body(orbit, date)[0]
    place, towards = sight(place_at, time, topocentric)
    ra = np.degrees(np.arctan2(towards[1], towards[0])) % 360
    dec = np.degrees(np.arcsin(towards[2] / np.linalg.norm(towards)))
    r, delta = np.linalg.norm(place), np.linalg.norm(towards)
    phase = np.arccos(np.dot(place, towards) / (r * delta))
    half = np.tan(phase / 2)
    g = orbit[9]
    light = (1 - g) * np.exp(-3.33 * half**0.63) + g * np.exp(-1.87 * half**1.22)
    magnitude = orbit[8] + 5 * np.log10(r * delta) - 2.5 * np.log10(light)
    return [ra, dec, delta, r, np.degrees(phase), magnitude]


earth = []
for mjd in np.linspace(47892, 69807, 80):
    earth.append([float(mjd), *map(float, erfa.epv00(2400000.5, mjd)[0]["p"])])
observers = []
for text in TIMES:
    time = Time(text, scale="utc")
    observers.append([text, float(time.tt.mjd), *map(float, SITE.get_gcrs_posvel(time)[0].xyz.to_value(u.au))])
places = []
for orbit in ORBITS:
    for text in TIMES:
        time = Time(text, scale="utc")
        for is_perturbed in (False, True):
            places.append([ORBITS.index(orbit), text, is_perturbed, *map(float, row(orbit, time, True, is_perturbed))])
result = {"earth": earth, "observers": observers, "orbits": ORBITS, "places": places}
text = json.dumps(result).replace("], [", "],\n[")
pathlib.Path(__file__).with_suffix(".json").write_text(text + "\n")
