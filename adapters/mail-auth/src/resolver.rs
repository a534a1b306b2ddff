//! Answers of the DNS: asked for with bounded patience, kept in bounded memory.
//!
//! Holds: no lookup takes longer than [`Settings::timeout`] and its one retry; answers are kept as long as their owners say,
//! at most a day, and no more than [`ANSWERS_MAX`] of them.
//! Other half: the name servers of the configuration or of the system.

use std::net::SocketAddr;
use std::time::Duration;

use mail_auth::MessageAuthenticator;
use mail_auth::hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use mail_auth::hickory_resolver::system_conf::read_system_conf;

/// Answers that are remembered.
pub const ANSWERS_MAX: u64 = 1024;
/// Questions that wait for one name server's answer.
pub(crate) const QUESTIONS_MAX: usize = 4096;
/// Longest time that an answer is remembered.
pub(crate) const ANSWER_TIME_MAX: Duration = Duration::from_secs(86_400);
/// Longest time that it is remembered that there is no answer.
pub(crate) const NO_ANSWER_TIME_MAX: Duration = Duration::from_secs(3600);

/// Whom to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Nameservers {
    /// Those of /etc/resolv.conf.
    System,
    At(Vec<SocketAddr>),
}

/// How to verify.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub nameservers: Nameservers,
    /// For one message. A third of it is kept for DMARC, so that nobody's slow name servers keep its policy from being seen.
    pub timeout: Duration,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            nameservers: Nameservers::System,
            timeout: Duration::from_secs(10),
        }
    }
}

/// Why nobody can be asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolverError {
    #[error("/etc/resolv.conf can't be used: {0}")]
    System(String),
    #[error("no name server is configured")]
    Nobody,
    #[error("the resolver can't be made: {0}")]
    Resolver(String),
    #[error("the trust anchors in {0} can't be used: {1}")]
    TrustAnchor(String, String),
}

pub(crate) fn resolver(settings: &Settings) -> Result<MessageAuthenticator, ResolverError> {
    let servers = servers(&settings.nameservers)?;
    // Without the system's search domains: a sender's domain is meant as it stands.
    let config = ResolverConfig::from_parts(None, Vec::new(), servers);
    let mut options = ResolverOpts::default();
    options.timeout = (settings.timeout / 4).max(Duration::from_millis(100));
    options.attempts = 1;
    options.cache_size = ANSWERS_MAX;
    // A busy server has more questions open than the usual 32; past it they fail, which is a `temperror`.
    options.max_active_requests = QUESTIONS_MAX;
    options.use_hosts_file = ResolveHosts::Never;
    options.positive_max_ttl = Some(ANSWER_TIME_MAX);
    options.negative_max_ttl = Some(NO_ANSWER_TIME_MAX);
    MessageAuthenticator::new(config, options)
        .map_err(|error| ResolverError::Resolver(error.to_string()))
}

/// The name servers to ask; at least one.
pub(crate) fn servers(nameservers: &Nameservers) -> Result<Vec<NameServerConfig>, ResolverError> {
    let servers: Vec<NameServerConfig> = match nameservers {
        Nameservers::System => {
            let (config, _) =
                read_system_conf().map_err(|error| ResolverError::System(error.to_string()))?;
            config.name_servers().to_vec()
        }
        Nameservers::At(places) => places.iter().copied().map(server).collect(),
    };
    match servers.is_empty() {
        true => Err(ResolverError::Nobody),
        false => Ok(servers),
    }
}

fn server(place: SocketAddr) -> NameServerConfig {
    let (mut udp, mut tcp) = (ConnectionConfig::udp(), ConnectionConfig::tcp());
    udp.port = place.port();
    tcp.port = place.port();
    NameServerConfig::new(place.ip(), true, vec![udp, tcp])
}
