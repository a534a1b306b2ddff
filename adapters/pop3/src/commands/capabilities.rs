//! CAPA (RFC 2449 §5).

use net::{Stream, Wire};

use crate::backend::Backend;
use crate::encode::{END, Reply};
use crate::parse::Command;
use crate::session::{Handled, Session};

/// Those that belong to no command (RFC 2449 §6.4, §6.6, §6.9; RFC 3206 §3).
pub fn capabilities<B: Backend>(_: &Session<B>) -> Vec<String> {
    let names = [
        "RESP-CODES",
        "AUTH-RESP-CODE",
        "PIPELINING",
        "IMPLEMENTATION Posthorn",
    ];
    names.map(str::to_owned).into()
}

pub async fn run<B: Backend>(
    session: &mut Session<B>,
    wire: &mut Wire<Stream>,
    _: Command,
) -> Handled {
    let announced = announced(session);
    let flow = session.reply(wire, Reply::ok("This is offered")).await?;
    for line in announced {
        wire.send(format!("{line}\r\n").as_bytes()).await?;
    }
    wire.send(END).await?;
    Ok(flow)
}

/// Each capability that the table has, now.
fn announced<B: Backend>(session: &Session<B>) -> Vec<String> {
    let table = Session::<B>::TABLE.iter();
    table
        .flat_map(|entry| (entry.capabilities)(session))
        .collect()
}
