//! STLS (RFC 2595 §4).

use net::{Stream, Wire};

use crate::backend::Backend;
use crate::encode::Reply;
use crate::parse::Command;
use crate::session::{Flow, Handled, Session};

pub fn capabilities<B: Backend>(session: &Session<B>) -> Vec<String> {
    let offered = session.can_start_tls.then(|| "STLS".to_owned());
    offered.into_iter().collect()
}

pub async fn run<B: Backend>(
    session: &mut Session<B>,
    wire: &mut Wire<Stream>,
    _: Command,
) -> Handled {
    if session.tls.is_some() {
        return session
            .reply_bad(wire, Reply::err("TLS is active already"))
            .await;
    }
    if !session.can_start_tls {
        return session
            .reply_bad(wire, Reply::err("STLS is not offered"))
            .await;
    }
    // RFC 6856 §2.1
    if session.utf8 {
        return session
            .reply_bad(wire, Reply::err("STLS comes before UTF8"))
            .await;
    }
    // Commands that somebody else has put there would be taken for the client's (CVE-2011-0411).
    if wire.has_buffered() {
        return session
            .hang_up(wire, "Nothing may follow STLS before the handshake")
            .await;
    }
    session
        .reply(wire, Reply::ok("Go on with the handshake"))
        .await?;
    Ok(Flow::StartTls)
}
