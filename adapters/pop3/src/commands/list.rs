//! STAT, LIST and UIDL (RFC 1939 §5, §7).

use net::reader::ReadError;
use net::{Stream, Wire};

use crate::backend::Backend;
use crate::encode::{END, Reply};
use crate::maildrop::{Maildrop, Numbered};
use crate::parse::Command;
use crate::session::{Flow, Handled, Session};

pub async fn stat<B: Backend>(
    session: &mut Session<B>,
    wire: &mut Wire<Stream>,
    _: Command,
) -> Handled {
    let Some(open) = &session.open else {
        return Ok(Flow::Continue);
    };
    let (count, octets) = open.maildrop.totals();
    session
        .reply(wire, Reply::ok(format!("{count} {octets}")))
        .await
}

pub async fn list<B: Backend>(
    session: &mut Session<B>,
    wire: &mut Wire<Stream>,
    command: Command,
) -> Handled {
    let Command::List(number) = command else {
        return Ok(Flow::Continue);
    };
    listing(session, wire, number, |_, numbered| {
        format!("{} {}", numbered.number, numbered.message.size)
    })
    .await
}

pub async fn uidl<B: Backend>(
    session: &mut Session<B>,
    wire: &mut Wire<Stream>,
    command: Command,
) -> Handled {
    let Command::Uidl(number) = command else {
        return Ok(Flow::Continue);
    };
    listing(session, wire, number, |maildrop, numbered| {
        let id = maildrop.unique_id(&numbered.message);
        format!("{} {id}", numbered.number)
    })
    .await
}

/// A line for each message, or the one for one of them.
async fn listing<B: Backend>(
    session: &mut Session<B>,
    wire: &mut Wire<Stream>,
    number: Option<u32>,
    line: impl Fn(&Maildrop, Numbered) -> String + Send,
) -> Handled {
    let Some(open) = &session.open else {
        return Ok(Flow::Continue);
    };
    let maildrop = &open.maildrop;
    if let Some(number) = number {
        let reply = match maildrop.get(number) {
            Some(numbered) => Reply::ok(line(maildrop, numbered)),
            None => no_such_message(),
        };
        return session.reply(wire, reply).await;
    }
    let (count, octets) = maildrop.totals();
    let first = Reply::ok(format!("{count} messages ({octets} octets)"));
    send_all(wire, &first, maildrop, line).await?;
    Ok(Flow::Continue)
}

async fn send_all(
    wire: &mut Wire<Stream>,
    first: &Reply,
    maildrop: &Maildrop,
    line: impl Fn(&Maildrop, Numbered) -> String + Send,
) -> Result<(), ReadError> {
    wire.send(&first.encode()).await?;
    for numbered in maildrop.all() {
        let mut octets = line(maildrop, numbered).into_bytes();
        octets.extend_from_slice(b"\r\n");
        wire.send(&octets).await?;
    }
    wire.send(END).await?;
    Ok(())
}

pub fn no_such_message() -> Reply {
    Reply::err("There is no such message")
}
