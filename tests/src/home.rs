//! Where a server lives: a temporary folder with its data and its configuration, and ports that are free.
//!
//! Holds: ports come from below those that the system gives to outgoing connections, so that they are still free
//! when a server is started on them again.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    fs,
    io::Write,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::atomic::{AtomicU16, Ordering},
};

use tempfile::TempDir;

use crate::{
    blobs::{OwnBlobs, TestBlobs},
    databases::{OwnDatabase, TestStore},
};

pub const DOMAIN: &str = "example.org";
/// Of every account of a test.
pub const PASSWORD: &str = "seven green bicycles 41";

/// Ports that tests listen on.
const PORTS: std::ops::Range<u16> = 12_000..31_000;

/// A data folder, a configuration, and the command line over them.
#[derive(Debug)]
pub struct Home {
    folder: TempDir,
    pub data: PathBuf,
    pub smtp: u16,
    pub submission: u16,
    pub lmtp: u16,
    pub imap: u16,
    pub imaps: u16,
    pub pop3: u16,
    pub pop3s: u16,
    pub managesieve: u16,
    pub http: u16,
    pub https: u16,
    pub database: OwnDatabase,
    pub blobs: OwnBlobs,
    /// Added to every table of the configuration, by table name ("" is the top).
    extra: Vec<(String, String)>,
    /// What it usually has, and has not here, by table name and key.
    left_out: Vec<(String, String)>,
    /// Variables of the server's environment.
    pub environment: Vec<(String, OsString)>,
}

impl Default for Home {
    fn default() -> Home {
        Home::new()
    }
}

impl Home {
    /// An empty one: no domain, no account.
    pub fn new() -> Home {
        Home::on(TestStore::of_all_tests())
    }

    /// An empty one, over this kind of database.
    pub fn on(store: TestStore) -> Home {
        let folder = tempfile::Builder::new().prefix("posthorn-e2e-").tempdir();
        let folder = folder.expect("a temporary folder can't be made");
        fs::create_dir(folder.path().join("data")).expect("the data folder can't be made");
        Home {
            data: folder.path().join("data"),
            folder,
            smtp: free_port(),
            submission: free_port(),
            lmtp: free_port(),
            imap: free_port(),
            imaps: free_port(),
            pop3: free_port(),
            pop3s: free_port(),
            managesieve: free_port(),
            http: free_port(),
            https: free_port(),
            database: OwnDatabase::new(store),
            blobs: OwnBlobs::new(TestBlobs::of_all_tests()),
            extra: Vec::new(),
            left_out: Vec::new(),
            environment: Vec::new(),
        }
    }

    /// One with `alice@example.org` and `bob@example.org`.
    pub fn with_people() -> Home {
        let home = Home::new();
        home.add_people();
        home
    }

    pub fn add_people(&self) {
        self.cli(&["domain", "add", DOMAIN], "");
        for name in ["alice", "bob"] {
            self.add_account(name);
        }
    }

    /// One over this kind of database, with the people.
    pub fn with_people_on(store: TestStore) -> Home {
        let home = Home::on(store);
        home.add_people();
        home
    }

    /// One that keeps its blobs there, with the people.
    pub fn with_people_and_blobs(kind: TestBlobs) -> Home {
        let home = Home::new().with_blobs(kind);
        home.add_people();
        home
    }

    /// The configuration doesn't have a key that it usually has, so that it can be changed; `table` is "" for the top.
    pub fn without(mut self, table: &str, key: &str) -> Home {
        self.left_out.push((table.to_owned(), key.to_owned()));
        self
    }

    /// Puts blobs into a place of this kind.
    pub fn with_blobs(mut self, kind: TestBlobs) -> Home {
        self.blobs = OwnBlobs::new(kind);
        self
    }

    /// Another one over the same database, for a server beside that of this one.
    pub fn beside(&self) -> Home {
        let url = match &self.database {
            OwnDatabase::Server(database) => database.url(),
            OwnDatabase::Shared(url) => url.clone(),
            other => panic!("{other:?} is one server's alone"),
        };
        Home {
            blobs: self.blobs.clone(),
            ..Home::over(url)
        }
    }

    /// One over the database of a URL, which others may have too.
    pub fn over(url: String) -> Home {
        Home {
            database: OwnDatabase::Shared(url),
            ..Home::on(TestStore::RocksDb)
        }
    }

    /// Adds `name@example.org` with the password of all tests.
    pub fn add_account(&self, name: &str) {
        let address = format!("{name}@{DOMAIN}");
        self.cli(&["account", "add", &address, "--password-stdin"], PASSWORD);
    }

    /// Sets a key of the configuration; `table` is "" for the top.
    pub fn set(mut self, table: &str, line: &str) -> Home {
        self.extra.push((table.to_owned(), line.to_owned()));
        self
    }

    /// The same, for the next start of a server that has been stopped.
    pub fn change(&mut self, table: &str, line: &str) {
        self.extra.push((table.to_owned(), line.to_owned()));
        self.write_config();
    }

    /// As [`Home::change`], in place of what was set in the table before.
    pub fn replace(&mut self, table: &str, line: &str) {
        self.extra.retain(|(of, _)| of != table);
        self.change(table, line);
    }

    /// Sets a variable of the server's environment.
    pub fn with_variable(mut self, name: &str, value: impl Into<OsString>) -> Home {
        self.environment.push((name.to_owned(), value.into()));
        self
    }

    /// Puts the data elsewhere.
    pub fn with_data(mut self, data: PathBuf) -> Home {
        self.data = data;
        self
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn config_file(&self) -> PathBuf {
        self.path().join("posthorn.toml")
    }

    pub fn log_file(&self) -> PathBuf {
        self.path().join("log")
    }

    /// Writes the configuration as a start uses it.
    pub fn write_config(&self) {
        fs::write(self.config_file(), self.config()).expect("the configuration can't be written");
    }

    /// The text of the configuration: loopback alone, no limit on how often tests may connect, and no word of how full
    /// the disk of this machine is.
    pub fn config(&self) -> String {
        let open = "exempt = [\"127.0.0.0/8\"]";
        let many = "message-rate = \"1000000/1s\"\nmessages-per-connection = 1000000";
        let name = "hostname = \"mail.example.org\"".to_owned();
        let mut places: Vec<(&str, Vec<String>)> = vec![
            ("", vec![name]),
            (
                "smtp",
                vec![listen(self.smtp), open.to_owned(), many.to_owned()],
            ),
            (
                "submission",
                vec![listen(self.submission), open.to_owned(), many.to_owned()],
            ),
            ("submissions", vec!["listen = []".to_owned()]),
            (
                "lmtp",
                vec![listen(self.lmtp), open.to_owned(), many.to_owned()],
            ),
            ("imap", vec![listen(self.imap), open.to_owned()]),
            ("imaps", vec![listen(self.imaps), open.to_owned()]),
            ("pop3", vec![listen(self.pop3), open.to_owned()]),
            ("pop3s", vec![listen(self.pop3s), open.to_owned()]),
            (
                "managesieve",
                vec![listen(self.managesieve), open.to_owned()],
            ),
            ("http", vec![listen(self.http), open.to_owned()]),
            ("https", vec![listen(self.https), open.to_owned()]),
            ("alerts", vec!["disk = 0".to_owned()]),
            ("limits", Vec::new()),
            ("store", self.database.config()),
        ];
        places.extend(self.blobs.config());
        let mut text = String::new();
        for (table, lines) in &places {
            if !table.is_empty() {
                text.push_str(&format!("\n[{table}]\n"));
            }
            let own: Vec<&String> = self
                .extra
                .iter()
                .filter(|(of, _)| of == table)
                .map(|(_, line)| line)
                .collect();
            for line in lines.iter().flat_map(|lines| lines.lines()) {
                let is_left_out = |(of, key): &(String, String)| of == table && key == key_of(line);
                // A key of the test's own stands for the usual one.
                if !own.iter().any(|other| key_of(other) == key_of(line))
                    && !self.left_out.iter().any(is_left_out)
                {
                    text.push_str(&format!("{line}\n"));
                }
            }
            own.iter()
                .for_each(|line| text.push_str(&format!("{line}\n")));
        }
        let is_known = |table: &str| places.iter().any(|(known, _)| *known == table);
        let others: BTreeSet<&String> = self.extra.iter().map(|(table, _)| table).collect();
        for table in others.into_iter().filter(|table| !is_known(table)) {
            text.push_str(&format!("\n[{table}]\n"));
            for (_, line) in self.extra.iter().filter(|(of, _)| of == table) {
                text.push_str(&format!("{line}\n"));
            }
        }
        text
    }

    /// Runs the command line on the data folder; it has to succeed. Returns what it has printed.
    pub fn cli(&self, args: &[&str], input: &str) -> String {
        let output = self.try_cli(args, input);
        assert!(
            output.status.success(),
            "posthorn {} failed with {}:\n{}{}",
            args.join(" "),
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Runs the command line on the data folder.
    pub fn try_cli(&self, args: &[&str], input: &str) -> Output {
        let mut child = self.start_cli(args);
        if let Some(mut stdin) = child.stdin.take() {
            // A command that doesn't read its input may have closed it.
            let _ = stdin.write_all(format!("{input}\n").as_bytes());
        }
        child
            .wait_with_output()
            .expect("the command can't be waited for")
    }

    /// Starts the command line on the data folder.
    pub fn start_cli(&self, args: &[&str]) -> Child {
        self.command(args)
            .spawn()
            .expect("the binary can't be started")
    }

    /// A command of the command line on the data folder, to be started.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(binary());
        let store = self.store_config();
        // Who names a configuration has the store in it.
        if !store.is_empty() && !args.contains(&"--config") {
            let file = self.path().join("store.toml");
            fs::write(&file, store).expect("the configuration can't be written");
            command.arg("--config").arg(file);
        }
        command
            .arg("--data")
            .arg(&self.data)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// What the command line needs to know of the configuration.
    fn store_config(&self) -> String {
        let mut text = String::new();
        let store = self.database.config();
        if !store.is_empty() {
            text.push_str(&format!("[store]\n{}\n", store.join("\n")));
        }
        let mut tables: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for (table, line) in &self.extra {
            if table.starts_with("store.") {
                tables.entry(table).or_default().push(line.clone());
            }
        }
        for (table, lines) in self.blobs.config() {
            let own = tables.entry(table).or_default();
            let is_new = |line: &String| !own.iter().any(|other| key_of(other) == key_of(line));
            let lines: Vec<String> = lines.into_iter().filter(is_new).collect();
            own.extend(lines);
        }
        for (table, lines) in tables {
            text.push_str(&format!("[{table}]\n{}\n", lines.join("\n")));
        }
        text
    }

    /// `posthorn check` has to find nothing wrong, whether a server runs or not.
    pub fn check(&self) {
        self.cli(&["check"], "");
    }
}

fn key_of(line: &str) -> &str {
    line.split('=').next().unwrap_or_default().trim()
}

fn listen(port: u16) -> String {
    format!("listen = [\"127.0.0.1:{port}\"]")
}

/// The server's binary.
pub fn binary() -> PathBuf {
    let path = match std::env::var_os("POSTHORN_BIN") {
        Some(path) => PathBuf::from(path),
        None => {
            let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
            let target = std::env::var_os("CARGO_TARGET_DIR")
                .map_or(workspace.join("target"), PathBuf::from);
            target.join("debug/posthorn")
        }
    };
    assert!(
        path.is_file(),
        "there is no {}: build it with `cargo build -p posthorn`, or name another one with POSTHORN_BIN, or run \
         `cargo xtask test`, which does",
        path.display()
    );
    path
}

/// A port of 127.0.0.1 that nobody listens on.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let count = PORTS.end - PORTS.start;
    // Test binaries may run side by side: each begins elsewhere.
    let first = (std::process::id().wrapping_mul(197) % u32::from(count)) as u16;
    for _ in 0..count {
        let port = PORTS.start + (first + NEXT.fetch_add(1, Ordering::Relaxed) % count) % count;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no port from {} to {} is free", PORTS.start, PORTS.end);
}

/// Whether this process is root's.
pub fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// Whether this process is root's, without whom a program can't be started; it is said if not.
pub fn is_root_for(program: &str) -> bool {
    let is_root = is_root();
    if !is_root {
        eprintln!("{program} is left out: only root can start it");
    }
    is_root
}
