//! One call of the queue: hosts and addresses in their order, until one has given its answer.
//!
//! Holds: the next host is tried only as long as nobody can have got the message; a connection from the pool that is dead
//! is no attempt; what all hosts say for good is for good, anything else is tried again later.
//! Other half: `hosts` finds them, `connection` and `transaction` talk to them; `transact` and `told` are the rest of this.

use std::net::{IpAddr, SocketAddr};

use jmap_core::inproc::outbound::{Attempt, Fate, Job, JobRecipient, Outcome};

use tokio::time::Instant;

use super::Parts;
use super::connection::{Connection, Goal, OpenError};
use super::fetch::Fetcher;
use super::hosts::{Exchangers, Finder, NoHost, Policy, Target, literal, may_connect};
use super::letter::Letters;
use super::pool::{Pool, PoolKey};
use super::reply::shown;
use super::settings::{Protocol, Route, RouteTls};
use super::sts::{Sts, StsPolicies};
use super::tls::{Failure, Need};

mod told;
mod transact;

#[derive(Debug)]
pub struct Sender {
    parts: Parts,
    finder: Finder,
    sts: StsPolicies,
    pub pool: Pool,
}

/// Why a host has not taken the message.
struct Miss {
    /// It will never.
    is_permanent: bool,
    reply: String,
    remote: Option<String>,
}

impl Miss {
    fn of(no_host: NoHost) -> Miss {
        Miss {
            is_permanent: no_host.fate == Fate::Refused,
            reply: no_host.reply,
            remote: None,
        }
    }

    fn later(reply: String) -> Miss {
        Miss {
            is_permanent: false,
            reply,
            remote: None,
        }
    }
}

/// A call under way.
struct Call<'c> {
    sender: &'c Sender,
    job: &'c Job,
    route: Option<&'c Route>,
    letters: Letters<'c>,
    requiretls: bool,
    attempt: Attempt,
    misses: Vec<Miss>,
    /// Those that some host has refused for good before it went away: they aren't asked for again.
    refused: Vec<Outcome>,
    sessions: usize,
    /// A host was this server: those that come after it are no better (RFC 5321 §5.1).
    is_at_ourselves: bool,
    until: Instant,
}

impl Sender {
    pub fn new(parts: Parts) -> Result<Sender, rustls::Error> {
        let settings = &parts.settings;
        let finder = Finder {
            dns: parts.dns.clone(),
            rng: parts.rng.clone(),
            own_names: vec![settings.hostname.to_ascii_lowercase()],
            allow_private: settings.allow_private,
            families: settings.families.clone(),
            port: settings.port,
        };
        let fetcher = Fetcher {
            dns: parts.dns.clone(),
            tls: parts.roots.https()?.into(),
            port: settings.sts_port,
            allow_private: settings.allow_private,
        };
        let sts = StsPolicies::new(
            fetcher,
            parts.dns.clone(),
            parts.clock.clone(),
            parts.policies.clone(),
        );
        Ok(Sender {
            parts,
            finder,
            sts,
            pool: Pool::default(),
        })
    }

    pub async fn send(&self, job: &Job) -> Attempt {
        let mut call = Call {
            sender: self,
            job,
            route: self.parts.settings.route(&job.domain),
            letters: Letters::new(job, self.parts.signer.as_deref()),
            requiretls: job.mail_from.parameter("REQUIRETLS").is_some(),
            attempt: Attempt::default(),
            misses: Vec::new(),
            refused: Vec::new(),
            sessions: 0,
            is_at_ourselves: false,
            until: Instant::now() + self.parts.settings.timeouts.call,
        };
        let result = match call.route {
            Some(route) => call.by_route(route).await,
            None => call.by_domain().await,
        };
        match result {
            Ok(Some(outcomes)) => call.attempt.outcomes = outcomes,
            Ok(None) => call.give_up(),
            Err(no_host) => {
                call.misses.push(Miss::of(no_host));
                call.give_up();
            }
        }
        call.attempt.outcomes.append(&mut call.refused);
        call.attempt
    }
}

impl<'c> Call<'c> {
    /// Those that have no answer yet.
    fn recipients(&self) -> Vec<&'c JobRecipient> {
        let is_refused = |at| self.refused.iter().any(|outcome| outcome.at == at);
        let all = self.job.recipients.iter();
        all.filter(|recipient| !is_refused(recipient.at)).collect()
    }

    /// What RFC 8689 §5 lets the sender ask for.
    fn ignores_policies(&self) -> bool {
        self.letters.facts.tls_optional && !self.requiretls
    }

    /// To a relay. `None`: no host has taken it, nor refused it to anybody.
    async fn by_route(&mut self, route: &Route) -> Result<Option<Vec<Outcome>>, NoHost> {
        if route.is_unusable {
            // RFC 3463 §3.4, X.3.5: the operator is told why by the log.
            let reply = "451 4.3.5 The relay can't be used as it is configured here".to_owned();
            self.misses.push(Miss::later(reply));
            return Ok(None);
        }
        let need = match route.tls {
            RouteTls::None => Need::Plain,
            RouteTls::Opportunistic => Need::Opportunistic,
            RouteTls::Required | RouteTls::Implicit => Need::Pkix,
        };
        let mut policy = Policy::none(need, &self.job.domain);
        // The operator has named it.
        policy.vouched_host = true;
        let addresses = match route.host.parse::<IpAddr>() {
            Ok(address) => vec![address],
            Err(_) => self.addresses_of_relay(&route.host).await?,
        };
        let target = Target {
            host: route.host.clone(),
            addresses,
            policy,
        };
        self.try_target(target, route.port).await
    }

    /// Wherever the operator says: also to this machine.
    async fn addresses_of_relay(&self, host: &str) -> Result<Vec<IpAddr>, NoHost> {
        let finder = Finder {
            allow_private: true,
            ..self.sender.finder.clone()
        };
        let found = finder.addresses(host).await;
        // A relay that can't be found is the operator's mistake, and not the sender's.
        let found = found.map_err(|no_host| {
            NoHost::later(format!(
                "451 4.4.3 The relay can't be found: {}",
                no_host.reply
            ))
        })?;
        Ok(found.addresses)
    }

    async fn by_domain(&mut self) -> Result<Option<Vec<Outcome>>, NoHost> {
        let (sender, job) = (self.sender, self.job);
        let port = sender.parts.settings.port;
        if let Some(address) = literal(&job.domain) {
            let address = address?;
            if !may_connect(address, sender.parts.settings.allow_private) {
                return Err(NoHost::refused(
                    "550 5.4.4 The address literal is no address on the internet",
                ));
            }
            let target = Target {
                host: job.domain.clone(),
                addresses: vec![address],
                policy: Policy::none(Need::Opportunistic, &job.domain),
            };
            return self.try_target(target, port).await;
        }
        let (exchangers, sts) = tokio::join!(sender.finder.exchangers(&job.domain), self.sts());
        let mut exchangers: Exchangers = exchangers?;
        let hosts = std::mem::take(&mut exchangers.hosts);
        for host in hosts {
            if self.is_enough() {
                break;
            }
            match sender
                .finder
                .target(&host, &exchangers, &job.domain, &sts)
                .await
            {
                Ok(mut target) => {
                    if self.ignores_policies() && target.policy.need.is_strict() {
                        target.policy = Policy::none(Need::Opportunistic, &job.domain);
                    }
                    if let Some(outcomes) = self.try_target(target, port).await? {
                        return Ok(Some(outcomes));
                    }
                }
                Err(no_host) => {
                    let policy = no_host.policy.as_deref();
                    let evaluation = policy.and_then(|policy| self.evaluation(policy, None, None));
                    self.note_miss(&host, None, None, evaluation, Miss::of(no_host));
                }
            }
        }
        Ok(None)
    }

    async fn sts(&self) -> Sts {
        match self.ignores_policies() {
            true => Sts::default(),
            false => self.sender.sts.of(&self.job.domain).await,
        }
    }

    fn is_enough(&self) -> bool {
        let most = self.sender.parts.settings.limits.sessions_max;
        self.sessions >= most || self.is_at_ourselves || Instant::now() >= self.until
    }

    async fn try_target(
        &mut self,
        mut target: Target,
        port: u16,
    ) -> Result<Option<Vec<Outcome>>, NoHost> {
        if self.requiretls && !target.policy.need.authenticates() {
            // RFC 8689 §4.2.1: the host has to be known to be the domain's, and to be itself.
            if !target.policy.vouched_host || target.policy.need == Need::Plain {
                let no_host = NoHost::refused(
                    "550 5.7.10 The message asks for verified TLS (REQUIRETLS), and nothing vouches for the domain's hosts",
                );
                self.note_miss(&target.host, None, None, None, Miss::of(no_host));
                return Ok(None);
            }
            target.policy.need = Need::Pkix;
        }
        for address in target.addresses.clone() {
            let mut need = target.policy.need.clone();
            // Twice where TLS fails that nobody has asked for.
            loop {
                if self.is_enough() {
                    return Ok(None);
                }
                let at = SocketAddr::new(address, port);
                match self.try_address(&target, at, &need).await? {
                    Next::Outcomes(outcomes) => return Ok(Some(outcomes)),
                    Next::WithoutTls if need == Need::Opportunistic => need = Need::Plain,
                    Next::Address | Next::WithoutTls => break,
                    Next::Host => return Ok(None),
                }
            }
        }
        Ok(None)
    }

    async fn try_address(
        &mut self,
        target: &Target,
        at: SocketAddr,
        need: &Need,
    ) -> Result<Next, NoHost> {
        let sender = self.sender;
        let key = self.key(target, at, need);
        while let Some(mut connection) = sender.pool.take(&key) {
            if !connection.is_quiet().await || self.has_enough_messages(&connection) {
                continue;
            }
            if let Some(next) = self
                .transact(target, connection, key.clone(), need, true)
                .await?
            {
                return Ok(next);
            }
        }
        self.sessions += 1;
        let goal = Goal {
            host: &target.host,
            address: at,
            source: key.source,
            need,
            implicit_tls: self
                .route
                .is_some_and(|route| route.tls == RouteTls::Implicit),
            protocol: key.protocol,
            login: self.route.and_then(|route| route.login.as_ref()),
            hostname: &sender.parts.settings.hostname,
        };
        let timeouts = sender.parts.settings.timeouts;
        let opened =
            Connection::open(&goal, timeouts, &sender.parts.roots, &*sender.parts.rng).await;
        match opened {
            Ok(connection) => {
                let next = self.transact(target, connection, key, need, false).await?;
                Ok(next.unwrap_or(Next::Address))
            }
            Err(error) => Ok(self.not_opened(target, at, need, error)),
        }
    }

    fn key(&self, target: &Target, address: SocketAddr, need: &Need) -> PoolKey {
        let settings = &self.sender.parts.settings;
        let source = settings
            .source
            .iter()
            .find(|source| source.is_ipv4() == address.is_ipv4());
        let login = self.route.and_then(|route| route.login.as_ref());
        PoolKey {
            host: target.host.clone(),
            address,
            source: source.copied(),
            need: need.clone(),
            protocol: self.route.map_or(Protocol::Smtp, |route| route.protocol),
            user: login.map(|login| login.user.clone()),
        }
    }

    fn not_opened(
        &mut self,
        target: &Target,
        at: SocketAddr,
        need: &Need,
        error: OpenError,
    ) -> Next {
        let host = &target.host;
        let (miss, evaluation, next) = match error {
            OpenError::Unreachable(why) => {
                let reply = format!("451 4.4.1 {host} can't be connected to: {why}");
                (Miss::later(reply), None, Next::Address)
            }
            OpenError::Broken(why) => {
                let reply = format!("451 4.4.2 {host} does not begin a session: {why}");
                (Miss::later(reply), None, Next::Address)
            }
            OpenError::Refused(reply) => (self.peers(target, &reply), None, Next::Address),
            OpenError::Auth(why) => {
                tracing::error!(relay = %host, %why, "the login at a relay fails, and mail waits");
                let reply = "451 4.7.0 The login at the relay fails".to_owned();
                (Miss::later(reply), None, Next::Host)
            }
            OpenError::Tls(failure, was_begun) => {
                let next = match was_begun {
                    true => Next::WithoutTls,
                    false => Next::Address,
                };
                let miss = self.no_tls(target, need, &failure);
                let evaluation = self.evaluation(&target.policy, Some(failure), None);
                (miss, evaluation, next)
            }
        };
        self.note_miss(host, Some(at.ip()), None, evaluation, miss);
        next
    }

    fn no_tls(&self, target: &Target, need: &Need, failure: &Failure) -> Miss {
        let why = shown(&failure.reason);
        match (self.requiretls, need.is_strict()) {
            (true, _) => Miss::of(NoHost::refused(format!(
                "550 5.7.10 The message asks for verified TLS (REQUIRETLS), and {} does not have it: {why}",
                target.host
            ))),
            (false, true) => Miss::later(format!(
                "451 4.7.5 TLS with {} is not as it has to be: {why}",
                target.host
            )),
            (false, false) => {
                Miss::later(format!("451 4.7.5 TLS with {} fails: {why}", target.host))
            }
        }
    }
}

/// What is tried next.
enum Next {
    /// Nothing.
    Outcomes(Vec<Outcome>),
    /// The same address without TLS, if nobody asks for it.
    WithoutTls,
    Address,
    Host,
}
