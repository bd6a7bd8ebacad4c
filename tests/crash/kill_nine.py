#!/usr/bin/env python3
"""Kills the program with SIGKILL at random moments, has the same command go on, and has the result judged independently.

    tests/crash/kill_nine.py --kills 300 --seed 1 --gic target/release/gic

Simulated nights are killed until their share of the kills is reached, and runs on the real clock (`gic run` with a separate
`gic fsc serve`, packets over a socket, images by rename) for the rest; either process is killed. The plan follows from the
seed; where a kill falls in the program's work depends on the machine as well. Exit status 1: something was lost, done
twice, or otherwise wrong; the night is kept and named. The judge is tried first: it must find what was tampered with. Needs Python 3.9 and nothing else.
"""

import argparse
import json
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.dont_write_bytecode = True

import live  # noqa: E402
import simulated  # noqa: E402
import tampering  # noqa: E402

HERE = Path(__file__).resolve().parent


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--kills", type=int, default=300, help="kills in all")
    parser.add_argument("--live-share", type=float, default=0.25, help="share of them in runs on the real clock")
    parser.add_argument("--kills-per-night", type=int, default=12, help="at most, drawn anew for each night")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--gic", type=Path, default=Path("target/release/gic"))
    parser.add_argument("--config", type=Path, default=HERE / "small_night.toml")
    parser.add_argument("--work", type=Path, help="directory of the nights (default: a temporary one)")
    parser.add_argument("--keep", action="store_true", help="keep the nights without findings, too")
    parser.add_argument("--json", type=Path, help="write what happened to this file")
    return parser.parse_args()


class Tally:
    """What all nights gave together."""

    def __init__(self):
        self.aimed, self.interrupted = Counter(), Counter()
        self.recoveries, self.nights, self.findings = [], [], []

    def kills(self):
        return sum(self.aimed.values())

    def add(self, kind, happened, findings, out, keep):
        for aim, last in happened["kills"]:
            self.aimed[(kind, aim)] += 1
            self.interrupted[(kind, last)] += 1
        self.recoveries.extend((kind, seconds) for seconds in happened["recoveries"])
        wrong = findings.all()
        self.findings.extend((happened["night"], sort, text) for sort, text in wrong)
        self.nights.append({"kind": kind, **happened, "findings": wrong})
        word = f"{len(wrong)} FINDINGS, kept in {out}" if wrong else "as the calm one"
        print(f"{kind} {happened['night']}: {len(happened['kills'])} kills, {happened['lives']} lives: {word}", flush=True)
        for sort, text in wrong[:8]:
            print(f"    {sort}: {text[:300]}", flush=True)
        if not wrong and not keep:
            shutil.rmtree(out, ignore_errors=True)
            Path(str(out) + ".log").unlink(missing_ok=True)


def quantiles(values):
    ordered = sorted(values)
    if not ordered:
        return "none"
    at = lambda share: ordered[min(len(ordered) - 1, int(share * len(ordered)))]  # noqa: E731
    return f"median {at(0.5):.2f} s, 90 % {at(0.9):.2f} s, largest {ordered[-1]:.2f} s (n = {len(ordered)})"


def table(tally, seconds):
    """The result, as text."""
    lines = ["", "kind       kill aimed at                kills     the log had told last of     kills"]
    for kind in ("simulated", "live"):
        aimed = sorted((name, count) for (k, name), count in tally.aimed.items() if k == kind)
        last = sorted((name, count) for (k, name), count in tally.interrupted.items() if k == kind)
        for index in range(max(len(aimed), len(last))):
            left = aimed[index] if index < len(aimed) else ("", "")
            right = last[index] if index < len(last) else ("", "")
            lines.append(f"{kind:<10} {left[0]:<26} {left[1]:>7}     {right[0]:<26} {right[1]:>7}")
    lines.append("")
    for kind in ("simulated", "live"):
        nights = [night for night in tally.nights if night["kind"] == kind]
        if nights:
            kills = sum(len(night["kills"]) for night in nights)
            # On the real clock there may be no work to do: there it is back when it listens.
            until = {"simulated": "the first work", "live": "listening"}[kind]
            lines.append(f"{kind}: {len(nights)} nights, {kills} kills; from a start to {until}: "
                         + quantiles([s for k, s in tally.recoveries if k == kind]))
    sorts = Counter(sort for _, sort, _ in tally.findings)
    lines.append(f"{tally.kills()} kills in {seconds / 60:.1f} minutes: "
                 f"{sorts['loss']} losses, {sorts['double']} doubles, {sorts['other']} other findings")
    return "\n".join(lines)


def main():
    options = arguments()
    gic, began = options.gic.resolve(), time.monotonic()
    work = options.work or Path(tempfile.mkdtemp(prefix="kill-nine-"))
    work.mkdir(parents=True, exist_ok=True)
    work = work.resolve()
    tally = Tally()
    calm = work / "calm"
    calm_seconds, counts = simulated.calm_night(gic, options.config, calm, Path(str(calm) + ".log"))
    print(f"calm night: {calm_seconds:.1f} s; nights in {work}", flush=True)
    tampered = work / "tampered"
    simulated.calm_night(gic, options.config, tampered, Path(str(tampered) + ".log"))
    asleep = tampering.try_the_judge(tampered, calm, Path(str(tampered) + ".log").read_text(errors="replace"))
    if asleep:
        print("the judge is asleep:", *asleep, sep="\n    ")
        return 1
    print(f"the judge is awake: it found all of {len(tampering.TAMPERINGS) + 1} tamperings", flush=True)
    live_kills = round(options.kills * options.live_share)
    number = 0
    while tally.kills() < options.kills - live_kills:
        number += 1
        plan = random.Random(f"{options.seed} simulated {number}")
        planned = min(plan.randint(1, options.kills_per_night), options.kills - live_kills - tally.kills())
        out = work / f"night{number:03}"
        happened, findings = simulated.killed_night(
            plan, gic, options.config, out, calm, calm_seconds, counts, planned)
        tally.add("simulated", happened, findings, out, options.keep)
    number = 0
    while tally.kills() < options.kills:
        number += 1
        plan = random.Random(f"{options.seed} live {number}")
        planned = min(plan.randint(2, options.kills_per_night), options.kills - tally.kills())
        out = work / f"live{number:03}"
        happened, findings = live.killed_run(plan, gic, options.config, out, planned)
        tally.add("live", happened, findings, out, options.keep)
    print(table(tally, time.monotonic() - began))
    if options.json:
        options.json.write_text(json.dumps({"nights": tally.nights, "findings": tally.findings}, indent=1))
    if not tally.findings and not options.work and not options.keep:
        shutil.rmtree(work, ignore_errors=True)
    return 1 if tally.findings else 0


if __name__ == "__main__":
    sys.exit(main())
