"""A run on the real clock: `gic run`, a separate `gic fsc serve`, an author on a socket, and images that appear by rename.

Both processes are killed at random; packets and images keep coming meanwhile. What was acknowledged and what was dropped is
remembered here, and has to be found again, once.
"""

import hashlib
import json
import shutil
import socket
import sqlite3
import struct
import threading
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

from events import EVENTS
from judge import (Findings, Journal, judge_deliveries, judge_journal_soundness, judge_leftovers, judge_same_file,
                   sha256)
from life import Aim, Life
from simulated import calm_night

# Seconds after its reception at which an alert's first products are due here.
FIRST_RESULT_SECONDS = 8.0
# A run that has not come to rest after so long has lost something.
PATIENCE_SECONDS = 150.0

CONFIG = """
[data]
directory = "{data}"
[alerts]
listen = "127.0.0.1:{alert_port}"
accept_roles = ["observation", "test"]
[deadlines]
first_result_seconds = {first}
epochs_minutes = [5, 10]
[images]
{images}scan_seconds = 0.2
[products]
filters = ["w", "BB", "BV", "BR", "BI"]
[fsc]
upload_url = "http://127.0.0.1:{fsc_port}/upload-product"
timeout_seconds = 5.0
[web]
listen = "127.0.0.1:0"
[catalogue]
file = "{catalogue}"
[calibration]
quiet_seconds = 2.0
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Source:
    """Images and packets for the runs: those of a calm simulated night whose burst was a quarter of an hour ago."""

    def __init__(self, gic, config, directory):
        t0 = datetime.now(timezone.utc) - timedelta(minutes=15)
        text = config.read_text().replace("[story]", f'[story]\nt0 = "{t0:%Y-%m-%dT%H:%M:%SZ}"')
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "night.toml").write_text(text)
        self.night = directory / "calm"
        calm_night(gic, directory / "night.toml", self.night, directory / "calm.log")
        connection = sqlite3.connect(self.night / "data/gic.sqlite")
        self.packets = [bytes(row[0]) for row in connection.execute("SELECT packet FROM alerts ORDER BY id")]
        self.burst = connection.execute("SELECT burst FROM triggers").fetchone()[0]
        rows = connection.execute("SELECT path, kind, name, reduced_path FROM frames ORDER BY id").fetchall()
        self.cards = {name: sorted(row[0] for row in connection.execute(
            "SELECT card FROM products WHERE deadline = ?", [name])) for name in ("FIRST", "T005", "T010")}
        connection.close()
        self.calibration = [Path(path) for path, _, _, reduced in rows if not reduced]
        self.objects = [Path(path) for path, _, _, reduced in rows if reduced]
        self.reduced = {name: Path(reduced) for _, _, name, reduced in rows if reduced}

    def other_burst(self, packet):
        """The same packet of the next burst, for which no image will come."""
        number = int(self.burst[-2:])
        return packet.replace(self.burst.encode(), f"{self.burst[:-2]}{number + 1:02}".encode())


_source = None


def send_packet(port, packet):
    """As an author of the VOEvent Transport Protocol: True if it was acknowledged."""
    with socket.create_connection(("127.0.0.1", port), 5.0) as connection:
        connection.settimeout(5.0)
        connection.sendall(struct.pack(">I", len(packet)) + packet)
        answer = b""
        while len(answer) < 4 or len(answer) < 4 + struct.unpack(">I", answer[:4])[0]:
            chunk = connection.recv(65536)
            if not chunk:
                return False
            answer += chunk
    return b'role="ack"' in answer or b"role='ack'" in answer


class World:
    """Who sends packets and drops images, whether or not anybody is there to take them."""

    def __init__(self, random, source, drop, alert_port, journal):
        self.random, self.source, self.drop, self.port, self.journal = random, source, drop, alert_port, journal
        self.acknowledged, self.sent, self.dropped = set(), set(), {}
        self.over, self.trouble = threading.Event(), []
        packets = list(source.packets) + [source.other_burst(packet) for packet in source.packets[:2]]
        # Some authors send twice.
        packets += [packet for packet in packets if random.random() < 0.3]
        self.packets = packets
        self.threads = [threading.Thread(target=self._guarded, args=(work,), daemon=True)
                        for work in (self._send_packets, self._drop_images)]

    def start(self):
        for thread in self.threads:
            thread.start()

    def is_done(self):
        return not any(thread.is_alive() for thread in self.threads)

    def _guarded(self, work):
        try:
            work()
        except Exception as error:  # Shown as a finding: a broken world proves nothing.
            self.trouble.append(f"{work.__name__}: {error!r}")

    def _send_packets(self):
        for packet in self.packets:
            time.sleep(self.random.uniform(0.1, 1.2))
            digest = hashlib.sha256(packet).hexdigest()
            self.sent.add(digest)
            while not self.over.is_set():
                try:
                    if send_packet(self.port, packet):
                        self.acknowledged.add(digest)
                        break
                except OSError:
                    pass
                time.sleep(0.1)

    def _drop_images(self):
        for path in self.source.calibration:
            self._drop(path)
            time.sleep(self.random.uniform(0.02, 0.2))
        # The images of the sky come when the night's masters are there.
        while not self.over.is_set() and self._masters() < 3:
            time.sleep(0.2)
        for path in self.source.objects:
            self._drop(path)
            time.sleep(self.random.uniform(0.1, 0.8))

    def _drop(self, path):
        partial = self.drop / f"{path.name}.tmp"
        content = path.read_bytes()
        with open(partial, "wb") as file:
            file.write(content[:len(content) // 2])
            file.flush()
            time.sleep(self.random.uniform(0.0, 0.05))
            file.write(content[len(content) // 2:])
        partial.rename(self.drop / path.name)
        self.dropped[path.name] = sha256(path)

    def _masters(self):
        return ask(self.journal, "SELECT count(*) FROM masters WHERE in_force", 0)


def ask(journal, query, otherwise):
    """One figure of a journal that may be in use, or not be there yet."""
    try:
        connection = sqlite3.connect(f"file:{journal}?mode=ro", uri=True, timeout=5.0)
        try:
            return connection.execute(query).fetchone()[0]
        finally:
            connection.close()
    except sqlite3.Error:
        return otherwise


OPEN_WORK = """
SELECT (SELECT count(*) FROM alerts WHERE state = 'received')
     + (SELECT count(*) FROM frames WHERE state = 'arrived')
     + (SELECT count(*) FROM deliveries WHERE state = 'waiting')
     + (SELECT count(*) FROM deadlines d WHERE d.state NOT IN ('delivered', 'cancelled')
        AND (d.cause IS NULL OR EXISTS (SELECT 1 FROM frames f WHERE f.burst = d.burst)))
"""


class Keeper(threading.Thread):
    """Starts a process again whenever it was killed, and kills it as planned."""

    def __init__(self, name, command, log_path, aims, pauses):
        super().__init__(daemon=True)
        self.process_name, self.command, self.log_path = name, command, log_path
        self.aims, self.pauses = aims, pauses
        self.kills, self.recoveries, self.lives, self.trouble = [], [], 0, []
        self.life, self.resting = None, threading.Event()

    def run(self):
        while True:
            aim = self.aims.pop(0) if self.aims else None
            if aim is None:
                self.resting.set()
            self.life = Life(self.command, self.log_path, aim)
            status = self.life.end(600.0)
            self.lives += 1
            # A run may have nothing to do: it is back when it listens.
            seconds = self.life.first(r"^alerts: ")
            if self.lives > 1 and seconds is not None and self.process_name == "run":
                self.recoveries.append(seconds)
            if not self.life.killed:
                if status != 0:
                    self.trouble.append(f"{self.process_name} ended with {status}: {[line for _, line in self.life.lines[-3:]]}")
                return
            name = f"{self.process_name}: {aim.name}" if aim else f"{self.process_name}: patience"
            self.kills.append((name, f"{self.process_name}: {self.life.last_event(EVENTS)}"))
            time.sleep(self.pauses.pop() if self.pauses else 0.1)


def choose_aims(random, count, events):
    aims = []
    for _ in range(count):
        choice = random.random()
        if choice < 0.55:
            name, pattern = random.choice(events)
            aims.append(Aim(name, pattern=pattern, count=random.randint(1, 2),
                            delay=random.choice([0.0, random.uniform(0.0, 0.05)])))
            # If the event does not come, the kill does.
            aims[-1].seconds = random.uniform(4.0, 8.0)
        elif choice < 0.75:
            aims.append(Aim("start-up", seconds=random.uniform(0.0, 0.3)))
        else:
            aims.append(Aim("any instant", seconds=random.uniform(0.3, 6.0)))
    return aims


def killed_run(random, gic, config, out, planned_kills):
    """One run with `planned_kills` kills of the two processes. Returns what happened and the findings."""
    global _source
    if _source is None:
        _source = Source(gic, config, out.parent / "live_source")
    source = _source
    shutil.rmtree(out, ignore_errors=True)
    for directory in ("data/incoming", "received", "drop"):
        (out / directory).mkdir(parents=True)
    is_outside = random.random() < 0.5
    drop = out / "drop" if is_outside else out / "data/incoming"
    alert_port, fsc_port = free_port(), free_port()
    (out / "gic.toml").write_text(CONFIG.format(
        data=out / "data", alert_port=alert_port, fsc_port=fsc_port, first=FIRST_RESULT_SECONDS,
        images=f'directory = "{drop}"\n' if is_outside else "", catalogue=source.night / "catalogue.csv"))
    of_receiver = 0 if planned_kills < 2 else random.randint(1, max(1, planned_kills // 3))
    run_events = [event for event in EVENTS if event[0] != "receiver answered"]
    receiver_events = [event for event in EVENTS if event[0] == "receiver answered"]
    pauses = [random.uniform(0.0, 1.0) for _ in range(planned_kills)]
    run = Keeper("run", [str(gic), "run", "--config", str(out / "gic.toml"), "--log", "info"],
                 Path(str(out) + ".log"), choose_aims(random, planned_kills - of_receiver, run_events), pauses[::2])
    receiver = Keeper("receiver", [str(gic), "fsc", "serve", "--listen", f"127.0.0.1:{fsc_port}", "--directory",
                                   str(out / "received")],
                      Path(str(out) + ".receiver.log"), choose_aims(random, of_receiver, receiver_events), pauses[1::2])
    journal_path = out / "data/gic.sqlite"
    world = World(random, source, drop, alert_port, journal_path)
    receiver.start()
    run.start()
    world.start()
    findings = Findings()
    wait_for_rest(world, run, receiver, journal_path, findings)
    world.over.set()
    for keeper in (run, receiver):
        if keeper.life is not None:
            keeper.life.terminate()
        keeper.join(30.0)
        findings.others.extend(keeper.trouble)
    findings.others.extend(world.trouble)
    happened = {"kills": run.kills + receiver.kills, "recoveries": run.recoveries,
                "lives": run.lives + receiver.lives, "night": out.name}
    judge_run(out, drop if is_outside else None, world, source, findings)
    if not findings.all():
        for suffix in (".receiver.log",):
            Path(str(out) + suffix).unlink(missing_ok=True)
    return happened, findings


def wait_for_rest(world, run, receiver, journal, findings):
    """Until everything was sent and dropped, every kill was done, and the journal has no open work for a while."""
    deadline, quiet_since = time.monotonic() + PATIENCE_SECONDS, None
    while time.monotonic() < deadline:
        expected = len(world.source.calibration) + len(world.source.objects)
        at_rest = (world.is_done() and run.resting.is_set() and receiver.resting.is_set()
                   and ask(journal, OPEN_WORK, 1) == 0
                   and ask(journal, "SELECT count(*) FROM frames", 0) >= expected)
        if not at_rest:
            quiet_since = None
        elif quiet_since is None:
            quiet_since = time.monotonic()
        elif time.monotonic() - quiet_since > 1.5:
            return
        time.sleep(0.2)
    findings.losses.append(f"no rest after {PATIENCE_SECONDS:.0f} s: {ask(journal, OPEN_WORK, '?')} pieces of work are open")


def judge_run(out, drop, world, source, findings):
    """Findings on a run that has come to rest."""
    data = out / "data"
    journal = Journal(data / "gic.sqlite")
    judge_journal_soundness(journal, findings)
    judge_leftovers(out, findings, ["data/incoming", "data/quarantine", "received/incoming", "received/refused"])
    judge_alerts(journal, world, findings)
    judge_frames(journal, data, drop, world, source, findings)
    judge_deadlines(journal, source, findings)
    judge_trigger_files(journal, data, findings)
    log = Path(str(out) + ".receiver.log").read_text(errors="replace")
    judge_deliveries(journal, out / "received/archive", log, findings)


def judge_alerts(journal, world, findings):
    rows = [row[0] for row in journal.rows["alerts"]]
    for digest in sorted(world.acknowledged):
        if rows.count(digest) != 1:
            (findings.doubles if rows.count(digest) else findings.losses).append(
                f"the acknowledged packet {digest[:12]} is {rows.count(digest)} times in the journal")
    for digest in sorted(set(rows) - world.sent):
        findings.doubles.append(f"the journal has a packet that nobody sent: {digest[:12]}")
    for row in journal.rows["alerts"]:
        if row[2] not in ("applied", "archived"):
            findings.losses.append(f"packet {row[0][:12]} is in state {row[2]}: {row[3]}")


def judge_frames(journal, data, drop, world, source, findings):
    by_name = {}
    for row in journal.rows["frames"]:
        by_name.setdefault(row[0], []).append(row)
    for file, digest in sorted(world.dropped.items()):
        name = file.partition(".")[0]
        rows = by_name.pop(name, [])
        if len(rows) != 1 or rows[0][1] != digest:
            (findings.doubles if len(rows) > 1 else findings.losses).append(
                f"image {file} is {len(rows)} times in the journal")
            continue
        row = rows[0]
        copies = [path for path in (data / "raw").rglob("*") if path.name == file]
        if len(copies) != 1 or str(copies[0]) != row[2] or sha256(copies[0]) != digest:
            findings.losses.append(f"image {file} does not lie once and whole in raw/: {copies}")
        if drop is not None and not (drop / file).exists():
            findings.losses.append(f"image {file} is gone from the directory of others")
        if row[7] not in ("reduced", "combined"):
            findings.losses.append(f"image {file} came to {row[7]}: {row[8]}")
        elif name in source.reduced:
            judge_same_file(f"{name}, reduced", Path(row[11]), source.reduced[name], findings)
    for name in sorted(by_name):
        findings.doubles.append(f"the journal has an image that nobody dropped: {name}")


def judge_deadlines(journal, source, findings):
    analyses = [row[:2] for row in journal.rows["analyses"]]
    products = {}
    for _, burst, card, deadline, *_ in journal.rows["products"]:
        products.setdefault((burst, deadline), []).append(card)
    bursts_with_frames = {row[4] for row in journal.rows["frames"]}
    for burst, name, _, state, cause in journal.rows["deadlines"]:
        count = analyses.count((burst, name))
        waits = cause is not None and burst not in bursts_with_frames
        if state == "cancelled" or (waits and count == 0):
            if products.get((burst, name)):
                findings.doubles.append(f"{burst} {name}: products of a deadline that was not served")
            continue
        if state != "delivered" or count != 1:
            findings.losses.append(f"{burst} {name}: {state}, {count} analyses")
        cards = sorted(products.get((burst, name), []))
        if cards != source.cards[name]:
            findings.losses.append(f"{burst} {name}: products {cards}")
    names = [(row[0], row[1]) for row in journal.rows["deadlines"]]
    if "FIRST" not in {name for _, name in names}:
        findings.losses.append("no first result was planned")


def judge_trigger_files(journal, data, findings):
    """One record for each applied notice, then the merged view."""
    applied = {}
    for row in journal.rows["alerts"]:
        if row[2] == "applied":
            applied.setdefault(row[5], []).append(row[4])
    for burst, ivorns in applied.items():
        files = [path for path in (data / "triggers").rglob("trigger_*.dat") if burst.lstrip("sb") in path.name]
        if len(files) != 1:
            findings.losses.append(f"{burst}: {len(files)} trigger files")
            continue
        records = [json.loads(line) for line in files[0].read_text().splitlines()]
        if "merged" not in records[-1]:
            findings.others.append(f"{burst}: the trigger file does not end with the merged view")
        found = sorted(record.get("ivorn", "") for record in records[:-1])
        if found != sorted(ivorns):
            findings.losses.append(f"{burst}: the trigger file has {found}, applied were {sorted(ivorns)}")
