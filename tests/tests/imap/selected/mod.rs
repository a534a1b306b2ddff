//! The selected mailbox: what is fetched, changed and told.

mod idle;
mod messages;
mod pictures;
mod qresync;
mod search;
mod sections;

use std::time::Duration;

use tokio::time::timeout;

use crate::fixture::{self, Fixture, start};

struct Server(Fixture);

impl Server {
    async fn start() -> Server {
        Server(start().await)
    }

    async fn login(&self) -> Client {
        Client(self.0.login("bob").await)
    }

    /// Logged in, with these messages in the selected INBOX.
    async fn with_messages(&self, count: usize) -> Client {
        let mut client = self.login().await;
        for number in 1..=count {
            client.append("INBOX", "", &message(number)).await;
        }
        client.ok("SELECT INBOX").await;
        client
    }
}

/// A short message.
fn message(number: usize) -> String {
    format!("From: a@example.org\r\nSubject: message {number}\r\n\r\nbody {number}\r\n")
}

struct Client(fixture::Client);

impl Client {
    async fn line(&mut self) -> String {
        self.0.line().await
    }

    async fn send(&mut self, text: &str) {
        self.0.send(text).await;
    }

    /// What a command is answered with, in lines; the tag is `.`.
    async fn say(&mut self, command: &str) -> String {
        joined(self.0.say(command).await)
    }

    async fn answer(&mut self, tag: &str) -> String {
        joined(self.0.until(tag).await)
    }

    /// The same for a command that goes well.
    async fn ok(&mut self, command: &str) -> String {
        let answer = self.say(command).await;
        let last = answer.lines().last().unwrap_or_default();
        assert!(last.starts_with(". OK"), "{command}: {answer}");
        answer
    }

    /// A command that must be answered with all of these lines, in this order, perhaps with others in between. `~` at the end of one stands for
    /// whatever follows.
    async fn expect(&mut self, command: &str, want: &[&str]) -> String {
        let answer = self.say(command).await;
        let mut lines = answer.lines();
        for want in want {
            let fits = |line: &str| match want.strip_suffix('~') {
                Some(start) => line.starts_with(start),
                None => line == *want,
            };
            assert!(
                lines.any(fits),
                "{command}: no {want} in order in\n{answer}"
            );
        }
        answer
    }

    async fn append(&mut self, mailbox: &str, options: &str, message: &str) -> String {
        let space = if options.is_empty() { "" } else { " " };
        let octets = message.len();
        let command = format!("APPEND {mailbox}{space}{options} {{{octets}+}}\r\n{message}");
        self.ok(&command).await
    }

    /// Whatever lines come until it is quiet for a moment.
    async fn quiet(&mut self) -> String {
        let mut lines = String::new();
        while let Ok(line) = timeout(Duration::from_millis(400), self.0.line()).await {
            lines.push_str(&line);
            lines.push('\n');
        }
        lines
    }
}

fn joined(mut lines: Vec<String>) -> String {
    let last = lines.pop().unwrap_or_default();
    lines.push(format!(". {last}\n"));
    lines.join("\n")
}
