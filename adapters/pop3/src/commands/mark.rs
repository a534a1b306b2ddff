//! DELE, RSET and NOOP (RFC 1939 §5).

use net::{Stream, Wire};

use super::list::no_such_message;
use crate::backend::Backend;
use crate::encode::Reply;
use crate::parse::Command;
use crate::session::{Flow, Handled, Session};

pub async fn dele<B: Backend>(
    session: &mut Session<B>,
    wire: &mut Wire<Stream>,
    command: Command,
) -> Handled {
    let (Command::Dele(number), Some(open)) = (command, &mut session.open) else {
        return Ok(Flow::Continue);
    };
    let reply = match open.maildrop.mark(number) {
        true => Reply::ok("It will be removed at QUIT"),
        false => no_such_message(),
    };
    session.reply(wire, reply).await
}

pub async fn rset<B: Backend>(
    session: &mut Session<B>,
    wire: &mut Wire<Stream>,
    _: Command,
) -> Handled {
    let Some(open) = &mut session.open else {
        return Ok(Flow::Continue);
    };
    open.maildrop.unmark_all();
    let (count, octets) = open.maildrop.totals();
    let text = format!("{count} messages ({octets} octets)");
    session.reply(wire, Reply::ok(text)).await
}

pub async fn noop<B: Backend>(
    session: &mut Session<B>,
    wire: &mut Wire<Stream>,
    _: Command,
) -> Handled {
    session.reply(wire, Reply::ok("Done nothing")).await
}
