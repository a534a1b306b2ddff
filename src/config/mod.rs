//! The configuration: one TOML file, typed.
//!
//! Holds: an unknown key or a wrong value is an error that names file, line and key; every key has a default, and
//! `posthorn.example.toml` has them all.
//! Other half: `wire`, which builds the server from it.

mod acme;
mod alerts;
mod backup;
mod bans;
mod blobs;
mod cluster;
mod limits;
mod listeners;
mod log;
mod login;
mod mail;
mod named_file;
mod oauth;
mod otlp;
mod read;
mod store;
#[cfg(test)]
mod tests;
pub mod tls;
pub mod values;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

pub use self::read::line_of_key;
pub use self::{
    acme::DnsAlgorithm,
    alerts::Alerts,
    backup::Backup,
    bans::Bans,
    blobs::{BlobPlace, Blobs, Encryption, EncryptionKey},
    cluster::{Cluster, NoticesUrl},
    limits::Limits,
    listeners::{Http, Https, ImapListener, MailListener, ManageSieve, PlaintextLogins, Pop3},
    log::{Log, LogFormat, LogLevel, LogTarget},
    login::{Directory, DirectoryKind, Login},
    mail::{
        Authentication, Delivery, Dns, Family, MtaSts, MtaStsMode, OnTemporaryError, Reports,
        Route, RouteProtocol, RouteTls, Signing, Treatment,
    },
    named_file::NamedFile,
    oauth::OAuth,
    otlp::Otlp,
    store::{DatabaseUrl, Search, Store},
    tls::{CertificatePair, Tls},
};
use values::{Hostname, Listen, Network, Octets, Span, Uri};

/// Everything that can be configured.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Config {
    /// The file that all of it was read from.
    #[serde(skip)]
    pub file: Option<PathBuf>,
    /// What is in there.
    #[serde(skip)]
    pub text: Arc<str>,
    /// The name that the server goes by.
    pub hostname: Hostname,
    /// Where users reach whoever runs the server: a URI, such as `mailto:postmaster@example.org`. IMAP clients can ask for it.
    pub admin_contact: Option<Uri>,
    /// What is told of the server in a few words, to IMAP clients that ask for it.
    pub comment: Option<String>,
    /// The folder of everything that is kept.
    pub data: PathBuf,
    /// Where the files lie that settings in the store name. See [`Config::setting_files`].
    pub setting_files: Option<PathBuf>,
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
    pub oauth: OAuth,
    pub tls: Tls,
    pub limits: Limits,
    pub store: Store,
    pub search: Search,
    pub cluster: Cluster,
    pub backup: Backup,
    pub log: Log,
    pub otlp: Otlp,
    pub trace: Trace,
    pub undelete: Undelete,
    pub push: Push,
    pub webhooks: Webhooks,
    pub alerts: Alerts,
    pub metrics: Metrics,
    pub bans: Bans,
    pub login: Login,
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

/// Emails that were deleted, and can be brought back.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Undelete {
    /// For how long; 0: they can't.
    pub keep: Span,
    /// Of one account; of more, the oldest go.
    pub max_octets: Octets,
}

impl Default for Undelete {
    fn default() -> Undelete {
        Undelete {
            keep: Span::seconds(30 * 86_400),
            max_octets: Octets(jmap_core::Limits::default().max_undelete_octets),
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Push {
    /// Push subscriptions may name hosts of the local network, and plain http.
    pub private_services: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Webhooks {
    /// Webhooks may name hosts of the local network, and plain http.
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
pub const PLACES: &[(Service, &[&str], u16)] = &[
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

impl Config {
    /// The configuration without a file.
    pub fn without_file() -> Config {
        Config::default()
    }

    /// The folder in which the files lie that settings in the store name.
    pub fn setting_files(&self) -> Arc<Path> {
        let folder = match &self.setting_files {
            Some(folder) => folder.clone(),
            None => self.data.join("files"),
        };
        std::path::absolute(&folder).unwrap_or(folder).into()
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

    pub fn listen_mut(&mut self, service: Service) -> &mut Option<Vec<Listen>> {
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
            file: None,
            text: Arc::default(),
            hostname: Hostname("localhost".to_owned()),
            admin_contact: None,
            comment: None,
            data: PathBuf::from("data"),
            setting_files: None,
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
            oauth: OAuth::default(),
            tls: Tls::default(),
            limits: Limits::default(),
            store: Store::default(),
            search: Search::default(),
            cluster: Cluster::default(),
            backup: Backup::default(),
            log: Log::default(),
            otlp: Otlp::default(),
            trace: Trace::default(),
            undelete: Undelete::default(),
            push: Push::default(),
            webhooks: Webhooks::default(),
            alerts: Alerts::default(),
            metrics: Metrics::default(),
            bans: Bans::default(),
            login: Login::default(),
        };
        config.fill();
        config
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
