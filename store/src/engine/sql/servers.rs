//! Database servers for tests: private ones, in a temporary folder, over a Unix socket.
//!
//! Holds: a server is gone when the test is, also when the test is killed: a shell waits for the end of a pipe that only the
//! test holds. Neither PostgreSQL nor MariaDB runs as root: a test of root's starts them as the users that Debian makes.
//! Other half: `cargo xtask setup --test` installs both.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    thread::sleep,
    time::{Duration, Instant},
};

use tempfile::TempDir;

const START_TIME: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// The administrator, who needs no password over the socket.
const USER: &str = "posthorn";
const POSTGRES_PORT: &str = "5432";

/// What a test can be run with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerKind {
    Postgres,
    MariaDb,
}

/// A running server.
#[derive(Debug)]
pub struct DatabaseServer {
    kind: ServerKind,
    folder: TempDir,
    durable: bool,
    arguments: Vec<String>,
    guard: Option<Child>,
    databases: AtomicU32,
}

/// An empty database, which goes with the test.
#[derive(Debug)]
pub struct TestDatabase<'s> {
    server: &'s DatabaseServer,
    name: String,
}

impl DatabaseServer {
    /// The one of this process, which keeps nothing through a crash of the machine.
    pub fn shared(kind: ServerKind) -> &'static DatabaseServer {
        static POSTGRES: OnceLock<DatabaseServer> = OnceLock::new();
        static MARIADB: OnceLock<DatabaseServer> = OnceLock::new();
        let cell = match kind {
            ServerKind::Postgres => &POSTGRES,
            ServerKind::MariaDb => &MARIADB,
        };
        cell.get_or_init(|| DatabaseServer::start(kind, false))
    }

    /// A new one. `durable`: with the settings of a server that loses nothing.
    pub fn start(kind: ServerKind, durable: bool) -> DatabaseServer {
        DatabaseServer::start_with(kind, durable, |_| Vec::new())
    }

    /// A new one; `prepare` puts files into its folder and says what else is on its command line.
    pub fn start_with(
        kind: ServerKind,
        durable: bool,
        prepare: impl FnOnce(&Path) -> Vec<String>,
    ) -> DatabaseServer {
        let folder = tempfile::Builder::new().prefix("posthorn-sql-").tempdir();
        let folder = folder.expect("a temporary folder can't be made");
        let mode = fs::Permissions::from_mode(0o755);
        fs::set_permissions(folder.path(), mode).expect("the folder's mode can't be set");
        let arguments = prepare(folder.path());
        if let Some((uid, gid)) = user_of(kind) {
            let files = fs::read_dir(folder.path()).expect("a folder");
            let files = files.map(|entry| entry.expect("an entry").path());
            for path in files.chain([folder.path().to_owned()]) {
                chown(path, Some(uid), Some(gid)).expect("a file can't be given away");
            }
        }
        let mut server = DatabaseServer {
            kind,
            folder,
            durable,
            arguments,
            guard: None,
            databases: AtomicU32::new(0),
        };
        server.make_files();
        server.start_again();
        server
    }

    /// Starts it after [`DatabaseServer::kill`] on the same files, and waits until it answers.
    pub fn start_again(&mut self) {
        self.spawn();
        let end = Instant::now() + START_TIME;
        loop {
            let answer = self.ask(self.first_database(), "SELECT 1");
            if answer.status.success() {
                return;
            }
            assert!(
                Instant::now() < end,
                "{:?} doesn't answer: {}\n{}",
                self.kind,
                String::from_utf8_lossy(&answer.stderr),
                fs::read_to_string(self.path("log")).unwrap_or_default()
            );
            sleep(LOOK_EVERY);
        }
    }

    /// `kill -9` of all its processes.
    pub fn kill(&mut self) {
        let pid = self.pid();
        let mut pids = children_of(pid);
        // Without its parent nobody starts another one.
        pids.insert(0, pid);
        for pid in &pids {
            signal("KILL", *pid);
        }
        self.wait_until_gone(&pids);
        self.end_guard();
    }

    /// Stops all its processes (SIGSTOP), so that connections stay open and nobody answers; or lets them go on.
    pub fn freeze(&self, frozen: bool) {
        let pid = self.pid();
        let name = if frozen { "STOP" } else { "CONT" };
        signal(name, pid);
        for pid in children_of(pid) {
            signal(name, pid);
        }
    }

    /// Makes an empty database.
    pub fn database(&self) -> TestDatabase<'_> {
        let number = self.databases.fetch_add(1, Ordering::Relaxed);
        let name = format!("test{number}");
        self.tell(&format!("CREATE DATABASE {name}"));
        TestDatabase { server: self, name }
    }

    /// Gives a command to the server as a whole.
    pub fn tell(&self, sql: &str) {
        let answer = self.ask(self.first_database(), sql);
        let errors = String::from_utf8_lossy(&answer.stderr);
        assert!(answer.status.success(), "{sql}: {errors}");
    }

    fn first_database(&self) -> &'static str {
        match self.kind {
            ServerKind::Postgres => "postgres",
            ServerKind::MariaDb => "mysql",
        }
    }

    /// Where it listens beside its socket, as its command line says. PostgreSQL's socket has it in its name.
    fn port(&self) -> Option<&str> {
        let mut arguments = self.arguments.iter();
        arguments.find_map(|argument| Some(argument.split_once("port=")?.1))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn make_files(&self) {
        let data = self.path("data");
        let mut command = self.as_user(match self.kind {
            ServerKind::Postgres => postgres_program("initdb"),
            ServerKind::MariaDb => "mariadb-install-db".into(),
        });
        match self.kind {
            ServerKind::Postgres => command
                .args([
                    "--auth=trust",
                    "--no-locale",
                    "--encoding=UTF8",
                    "--no-sync",
                ])
                .arg(format!("--username={USER}"))
                .arg("-D")
                .arg(&data),
            ServerKind::MariaDb => command
                .args(["--no-defaults", "--skip-test-db", "--skip-name-resolve"])
                .args(["--auth-root-authentication-method=normal", "--skip-log-bin"])
                .arg(format!("--datadir={}", data.display()))
                // One that starts removes the temporary tables of all others from a common folder.
                .arg(format!("--tmpdir={}", self.folder.path().display())),
        };
        let output = command.output();
        let output = output.unwrap_or_else(|error| {
            panic!("{command:?} can't be started ({error}): run `cargo xtask setup --test`")
        });
        assert!(
            output.status.success(),
            "{command:?}: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }

    fn server_command(&self) -> Command {
        let folder = self.folder.path().display();
        match self.kind {
            ServerKind::Postgres => {
                let mut command = self.as_user(postgres_program("postgres"));
                command
                    .arg("-D")
                    .arg(self.path("data"))
                    .arg("-k")
                    .arg(self.folder.path())
                    .args(["-c", "listen_addresses=", "-c", "max_connections=300"])
                    .args(["-c", "shared_buffers=64MB", "-c", "max_wal_size=256MB"]);
                if !self.durable {
                    command.args(["-c", "fsync=off", "-c", "full_page_writes=off"]);
                }
                command
            }
            ServerKind::MariaDb => {
                let mut command = self.as_user("mariadbd".into());
                command
                    .args(["--no-defaults", "--skip-log-bin", "--skip-name-resolve"])
                    .arg(format!("--datadir={folder}/data"))
                    .arg(format!("--tmpdir={folder}"))
                    .arg(format!("--socket={folder}/socket"))
                    .arg(format!("--pid-file={folder}/pid"))
                    .args(["--max-connections=300", "--innodb-buffer-pool-size=64M"])
                    // The log of a new one would be synced when it is made.
                    .arg("--innodb-log-file-size=32M");
                if self.port().is_none() {
                    command.arg("--skip-networking");
                }
                if !self.durable {
                    command.args([
                        "--innodb-flush-log-at-trx-commit=0",
                        "--innodb-doublewrite=0",
                    ]);
                }
                command
            }
        }
    }

    /// The server, and a shell that ends it when our end of its input is closed.
    fn spawn(&mut self) {
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.path("log"))
            .expect("a log");
        let mut server = self.server_command();
        server.args(&self.arguments);
        let script = "exec 3<&0; \"$@\" </dev/null 3<&- & pid=$!; cat <&3 >/dev/null; \
                      kill -9 $(cat \"/proc/$pid/task/$pid/children\" 2>/dev/null) $pid 2>/dev/null; wait $pid; \
                      rm -rf \"$REMOVE\"";
        let mut guard = Command::new("sh");
        guard
            .args(["-c", script, "sh"])
            .arg(server.get_program())
            .args(server.get_args())
            .env("REMOVE", self.folder.path())
            .stdin(Stdio::piped())
            .stdout(log.try_clone().expect("the log can't be shared"))
            .stderr(log);
        self.guard = Some(guard.spawn().expect("sh can't be started"));
    }

    /// Of the server: the shell's child that doesn't wait for us.
    pub fn pid(&self) -> u32 {
        let guard = self.guard.as_ref().expect("the server doesn't run");
        let is_cat = |pid: &u32| {
            let name = fs::read_to_string(format!("/proc/{pid}/comm"));
            name.is_ok_and(|name| name.trim() == "cat")
        };
        let children = children_of(guard.id());
        let server = children.into_iter().find(|pid| !is_cat(pid));
        server.expect("the server has ended")
    }

    fn wait_until_gone(&self, pids: &[u32]) {
        let end = Instant::now() + START_TIME;
        let is_there = |pid: &u32| {
            // A zombie is as good as gone.
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            !status.is_empty() && !status.contains("State:\tZ")
        };
        while pids.iter().any(is_there) {
            assert!(Instant::now() < end, "{:?} can't be killed", self.kind);
            sleep(LOOK_EVERY);
        }
    }

    /// The shell alone: the files stay.
    fn end_guard(&mut self) {
        if let Some(mut guard) = self.guard.take() {
            let children = children_of(guard.id());
            // It goes first: without its child it would go on, and remove the files.
            let _ = guard.kill();
            let _ = guard.wait();
            for pid in children {
                signal("KILL", pid);
            }
        }
    }

    fn as_user(&self, program: PathBuf) -> Command {
        let Some((uid, gid)) = user_of(self.kind) else {
            return Command::new(program);
        };
        let mut command = Command::new("setpriv");
        command
            .args([format!("--reuid={uid}"), format!("--regid={gid}")])
            .args(["--clear-groups", "--"])
            .arg(program);
        command
    }

    fn ask(&self, database: &str, sql: &str) -> Output {
        let folder = self.folder.path();
        let mut command = match self.kind {
            ServerKind::Postgres => {
                let mut command = Command::new("psql");
                command
                    .args([
                        "-X", "-q", "-A", "-t", "-U", USER, "-d", database, "-c", sql,
                    ])
                    .args(["-p", self.port().unwrap_or(POSTGRES_PORT)])
                    .arg("-h")
                    .arg(folder);
                command
            }
            ServerKind::MariaDb => {
                let mut command = Command::new("mariadb");
                command
                    .args([
                        "--no-defaults",
                        "--skip-column-names",
                        "--batch",
                        "-u",
                        "root",
                    ])
                    .arg(format!("--socket={}/socket", folder.display()))
                    .args(["-e", sql, database]);
                command
            }
        };
        let output = command.stdin(Stdio::null()).output();
        output.unwrap_or_else(|error| {
            panic!("{command:?} can't be started ({error}): run `cargo xtask setup --test`")
        })
    }
}

impl Drop for DatabaseServer {
    fn drop(&mut self) {
        if let Some(mut guard) = self.guard.take() {
            drop(guard.stdin.take());
            let _ = guard.wait();
        }
    }
}

impl TestDatabase<'_> {
    /// For `SqlOptions` and the configuration.
    pub fn url(&self) -> String {
        let (name, folder) = (&self.name, self.server.folder.path().display());
        match self.server.kind {
            ServerKind::Postgres => {
                let port = self.server.port().unwrap_or(POSTGRES_PORT);
                format!("postgres://{USER}@localhost:{port}/{name}?host={folder}")
            }
            ServerKind::MariaDb => format!("mysql://root@localhost/{name}?socket={folder}/socket"),
        }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the database's own client answers.
    pub fn ask(&self, sql: &str) -> String {
        let answer = self.server.ask(&self.name, sql);
        let errors = String::from_utf8_lossy(&answer.stderr);
        assert!(answer.status.success(), "{sql}: {errors}");
        String::from_utf8_lossy(&answer.stdout).trim().to_owned()
    }
}

impl Drop for TestDatabase<'_> {
    fn drop(&mut self) {
        let force = match self.server.kind {
            ServerKind::Postgres => " WITH (FORCE)",
            ServerKind::MariaDb => "",
        };
        let sql = format!("DROP DATABASE {}{force}", self.name);
        // A server that was killed has none any more.
        if self.server.guard.is_some() {
            let _ = self.server.ask(self.server.first_database(), &sql);
        }
    }
}

/// User and group that a server runs as; `None`: this process's.
fn user_of(kind: ServerKind) -> Option<(u32, u32)> {
    let me = fs::metadata("/proc/self").expect("there is /proc").uid();
    if me != 0 {
        return None;
    }
    let own = match kind {
        ServerKind::Postgres => "postgres",
        ServerKind::MariaDb => "mysql",
    };
    let users = fs::read_to_string("/etc/passwd").expect("there are users");
    let of = |name: &str| {
        let line = users
            .lines()
            .find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2).map(|field| field.parse().ok());
        Some((fields.next()??, fields.next()??))
    };
    let found = of(own).or_else(|| of("nobody"));
    Some(found.expect("there is the user nobody"))
}

/// Debian has PostgreSQL's programs in a folder for each version.
fn postgres_program(name: &str) -> PathBuf {
    let version = |path: &Path| {
        let name = path.file_name()?.to_str()?;
        name.parse::<u32>().ok()
    };
    let folders = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let newest = folders
        .flatten()
        .map(|folder| folder.path())
        .filter(|path| path.join("bin").join(name).exists())
        .max_by_key(|path| version(path));
    newest.map_or(name.into(), |path| path.join("bin").join(name))
}

fn children_of(pid: u32) -> Vec<u32> {
    let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    let list = list.unwrap_or_default();
    list.split_whitespace().flat_map(str::parse).collect()
}

fn signal(name: &str, pid: u32) {
    let sent = Command::new("kill")
        .args([format!("-{name}"), pid.to_string()])
        .stderr(Stdio::null())
        .status();
    let _ = sent.expect("kill can't be run");
}
