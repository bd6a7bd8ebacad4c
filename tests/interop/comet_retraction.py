"""The GRM trigger and the retraction of sb26050405, sent by Comet: the trigger opens, then it is retracted; the journal,
the API and the trigger file say so, and no deadline is left open."""

import json
import tempfile
import urllib.request

from controller import Controller, check, comet, send, skip, svom_packets, wait_for

comet("comet-sendvo")
pair = [packet for packet in svom_packets() if "sb26050405" in packet.read_text()]
if len(pair) != 2:
    skip("the pair of sb26050405 is not among the packets")
pair.sort(key=lambda packet: "retraction" in packet.read_text())

with tempfile.TemporaryDirectory() as directory:
    # The packets are real, and therefore old.
    with Controller(directory, "maximum_alert_age_hours = 1000000.0\n") as controller:
        state = lambda: controller.ask("select state from triggers where burst = '26050405'")

        def api():
            with urllib.request.urlopen(f"{controller.page}/api/triggers/sb26050405", timeout=20) as answer:
                return json.load(answer)

        check("the trigger is acknowledged", send(pair[0], controller.alert_port))
        opened = wait_for("it opens", state)
        check(f"its state in the journal: {opened}", opened[0][0] not in ("", "retracted"))
        check("the API shows it", "retracted" not in json.dumps(api()["trigger"]["state"]))
        check("deadlines are planned", controller.ask("select 1 from deadlines where burst = '26050405'"))

        check("the retraction is acknowledged", send(pair[1], controller.alert_port))
        wait_for("it is retracted in the journal", lambda: state() == [("retracted",)])
        check("and in the API", api()["trigger"]["state"] == "retracted", api()["trigger"]["state"])
        left = controller.ask("select name from deadlines where burst = '26050405' and state = 'planned'")
        check("no deadline is left to come", not left, left)

        files = list((controller.data / "triggers" / "sb26050405").glob("trigger_*.dat"))
        check("there is one trigger file", len(files) == 1, files)
        records = [json.loads(line) for line in files[0].read_text().splitlines()]
        check("with two notices and the merged view", len(records) == 3 and "merged" in records[2])
        check("it says enabled, then not", [r["enabled"] for r in records[:2]] == [True, False])
        check("the merged view is not enabled", records[2]["merged"]["enabled"] is False, records[2])
        check("gic run ends cleanly", controller.stop() == 0)
print("PASSED")
