"""The independent reading of a night that was killed: journal, files, products and receiver, against a calm night."""

import hashlib
import json
import os
import re
import sqlite3
from collections import Counter
from pathlib import Path

import fits_reader

# What two runs of one night may differ in.
IGNORED_KEYWORDS = {"DATE", "CHECKSUM", "DATASUM"}
# Keys of JSON documents that hold what the machine spent.
SPENT = re.compile(r"latency|lateness|milliseconds|took|attempts|_wall")
# Same night, same bytes: everything made of the frames and the alerts.
COMPARED_TREES = ["data/raw", "data/calibrated", "data/masters", "data/triggers", "data/products", "fsc"]


class Findings:
    """What is wrong: losses, doubles, and other findings, each a sentence."""

    def __init__(self):
        self.losses, self.doubles, self.others = [], [], []

    def all(self):
        return ([("loss", text) for text in self.losses] + [("double", text) for text in self.doubles]
                + [("other", text) for text in self.others])


def sha256(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def files_below(root):
    """Paths of the files below a directory, relative to it."""
    root = Path(root)
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


def without_spent(value):
    """A JSON value without what the machine spent."""
    if isinstance(value, dict):
        return {key: without_spent(inner) for key, inner in value.items() if not SPENT.search(key)}
    if isinstance(value, list):
        return [without_spent(inner) for inner in value]
    return value


class Journal:
    """The rows of a journal that is at rest."""

    QUERIES = {
        "alerts": "SELECT sha256, received_at, state, reason, ivorn, burst_id, packet_name, notice FROM alerts",
        "triggers": "SELECT burst, revision, state, t0, opened_at, trigger FROM triggers",
        "deadlines": "SELECT burst, name, due_at, state, cause FROM deadlines",
        "frames": "SELECT name, data_sha256, path, instance, burst, kind, arrived_at, state, reason, keywords,"
                  " quality, reduced_path FROM frames",
        "provisional lists": "SELECT p.burst, f.name, p.at, p.candidates FROM provisional_lists p"
                             " JOIN frames f ON f.id = p.frame_id",
        "analyses": "SELECT burst, deadline, path, made_at, result FROM analyses",
        "products": "SELECT key, burst, card, deadline, version, date, path, sha256 FROM products",
        "deliveries": "SELECT key, state, last_error, receipt, delivered_at FROM deliveries",
        "masters": "SELECT sha256, kind, instrument, filter, night, in_force, master FROM masters",
    }

    def __init__(self, path):
        # Opened for writing, as SQLite wants it to read what a killed writer left in the write-ahead log.
        connection = sqlite3.connect(path)
        self.integrity = connection.execute("PRAGMA integrity_check").fetchall()
        self.foreign_keys = connection.execute("PRAGMA foreign_key_check").fetchall()
        self.rows = {name: connection.execute(query).fetchall() for name, query in self.QUERIES.items()}
        connection.close()

    def comparable(self, root):
        """The rows as texts without machine time and without the place of the night; `duplicate` receipts count as `stored`."""
        found = {}
        for name, rows in self.rows.items():
            texts = []
            for row in rows:
                cells = []
                for cell in row:
                    if isinstance(cell, str):
                        cell = cell.replace(str(root), "<night>")
                        if cell.startswith(("{", "[")):
                            value = without_spent(json.loads(cell))
                            if name == "deliveries":
                                value["status"] = {"duplicate": "stored"}.get(value["status"], value["status"])
                            cell = json.dumps(value, sort_keys=True)
                    cells.append(cell)
                texts.append(json.dumps(cells))
            found[name] = Counter(texts)
        return found


def judge_journal_soundness(journal, findings):
    if journal.integrity != [("ok",)]:
        findings.others.append(f"integrity_check of the journal: {journal.integrity[:3]}")
    if journal.foreign_keys:
        findings.others.append(f"foreign_key_check of the journal: {journal.foreign_keys[:3]}")


def judge_leftovers(root, findings, emptied):
    """Nothing half done stays: no temporary file, nothing in the directories of `emptied`."""
    for name in sorted(files_below(root)):
        if name.endswith((".tmp", ".part")):
            findings.others.append(f"temporary file left: {name}")
    for directory in emptied:
        for name in sorted(files_below(Path(root) / directory)):
            findings.others.append(f"left in {directory}: {name}")


def judge_deliveries(journal, archive, receiver_log, findings):
    """Both sides of the delivery: each product once in the receiver's archive, with its bytes, receipted on both sides."""
    archive = Path(archive)
    stored = {}
    for name in files_below(archive):
        if name.endswith(".fits"):
            stem = Path(name).name
            if stem in stored:
                findings.doubles.append(f"two files {stem} in the receiver's archive")
            stored[stem] = archive / name
    deliveries = {row[0]: row for row in journal.rows["deliveries"]}
    sent = set()
    for key, _, _, _, _, date, path, digest in journal.rows["products"]:
        if path is None:
            findings.losses.append(f"product {key} was reserved and never made")
            continue
        if not os.path.exists(path):
            findings.losses.append(f"product {key}: its file is gone: {path}")
            continue
        content = Path(path).read_bytes()
        if hashlib.sha256(content).hexdigest() != digest:
            findings.others.append(f"product {key}: the file is not what the journal says")
        try:
            for problem in fits_reader.checksum_problems(content):
                findings.others.append(f"product {key}: {problem}")
            card = fits_reader.read(content)[0].header.get("DATE", "")
            if card[:19] != date[:19]:
                findings.others.append(f"product {key}: DATE is {card}, journaled {date}")
        except fits_reader.FitsProblem as problem:
            findings.others.append(f"product {key}: {problem}")
        name = Path(path).name
        sent.add(name)
        delivery = deliveries.get(key)
        if delivery is None or delivery[1] != "delivered":
            findings.losses.append(f"product {key} was not delivered: {delivery}")
            continue
        receipt = json.loads(delivery[3])
        if receipt["sha256"] != digest or receipt["product"] != key:
            findings.others.append(f"product {key}: the receipt is for something else: {receipt}")
        if name not in stored:
            findings.losses.append(f"product {key} is not in the receiver's archive")
            continue
        if sha256(stored[name]) != digest:
            findings.others.append(f"product {key}: the receiver holds other bytes")
        beside = Path(str(stored[name]) + ".json")
        if not beside.exists():
            findings.losses.append(f"product {key}: the receiver has no receipt")
        elif json.loads(beside.read_text())["sha256"] != digest:
            findings.others.append(f"product {key}: the receiver's receipt is for other bytes")
    for name in sorted(set(stored) - sent):
        findings.doubles.append(f"the receiver holds {name}, which the journal does not know")
    outcomes = re.findall(r'answered product="?([^" ]+)"? outcome=(\w+)', receiver_log)
    for (product, outcome), count in Counter(outcomes).items():
        if outcome == "Stored" and count > 1:
            findings.doubles.append(f"the receiver stored {product} {count} times")
        if outcome in ("Conflict", "Unfit"):
            findings.doubles.append(f"the receiver refused {product}: {outcome}")


def judge_like_calm(root, calm, findings):
    """Rows of the journal and bytes of the files, against the calm night."""
    mine, other = Journal(Path(root) / "data/gic.sqlite"), Journal(Path(calm) / "data/gic.sqlite")
    judge_journal_soundness(mine, findings)
    mine_rows, other_rows = mine.comparable(root), other.comparable(calm)
    for name in Journal.QUERIES:
        for text in (other_rows[name] - mine_rows[name]):
            findings.losses.append(f"journal, {name}: not as in the calm night, which has {text[:400]}")
        for text in (mine_rows[name] - other_rows[name]):
            findings.doubles.append(f"journal, {name}: the calm night has no {text[:400]}")
    for tree in COMPARED_TREES:
        left, right = Path(root) / tree, Path(calm) / tree
        mine_files, other_files = files_below(left), files_below(right)
        for name in sorted(other_files - mine_files):
            findings.losses.append(f"{tree}/{name} is missing")
        for name in sorted(mine_files - other_files):
            findings.doubles.append(f"{tree}/{name} is in no calm night")
        for name in sorted(mine_files & other_files):
            judge_same_file(f"{tree}/{name}", left / name, right / name, findings)
    for name in ("catalogue.csv", "truth.json"):
        if (Path(root) / name).read_bytes() != (Path(calm) / name).read_bytes():
            findings.others.append(f"{name} differs from that of the calm night")
    return mine


def judge_same_file(name, path, calm_path, findings):
    content, expected = path.read_bytes(), calm_path.read_bytes()
    if content == expected:
        return
    if name.endswith(".fits"):
        try:
            found = fits_reader.differences(content, expected, IGNORED_KEYWORDS)
        except fits_reader.FitsProblem as problem:
            found = [str(problem)]
        findings.others.extend(f"{name}: {text}" for text in found)
    elif name.endswith(".json"):
        if without_spent(json.loads(content)) != without_spent(json.loads(expected)):
            findings.others.append(f"{name} differs from that of the calm night")
    else:
        findings.others.append(f"{name} differs from that of the calm night")


def judge_status_files(root, calm, journal, findings):
    """One sensors file each period, until the last deadline (the clock of a finished night may run on)."""
    last = max(row[2] for row in journal.rows["deadlines"])
    limit = "status-" + re.sub(r"[-:]", "", last)[:15] + ".json"
    names = [{name for name in files_below(Path(each) / "data/status")
              if name.startswith("status-") and name < limit} for each in (root, calm)]
    for name in sorted(names[1] - names[0]):
        findings.losses.append(f"data/status/{name} is missing")
    for name in sorted(names[0] - names[1]):
        findings.doubles.append(f"data/status/{name} is in no calm night")


def judge_simulated(root, calm, log):
    """Findings on a simulated night that was killed and gone on with until it was finished."""
    findings = Findings()
    journal = judge_like_calm(root, calm, findings)
    judge_leftovers(root, findings, ["data/staging", "data/incoming", "data/quarantine", "fsc/incoming", "fsc/refused"])
    judge_deliveries(journal, Path(root) / "fsc/archive", log, findings)
    judge_status_files(root, calm, journal, findings)
    if not json.loads((Path(root) / "night.json").read_text())["finished"]:
        findings.losses.append("the night is not marked finished")
    if json.loads((Path(root) / "report.json").read_text())["verdict"]["ok"] is not True:
        findings.others.append("the verdict of the report is not ok")
    return findings
