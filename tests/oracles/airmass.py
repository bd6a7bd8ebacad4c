#!/usr/bin/env python3
"""Altitudes above San Pedro Martir by astropy, without refraction. Oracle of src/simulation/headers.rs.

Writes airmass.json beside itself. Earth orientation tables are not needed at this accuracy.
"""
import json
from pathlib import Path

from astropy import units as u
from astropy.coordinates import AltAz, EarthLocation, SkyCoord
from astropy.time import Time
from astropy.utils import iers

iers.conf.auto_download = False
SITE = EarthLocation.from_geodetic(-115.4646 * u.deg, 31.0449 * u.deg, 2792 * u.m)
CASES = [
    (30.2695, 24.5099, "2026-11-01T04:20:00Z"),
    (30.2695, 24.5099, "2026-11-01T07:20:00Z"),
    (30.2695, 24.5099, "2019-10-16T05:00:00Z"),
    (313.197, 6.668, "2026-11-01T04:13:00Z"),
    (200.0, -20.0, "2026-11-01T04:13:00Z"),
]


def main():
    rows = []
    for ra, dec, text in CASES:
        instant = Time(text.rstrip("Z"), scale="utc")
        where = SkyCoord(ra * u.deg, dec * u.deg).transform_to(AltAz(obstime=instant, location=SITE))
        rows.append(dict(ra=ra, dec=dec, instant=text, altitude=where.alt.deg))
    Path(__file__).with_suffix(".json").write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
