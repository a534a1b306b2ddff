//! BDAT (RFC 3030 §2). Content has to consist of lines here too, unless it came with BODY=BINARYMIME (§3).

use net::{Stream, Wire};

use crate::backend::Backend;
use crate::encode::Reply;
use crate::parse::Command;
use crate::server::body::{self, Body, Fate};
use crate::server::session::{Flow, Handled, Session};
use crate::translate;

pub fn keywords<B: Backend>(_: &Session<B>) -> Vec<String> {
    vec!["CHUNKING".to_owned(), "BINARYMIME".to_owned()]
}

pub async fn run<B: Backend>(
    session: &mut Session<B>,
    wire: &mut Wire<Stream>,
    command: Command,
) -> Handled {
    let Command::Bdat { size, last } = command else {
        return Ok(Flow::Continue);
    };
    let server = session.server.clone();
    let (limits, pace) = (&server.config.limits, server.config.timeouts.data);
    let Some(mut transaction) = session.transaction.take_if(|t| !t.recipients.is_empty()) else {
        // Its octets come in any case.
        body::discard_chunk(wire, size, limits, pace).await?;
        let reply = Reply::new(503, "5.5.1", "There is no recipient");
        return session.reply(wire, reply).await;
    };
    let body = transaction.body.take();
    let mut body = body.unwrap_or_else(|| Body::new(session.share(), pace));
    body::read_chunk(wire, &mut body, size, limits).await?;
    if last {
        body.end_chunks();
        return session.finish(wire, transaction, body).await;
    }
    let reply = match body.fate() {
        Fate::Kept => Reply::new(250, "2.0.0", format!("{size} octets received")),
        Fate::TooLarge => translate::too_large(),
        Fate::NoRoom => translate::no_room_in_flight(),
    };
    // Also when it has failed: the chunks that are on their way belong to it until RSET.
    transaction.body = Some(body);
    session.transaction = Some(transaction);
    session.reply(wire, reply).await
}
