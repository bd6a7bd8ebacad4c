"""What astropy reads in the region file and the VOTable of tests/golden: report.json.

    python tests/oracles/report.py        (astropy, regions)

The VOTables are read with verify='exception': anything that the standard forbids ends the script.
"""

import json
from pathlib import Path

from astropy.io.votable import parse
from astropy.time import Time
from regions import CircleSkyRegion, Regions

GOLDEN = Path(__file__).parent.parent / "golden"


def main():
    circles = []
    for region in Regions.read(str(GOLDEN / "candidates.reg"), format="ds9"):
        assert isinstance(region, CircleSkyRegion), region
        circles.append(
            {
                "ra": region.center.ra.deg,
                "dec": region.center.dec.deg,
                "radius_arcsec": region.radius.to_value("arcsec"),
                "text": region.meta["text"],
            }
        )
    votable = parse(str(GOLDEN / "candidates.vot"), verify="exception")
    candidates, points = [table.to_table() for table in votable.iter_tables()]
    none = parse(str(GOLDEN / "candidates_none.vot"), verify="exception")
    assert [len(table.array) for table in none.iter_tables()] == [0, 0]
    assert str(candidates["ra"].unit) == "deg" and str(points["exposure"].unit) == "s"
    start = Time(points["start"].data.astype(float), format="mjd", scale="utc")
    result = {
        "circles": circles,
        "ranks": [int(rank) for rank in candidates["rank"]],
        "ids": [str(name) for name in candidates["id"]],
        "ra": [float(value) for value in candidates["ra"]],
        "dec": [float(value) for value in candidates["dec"]],
        "magnitudes": [float(value) for value in candidates["magnitude"]],
        "point_count": len(points),
        "detected": int(points["detected"].sum()),
        "start_unix_seconds": [float(value) for value in start.unix],
    }
    (Path(__file__).parent / "report.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
