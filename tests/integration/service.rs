//! `gic run` as a service: what the service manager hears, stop and start, one program in a directory, the log, doctor and status.

mod site;

pub use site::{Site, events, frame_states, wait_for};

use std::{
    fs,
    io::ErrorKind,
    os::unix::net::UnixDatagram,
    time::{Duration, Instant},
};

/// The next datagram; `None` when none comes for so long. A wait is over early when the process was stopped and goes on, as in a container
/// that is frozen for a while (signal(7), sockets with a timeout): that is not the end of the patience.
fn heard(socket: &UnixDatagram, patience: Duration) -> Option<String> {
    let end = Instant::now() + patience;
    let mut buffer = [0; 1000];
    loop {
        let left = end.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        socket.set_read_timeout(Some(left)).unwrap();
        match socket.recv(&mut buffer) {
            Ok(count) => return Some(String::from_utf8_lossy(&buffer[..count]).into_owned()),
            Err(error) => assert!(
                matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock),
                "{error}"
            ),
        }
        if Instant::now() >= end {
            return None;
        }
    }
}

#[test]
fn the_watchdog_is_fed_while_every_actor_answers_and_not_when_one_hangs() {
    let site = Site::new("");
    let path = site.directory().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    let mut run = site.start_with(&["--trial-hang", "status-collector@5"], |command| {
        command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "4000000");
    });
    let patience = Duration::from_secs(60);
    let first = heard(&manager, patience).unwrap();
    assert!(first.starts_with("READY=1\nSTATUS=alerts 127.0.0.1:"), "{first}");
    let mut fed = 0;
    // A machine that stood still for two seconds makes others silent for a moment, too.
    loop {
        let message =
            heard(&manager, patience).expect("the watchdog was fed no more and nothing was said");
        if message == "WATCHDOG=1" {
            fed += 1;
        } else if message == "STATUS=no answer from status-collector" {
            break;
        }
    }
    assert!(fed > 0);
    // Two feedings would have come in this time.
    assert_eq!(heard(&manager, Duration::from_secs(5)), None);
    run.signal("TERM");
    let last = heard(&manager, patience).unwrap();
    assert!(last.starts_with("STOPPING=1\n"), "{last}");
    assert_eq!(run.wait().code(), Some(0));
}

#[test]
fn a_stop_in_the_middle_of_work_is_clean_and_the_next_start_goes_on() {
    let site = Site::new("");
    let frames = 12;
    for number in 0..frames {
        site.drop_frame(number);
    }
    for signal in ["TERM", "INT"] {
        let before = frame_states(&site).len();
        let mut run = site.start();
        wait_for("an image taken in", || frame_states(&site).len() > before || before == frames);
        let told = Instant::now();
        run.signal(signal);
        assert_eq!(run.wait().code(), Some(0), "{}", run.log());
        // What the service manager is promised; a machine that is slower than that has stopped it by force.
        assert!(told.elapsed() < Duration::from_secs(5), "{:?}", told.elapsed());
        let (what, detail) = events(&site).pop().unwrap();
        assert_eq!((what.as_str(), detail), ("stopped", format!("SIG{signal}")));
    }
    let mut run = site.start();
    wait_for("every image done", || {
        let states = frame_states(&site);
        states.len() == frames && states.values().all(|state| state != "arrived")
    });
    run.signal("TERM");
    assert_eq!(run.wait().code(), Some(0));
    let states = frame_states(&site);
    assert!(states.values().all(|state| state == "reduced"), "{states:?}");
    assert_eq!(site.files_named(".tmp"), Vec::<String>::new());
    assert_eq!(fs::read_dir(site.data().join("incoming")).unwrap().count(), 0);
    let starts = events(&site).iter().map(|(what, _)| what.clone()).collect::<Vec<_>>();
    assert_eq!(starts, ["started", "stopped"].repeat(3));
}

#[test]
fn a_directory_has_one_program_and_a_killed_one_leaves_it_free() {
    let site = Site::new("");
    let mut first = site.start();
    let second = site.command(&["run"]).output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    let holder = format!("is in use by another gic (pid {}, gic run)", first.pid());
    assert!(said.contains(&holder), "{said}");
    first.signal("KILL");
    first.wait();
    let mut third = site.start();
    third.signal("TERM");
    assert_eq!(third.wait().code(), Some(0));
}

#[test]
fn a_journal_that_is_newer_or_damaged_is_refused_and_left_as_it_is() {
    let site = Site::new("");
    let mut run = site.start();
    run.signal("TERM");
    run.wait();
    let journal = site.data().join("gic.sqlite");
    let connection = rusqlite::Connection::open(&journal).unwrap();
    connection.pragma_update(None, "user_version", 99).unwrap();
    drop(connection);
    let mut said = site.refused();
    assert!(said.contains("written by a newer version of the program (schema 99"), "{said}");
    for beside in ["gic.sqlite-wal", "gic.sqlite-shm"] {
        let _ = fs::remove_file(site.data().join(beside));
    }
    fs::write(&journal, vec![b'?'; 20_000]).unwrap();
    said = site.refused();
    assert!(said.contains("gic.sqlite: file is not a database"), "{said}");
    assert_eq!(fs::read(&journal).unwrap(), vec![b'?'; 20_000]);
    let doctor = site.command(&["doctor"]).output().unwrap();
    assert_eq!(doctor.status.code(), Some(1));
    let diagnosis = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert!(diagnosis.contains("FAILED   journal"), "{diagnosis}");
    assert!(diagnosis.contains("A damaged journal"), "{diagnosis}");
}

#[test]
fn the_log_file_rotates_and_is_opened_again_on_sighup() {
    let site = Site::new("[log]\nfile = \"logs/gic.log\"\nmaximum_bytes = 600\nkept_files = 2\n");
    let mut run = site.start();
    let logs = site.directory().join("logs");
    let moved = logs.join("moved");
    fs::rename(logs.join("gic.log"), &moved).unwrap();
    run.signal("HUP");
    // On a busy machine other lines may have come by then, and the file have rotated.
    wait_for("the log opened again", || {
        ["gic.log", "gic.log.1", "gic.log.2"].iter().any(|name| {
            fs::read_to_string(logs.join(name))
                .is_ok_and(|text| text.contains("log file opened again"))
        })
    });
    for number in 0..6 {
        site.drop_frame(number);
    }
    wait_for("rotation", || logs.join("gic.log.2").exists());
    run.signal("TERM");
    assert_eq!(run.wait().code(), Some(0));
    let count = fs::read_dir(&logs).unwrap().count();
    assert_eq!(count, 4, "the log, two before it, and the one that was moved");
    for file in ["gic.log", "gic.log.1", "gic.log.2"] {
        for line in fs::read_to_string(logs.join(file)).unwrap().lines() {
            let value: serde_json::Value = serde_json::from_str(line).unwrap();
            assert!(value["fields"]["message"].is_string(), "{line}");
        }
    }
}

#[test]
fn doctor_and_status_tell_running_stopped_and_crashed_apart() {
    let site = Site::new("");
    let status = |expected: i32| {
        let output = site.command(&["status", "--json"]).output().unwrap();
        assert_eq!(output.status.code(), Some(expected), "{output:?}");
        let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        value["state"].as_str().unwrap().to_owned()
    };
    let doctor = |expected: i32| {
        let output = site.command(&["doctor"]).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(expected), "{text}");
        text
    };
    assert_eq!(status(1), "stopped");
    assert!(doctor(0).contains("not running on this data directory"));
    let mut run = site.start();
    wait_for("the pages", || site.command(&["status"]).output().unwrap().status.success());
    assert_eq!(status(0), "running");
    let text = doctor(0);
    assert!(text.contains(&format!("running: pid {}", run.pid())), "{text}");
    assert!(text.contains("is in use, gic runs"), "{text}");
    run.signal("KILL");
    run.wait();
    assert_eq!(status(1), "crashed");
    assert!(doctor(0).contains("did not end as it should"));
    let mut run = site.start();
    run.signal("TERM");
    run.wait();
    assert_eq!(status(1), "stopped");
    // The port is taken by somebody else.
    let taken = std::net::TcpListener::bind(site.pages()).unwrap();
    let text = doctor(1);
    assert!(text.contains("is taken by another program"), "{text}");
    drop(taken);
}
