//! UTF8 (RFC 6856 §2).

use net::{Stream, Wire};

use crate::backend::Backend;
use crate::encode::Reply;
use crate::parse::Command;
use crate::session::{Handled, Session};

/// RFC 6856 §2.2: names and passwords may be UTF-8.
pub fn capabilities<B: Backend>(_: &Session<B>) -> Vec<String> {
    vec!["UTF8 USER".to_owned()]
}

pub async fn run<B: Backend>(
    session: &mut Session<B>,
    wire: &mut Wire<Stream>,
    _: Command,
) -> Handled {
    session.utf8 = true;
    session.reply(wire, Reply::ok("UTF-8 it is")).await
}
