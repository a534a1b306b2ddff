//! A small client for SMTP and LMTP. Says what it is told to, also what a client should not.

use std::io;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::reading::Connection;

/// An answer: its code, and the text of all lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub code: u16,
    pub text: String,
}

impl Reply {
    pub fn is_ok(&self) -> bool {
        (200..400).contains(&self.code)
    }
}

/// A connection that was greeted.
#[derive(Debug)]
pub struct Smtp {
    connection: Connection,
    lmtp: bool,
    /// The answer to EHLO.
    pub greeting: Reply,
}

impl Smtp {
    pub fn connect(port: u16, lmtp: bool) -> io::Result<Smtp> {
        let mut connection = Connection::open(port)?;
        let banner = read_reply(&mut connection)?;
        if banner.code != 220 {
            return Err(io::Error::other(format!("{} {}", banner.code, banner.text)));
        }
        let mut smtp = Smtp {
            connection,
            lmtp,
            greeting: banner,
        };
        let hello = if lmtp { "LHLO" } else { "EHLO" };
        smtp.greeting = smtp.command(&format!("{hello} client.example.net"))?;
        Ok(smtp)
    }

    pub fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }

    pub fn command(&mut self, line: &str) -> io::Result<Reply> {
        self.connection.write(format!("{line}\r\n").as_bytes())?;
        self.reply()
    }

    pub fn reply(&mut self) -> io::Result<Reply> {
        read_reply(&mut self.connection)
    }

    /// AUTH PLAIN.
    pub fn login(&mut self, user: &str, password: &str) -> io::Result<Reply> {
        let response = STANDARD.encode(format!("\0{user}\0{password}"));
        self.command(&format!("AUTH PLAIN {response}"))
    }

    /// Sends a message of CRLF lines to one recipient: the last answer, or the first that refuses.
    pub fn send(&mut self, from: &str, to: &str, message: &[u8]) -> io::Result<Reply> {
        self.send_to(from, &[to], message)
            .map(|mut replies| replies.remove(replies.len() - 1))
    }

    /// Sends a message to recipients: with LMTP an answer for each, else one; or the one that refuses.
    pub fn send_to(&mut self, from: &str, to: &[&str], message: &[u8]) -> io::Result<Vec<Reply>> {
        // RFC 2920: all of the envelope at once.
        let utf8 = if message.is_ascii() {
            ""
        } else {
            " BODY=8BITMIME"
        };
        let mut envelope = format!("MAIL FROM:<{from}>{utf8}\r\n");
        to.iter()
            .for_each(|to| envelope.push_str(&format!("RCPT TO:<{to}>\r\n")));
        envelope.push_str("DATA\r\n");
        self.connection.write(envelope.as_bytes())?;
        let mut refused = None;
        for _ in 0..=to.len() {
            let reply = self.reply()?;
            if !reply.is_ok() {
                refused = refused.or(Some(reply));
            }
        }
        let data = self.reply()?;
        if data.code != 354 {
            self.command("RSET")?;
            return Ok(vec![refused.unwrap_or(data)]);
        }
        let mut octets = Vec::with_capacity(message.len() + 64);
        stuff(message, &mut octets);
        self.connection.write(&octets)?;
        let answers = if self.lmtp { to.len() } else { 1 };
        (0..answers).map(|_| self.reply()).collect()
    }
}

/// Doubles dots at the start of lines, and puts the end behind (RFC 5321 §4.5.2). `message` has CRLF lines.
pub fn stuff(message: &[u8], into: &mut Vec<u8>) {
    for line in message.split_inclusive(|&octet| octet == b'\n') {
        if line.starts_with(b".") {
            into.push(b'.');
        }
        into.extend_from_slice(line);
    }
    if !into.ends_with(b"\r\n") {
        into.extend_from_slice(b"\r\n");
    }
    into.extend_from_slice(b".\r\n");
}

fn read_reply(connection: &mut Connection) -> io::Result<Reply> {
    let mut text = String::new();
    loop {
        let line = connection.line()?;
        let code = line.get(..3).and_then(|code| code.parse().ok());
        let code = code.ok_or_else(|| io::Error::other(format!("not a reply: {line}")))?;
        text.push_str(line.get(4..).unwrap_or_default());
        if line.as_bytes().get(3) != Some(&b'-') {
            return Ok(Reply { code, text });
        }
        text.push('\n');
    }
}
