//! A client of the API, and a server with one account of each role.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use e2e::{
    Home, PASSWORD, Server,
    http::{Answer, Http},
};
use serde_json::Value;

/// Two domains: `example.org` with alice and bob, `example.net` with eve.
pub const OTHER: &str = "example.net";

/// One account's way to the API.
pub struct Api {
    http: Http,
    authorization: Option<String>,
}

impl Api {
    pub fn new(server: &Server, login: &str) -> Api {
        Api::with(server, login, PASSWORD)
    }

    pub fn with(server: &Server, login: &str, password: &str) -> Api {
        let basic = BASE64_STANDARD.encode(format!("{login}:{password}"));
        Api {
            http: Http::new(server.home.http),
            authorization: Some(format!("Basic {basic}")),
        }
    }

    pub fn bearer(server: &Server, token: &str) -> Api {
        Api {
            http: Http::new(server.home.http),
            authorization: Some(format!("Bearer {token}")),
        }
    }

    pub fn nobody(server: &Server) -> Api {
        Api {
            http: Http::new(server.home.http),
            authorization: None,
        }
    }

    /// A request with more fields.
    pub fn ask(
        &mut self,
        method: &str,
        path: &str,
        fields: &[(&str, &str)],
        body: Option<Value>,
    ) -> Answer {
        let mut headers: Vec<(&str, &str)> = fields.to_vec();
        if let Some(authorization) = &self.authorization {
            headers.push(("Authorization", authorization));
        }
        let octets = body.map(|body| body.to_string()).unwrap_or_default();
        let has_type = headers.iter().any(|(name, _)| *name == "Content-Type");
        if !octets.is_empty() && !has_type {
            headers.push(("Content-Type", "application/json"));
        }
        let path = format!("/api/v1{path}");
        self.http
            .request(method, &path, &headers, octets.as_bytes())
            .unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    pub fn get(&mut self, path: &str) -> Answer {
        self.ask("GET", path, &[], None)
    }

    /// A GET that works.
    pub fn shown(&mut self, path: &str) -> Value {
        let answer = self.get(path);
        assert_eq!(answer.status, 200, "GET {path}: {}", answer.text());
        answer.json()
    }

    pub fn post(&mut self, path: &str, body: Value) -> Answer {
        self.ask("POST", path, &[], Some(body))
    }

    /// A POST that makes something.
    pub fn made(&mut self, path: &str, body: Value) -> Value {
        let answer = self.post(path, body);
        assert_eq!(answer.status, 201, "POST {path}: {}", answer.text());
        answer.json()
    }

    pub fn patch(&mut self, path: &str, body: Value) -> Answer {
        self.ask("PATCH", path, &[], Some(body))
    }

    pub fn put(&mut self, path: &str, body: Option<Value>) -> Answer {
        self.ask("PUT", path, &[], body)
    }

    pub fn delete(&mut self, path: &str) -> Answer {
        self.ask("DELETE", path, &[], None)
    }

    /// All items of a list, however many pages it has.
    pub fn all(&mut self, path: &str) -> Vec<Value> {
        let separator = if path.contains('?') { '&' } else { '?' };
        let (mut items, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = self.shown(&format!("{path}{separator}limit=3{cursor}"));
            let found = page["items"].as_array().expect("a list");
            assert!(found.len() <= 3);
            items.extend(found.iter().cloned());
            match page["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return items,
            }
        }
    }

    /// The id of the account of this name.
    pub fn id_of(&mut self, name: &str) -> String {
        let found = self.shown(&format!("/accounts?q={name}"));
        let items = found["items"].as_array().expect("a list").clone();
        let item = items.iter().find(|item| item["name"] == name);
        let item = item.unwrap_or_else(|| panic!("{name} is not in {found}"));
        item["id"].as_str().expect("an id").to_owned()
    }
}

/// The type of a problem, without what all begin with.
pub fn problem(answer: &Answer) -> String {
    assert_eq!(
        answer.header("content-type"),
        Some("application/problem+json"),
        "{}",
        answer.text()
    );
    let json = answer.json();
    assert_eq!(json["status"], answer.status, "{json}");
    let name = json["type"].as_str().expect("a type");
    name.strip_prefix("urn:posthorn:problem:")
        .unwrap_or_else(|| panic!("{name}"))
        .to_owned()
}

/// A home with both domains and an account of each role: root, carol (of example.org), help, alice and bob, eve (elsewhere).
pub fn staffed_home() -> Home {
    // Nobody answers there: what asks the DNS is soon told so.
    let home = Home::with_people()
        .set("authentication", "resolvers = [\"127.0.0.1:9\"]")
        .set("authentication", "timeout = \"1s\"")
        .set("dns", "timeout = \"1s\"");
    home.cli(&["domain", "add", OTHER], "");
    let add = |name: &str| drop(home.cli(&["account", "add", name, "--password-stdin"], PASSWORD));
    let add_admin = ["account", "add", "root", "--admin", "--password-stdin"];
    home.cli(&add_admin, PASSWORD);
    for name in ["carol@example.org", "help", "eve@example.net"] {
        add(name);
    }
    let role = [
        "account",
        "role",
        "carol@example.org",
        "domain-administrator",
    ];
    home.cli(&[&role[..], &["--domain", "example.org"]].concat(), "");
    home.cli(&["account", "role", "help", "help-desk"], "");
    home
}

pub fn staffed() -> Server {
    Server::start_in(staffed_home())
}
