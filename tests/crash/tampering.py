"""Tries the judge: a calm night is tampered with, step by step, and each step must be found."""

import sqlite3
from pathlib import Path

from judge import judge_simulated


def first(root, pattern):
    return sorted(Path(root).glob(pattern))[0]


def change_journal(statement):
    def change(root):
        connection = sqlite3.connect(Path(root) / "data/gic.sqlite")
        assert connection.execute(statement).rowcount == 1, statement
        connection.commit()
        connection.close()
    return change


def flip_a_byte(pattern, at):
    def change(root):
        path = first(root, pattern)
        content = bytearray(path.read_bytes())
        content[at] ^= 1
        path.write_bytes(content)
    return change


def write(name):
    def change(root):
        path = Path(root) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{")
    return change


def remove(pattern):
    return lambda root: first(root, pattern).unlink()


def cut(pattern):
    def change(root):
        path = first(root, pattern)
        path.write_bytes(path.read_bytes()[:2880])
    return change


# What is done to the night, how, and what the judge must call it.
TAMPERINGS = [
    ("a product is gone from the receiver", remove("fsc/archive/*/DT_*.fits"), "loss"),
    ("a receipt is gone from the receiver", remove("fsc/archive/*/QF_*.fits.json"), "loss"),
    ("a byte of a product is another", flip_a_byte("data/products/*/QPO_*.fits", -2880), "other"),
    ("a byte of a reduced frame is another", flip_a_byte("data/calibrated/*/*/*/*_reduced.fits", -4000), "other"),
    ("a source table is cut off", cut("data/calibrated/*/*/*/*_sources.fits"), "other"),
    ("the trigger file is another", flip_a_byte("data/triggers/*/trigger_*.dat", 40), "other"),
    ("a packet is twice in the journal", change_journal(
        "INSERT INTO alerts (sha256, received_at, source, packet, state) SELECT 'other', received_at, source, packet, state"
        " FROM alerts LIMIT 1"), "double"),
    ("a packet is gone from the journal", change_journal("DELETE FROM alerts WHERE id = 2"), "loss"),
    ("a frame is gone from the journal", change_journal("DELETE FROM frames WHERE id = 1"), "loss"),
    ("a deadline was not served", change_journal("UPDATE deadlines SET state = 'due' WHERE name = 'T005'"), "loss"),
    ("a product was not delivered", change_journal(
        "UPDATE deliveries SET state = 'waiting' WHERE key = (SELECT min(key) FROM deliveries)"), "loss"),
    ("a raw frame is gone", remove("data/raw/*/*b.fits"), "loss"),
    ("a sensors file is gone", remove("data/status/status-*.json"), "loss"),
    ("a frame is in the quarantine", write("data/quarantine/damaged/frame.fits"), "other"),
    ("a temporary file is left", write("data/calibrated/result.json.tmp"), "other"),
]


def try_the_judge(night, calm, log):
    """Tampers with `night`, a calm one; returns in words what the judge did not find."""
    before = judge_simulated(night, calm, log).all()
    if before:
        return [f"two calm nights differ: {before[:3]}"]
    asleep = []
    for name, tamper, sort in TAMPERINGS:
        tamper(night)
        after = judge_simulated(night, calm, log).all()
        new = [finding for finding in after if finding not in before]
        if sort not in {kind for kind, _ in new}:
            asleep.append(f"{name}: not called a {sort} finding, but {new[:2]}")
        before = after
    twice = 'answered product="P" outcome=Stored\n' * 2
    if not any(kind == "double" and "stored P 2 times" in text for kind, text in judge_simulated(night, calm, log + twice).all()):
        asleep.append("a product was stored twice: not found")
    return asleep
