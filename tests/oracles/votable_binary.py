#!/usr/bin/env python3
"""VOTables in TABLEDATA, BINARY and BINARY2 by astropy, for src/catalogs/input. Writes tests/fixtures/votable/*.xml and votable_binary.json beside
this script: the rows as they were put in, null for what is missing.
"""
import json
import pathlib

import numpy as np
from astropy.io.votable import from_table, writeto
from astropy.table import MaskedColumn, Table

here = pathlib.Path(__file__).parent
out = here.parent / "fixtures" / "votable"
out.mkdir(parents=True, exist_ok=True)
random = np.random.default_rng(6)
n = 37
hidden = np.arange(n) % 5 == 2
table = Table({
    "source_id": np.arange(n, dtype=np.int64) * 123_456_789_012 - 7,
    "ra": random.uniform(0, 360, n),
    "dec": random.uniform(-90, 90, n),
    "mag": MaskedColumn(random.uniform(12, 20, n).astype(np.float32), mask=hidden),
    "name": [f"star {k}" * (k % 3) for k in range(n)],
    "flags": MaskedColumn(random.integers(-30000, 30000, n).astype(np.int16), mask=np.roll(hidden, 1)),
    "count": random.integers(0, 2**31 - 1, n).astype(np.int32),
    "byte": random.integers(0, 255, n).astype(np.uint8),
    "good": random.uniform(0, 1, n) > 0.5,
    "pair": random.uniform(0, 1, (n, 2)),
    "last": random.uniform(0, 1, n),
})
table["ra"].unit = "deg"
table["dec"].unit = "deg"
for form in ("tabledata", "binary", "binary2"):
    votable = from_table(table)
    # BINARY has no other way to say that an integer is missing.
    votable.get_first_table().get_field_by_id_or_name("flags").values.null = -32768
    writeto(votable, str(out / f"{form}.xml"), tabledata_format=form)

NAMES = ["source_id", "ra", "dec", "mag", "name", "flags", "count", "byte", "good", "last"]


def value(name, row):
    each = row[name]
    if np.ma.is_masked(each) or (isinstance(each, str) and not each):
        return None
    if isinstance(each, (bool, np.bool_)):
        # astropy writes a truth value as a bit.
        return int(each)
    if isinstance(each, str):
        return str(each)
    if name == "mag":
        return float(str(np.float32(each)))
    return each.item()


rows = [[value(name, row) for name in NAMES] for row in table]
text = json.dumps({"names": NAMES, "rows": rows}).replace("], [", "],\n[")
(here / "votable_binary.json").write_text(text + "\n")
