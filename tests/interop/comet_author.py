"""Comet's comet-sendvo sends every real SVOM packet to gic run: acknowledged, journaled as the bytes they are, and each
either applied or archived with its reason. A duplicate is acknowledged and counted; a packet of an unknown type is
archived."""

import hashlib
import pathlib
import re
import tempfile

from controller import Controller, check, comet, send, svom_packets, wait_for

comet("comet-sendvo")
packets = svom_packets()
with tempfile.TemporaryDirectory() as directory:
    with Controller(directory) as controller:
        for packet in packets:
            check(f"{packet.name} is acknowledged", send(packet, controller.alert_port))
        bytes_sent = {packet.read_bytes() for packet in packets}
        expected = {hashlib.sha256(packet).hexdigest() for packet in bytes_sent}
        journaled = controller.ask("select sha256, packet from alerts")
        check(f"all {len(expected)} different packets are journaled", {row[0] for row in journaled} == expected)
        check("bit for bit", {bytes(row[1]) for row in journaled} == bytes_sent)

        unknown = pathlib.Path(directory) / "unknown.xml"
        text = packets[0].read_text()
        text = re.sub(r'("Packet_Type"\s+value=)"\d+"', r'\1"299"', text)
        unknown.write_text(re.sub(r'(ivorn="[^"]*)"', r'\1_of-a-type-to-come"', text))
        check("a packet of an unknown type is acknowledged", send(unknown, controller.alert_port))
        check("a duplicate is acknowledged", send(packets[0], controller.alert_port))
        arrivals = controller.ask(
            "select arrivals from alerts where sha256 = ?", hashlib.sha256(packets[0].read_bytes()).hexdigest()
        )
        check("and counted, not journaled twice", arrivals == [(2,)], arrivals)

        wait_for("all are settled", lambda: not controller.ask("select 1 from alerts where state = 'received'"))
        states = dict(controller.ask("select state, count(*) from alerts group by state"))
        check(f"applied or archived: {states}", set(states) <= {"applied", "archived"})
        silent = controller.ask("select ivorn from alerts where state = 'archived' and coalesce(reason, '') = ''")
        check("whatever is archived has a reason", not silent, silent)
        reason = controller.ask("select state, reason from alerts where ivorn like '%of-a-type-to-come'")
        check(f"the unknown type is archived: {reason}", len(reason) == 1 and reason[0][0] == "archived", reason)
        check("gic run ends cleanly", controller.stop() == 0)
print("PASSED")
