#!/usr/bin/env python3
"""The fault matrix: every actor, every way to fail, before, during and after a deadline.

One small simulated night without any fault, then one night for each cell. Two cameras work: one follows the burst (instance svom),
the other goes on with its programme (instance colibri), so that a fault in one meets work in the other. A cell holds when the night ends well and the
science centre's archive, the trigger file, the candidates and the deadlines are those of the calm night. Beside it stand
the restarts and the wall seconds from the failure being noticed until the actor ran again.

    tests/faults/fault_matrix.py --gic target/release/gic [--jobs 2] [--only gp1-svom] [--markdown FILE]

Exit code 1 when a cell does not hold. Python's standard library only.
"""

import argparse
import concurrent.futures
import json
import pathlib
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time

ACTORS = [
    "alert-receiver",
    "trigger-manager",
    "image-provider",
    "gp1-svom",
    "gp1-colibri",
    "product-maker",
    "fsc-uploader",
    "calibration-master",
    "status-collector",
    "web",
]
FAULTS = ["panic", "hang", "slow", "full-mailbox"]
WORKER_FAULTS = ["worker-panic", "worker-hang"]
# Seconds after T0 and steps of the actor; the deadline is T0 + 300 s.
MOMENTS = {"before": "290", "during": "300+3", "after": "310"}
NIGHT = """speed = 100000.0
[sky]
width_pixels = 512
height_pixels = 512
star_count = 1634
dither_arcsec = 10.0
calibration_frame_count = 4
[sky.afterglow]
offset_arcsec = [20.0, 90.0]
[story]
duration_minutes = 12.0
second_camera = "C1"
"""


def run_night(gic, config, out, faults):
    command = [gic, "simulate", "--config", config, "--out", out, "--fresh", "--json"]
    for fault in faults:
        command += ["--fault", fault]
    began = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    seconds = time.monotonic() - began
    report = json.loads(done.stdout) if done.stdout.strip() else {}
    return done.returncode, report, done.stderr, seconds


def outcome_of(out):
    """What must be the same in every night, read from the files and the journal, not from the report."""
    out = pathlib.Path(out)
    receipts = {}
    for path in sorted(out.glob("fsc/archive/**/*.fits.json")):
        receipt = json.loads(path.read_text())
        if receipt["product"] in receipts:
            raise ValueError(f"two receipts for {receipt['product']}")
        receipts[receipt["product"]] = (receipt["sha256"], receipt["status"])
    triggers = {p.name: p.read_bytes() for p in sorted(out.glob("**/triggers/**/trigger_*.dat"))}
    [journal] = list(out.glob("**/gic.sqlite"))
    with sqlite3.connect(f"file:{journal}?mode=ro", uri=True) as connection:
        rows = lambda query: connection.execute(query).fetchall()
        return {
            "receipts": receipts,
            "trigger files": triggers,
            "alerts": rows("SELECT sha256, state FROM alerts ORDER BY id"),
            "frames": rows("SELECT name, data_sha256, state FROM frames ORDER BY name, data_sha256"),
            "deadlines": rows("SELECT burst, name, due_at, state FROM deadlines ORDER BY 1, 3, 2"),
            "deliveries": rows("SELECT count(*), state FROM deliveries GROUP BY state"),
        }


def differences(calm, night):
    return [what for what in calm if calm[what] != night[what]]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gic", default="target/release/gic")
    parser.add_argument("--jobs", type=int, default=1, help="nights at the same time")
    parser.add_argument("--only", action="append", help="actor or fault; may be given again")
    parser.add_argument("--markdown", help="write the table to this file as well")
    arguments = parser.parse_args()

    cells = [(actor, fault) for actor in ACTORS for fault in FAULTS]
    cells += [(actor, fault) for actor in ACTORS if actor.startswith("gp1-") for fault in WORKER_FAULTS]
    if arguments.only:
        cells = [c for c in cells if c[0] in arguments.only or c[1] in arguments.only]

    work = pathlib.Path(tempfile.mkdtemp(prefix="gic-faults-"))
    config = work / "night.toml"
    config.write_text(NIGHT)
    code, _, stderr, calm_seconds = run_night(arguments.gic, config, work / "calm", [])
    if code != 0:
        sys.exit(f"the calm night fails: {stderr}")
    calm = outcome_of(work / "calm")
    print(f"calm night: {len(calm['receipts'])} products, {calm_seconds:.1f} s", file=sys.stderr)

    def trial(cell):
        actor, fault, moment = cell
        out = work / f"{actor}-{fault}-{moment}"
        try:
            code, report, stderr, seconds = run_night(
                arguments.gic, config, out, [f"{fault}:{actor}@{MOMENTS[moment]}"]
            )
            wrong = differences(calm, outcome_of(out))
            if code != 0:
                wrong.append(f"exit code {code}: {stderr.strip().splitlines()[-1:]}")
            expected = 1 if fault in ("panic", "hang") else 0
            restarts = report.get("restarts", {}).get(actor)
            if restarts != expected:
                wrong.append(f"{restarts} restarts instead of {expected}")
            back = report.get("restart_seconds", {}).get(actor)
        except Exception as error:  # a cell that cannot be judged does not hold
            wrong, back, seconds = [repr(error)], None, float("nan")
        if not wrong:
            shutil.rmtree(out, ignore_errors=True)
        mark = "same" if not wrong else "; ".join(wrong)
        print(f"{actor:20} {fault:14} {moment:8} {seconds:6.1f} s  {mark}", file=sys.stderr)
        return cell, wrong, back, seconds

    trials = [(a, f, moment) for a, f in cells for moment in MOMENTS]
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        results = {cell: rest for cell, *rest in pool.map(trial, trials)}

    lines = [
        f"{len(trials)} nights of {len(calm['receipts'])} products against a calm one of {calm_seconds:.1f} s. "
        "In each cell: is everything as in the calm night, and wall seconds from the failure being noticed "
        "until the actor ran again (a hung actor is noticed after 10 s, a hung worker after 30 s).",
        "",
        "| actor | fault | " + " | ".join(f"{m} the deadline" for m in MOMENTS) + " |",
        "|---|---|" + "---|" * len(MOMENTS),
    ]
    failed = 0
    for actor, fault in cells:
        row = []
        for moment in MOMENTS:
            wrong, back, _ = results[(actor, fault, moment)]
            failed += bool(wrong)
            text = "same" if not wrong else "NOT THE SAME: " + "; ".join(wrong)
            row.append(text + (f", back in {back:.2f} s" if back is not None else ""))
        lines.append(f"| {actor} | {fault} | " + " | ".join(row) + " |")
    table = "\n".join(lines)
    print(table)
    if arguments.markdown:
        pathlib.Path(arguments.markdown).write_text(table + "\n")
    if failed:
        print(f"{failed} cells do not hold; their nights are in {work}", file=sys.stderr)
        sys.exit(1)
    shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()
