//! What `gic run` does when the world about it fails: a full disk, a read-only one, a science centre out of reach.

use super::service::{Site, frame_states, wait_for};
use gic::storage::local::sha256_of_bytes;
use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    path::{Path, PathBuf},
    process::Command,
    sync::mpsc,
    thread,
};

/// A small file system of its own; taken away when it is dropped.
struct SmallDisk {
    path: PathBuf,
}

impl SmallDisk {
    /// `None` where the test may not mount.
    fn mount(path: &Path, options: &str) -> Option<Self> {
        fs::create_dir_all(path).unwrap();
        let output = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "gic-test"])
            .arg(path)
            .output()
            .ok()?;
        if !output.status.success() {
            println!("SKIPPED: no file system can be mounted here: {output:?}");
            return None;
        }
        Some(Self { path: path.to_owned() })
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.path).status();
    }
}

/// Fills the disk to the last byte.
fn fill(path: &Path) {
    let mut file = fs::File::create(path).unwrap();
    for size in [1 << 20, 4096, 1] {
        while file.write_all(&vec![0; size]).is_ok() {}
    }
}

#[test]
fn on_a_full_disk_images_wait_and_nothing_is_condemned() {
    let directory = tempfile::tempdir().unwrap();
    let disk = directory.path().join("disk");
    let Some(_disk) = SmallDisk::mount(&disk, "size=32m") else { return };
    let incoming = directory.path().join("telescope");
    fs::create_dir_all(&incoming).unwrap();
    let data = disk.join("data");
    let more = format!("[images]\ndirectory = {incoming:?}\n");
    let site = Site::with_data(directory, data, &more);
    let mut run = site.start();
    site.drop_frame_in(&incoming, 0);
    wait_for("the first image", || frame_states(&site).values().any(|state| state == "reduced"));
    fill(&disk.join("somebody-elses"));
    for number in 1..4 {
        site.drop_frame_in(&incoming, number);
    }
    wait_for("the complaint", || run.log().contains("disk full") || run.log().contains("No space"));
    let status = site.command(&["status"]).output().unwrap();
    assert_eq!(status.status.code(), Some(1));
    let said = String::from_utf8_lossy(&status.stdout).into_owned();
    assert!(said.contains("the disk is full"), "{said}");
    assert_eq!(frame_states(&site).len(), 1);
    fs::remove_file(disk.join("somebody-elses")).unwrap();
    wait_for("all images", || {
        let states = frame_states(&site);
        states.len() == 4 && states.values().all(|state| state == "reduced")
    });
    assert_eq!(fs::read_dir(site.data().join("quarantine")).unwrap().count(), 0);
    run.signal("TERM");
    assert_eq!(run.wait().code(), Some(0), "{}", run.log());
}

#[test]
fn a_read_only_data_directory_is_refused_with_its_reason() {
    let directory = tempfile::tempdir().unwrap();
    let disk = directory.path().join("disk");
    let Some(_disk) = SmallDisk::mount(&disk, "size=1m,ro") else { return };
    let site = Site::with_data(directory, disk.join("data"), "");
    let said = site.refused();
    assert!(said.contains("Read-only file system"), "{said}");
    let doctor = site.command(&["doctor"]).output().unwrap();
    assert_eq!(doctor.status.code(), Some(1));
    let diagnosis = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert!(
        diagnosis.contains("FAILED   disk           the file system is read-only"),
        "{diagnosis}"
    );
}

#[test]
fn products_wait_for_a_science_centre_that_is_gone_and_leave_when_it_is_back() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let site = Site::new(&format!("[fsc]\nupload_url = \"http://{address}/upload-product\"\n"));
    site.start().signal("KILL");
    let products: Vec<(String, String)> =
        (0..3).map(|number| put_into_outbox(&site, number)).collect();
    let mut run = site.start();
    wait_for("some attempts", || {
        count(&site, "SELECT coalesce(max(attempts), 0) FROM deliveries") >= 3
    });
    assert_eq!(count(&site, "SELECT count(*) FROM deliveries WHERE state = 'waiting'"), 3);
    let (sender, received) = mpsc::channel();
    let hashes = products.clone();
    let listener = TcpListener::bind(address).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            answer_upload(stream.unwrap(), &hashes, &sender);
        }
    });
    wait_for("the deliveries", || {
        count(&site, "SELECT count(*) FROM deliveries WHERE state = 'delivered'") == 3
    });
    // In the order they were made, each once.
    let order: Vec<String> = received.try_iter().collect();
    let expected: Vec<String> = products.into_iter().map(|(key, _)| key).collect();
    assert_eq!(order, expected);
    run.signal("TERM");
    assert_eq!(run.wait().code(), Some(0));
}

fn count(site: &Site, query: &str) -> i64 {
    site.journal().unwrap().query_row(query, [], |row| row.get(0)).unwrap()
}

/// A product that was made and not delivered, as the journal has it: its key and its SHA-256.
fn put_into_outbox(site: &Site, number: usize) -> (String, String) {
    let card = ["QPO_GFT", "DT_GFT", "QF_GFT"][number];
    let key = format!("{card}_FGFT_26110201_T005_v1");
    let content = format!("product {number}");
    let path = site.data().join(format!("products/{key}.fits"));
    fs::write(&path, &content).unwrap();
    let sha256 = sha256_of_bytes(content.as_bytes());
    let journal = site.journal().unwrap();
    journal
        .execute(
            "INSERT INTO products (key, burst, card, deadline, version, date, path, sha256)
             VALUES (?1, '26110201', ?2, 'T005', 1, '2026-11-02T04:05:00.000000Z', ?3, ?4)",
            rusqlite::params![key, card, path.to_string_lossy(), sha256],
        )
        .unwrap();
    journal.execute("INSERT INTO deliveries (key, state) VALUES (?1, 'waiting')", [&key]).unwrap();
    (key, sha256)
}

/// A science centre that takes everything.
fn answer_upload(
    mut stream: std::net::TcpStream,
    products: &[(String, String)],
    received: &mpsc::Sender<String>,
) {
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    let (key, sha256) = loop {
        let read = stream.read(&mut buffer).unwrap();
        assert!(read > 0, "the upload ended early");
        request.extend_from_slice(&buffer[..read]);
        let text = String::from_utf8_lossy(&request);
        let found = products.iter().enumerate().find(|(number, (key, _))| {
            text.contains(&format!("filename=\"{key}.fits\""))
                && text.contains(&format!("product {number}\r\n"))
                && text.ends_with("--\r\n")
        });
        if let Some((_, product)) = found {
            break product.clone();
        }
    };
    let receipt = format!(
        "{{\"product\":\"{key}\",\"sha256\":\"{sha256}\",\"received_at\":\"2026-11-02T05:00:00Z\",\
         \"status\":\"stored\",\"reason\":null,\"sdb\":null}}"
    );
    received.send(key).unwrap();
    let answer = format!(
        "HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nConnection: close\r\n\
         Content-Length: {}\r\n\r\n{receipt}",
        receipt.len()
    );
    stream.write_all(answer.as_bytes()).unwrap();
}
