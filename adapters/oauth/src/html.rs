//! The pages on which people sign in and decide: plain HTML, with one script where a passkey may be used.
//!
//! Holds: what comes from a client or a person is escaped; a page loads its style sheet, and the one with passkeys its script, is shown in no frame, and its
//! form goes here, from where a browser goes on to the client's address alone.
//! Other half: `pages` decides which.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};

use crate::metadata::{SCRIPT_PATH, STYLE_PATH};

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("passkey.js");

/// The hidden fields of a form.
pub type Hidden<'h> = &'h [(&'h str, &'h str)];

/// What is on a page.
#[derive(Clone, Copy, Debug)]
pub struct Page<'p> {
    pub title: &'p str,
    /// HTML.
    pub body: &'p str,
    /// Where the browser may go to from its form, beside this server: a source of the Content-Security-Policy.
    pub goes_to: Option<&'p str>,
    /// It has the script for passkeys.
    pub has_script: bool,
}

/// A text in HTML.
pub fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            character => escaped.push(character),
        }
    }
    escaped
}

impl Page<'_> {
    pub fn into_response(self, status: StatusCode) -> Response<Bytes> {
        let (script, may_run) = match self.has_script {
            true => (
                format!("<script src=\"{SCRIPT_PATH}\" defer></script>\n"),
                " script-src 'self';",
            ),
            false => (String::new(), ""),
        };
        let text = format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n\
             <link rel=\"stylesheet\" href=\"{STYLE_PATH}\">\n{script}</head>\n<body>\n<main>\n\
             <h1>{title}</h1>\n{body}\n</main>\n</body>\n</html>\n",
            title = escaped(self.title),
            body = self.body,
            script = script,
        );
        let mut response = Response::new(Bytes::from(text));
        *response.status_mut() = status;
        let policy = format!(
            "default-src 'none';{may_run} style-src 'self'; base-uri 'none'; form-action 'self'{}; frame-ancestors 'none'",
            self.goes_to.map(|to| format!(" {to}")).unwrap_or_default()
        );
        let headers = response.headers_mut();
        let html = HeaderValue::from_static("text/html; charset=utf-8");
        headers.insert(header::CONTENT_TYPE, html);
        if let Ok(policy) = HeaderValue::try_from(policy) {
            headers.insert(header::CONTENT_SECURITY_POLICY, policy);
        }
        response
    }
}

/// A page that says why nothing can be done.
pub fn refusal(status: StatusCode, why: &str) -> Response<Bytes> {
    let mut letters = why.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string());
    let sentence = format!("{}{}", first.unwrap_or_default(), letters.as_str());
    let body = format!("<p role=\"alert\">{}</p>", escaped(&sentence));
    let page = Page {
        title: "That didn't work",
        body: &body,
        goes_to: None,
        has_script: false,
    };
    page.into_response(status)
}

/// A page that says what has happened.
pub fn message(title: &str, text: &str) -> Response<Bytes> {
    let body = format!("<p>{}</p>", escaped(text));
    let page = Page {
        title,
        body: &body,
        goes_to: None,
        has_script: false,
    };
    page.into_response(StatusCode::OK)
}

pub fn style() -> Response<Bytes> {
    file(STYLE, "text/css; charset=utf-8")
}

pub fn script() -> Response<Bytes> {
    file(SCRIPT, "text/javascript; charset=utf-8")
}

fn file(text: &'static str, content_type: &'static str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from_static(text.as_bytes()));
    let headers = response.headers_mut();
    let content_type = HeaderValue::from_static(content_type);
    headers.insert(header::CONTENT_TYPE, content_type);
    let hour = HeaderValue::from_static("public, max-age=3600");
    headers.insert(header::CACHE_CONTROL, hour);
    response
}

fn form(action: &str, hidden: Hidden<'_>, inner: &str) -> String {
    let hidden: String = hidden
        .iter()
        .map(|(name, value)| {
            let value = escaped(value);
            format!("<input type=\"hidden\" name=\"{name}\" value=\"{value}\">\n")
        })
        .collect();
    format!("<form method=\"post\" action=\"{action}\">\n{hidden}{inner}\n</form>")
}

fn alert(error: Option<&str>) -> String {
    let of = |error: &str| format!("<p class=\"alert\" role=\"alert\">{}</p>\n", escaped(error));
    error.map(of).unwrap_or_default()
}

/// What a passkey is asked: challenge as base64url, and the host.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    pub challenge: &'a str,
    pub rp_id: &'a str,
}

/// The form that the script fills; it shows it where the browser has passkeys.
fn passkey(action: &str, hidden: Hidden<'_>, ask: Ask<'_>) -> String {
    let mut all = hidden.to_vec();
    all.extend(PASSKEY_FIELDS.map(|name| (name, "")));
    let inner = format!(
        "<div id=\"passkey\" data-challenge=\"{}\" data-rp=\"{}\" hidden>\n\
         <button type=\"submit\" class=\"second\">Sign in with a passkey</button>\n</div>",
        escaped(ask.challenge),
        escaped(ask.rp_id)
    );
    form(action, &all, &inner)
}

/// The fields of a passkey that was used.
pub const PASSKEY_FIELDS: [&str; 5] = [
    "credential_id",
    "client_data",
    "authenticator_data",
    "signature",
    "user_handle",
];

/// Name and password. `asks`: the program for which somebody signs in.
pub fn login(
    action: &str,
    hidden: Hidden<'_>,
    asks: &str,
    ask: Ask<'_>,
    error: Option<&str>,
) -> String {
    let inner = "<label for=\"login\">Address</label>\n\
        <input id=\"login\" name=\"login\" type=\"text\" inputmode=\"email\" autocomplete=\"username\" autocapitalize=\"none\" spellcheck=\"false\" required autofocus>\n\
        <label for=\"password\">Password</label>\n\
        <input id=\"password\" name=\"password\" type=\"password\" autocomplete=\"current-password\" required>\n\
        <button type=\"submit\">Sign in</button>";
    format!(
        "<p><strong>{}</strong> wants to get at your account.</p>\n{}{}\n{}",
        escaped(asks),
        alert(error),
        form(action, hidden, inner),
        passkey(action, hidden, ask)
    )
}

/// A code of the second factor.
pub fn code(action: &str, hidden: Hidden<'_>, error: Option<&str>) -> String {
    let inner = "<label for=\"code\">Code</label>\n\
        <input id=\"code\" name=\"code\" type=\"text\" inputmode=\"numeric\" autocomplete=\"one-time-code\" autocapitalize=\"none\" spellcheck=\"false\" required autofocus>\n\
        <button type=\"submit\">Go on</button>";
    format!(
        "<p>Enter the code that your device shows, or one of your recovery codes.</p>\n{}{}",
        alert(error),
        form(action, hidden, inner)
    )
}

/// What a device shows.
pub fn user_code(action: &str, hidden: Hidden<'_>, filled: &str, error: Option<&str>) -> String {
    let inner = format!(
        "<label for=\"user_code\">Code</label>\n\
         <input id=\"user_code\" name=\"user_code\" type=\"text\" autocomplete=\"off\" autocapitalize=\"characters\" spellcheck=\"false\" value=\"{}\" required autofocus>\n\
         <button type=\"submit\">Go on</button>",
        escaped(filled)
    );
    format!(
        "<p>Enter the code that the device or program shows.</p>\n{}{}",
        alert(error),
        form(action, hidden, &inner)
    )
}

/// What somebody is asked to agree to.
#[derive(Clone, Copy, Debug)]
pub struct Consent<'c> {
    pub program: &'c str,
    /// A page about it.
    pub uri: Option<&'c str>,
    pub account: &'c str,
    pub sentences: &'c [&'c str],
    /// Where the browser goes to then, or a word of warning.
    pub note: &'c str,
    /// The program has registered itself: nobody here knows whose it is.
    pub is_unknown: bool,
}

pub fn consent(action: &str, hidden: Hidden<'_>, of: Consent<'_>) -> String {
    let program = escaped(of.program);
    let sentences: String = of
        .sentences
        .iter()
        .map(|sentence| format!("<li>{}</li>\n", escaped(sentence)))
        .collect();
    let about = of.uri.map(escaped);
    let about = about
        .map(|uri| format!(" (<a href=\"{uri}\" rel=\"noreferrer noopener\">{uri}</a>)"))
        .unwrap_or_default();
    let warning = match of.is_unknown {
        true => {
            "<p>The program has given itself this name. Go on only if it is you who has begun this.</p>\n"
        }
        false => "",
    };
    let inner = "<div class=\"choice\">\n\
        <button type=\"submit\" name=\"decision\" value=\"allow\">Allow</button>\n\
        <button type=\"submit\" name=\"decision\" value=\"deny\" class=\"second\">Don't allow</button>\n\
        </div>";
    format!(
        "<p><strong>{program}</strong>{about} wants to use the account <strong>{}</strong>. It will be able to:</p>\n\
         <ul>\n{sentences}</ul>\n{warning}<p class=\"note\">{}</p>\n{}",
        escaped(of.account),
        escaped(of.note),
        form(action, hidden, inner)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_say_is_text() {
        let asks = "<script>'\"&";
        let ask = Ask {
            challenge: "abc",
            rp_id: "mail.example",
        };
        let page = login("/x", &[("request", "a\"><b>")], asks, ask, Some("<i>"));
        for bad in ["<script>", "<b>", "<i>"] {
            assert!(!page.contains(bad), "{page}");
        }
        assert!(page.contains("&lt;script&gt;&#39;&quot;&amp;"), "{page}");
    }

    #[test]
    fn a_page_loads_nothing_and_runs_nothing() {
        let page = Page {
            title: "x",
            body: "",
            goes_to: Some("https://app.example"),
            has_script: false,
        };
        let response = page.into_response(StatusCode::OK);
        let policy = response.headers()[header::CONTENT_SECURITY_POLICY]
            .to_str()
            .unwrap();
        assert!(policy.starts_with("default-src 'none'"), "{policy}");
        assert!(!policy.contains("script"), "{policy}");
        assert!(policy.contains("form-action 'self' https://app.example;"));
    }
}
