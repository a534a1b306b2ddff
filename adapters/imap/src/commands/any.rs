//! CAPABILITY, NOOP, LOGOUT, ID, ENABLE, COMPRESS, GETJMAPACCESS (RFC 9051 §6.1, RFC 2971, RFC 5161, RFC 4978, RFC 9698).

use crate::command::Command;
use crate::encode::{self, Code, Status};
use crate::out::Out;
use crate::session::{Flow, Handled, Session};

/// The name in ID responses.
const PRODUCT: &str = "Posthorn";

pub fn capabilities(session: &Session) -> &'static [&'static str] {
    match session.caller {
        // RFC 7888 §5: before login, large literals are asked for first; after it, they need not be.
        None => &["IMAP4rev2", "IMAP4rev1", "LITERAL-"],
        Some(_) => &["IMAP4rev2", "IMAP4rev1", "LITERAL+"],
    }
}

pub async fn capability(session: &mut Session, out: &mut Out, tag: &str, _: Command) -> Handled {
    let names = super::capabilities(session);
    encode::capability(out.buffer(), names.iter().map(String::as_str));
    session.ok(out, tag, None, "CAPABILITY done").await
}

pub async fn noop(session: &mut Session, out: &mut Out, tag: &str, _: Command) -> Handled {
    session.ok(out, tag, None, "NOOP done").await
}

pub async fn logout(_: &mut Session, out: &mut Out, tag: &str, _: Command) -> Handled {
    out.untagged(Status::Bye, None, "Goodbye");
    out.tagged(tag, Status::Ok, None, "LOGOUT done");
    Ok(Flow::Close)
}

pub fn id_capabilities(_: &Session) -> &'static [&'static str] {
    &["ID"]
}

/// RFC 2971 §3.1: what the client says of itself is for the log, and makes no difference.
pub async fn id(session: &mut Session, out: &mut Out, tag: &str, command: Command) -> Handled {
    if let Command::Id(Some(fields)) = command {
        let of = |name: &str| {
            let found = fields
                .iter()
                .find(|(field, _)| field.eq_ignore_ascii_case(name));
            found.and_then(|(_, value)| value.as_deref()).unwrap_or("-")
        };
        let (name, version) = (of("name"), of("version"));
        tracing::debug!(peer = %session.peer_name(), ?name, ?version, "client");
    }
    encode::id(out.buffer(), &[("name", Some(PRODUCT))]);
    session.ok(out, tag, None, "ID done").await
}

pub fn enable_capabilities(session: &Session) -> &'static [&'static str] {
    match session.caller {
        Some(_) => &["ENABLE", "UIDONLY", "UTF8=ACCEPT"],
        None => &["ENABLE"],
    }
}

/// RFC 5161 §3.1: what is not announced, or can't be enabled, is passed over.
pub async fn enable(session: &mut Session, out: &mut Out, tag: &str, command: Command) -> Handled {
    let Command::Enable(names) = command else {
        return Ok(Flow::Continue);
    };
    let announced = super::capabilities(session);
    let mut newly = Vec::new();
    for name in names {
        if !announced
            .iter()
            .any(|known| known.eq_ignore_ascii_case(&name))
        {
            continue;
        }
        let enabled = &mut session.enabled;
        let before = *enabled;
        let written = match name.to_ascii_uppercase().as_str() {
            "IMAP4REV2" => {
                enabled.rev2 = true;
                "IMAP4rev2"
            }
            "UTF8=ACCEPT" => {
                enabled.utf8 = true;
                "UTF8=ACCEPT"
            }
            "CONDSTORE" => {
                enabled.condstore = true;
                "CONDSTORE"
            }
            // RFC 7162 §3.2.3: it brings CONDSTORE along.
            "QRESYNC" => {
                enabled.condstore = true;
                enabled.qresync = true;
                "QRESYNC"
            }
            "UIDONLY" => {
                enabled.uidonly = true;
                "UIDONLY"
            }
            _ => continue,
        };
        if *enabled != before {
            newly.push(written);
        }
    }
    encode::enabled(out.buffer(), newly);
    session.ok(out, tag, None, "ENABLE done").await
}

pub fn compress_capabilities(session: &Session) -> &'static [&'static str] {
    match session.caller.is_some() && !session.is_compressed() {
        true => &["COMPRESS=DEFLATE"],
        false => &[],
    }
}

pub async fn compress(session: &mut Session, out: &mut Out, tag: &str, _: Command) -> Handled {
    if session.is_compressed() {
        let code = Some(Code::CompressionActive);
        return session
            .no(out, tag, code, "The connection is compressed already")
            .await;
    }
    if !session.take_compression() {
        let text = "Too many connections are compressed; go on without";
        return session.no(out, tag, Some(Code::Limit), text).await;
    }
    out.tagged(tag, Status::Ok, None, "What follows is compressed");
    Ok(Flow::Compress)
}

pub fn jmap_access_capabilities(session: &Session) -> &'static [&'static str] {
    match (&session.caller, &session.server.config.jmap_url) {
        (Some(_), Some(_)) => &["JMAPACCESS"],
        _ => &[],
    }
}

pub async fn jmap_access(session: &mut Session, out: &mut Out, tag: &str, _: Command) -> Handled {
    let Some(url) = session.server.config.jmap_url.clone() else {
        return session.bad(out, tag, "GETJMAPACCESS is not offered");
    };
    encode::jmap_access(out.buffer(), &url);
    session.ok(out, tag, None, "GETJMAPACCESS done").await
}
