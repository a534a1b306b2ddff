//! CAPABILITY, NOOP, LOGOUT (RFC 9051 §6.1).

use crate::command::Command;
use crate::encode::{self, Status};
use crate::out::Out;
use crate::session::{Flow, Handled, Session};

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
