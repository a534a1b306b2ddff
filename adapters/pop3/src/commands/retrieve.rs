//! RETR and TOP (RFC 1939 §5, §7).

use net::{Stream, Wire};

use super::list::no_such_message;
use crate::backend::Backend;
use crate::encode::{self, Reply, Stuffing};
use crate::parse::Command;
use crate::session::{Flow, Handled, Session};
use crate::translate;

pub async fn retr<B: Backend>(
    session: &mut Session<B>,
    wire: &mut Wire<Stream>,
    command: Command,
) -> Handled {
    let Command::Retr(number) = command else {
        return Ok(Flow::Continue);
    };
    send(session, wire, number, None).await
}

pub async fn top<B: Backend>(
    session: &mut Session<B>,
    wire: &mut Wire<Stream>,
    command: Command,
) -> Handled {
    let Command::Top { number, lines } = command else {
        return Ok(Flow::Continue);
    };
    send(session, wire, number, Some(lines)).await
}

/// Sends a message, or its header and so many lines of its body, piece by piece.
async fn send<B: Backend>(
    session: &mut Session<B>,
    wire: &mut Wire<Stream>,
    number: u32,
    lines: Option<u64>,
) -> Handled {
    let server = session.server.clone();
    let Some(open) = &session.open else {
        return Ok(Flow::Continue);
    };
    let Some(numbered) = open.maildrop.get(number) else {
        return session.reply(wire, no_such_message()).await;
    };
    // What was asked before is not kept waiting by this.
    wire.flush().await?;
    let size = u64::from(numbered.message.size);
    // Until the message is sent.
    let Ok(_place) = server.config.room.place(size).await else {
        return session.reply(wire, translate::no_room()).await;
    };
    let key = open.maildrop.key;
    let message = server
        .backend
        .message(&open.caller, key, numbered.message.email);
    let octets = match message.await {
        Ok(Some(octets)) => octets,
        Ok(None) => {
            let reply = Reply::err("The message is not there any more");
            return session.reply(wire, reply).await;
        }
        Err(error) => return session.reply(wire, translate::view_error(&error)).await,
    };
    let wanted = match lines {
        Some(lines) => encode::top(&octets, lines),
        None => &octets,
    };
    let wanted = match session.utf8 {
        true => std::borrow::Cow::Borrowed(wanted),
        false => encode::surrogate(wanted),
    };
    let first = match lines {
        Some(_) => Reply::ok("Here it is"),
        None => Reply::ok(format!("{} octets", wanted.len())),
    };
    session.counts.retrieved += 1;
    wire.send(&first.encode()).await?;
    let mut stuffing = Stuffing::new(&wanted);
    let mut piece = Vec::new();
    loop {
        let more = stuffing.next(&mut piece);
        wire.send(&piece).await?;
        if !more {
            return Ok(Flow::Continue);
        }
        piece.clear();
    }
}
