//! One call of the queue: hosts and addresses in their order, until one has given its answer.
//!
//! Holds: the next host is tried only as long as nobody can have got the message; a connection from the pool that is dead
//! is no attempt; what all hosts say for good is for good, anything else is tried again later.
//! Other half: `hosts` finds them, `connection` and `transaction` talk to them.

use std::net::{IpAddr, SocketAddr};

use jmap_core::inproc::outbound::{
    Attempt, Fate, HostTried, Job, JobRecipient, Outcome, TlsEvaluation, TlsFailure,
};

use tokio::time::Instant;

use super::Parts;
use super::connection::{Connection, Goal, OpenError, TlsState};
use super::fetch::Fetcher;
use super::hosts::{Exchangers, Finder, NoHost, Policy, Target, literal, may_connect};
use super::letter::Letters;
use super::pool::{Pool, PoolKey};
use super::reply::{Reply, shown};
use super::settings::{Protocol, Route, RouteTls};
use super::sts::{Sts, StsPolicies};
use super::tls::{Failure, Need};
use super::transaction::{End, Transaction, ours};

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
    sessions: usize,
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
            sessions: 0,
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
        call.attempt
    }
}

impl Call<'_> {
    /// What RFC 8689 §5 lets the sender ask for.
    fn ignores_policies(&self) -> bool {
        self.letters.facts.tls_optional && !self.requiretls
    }

    /// To a relay. `None`: no host has taken it, nor refused it to anybody.
    async fn by_route(&mut self, route: &Route) -> Result<Option<Vec<Outcome>>, NoHost> {
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
                Err(no_host) => self.note_miss(&host, None, None, None, Miss::of(no_host)),
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
        self.sessions >= most || Instant::now() >= self.until
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
        while let Some(connection) = sender.pool.take(&key) {
            if connection.has_news() || self.has_enough_messages(&connection) {
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
                let evaluation = self.evaluation(target, Some(failure), None);
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

    /// `None`: the connection came from the pool, and was dead.
    async fn transact(
        &mut self,
        target: &Target,
        mut connection: Connection,
        key: PoolKey,
        need: &Need,
        is_reused: bool,
    ) -> Result<Option<Next>, NoHost> {
        let job = self.job;
        let address = Some(connection.address.ip());
        let tls = connection.tls.clone();
        // A session is told of once.
        let evaluation = match is_reused {
            true => None,
            false => self.evaluation(target, None, Some((&tls, connection.local_address()))),
        };
        if let Some(no_host) = self.objection(&connection) {
            self.note_miss(
                &target.host,
                address,
                tls.description,
                evaluation,
                Miss::of(no_host),
            );
            tokio::spawn(connection.quit());
            return Ok(Some(Next::Address));
        }
        let letter = match self
            .letters
            .letter(&connection.extensions, self.requiretls)
            .await
        {
            Ok(letter) => letter,
            Err(no_host) => {
                self.release(key, connection);
                self.note(
                    &target.host,
                    address,
                    tls.description,
                    evaluation,
                    &no_host.reply,
                );
                let all = job.recipients.iter();
                let all = all.map(|recipient| ours(recipient, no_host.fate, &no_host.reply));
                return Ok(Some(Next::Outcomes(all.collect())));
            }
        };
        let most = self.recipients_max(&connection);
        let recipients: Vec<&JobRecipient> = job.recipients.iter().take(most).collect();
        let end = Transaction::new(&mut connection, job, &letter, recipients)
            .run()
            .await;
        let description = tls.description;
        match end {
            End::Done(outcomes, broken) => {
                let result = outcomes
                    .last()
                    .map_or("", |outcome| &outcome.reply)
                    .to_owned();
                self.note(&target.host, address, description, evaluation, &result);
                if broken.is_none() {
                    self.release(key, connection);
                }
                Ok(Some(Next::Outcomes(outcomes)))
            }
            End::Lost(_, true) if is_reused => Ok(None),
            End::NotNow(reply) if is_reused && reply.code == 421 => Ok(None),
            End::NotNow(reply) => {
                let mut miss = self.peers(target, &reply);
                // A server that wants TLS, which has failed, may have it again.
                miss.is_permanent &= !(*need == Need::Plain && reply.code == 530);
                self.note_miss(&target.host, address, description, evaluation, miss);
                if reply.code != 421 {
                    self.release(key, connection);
                }
                Ok(Some(Next::Address))
            }
            End::Lost(broken, _) => {
                let reply = format!(
                    "451 4.4.2 In the middle of the session with {}: {broken}",
                    target.host
                );
                self.note_miss(
                    &target.host,
                    address,
                    description,
                    evaluation,
                    Miss::later(reply),
                );
                Ok(Some(Next::Address))
            }
        }
    }

    /// Why mail isn't sent over a connection that is there.
    fn objection(&self, connection: &Connection) -> Option<NoHost> {
        let own = &self.sender.parts.settings.hostname;
        let is_own = connection.extensions.domain.eq_ignore_ascii_case(own) && own != "localhost";
        if self.route.is_none() && is_own {
            return Some(NoHost::refused(format!(
                "554 5.4.6 {} is this server, which does not have the domain: mail would go round in circles",
                connection.host
            )));
        }
        // RFC 8689 §4.2.1, and §4.3 for the code.
        if self.requiretls && !connection.extensions.requiretls {
            return Some(NoHost::refused(format!(
                "550 5.7.30 The message asks for REQUIRETLS, which {} does not know",
                connection.host
            )));
        }
        None
    }

    fn recipients_max(&self, connection: &Connection) -> usize {
        let own = self.sender.parts.settings.limits.recipients_max;
        let peers = connection
            .extensions
            .rcpt_max
            .and_then(|max| usize::try_from(max).ok());
        peers.unwrap_or(own).min(own).max(1)
    }

    fn has_enough_messages(&self, connection: &Connection) -> bool {
        let own = self.sender.parts.settings.limits.messages_max;
        let peers = connection.extensions.mail_max.unwrap_or(own);
        connection.messages >= own.min(peers)
    }

    /// The next message may have the connection. Whoever waits for the outcome doesn't wait for this.
    fn release(&self, key: PoolKey, mut connection: Connection) {
        if self.has_enough_messages(&connection) {
            tokio::spawn(connection.quit());
            return;
        }
        let (pool, limits) = (self.sender.pool.clone(), self.sender.parts.settings.limits);
        if !connection.is_dirty {
            return pool.put(key, connection, &limits);
        }
        tokio::spawn(async move {
            if connection.reset().await {
                pool.put(key, connection, &limits);
            }
        });
    }

    fn peers(&self, target: &Target, reply: &Reply) -> Miss {
        Miss {
            is_permanent: reply.is_permanent(),
            reply: reply.text(),
            remote: Some(target.host.clone()),
        }
    }

    fn note_miss(
        &mut self,
        host: &str,
        address: Option<IpAddr>,
        tls: Option<String>,
        evaluation: Option<TlsEvaluation>,
        miss: Miss,
    ) {
        self.note(host, address, tls, evaluation, &miss.reply);
        self.misses.push(miss);
    }

    fn note(
        &mut self,
        host: &str,
        address: Option<IpAddr>,
        tls: Option<String>,
        evaluation: Option<TlsEvaluation>,
        result: &str,
    ) {
        self.attempt.hosts.push(HostTried {
            when: self.sender.parts.clock.now().0,
            host: host.to_owned(),
            address,
            tls,
            result: result.to_owned(),
            evaluation,
        });
    }

    /// Nobody has taken it: what is said to each recipient.
    fn give_up(&mut self) {
        let is_permanent =
            !self.misses.is_empty() && self.misses.iter().all(|miss| miss.is_permanent);
        let fate = match is_permanent {
            true => Fate::Refused,
            false => Fate::Later,
        };
        let told = self
            .misses
            .iter()
            .rev()
            .find(|miss| miss.is_permanent == is_permanent);
        let (reply, remote) = match told {
            Some(miss) => (miss.reply.clone(), miss.remote.clone()),
            None => ("451 4.4.1 No host could be tried".to_owned(), None),
        };
        let all = self.job.recipients.iter().map(|recipient| Outcome {
            at: recipient.at,
            fate,
            reply: reply.clone(),
            remote: remote.clone(),
        });
        self.attempt.outcomes = all.collect();
    }

    /// What a report about TLS says of a session (RFC 8460): one that could not be had, or one that is there.
    fn evaluation(
        &self,
        target: &Target,
        failure: Option<Failure>,
        session: Option<(&TlsState, Option<IpAddr>)>,
    ) -> Option<TlsEvaluation> {
        // A relay is the operator's own affair, and a message may be excepted.
        if self.route.is_some() || self.ignores_policies() {
            return None;
        }
        let policy = &target.policy;
        let sending_address = session.and_then(|(_, address)| address);
        let failure = failure.or_else(|| policy.failure.clone()).or_else(|| {
            let (tls, _) = session?;
            match (&tls.description, &tls.pkix) {
                (None, _) => Some(Failure::new(
                    "starttls-not-supported",
                    "the session is not encrypted",
                )),
                (Some(_), Some(Err(failure))) if policy.is_testing => Some(failure.clone()),
                _ => None,
            }
        });
        Some(TlsEvaluation {
            policy: policy.kind,
            policy_lines: policy.lines.clone(),
            policy_domain: policy.domain.clone(),
            mx_patterns: policy.mx_patterns.clone(),
            failure: failure.map(|failure| TlsFailure {
                result_type: failure.result_type,
                reason: shown(&failure.reason),
                sending_address,
            }),
        })
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
