//! Reading the file: what is wrong is said with file, line and key.
//!
//! Holds: relative paths in the file are meant from the file's folder.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

use jmap_core::directory::names;
use store::engine::sql::SqlKind;

use super::{Config, NamedFile, PLACES, Service, values::Listen};

/// Longest file that is read, in octets.
const FILE_OCTETS_MAX: u64 = 1 << 20;

/// Why there is no configuration: a sentence for the operator.
#[derive(Debug)]
pub struct ConfigError {
    file: PathBuf,
    /// From 1.
    line: Option<usize>,
    key: Option<String>,
    why: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, ", line {line}")?;
        }
        if let Some(key) = &self.key {
            write!(f, ", {key}")?;
        }
        write!(f, ": {}", self.why)
    }
}

impl std::error::Error for ConfigError {}

impl Config {
    /// Reads a file.
    pub fn read(file: &Path) -> Result<Config, ConfigError> {
        let failed = |error: io::Error| ConfigError {
            file: file.to_owned(),
            line: None,
            key: None,
            why: format!("the file can't be read: {error}"),
        };
        if fs::metadata(file).map_err(failed)?.len() > FILE_OCTETS_MAX {
            return Err(failed(io::Error::other("it is larger than 1 MiB")));
        }
        let text = fs::read_to_string(file).map_err(failed)?;
        let mut config = Config::parse(&text, file)?;
        config.file = Some(file.to_owned());
        config.text = text.into();
        config.find_files();
        Ok(config)
    }

    /// Relative paths are meant from the folder of the file.
    fn find_files(&mut self) {
        let folder = self.file.as_deref().and_then(Path::parent);
        let Some(folder) = folder.map(Path::to_owned) else {
            return;
        };
        self.data = folder.join(&self.data);
        for path in self.own_paths_mut() {
            *path = folder.join(&*path);
        }
        for (_, file) in self.files_mut() {
            file.mean_from(&folder);
        }
    }

    /// The files that keys name which settings can have as well, with the key.
    pub fn files_mut(&mut self) -> Vec<(&'static str, &mut NamedFile)> {
        let files = [
            ("dns.trust-anchor", &mut self.dns.trust_anchor),
            ("delivery.ca-file", &mut self.delivery.ca_file),
            ("backup.passphrase-file", &mut self.backup.passphrase_file),
            (
                "backup.s3-secret-access-key-file",
                &mut self.backup.s3_secret_access_key_file,
            ),
        ];
        let routes = self.delivery.route.iter_mut();
        let passwords = routes.map(|route| ("delivery.route", &mut route.password_file));
        let all = files.into_iter().chain(passwords);
        all.filter_map(|(key, file)| Some((key, file.as_mut()?)))
            .chain(self.tls.files_mut())
            .chain(self.login.files_mut())
            .collect()
    }

    /// What keys name that are in the file alone.
    fn own_paths_mut(&mut self) -> Vec<&mut PathBuf> {
        let paths = [
            &mut self.setting_files,
            &mut self.cluster.notices_password_file,
            &mut self.store.password_file,
            &mut self.store.blobs.secret_access_key_file,
            &mut self.log.file,
            &mut self.otlp.authorization_file,
        ];
        let keys = self.store.encryption.keys.iter_mut();
        let keys = keys.map(|key| &mut key.file);
        paths.into_iter().chain(keys).flatten().collect()
    }

    /// Made of tables that need not be those of a file. Errors: the key, where it is known, and what is wrong.
    pub fn of_table(
        table: toml::Table,
        file: Option<&Path>,
    ) -> Result<Config, (Option<&'static str>, String)> {
        let config = table.try_into::<Config>();
        let mut config = config.map_err(|error| (None, error.message().replace('\n', "; ")))?;
        config.fill();
        config.check().map_err(|(key, why)| (Some(key), why))?;
        config.file = file.map(Path::to_owned);
        config.find_files();
        Ok(config)
    }

    /// `file` is for errors alone.
    pub fn parse(text: &str, file: &Path) -> Result<Config, ConfigError> {
        let mut config: Config = toml::from_str(text).map_err(|error| {
            let at = error.span().map(|span| span.start);
            ConfigError {
                file: file.to_owned(),
                line: at.map(|at| line_of(text, at)),
                key: at.and_then(|at| key_at(text, at)),
                why: error.message().replace('\n', "; "),
            }
        })?;
        config.fill();
        config.check().map_err(|(key, why)| ConfigError {
            line: line_of_key(text, key),
            file: file.to_owned(),
            key: Some(key.to_owned()),
            why,
        })?;
        Ok(config)
    }

    /// What no type of one value can say. Returns the key and what is wrong about it.
    fn check(&mut self) -> Result<(), (&'static str, String)> {
        self.tls.check()?;
        self.bans.check()?;
        self.login.check()?;
        for &(service, _, _) in PLACES {
            let places = self.listen_mut(service).iter().flatten();
            let has_unix = places
                .into_iter()
                .any(|place| matches!(place, Listen::Unix(_)));
            if has_unix && service != Service::Lmtp {
                return Err((
                    listen_key(service),
                    "only lmtp listens on Unix sockets".into(),
                ));
            }
        }
        if self.search.shards == 0 {
            return Err(("search.shards", "there is at least one shard".into()));
        }
        self.cluster.check()?;
        self.check_store()?;
        self.check_delivery()?;
        self.check_client()?;
        if self.dns.timeout.0.is_zero() {
            return Err(("dns.timeout", "nobody answers in no time".into()));
        }
        if self.mta_sts.max_age.0.is_zero() {
            return Err((
                "mta-sts.max-age",
                "a policy is remembered for some time".into(),
            ));
        }
        if self.authentication.timeout.0.is_zero() {
            return Err(("authentication.timeout", "it takes some time".into()));
        }
        let is_address = |text: &str| jmap_core::directory::names::address(text).is_ok();
        if !self.reports.contact.is_empty() && !is_address(&self.reports.contact) {
            return Err(("reports.contact", "this is not an address".into()));
        }
        if !self.reports.addresses.iter().all(|text| is_address(text)) {
            return Err(("reports.addresses", "one of them is not an address".into()));
        }
        Ok(())
    }
}

impl Config {
    fn check_store(&self) -> Result<(), (&'static str, String)> {
        let of = &self.store;
        if let Some(url) = &of.url {
            SqlKind::of(&url.0, Path::new("")).map_err(|error| ("store.url", error.to_string()))?;
        }
        if of.password_file.is_some() && of.url.is_none() {
            return Err(("store.password-file", "it needs store.url as well".into()));
        }
        if of.connections == 0 {
            return Err(("store.connections", "there is at least one".into()));
        }
        if of.timeout.0.is_zero() {
            return Err(("store.timeout", "nobody answers in no time".into()));
        }
        of.blobs.check()?;
        of.encryption.check()
    }

    fn check_delivery(&self) -> Result<(), (&'static str, String)> {
        let of = &self.delivery;
        if of.retry.is_empty() || of.retry.iter().any(|wait| wait.0.is_zero()) {
            return Err((
                "delivery.retry",
                "there is at least one wait, and none is nothing".into(),
            ));
        }
        let counts = [
            ("delivery.transactions", of.transactions),
            (
                "delivery.transactions-per-domain",
                of.transactions_per_domain,
            ),
        ];
        for (key, count) in counts {
            if count == 0 {
                return Err((key, "there is at least one".into()));
            }
        }
        for (name, domain) in &of.domains {
            if jmap_core::directory::names::domain(name).is_err() {
                return Err(("delivery.domains", format!("\"{name}\" is not a domain")));
            }
            if domain.transactions == Some(0) {
                return Err((
                    "delivery.domains",
                    format!("{name}: there is at least one transaction"),
                ));
            }
        }
        Ok(())
    }

    /// The routes; their domains are brought into the form in which they are compared.
    fn check_client(&mut self) -> Result<(), (&'static str, String)> {
        let delivery = &mut self.delivery;
        if delivery.families.is_empty() {
            return Err(("delivery.families", "nobody can be reached without".into()));
        }
        if delivery.messages_per_connection == 0 {
            return Err((
                "delivery.messages-per-connection",
                "there is at least one".into(),
            ));
        }
        if delivery.recipients_per_message == 0 {
            return Err((
                "delivery.recipients-per-message",
                "there is at least one".into(),
            ));
        }
        for route in &mut delivery.route {
            if route.domains.is_empty() {
                return Err((
                    "delivery.route",
                    "a route has domains; \"*\" is all others".into(),
                ));
            }
            for domain in &mut route.domains {
                let (star, name) = match domain.strip_prefix("*.") {
                    Some(name) => ("*.", name),
                    None => ("", domain.as_str()),
                };
                if name == "*" {
                    continue;
                }
                *domain = names::domain(name)
                    .map(|name| format!("{star}{name}"))
                    .map_err(|error| {
                        (
                            "delivery.route",
                            format!("\"{domain}\" is not a domain: {error}"),
                        )
                    })?;
            }
            if route.user.is_some() != route.password_file.is_some() {
                return Err((
                    "delivery.route",
                    "user and password-file belong together".into(),
                ));
            }
            if route.host.is_empty() {
                return Err(("delivery.route", "a route has a host".into()));
            }
        }
        Ok(())
    }
}

fn listen_key(service: Service) -> &'static str {
    match service {
        Service::Smtp => "smtp.listen",
        Service::Submission => "submission.listen",
        Service::Submissions => "submissions.listen",
        Service::Lmtp => "lmtp.listen",
        Service::Imap => "imap.listen",
        Service::Imaps => "imaps.listen",
        Service::Pop3 => "pop3.listen",
        Service::Pop3s => "pop3s.listen",
        Service::ManageSieve => "managesieve.listen",
        Service::Http => "http.listen",
        Service::Https => "https.listen",
    }
}

fn line_of(text: &str, at: usize) -> usize {
    let before = text.as_bytes().get(..at).unwrap_or(text.as_bytes());
    before.iter().filter(|&&b| b == b'\n').count() + 1
}

/// The line that sets `key`.
pub fn line_of_key(text: &str, key: &str) -> Option<usize> {
    keys(text)
        .find(|(_, found)| found == key)
        .map(|(line, _)| line)
}

/// The key whose value or name is at this place: of the lines up to it, the last that sets one.
fn key_at(text: &str, at: usize) -> Option<String> {
    let line = line_of(text, at);
    keys(text)
        .take_while(|(of, _)| *of <= line)
        .last()
        .map(|(_, key)| key)
}

/// The keys that are set, with tables in front, and their lines.
fn keys(text: &str) -> impl Iterator<Item = (usize, String)> {
    let mut table = String::new();
    text.lines().enumerate().filter_map(move |(number, line)| {
        let line = line.trim();
        let is_name = |name: &str| {
            !name.is_empty()
                && name
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        };
        if let Some(name) = line
            .strip_prefix("[[")
            .or_else(|| line.strip_prefix('['))
            .and_then(|rest| rest.split(']').next())
            && is_name(name.trim())
        {
            table = name.trim().to_owned();
            return Some((number + 1, table.clone()));
        }
        let name = line.split('=').next()?.trim();
        if !line.contains('=') || !is_name(name) {
            return None;
        }
        let key = if table.is_empty() {
            name.to_owned()
        } else {
            format!("{table}.{name}")
        };
        Some((number + 1, key))
    })
}
