//! The machine about the controller: directories, disk, ports, clock, network.

use super::Finding;
use crate::{
    config::ControllerConfig,
    controller::status::with_causes,
    model::UtcTime,
    storage::{directory_lock::DirectoryLock, disk::DiskSpace},
    web::health::{FEW_INODES, LITTLE_ROOM_BYTES, ROOM_BYTES},
};
use std::{
    fs, io,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, UNIX_EPOCH},
};

/// A file from further in the future than this says that a clock is wrong.
const FUTURE_SECONDS: f64 = 60.0;
const NETWORK_TIMEOUT: Duration = Duration::from_secs(10);

/// Whether what the controller writes and reads can be written and read.
pub(super) fn directories(config: &ControllerConfig) -> Vec<Finding> {
    let data = &config.data.directory;
    let mut findings = vec![match try_to_write(data) {
        Ok(()) => Finding::ok("data", format!("{} can be written", data.display())),
        Err(error) => Finding::failed(
            "data",
            format!("{}: {error}", data.display()),
            "make the directory writable for the user that runs gic, or name another in [data]",
        ),
    }];
    if let Some(watched) = &config.images.directory {
        findings.push(match fs::read_dir(watched) {
            Ok(_) => Finding::ok("images", format!("{} can be read", watched.display())),
            Err(error) => Finding::failed(
                "images",
                format!("{}: {error}", watched.display()),
                "mount it or make it readable: no image arrives",
            ),
        });
    }
    findings
}

/// Writes and removes a file where the data go; a directory that is not there yet is tried in its nearest parent.
fn try_to_write(directory: &Path) -> io::Result<()> {
    let place = nearest_existing(directory);
    let trial = place.join(format!(".gic-doctor-{}", std::process::id()));
    fs::write(&trial, b"gic doctor was here\n")?;
    fs::remove_file(&trial)
}

fn nearest_existing(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let existing = absolute.ancestors().find(|ancestor| ancestor.exists());
    existing.map_or_else(|| PathBuf::from("/"), Path::to_path_buf)
}

pub(super) fn space(data: &Path) -> Finding {
    let subject = "disk";
    let space = match DiskSpace::of(&nearest_existing(data)) {
        Ok(space) => space,
        Err(error) => {
            return Finding::failed(subject, error.to_string(), "see that the disk is mounted");
        }
    };
    let inodes = space.free_inodes.map_or_else(String::new, |free| format!(", {free} inodes"));
    let text = format!("{:.1} GiB free{inodes}", space.free_bytes as f64 / (1_u64 << 30) as f64);
    let advice = "move old nights out of raw/ and calibrated/ to another disk";
    if space.is_read_only {
        Finding::failed(subject, "the file system is read-only", "see dmesg; mount it read-write")
    } else if space.free_bytes < LITTLE_ROOM_BYTES || space.free_inodes == Some(0) {
        Finding::failed(subject, text, advice)
    } else if space.free_bytes < ROOM_BYTES
        || space.free_inodes.is_some_and(|free| free < FEW_INODES)
    {
        Finding::warning(subject, text, advice)
    } else {
        Finding::ok(subject, text)
    }
}

/// Free, or held by the gic that has the data directory.
pub(super) fn ports(config: &ControllerConfig) -> Vec<Finding> {
    let holder = DirectoryLock::holder(&config.data.directory).ok().flatten();
    let mut findings = vec![match &holder {
        Some(holder) => Finding::ok("program", format!("running: {holder}")),
        None => Finding::ok("program", "not running on this data directory"),
    }];
    for (subject, address) in [("alerts", config.alerts.listen), ("pages", config.web.listen)] {
        findings.push(port(subject, address, holder.as_deref()));
    }
    findings
}

fn port(subject: &str, address: SocketAddr, holder: Option<&str>) -> Finding {
    match (TcpListener::bind(address), holder) {
        (Ok(_), None) => Finding::ok(subject, format!("{address} is free")),
        (Ok(_), Some(_)) if address.port() == 0 => {
            Finding::ok(subject, format!("{address}: a free port is taken at each start"))
        }
        (Ok(_), Some(holder)) => Finding::failed(
            subject,
            format!("nobody listens on {address} though gic runs ({holder})"),
            "it was started with another configuration, or hangs: gic status, then restart it",
        ),
        (Err(error), Some(_)) if error.kind() == io::ErrorKind::AddrInUse => {
            Finding::ok(subject, format!("{address} is in use, gic runs"))
        }
        (Err(error), _) if error.kind() == io::ErrorKind::AddrInUse => Finding::failed(
            subject,
            format!("{address} is taken by another program"),
            format!(
                "find it with: ss -ltnp 'sport = :{}'; end it or change gic.toml",
                address.port()
            ),
        ),
        (Err(error), _) => Finding::failed(
            subject,
            format!("{address}: {error}"),
            "the address must be one of this machine's; change gic.toml",
        ),
    }
}

/// Whether the system's clock is disciplined, and not behind the files that are there.
pub(super) fn clock(data: &Path, now: UtcTime) -> Finding {
    let subject = "clock";
    let newest = ["gic.sqlite", "raw", "products", "status", "incoming"]
        .iter()
        .filter_map(|name| fs::metadata(data.join(name)).ok()?.modified().ok())
        .max()
        .and_then(|modified| modified.duration_since(UNIX_EPOCH).ok())
        .map(|since| since.as_secs_f64() - now.unix_seconds());
    if let Some(ahead) = newest.filter(|ahead| *ahead > FUTURE_SECONDS) {
        return Finding::failed(
            subject,
            format!(
                "files of the data directory are {ahead:.0} s in the future: the clock is behind"
            ),
            "see that NTP works (timedatectl), then restart gic when no deadline is open",
        );
    }
    match is_synchronised() {
        Some(true) => Finding::ok(subject, format!("{now}, synchronised")),
        Some(false) => Finding::warning(
            subject,
            format!("{now}, not synchronised"),
            "see timedatectl; deadlines go by this clock",
        ),
        None => Finding::warning(
            subject,
            format!("{now}; whether it is synchronised cannot be read here"),
            "compare it with another clock",
        ),
    }
}

/// What systemd or chrony says; `None`: neither is there.
fn is_synchronised() -> Option<bool> {
    if Path::new("/run/systemd/timesync/synchronized").exists() {
        return Some(true);
    }
    if let Some(answer) = answer_of("timedatectl", &["show", "-p", "NTPSynchronized", "--value"]) {
        return Some(answer.trim() == "yes");
    }
    let answer = answer_of("chronyc", &["-c", "tracking"])?;
    // The last field is the leap status.
    Some(answer.trim().rsplit(',').next() == Some("Normal"))
}

fn answer_of(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Whether the receiver answers at all; what it answers to a GET does not matter.
pub(super) async fn science_centre(config: &ControllerConfig) -> Finding {
    let subject = "science centre";
    let url = &config.fsc.upload_url;
    let answer = match reqwest::Client::builder().timeout(NETWORK_TIMEOUT).build() {
        Ok(client) => client.get(url).send().await,
        Err(error) => Err(error),
    };
    match answer {
        Ok(answer) => Finding::ok(subject, format!("{url} answers ({})", answer.status())),
        Err(error) => Finding::failed(
            subject,
            with_causes(&error),
            "products wait in the outbox and lose nothing; see the network, then call the centre",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::Verdict, *};

    #[test]
    fn a_port_is_free_or_taken_and_the_holder_decides() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        assert_eq!(port("pages", address, None).verdict, Verdict::Failed);
        assert_eq!(port("pages", address, Some("pid 1, gic run")).verdict, Verdict::Ok);
        drop(listener);
        assert_eq!(port("pages", address, None).verdict, Verdict::Ok);
        assert_eq!(port("pages", address, Some("pid 1, gic run")).verdict, Verdict::Failed);
    }

    #[test]
    fn a_clock_behind_the_files_is_found() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("gic.sqlite"), b"").unwrap();
        let now = crate::clock::Clock::real().now();
        assert_ne!(clock(directory.path(), now).verdict, Verdict::Failed);
        let hour_behind = clock(directory.path(), now.plus_seconds(-3600.0));
        assert_eq!(hour_behind.verdict, Verdict::Failed);
        assert!(hour_behind.text.contains("in the future"), "{}", hour_behind.text);
    }

    #[test]
    fn a_directory_that_is_not_there_yet_is_tried_in_its_parent() {
        let directory = tempfile::tempdir().unwrap();
        try_to_write(&directory.path().join("not/there/yet")).unwrap();
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
        assert!(try_to_write(Path::new("/proc/gic")).is_err());
    }
}
