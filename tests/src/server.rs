//! A running server, and the ways it ends.
//!
//! Holds: it is gone when the test is; a test that fails shows the end of the log.

use std::{
    fs::{self, File, OpenOptions},
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::{
    Home, Imap, Jmap, PASSWORD, Pop3, Smtp,
    home::{DOMAIN, binary},
    http::Http,
};

/// A debug build on a busy machine takes its time.
const START_WAIT: Duration = Duration::from_secs(60);
const STOP_WAIT: Duration = Duration::from_secs(60);
const LOG_LINES_SHOWN: usize = 60;

/// A running server.
#[derive(Debug)]
pub struct Server {
    pub home: Home,
    child: Option<Child>,
    trouble: Option<Trouble>,
}

/// What is wrong with the disk, as a server sees it.
#[derive(Clone, Debug)]
pub enum Trouble {
    /// It is full: no file grows beyond so many octets (`ulimit -f`).
    FileOctetsMax(u64),
    /// As long as this file is there, fsync(2) and fdatasync(2) fail with EIO.
    FailingSyncWhile(PathBuf),
}

impl Server {
    /// With `alice` and `bob`, and the usual configuration.
    pub fn start() -> Server {
        Server::start_in(Home::with_people())
    }

    /// In a home that was prepared.
    pub fn start_in(home: Home) -> Server {
        Server::start_with(home, None)
    }

    /// In a home on a disk with a fault.
    pub fn start_with(home: Home, trouble: Option<Trouble>) -> Server {
        home.write_config();
        let mut server = Server {
            home,
            child: None,
            trouble,
        };
        server.spawn();
        server.wait_until_healthy();
        server
    }

    /// Starts again on the same data.
    pub fn restart(&mut self) {
        assert!(self.child.is_none(), "the server still runs");
        self.spawn();
        self.wait_until_healthy();
    }

    /// As [`Server::restart`], on a disk with another fault, or none.
    pub fn restart_with(&mut self, trouble: Option<Trouble>) {
        self.trouble = trouble;
        self.restart();
    }

    /// Starts again on the same data, and doesn't wait until it serves.
    pub fn start_again(&mut self) {
        assert!(!self.is_running(), "the server still runs");
        self.spawn();
    }

    /// Waits until it serves.
    pub fn wait_until_there(&mut self) {
        self.wait_until_healthy();
    }

    /// Sends a signal, such as `STOP`.
    pub fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        let sent = Command::new("kill")
            .args([&format!("-{name}"), &pid])
            .status();
        assert!(
            sent.expect("kill can't be run").success(),
            "SIG{name} could not be sent"
        );
    }

    fn spawn(&mut self) {
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.home.log_file());
        let log = log.expect("the log can't be opened");
        let mut command = serve_command(&self.home, self.trouble.as_ref());
        command
            .stdout(log.try_clone().expect("the log can't be shared"))
            .stderr(log);
        self.child = Some(command.spawn().expect("the server can't be started"));
    }

    fn wait_until_healthy(&mut self) {
        let end = Instant::now() + START_WAIT;
        loop {
            if let Some(status) = self
                .child
                .as_mut()
                .and_then(|child| child.try_wait().ok().flatten())
            {
                panic!(
                    "the server ended while it started: {status}\n{}",
                    self.log_tail()
                );
            }
            let mut http = Http::new(self.home.http);
            if http
                .try_get("/healthz", &[])
                .is_ok_and(|answer| answer.status == 200)
            {
                break;
            }
            assert!(
                Instant::now() < end,
                "the server is not there after {START_WAIT:?}\n{}",
                self.log_tail()
            );
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("the server doesn't run");
        child.kill().expect("the server can't be killed");
        child.wait().expect("the server can't be waited for");
    }

    /// SIGTERM, and its end; it has to be a good one.
    pub fn stop(&mut self) {
        let status = self.terminate();
        assert!(
            status.success(),
            "the server ended with {status}\n{}",
            self.log_tail()
        );
    }

    /// SIGTERM, and how it ended.
    pub fn terminate(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("the server doesn't run");
        let sent = Command::new("kill").arg(child.id().to_string()).status();
        assert!(
            sent.expect("kill can't be run").success(),
            "SIGTERM could not be sent"
        );
        let end = Instant::now() + STOP_WAIT;
        loop {
            if let Some(status) = child.try_wait().expect("the server can't be waited for") {
                return status;
            }
            if Instant::now() > end {
                let _ = child.kill();
                let _ = child.wait();
                panic!(
                    "the server still runs {STOP_WAIT:?} after SIGTERM\n{}",
                    self.log_tail()
                );
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn is_running(&mut self) -> bool {
        self.child
            .as_mut()
            .is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    pub fn pid(&self) -> u32 {
        self.child.as_ref().map_or(0, Child::id)
    }

    /// Resident memory, in octets.
    pub fn resident_octets(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| {
            line.trim()
                .trim_end_matches("kB")
                .trim()
                .parse::<u64>()
                .ok()
        });
        kib.unwrap_or_default() * 1024
    }

    /// A connection for JMAP, logged in as `name@example.org`.
    pub fn jmap(&self, name: &str) -> Jmap {
        Jmap::login(self.home.http, &format!("{name}@{DOMAIN}"), PASSWORD)
    }

    /// A connection for IMAP, logged in as `name@example.org`.
    pub fn imap(&self, name: &str) -> Imap {
        Imap::login(self.home.imap, &format!("{name}@{DOMAIN}"), PASSWORD)
    }

    /// A session of POP3, logged in as `name@example.org`.
    pub fn pop3(&self, name: &str) -> Pop3 {
        Pop3::login(self.home.pop3, &format!("{name}@{DOMAIN}"), PASSWORD)
    }

    /// A connection to port 25's stand-in, greeted.
    pub fn smtp(&self) -> Smtp {
        Smtp::connect(self.home.smtp, false).expect("no SMTP connection")
    }

    /// A connection to LMTP's, greeted.
    pub fn lmtp(&self) -> Smtp {
        Smtp::connect(self.home.lmtp, true).expect("no LMTP connection")
    }

    /// The last lines of the log.
    pub fn log_tail(&self) -> String {
        let log = fs::read(self.home.log_file()).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        let first = lines.len().saturating_sub(LOG_LINES_SHOWN);
        lines[first..].join("\n")
    }

    /// All of the log.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.home.log_file()).unwrap_or_default()).into_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if thread::panicking() {
            eprintln!("--- the end of the server's log:\n{}\n---", self.log_tail());
        }
    }
}

fn serve_command(home: &Home, trouble: Option<&Trouble>) -> Command {
    let mut command = match trouble {
        None => Command::new(binary()),
        Some(Trouble::FailingSyncWhile(file)) => {
            let mut command = Command::new(binary());
            command
                .env("LD_PRELOAD", failing_sync(home))
                .env("FAILING_SYNC_WHILE", file);
            command
        }
        Some(Trouble::FileOctetsMax(octets)) => {
            // A write beyond the limit is to fail, not to end the process: SIGXFSZ is ignored. `ulimit -f` counts
            // blocks of 512 octets in sh.
            let mut shell = Command::new("sh");
            let script = format!(
                "trap '' XFSZ; ulimit -f {}; exec \"$0\" \"$@\"",
                octets / 512
            );
            shell.arg("-c").arg(script).arg(binary());
            shell
        }
    };
    let environment = home.environment.iter();
    command
        .envs(environment.map(|(name, value)| (name, value)))
        .arg("serve")
        .arg("--data")
        .arg(&home.data)
        .arg("--config")
        .arg(home.config_file())
        .stdin(Stdio::null());
    command
}

/// The library that makes syncs fail, compiled by the linker's C compiler.
fn failing_sync(home: &Home) -> PathBuf {
    let library = home.path().join("failing_sync.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/failing_sync.c");
    let compiled = Command::new("cc")
        .args(["-shared", "-fPIC", "-O1", "-o"])
        .args([&library, &source])
        .output()
        .expect("there is no C compiler");
    let errors = String::from_utf8_lossy(&compiled.stderr);
    assert!(compiled.status.success(), "not compiled: {errors}");
    library
}

/// What became of a start that is to fail.
#[derive(Debug)]
pub struct FailedStart {
    /// The exit code, or 128 and the signal.
    pub code: i32,
    pub output: String,
}

/// Starts a server that is to end by itself with an error.
pub fn start_that_fails(home: &Home) -> FailedStart {
    let path = home.path().join("failed-start-log");
    let log = File::create(&path).expect("the log can't be made");
    let mut command = serve_command(home, None);
    command
        .stdout(log.try_clone().expect("the log can't be shared"))
        .stderr(log);
    let mut child = command.spawn().expect("the server can't be started");
    let end = Instant::now() + START_WAIT;
    loop {
        if let Some(status) = child.try_wait().expect("the server can't be waited for") {
            let code = status
                .code()
                .unwrap_or(128 + status.signal().unwrap_or_default());
            return FailedStart {
                code,
                output: fs::read_to_string(&path).unwrap_or_default(),
            };
        }
        if Instant::now() > end {
            let _ = child.kill();
            let _ = child.wait();
            panic!(
                "the server has started where it should not:\n{}",
                fs::read_to_string(&path).unwrap_or_default()
            );
        }
        thread::sleep(Duration::from_millis(20));
    }
}
