//! Real servers, of this machine's packages: each test starts its own, on a port or socket of its own.

use std::{
    mem::ManuallyDrop,
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use jmap_core::cluster::{NOTICE_OCTETS_MAX, NoticeStream, Notices};
use store::engine::sql::servers::{DatabaseServer, ServerKind};

const WAIT: Duration = Duration::from_secs(30);

/// A server that ends with the test.
struct Server {
    start: fn(&Path, u16) -> Command,
    child: Child,
    port: u16,
    folder: tempfile::TempDir,
}

impl Server {
    fn new(start: fn(&Path, u16) -> Command) -> Self {
        let (folder, port) = (tempfile::tempdir().expect("no folder"), free_port());
        Self {
            child: run(&mut start(folder.path(), port)),
            start,
            port,
            folder,
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Something that goes and comes again.
trait Peer {
    fn stop(&mut self);
    fn start_again(&mut self);
}

impl Peer for Server {
    fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn start_again(&mut self) {
        self.child = run(&mut (self.start)(self.folder.path(), self.port));
    }
}

impl Peer for DatabaseServer {
    fn stop(&mut self) {
        self.kill();
    }

    fn start_again(&mut self) {
        DatabaseServer::start_again(self);
    }
}

fn free_port() -> u16 {
    let socket = TcpListener::bind("127.0.0.1:0").expect("no port");
    socket.local_addr().expect("no address").port()
}

/// A user's PATH doesn't look into /usr/sbin.
fn program(name: &str) -> Command {
    let path = Path::new("/usr/sbin").join(name);
    Command::new(match path.exists() {
        true => path,
        false => name.into(),
    })
}

fn run(command: &mut Command) -> Child {
    let started = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    started.unwrap_or_else(|error| {
        panic!("{command:?}: {error}; `cargo xtask setup` installs what the tests need")
    })
}

fn redis_server(folder: &Path, port: u16) -> Command {
    let mut command = program("redis-server");
    command.args(["--bind", "127.0.0.1", "--save", "", "--port"]);
    command.arg(port.to_string());
    command
        .args(["--requirepass", "secret-word"])
        .current_dir(folder);
    command
}

fn nats_server(folder: &Path, port: u16) -> Command {
    let mut command = program("nats-server");
    command
        .args(["-a", "127.0.0.1", "-p"])
        .arg(port.to_string());
    command
        .args(["--user", "u", "--pass", "secret-word"])
        .current_dir(folder);
    command
}

async fn listen(notices: &Arc<dyn Notices>) -> Box<dyn NoticeStream> {
    let began = Instant::now();
    loop {
        match notices.subscribe().await {
            Ok(stream) => return stream,
            Err(error) if began.elapsed() > WAIT => panic!("{error}"),
            Err(error) => {
                assert!(!error.to_string().contains("secret"), "{error}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn hear(stream: &mut Box<dyn NoticeStream>) -> String {
    let next = tokio::time::timeout(WAIT, stream.next()).await;
    next.expect("nothing was heard")
        .expect("the stream has ended")
}

/// Two who listen and tell; then the server goes and comes again.
async fn check(server: &mut dyn Peer, url: &str) {
    let a = super::of(url).expect("not a URL");
    let b = super::of(url).expect("not a URL");
    assert!(!format!("{a:?}").contains("secret"));
    let mut to_a = listen(&a).await;
    let mut to_b = listen(&b).await;
    let told = a.publish(vec!["one".into(), "two".into()]).await;
    told.expect("not told");
    for stream in [&mut to_a, &mut to_b] {
        assert_eq!(hear(stream).await, "one");
        assert_eq!(hear(stream).await, "two");
    }
    let long = "x".repeat(NOTICE_OCTETS_MAX);
    b.publish(vec![long.clone()]).await.expect("not told");
    assert_eq!(hear(&mut to_a).await, long);
    // Whoever listens learns that something may be missed, and those who tell that nobody hears.
    server.stop();
    let ended = tokio::time::timeout(WAIT, to_a.next()).await;
    assert!(ended.expect("the stream doesn't end").is_err());
    let told = tokio::time::timeout(WAIT, a.publish(vec!["three".into()])).await;
    assert!(told.expect("telling doesn't end").is_err());
    server.start_again();
    let mut to_a = listen(&a).await;
    let began = Instant::now();
    while b.publish(vec!["four".into()]).await.is_err() {
        assert!(began.elapsed() < WAIT, "nothing can be told any more");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // The client of NATS hands over later what nobody could be told: it costs whoever hears it a look.
    let mut heard = hear(&mut to_a).await;
    if heard == "three" {
        heard = hear(&mut to_a).await;
    }
    assert_eq!(heard, "four");
}

#[tokio::test]
async fn redis_brings_notices() {
    let mut server = Server::new(redis_server);
    let url = format!("redis://:secret-word@127.0.0.1:{}/", server.port);
    check(&mut server, &url).await;
}

#[tokio::test]
async fn nats_brings_notices() {
    let mut server = Server::new(nats_server);
    let url = format!("nats://u:secret-word@127.0.0.1:{}", server.port);
    check(&mut server, &url).await;
}

#[tokio::test]
async fn postgres_brings_notices() {
    let mut server = DatabaseServer::start(ServerKind::Postgres, false);
    // It goes with its server.
    let url = ManuallyDrop::new(server.database()).url();
    check(&mut server, &url).await;
}

#[test]
fn other_urls_are_refused() {
    for url in [
        "",
        "mysql://localhost/",
        "localhost:6379",
        "redis://",
        "postgres://[",
    ] {
        assert!(super::of(url).is_err(), "{url}");
    }
}
