//! Dynamic updates of the DNS (RFC 2136) for dns-01 challenges, signed with a key that the name server knows (TSIG, RFC 8945).
//!
//! Holds: every exchange has a time limit; an answer counts only if it is signed with the same key; other records of the name
//! are left alone.
//! Other half: `order`, which says what to put where.

use std::{net::SocketAddr, str::FromStr, sync::Arc, time::Duration};

use hickory_proto::{
    op::{Message, MessageType, OpCode, Query, ResponseCode, update_message},
    rr::{
        DNSClass, Name, RData, Record, RecordSet, RecordType, TSigVerifier, TSigner,
        rdata::{TXT, tsig::TsigAlgorithm},
    },
};
use jmap_core::{clock::Clock, rng::Rng};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// Time for an exchange with the name server.
pub const EXCHANGE_TIME_MAX: Duration = Duration::from_secs(20);
/// Aliases of a name that are followed (RFC 8555 §8.4 lets `_acme-challenge` be one).
pub const ALIASES_MAX: usize = 8;
/// How far the clocks of both sides may be apart (RFC 8945 §10), in seconds.
const FUDGE: u16 = 300;
/// TTL of the record, in seconds: it is gone soon.
const TTL: u32 = 60;

/// Which name server, and the key.
#[derive(Clone, Debug)]
pub struct UpdateSettings {
    pub server: SocketAddr,
    /// The name of the key, as the name server has it.
    pub key_name: String,
    pub algorithm: UpdateAlgorithm,
    pub key: jmap_core::auth::Secret<Vec<u8>>,
}

/// The algorithms that RFC 8945 §6 wants, without those that are too old.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpdateAlgorithm {
    HmacSha256,
    HmacSha384,
    HmacSha512,
}

/// Why the DNS could not be changed: a sentence for the operator.
#[derive(Debug, thiserror::Error)]
pub enum UpdateError {
    #[error("\"{0}\" can't be a name in the DNS")]
    Name(String),
    #[error("the key for updates of the DNS can't be used: {0}")]
    Key(String),
    #[error("the name server {0} can't be asked: {1}")]
    Io(SocketAddr, std::io::Error),
    #[error("the name server {0} does not answer")]
    Timeout(SocketAddr),
    #[error(
        "the name server {0} has answered what can't be read, or isn't signed with the key: {1}"
    )]
    Answer(SocketAddr, String),
    #[error("the name server {server} refuses to change {name}: {code}")]
    Refused {
        server: SocketAddr,
        name: String,
        code: ResponseCode,
    },
    #[error("the name server {server} has no zone for {name}")]
    NoZone { server: SocketAddr, name: String },
}

/// Changes records of a name server.
#[derive(Clone)]
pub struct Updater {
    server: SocketAddr,
    signer: TSigner,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
}

impl std::fmt::Debug for Updater {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Updater")
            .field("server", &self.server)
            .finish_non_exhaustive()
    }
}

impl Updater {
    pub fn new(
        settings: &UpdateSettings,
        clock: Arc<dyn Clock>,
        rng: Arc<dyn Rng>,
    ) -> Result<Updater, UpdateError> {
        let algorithm = match settings.algorithm {
            UpdateAlgorithm::HmacSha256 => TsigAlgorithm::HmacSha256,
            UpdateAlgorithm::HmacSha384 => TsigAlgorithm::HmacSha384,
            UpdateAlgorithm::HmacSha512 => TsigAlgorithm::HmacSha512,
        };
        let key = settings.key.expose().clone();
        let signer = TSigner::new(key, algorithm, name(&settings.key_name)?, FUDGE)
            .map_err(|error| UpdateError::Key(error.to_string()))?;
        Ok(Updater {
            server: settings.server,
            signer,
            clock,
            rng,
        })
    }

    /// Adds a TXT record. Returns the name that it is at, which may be one that `at` is an alias of.
    pub async fn add(&self, at: &str, text: &str) -> Result<String, UpdateError> {
        let (name, zone) = self.place(name(at)?).await?;
        let records = record_set(&name, text);
        let message = update_message::append(records, zone, false, false);
        self.update(message, &name).await?;
        Ok(name.to_utf8())
    }

    /// Takes the record away again. One that isn't there is no error.
    pub async fn remove(&self, at: &str, text: &str) -> Result<(), UpdateError> {
        let (name, zone) = self.place(name(at)?).await?;
        let message = update_message::delete_by_rdata(record_set(&name, text), zone, false);
        self.update(message, &name).await
    }

    /// The name without aliases, and the zone that it is in.
    async fn place(&self, mut name: Name) -> Result<(Name, Name), UpdateError> {
        for _ in 0..=ALIASES_MAX {
            let mut message = Message::new(self.id(), MessageType::Query, OpCode::Query);
            message.add_query(Query::query(name.clone(), RecordType::SOA));
            let answer = self.exchange(&message).await?;
            let answer = Message::from_vec(&answer)
                .map_err(|error| UpdateError::Answer(self.server, error.to_string()))?;
            let alias = answer.answers.iter().find_map(|record| match &record.data {
                RData::CNAME(target) if record.name == name => Some(target.0.clone()),
                _ => None,
            });
            if let Some(target) = alias {
                name = target;
                continue;
            }
            // The SOA record of the zone is in the answer, or says in the authority section that there is none.
            let mut records = answer.answers.iter().chain(&answer.authorities);
            let zone = records
                .find(|of| of.record_type() == RecordType::SOA && of.name.zone_of(&name))
                .map(|record| record.name.clone());
            return match zone {
                Some(zone) => Ok((name, zone)),
                None => Err(self.no_zone(&name)),
            };
        }
        Err(self.no_zone(&name))
    }

    async fn update(&self, mut message: Message, at: &Name) -> Result<(), UpdateError> {
        message.metadata.id = self.id();
        let now = u64::try_from(self.clock.now().seconds()).unwrap_or(0);
        let wrong = |error: String| UpdateError::Answer(self.server, error);
        let (signature, verifier) = self
            .signer
            .sign_message(&message, now)
            .map_err(|error| UpdateError::Key(error.to_string()))?;
        message.set_signature(signature);
        let answer = self.exchange(&message).await?;
        let read = Message::from_vec(&answer).map_err(|error| wrong(error.to_string()))?;
        // One that doesn't know the key can't sign with it, and says so.
        if read.metadata.response_code != ResponseCode::NoError {
            return Err(UpdateError::Refused {
                server: self.server,
                name: at.to_utf8(),
                code: read.metadata.response_code,
            });
        }
        let mut verifier: TSigVerifier =
            verifier.ok_or_else(|| wrong("no signature".to_owned()))?;
        verifier
            .verify(&answer)
            .map_err(|error| wrong(error.to_string()))?;
        Ok(())
    }

    /// Asks over TCP: a signed message may be long, and nobody else can answer.
    async fn exchange(&self, message: &Message) -> Result<Vec<u8>, UpdateError> {
        let question = message
            .to_vec()
            .map_err(|error| UpdateError::Name(error.to_string()))?;
        let exchange = async {
            let length = u16::try_from(question.len()).map_err(std::io::Error::other)?;
            let mut stream = TcpStream::connect(self.server).await?;
            let framed = [&length.to_be_bytes()[..], &question].concat();
            stream.write_all(&framed).await?;
            let length = stream.read_u16().await?;
            let mut answer = vec![0; usize::from(length)];
            stream.read_exact(&mut answer).await?;
            Ok(answer)
        };
        let answer = match tokio::time::timeout(EXCHANGE_TIME_MAX, exchange).await {
            Ok(answer) => answer.map_err(|error| UpdateError::Io(self.server, error))?,
            Err(_) => return Err(UpdateError::Timeout(self.server)),
        };
        match answer.get(..2) == Some(&message.metadata.id.to_be_bytes()) {
            true => Ok(answer),
            false => Err(UpdateError::Answer(
                self.server,
                "it is the answer to something else".to_owned(),
            )),
        }
    }

    fn id(&self) -> u16 {
        self.rng.next_u64() as u16
    }

    fn no_zone(&self, name: &Name) -> UpdateError {
        UpdateError::NoZone {
            server: self.server,
            name: name.to_utf8(),
        }
    }
}

fn name(text: &str) -> Result<Name, UpdateError> {
    let parsed = Name::from_str(text).map_err(|_| UpdateError::Name(text.to_owned()));
    parsed.map(|mut name| {
        name.set_fqdn(true);
        name
    })
}

fn record_set(name: &Name, text: &str) -> RecordSet {
    let data = RData::TXT(TXT::new(vec![text.to_owned()]));
    let mut record = Record::from_rdata(name.clone(), TTL, data);
    record.dns_class = DNSClass::IN;
    RecordSet::from(record)
}

#[cfg(test)]
mod tests {
    use hickory_proto::rr::rdata::{CNAME, SOA};
    use jmap_core::{auth::Secret, clock::SystemClock, rng::SeededRng};
    use tokio::net::TcpListener;

    use super::*;

    fn updater(server: SocketAddr) -> Updater {
        let settings = UpdateSettings {
            server,
            key_name: "k".to_owned(),
            algorithm: UpdateAlgorithm::HmacSha256,
            key: Secret::new(vec![1; 32]),
        };
        Updater::new(
            &settings,
            Arc::new(SystemClock),
            Arc::new(SeededRng::new(1)),
        )
        .unwrap()
    }

    /// A name server that says this of each question.
    async fn server(answer: impl Fn(&Message) -> Message + Send + 'static) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let length = stream.read_u16().await.unwrap();
                let mut question = vec![0; usize::from(length)];
                stream.read_exact(&mut question).await.unwrap();
                let answer = answer(&Message::from_vec(&question).unwrap());
                let octets = answer.to_vec().unwrap();
                stream.write_u16(octets.len() as u16).await.unwrap();
                stream.write_all(&octets).await.unwrap();
            }
        });
        address
    }

    fn answer_to(question: &Message) -> Message {
        let op = question.metadata.op_code;
        let mut answer = Message::new(question.metadata.id, MessageType::Response, op);
        answer.add_queries(question.queries.iter().cloned());
        answer
    }

    /// `0.example` is an alias of `1.example` and so on, up to this one, which is in the zone `example`.
    async fn aliases(count: usize) -> SocketAddr {
        server(move |question| {
            let mut answer = answer_to(question);
            let asked = question.queries[0].name().clone();
            let number: usize = asked.to_utf8().split('.').next().unwrap().parse().unwrap();
            let at = |text: String| name(&text).unwrap();
            if number < count {
                let target = CNAME(at(format!("{}.example", number + 1)));
                answer.add_answer(Record::from_rdata(asked, 0, RData::CNAME(target)));
            } else {
                let zone = at("example".to_owned());
                let soa = SOA::new(zone.clone(), zone.clone(), 1, 1, 1, 1, 1);
                answer.add_authority(Record::from_rdata(zone, 0, RData::SOA(soa)));
            }
            answer
        })
        .await
    }

    #[tokio::test]
    async fn aliases_are_followed_to_a_limit() {
        for (count, is_found) in [
            (0, true),
            (1, true),
            (ALIASES_MAX, true),
            (ALIASES_MAX + 1, false),
        ] {
            let updater = updater(aliases(count).await);
            let found = updater.place(name("0.example").unwrap()).await;
            assert_eq!(found.is_ok(), is_found, "{count}");
            if let Ok((at, zone)) = found {
                assert_eq!(at.to_utf8(), format!("{count}.example."));
                assert_eq!(zone.to_utf8(), "example.");
            }
        }
    }

    /// Has a zone `example`, and says this of updates.
    async fn zone(of_update: impl Fn(&Message) -> Message + Send + 'static) -> SocketAddr {
        server(move |question| {
            if question.metadata.op_code == OpCode::Update {
                return of_update(question);
            }
            let mut answer = answer_to(question);
            let zone = name("example").unwrap();
            let soa = SOA::new(zone.clone(), zone.clone(), 1, 1, 1, 1, 1);
            answer.add_authority(Record::from_rdata(zone, 0, RData::SOA(soa)));
            answer
        })
        .await
    }

    #[tokio::test]
    async fn an_answer_that_is_not_signed_counts_for_nothing() {
        let at = zone(answer_to).await;
        let error = updater(at).add("a.example", "text").await.unwrap_err();
        assert!(matches!(error, UpdateError::Answer(..)), "{error}");
    }

    #[tokio::test]
    async fn a_refusal_is_told() {
        let at = zone(|question| {
            let mut answer = answer_to(question);
            answer.metadata.response_code = ResponseCode::NotAuth;
            answer
        });
        let error = updater(at.await)
            .add("a.example", "text")
            .await
            .unwrap_err();
        assert!(
            error.to_string().contains("refuses to change a.example"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn another_zone_is_not_changed() {
        let at = zone(answer_to).await;
        let error = updater(at).add("a.other", "text").await.unwrap_err();
        assert!(matches!(error, UpdateError::NoZone { .. }), "{error}");
    }

    #[tokio::test]
    async fn an_answer_to_something_else_is_none() {
        let at = server(|question| {
            let mut answer = answer_to(question);
            answer.metadata.id = question.metadata.id.wrapping_add(1);
            answer
        });
        let error = updater(at.await)
            .add("a.example", "text")
            .await
            .unwrap_err();
        assert!(matches!(error, UpdateError::Answer(..)), "{error}");
    }
}
