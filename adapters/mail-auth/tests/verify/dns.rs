//! A name server for tests: on a UDP socket of its own, with the records that it is given.
//!
//! Holds: names that it is told to be silent about are never answered; those that it is to fail for are SERVFAIL.

use std::collections::HashMap;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::net::UdpSocket;

pub const A: u16 = 1;
pub const CNAME: u16 = 5;
pub const PTR: u16 = 12;
pub const MX: u16 = 15;
pub const TXT: u16 = 16;
pub const AAAA: u16 = 28;

const SERVFAIL: u8 = 2;
const NXDOMAIN: u8 = 3;

/// Records by name (lower case, without the last dot) and type.
#[derive(Clone, Debug, Default)]
pub struct Zone {
    records: HashMap<(String, u16), Vec<Vec<u8>>>,
    silent: Vec<(String, Option<u16>)>,
    failing: Vec<String>,
}

impl Zone {
    pub fn add(&mut self, name: &str, kind: u16, data: Vec<u8>) -> &mut Zone {
        let key = (name.to_ascii_lowercase(), kind);
        self.records.entry(key).or_default().push(data);
        self
    }

    /// In strings of at most 255 octets.
    pub fn txt(&mut self, name: &str, text: &str) -> &mut Zone {
        let strings: Vec<&[u8]> = match text {
            "" => vec![b""],
            text => text.as_bytes().chunks(255).collect(),
        };
        self.txt_of(name, &strings)
    }

    pub fn txt_of(&mut self, name: &str, strings: &[&[u8]]) -> &mut Zone {
        let mut data = Vec::new();
        for string in strings {
            data.push(string.len() as u8);
            data.extend_from_slice(string);
        }
        self.add(name, TXT, data)
    }

    pub fn a(&mut self, name: &str, ip: Ipv4Addr) -> &mut Zone {
        self.add(name, A, ip.octets().to_vec())
    }

    pub fn aaaa(&mut self, name: &str, ip: Ipv6Addr) -> &mut Zone {
        self.add(name, AAAA, ip.octets().to_vec())
    }

    pub fn name(&mut self, name: &str, kind: u16, target: &str) -> &mut Zone {
        let mut data = Vec::new();
        write_name(target, &mut data);
        self.add(name, kind, data)
    }

    pub fn mx(&mut self, name: &str, preference: u16, target: &str) -> &mut Zone {
        let mut data = preference.to_be_bytes().to_vec();
        write_name(target, &mut data);
        self.add(name, MX, data)
    }

    /// `None`: about all types.
    pub fn silent(&mut self, name: &str, kind: Option<u16>) -> &mut Zone {
        self.silent.push((name.to_ascii_lowercase(), kind));
        self
    }

    pub fn failing(&mut self, name: &str) -> &mut Zone {
        self.failing.push(name.to_ascii_lowercase());
        self
    }

    /// Answers from now on.
    pub async fn serve(self) -> Server {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let questions = Arc::new(AtomicUsize::new(0));
        let count = questions.clone();
        tokio::spawn(async move {
            let mut buffer = [0; 4096];
            loop {
                let Ok((length, from)) = socket.recv_from(&mut buffer).await else {
                    return;
                };
                count.fetch_add(1, Ordering::Relaxed);
                if let Some(answer) = self.answer(&buffer[..length]) {
                    let _ = socket.send_to(&answer, from).await;
                }
            }
        });
        Server { address, questions }
    }

    fn answer(&self, query: &[u8]) -> Option<Vec<u8>> {
        let (name, end) = read_name(query, 12)?;
        let kind = u16::from_be_bytes([*query.get(end)?, *query.get(end + 1)?]);
        let question = query.get(12..end + 4)?;
        let is_silent =
            |row: &(String, Option<u16>)| row.0 == name && row.1.is_none_or(|k| k == kind);
        if self.silent.iter().any(is_silent) {
            return None;
        }
        let mut answers: Vec<(String, u16, &Vec<u8>)> = Vec::new();
        let mut at = name.clone();
        let mut code = 0;
        if self.failing.contains(&name) {
            code = SERVFAIL;
        }
        for _ in 0..8 {
            let found = self.records.get(&(at.clone(), kind));
            answers.extend(
                found
                    .into_iter()
                    .flatten()
                    .map(|data| (at.clone(), kind, data)),
            );
            let alias = self
                .records
                .get(&(at.clone(), CNAME))
                .and_then(|all| all.first());
            let Some(alias) = alias.filter(|_| kind != CNAME) else {
                break;
            };
            answers.push((at.clone(), CNAME, alias));
            at = read_name(alias, 0)?.0;
        }
        if answers.is_empty() && code == 0 && !self.exists(&at) {
            code = NXDOMAIN;
        }
        let mut reply = query[..2].to_vec();
        reply.extend_from_slice(&[0x85, 0x80 | code, 0, 1]);
        reply.extend_from_slice(&(answers.len() as u16).to_be_bytes());
        reply.extend_from_slice(&[0, 0, 0, 0]);
        reply.extend_from_slice(question);
        for (name, kind, data) in answers {
            write_name(&name, &mut reply);
            reply.extend_from_slice(&kind.to_be_bytes());
            reply.extend_from_slice(&[0, 1, 0, 0, 0, 60]);
            reply.extend_from_slice(&(data.len() as u16).to_be_bytes());
            reply.extend_from_slice(data);
        }
        Some(reply)
    }

    fn exists(&self, name: &str) -> bool {
        self.records.keys().any(|(other, _)| {
            other == name
                || other
                    .strip_suffix(name)
                    .is_some_and(|rest| rest.ends_with('.'))
        })
    }
}

/// Where it is, and how often it was asked.
#[derive(Clone, Debug)]
pub struct Server {
    pub address: SocketAddr,
    pub questions: Arc<AtomicUsize>,
}

fn read_name(octets: &[u8], mut at: usize) -> Option<(String, usize)> {
    let mut labels = Vec::new();
    loop {
        let length = usize::from(*octets.get(at)?);
        at += 1;
        if length == 0 {
            let name = labels.join(".").to_ascii_lowercase();
            return Some((name, at));
        }
        let label = octets.get(at..at + length)?;
        labels.push(String::from_utf8_lossy(label).into_owned());
        at += length;
    }
}

fn write_name(name: &str, into: &mut Vec<u8>) {
    for label in name
        .trim_end_matches('.')
        .split('.')
        .filter(|label| !label.is_empty())
    {
        let label = &label.as_bytes()[..label.len().min(63)];
        into.push(label.len() as u8);
        into.extend_from_slice(label);
    }
    into.push(0);
}
