#!/usr/bin/env python3
"""The worst case of the real telescope, in real time: two cameras, a frame each every ten seconds.

A real `gic run` with its own directories, a real `gic fsc serve`, an alert over a real VTP connection; frames are dropped by rename.
The frames are those of two short simulated nights (one for each camera), given new names and times as they are dropped. Printed:
latency of the frames, lateness of the deliveries, queue depths, memory; and a plot of queue depth and memory as SVG.

    bench/two_cameras.py --gic target/release/gic --minutes 60 --size 4096 --plot two_cameras.svg

The disk must hold 185 MB a frame at 4096 (34 raw, 151 reduced): the run ends early, and says so, when less than --keep-free GB are left.
With --packed the frames come as .fits.fz (fpack of CFITSIO must be there), as a camera with little disk would write them.
Python's standard library only. Exit code 1 when a delivery is later than --latest seconds or something is lost.
"""

import argparse
import datetime
import json
import pathlib
import re
import shutil
import socket
import sqlite3
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

SKY = """seed = 1
speed = 100000.0
[sky]
width_pixels = {size}
height_pixels = {size}
scale_degrees = 0.000105833
star_count = {stars}
galaxy_count = {galaxies}
calibration_frame_count = 4
instrument = "{camera}"
filter = "{filter}"
[story]
duration_minutes = {minutes}
[products]
filters = ["r", "z"]
"""


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def iso(moment):
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}"


def card(keyword, text):
    return f"{keyword:8}= {text}".ljust(80)[:80].encode()


def with_times(data, start, t0):
    """The frame with another start of exposure; checksums are left out, as the telescope does."""
    # Packed, the cards are in the extension after the empty primary header.
    begin = data.index(b"XTENSION") if b"XTENSION" in data[:28800] else 0
    end = data.index(b"END" + b" " * 77, begin)
    cards = [data[place : place + 80] for place in range(begin, end, 80)]
    mjd = (start - datetime.datetime(1858, 11, 17, tzinfo=datetime.timezone.utc)).total_seconds() / 86400
    new = {
        b"DATE-OBS": card("DATE-OBS", f"'{iso(start)}'"),
        b"MJD-OBS ": card("MJD-OBS", f"{mjd:.10f}"),
        b"ALEVT   ": card("ALEVT", f"'{iso(t0)}'"),
        b"CHECKSUM": b"COMMENT".ljust(80),
        b"DATASUM ": b"COMMENT".ljust(80),
        b"ZHECKSUM": b"COMMENT".ljust(80),
        b"ZDATASUM": b"COMMENT".ljust(80),
    }
    return data[:begin] + b"".join(new.get(each[:8], each) for each in cards) + data[end:]


def send_packet(address, packet):
    with socket.create_connection(address, timeout=20) as connection:
        connection.sendall(struct.pack(">I", len(packet)) + packet)
        length = struct.unpack(">I", connection.recv(4))[0]
        answer = connection.recv(length)
        if b'role="ack"' not in answer:
            raise RuntimeError(f"the packet was not acknowledged: {answer!r}")


def metric_sum(text, name, label=""):
    values = re.findall(rf"^{name}(?:\{{[^}}]*{label}[^}}]*\}})? ([0-9.e+-]+)$", text, re.M)
    return sum(map(float, values))


def memory_mb(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024


def quantile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


def plot(samples, title):
    """Two panels over the same minutes: frames waiting, and memory."""
    width, height, left, top = 860, 190, 70, 50
    minutes = max(sample[0] for sample in samples) or 1
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width + left + 30}" height="{2 * height + 190}" '
        'font-family="sans-serif" font-size="13"><rect width="100%" height="100%" fill="white"/>',
        f'<text x="{left}" y="26" font-size="16">{title}</text>',
    ]
    for panel, (index, label, colour) in enumerate([(1, "frames waiting", "#b04a00"), (2, "memory, GB", "#00507a")]):
        base = top + height + panel * (height + 60)
        highest = max(max(sample[index] for sample in samples), 1) * 1.1
        points = " ".join(
            f"{left + width * s[0] / minutes:.1f},{base - height * s[index] / highest:.1f}" for s in samples
        )
        lines.append(f'<text x="{left}" y="{base - height - 6}">{label}</text>')
        for step in range(5):
            y, value = base - height * step / 4, highest * step / 4
            lines.append(f'<line x1="{left}" x2="{left + width}" y1="{y}" y2="{y}" stroke="#ddd"/>')
            lines.append(f'<text x="{left - 8}" y="{y + 4}" text-anchor="end">{value:.1f}</text>')
        for step in range(7):
            x = left + width * step / 6
            lines.append(f'<text x="{x}" y="{base + 18}" text-anchor="middle">{minutes * step / 6:.0f}</text>')
        lines.append(f'<polyline fill="none" stroke="{colour}" stroke-width="1.6" points="{points}"/>')
    lines.append(f'<text x="{left + width / 2}" y="{2 * height + 175}" text-anchor="middle">minutes</text></svg>')
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gic", default="target/release/gic")
    parser.add_argument("--size", type=int, default=4096, help="pixels on a side")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--cadence", type=float, default=10, help="seconds between two frames of a camera")
    parser.add_argument("--latest", type=float, default=30, help="seconds a delivery may be late")
    parser.add_argument("--keep-free", type=float, default=3, help="GB of disk to leave free")
    parser.add_argument("--packed", action="store_true", help="drop tile-compressed frames")
    parser.add_argument("--work", help="directory to work in; kept")
    parser.add_argument("--plot", help="SVG file")
    arguments = parser.parse_args()
    gic = str(pathlib.Path(arguments.gic).resolve())
    work = pathlib.Path(arguments.work or tempfile.mkdtemp(prefix="gic-two-cameras-"))
    work.mkdir(parents=True, exist_ok=True)

    # The frames.
    nights = {}
    catalogue = None
    scale = (arguments.size / 4096) ** 2
    for camera, band in [("C1", "r"), ("C2", "z")]:
        config, out = work / f"{camera}.toml", work / f"night-{camera}"
        config.write_text(
            SKY.format(
                size=arguments.size,
                stars=int(8000 * scale),
                galaxies=int(2000 * scale),
                camera=camera,
                filter=band,
                minutes=6,
            )
        )
        if not (out / "report.json").exists() and not (out / "data").exists():
            print(f"frames of {camera} ...", file=sys.stderr)
            subprocess.run(
                [gic, "simulate", "--config", config, "--out", out, "--json"], check=False, stdout=subprocess.DEVNULL
            )
        raw = sorted(out.glob("data/raw/*/*.fits"))
        nights[camera] = {
            "object": [path for path in raw if path.stem.endswith("o")],
            "calibration": [path for path in raw if not path.stem.endswith("o")],
        }
        found = list(out.glob("**/catalogue*.csv")) + list(out.glob("**/*.csv"))
        catalogue = catalogue or (found[0] if found else None)
        if not nights[camera]["object"]:
            sys.exit(f"no frames of {camera} were made in {out}")
        shutil.rmtree(out / "data" / "calibrated", ignore_errors=True)
        if arguments.packed:
            for path in nights[camera]["object"]:
                if not path.with_suffix(".fits.fz").exists():
                    subprocess.run(["fpack", path], check=True)
            nights[camera]["object"] = [path.with_suffix(".fits.fz") for path in nights[camera]["object"]]
    packets = sorted((work / "night-C1").glob("data/triggers/*/packet_*.xml"))

    # The controller and the receiver.
    fsc_port = free_port()
    config = work / "gic.toml"
    lines = [
        "[data]",
        f'directory = "{work}/data"',
        "[alerts]",
        'listen = "127.0.0.1:0"',
        'accept_roles = ["observation", "test"]',
        "[web]",
        'listen = "127.0.0.1:0"',
        "[fsc]",
        f'upload_url = "http://127.0.0.1:{fsc_port}/upload-product"',
        "[calibration]",
        "quiet_seconds = 5.0",
        "[products]",
        'filters = ["r", "z"]',
    ]
    if catalogue:
        lines += ["[catalogue]", f'file = "{catalogue}"']
    config.write_text("\n".join(lines) + "\n")
    shutil.rmtree(work / "data", ignore_errors=True)
    receiver = subprocess.Popen(
        [gic, "fsc", "serve", "--listen", f"127.0.0.1:{fsc_port}", "--directory", work / "received"],
        stderr=open(work / "fsc.log", "w"),
    )
    controller = subprocess.Popen([gic, "run", "-c", config], stderr=open(work / "run.log", "w"))
    samples, stop = [], threading.Event()
    try:
        addresses = {}
        for _ in range(300):
            text = (work / "run.log").read_text()
            addresses = dict(re.findall(r"^(alerts|pages): +(?:http://)?([0-9.:]+)", text, re.M))
            if len(addresses) == 2:
                break
            if controller.poll() is not None:
                sys.exit(f"gic run ended: {text}")
            time.sleep(0.1)
        pages = f"http://{addresses['pages']}"
        host, port = addresses["alerts"].rsplit(":", 1)

        incoming = work / "data" / "incoming"
        for camera in nights:
            for path in nights[camera]["calibration"]:
                target = incoming / path.name.replace("C0", camera)
                shutil.copyfile(path, target.with_suffix(".partial.tmp"))
                target.with_suffix(".partial.tmp").rename(target)
        print("masters ...", file=sys.stderr)
        for _ in range(240):
            with sqlite3.connect(f"file:{work}/data/gic.sqlite?mode=ro", uri=True) as journal:
                waiting = journal.execute(
                    "SELECT count(*) FROM frames WHERE instance = 'calibration' AND state = 'arrived'"
                ).fetchone()[0]
                seen = journal.execute("SELECT count(*) FROM frames").fetchone()[0]
            if seen and not waiting:
                break
            time.sleep(1)

        t0 = datetime.datetime.now(datetime.timezone.utc)
        for packet in packets[:3]:
            text = packet.read_text()
            old = re.search(r'Alert_Seq_T0" value="([^"]+?)\.000Z"', packets[1].read_text())[1]
            shift = t0 - datetime.datetime.fromisoformat(old).replace(tzinfo=datetime.timezone.utc)

            def moved(match):
                moment = datetime.datetime.fromisoformat(match[0]).replace(tzinfo=datetime.timezone.utc)
                return (moment + shift).strftime("%Y-%m-%dT%H:%M:%S")

            text = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", moved, text)
            send_packet((host, int(port)), text.encode())
        began = time.monotonic()

        def watch():
            while not stop.wait(5):
                try:
                    with urllib.request.urlopen(f"{pages}/metrics", timeout=5) as answer:
                        text = answer.read().decode()
                    waiting = metric_sum(text, "gic_queue_depth", 'queue="svom"')
                    samples.append(((time.monotonic() - began) / 60, waiting, memory_mb(controller.pid) / 1024))
                except OSError as error:
                    print(f"no metrics: {error}", file=sys.stderr)

        threading.Thread(target=watch, daemon=True).start()

        dropped, ended_early = 0, None
        count = int(arguments.minutes * 60 / arguments.cadence)
        for index in range(count):
            due = began + index * arguments.cadence
            time.sleep(max(0, due - time.monotonic()))
            if shutil.disk_usage(work).free < arguments.keep_free * 1e9:
                ended_early = f"the disk was full after {index * arguments.cadence / 60:.1f} minutes of frames"
                break
            start = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(seconds=9)
            for camera in nights:
                base = nights[camera]["object"][index % len(nights[camera]["object"])]
                ending = base.name[base.name.index(".") :]
                name = start.strftime("%Y%m%dT%H%M%S") + f"{camera}o{ending}"
                target = incoming / name
                target.with_suffix(".partial.tmp").write_bytes(with_times(base.read_bytes(), start, t0))
                target.with_suffix(".partial.tmp").rename(target)
                dropped += 1
            if index % 6 == 0 and samples:
                minutes, waiting, memory = samples[-1]
                print(f"{minutes:5.1f} min  {dropped} frames, {waiting:.0f} wait, {memory:.2f} GB", file=sys.stderr)

        # What is begun is finished: the deadlines that were due, and the frames.
        for _ in range(240):
            with sqlite3.connect(f"file:{work}/data/gic.sqlite?mode=ro", uri=True) as journal:
                done = journal.execute(
                    "SELECT count(*) FROM frames WHERE state <> 'arrived' AND instance <> 'calibration'"
                ).fetchone()[0]
                open_deadlines = journal.execute(
                    "SELECT count(*) FROM deadlines WHERE state IN ('due', 'analysed', 'produced')"
                ).fetchone()[0]
            if done >= dropped and not open_deadlines:
                break
            time.sleep(1)
        with urllib.request.urlopen(f"{pages}/metrics", timeout=5) as answer:
            (work / "metrics.txt").write_bytes(answer.read())
    finally:
        stop.set()
        for process in (controller, receiver):
            process.terminate()
        ending = time.monotonic()
        controller.wait(60)
        ending = time.monotonic() - ending
        receiver.wait(60)

    with sqlite3.connect(f"file:{work}/data/gic.sqlite?mode=ro", uri=True) as journal:
        states = dict(
            journal.execute("SELECT state, count(*) FROM frames WHERE instance <> 'calibration' GROUP BY state")
        )
        latencies = [
            json.loads(row[0])["latency_seconds"]
            for row in journal.execute("SELECT quality FROM frames WHERE quality IS NOT NULL")
        ]
        deadlines = journal.execute(
            "SELECT name, state, lateness_seconds FROM deadlines ORDER BY due_at"
        ).fetchall()
    delivered = [(name, late) for name, state, late in deadlines if state == "delivered"]
    steady = [s for s in samples if s[0] > 5] or samples
    report = {
        "size": arguments.size,
        "frames dropped": dropped,
        "frames": states,
        "ended early": ended_early,
        "latency, s": {q: round(quantile(latencies, s), 2) for q, s in [("median", 0.5), ("p95", 0.95), ("max", 1)]},
        "deliveries late by, s": {name: late and round(late, 2) for name, late in delivered},
        "most frames waiting": max((s[1] for s in samples), default=None),
        "memory, GB": {
            "after 5 min": round(steady[0][2], 2) if steady else None,
            "at the end": round(steady[-1][2], 2) if steady else None,
            "most": round(max((s[2] for s in samples), default=0), 2),
        },
        "clean end, s": round(ending, 2),
    }
    print(json.dumps(report, indent=1))
    if arguments.plot and samples:
        title = f"two cameras of {arguments.size}² every {arguments.cadence:g} s: {dropped} frames"
        pathlib.Path(arguments.plot).write_text(plot(samples, title))
    late = [name for name, seconds in delivered if seconds is None or seconds > arguments.latest]
    if late or states.get("reduced", 0) != dropped:
        print(f"not as it should be: late {late}, frames {states}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
