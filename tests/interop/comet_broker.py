"""gic run follows a Comet broker through its restarts: what the broker sends is journaled and acknowledged, the broker may
be away at the start, end cleanly, or be killed, and none of it loses the subscription."""

import hashlib
import re
import tempfile
import urllib.request

from controller import Broker, Controller, check, comet, free_port, send, svom_packets, wait_for

comet("twistd")
comet("comet-sendvo")
packets = svom_packets()[:6]
receive, broadcast = free_port(), free_port()
alerts = f'remotes = ["127.0.0.1:{broadcast}"]\nreconnect_seconds = [0.2, 1.0]\n'

with tempfile.TemporaryDirectory() as directory:
    with Controller(directory, alerts) as controller:
        def brokers_away():
            with urllib.request.urlopen(f"{controller.page}/metrics", timeout=20) as answer:
                text = answer.read().decode()
            return float(re.search(r"^gic_alert_brokers_away (\S+)$", text, re.MULTILINE).group(1))

        wait_for("without a broker it says so", lambda: "not connected to the broker" in controller.text())
        check("and counts it", brokers_away() == 1)
        for life in range(3):
            print(f"-- life {life + 1} of the broker")
            with Broker(directory, receive, broadcast) as broker:
                wait_for("gic subscribes", broker.has_subscriber)
                for packet in packets[2 * life : 2 * life + 2]:
                    digest = hashlib.sha256(packet.read_bytes()).hexdigest()
                    check(f"the broker takes {packet.name}", send(packet, receive))
                    query = "select source from alerts where sha256 = ?"
                    source = wait_for("gic journals it", lambda: controller.ask(query, digest))
                    check("as coming from the broker", source == [(f"broker 127.0.0.1:{broadcast}",)], source)
                wait_for("the broker has both acknowledgements", lambda: broker.acknowledgements() == 2)
                check("none is away", brokers_away() == 0)
                if life == 0:
                    broker.stop()
                # Otherwise it is killed at the end of the block.
        count = controller.ask("select count(*), sum(arrivals) from alerts")
        check("every packet is there once", count == [(6, 6)], count)
        check("gic run ends cleanly", controller.stop() == 0)
print("PASSED")
