//! RSET, NOOP, QUIT, HELP and VRFY (RFC 5321 §4.1.1.5 to §4.1.1.10).

use net::{Stream, Wire};

use crate::backend::Backend;
use crate::encode::Reply;
use crate::parse::Command;
use crate::server::session::{Flow, Handled, Session};

pub async fn rset<B: Backend>(
    session: &mut Session<B>,
    wire: &mut Wire<Stream>,
    _: Command,
) -> Handled {
    session.transaction = None;
    session
        .reply_idle(wire, Reply::new(250, "2.0.0", "Forgotten"))
        .await
}

pub async fn noop<B: Backend>(
    session: &mut Session<B>,
    wire: &mut Wire<Stream>,
    _: Command,
) -> Handled {
    session
        .reply_idle(wire, Reply::new(250, "2.0.0", "Done nothing"))
        .await
}

pub async fn quit<B: Backend>(
    session: &mut Session<B>,
    wire: &mut Wire<Stream>,
    _: Command,
) -> Handled {
    session
        .reply(wire, Reply::new(221, "2.0.0", "Goodbye"))
        .await?;
    Ok(Flow::Close)
}

pub async fn help<B: Backend>(
    session: &mut Session<B>,
    wire: &mut Wire<Stream>,
    _: Command,
) -> Handled {
    let names = offered(session).join(" ");
    session
        .reply_idle(wire, Reply::new(214, "2.0.0", names))
        .await
}

/// RFC 5321 §7.3: who has a mailbox is told to nobody who doesn't send to it.
pub async fn vrfy<B: Backend>(
    session: &mut Session<B>,
    wire: &mut Wire<Stream>,
    _: Command,
) -> Handled {
    let text = "Send to it, and it will be seen";
    session
        .reply_idle(wire, Reply::new(252, "2.0.0", text))
        .await
}

/// The names of all commands of this mode.
fn offered<B: Backend>(session: &Session<B>) -> Vec<&'static str> {
    let mode = session.mode();
    let offered = Session::<B>::TABLE.iter();
    let offered = offered.filter(|entry| entry.modes.contains(&mode));
    offered.map(|entry| entry.verb.name()).collect()
}
