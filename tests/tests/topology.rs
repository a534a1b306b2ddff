//! The deployment of compose.yaml, started from Debian's packages with its very files: two nodes over one PostgreSQL, and HAProxy
//! in front.
//!
//! Holds: of the files in `deploy/` only addresses, the places of files and the balancer's own ports are others here; the nodes
//! have their ports at addresses of their own.

use std::{
    fs,
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use e2e::{
    Imap, PASSWORD, Smtp,
    corpus::message,
    home::{binary, free_port},
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
struct Program {
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
    fn terminate(&self) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").arg(pid).status();
        assert!(sent.expect("kill can't be run").success());
    }

    /// Its end, which has to be a good one.
    fn wait(&mut self) {
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

    fn kill(&mut self) {
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
struct Site {
    nodes: Vec<Program>,
    _balancer: Program,
    /// Three octets of addresses of this machine that are this test's.
    network: String,
    /// The balancer's port for each of [`SERVICES`].
    ports: Vec<u16>,
    folder: TempDir,
    _database: TestDatabase<'static>,
}

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy")
}

fn of_deploy(name: &str) -> String {
    fs::read_to_string(deploy().join(name)).expect("a file of deploy/")
}

/// Replaces what has to be there.
fn replaced(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "{from} isn't in the file any more");
    text.replace(from, to)
}

impl Site {
    fn start() -> Site {
        let folder = tempfile::Builder::new().prefix("posthorn-site-").tempdir();
        let folder = folder.expect("a temporary folder can't be made");
        // Others of this process, and of another run of these tests, are at the same time.
        let number = std::process::id() * 4 + SITES.fetch_add(1, Ordering::Relaxed);
        let network = format!("127.{}.{}", 100 + number / 250 % 100, 1 + number % 250);
        make_secrets(folder.path());
        // Its settings are those of a server that loses nothing, as the nodes ask for.
        let server: &'static DatabaseServer =
            Box::leak(Box::new(DatabaseServer::start(ServerKind::Postgres, true)));
        let database = server.database();
        let ports: Vec<u16> = SERVICES.iter().map(|_| free_port()).collect();
        for node in 1..=2 {
            let text = of_deploy("posthorn.toml");
            let data = folder.path().join(format!("node{node}"));
            fs::create_dir(&data).expect("a folder");
            let text = replaced(&text, "/var/lib/posthorn", &data.display().to_string());
            let secrets = folder.path().join("secrets").display().to_string();
            let text = replaced(&text, "/run/secrets", &secrets);
            let url = "postgres://posthorn@database/posthorn";
            let text = replaced(&text, url, &database.url());
            let text = replaced(&text, NETWORK, &network);
            let text = replaced(&text, "[::]", &format!("{network}.1{node}"));
            fs::write(folder.path().join(format!("node{node}.toml")), text).expect("written");
        }
        let mut text = replaced(&of_deploy("haproxy.cfg"), NETWORK, &network);
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
            _database: database,
        };
        (0..2).for_each(|node| site.wait_until_healthy(node));
        site.wait_until_balanced();
        site
    }

    fn port(&self, service: &str) -> u16 {
        let at = SERVICES.iter().position(|other| *other == service);
        self.ports[at.expect("a service")]
    }

    fn node_address(&self, node: usize, port: u16) -> SocketAddr {
        let address = format!("{}.1{}:{port}", self.network, node + 1);
        address.parse().expect("an address")
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

    fn start_again(&mut self, node: usize) {
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
    fn said(&self, node: usize, args: &[&str]) -> String {
        said(&self.try_cli(node, args, ""))
    }

    /// What it answers.
    fn cli(&self, node: usize, args: &[&str], input: &str) -> String {
        let output = self.try_cli(node, args, input);
        assert!(output.status.success(), "{args:?}: {}", said(&output));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Whether a node has the only connection of IMAP.
    fn has_imap(&self, node: usize) -> bool {
        let metrics = self.ask(node, "/metrics");
        let mut lines = metrics.lines();
        lines.any(|line| line == "posthorn_connections{listener=\"imap\"} 1")
    }

    fn node_of_imap(&self) -> usize {
        let node = (0..2).find(|node| self.has_imap(*node));
        node.expect("no node has the connection")
    }

    /// Sends until it is taken, as another server would.
    fn deliver(&self, id: &str) {
        let octets = message(&format!("{id}@example.net"), "a mail", "A cuckooflower.");
        until("the mail is not taken", || {
            let sent = Smtp::connect(self.port("2525"), false)
                .and_then(|mut smtp| smtp.send("bob@example.net", "alice@example.org", &octets));
            sent.is_ok_and(|reply| reply.is_ok())
        });
    }
}

/// What `make-secrets` makes, in `secrets/` of a folder.
fn make_secrets(folder: &Path) {
    let script = folder.join("make-secrets");
    fs::copy(deploy().join("make-secrets"), &script).expect("a copy");
    for _ in 0..2 {
        // The second time it leaves everything as it is.
        let made = Command::new("sh")
            .arg(&script)
            .output()
            .expect("there is a shell");
        assert!(made.status.success(), "{}", said(&made));
    }
    let password = fs::read_to_string(folder.join("secrets/database-password"));
    assert!(password.expect("a password").trim().len() >= 32);
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

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + WAIT;
    while !is_so() {
        assert!(Instant::now() < end, "{what}");
        thread::sleep(LOOK_EVERY);
    }
}

/// Curl, over TLS, as Alice.
fn curl(url: &str, more: &[&str]) -> String {
    let mut command = Command::new("curl");
    let login = format!("alice@example.org:{PASSWORD}");
    command
        .args([
            "-s",
            "-S",
            "-k",
            "-L",
            "--location-trusted",
            "-m",
            "60",
            "-u",
            &login,
        ])
        .args(more)
        .arg(url);
    let output = run(command, "");
    assert!(output.status.success(), "{url}: {}", said(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn swaks(port: u16, more: &[&str]) {
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
fn login(port: u16, user: &str) -> Imap {
    let mut found = None;
    until("nobody takes the login", || {
        found = Imap::try_login(port, user, PASSWORD)
            .ok()
            .and_then(Result::ok);
        found.is_some()
    });
    found.expect("a login")
}

fn add_people(site: &Site) {
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

/// Each protocol goes through the balancer, and knows whose connection it is.
#[test]
fn every_protocol_goes_through_the_balancer() {
    let site = Site::start();
    add_people(&site);
    assert_eq!(site.cli(1, &["health"], "").trim(), "all is well");
    let people = ["--from", "bob@example.net", "--to", "alice@example.org"];
    swaks(site.port("2525"), &people);
    let text = curl(
        &format!("imaps://127.0.0.1:{}/INBOX;UID=1", site.port("2993")),
        &[],
    );
    assert!(text.contains("peer.example.net ([127.0.0.1])"), "{text}");
    assert!(!text.contains(&format!("{}.", site.network)), "{text}");
    // A proxy that nobody has named says whose connection it is, in vain.
    let mut direct = TcpStream::connect(site.node_address(0, 2525)).expect("a connection");
    direct
        .write_all(b"PROXY TCP4 192.0.2.7 192.0.2.8 1 25\r\nQUIT\r\n")
        .expect("written");
    let mut answer = String::new();
    direct.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("220 "), "{answer}");
    assert!(
        answer.lines().any(|line| line.starts_with("50")),
        "{answer}"
    );
    // And the balancer itself has to say it.
    let submission = [
        "--from",
        "alice@example.org",
        "--to",
        "bob@example.org",
        "--auth-user",
    ];
    let password = ["alice@example.org", "--auth-password", PASSWORD];
    let starttls = [&submission[..], &password, &["--tls"]].concat();
    swaks(site.port("2587"), &starttls);
    let tls = [&submission[..], &password, &["--tls-on-connect"]].concat();
    swaks(site.port("2465"), &tls);
    until("what Alice has sent hasn't arrived", || {
        let mut bob = login(site.port("2143"), "bob@example.org");
        bob.ok("STATUS INBOX (MESSAGES)").number_after("MESSAGES ") == Some(2)
    });
    let text = curl(&format!("pop3s://127.0.0.1:{}/1", site.port("2995")), &[]);
    assert!(text.contains("([127.0.0.1])"), "{text}");
    let text = curl(
        &format!("pop3://127.0.0.1:{}/1", site.port("2110")),
        &["--ssl-reqd"],
    );
    assert!(text.contains("([127.0.0.1])"), "{text}");
    let session = format!("https://127.0.0.1:{}/.well-known/jmap", site.port("2443"));
    let session = curl(&session, &[]);
    assert!(session.contains("urn:ietf:params:jmap:mail"), "{session}");
    let mut sieve = TcpStream::connect(("127.0.0.1", site.port("2190"))).expect("a connection");
    sieve.write_all(b"LOGOUT\r\n").expect("written");
    let mut answer = String::new();
    sieve.read_to_string(&mut answer).expect("an answer");
    assert!(answer.contains("\"STARTTLS\""), "{answer}");
    for node in 0..2 {
        // A node gathers what it has to tell for a second; the other one can't see it before that.
        let mut trace = String::new();
        until("a node doesn't know of the message", || {
            trace = site.said(node, &["trace", "--to", "alice@example.org"]);
            trace.contains("127.0.0.1")
        });
        assert!(!trace.contains(&site.network), "{trace}");
    }
    site.cli(0, &["check"], "");
}

/// One node is killed, and another one told to stop, while mail comes in: clients go on at the other, and nothing is lost.
#[test]
fn the_balancer_goes_on_with_the_other_node() {
    let mut site = Site::start();
    add_people(&site);
    site.deliver("first");
    let port = site.port("2143");
    let login = || login(port, "alice@example.org");
    let mut waiting = login();
    waiting.ok("SELECT INBOX");
    waiting.idle();
    let node = site.node_of_imap();
    site.nodes[node].kill();
    assert!(waiting.try_line().is_err(), "the connection is still there");
    let mut waiting = login();
    waiting.ok("SELECT INBOX");
    waiting.idle();
    site.deliver("second");
    assert_eq!(waiting.line(), "* 2 EXISTS");
    waiting.done();
    drop(waiting);
    site.start_again(node);
    // Who comes from one address is at one node, so that they are at the first one again.
    until("the balancer doesn't use the node again", || {
        let _again = login();
        site.has_imap(node)
    });
    // Now it goes in order, while mail comes in without a pause.
    let mut waiting = login();
    waiting.ok("SELECT INBOX");
    waiting.idle();
    let node = site.node_of_imap();
    let is_over = AtomicBool::new(false);
    let delivered = thread::scope(|scope| {
        let (smtp, over) = (site.port("2525"), &is_over);
        let sending = scope.spawn(move || send_all_the_time(smtp, over));
        site.nodes[node].terminate();
        // The lines of mail that comes in go before its farewell.
        let mut line = waiting.line();
        while line.ends_with(" EXISTS") || line.ends_with(" RECENT") {
            line = waiting.line();
        }
        assert!(line.starts_with("* BYE"), "{line}");
        let mut again = login();
        again.ok("SELECT INBOX");
        is_over.store(true, Ordering::Relaxed);
        sending.join().expect("sent")
    });
    site.nodes[node].wait();
    assert!(delivered > 0);
    let mut alice = login();
    let total = alice.ok("STATUS INBOX (MESSAGES)");
    assert_eq!(total.number_after("MESSAGES "), Some(2 + delivered));
    site.cli(1 - node, &["check"], "");
}

/// Sends mails, each until it is taken; how many.
fn send_all_the_time(port: u16, is_over: &AtomicBool) -> u64 {
    let mut sent = 0;
    while !is_over.load(Ordering::Relaxed) {
        let octets = message(&format!("drain{sent}@example.net"), "a mail", "A meadow.");
        until("the mail is not taken", || {
            let answer = Smtp::connect(port, false)
                .and_then(|mut smtp| smtp.send("bob@example.net", "alice@example.org", &octets));
            answer.is_ok_and(|reply| reply.is_ok())
        });
        sent += 1;
    }
    sent
}
