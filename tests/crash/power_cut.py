#!/usr/bin/env python3
"""What a power cut would find: whether everything is on the disk before the program goes on from it.

    tests/crash/power_cut.py --gic target/release/gic

A kill leaves the page cache alone; a power cut does not. So a small night is run under strace (which must be installed),
and its system calls are read for the rules that make a file safe:

1. a file that is given its final name was synced after its last byte was written;
2. a thread that gives a name (rename, link, mkdir) syncs the directory of that name before it gives the next one;
3. nothing is written in place but the journal, which SQLite keeps by itself (synchronous = FULL: each commit is synced).

With these, what a transaction of the journal speaks of is on the disk when the transaction is, because each thread makes its
files before it sends the transaction. Exit status 1 if a rule was broken.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

CALLS = "fsync,fdatasync,rename,renameat,renameat2,openat,link,linkat,mkdir,write,pwrite64,writev,copy_file_range,sendfile"
LINE = re.compile(r"(\d+)\s+(\w+)\((.*)")
# Renames within the night that give no final name: a frame is handed from the stand-in telescope to the watched directory.
HANDED_ON = "/staging/"
# The journal, and what is made again at each start before it is used.
IN_PLACE = re.compile(r"gic\.sqlite(-wal|-shm|-journal)?$")
REMADE = re.compile(r"/(catalogue\.csv|truth\.json)$")


def judge(trace, root):
    """Findings by rule, and how many names were given, files written and synced."""
    written, synced, owed, findings, figures = {}, {}, {}, [], Counter()
    for number, line in enumerate(trace):
        parsed = LINE.match(line)
        if not parsed:
            continue
        # A call that another thread's interrupts ("unfinished") still comes before whatever this thread does next.
        thread, call, rest = parsed.groups()
        if re.search(r"= -1 E", rest):
            continue
        names = [name for name in re.findall(r'"((?:[^"\\]|\\.)*)"', rest) if name.startswith("/")]
        handle = re.match(r"\d+<([^>]+)>", rest)
        if call in ("write", "pwrite64", "writev") and handle and handle.group(1).startswith(root):
            written[handle.group(1)] = number
        elif call in ("copy_file_range", "sendfile"):
            for path in re.findall(r"<([^>]+)>", rest):
                written[path] = number
        elif call in ("fsync", "fdatasync") and handle:
            path = handle.group(1)
            synced[path] = number
            figures["syncs"] += 1
            if owed.get(thread) and os.path.dirname(owed[thread][-1]) == path:
                owed[thread] = [name for name in owed[thread] if os.path.dirname(name) != path]
        elif call in ("rename", "renameat", "renameat2", "link", "linkat", "mkdir") and names:
            given = names[-1]
            if not given.startswith(root) or REMADE.search(given):
                continue
            figures["names"] += 1
            for name in owed.get(thread, []):
                findings.append(f"rule 2: {name} was named and its directory not synced")
            owed[thread] = [given]
            source = names[0]
            if call.startswith("rename"):
                if source in written and synced.get(source, -1) < written[source]:
                    findings.append(f"rule 1: {given} was written and not synced before it was named")
                # What is known of a file goes with its name.
                for known in (written, synced):
                    if source in known:
                        known[given] = known.pop(source)
                if HANDED_ON in source:
                    owed[thread] = []
            elif call.startswith("link") and written.get(source, -1) > synced.get(source, -1):
                written[given] = written[source]
    for thread, names in owed.items():
        findings.extend(f"rule 2: {name} was named and its directory not synced" for name in names)
    for path, at in sorted(written.items()):
        figures["files written"] += 1
        if IN_PLACE.search(path) or REMADE.search(path):
            continue
        if synced.get(path, -1) < at and not path.endswith(".tmp"):
            findings.append(f"rule 3: {path} was written in place and not synced")
    return findings, figures


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--gic", type=Path, default=Path("target/release/gic"))
    parser.add_argument("--config", type=Path, default=Path(__file__).resolve().parent / "small_night.toml")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="power-cut-") as directory:
        root, trace = os.path.join(os.path.realpath(directory), "night"), os.path.join(directory, "trace.txt")
        command = ["strace", "-f", "-y", "-qq", "-e", f"trace={CALLS}", "-o", trace,
                   str(options.gic.resolve()), "simulate", "--config", str(options.config), "--out", root, "--json"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with open(trace, encoding="utf-8", errors="replace") as lines:
            findings, figures = judge(lines, root)
    for finding in findings[:40]:
        print(finding.replace(root, "<night>"))
    print(", ".join(f"{count} {what}" for what, count in sorted(figures.items())) + f": {len(findings)} findings")
    return 1 if findings or not figures["names"] else 0


if __name__ == "__main__":
    sys.exit(main())
