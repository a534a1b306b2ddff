//! What keeps the pages of one browser apart from those of others: a cookie, and where a form comes from.
//!
//! Holds: a form counts only with the cookie that its page has set, and from a page of this server; no cookie says who somebody is.
//! Other half: `pages`, and `Core::form_token`.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, header};

use crate::{Client, Provider};

/// Characters of a cookie.
const COOKIE_CHARACTERS: usize = 22;

/// What a page is bound to.
pub struct Bound {
    cookie: String,
    pub is_new: bool,
    pub octets: Vec<u8>,
}

fn cookie_name(client: &Client) -> &'static str {
    match client.tls {
        true => "__Host-posthorn-oauth",
        false => "posthorn-oauth",
    }
}

fn cookie_of(client: &Client, fields: &HeaderMap) -> Option<String> {
    let name = cookie_name(client);
    let fields = fields.get_all(header::COOKIE).iter();
    let mut pairs = fields
        .filter_map(|field| field.to_str().ok())
        .flat_map(|field| field.split(';'))
        .filter_map(|pair| pair.trim().split_once('='));
    let (_, value) = pairs.find(|(known, _)| *known == name)?;
    let is_one = value.len() == COOKIE_CHARACTERS
        && value
            .bytes()
            .all(|octet| octet.is_ascii_alphanumeric() || b"-_".contains(&octet));
    is_one.then(|| value.to_owned())
}

impl Bound {
    pub fn new(
        provider: &Provider,
        client: &Client,
        fields: &HeaderMap,
        what: (&str, &str),
    ) -> Bound {
        let known = cookie_of(client, fields);
        let is_new = known.is_none();
        let cookie = known.unwrap_or_else(|| provider.0.core.page_cookie());
        let octets = [cookie.as_str(), what.0, what.1].join("\0").into_bytes();
        Bound {
            cookie,
            is_new,
            octets,
        }
    }

    pub fn set(&self, client: &Client, response: &mut Response<Bytes>) {
        if !self.is_new {
            return;
        }
        let secure = if client.tls { "; Secure" } else { "" };
        let cookie = format!(
            "{}={}; Path=/; HttpOnly; SameSite=Strict{secure}",
            cookie_name(client),
            self.cookie
        );
        if let Ok(cookie) = HeaderValue::try_from(cookie) {
            response.headers_mut().insert(header::SET_COOKIE, cookie);
        }
    }
}

/// Whether a form was sent from a page of this server, as far as the browser says.
pub fn is_from_here(client: &Client, fields: &HeaderMap) -> bool {
    let site = fields.get("sec-fetch-site").map(HeaderValue::as_bytes);
    let origin = fields.get(header::ORIGIN).and_then(|of| of.to_str().ok());
    // A page without a referrer sends "null" for its origin in some browsers; Sec-Fetch-Site says more then.
    let is_own = match origin {
        None => true,
        Some("null") => site.is_some(),
        Some(origin) => origin
            .split_once("://")
            .is_some_and(|(_, host)| host == client.host),
    };
    is_own && matches!(site, None | Some(b"same-origin"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_from_elsewhere() {
        let client = Client {
            ip: "127.0.0.1".parse().unwrap(),
            tls: true,
            base_url: "https://mail.example".into(),
            host: "mail.example".into(),
        };
        for (fields, want) in [
            (&[][..], true),
            (&[("origin", "https://mail.example")], true),
            (&[("origin", "https://evil.example")], false),
            (&[("origin", "null")], false),
            (
                &[("origin", "null"), ("sec-fetch-site", "same-origin")],
                true,
            ),
            (&[("sec-fetch-site", "cross-site")], false),
            (&[("sec-fetch-site", "same-site")], false),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in fields {
                headers.insert(*name, HeaderValue::from_static(value));
            }
            assert_eq!(is_from_here(&client, &headers), want, "{fields:?}");
        }
        let mut headers = HeaderMap::new();
        let cookie = "a=b; __Host-posthorn-oauth=abcdefghijklmnopqrstuv";
        headers.insert(header::COOKIE, HeaderValue::from_static(cookie));
        let found = cookie_of(&client, &headers);
        assert_eq!(found.as_deref(), Some("abcdefghijklmnopqrstuv"));
    }
}
