#!/usr/bin/env python3
"""A tiny HATS catalogue by pyarrow, with the same rows as CSV, for src/catalogs/input/hats.rs. Writes tests/fixtures/hats/.

Gaia's column names; cells of orders 1 and 2; ZSTD, Snappy and no compression, dictionaries on and off, several row groups, nulls.
"""
import csv
import pathlib
import shutil

import astropy.units as u
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from astropy_healpix import HEALPix

out = pathlib.Path(__file__).parent.parent / "fixtures" / "hats"
shutil.rmtree(out, ignore_errors=True)
random = np.random.default_rng(9)
n = 90
ra = np.concatenate([random.uniform(40, 50, n // 2), random.uniform(300, 310, n - n // 2)])
dec = np.concatenate([random.uniform(-5, 5, n // 2), random.uniform(50, 60, n - n // 2)])
absent = random.uniform(0, 1, n) < 0.15
rows = pa.table({
    "_healpix_29": pa.array(HEALPix(nside=2**29, order="nested").lonlat_to_healpix(ra * u.deg, dec * u.deg), pa.int64()),
    "source_id": pa.array(4_000_000_000_000_000_000 + np.arange(n), pa.int64()),
    "ra": pa.array(ra, pa.float64()),
    "dec": pa.array(dec, pa.float64()),
    "pmra": pa.array([None if a else float(v) for a, v in zip(absent, random.normal(0, 8, n))], pa.float64()),
    "pmdec": pa.array([None if a else float(v) for a, v in zip(absent, random.normal(0, 8, n))], pa.float64()),
    "phot_g_mean_mag": pa.array(np.round(random.uniform(12, 20, n), 4).astype(np.float32), pa.float32()),
    "phot_bp_mean_mag": pa.array([None if a else round(float(v), 3) for a, v in zip(np.roll(absent, 3), random.uniform(12, 21, n))], pa.float64()),
    "designation": pa.array([f"Gaia DR3 {k}" for k in range(n)], pa.string()),
    "ref_epoch": pa.array(np.full(n, 2016.0), pa.float64()),
    "nested": pa.array([[k, k + 1] for k in range(n)], pa.list_(pa.int32())),
})

cells = {}
for place in range(n):
    order = 2 if ra[place] < 180 else 1
    cell = int(HEALPix(nside=2**order, order="nested").lonlat_to_healpix(ra[place] * u.deg, dec[place] * u.deg))
    cells.setdefault((order, cell), []).append(place)

lines = ["Norder,Npix,num_rows"]
for number, ((order, cell), places) in enumerate(sorted(cells.items())):
    path = out / "small" / "dataset" / f"Norder={order}" / "Dir=0" / f"Npix={cell}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(
        rows.take(places), path, compression=["zstd", "snappy", "none"][number % 3], use_dictionary=number % 2 == 0,
        row_group_size=25, data_page_version=["1.0", "2.0"][number // 3 % 2], store_schema=False,
    )
    lines.append(f"{order},{cell},{len(places)}")
(out / "small" / "partition_info.csv").write_text("\n".join(lines) + "\n")
(out / "small" / "hats.properties").write_text(
    "obs_collection=small\ndataproduct_type=object\nhats_nrows=90\nhats_col_ra=ra\nhats_col_dec=dec\nhats_version=v1.0\n")

with open(out / "rows.csv", "w", newline="") as file:
    writer = csv.writer(file, lineterminator="\n")
    names = [name for name in rows.column_names if name not in ("nested", "_healpix_29")]
    writer.writerow(names)
    for row in rows.select(names).to_pylist():
        row["phot_g_mean_mag"] = str(np.float32(row["phot_g_mean_mag"]))
        writer.writerow(["" if row[name] is None else row[name] for name in names])
