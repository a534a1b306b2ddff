//! A name server (Knot DNS) on a port of this machine, with the zones that a test gives it.
//!
//! Holds: it answers for all its zones once it was started; it is gone when it is dropped.

use std::{
    fs,
    net::UdpSocket,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

const START_WAIT: Duration = Duration::from_secs(20);

/// A running name server.
#[derive(Debug)]
pub struct Knot {
    child: Child,
    pub port: u16,
    folder: PathBuf,
}

impl Drop for Knot {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Knot {
    /// Zones: the name, and the text of the zone's file, with its SOA and NS records.
    pub fn start(folder: &Path, port: u16, zones: &[(&str, &str)]) -> Knot {
        let folder = folder.join("knot");
        fs::create_dir_all(&folder).expect("no folder");
        let mut listed = String::new();
        for (name, text) in zones {
            fs::write(folder.join(format!("{name}.zone")), text).expect("not written");
            listed.push_str(&format!("  - domain: {name}\n    file: {name}.zone\n"));
        }
        let at = folder.display();
        let config = format!(
            "server:\n  rundir: {at}\n  listen: 127.0.0.1@{port}\n  udp-workers: 1\n  tcp-workers: 1\n  background-workers: 1\n\
             database:\n  storage: {at}\n\
             template:\n  - id: default\n    storage: {at}\n    zonefile-sync: -1\n    journal-content: none\nzone:\n{listed}"
        );
        fs::write(folder.join("knot.conf"), config).expect("not written");
        let child = Command::new("knotd")
            .arg("-c")
            .arg(folder.join("knot.conf"))
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("knotd can't be run; it is in the Debian package knot");
        let knot = Knot {
            child,
            port,
            folder,
        };
        zones.iter().for_each(|(name, _)| knot.wait(name));
        knot
    }

    /// The same server with other zones.
    pub fn restart(self, zones: &[(&str, &str)]) -> Knot {
        let (folder, port) = (self.folder.clone(), self.port);
        drop(self);
        Knot::start(folder.parent().expect("a folder"), port, zones)
    }

    /// Until it answers a question for the SOA record of a zone.
    fn wait(&self, zone: &str) {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("no socket");
        let timeout = Some(Duration::from_millis(100));
        socket.set_read_timeout(timeout).expect("no timeout");
        let mut question = b"\x12\x34\0\0\0\x01\0\0\0\0\0\0".to_vec();
        for label in zone.split('.') {
            question.push(u8::try_from(label.len()).expect("a label"));
            question.extend_from_slice(label.as_bytes());
        }
        question.extend_from_slice(b"\0\0\x06\0\x01");
        let end = Instant::now() + START_WAIT;
        let mut buffer = [0; 512];
        while Instant::now() < end {
            let _ = socket.send_to(&question, ("127.0.0.1", self.port));
            // An answer without error, with a record.
            if socket.recv(&mut buffer).is_ok() && buffer[3] & 15 == 0 && buffer[7] > 0 {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("knotd does not answer for {zone} within {START_WAIT:?}");
    }
}
