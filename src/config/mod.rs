//! The configuration: one TOML file, typed.
//!
//! Holds: an unknown key or a wrong value is an error that names file, line and key; every key has a default, and
//! `posthorn.example.toml` has them all.
//! Other half: `wire`, which builds the server from it.

mod read;
#[cfg(test)]
mod tests;
pub mod values;

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use jmap_core::{directory::names, inproc::queue};
use serde::{Deserialize, Serialize};

use values::{BaseUrl, CorsOrigin, Hostname, Listen, Network, Octets, Rate, Span, Uri};

/// Everything that can be configured.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// The name that the server goes by.
    pub hostname: Hostname,
    /// Where users reach whoever runs the server: a URI, such as `mailto:postmaster@example.org`. IMAP clients can ask for it.
    pub admin_contact: Option<Uri>,
    /// What is told of the server in a few words, to IMAP clients that ask for it.
    pub comment: Option<String>,
    /// The folder of everything that is kept.
    pub data: PathBuf,
    pub smtp: MailListener,
    pub submission: MailListener,
    pub submissions: MailListener,
    pub lmtp: MailListener,
    pub imap: ImapListener,
    pub imaps: ImapListener,
    pub pop3: Pop3,
    pub pop3s: Pop3,
    pub managesieve: ManageSieve,
    pub http: Http,
    pub https: Https,
    pub authentication: Authentication,
    pub dns: Dns,
    pub delivery: Delivery,
    pub signing: Signing,
    pub mta_sts: MtaSts,
    pub reports: Reports,
    pub tls: Tls,
    pub limits: Limits,
    pub store: Store,
    pub search: Search,
    pub log: Log,
    pub trace: Trace,
    pub push: Push,
    pub metrics: Metrics,
}

/// A listener for SMTP, submission or LMTP.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct MailListener {
    /// `None` only until the defaults of the listener were put in.
    pub listen: Option<Vec<Listen>>,
    /// Proxies that send a PROXY header.
    pub proxies: Vec<Network>,
    pub connections: usize,
    pub connections_per_client: usize,
    pub connection_rate: Rate,
    /// Networks to which only `connections` applies.
    pub exempt: Vec<Network>,
    pub message_rate: Rate,
    pub messages_per_connection: u32,
    pub bad_commands: u32,
    pub refused_recipients: u32,
    pub auth_failures: u32,
    pub idle_timeout: Span,
}

/// A listener for IMAP.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct ImapListener {
    pub listen: Option<Vec<Listen>>,
    /// Proxies that send a PROXY header.
    pub proxies: Vec<Network>,
    pub connections: usize,
    pub connections_per_client: usize,
    pub connection_rate: Rate,
    /// Networks to which only `connections` applies.
    pub exempt: Vec<Network>,
    pub bad_commands: u32,
    pub auth_failures: u32,
    pub idle_timeout: Span,
    pub compressed_connections: usize,
    pub plaintext_logins: PlaintextLogins,
}

/// A listener for POP3, without TLS or with it from the first byte.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Pop3 {
    pub listen: Option<Vec<Listen>>,
    /// Proxies that send a PROXY header.
    pub proxies: Vec<Network>,
    pub connections: usize,
    pub connections_per_client: usize,
    pub connection_rate: Rate,
    pub exempt: Vec<Network>,
    pub bad_commands: u32,
    pub auth_failures: u32,
    pub idle_timeout: Span,
    pub plaintext_logins: PlaintextLogins,
}

/// A listener for ManageSieve.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct ManageSieve {
    pub listen: Option<Vec<Listen>>,
    /// Proxies that send a PROXY header.
    pub proxies: Vec<Network>,
    pub connections: usize,
    pub connections_per_client: usize,
    pub connection_rate: Rate,
    pub exempt: Vec<Network>,
    pub bad_commands: u32,
    pub auth_failures: u32,
    pub idle_timeout: Span,
    pub plaintext_logins: PlaintextLogins,
}

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Http {
    pub listen: Option<Vec<Listen>>,
    /// Proxies whose `X-Forwarded-*` fields are believed; of `https` too.
    pub proxies: Vec<Network>,
    pub connections: usize,
    pub connections_per_client: usize,
    pub connection_rate: Rate,
    pub exempt: Vec<Network>,
    pub base_url: Option<BaseUrl>,
    pub cors_origin: CorsOrigin,
    pub plaintext_logins: PlaintextLogins,
}

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Https {
    pub listen: Option<Vec<Listen>>,
    pub connections: usize,
    pub connections_per_client: usize,
    pub connection_rate: Rate,
    pub exempt: Vec<Network>,
}

/// How the origin of mail from other servers is verified, and what follows.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Authentication {
    pub verify: bool,
    /// Clients about whose mail nobody is asked.
    pub trusted: Vec<Network>,
    /// Name servers; none: those of the system.
    pub resolvers: Vec<SocketAddr>,
    /// For one message.
    pub timeout: Span,
    /// DMARC fails, and the domain asks for a refusal.
    pub dmarc_reject: Treatment,
    /// DMARC fails, and the domain asks for quarantine.
    pub dmarc_quarantine: Treatment,
    /// The DNS does not tell what the domain asks for.
    pub temporary_error: OnTemporaryError,
}

/// How the DNS is asked where mail goes to. The name servers are those of `authentication`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Dns {
    /// Whether answers are validated (DNSSEC); without that there is no DANE.
    pub dnssec: bool,
    /// A file of DNSKEY records of the root that are trusted in place of the usual ones.
    pub trust_anchor: Option<PathBuf>,
    /// For one lookup.
    pub timeout: Span,
}

/// How mail goes to other servers.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Delivery {
    // Of the queue; see `jmap_core::inproc::queue::Delivery`.
    pub retry: Vec<Span>,
    pub expiry: Span,
    pub delay_notice: Span,
    /// Mail transactions at once.
    pub transactions: usize,
    /// Memory of their messages.
    pub max_memory: Octets,
    pub transactions_per_domain: usize,
    /// `None`: as fast as it goes.
    pub rate_per_domain: Option<Rate>,
    /// Domains that differ.
    pub domains: BTreeMap<String, DeliveryDomain>,
    // Of the client: to whom, from where, and how.
    /// The port of mail exchangers.
    pub port: u16,
    /// Addresses to send from; the first of each kind.
    pub source: Vec<IpAddr>,
    /// Kinds of addresses to send to, preferred first.
    pub families: Vec<Family>,
    /// Whether an MX record may lead to this machine or its networks.
    pub allow_private: bool,
    /// Certificates of authorities that are trusted in place of the system's.
    pub ca_file: Option<PathBuf>,
    pub connect_timeout: Span,
    /// How long a connection waits for the next message.
    pub idle_connection_time: Span,
    pub messages_per_connection: u64,
    pub recipients_per_message: usize,
    pub route: Vec<Route>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    Ipv4,
    Ipv6,
}

/// Where the mail of some domains goes instead of to their mail exchangers.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Route {
    /// `example.org`, `*.example.org` for what is below it, `*` for all others.
    pub domains: Vec<String>,
    /// A name or an IP address.
    pub host: String,
    #[serde(default = "Route::default_port")]
    pub port: u16,
    #[serde(default)]
    pub protocol: RouteProtocol,
    #[serde(default)]
    pub tls: RouteTls,
    pub user: Option<String>,
    /// A file with the password in its first line.
    pub password_file: Option<PathBuf>,
}

impl Route {
    fn default_port() -> u16 {
        25
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RouteProtocol {
    #[default]
    Smtp,
    Lmtp,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RouteTls {
    None,
    Opportunistic,
    #[default]
    Required,
    Implicit,
}

/// How the DKIM keys of domains are replaced.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Signing {
    /// Nothing: never by itself.
    pub rotate_every: Span,
    /// How long new keys are published, at least, before they sign.
    pub publish_before: Span,
    /// How long old keys stay published.
    pub publish_after: Span,
}

/// The MTA-STS policy of all domains.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct MtaSts {
    pub mode: MtaStsMode,
    pub max_age: Span,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum MtaStsMode {
    Enforce,
    Testing,
    None,
}

/// Reports about mail: DMARC aggregate reports and TLS reports.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Reports {
    /// To domains that ask for them.
    pub send: bool,
    /// Who reports, for people; empty: the name of the server.
    pub organisation: String,
    /// The address that reports come from; empty: postmaster at the first domain.
    pub contact: String,
    /// More addresses that reports come to.
    pub addresses: Vec<String>,
}

/// What is done with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Treatment {
    Reject,
    Quarantine,
    Mark,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnTemporaryError {
    Deliver,
    Defer,
}

/// What is different about a domain that mail is sent to.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct DeliveryDomain {
    pub transactions: Option<usize>,
    pub rate: Option<Rate>,
}

/// Where a login over a connection that isn't encrypted is taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PlaintextLogins {
    Loopback,
    Anywhere,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Tls {
    /// PEM, the server's own certificate first. Without it, a self-signed one is made.
    pub certificate: Option<PathBuf>,
    pub key: Option<PathBuf>,
}

/// What is too much; see `jmap_core::Limits`.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Limits {
    pub max_size_upload: Octets,
    pub max_concurrent_upload: u64,
    pub max_size_request: Octets,
    pub max_concurrent_requests: u64,
    pub max_calls_in_request: u64,
    pub max_objects_in_get: u64,
    pub max_objects_in_set: u64,
    pub max_size_message: Octets,
    pub max_mailboxes_per_email: u64,
    pub max_mailbox_depth: u64,
    pub max_size_mailbox_name: Octets,
    pub max_size_attachments_per_email: Octets,
    pub max_keywords_per_email: u64,
    pub max_mailboxes: u64,
    pub max_query_results: u64,
    pub max_recipients: u64,
    pub max_recipients_per_hour: u64,
    pub max_recipients_per_day: u64,
    pub max_submissions: u64,
    pub max_delayed_send: Span,
    pub undo_time: Span,
    pub default_quota: Octets,
    pub max_uploads_waiting: Octets,
    pub upload_time: Span,
    pub max_push_subscriptions: u64,
    /// Memory of messages on their way in, over all connections.
    pub max_memory_receiving: Octets,
    /// Memory of the mail views of accounts.
    pub max_memory_views: Octets,
}

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Store {
    pub block_cache: Octets,
    pub write_buffer: Octets,
}

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Search {
    pub shards: u16,
    pub writer_memory: Octets,
}

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Log {
    pub format: LogFormat,
    pub level: LogLevel,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    Text,
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// What is kept of what happened to messages.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Trace {
    /// For how long; 0: nothing.
    pub keep: Span,
    /// Events; of more, the oldest go.
    pub max_events: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Push {
    /// Push subscriptions may name hosts of the local network, and plain http.
    pub private_services: bool,
}

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Metrics {
    /// Who may read `/metrics`.
    pub networks: Vec<Network>,
}

/// The listeners, for tables of what is different about them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    Smtp,
    Submission,
    Submissions,
    Lmtp,
    Imap,
    Imaps,
    Pop3,
    Pop3s,
    ManageSieve,
    Http,
    Https,
}

/// Where each listens by default, and the port of a quickstart.
const PLACES: &[(Service, &[&str], u16)] = &[
    (Service::Smtp, &["[::]:25"], 2525),
    (Service::Submission, &["[::]:587"], 2587),
    (Service::Submissions, &["[::]:465"], 2465),
    (Service::Lmtp, &[], 2424),
    (Service::Imap, &["[::]:143"], 2143),
    (Service::Imaps, &["[::]:993"], 2993),
    (Service::Pop3, &["[::]:110"], 2110),
    (Service::Pop3s, &["[::]:995"], 2995),
    (Service::ManageSieve, &["[::]:4190"], 4190),
    (Service::Http, &["127.0.0.1:8080"], 8080),
    (Service::Https, &["[::]:443"], 8443),
];

/// Networks that no other server on the internet writes from (RFC 1122, 1918, 3927, 4193, 4291): what comes from them has
/// no SPF record, and has been with others before.
const PRIVATE_NETWORKS: &[&str] = &[
    "127.0.0.0/8",
    "::1/128",
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "169.254.0.0/16",
    "fc00::/7",
    "fe80::/10",
];

impl Config {
    /// The configuration without a file.
    pub fn without_file() -> Config {
        Config::default()
    }

    /// Listens on unprivileged ports of this machine alone, as `localhost`.
    pub fn quickstart(&mut self) {
        self.hostname = Hostname("localhost".to_owned());
        for &(service, _, port) in PLACES {
            let address = SocketAddr::from(([127, 0, 0, 1], port));
            *self.listen_mut(service) = Some(vec![Listen::Tcp(address)]);
        }
    }

    /// Puts the default places of listeners where the file says nothing.
    fn fill(&mut self) {
        for &(service, places, _) in PLACES {
            let parsed = || {
                places
                    .iter()
                    .filter_map(|place| place.parse().ok())
                    .collect()
            };
            self.listen_mut(service).get_or_insert_with(parsed);
        }
    }

    fn listen_mut(&mut self, service: Service) -> &mut Option<Vec<Listen>> {
        match service {
            Service::Smtp => &mut self.smtp.listen,
            Service::Submission => &mut self.submission.listen,
            Service::Submissions => &mut self.submissions.listen,
            Service::Lmtp => &mut self.lmtp.listen,
            Service::Imap => &mut self.imap.listen,
            Service::Imaps => &mut self.imaps.listen,
            Service::Pop3 => &mut self.pop3.listen,
            Service::Pop3s => &mut self.pop3s.listen,
            Service::ManageSieve => &mut self.managesieve.listen,
            Service::Http => &mut self.http.listen,
            Service::Https => &mut self.https.listen,
        }
    }

    /// The settings of a mail listener.
    pub fn mail(&self, service: Service) -> Option<&MailListener> {
        match service {
            Service::Smtp => Some(&self.smtp),
            Service::Submission => Some(&self.submission),
            Service::Submissions => Some(&self.submissions),
            Service::Lmtp => Some(&self.lmtp),
            Service::Imap
            | Service::Imaps
            | Service::Pop3
            | Service::Pop3s
            | Service::ManageSieve
            | Service::Http
            | Service::Https => None,
        }
    }

    /// The settings of an IMAP listener.
    pub fn imap(&self, service: Service) -> Option<&ImapListener> {
        match service {
            Service::Imap => Some(&self.imap),
            Service::Imaps => Some(&self.imaps),
            _ => None,
        }
    }

    /// The settings of a POP3 listener.
    pub fn pop3(&self, service: Service) -> Option<&Pop3> {
        match service {
            Service::Pop3 => Some(&self.pop3),
            Service::Pop3s => Some(&self.pop3s),
            _ => None,
        }
    }
}

impl Default for Config {
    fn default() -> Config {
        let mut config = Config {
            hostname: Hostname("localhost".to_owned()),
            admin_contact: None,
            comment: None,
            data: PathBuf::from("data"),
            smtp: MailListener::default(),
            submission: MailListener::default(),
            submissions: MailListener::default(),
            lmtp: MailListener::default(),
            imap: ImapListener::default(),
            imaps: ImapListener::default(),
            pop3: Pop3::default(),
            pop3s: Pop3::default(),
            managesieve: ManageSieve::default(),
            http: Http::default(),
            https: Https::default(),
            authentication: Authentication::default(),
            dns: Dns::default(),
            delivery: Delivery::default(),
            signing: Signing::default(),
            mta_sts: MtaSts::default(),
            reports: Reports::default(),
            tls: Tls::default(),
            limits: Limits::default(),
            store: Store::default(),
            search: Search::default(),
            log: Log::default(),
            trace: Trace::default(),
            push: Push::default(),
            metrics: Metrics::default(),
        };
        config.fill();
        config
    }
}

/// The usual limits of connections, as the network code has them.
fn connection_rate() -> Rate {
    Rate(net::ConnectionLimits::default().rate)
}

impl Default for MailListener {
    fn default() -> MailListener {
        let limits = net::ConnectionLimits::default();
        MailListener {
            listen: None,
            proxies: Vec::new(),
            connections: limits.total,
            connections_per_client: limits.per_client,
            connection_rate: connection_rate(),
            exempt: Vec::new(),
            message_rate: Rate::new(3000, Duration::from_secs(3600)),
            messages_per_connection: 500,
            bad_commands: 20,
            refused_recipients: 100,
            auth_failures: 3,
            idle_timeout: Span::seconds(300),
        }
    }
}

impl Default for ImapListener {
    fn default() -> ImapListener {
        let limits = net::ConnectionLimits::default();
        let of = imap::Limits::default();
        ImapListener {
            listen: None,
            proxies: Vec::new(),
            connections: limits.total,
            connections_per_client: limits.per_client,
            connection_rate: connection_rate(),
            exempt: Vec::new(),
            bad_commands: of.bad_commands_max,
            auth_failures: of.auth_failures_max,
            idle_timeout: Span(imap::Timeouts::default().command.idle),
            compressed_connections: of.compressed_max,
            plaintext_logins: PlaintextLogins::Loopback,
        }
    }
}

impl Default for Pop3 {
    fn default() -> Pop3 {
        let limits = net::ConnectionLimits::default();
        Pop3 {
            listen: None,
            proxies: Vec::new(),
            connections: limits.total,
            connections_per_client: limits.per_client,
            connection_rate: connection_rate(),
            exempt: Vec::new(),
            bad_commands: 20,
            auth_failures: 3,
            idle_timeout: Span::seconds(600),
            plaintext_logins: PlaintextLogins::Loopback,
        }
    }
}

impl Default for ManageSieve {
    fn default() -> ManageSieve {
        let limits = net::ConnectionLimits::default();
        ManageSieve {
            listen: None,
            proxies: Vec::new(),
            connections: limits.total,
            connections_per_client: limits.per_client,
            connection_rate: connection_rate(),
            exempt: Vec::new(),
            bad_commands: 20,
            auth_failures: 3,
            idle_timeout: Span::seconds(1800),
            plaintext_logins: PlaintextLogins::Loopback,
        }
    }
}

impl Default for Http {
    fn default() -> Http {
        let limits = net::ConnectionLimits::default();
        Http {
            listen: None,
            proxies: Vec::new(),
            connections: limits.total,
            connections_per_client: limits.per_client,
            connection_rate: connection_rate(),
            exempt: Vec::new(),
            base_url: None,
            cors_origin: CorsOrigin("*".to_owned()),
            plaintext_logins: PlaintextLogins::Loopback,
        }
    }
}

impl Default for Https {
    fn default() -> Https {
        let limits = net::ConnectionLimits::default();
        Https {
            listen: None,
            connections: limits.total,
            connections_per_client: limits.per_client,
            connection_rate: connection_rate(),
            exempt: Vec::new(),
        }
    }
}

impl Default for Authentication {
    fn default() -> Authentication {
        Authentication {
            verify: true,
            trusted: PRIVATE_NETWORKS
                .iter()
                .filter_map(|network| network.parse().ok())
                .collect(),
            resolvers: Vec::new(),
            timeout: Span::seconds(10),
            dmarc_reject: Treatment::Reject,
            dmarc_quarantine: Treatment::Quarantine,
            temporary_error: OnTemporaryError::Deliver,
        }
    }
}

impl Default for Dns {
    fn default() -> Dns {
        Dns {
            dnssec: true,
            trust_anchor: None,
            timeout: Span::seconds(10),
        }
    }
}

impl Default for Delivery {
    fn default() -> Delivery {
        let client = smtp::client::Settings::new("");
        let core = queue::Delivery::default();
        Delivery {
            retry: core.retry.iter().map(|wait| Span(*wait)).collect(),
            expiry: Span(core.expiry),
            delay_notice: Span(core.delay_notice),
            transactions: core.at_once,
            max_memory: Octets(core.octets_max),
            transactions_per_domain: core.domain.at_once,
            rate_per_domain: None,
            domains: BTreeMap::new(),
            port: client.port,
            source: Vec::new(),
            families: vec![Family::Ipv4, Family::Ipv6],
            allow_private: false,
            ca_file: None,
            connect_timeout: Span(client.timeouts.connect),
            idle_connection_time: Span(client.timeouts.idle),
            messages_per_connection: client.limits.messages_max,
            recipients_per_message: client.limits.recipients_max,
            route: Vec::new(),
        }
    }
}

impl Default for Signing {
    fn default() -> Signing {
        let settings = jmap_core::directory::dkim::SigningSettings::default();
        Signing {
            rotate_every: Span(settings.rotate_every.unwrap_or_default()),
            publish_before: Span(settings.publish_before),
            publish_after: Span(settings.publish_after),
        }
    }
}

impl Default for MtaSts {
    fn default() -> MtaSts {
        MtaSts {
            mode: MtaStsMode::Testing,
            max_age: Span::seconds(7 * 86_400),
        }
    }
}

impl Default for Reports {
    fn default() -> Reports {
        Reports {
            send: true,
            organisation: String::new(),
            contact: String::new(),
            addresses: Vec::new(),
        }
    }
}

impl Default for Limits {
    fn default() -> Limits {
        let core = jmap_core::Limits::default();
        Limits {
            max_size_upload: Octets(core.max_size_upload),
            max_concurrent_upload: core.max_concurrent_upload,
            max_size_request: Octets(core.max_size_request),
            max_concurrent_requests: core.max_concurrent_requests,
            max_calls_in_request: core.max_calls_in_request,
            max_objects_in_get: core.max_objects_in_get,
            max_objects_in_set: core.max_objects_in_set,
            max_size_message: Octets(core.max_size_message),
            max_mailboxes_per_email: core.max_mailboxes_per_email,
            max_mailbox_depth: core.max_mailbox_depth,
            max_size_mailbox_name: Octets(core.max_size_mailbox_name),
            max_size_attachments_per_email: Octets(core.max_size_attachments_per_email),
            max_keywords_per_email: core.max_keywords_per_email,
            max_mailboxes: core.max_mailboxes,
            max_query_results: core.max_query_results,
            max_recipients: core.max_recipients,
            max_recipients_per_hour: core.max_recipients_per_hour,
            max_recipients_per_day: core.max_recipients_per_day,
            max_submissions: core.max_submissions,
            max_delayed_send: Span::seconds(core.max_delayed_send),
            undo_time: Span::seconds(core.undo_seconds),
            default_quota: Octets(core.default_quota_octets),
            max_uploads_waiting: Octets(core.max_upload_octets_waiting),
            upload_time: Span::seconds(core.upload_hours * 3600),
            max_push_subscriptions: core.max_push_subscriptions,
            max_memory_receiving: Octets::mib(512),
            max_memory_views: Octets(jmap_core::accounts::VIEW_OCTETS_MAX as u64),
        }
    }
}

impl Limits {
    pub fn core(&self) -> jmap_core::Limits {
        jmap_core::Limits {
            max_size_upload: self.max_size_upload.0,
            max_concurrent_upload: self.max_concurrent_upload,
            max_size_request: self.max_size_request.0,
            max_concurrent_requests: self.max_concurrent_requests,
            max_calls_in_request: self.max_calls_in_request,
            max_objects_in_get: self.max_objects_in_get,
            max_objects_in_set: self.max_objects_in_set,
            max_size_message: self.max_size_message.0,
            max_mailboxes_per_email: self.max_mailboxes_per_email,
            max_mailbox_depth: self.max_mailbox_depth,
            max_size_mailbox_name: self.max_size_mailbox_name.0,
            max_size_attachments_per_email: self.max_size_attachments_per_email.0,
            max_keywords_per_email: self.max_keywords_per_email,
            max_mailboxes: self.max_mailboxes,
            max_query_results: self.max_query_results,
            max_recipients: self.max_recipients,
            max_recipients_per_hour: self.max_recipients_per_hour,
            max_recipients_per_day: self.max_recipients_per_day,
            max_submissions: self.max_submissions,
            max_delayed_send: self.max_delayed_send.0.as_secs(),
            undo_seconds: self.undo_time.0.as_secs(),
            default_quota_octets: self.default_quota.0,
            max_upload_octets_waiting: self.max_uploads_waiting.0,
            upload_hours: self.upload_time.0.as_secs().div_ceil(3600),
            max_push_subscriptions: self.max_push_subscriptions,
            max_sieve_run_ms: jmap_core::Limits::default().max_sieve_run_ms,
            trace_seconds: jmap_core::Limits::default().trace_seconds,
            max_traces: jmap_core::Limits::default().max_traces,
        }
    }
}

impl Delivery {
    pub fn core(&self) -> queue::Delivery {
        let rate = |rate: Rate| queue::QueueRate {
            count: rate.0.burst,
            per: rate.0.per,
        };
        let domain = queue::DomainLimits {
            at_once: self.transactions_per_domain,
            rate: self.rate_per_domain.map(rate),
        };
        let domains = self.domains.iter().map(|(name, of)| {
            // As the queue knows it; `read` has looked at it.
            let name = names::domain(name).unwrap_or_else(|_| name.to_ascii_lowercase());
            let limits = queue::DomainLimits {
                at_once: of.transactions.unwrap_or(domain.at_once),
                rate: of.rate.map(rate).or(domain.rate),
            };
            (name, limits)
        });
        queue::Delivery {
            retry: self.retry.iter().map(|wait| wait.0).collect(),
            expiry: self.expiry.0,
            delay_notice: self.delay_notice.0,
            at_once: self.transactions,
            octets_max: self.max_memory.0,
            domain,
            domains: domains.collect(),
        }
    }
}

impl Default for Store {
    fn default() -> Store {
        let options = store::engine::RocksOptions::default();
        Store {
            block_cache: Octets(options.block_cache_octets as u64),
            write_buffer: Octets(options.write_buffer_octets as u64),
        }
    }
}

impl Default for Search {
    fn default() -> Search {
        let options = store::search::SearchOptions::default();
        Search {
            shards: options.shards,
            writer_memory: Octets(options.writer_memory_octets as u64),
        }
    }
}

impl Default for Log {
    fn default() -> Log {
        Log {
            format: LogFormat::Text,
            level: LogLevel::Info,
        }
    }
}

impl Default for Trace {
    fn default() -> Trace {
        let core = jmap_core::Limits::default();
        Trace {
            keep: Span::seconds(core.trace_seconds),
            max_events: core.max_traces,
        }
    }
}

impl Default for Metrics {
    fn default() -> Metrics {
        let loopback = ["127.0.0.0/8", "::1/128"];
        Metrics {
            networks: loopback
                .iter()
                .filter_map(|network| network.parse().ok())
                .collect(),
        }
    }
}
