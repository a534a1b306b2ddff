//! STARTTLS (RFC 3207).

use net::{Stream, Wire};

use crate::backend::Backend;
use crate::encode::Reply;
use crate::parse::Command;
use crate::server::session::{Flow, Handled, Session};

pub fn keywords<B: Backend>(session: &Session<B>) -> Vec<String> {
    let offered = session.can_start_tls.then(|| "STARTTLS".to_owned());
    offered.into_iter().collect()
}

pub async fn run<B: Backend>(
    session: &mut Session<B>,
    wire: &mut Wire<Stream>,
    _: Command,
) -> Handled {
    if session.tls.is_some() {
        return session
            .reply(wire, Reply::new(503, "5.5.1", "TLS is active already"))
            .await;
    }
    if !session.can_start_tls {
        return session
            .reply(wire, Reply::new(502, "5.5.1", "STARTTLS is not offered"))
            .await;
    }
    // Commands that somebody else has put there would be taken for the client's (CVE-2011-0411).
    if wire.has_buffered() {
        return session
            .hang_up(wire, "Nothing may follow STARTTLS before the handshake")
            .await;
    }
    session
        .reply(wire, Reply::new(220, "2.0.0", "Go on with the handshake"))
        .await?;
    Ok(Flow::StartTls)
}
