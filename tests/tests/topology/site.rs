//! Two nodes over one PostgreSQL and one object store, HAProxy in front, and what talks to them.
//!
//! Holds: of the files in `deploy/` only addresses, the places of files and the balancer's own ports are others here (and the name of the
//! bucket, where Garage isn't there); the nodes have their ports at addresses of their own.

use std::{
    fs,
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use e2e::{
    Imap, PASSWORD, Smtp,
    corpus::message,
    deploy::{self, replaced},
    home::{binary, free_port},
    objects::ObjectServer,
};
use store::engine::sql::servers::{DatabaseServer, ServerKind, TestDatabase};
use tempfile::TempDir;

/// What the files in `deploy/` have.
const NETWORK: &str = "172.30.25";
const SERVICES: [&str; 9] = [
    "2525", "2587", "2465", "2143", "2993", "2110", "2995", "2190", "2443",
];
/// How many sites were started.
static SITES: AtomicU32 = AtomicU32::new(0);
const WAIT: Duration = Duration::from_secs(120);
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A program that goes with the test.
#[derive(Debug)]
pub struct Program {
    child: Child,
    log: PathBuf,
}

impl Program {
    fn start(mut command: Command, log: PathBuf) -> Program {
        let file = fs::OpenOptions::new().create(true).append(true).open(&log);
        let file = file.expect("the log can't be opened");
        command
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("the log can't be shared"))
            .stderr(file);
        let child = command.spawn();
        let child = child.unwrap_or_else(|error| {
            panic!("{command:?} can't be started ({error}): run `cargo xtask setup --test`")
        });
        Program { child, log }
    }

    /// SIGTERM.
    pub fn terminate(&self) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").arg(pid).status();
        assert!(sent.expect("kill can't be run").success());
    }

    /// Its end, which has to be a good one.
    pub fn wait(&mut self) {
        let end = Instant::now() + WAIT;
        loop {
            if let Some(status) = self.child.try_wait().expect("it can be waited for") {
                assert!(status.success(), "{status}");
                return;
            }
            assert!(Instant::now() < end, "it still runs");
            thread::sleep(LOOK_EVERY);
        }
    }

    pub fn kill(&mut self) {
        self.child.kill().expect("it can't be killed");
        self.child.wait().expect("it can't be waited for");
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let first = lines.len().saturating_sub(40);
            eprintln!("--- {}:\n{}", self.log.display(), lines[first..].join("\n"));
        }
    }
}

/// The deployment.
pub struct Site {
    pub nodes: Vec<Program>,
    _balancer: Program,
    /// Three octets of addresses of this machine that are this test's.
    pub network: String,
    /// The balancer's port for each of [`SERVICES`].
    ports: Vec<u16>,
    folder: TempDir,
    pub objects: ObjectServer,
    _database: TestDatabase<'static>,
}

impl Site {
    pub fn start() -> Site {
        let folder = tempfile::Builder::new().prefix("posthorn-site-").tempdir();
        let folder = folder.expect("a temporary folder can't be made");
        // Others of this process, and of another run of these tests, are at the same time.
        let number = std::process::id() * 4 + SITES.fetch_add(1, Ordering::Relaxed);
        let network = format!("127.{}.{}", 100 + number / 250 % 100, 1 + number % 250);
        let secrets = deploy::make_secrets(folder.path());
        let stand_in = Path::new(env!("CARGO_BIN_EXE_objects"));
        let address = format!("{network}.30:3900").parse().expect("an address");
        let objects = ObjectServer::start(address, &secrets, stand_in);
        // Its settings are those of a server that loses nothing, as the nodes ask for.
        let server: &'static DatabaseServer =
            Box::leak(Box::new(DatabaseServer::start(ServerKind::Postgres, true)));
        let database = server.database();
        let ports: Vec<u16> = SERVICES.iter().map(|_| free_port()).collect();
        for node in 1..=2 {
            let text = deploy::file("posthorn.toml");
            let data = folder.path().join(format!("node{node}"));
            fs::create_dir(&data).expect("a folder");
            let text = replaced(&text, "/var/lib/posthorn", &data.display().to_string());
            let text = replaced(&text, "/run/secrets", &secrets.display().to_string());
            let text = replaced(&text, "http://objects:3900", &objects.endpoint());
            let bucket = format!("\"s3://{}\"", objects.bucket());
            let text = replaced(&text, "\"s3://posthorn\"", &bucket);
            let url = "postgres://posthorn@database/posthorn";
            let text = replaced(&text, url, &database.url());
            let text = replaced(&text, NETWORK, &network);
            let text = replaced(&text, "[::]", &format!("{network}.1{node}"));
            fs::write(folder.path().join(format!("node{node}.toml")), text).expect("written");
        }
        let mut text = replaced(&deploy::file("haproxy.cfg"), NETWORK, &network);
        for (service, port) in SERVICES.iter().zip(&ports) {
            let bind = format!("bind 127.0.0.1:{port}\n");
            text = replaced(&text, &format!("bind :{service}\n"), &bind);
        }
        let config = folder.path().join("haproxy.cfg");
        fs::write(&config, text).expect("written");
        let checked = Command::new("/usr/sbin/haproxy")
            .arg("-c")
            .arg("-f")
            .arg(&config)
            .output();
        let checked = checked.expect("haproxy can't be run: run `cargo xtask setup --test`");
        assert!(checked.status.success(), "{}", said(&checked));
        let nodes = (1..=2).map(|node| node_in(folder.path(), node)).collect();
        let mut balancer = Command::new("/usr/sbin/haproxy");
        balancer.arg("-db").arg("-f").arg(&config);
        let balancer = Program::start(balancer, folder.path().join("haproxy.log"));
        let site = Site {
            nodes,
            _balancer: balancer,
            network,
            ports,
            folder,
            objects,
            _database: database,
        };
        (0..2).for_each(|node| site.wait_until_healthy(node));
        site.wait_until_balanced();
        site
    }

    pub fn port(&self, service: &str) -> u16 {
        let at = SERVICES.iter().position(|other| *other == service);
        self.ports[at.expect("a service")]
    }

    pub fn node_address(&self, node: usize, port: u16) -> SocketAddr {
        let address = format!("{}.1{}:{port}", self.network, node + 1);
        address.parse().expect("an address")
    }

    /// A node's data folder.
    pub fn data(&self, node: usize) -> PathBuf {
        self.folder.path().join(format!("node{}", node + 1))
    }

    /// What a node answers to a GET; empty if it doesn't.
    fn ask(&self, node: usize, path: &str) -> String {
        let asked = || -> io::Result<String> {
            let address = self.node_address(node, 8080);
            let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
            stream.set_read_timeout(Some(Duration::from_secs(20)))?;
            write!(
                stream,
                "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
            )?;
            let mut text = String::new();
            stream.read_to_string(&mut text)?;
            Ok(text)
        };
        asked().unwrap_or_default()
    }

    fn wait_until_healthy(&self, node: usize) {
        until("a node isn't healthy", || {
            self.ask(node, "/healthz").starts_with("HTTP/1.1 200")
        });
    }

    /// The balancer looks at each service of each node by itself, and closes what it has no node for.
    fn wait_until_balanced(&self) {
        for port in &self.ports {
            until("the balancer has no node for a service", || {
                let Ok(mut stream) = TcpStream::connect(("127.0.0.1", *port)) else {
                    return false;
                };
                let timeout = stream.set_read_timeout(Some(Duration::from_millis(300)));
                timeout.expect("a timeout");
                // A greeting, or silence where the client speaks first.
                match stream.read(&mut [0]) {
                    Ok(octets) => octets > 0,
                    Err(error) => matches!(
                        error.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                    ),
                }
            });
        }
    }

    pub fn start_again(&mut self, node: usize) {
        self.nodes[node] = node_in(self.folder.path(), node + 1);
        self.wait_until_healthy(node);
    }

    /// The command line, as at a node, whatever comes of it.
    fn try_cli(&self, node: usize, args: &[&str], input: &str) -> Output {
        let config = self.folder.path().join(format!("node{}.toml", node + 1));
        let mut command = Command::new(binary());
        command.arg("--config").arg(config).args(args);
        run(command, input)
    }

    /// What it answers, whatever that is.
    pub fn said(&self, node: usize, args: &[&str]) -> String {
        said(&self.try_cli(node, args, ""))
    }

    /// What it answers.
    pub fn cli(&self, node: usize, args: &[&str], input: &str) -> String {
        let output = self.try_cli(node, args, input);
        assert!(output.status.success(), "{args:?}: {}", said(&output));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Whether a node has the only connection of IMAP.
    pub fn has_imap(&self, node: usize) -> bool {
        let metrics = self.ask(node, "/metrics");
        let mut lines = metrics.lines();
        lines.any(|line| line == "posthorn_connections{listener=\"imap\"} 1")
    }

    pub fn node_of_imap(&self) -> usize {
        let node = (0..2).find(|node| self.has_imap(*node));
        node.expect("no node has the connection")
    }

    /// Sends until it is taken, as another server would.
    pub fn deliver(&self, id: &str) {
        let octets = message(&format!("{id}@example.net"), "a mail", "A cuckooflower.");
        until("the mail is not taken", || {
            let sent = Smtp::connect(self.port("2525"), false)
                .and_then(|mut smtp| smtp.send("bob@example.net", "alice@example.org", &octets));
            sent.is_ok_and(|reply| reply.is_ok())
        });
    }
}

fn node_in(folder: &Path, number: usize) -> Program {
    let mut command = Command::new(binary());
    command
        .arg("serve")
        .arg("--config")
        .arg(folder.join(format!("node{number}.toml")));
    Program::start(command, folder.join(format!("node{number}.log")))
}

fn run(mut command: Command, input: &str) -> Output {
    let child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.unwrap_or_else(|error| {
        panic!("{command:?} can't be started ({error}): run `cargo xtask setup --test`")
    });
    if let Some(mut stdin) = child.stdin.take() {
        // What doesn't read its input may have closed it.
        let _ = stdin.write_all(format!("{input}\n").as_bytes());
    }
    child.wait_with_output().expect("it can be waited for")
}

fn said(output: &Output) -> String {
    let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
    format!("{}{}", text(&output.stdout), text(&output.stderr))
}

pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + WAIT;
    while !is_so() {
        assert!(Instant::now() < end, "{what}");
        thread::sleep(LOOK_EVERY);
    }
}

/// Curl, over TLS, as Alice: what it has got, or what it has said.
pub fn try_curl(url: &str, more: &[&str]) -> Result<String, String> {
    let mut command = Command::new("curl");
    let login = format!("alice@example.org:{PASSWORD}");
    command
        .args(["-s", "-S", "-k", "-L", "--location-trusted"])
        .args(["-m", "120", "-u", &login])
        .args(more)
        .arg(url);
    let output = run(command, "");
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(said(&output)),
    }
}

pub fn curl(url: &str, more: &[&str]) -> String {
    try_curl(url, more).unwrap_or_else(|said| panic!("{url}: {said}"))
}

pub fn swaks(port: u16, more: &[&str]) {
    let mut command = Command::new("swaks");
    command
        .args([
            "--server",
            &format!("127.0.0.1:{port}"),
            "--helo",
            "peer.example.net",
        ])
        .args(more);
    let output = run(command, "");
    assert!(output.status.success(), "{}", said(&output));
}

/// Tries as a client does, until there is a node that takes the connection.
pub fn login(port: u16, user: &str) -> Imap {
    let mut found = None;
    until("nobody takes the login", || {
        found = Imap::try_login(port, user, PASSWORD)
            .ok()
            .and_then(Result::ok);
        found.is_some()
    });
    found.expect("a login")
}

pub fn add_people(site: &Site) {
    // The nodes have started at the same time, and one of them has made the administrator and the domain.
    let accounts = site.cli(0, &["account", "list"], "");
    assert_eq!(
        accounts.matches("admin@example.org").count(),
        1,
        "{accounts}"
    );
    for name in ["alice@example.org", "bob@example.org"] {
        site.cli(0, &["account", "add", name, "--password-stdin"], PASSWORD);
    }
}
