//! The command line.

use crate::peer::Format;

const USAGE: &str = "\
cargo xtask bench [OPTIONS]

  --quick              few messages and one small mailbox: two minutes instead of a quarter of an hour
  --full               also a mailbox of 100,000 messages; without the peer, which would need most of an hour to be filled
  --messages N         messages of each ingest measurement (default 3000; quick 300)
  --sizes A,B,...      sizes of the mailboxes read from (default 1000,10000; full 1000,10000,100000; quick 1000)
  --only NAME          ingest, read, imap, push or login; may be given more than once
  --waiting N          clients of `push`, that wait for changes, and of `login` (default 1000; quick 100)
  --seconds N          how long one reading measurement may take (default 10; quick 3)
  --peer-max N         the peer has mailboxes of at most so many messages (default 20000)
  --no-peer            only our server
  --no-ours            only the peers
  --rest N             seconds at rest before memory is measured (default 30; quick 5)
  --peer-format NAME   how Dovecot stores mail: maildir (default) or sdbox
  --engines            nothing but this: the server over RocksDB, SQLite, PostgreSQL and MariaDB
  --nodes              nothing but this: one, two and three servers over one PostgreSQL and one object store
  --keep               leave the servers' folders for a look

The table is on the standard output, progress on the standard error. A measurement that fails is told below the table and
costs no other one; the exit code is 1 then. A target that is missed is in the table alone.

Environment
  POSTHORN_BIN         the server's binary (cargo xtask bench sets it)
  POSTHORN_CORPUS      a folder of mails (*.eml, in any depth); without it they are generated
";

#[derive(Debug)]
pub struct Options {
    pub messages: usize,
    pub sizes: Vec<usize>,
    pub only: Vec<String>,
    pub waiting: usize,
    pub seconds: u64,
    pub rest: u64,
    pub ours: bool,
    pub peer: bool,
    pub peer_max: usize,
    pub peer_format: Format,
    pub keep: bool,
    pub engines: bool,
    pub nodes: bool,
}

impl Options {
    /// Reads the arguments; the error is what to print.
    pub fn parse(args: impl Iterator<Item = String>) -> Result<Self, String> {
        let args: Vec<String> = args.collect();
        let has = |flag: &str| args.iter().any(|arg| arg == flag);
        let mut options = Self::usual();
        if has("--full") {
            options.sizes.push(100_000);
        }
        if has("--quick") {
            options = Self {
                messages: 300,
                sizes: vec![1000],
                waiting: 100,
                seconds: 3,
                rest: 5,
                ..options
            };
        }
        let mut args = args.into_iter();
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or(format!("{arg} wants a value\n\n{USAGE}"));
            match arg.as_str() {
                "--quick" | "--full" => {}
                "--messages" => options.messages = number(&value()?)?,
                "--sizes" => {
                    options.sizes = value()?.split(',').map(number).collect::<Result<_, _>>()?
                }
                "--only" => options.only.push(part(value()?)?),
                "--waiting" => options.waiting = number(&value()?)?,
                "--seconds" => options.seconds = number(&value()?)? as u64,
                "--rest" => options.rest = number(&value()?)? as u64,
                "--peer-max" => options.peer_max = number(&value()?)?,
                "--no-peer" => options.peer = false,
                "--no-ours" => options.ours = false,
                "--peer-format" => options.peer_format = value()?.parse()?,
                "--keep" => options.keep = true,
                "--engines" => options.engines = true,
                "--nodes" => options.nodes = true,
                "--help" | "-h" => return Err(USAGE.into()),
                _ => return Err(format!("unknown argument `{arg}`\n\n{USAGE}")),
            }
        }
        Ok(options)
    }

    fn usual() -> Self {
        Self {
            messages: 3000,
            sizes: vec![1000, 10_000],
            only: Vec::new(),
            waiting: 1000,
            seconds: 10,
            rest: 30,
            ours: true,
            peer: true,
            peer_max: 20_000,
            peer_format: Format::Maildir,
            keep: false,
            engines: false,
            nodes: false,
        }
    }

    /// Whether this group of measurements is asked for.
    pub fn does(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == name)
    }
}

fn part(name: String) -> Result<String, String> {
    match ["ingest", "read", "imap", "push", "login"].contains(&name.as_str()) {
        true => Ok(name),
        false => Err(format!(
            "`{name}` is nothing to measure: ingest, read, imap, push or login"
        )),
    }
}

fn number(text: &str) -> Result<usize, String> {
    text.replace('_', "")
        .parse()
        .map_err(|_| format!("`{text}` is no number"))
}
