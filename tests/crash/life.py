"""One life of a process: its log as it comes, and its death at a chosen moment."""

import re
import signal
import subprocess
import threading
import time


class Aim:
    """When to kill: `seconds` after the start, or `delay` seconds after the `count`-th log line that matches `pattern`."""

    def __init__(self, name, seconds=None, pattern=None, count=1, delay=0.0):
        self.name, self.seconds, self.count, self.delay = name, seconds, count, delay
        self.pattern = re.compile(pattern) if pattern else None


class Life:
    """Starts a process and follows its log (standard error), which is also appended to `log_path`."""

    def __init__(self, command, log_path, aim=None, environment=None):
        self.aim = aim
        self.began = time.monotonic()
        self.lines = []
        self.killed = False
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)
        self.log = open(log_path, "ab")
        self.output = b""
        self.threads = [threading.Thread(target=self._follow, daemon=True),
                        threading.Thread(target=self._drain, daemon=True)]
        if aim and aim.seconds is not None:
            self.threads.append(threading.Thread(target=self._wait_and_kill, daemon=True))
        for thread in self.threads:
            thread.start()

    def _drain(self):
        self.output = self.process.stdout.read()

    def _follow(self):
        left = self.aim.count if self.aim and self.aim.pattern else 0
        for line in self.process.stderr:
            self.lines.append((time.monotonic() - self.began, line.decode("utf-8", "replace").rstrip()))
            if left and self.aim.pattern.search(self.lines[-1][1]):
                left -= 1
                if not left:
                    if self.aim.delay:
                        time.sleep(self.aim.delay)
                    self.kill()
            self.log.write(line)
        self.log.flush()

    def _wait_and_kill(self):
        try:
            self.process.wait(max(0.0, self.aim.seconds - (time.monotonic() - self.began)))
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self):
        """SIGKILL, now."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)

    def terminate(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)

    def end(self, timeout=120.0):
        """Waits for the end; returns the exit status (-9: killed), or None if there was none in time (killed then)."""
        try:
            status = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            self.process.wait()
            status = None
        for thread in self.threads:
            thread.join(10.0)
        self.log.write(f"---- ended with {status}\n".encode())
        self.log.close()
        self.killed = status == -signal.SIGKILL
        return status

    def first(self, pattern):
        """Seconds from the start to the first log line that matches."""
        wanted = re.compile(pattern)
        return next((at for at, line in self.lines if wanted.search(line)), None)

    def count(self, events):
        """How often the log told of each of `events`."""
        return {name: sum(1 for _, line in self.lines if re.search(pattern, line)) for name, pattern in events}

    def last_event(self, events):
        """Name of the last of `events` (name, pattern) that the log told of."""
        for _, line in reversed(self.lines):
            for name, pattern in events:
                if re.search(pattern, line):
                    return name
        return "start-up"
