//! Tests of searches over an engine in memory.

mod keys;
mod random;
mod sort;
mod thread;

use jmap_types::AccountId;

use super::*;
use crate::{
    inproc::imap_view::MailboxKey,
    mail::{
        email::tests::{Bench, OWNER, caller},
        write::INBOX,
    },
};

fn inbox() -> MailboxKey {
    MailboxKey {
        account: AccountId::new(OWNER),
        mailbox: INBOX,
    }
}

/// An inbox with messages, numbered from 1.
struct Inbox {
    bench: Bench,
    emails: Vec<u64>,
}

impl Inbox {
    async fn new(messages: &[&str]) -> Self {
        let bench = Bench::new().await;
        let mut emails = Vec::new();
        for message in messages {
            emails.push(bench.deliver(message.replace('\n', "\r\n")).await);
        }
        Self { bench, emails }
    }

    fn numbers(&self, emails: impl IntoIterator<Item = u64>) -> String {
        let number = |email| self.emails.iter().position(|e| *e == email).unwrap() + 1;
        let numbers = emails.into_iter().map(|email| number(email).to_string());
        numbers.collect::<Vec<_>>().join(" ")
    }

    async fn search(&self, condition: Condition) -> String {
        let who = caller(OWNER, &[]);
        let core = &self.bench.core;
        let found = core
            .view_search(&who, inbox(), &self.emails, condition)
            .await
            .unwrap();
        self.numbers(found.into_iter().map(|found| found.email))
    }

    /// Before it is indexed and after.
    async fn check(&self, condition: Condition, want: &str) {
        assert_eq!(
            self.search(condition.clone()).await,
            want,
            "not indexed: {condition:?}"
        );
        self.bench.core.search.index_pending().await.unwrap();
        assert_eq!(
            self.search(condition.clone()).await,
            want,
            "indexed: {condition:?}"
        );
    }
}
