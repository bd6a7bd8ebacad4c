"""What the scripts of this directory share: the program and Comet as processes of their own, and the checks."""

import os
import pathlib
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PATIENCE = 60.0


def skip(why):
    print(f"SKIPPED: {why}")
    sys.exit(0)


def fail(what):
    print(f"FAILED: {what}")
    sys.exit(1)


def check(what, is_right, seen=""):
    """Prints a check and ends the script if it fails."""
    if not is_right:
        fail(f"{what} {seen}")
    print(f"ok: {what}")


def wait_for(what, question, patience=PATIENCE):
    """Asks until the answer is true, and returns it."""
    end = time.monotonic() + patience
    while True:
        answer = question()
        if answer:
            print(f"ok: {what}")
            return answer
        if time.monotonic() > end:
            fail(f"{what}: not within {patience} s")
        time.sleep(0.05)


def program():
    """The program: GIC_BIN, else the newest build."""
    named = os.environ.get("GIC_BIN")
    if named:
        return named
    builds = [ROOT / "target" / profile / "gic" for profile in ("release", "debug")]
    builds = [build for build in builds if build.is_file()]
    if not builds:
        skip("there is no build of gic (cargo build, or name one in GIC_BIN)")
    return str(max(builds, key=lambda build: build.stat().st_mtime))


def comet(command):
    """A command of Comet: in the directory COMET_BIN, else on the path."""
    directory = os.environ.get("COMET_BIN")
    found = shutil.which(command, path=directory) if directory else shutil.which(command)
    if found is None:
        skip(f"{command} is not there: pip install Comet==3.1.0 (with python3-gdbm), and name its bin directory in COMET_BIN")
    return found


def svom_packets():
    """The real packets of SVOM."""
    data = pathlib.Path(os.environ.get("GIC_TEST_DATA", ROOT.parent / "shared" / "data"))
    packets = sorted((data / "voevents" / "svom").glob("*.xml"))
    if not packets:
        skip(f"no packets below {data} (GIC_TEST_DATA names the directory)")
    return packets


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Process:
    """A process with its output in a file; it ends with the block."""

    def __init__(self, arguments, log, **options):
        self.log = pathlib.Path(log)
        with self.log.open("ab") as output:
            self.child = subprocess.Popen(
                arguments, stdin=subprocess.DEVNULL, stdout=output, stderr=output, **options
            )

    def text(self):
        return self.log.read_text(errors="replace")

    def stop(self):
        """SIGTERM; the exit code."""
        self.child.send_signal(signal.SIGTERM)
        return self.child.wait(PATIENCE)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.child.poll() is None:
            self.child.kill()
            self.child.wait()


class Controller(Process):
    """`gic run` with a configuration and a data directory of its own, on free ports."""

    def __init__(self, directory, alerts=""):
        self.data = pathlib.Path(directory) / "data"
        config = pathlib.Path(directory) / "gic.toml"
        config.write_text(
            f'[data]\ndirectory = "{self.data}"\n'
            '[web]\nlisten = "127.0.0.1:0"\n'
            f'[fsc]\nupload_url = "http://127.0.0.1:{free_port()}/upload-product"\ntoken_environment = ""\n'
            f'[alerts]\nlisten = "127.0.0.1:0"\n{alerts}'
        )
        super().__init__([program(), "run", "--config", str(config)], pathlib.Path(directory) / "gic.log")
        address = lambda name: re.search(rf"^{name}: .*:(\d+)/?$", self.text(), re.MULTILINE)
        wait_for("gic run listens", lambda: address("alerts") and address("pages"))
        self.alert_port = int(address("alerts").group(1))
        self.page = f"http://127.0.0.1:{address('pages').group(1)}"

    def ask(self, query, *values):
        """Rows of the journal."""
        journal = sqlite3.connect(f"file:{self.data / 'gic.sqlite'}?mode=ro", uri=True, timeout=10)
        try:
            return journal.execute(query, values).fetchall()
        finally:
            journal.close()


class Broker(Process):
    """A Comet broker on two ports that stay its own through its restarts."""

    def __init__(self, directory, receive, broadcast):
        # Comet reads both its database and its process file from where it is told.
        state = pathlib.Path(tempfile.mkdtemp(dir=directory))
        arguments = [
            comet("twistd"), "--nodaemon", f"--pidfile={state / 'pid'}", "comet", "--verbose", "--verbose",
            "--local-ivo=ivo://org.example/broker", f"--eventdb={state}",
            "--receive", f"--receive-port={receive}",
            "--broadcast", f"--broadcast-port={broadcast}", "--broadcast-test-interval=0",
        ]
        super().__init__(arguments, pathlib.Path(directory) / f"comet_{state.name}.log")
        wait_for("the Comet broker runs", lambda: is_listening(receive) or self.child.poll() is not None)
        if self.child.poll() is not None:
            skip(f"Comet does not start here:\n{self.text()}")

    def acknowledgements(self):
        return self.text().count("Ack received from")

    def has_subscriber(self):
        return "New subscriber" in self.text()


def is_listening(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def send(packet, port):
    """Sends a packet with Comet's own author; true if it was acknowledged."""
    done = subprocess.run(
        [comet("comet-sendvo"), "-h", "127.0.0.1", "-p", str(port), "-f", str(packet)],
        stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE,
    )
    return done.returncode == 0
