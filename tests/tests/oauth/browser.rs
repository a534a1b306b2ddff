//! Somebody at a browser: pages, their forms, and cookies.

use e2e::{
    Server,
    http::{Answer, Http},
};

/// A text as a value of a form.
pub fn encoded(text: &str) -> String {
    let mut encoded = String::new();
    for octet in text.bytes() {
        match octet {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(octet));
            }
            _ => encoded.push_str(&format!("%{octet:02X}")),
        }
    }
    encoded
}

pub fn form_body(pairs: &[(&str, &str)]) -> String {
    let pairs: Vec<String> = pairs
        .iter()
        .map(|(name, value)| format!("{}={}", encoded(name), encoded(value)))
        .collect();
    pairs.join("&")
}

fn decoded(text: &str) -> String {
    let mut octets = Vec::new();
    let mut rest = text.bytes();
    while let Some(octet) = rest.next() {
        match octet {
            b'%' => {
                let hex = [rest.next().expect("a digit"), rest.next().expect("a digit")];
                let hex = std::str::from_utf8(&hex).expect("digits");
                octets.push(u8::from_str_radix(hex, 16).expect("digits"));
            }
            octet => octets.push(octet),
        }
    }
    String::from_utf8(octets).expect("no text")
}

/// A parameter of the address that somebody was sent back to.
pub fn parameter(location: &str, name: &str) -> Option<String> {
    let (_, query) = location.split_once('?')?;
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let found = pairs.find(|(known, _)| *known == name);
    found.map(|(_, value)| decoded(value))
}

pub struct Browser {
    http: Http,
    port: u16,
    pub cookie: Option<String>,
}

impl Browser {
    pub fn new(server: &Server) -> Browser {
        Browser {
            http: Http::new(server.home.http),
            port: server.home.http,
            cookie: None,
        }
    }

    pub fn open(&mut self, path: &str) -> Answer {
        let cookie = self.cookie.clone().unwrap_or_default();
        let answer = self.http.get(path, &[("Cookie", &cookie)]);
        self.take(&answer);
        answer
    }

    fn take(&mut self, answer: &Answer) {
        if let Some(cookie) = answer.header("set-cookie") {
            for part in ["HttpOnly", "SameSite=Strict", "Path=/"] {
                assert!(cookie.contains(part), "{cookie}");
            }
            self.cookie = cookie.split(';').next().map(str::to_owned);
        }
    }

    /// Sends the form of a page, with what was filled in.
    pub fn send(&mut self, page: &Answer, values: &[(&str, &str)]) -> Answer {
        let origin = format!("http://127.0.0.1:{}", self.port);
        self.send_from(page, values, &origin)
    }

    /// The same, from a page of somewhere else.
    pub fn send_from(&mut self, page: &Answer, values: &[(&str, &str)], origin: &str) -> Answer {
        let text = page.text();
        let action = text.split("action=\"").nth(1).expect("no form");
        let action = action.split('"').next().expect("no address").to_owned();
        let hidden = hidden(&text);
        let mut pairs: Vec<(&str, &str)> = hidden
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        pairs.extend(values);
        let cookie = self.cookie.clone().unwrap_or_default();
        let fields = [
            ("Content-Type", "application/x-www-form-urlencoded"),
            ("Cookie", &*cookie),
            ("Origin", origin),
        ];
        let body = form_body(&pairs);
        let answer = self.http.post(&action, &fields, body.as_bytes());
        self.take(&answer);
        answer
    }

    /// Signs in and agrees: the code.
    pub fn allow(&mut self, path: &str, login: &str, password: &str) -> String {
        let page = self.open(path);
        let page = self.send(&page, &[("login", login), ("password", password)]);
        assert!(page.text().contains("Allow access?"), "{}", page.text());
        let answer = self.send(&page, &[("decision", "allow")]);
        assert_eq!(answer.status, 303, "{}", answer.text());
        let location = answer.header("location").expect("an address");
        parameter(location, "code").expect("a code")
    }
}

/// The hidden fields of the first form.
fn hidden(page: &str) -> Vec<(String, String)> {
    let (page, _) = page.split_once("</form>").expect("no form");
    let inputs = page.split("<input type=\"hidden\" name=\"").skip(1);
    let read = |input: &str| -> Option<(String, String)> {
        let (name, rest) = input.split_once("\" value=\"")?;
        let (value, _) = rest.split_once('"')?;
        let value = value
            .replace("&quot;", "\"")
            .replace("&#39;", "'")
            .replace("&lt;", "<")
            .replace("&gt;", ">")
            .replace("&amp;", "&");
        Some((name.to_owned(), value))
    };
    inputs.filter_map(read).collect()
}
