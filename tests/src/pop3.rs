//! A small client for POP3 (RFC 1939).

use std::io;

use crate::reading::Connection;

/// A session that was greeted, and logged in.
#[derive(Debug)]
pub struct Pop3(pub Connection);

impl Pop3 {
    pub fn login(port: u16, user: &str, password: &str) -> Pop3 {
        match Pop3::try_login(port, user, password) {
            Ok(session) => session,
            Err(error) => panic!("no POP3 session: {error}"),
        }
    }

    /// `Err` also when it is refused: another session may have the maildrop open.
    pub fn try_login(port: u16, user: &str, password: &str) -> io::Result<Pop3> {
        let mut session = Pop3(Connection::open(port)?);
        session.0.line()?;
        for line in [format!("USER {user}"), format!("PASS {password}")] {
            let answer = session.say(&line)?;
            if !answer.starts_with("+OK") {
                return Err(io::Error::other(answer));
            }
        }
        Ok(session)
    }

    /// The first line of the answer.
    pub fn say(&mut self, line: &str) -> io::Result<String> {
        self.0.write(format!("{line}\r\n").as_bytes())?;
        self.0.line()
    }

    pub fn ok(&mut self, line: &str) -> String {
        let answer = self.say(line).expect("no answer");
        assert!(answer.starts_with("+OK"), "{line}: {answer}");
        answer
    }

    /// The lines of an answer that has many.
    pub fn list(&mut self, line: &str) -> Vec<String> {
        self.ok(line);
        let mut lines = Vec::new();
        loop {
            match self.0.line().expect("no line") {
                end if end == "." => return lines,
                line => lines.push(line),
            }
        }
    }

    /// A message, as it was before its dots were doubled. `None`: it is refused.
    pub fn retrieve(&mut self, number: usize) -> Option<Vec<u8>> {
        let answer = self.say(&format!("RETR {number}")).expect("no answer");
        answer.starts_with("+OK").then_some(())?;
        let mut octets = Vec::new();
        loop {
            let line = self.0.raw_line().expect("no line");
            if line == b".\r\n" {
                return Some(octets);
            }
            octets.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
        }
    }
}
