//! The object store of compose.yaml, as a process that can be killed, frozen and started again.
//!
//! Holds: it keeps its address and what it has acknowledged; it is gone when the test is. `POSTHORN_GARAGE` names the program of Garage,
//! which compose.yaml has (`cargo install garage --version 2.4.1`): it is started with the file of `deploy/`. Without it, the program
//! `objects` stands in, a server of S3 over a folder.
//! Other half: `src/bin/objects.rs`.

use std::{
    collections::BTreeMap,
    fs,
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use store::blob::s3_server::BUCKET;
use tempfile::TempDir;

use crate::{
    deploy::{self, replaced},
    home::free_port,
};

const VARIABLE: &str = "POSTHORN_GARAGE";
const START_TIME: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(20);
const LOG_LINES_SHOWN: usize = 40;
/// SHA-256 of nothing, which is what a GET has in it.
const NOTHING: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

#[derive(Debug)]
pub struct ObjectServer {
    folder: TempDir,
    address: SocketAddr,
    program: Program,
    /// What its environment has, as `make-secrets` has made it.
    environment: BTreeMap<String, String>,
    child: Option<Child>,
}

#[derive(Debug)]
enum Program {
    Garage(PathBuf),
    StandIn(PathBuf),
}

impl ObjectServer {
    /// An empty one, with the keys of `secrets` (see [`deploy::make_secrets`]). `stand_in`: the program `objects`.
    pub fn start(address: SocketAddr, secrets: &Path, stand_in: &Path) -> ObjectServer {
        let folder = tempfile::Builder::new()
            .prefix("posthorn-objects-")
            .tempdir();
        let folder = folder.expect("a temporary folder can't be made");
        let environment = fs::read_to_string(secrets.join("objects.env"));
        let environment = environment.expect("objects.env can't be read");
        let pair = |line: &str| {
            let (name, value) = line.split_once('=').expect("NAME=VALUE");
            (name.to_owned(), value.to_owned())
        };
        let program = match std::env::var_os(VARIABLE) {
            Some(path) => Program::Garage(path.into()),
            None => Program::StandIn(stand_in.to_owned()),
        };
        if let Program::Garage(_) = program {
            let text = deploy::file("objects/garage.toml");
            let data = folder.path().display().to_string();
            let text = replaced(&text, "/var/lib/garage", &data);
            let rpc = format!("127.0.0.1:{}", free_port());
            let text = replaced(&text, "127.0.0.1:3901", &rpc);
            let text = replaced(&text, "[::]:3900", &address.to_string());
            fs::write(folder.path().join("garage.toml"), text).expect("written");
        }
        let mut server = ObjectServer {
            folder,
            address,
            program,
            environment: environment.lines().map(pair).collect(),
            child: None,
        };
        server.start_again();
        server
    }

    /// Where it is, for `endpoint`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The name of its bucket.
    pub fn bucket(&self) -> &str {
        match self.program {
            Program::Garage(_) => &self.environment["GARAGE_DEFAULT_BUCKET"],
            Program::StandIn(_) => BUCKET,
        }
    }

    /// After [`ObjectServer::kill`], on what is there, until it answers.
    pub fn start_again(&mut self) {
        assert!(self.child.is_none(), "the object store still runs");
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log_file())
            .expect("the log can't be opened");
        let mut command = match &self.program {
            Program::Garage(path) => {
                let mut command = Command::new(path);
                command
                    .arg("-c")
                    .arg(self.folder.path().join("garage.toml"))
                    .args(["server", "--single-node", "--default-bucket"]);
                command
            }
            Program::StandIn(path) => {
                let mut command = Command::new(path);
                command
                    .arg(self.folder.path())
                    .arg(self.address.to_string());
                command
            }
        };
        command
            .envs(&self.environment)
            .stdin(Stdio::piped())
            .stdout(log.try_clone().expect("the log can't be shared"))
            .stderr(log);
        let child = command.spawn();
        let child = child.unwrap_or_else(|error| panic!("{command:?} can't be started: {error}"));
        self.child = Some(child);
        let end = Instant::now() + START_TIME;
        while TcpStream::connect(self.address).is_err() {
            let is_there = Instant::now() < end && !self.has_ended();
            assert!(is_there, "no object store:\n{}", self.log_tail());
            sleep(LOOK_EVERY);
        }
    }

    fn has_ended(&mut self) -> bool {
        let child = self.child.as_mut().expect("the object store doesn't run");
        !matches!(child.try_wait(), Ok(None))
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("the object store doesn't run");
        child.kill().expect("the object store can't be killed");
        child.wait().expect("the object store can't be waited for");
    }

    /// Connections stay open and nobody answers (SIGSTOP); or it goes on.
    pub fn freeze(&self, frozen: bool) {
        let child = self.child.as_ref().expect("the object store doesn't run");
        let name = if frozen { "-STOP" } else { "-CONT" };
        let pid = child.id().to_string();
        let sent = Command::new("kill").arg(name).arg(pid).status();
        let is_sent = sent.expect("kill can't be run").success();
        assert!(is_sent, "{name} could not be sent");
    }

    /// The objects of the bucket by name, with their octets, as another client of S3 is told.
    pub fn objects(&self) -> BTreeMap<String, u64> {
        let mut found = BTreeMap::new();
        loop {
            let last = found.last_key_value().map(|(name, _): (&String, _)| name);
            let (page, is_last) = self.page(last);
            found.extend(page);
            if is_last {
                return found;
            }
        }
    }

    /// Those behind one, and whether these are the last.
    fn page(&self, behind: Option<&String>) -> (Vec<(String, u64)>, bool) {
        let of = |name: &str| self.environment[name].as_str();
        let user = format!(
            "{}:{}",
            of("GARAGE_DEFAULT_ACCESS_KEY"),
            of("GARAGE_DEFAULT_SECRET_KEY")
        );
        let output = Command::new("curl")
            .args(["-s", "-S", "-f", "-m", "60"])
            .args(["--aws-sigv4", "aws:amz:garage:s3", "-u", &user])
            .args(["-H", &format!("x-amz-content-sha256: {NOTHING}")])
            .arg(format!(
                "{}/{}?list-type=2&start-after={}",
                self.endpoint(),
                self.bucket(),
                behind.map_or(String::new(), |name| name.replace('/', "%2F"))
            ))
            .output()
            .expect("curl can't be run: run `cargo xtask setup --test`");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}\n{}", self.log_tail());
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let entries = text.split("<Contents>").skip(1);
        let value = |entry: &str, name: &str| {
            let (_, rest) = entry.split_once(&format!("<{name}>"))?;
            Some(rest.split_once('<')?.0.to_owned())
        };
        let entry = |entry: &str| Some((value(entry, "Key")?, value(entry, "Size")?.parse().ok()?));
        let entries = entries.map(|of| entry(of).unwrap_or_else(|| panic!("{of}")));
        (
            entries.collect(),
            !text.contains("<IsTruncated>true</IsTruncated>"),
        )
    }

    pub fn log_file(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    fn log_tail(&self) -> String {
        let log = fs::read(self.log_file()).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..].join("\n")
    }
}

impl Drop for ObjectServer {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("--- the object store:\n{}", self.log_tail());
        }
    }
}
