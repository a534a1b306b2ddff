//! A request, as the handlers see it: parts of its path, its query, its body, and the terms on which it is made.
//!
//! Holds: what is wrong with a request is said in its own words, and a secret that is in it never is.

use bytes::Bytes;
use http::{HeaderMap, header};
use jmap_core::{
    Caller, Core,
    admin::{Once, Terms, Version},
    auth::Origin,
};
use jmap_types::{AccountId, Id};
use percent_encoding::percent_decode_str;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{
    Site,
    problem::{Kind, Problem},
    table::Route,
};

/// In place of the id of the account that asks: whoever has a code that is good once needs no second request to find it.
const OWN_ACCOUNT: &str = "me";
/// Octets of an Idempotency-Key.
pub const IDEMPOTENCY_KEY_OCTETS_MAX: usize = 255;
/// Versions that one If-Match may name.
pub const VERSIONS_MAX: usize = 16;
/// Levels of JSON. What the API takes has three.
const JSON_DEPTH_MAX: usize = 16;

/// See the module.
pub struct Request {
    pub core: Core,
    pub site: Site,
    pub who: Caller,
    /// Where it comes from.
    pub origin: Origin,
    pub route: &'static Route,
    /// The values of the path's parameters, by name.
    pub path: Vec<(&'static str, String)>,
    /// By name; a name that comes twice is refused.
    pub query: Vec<(String, String)>,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// A request of somebody who may be anybody, for a route that is open.
pub struct Visit {
    pub core: Core,
    pub origin: Origin,
    /// By name; a name that comes twice is refused.
    pub query: Vec<(String, String)>,
}

impl Visit {
    /// A parameter of the query.
    pub fn asked(&self, name: &str) -> Option<&str> {
        value(&self.query, name)
    }
}

/// What a query says.
fn value<'q>(query: &'q [(String, String)], name: &str) -> Option<&'q str> {
    let found = query.iter().find(|(of, _)| of == name);
    found.map(|(_, value)| value.as_str())
}

impl Request {
    /// A parameter of the path.
    pub fn text(&self, name: &str) -> Result<&str, Problem> {
        let found = self.path.iter().find(|(of, _)| *of == name);
        found
            .map(|(_, value)| value.as_str())
            .ok_or_else(Problem::not_found)
    }

    /// The account that the path names. What is no id is nobody's.
    pub fn account(&self, name: &str) -> Result<AccountId, Problem> {
        match self.text(name)? {
            OWN_ACCOUNT => Ok(self.who.account),
            id => Id::parse(id).ok_or_else(Problem::not_found),
        }
    }

    pub fn number(&self, name: &str) -> Result<u64, Problem> {
        self.text(name)?.parse().map_err(|_| Problem::not_found())
    }

    /// A parameter of the query.
    pub fn asked(&self, name: &str) -> Option<&str> {
        value(&self.query, name)
    }

    /// The same, read.
    pub fn asked_as<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, Problem> {
        let read = |text: &str| {
            text.parse().map_err(|_| {
                Problem::new(
                    Kind::InvalidRequest,
                    format!("The parameter \"{name}\" has a value that it can't have."),
                )
            })
        };
        self.asked(name).map(read).transpose()
    }

    /// The body.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        let invalid = |why: String| Problem::new(Kind::InvalidRequest, why);
        if depth(&self.body) > JSON_DEPTH_MAX {
            return Err(invalid("The body is nested too deeply.".into()));
        }
        // First as a value, whose errors quote nothing of it.
        let value: Value = serde_json::from_slice(&self.body)
            .map_err(|error| invalid(format!("The body is no JSON: {error}.")))?;
        if !value.is_object() {
            return Err(invalid("The body has to be an object.".into()));
        }
        serde_json::from_value(value).map_err(|error| invalid(explain(&error)))
    }

    /// On which terms the request is made.
    pub fn terms(&self) -> Result<Terms, Problem> {
        Ok(Terms {
            expected: self.expected()?,
            once: self.once()?,
        })
    }

    /// RFC 9110 §13.1.1
    fn expected(&self) -> Result<Option<Vec<Version>>, Problem> {
        let mut versions = Vec::new();
        let mut is_there = false;
        for field in self.headers.get_all(header::IF_MATCH) {
            is_there = true;
            for one in field.to_str().unwrap_or_default().split(',') {
                match one.trim() {
                    // It has to exist, which it has to anyway.
                    "*" => return Ok(None),
                    // What is no version of ours is one that nothing has.
                    tag => versions.extend(version(tag)),
                }
                if versions.len() > VERSIONS_MAX {
                    let why = "If-Match names too many versions.";
                    return Err(Problem::new(Kind::InvalidRequest, why));
                }
            }
        }
        Ok(is_there.then_some(versions))
    }

    fn once(&self) -> Result<Option<Once>, Problem> {
        let Some(key) = self.headers.get("idempotency-key") else {
            return Ok(None);
        };
        let key = key.as_bytes();
        if !(1..=IDEMPOTENCY_KEY_OCTETS_MAX).contains(&key.len()) {
            let why = "An Idempotency-Key has 1 to 255 octets.";
            return Err(Problem::new(Kind::InvalidRequest, why));
        }
        let key = String::from_utf8_lossy(key);
        let body = without_secret(&self.body);
        let mut request = vec![self.route.id.as_bytes()];
        request.extend(self.path.iter().map(|(_, value)| value.as_bytes()));
        request.push(body.as_bytes());
        Ok(Some(Once::new(&key, &request)))
    }

    /// Whether the client has this version already (RFC 9110 §13.1.2).
    pub fn has(&self, tag: &str) -> bool {
        let fields = self.headers.get_all(header::IF_NONE_MATCH);
        fields
            .iter()
            .filter_map(|field| field.to_str().ok())
            .flat_map(|field| field.split(','))
            .map(|one| one.trim().trim_start_matches("W/"))
            .any(|one| one == "*" || one == tag)
    }
}

/// What is wrong with a body, without quoting what may be a secret.
fn explain(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let known = ["missing field `", "unknown field `"];
    match known.iter().find(|start| text.starts_with(**start)) {
        // Names of members, and no values; a name that the client has made up may be long.
        Some(_) if text.len() <= 300 => format!("{}.", text.replace('`', "\"")),
        _ => "A member of the body is missing, unknown, or of another type than it has to be."
            .to_owned(),
    }
}

/// What a body asks for, but for a password: its hash is kept, and by a hash of so little a password could be guessed.
fn without_secret(body: &[u8]) -> String {
    let mut value: Value = serde_json::from_slice(body).unwrap_or_default();
    if let Some(members) = value.as_object_mut() {
        members.remove("password");
    }
    value.to_string()
}

/// The entity tag of a version.
pub fn tag(version: Version) -> String {
    let hex: String = version
        .0
        .iter()
        .map(|octet| format!("{octet:02x}"))
        .collect();
    format!("\"{hex}\"")
}

fn version(tag: &str) -> Option<Version> {
    let hex = tag.strip_prefix('"')?.strip_suffix('"')?;
    let mut octets = [0; 16];
    if hex.len() != 32 || !hex.is_ascii() {
        return None;
    }
    for (at, octet) in octets.iter_mut().enumerate() {
        *octet = u8::from_str_radix(hex.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(Version(octets))
}

/// How deeply brackets are nested, outside of strings.
fn depth(octets: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let (mut is_string, mut is_escaped) = (false, false);
    for octet in octets {
        match octet {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_string => is_escaped = true,
            b'"' => is_string = !is_string,
            _ if is_string => {}
            b'[' | b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// A segment of a path, or a part of a query, as it was meant. `None`: it is no text.
pub fn decoded(text: &str) -> Option<String> {
    let decoded = percent_decode_str(text).decode_utf8().ok()?;
    Some(decoded.into_owned())
}

/// The parameters of a query (application/x-www-form-urlencoded). Each may come once, and has to be one that the route has.
pub fn query(text: Option<&str>, route: &Route) -> Result<Vec<(String, String)>, Problem> {
    let invalid = |why: String| Problem::new(Kind::InvalidRequest, why);
    let mut parameters: Vec<(String, String)> = Vec::new();
    for pair in text
        .unwrap_or_default()
        .split('&')
        .filter(|pair| !pair.is_empty())
    {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let read = |text: &str| decoded(&text.replace('+', " "));
        let (Some(name), Some(value)) = (read(name), read(value)) else {
            return Err(invalid("The query is not UTF-8.".into()));
        };
        if !route.query.iter().any(|parameter| parameter.name == name) {
            return Err(invalid(
                "The query has a parameter that this address doesn't know.".into(),
            ));
        }
        if parameters.iter().any(|(known, _)| *known == name) {
            return Err(invalid(format!("The parameter \"{name}\" comes twice.")));
        }
        parameters.push((name, value));
    }
    Ok(parameters)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_come_back_from_their_tags() {
        let version_1 = Version(*b"0123456789abcdef");
        assert_eq!(version(&tag(version_1)), Some(version_1));
        for other in [
            "",
            "\"\"",
            "*",
            "W/\"00\"",
            "\"ü00000000000000000000000000000\"",
        ] {
            assert_eq!(version(other), None, "{other}");
        }
    }

    #[test]
    fn a_password_is_in_no_hash() {
        let with = without_secret(br#"{"name": "a", "password": "secret"}"#);
        assert_eq!(with, without_secret(br#"{"name":"a","password":"other"}"#));
        assert_ne!(
            with,
            without_secret(br#"{"name": "b", "password": "secret"}"#)
        );
    }

    #[test]
    fn depths() {
        for (text, want) in [
            ("1", 0),
            ("[[]]", 2),
            ("{\"a\": \"[[[\\\"[\"}", 1),
            ("[][]", 1),
            ("]]]][", 1),
        ] {
            assert_eq!(depth(text.as_bytes()), want, "{text}");
        }
    }

    #[test]
    fn no_value_is_quoted() {
        #[derive(Debug, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Body {
            #[allow(dead_code)]
            a: u64,
        }
        let of = |text: &str| explain(&serde_json::from_str::<Body>(text).unwrap_err());
        assert!(!of(r#"{"a": "secret"}"#).contains("secret"));
        assert!(of("{}").contains("missing field"), "{}", of("{}"));
        let long = format!("{{\"a\": 1, \"{}\": 1}}", "x".repeat(1000));
        assert!(of(&long).len() < 200);
    }
}
