"""A simulated night that is killed again and again, and gone on with by the same command until it is finished."""

import json
import shutil
from collections import Counter
from pathlib import Path

from events import EVENTS, WORK
from judge import Findings, judge_simulated
from life import Aim, Life

# Kinds of aim and how often each is chosen.
KINDS = [("any instant", 4), ("event", 8), ("start-up", 2)]
# Longest time after an event, in seconds: its consequences are journaled within it.
AFTER_EVENT = 0.04
STARTUP_SECONDS = 0.15
LONGEST_LIFE = 300.0


def command(gic, config, out):
    return [str(gic), "simulate", "--config", str(config), "--out", str(out), "--log", "info", "--json"]


def calm_night(gic, config, out, log_path):
    """Lives through a night without a kill; returns its seconds and how often each event was told of."""
    shutil.rmtree(out, ignore_errors=True)
    life = Life(command(gic, config, out), log_path)
    status = life.end(LONGEST_LIFE)
    if status != 0:
        raise SystemExit(f"the calm night ended with {status}; see {log_path}")
    return life.lines[-1][0], life.count(EVENTS)


def choose_aim(random, is_first_life, calm_seconds, counts, seen):
    """The next kill, drawn from the plan's generator. `seen`: events of the lives before, which do not come again."""
    kinds = [kind for kind, weight in KINDS for _ in range(weight) if not (is_first_life and kind == "start-up")]
    kind = random.choice(kinds)
    left = {name: max(0, count - seen[name]) for name, count in counts.items()}
    if kind == "any instant":
        share = left["receipt stored"] / max(1, counts["receipt stored"])
        return Aim("any instant", seconds=random.uniform(0.0, 0.7 * calm_seconds * max(0.1, share)))
    if kind == "start-up":
        return Aim("start-up", seconds=random.uniform(0.0, STARTUP_SECONDS))
    name, pattern = random.choice([event for event in EVENTS if left[event[0]] or event[0] == "image state rebuilt"])
    # Early ones more often, so that there is something left for the lives to come.
    count = 1 + int(min(random.expovariate(8.0 / max(1, left[name])), max(0, left[name] - 1)))
    delay = random.choice([0.0, random.uniform(0.0, 0.004), random.uniform(0.0, AFTER_EVENT)])
    return Aim(name, pattern=pattern, count=count, delay=delay)


def killed_night(random, gic, config, out, calm, calm_seconds, counts, planned_kills):
    """One night with up to `planned_kills` kills. Returns what happened and the findings."""
    shutil.rmtree(out, ignore_errors=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    log_path = Path(str(out) + ".log")
    log_path.unlink(missing_ok=True)
    happened = {"kills": [], "recoveries": [], "lives": 0, "night": out.name}
    seen = Counter()
    while True:
        is_last = len(happened["kills"]) >= planned_kills or happened["lives"] >= 4 * planned_kills + 4
        aim = None if is_last else choose_aim(
            random, happened["lives"] == 0, calm_seconds, counts, seen)
        life = Life(command(gic, config, out), log_path, aim)
        status = life.end(LONGEST_LIFE)
        happened["lives"] += 1
        seen.update(life.count(EVENTS))
        if happened["lives"] > 1:
            seconds = life.first(WORK)
            if seconds is not None:
                happened["recoveries"].append(seconds)
        if life.killed:
            happened["kills"].append((aim.name, life.last_event(EVENTS)))
            continue
        break
    finished = read_night(out)
    if status not in (0, 2) or not finished:
        # 2: killed between the end of the night and the end of the process, and refused as finished.
        tail = [line for _, line in life.lines[-5:]]
        findings = Findings()
        findings.losses.append(f"the night did not finish: exit status {status}, {tail}")
    else:
        findings = judge_simulated(out, calm, log_path.read_text(errors="replace"))
        again = Life(command(gic, config, out), log_path)
        if again.end(LONGEST_LIFE) != 2:
            findings.others.append("a finished night was not refused")
    return happened, findings


def read_night(out):
    try:
        return json.loads((out / "night.json").read_text())["finished"]
    except (OSError, ValueError):
        return False
