"""Galactic coordinates by astropy, for src/model/sky.rs. Writes galactic.json beside this script."""
import json, pathlib
from astropy.coordinates import SkyCoord

positions = [(30.2695, 24.5099), (266.4, -28.9), (192.9, 27.1), (0.0, -89.0), (359.99, 45.0)]
rows = []
for ra, dec in positions:
    g = SkyCoord(ra, dec, unit="deg", frame="icrs").galactic
    rows.append([ra, dec, g.l.deg, g.b.deg])
pathlib.Path(__file__).with_suffix(".json").write_text(json.dumps(rows, indent=1) + "\n")
