//! HELO and EHLO (RFC 5321 §4.1.1.1), LHLO (RFC 2033 §4.1).

use net::{Stream, Wire};

use crate::backend::Backend;
use crate::encode::Reply;
use crate::parse::{Command, Verb};
use crate::server::session::{Flow, Handled, Hello, Session};

/// Extensions that belong to no command (RFC 2920, RFC 2034).
pub fn keywords<B: Backend>(_: &Session<B>) -> Vec<String> {
    vec!["PIPELINING".to_owned(), "ENHANCEDSTATUSCODES".to_owned()]
}

pub async fn run<B: Backend>(
    session: &mut Session<B>,
    wire: &mut Wire<Stream>,
    command: Command,
) -> Handled {
    let verb = command.verb();
    let (Command::Helo(name) | Command::Ehlo(name) | Command::Lhlo(name)) = command else {
        return Ok(Flow::Continue);
    };
    // RFC 5321 §4.1.4: it ends a transaction as RSET does.
    session.transaction = None;
    session.hello = Some(Hello { verb, name });
    let mut reply = Reply::plain(250, session.server.config.hostname.clone());
    if verb != Verb::Helo {
        for keyword in announced(session) {
            reply = reply.and_line(keyword);
        }
    }
    session.reply_idle(wire, reply).await
}

/// Each keyword that the table has for this mode, now.
fn announced<B: Backend>(session: &Session<B>) -> Vec<String> {
    let mode = session.mode();
    let offered = Session::<B>::TABLE.iter();
    let offered = offered.filter(|entry| entry.modes.contains(&mode));
    offered
        .flat_map(|entry| (entry.keywords)(session))
        .collect()
}
