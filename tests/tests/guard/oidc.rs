//! Tokens of an OpenID provider, which is written with Authlib.

use std::{
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use base64::{
    Engine as _,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use e2e::{Home, Server, home::free_port, http::Http, reading::Connection};
use serde_json::{Value, json};

const CAROL: &str = "carol@example.org";
const CLIENT: &str = "posthorn";
const SECRET: &str = "what the provider knows: 5%";

struct Provider {
    port: u16,
    child: Child,
}

impl Provider {
    fn start() -> Provider {
        let python = std::env::var_os("POSTHORN_PYTHON").expect(
            "POSTHORN_PYTHON has to name a python with Authlib; `cargo xtask test` makes one",
        );
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/oidc_provider.py");
        let port = free_port();
        let child = Command::new(python)
            .arg(script)
            .args([&port.to_string(), CLIENT, SECRET])
            .stdin(Stdio::null())
            .spawn()
            .expect("python can't be run");
        let provider = Provider { port, child };
        let end = Instant::now() + Duration::from_secs(60);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < end, "the provider doesn't listen");
            thread::sleep(Duration::from_millis(100));
        }
        provider
    }

    fn issuer(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn get(&self, path: &str) -> Value {
        Http::new(self.port).get(path, &[]).json()
    }

    /// `what`: `sign?` or `opaque?`, perhaps with more parameters.
    fn token(&self, what: &str, claims: &Value) -> String {
        let claims: String = claims
            .to_string()
            .bytes()
            .map(|octet| format!("%{octet:02X}"))
            .collect();
        let answer = self.get(&format!("/{what}claims={claims}"));
        answer["token"].as_str().expect("no token").to_owned()
    }

    fn claims(&self) -> Value {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("no time");
        json!({
            "iss": self.issuer(),
            "aud": ["other", "mail"],
            "sub": "17",
            "exp": now.as_secs() + 3600,
            "email": CAROL,
            "email_verified": true,
            "name": "Carol Miller",
        })
    }

    fn home(&self, lines: &[&str]) -> Home {
        let mut home = Home::with_people();
        let mut all = vec![
            "name = \"id\"".to_owned(),
            "kind = \"oidc\"".to_owned(),
            "domains = [\"example.org\"]".to_owned(),
            "audience = \"mail\"".to_owned(),
            "name-claim = \"name\"".to_owned(),
            "timeout = \"3s\"".to_owned(),
            format!("issuer = \"{}\"", self.issuer()),
        ];
        all.extend(lines.iter().map(|line| (*line).to_owned()));
        for line in all {
            home = home.set("[login.directory]", &line);
        }
        home
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn over_http(server: &Server, token: &str) -> u16 {
    let authorization = format!("Bearer {token}");
    let fields = [("Authorization", authorization.as_str())];
    let mut http = Http::new(server.home.http);
    http.try_get("/jmap/session", &fields)
        .expect("no answer")
        .status
}

/// RFC 7628
fn over_imap(server: &Server, token: &str) -> String {
    let mut imap = Connection::open(server.home.imap).expect("no connection");
    imap.line().expect("no greeting");
    let response = format!("n,a={CAROL},\u{1}auth=Bearer {token}\u{1}\u{1}");
    let response = BASE64_STANDARD.encode(response);
    let line = format!("a AUTHENTICATE OAUTHBEARER {response}\r\n");
    imap.write(line.as_bytes()).expect("it can't be said");
    let mut answer = imap.line().expect("no answer");
    if answer.starts_with('+') {
        imap.write(b"AQ==\r\n").expect("it can't be said");
        answer = imap.line().expect("no answer");
    }
    answer
}

#[test]
fn signed_tokens() {
    let provider = Provider::start();
    let server = Server::start_in(provider.home(&[]));
    let good = provider.token("sign?", &provider.claims());
    assert_eq!(over_http(&server, &good), 200);
    assert!(over_imap(&server, &good).starts_with("a OK"));
    let shown = server.home.cli(&["account", "show", CAROL], "");
    assert!(shown.contains("Carol Miller"), "{shown}");

    let with = |name: &str, value: Value| {
        let mut claims = provider.claims();
        claims[name] = value;
        claims
    };
    let rows = [
        ("aud", json!("somebody else")),
        ("aud", json!(null)),
        ("iss", json!("https://id.example.net")),
        ("exp", json!(1_700_000_000)),
        ("exp", json!(null)),
        ("nbf", json!(4_000_000_000_u64)),
        ("email", json!("carol@elsewhere.example")),
        ("email", json!(17)),
        ("email", json!("nonsense")),
        ("email_verified", json!(false)),
    ];
    for (name, value) in rows {
        let token = provider.token("sign?", &with(name, value.clone()));
        assert_eq!(over_http(&server, &token), 401, "{name}: {value}");
    }
    assert!(
        over_imap(&server, &provider.token("sign?", &with("aud", json!("x")))).starts_with("a NO")
    );
    let by_nobody = provider.token("sign?key=other&", &provider.claims());
    assert_eq!(over_http(&server, &by_nobody), 401);
    let none = BASE64_URL_SAFE_NO_PAD.encode("{\"alg\":\"none\"}");
    let claims = BASE64_URL_SAFE_NO_PAD.encode(provider.claims().to_string());
    for token in [
        format!("{none}.{claims}."),
        "nonsense".to_owned(),
        format!("{good}x"),
    ] {
        assert_eq!(over_http(&server, &token), 401, "{token}");
    }
}

#[test]
fn a_provider_may_change_its_key_and_go_away() {
    let mut provider = Provider::start();
    let server = Server::start_in(provider.home(&[]));
    let before = provider.token("sign?", &provider.claims());
    assert_eq!(over_http(&server, &before), 200);
    provider.get("/rotate");
    let mut claims = provider.claims();
    claims["email"] = json!("alice@example.org");
    let after = provider.token("sign?", &claims);
    // The keys are asked for again after half a minute at the soonest.
    let end = Instant::now() + Duration::from_secs(90);
    while over_http(&server, &after) != 200 {
        assert!(Instant::now() < end, "the new key doesn't count");
        thread::sleep(Duration::from_secs(3));
    }
    claims["email"] = json!("bob@example.org");
    let third = provider.token("sign?", &claims);
    provider.child.kill().expect("it can't be stopped");
    let _ = provider.child.wait();
    // What it has told goes on to count.
    assert_eq!(over_http(&server, &third), 200);
}

#[test]
fn tokens_that_only_the_provider_can_read() {
    let mut provider = Provider::start();
    let file = tempfile::NamedTempFile::new().expect("no file");
    std::fs::write(file.path(), format!("{SECRET}\n")).expect("no file");
    let secret = format!("client-secret-file = \"{}\"", file.path().display());
    let server = Server::start_in(provider.home(&["client-id = \"posthorn\"", &secret]));
    let good = provider.token("opaque?", &provider.claims());
    for _ in 0..5 {
        assert_eq!(over_http(&server, &good), 200);
    }
    assert!(over_imap(&server, &good).starts_with("a OK"));
    // The answer is remembered for a while.
    assert_eq!(provider.get("/asked")["count"], 1);
    assert_eq!(over_http(&server, "made-up"), 401);
    let mut others = provider.claims();
    others["aud"] = json!("somebody else");
    assert_eq!(over_http(&server, &provider.token("opaque?", &others)), 401);
    let unseen = provider.token("opaque?", &provider.claims());
    provider.child.kill().expect("it can't be stopped");
    let _ = provider.child.wait();
    assert_eq!(over_http(&server, &unseen), 503);
    let answer = over_imap(&server, &unseen);
    assert!(answer.starts_with("a NO [UNAVAILABLE]"), "{answer}");
}
