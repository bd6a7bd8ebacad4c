//! `gic alert subscribe` behind a broker of its own: real frames of the VOEvent Transport Protocol over a real connection.

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

fn send(connection: &mut TcpStream, payload: &[u8]) {
    connection.write_all(&(payload.len() as u32).to_be_bytes()).unwrap();
    connection.write_all(payload).unwrap();
}

fn receive(connection: &mut TcpStream) -> String {
    let mut length = [0; 4];
    connection.read_exact(&mut length).unwrap();
    let mut payload = vec![0; u32::from_be_bytes(length) as usize];
    connection.read_exact(&mut payload).unwrap();
    String::from_utf8(payload).unwrap()
}

const ALIVE: &str = r#"<?xml version="1.0" encoding="UTF-8"?><trn:Transport role="iamalive" version="1.0" xmlns:trn="http://telescope-networks.org/schema/Transport/v1.1"><Origin>ivo://test/broker</Origin><TimeStamp>2026-11-02T04:18:00Z</TimeStamp></trn:Transport>"#;

/// A sign of life, a packet, the connection lost, another packet on the next connection: both are acknowledged, written bit for bit
/// and shown, and the command ends after the two it was asked for.
#[test]
fn a_subscription_shows_and_keeps_what_the_broker_sends_across_a_lost_connection() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/voevents");
    let packets =
        ["eclairs-wakeup.xml", "slewing.xml"].map(|name| fs::read(fixtures.join(name)).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let remote = listener.local_addr().unwrap().to_string();
    let directory = tempfile::tempdir().unwrap();
    let child = Command::new(env!("CARGO_BIN_EXE_gic"))
        .args(["alert", "subscribe", "--count", "2", "--remote", &remote, "-r"])
        .arg(directory.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    for packet in &packets {
        let (mut connection, _) = listener.accept().unwrap();
        connection.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        send(&mut connection, ALIVE.as_bytes());
        assert!(receive(&mut connection).contains("iamalive"));
        send(&mut connection, packet);
        assert!(receive(&mut connection).contains("role=\"ack\""));
    }
    let output = child.wait_with_output().unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success(),
        "{:?} {}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(shown.lines().count(), 2, "{shown}");
    let mut kept: Vec<Vec<u8>> = fs::read_dir(directory.path())
        .unwrap()
        .map(|entry| fs::read(entry.unwrap().path()).unwrap())
        .collect();
    kept.sort();
    let mut sent = packets.to_vec();
    sent.sort();
    assert_eq!(kept, sent);
}
