//! DATA (RFC 5321 §4.1.1.4).

use net::{Stream, Wire};

use crate::backend::Backend;
use crate::encode::Reply;
use crate::parse::Command;
use crate::server::body::{self, Body};
use crate::server::session::{Flow, Handled, Session};

pub async fn run<B: Backend>(
    session: &mut Session<B>,
    wire: &mut Wire<Stream>,
    _: Command,
) -> Handled {
    let Some(transaction) = session.transaction.take_if(|t| !t.recipients.is_empty()) else {
        // RFC 2920 §3.1: nothing may follow DATA before its answer. What does is a message, not commands.
        if wire.has_buffered() {
            return session
                .hang_up(wire, "There is no recipient, and a message without one")
                .await;
        }
        return session
            .reply(wire, Reply::new(503, "5.5.1", "There is no recipient"))
            .await;
    };
    if transaction.is_binary() {
        // RFC 3030 §3: its lines can't be told from its end. The transaction is over.
        let text = "A message with BODY=BINARYMIME comes by BDAT";
        if wire.has_buffered() {
            return session.hang_up(wire, text).await;
        }
        return session.reply(wire, Reply::new(503, "5.5.1", text)).await;
    }
    wire.send(&Reply::plain(354, "Go on; end with a dot on a line of its own").encode())
        .await?;
    let server = session.server.clone();
    let config = &server.config;
    let mut body = Body::new(session.share(), config.timeouts.data);
    body::read_data(wire, &mut body, &config.limits).await?;
    let flow = session.finish(wire, transaction, body).await?;
    debug_assert_eq!(flow, Flow::Continue);
    Ok(flow)
}
