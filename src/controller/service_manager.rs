//! What the service manager (systemd) is told, by the protocol of `sd_notify(3)`: one datagram of `NAME=value` lines to the socket
//! that `NOTIFY_SOCKET` names, a path or, after `@`, a name in the abstract name space.

use std::{
    env,
    ffi::{OsStr, OsString},
    io,
    os::{
        linux::net::SocketAddrExt,
        unix::{
            ffi::OsStrExt,
            net::{SocketAddr, UnixDatagram},
        },
    },
    process,
    time::Duration,
};

/// The service manager, or nobody when the program was started by hand.
#[derive(Debug)]
pub struct ServiceManager {
    socket: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Duration>,
}

impl ServiceManager {
    /// As the environment says.
    pub fn from_environment() -> Self {
        let manager = Self::new(env::var_os("NOTIFY_SOCKET"));
        let for_us = env::var("WATCHDOG_PID").map_or(true, |pid| pid.parse() == Ok(process::id()));
        let microseconds = env::var("WATCHDOG_USEC").ok().and_then(|text| text.parse().ok());
        Self {
            watchdog: microseconds
                .filter(|microseconds| *microseconds > 0 && for_us)
                .map(Duration::from_micros),
            ..manager
        }
    }

    fn new(name: Option<OsString>) -> Self {
        let socket = name.as_deref().filter(|name| !name.is_empty()).and_then(|name| {
            connect(name)
                .inspect_err(|error| {
                    tracing::warn!(socket = %name.display(), %error, "the service manager cannot be told anything");
                })
                .ok()
        });
        Self { socket, watchdog: None }
    }

    /// Within this time it wants a sign of life; absent: it does not wait for one.
    pub fn watchdog(&self) -> Option<Duration> {
        self.watchdog.filter(|_| self.socket.is_some())
    }

    /// The program serves.
    pub fn ready(&self, status: &str) {
        self.send(&format!("READY=1\nSTATUS={}", one_line(status)));
    }

    /// A line for `systemctl status`.
    pub fn status(&self, status: &str) {
        self.send(&format!("STATUS={}", one_line(status)));
    }

    /// A sign of life.
    pub fn feed_watchdog(&self) {
        self.send("WATCHDOG=1");
    }

    /// The program is ending.
    pub fn stopping(&self, status: &str) {
        self.send(&format!("STOPPING=1\nSTATUS={}", one_line(status)));
    }

    /// A manager that does not listen is no reason to stop working.
    fn send(&self, state: &str) {
        let Some((socket, address)) = &self.socket else { return };
        if let Err(error) = socket.send_to_addr(state.as_bytes(), address) {
            tracing::warn!(%error, "the service manager was not told");
        }
    }
}

fn connect(name: &OsStr) -> io::Result<(UnixDatagram, SocketAddr)> {
    let address = match name.as_bytes() {
        [b'@', abstract_name @ ..] => SocketAddr::from_abstract_name(abstract_name)?,
        [b'/', ..] => SocketAddr::from_pathname(name)?,
        _ => return Err(io::Error::other("neither a path nor an abstract name")),
    };
    let socket = UnixDatagram::unbound()?;
    // A manager that does not read must not hold anything up.
    socket.set_nonblocking(true)?;
    Ok((socket, address))
}

fn one_line(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 500];
        let count = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..count].to_vec()).unwrap()
    }

    #[test]
    fn both_sorts_of_socket_hear_the_same() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let abstract_name = format!("gic-trial-{}", process::id());
        let address = SocketAddr::from_abstract_name(&abstract_name).unwrap();
        let sockets =
            [UnixDatagram::bind(&path).unwrap(), UnixDatagram::bind_addr(&address).unwrap()];
        let names = [path.into_os_string(), format!("@{abstract_name}").into()];
        for (socket, name) in sockets.iter().zip(names) {
            let manager = ServiceManager::new(Some(name));
            manager.ready("all\nis well");
            manager.feed_watchdog();
            manager.stopping("told to");
            assert_eq!(received(socket), "READY=1\nSTATUS=all is well");
            assert_eq!(received(socket), "WATCHDOG=1");
            assert_eq!(received(socket), "STOPPING=1\nSTATUS=told to");
        }
    }

    #[test]
    fn nobody_to_tell_is_no_error() {
        for name in [None, Some(""), Some("relative"), Some("/no/such/socket")] {
            let manager = ServiceManager::new(name.map(OsString::from));
            manager.ready("alone");
            assert_eq!(manager.watchdog(), None);
        }
    }
}
