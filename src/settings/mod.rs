//! What the keys and texts of settings mean: the configuration file and what is stored, put together, checked, and put into effect.
//!
//! Holds: the file wins. There is one configuration at any time; who works by it takes it from [`Live`] when they begin something, or is told by
//! a [`Live::on_change`]. What is in effect has passed the checks of a start.
//! Other half: `jmap_core::settings` stores them and decides who may; `wire` has what is told of changes.

pub mod catalogue;
mod file;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, fmt, sync::Arc};

use arc_swap::ArcSwap;
use jmap_core::{
    Core,
    settings::{Fault, Known, Meaning, Pin, Texts},
};
use parking_lot::Mutex;
use toml::{Table, Value};

pub use self::file::{of_file, to_file};

use crate::{
    config::{Config, NamedFile, PLACES, line_of_key, values::Hostname},
    delivery, directories, engine, publish, tls, wire,
};

/// What is waited for if its files can't be used: directories answer that they are away, mail for other servers stays in the queue, backups fail.
const WAITING: [&str; 5] = [
    "login.directory",
    "delivery.route",
    "delivery.ca-file",
    "backup.passphrase-file",
    "backup.s3-secret-access-key-file",
];

/// Is told of the configuration before and after a change.
type OnChange = Box<dyn Fn(&Config, &Config) + Send + Sync>;

/// The configuration as it is now.
pub struct Live {
    /// Of the file and the command line alone.
    base: Config,
    /// What the file has.
    table: Table,
    pins: BTreeMap<String, Pin>,
    current: Arc<ArcSwap<Config>>,
    told: Mutex<Vec<OnChange>>,
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live").finish_non_exhaustive()
    }
}

impl Live {
    /// `base`: what the file and the command line say.
    pub fn new(base: &Config) -> Arc<Live> {
        // It was read before, so it can be read.
        let mut table: Table = base.text.parse().unwrap_or_default();
        let hostname = table.get("hostname").and_then(Value::as_str);
        if hostname
            .is_some_and(|name| name.parse::<Hostname>().ok().as_ref() != Some(&base.hostname))
        {
            // The command line has put another one in its place: a quickstart's, which is as good as none.
            table.remove("hostname");
        }
        Arc::new(Live {
            pins: pins(base, &table),
            table,
            base: base.clone(),
            current: Arc::new(ArcSwap::from_pointee(base.clone())),
            told: Mutex::default(),
        })
    }

    /// Takes what the store has into the configuration, and follows its changes from now on.
    pub async fn begin(self: &Arc<Self>, core: &Core) -> Result<(), store::Error> {
        core.understand_settings_with(self.clone());
        core.load_settings().await
    }

    /// The configuration for those who look at it anew each time.
    pub fn current(&self) -> Arc<ArcSwap<Config>> {
        self.current.clone()
    }

    /// What the file and the command line say: their own mistakes are told at a start.
    pub fn base(&self) -> &Config {
        &self.base
    }

    /// The configuration of this moment.
    pub fn now(&self) -> Arc<Config> {
        self.current.load_full()
    }

    /// Calls this with every change from now on.
    pub fn on_change(&self, tell: impl Fn(&Config, &Config) + Send + Sync + 'static) {
        self.told.lock().push(Box::new(tell));
    }

    /// File and settings, put together. The first are those of `self`.
    fn merged(&self, stored: &Texts) -> Result<Config, Fault> {
        let mut table = self.table.clone();
        for (key, text) in stored {
            let fault = |why| Fault {
                key: key.clone(),
                why,
            };
            insert(&mut table, key, value_of(text).map_err(fault)?);
        }
        let merged = Config::of_table(table, self.base.file.as_deref());
        let mut merged = merged.map_err(|(key, why)| {
            // The values of both can be read one by one, so it is about what somebody has set.
            let first = || stored.keys().next().cloned().unwrap_or_default();
            let key = key.map_or_else(first, str::to_owned);
            Fault { key, why }
        })?;
        let mut base = self.base.clone();
        for &(service, ..) in PLACES {
            *merged.listen_mut(service) = base.listen_mut(service).take();
        }
        let folder = base.setting_files();
        for (key, file) in merged.files_mut() {
            if stored.contains_key(key) {
                file.confine(&folder);
            }
        }
        merged.text = base.text;
        merged.data = base.data;
        merged.setting_files = base.setting_files;
        merged.store = base.store;
        merged.search = base.search;
        merged.cluster = base.cluster;
        merged.log = base.log;
        merged.otlp = base.otlp;
        Ok(merged)
    }

    /// Puts a configuration into effect.
    fn put(&self, core: &Core, new: Config) {
        let new = Arc::new(new);
        let old = self.current.swap(new.clone());
        core.set_limits(new.core_limits());
        core.set_hostname(&new.hostname.0);
        core.set_bans(new.core_bans());
        if old.delivery != new.delivery {
            core.set_delivery(new.delivery.core());
        }
        core.sign_with(publish::signing(self.current()));
        if old.push != new.push {
            wire::push_by(core, &new.push);
        }
        if old.webhooks != new.webhooks {
            wire::webhooks_by(core, &new.webhooks);
        }
        if old != new {
            self.told.lock().iter().for_each(|tell| tell(&old, &new));
        }
    }
}

impl Meaning for Live {
    fn catalogue(&self) -> &[Known] {
        catalogue::catalogue()
    }

    fn pins(&self) -> &BTreeMap<String, Pin> {
        &self.pins
    }

    fn normal(&self, key: &str, text: &str) -> Result<String, String> {
        normal(key, text)
    }

    fn check(&self, stored: &Texts) -> Result<(), Fault> {
        let merged = self.merged(stored)?;
        if !engine::takes_values(&self.base, &merged) {
            let upload = merged.limits.max_size_upload.0 > merged.limits.max_size_message.0;
            let key = match upload {
                true => "limits.max-size-upload",
                false => "limits.max-size-message",
            };
            return Err(Fault {
                key: key.to_owned(),
                why: "MySQL and MariaDB were opened for smaller values, by what the configuration file says; put the larger limit in there".to_owned(),
            });
        }
        Ok(())
    }

    fn check_files(&self, stored: &Texts, named: &Texts) -> Result<(), Fault> {
        check_files(&self.merged(stored)?, named)
    }

    fn waits(&self, key: &str) -> bool {
        WAITING.contains(&key)
    }

    fn apply(&self, core: &Core, stored: &Texts) {
        match self.merged(stored) {
            Ok(config) => self.put(core, config),
            Err(fault) => {
                tracing::error!(key = %fault.key, why = %fault.why, "settings can't be put into effect");
            }
        }
    }
}

/// What the file has, key by key.
fn pins(base: &Config, table: &Table) -> BTreeMap<String, Pin> {
    let file = base.file.as_deref();
    let file = file.map(|file| file.display().to_string());
    let file = file.unwrap_or_default();
    let mut pins = BTreeMap::new();
    for known in catalogue::catalogue() {
        let Some(value) = lookup(table, &known.key) else {
            continue;
        };
        // Tables of their own, such as `[[delivery.route]]`, have no line that sets the key.
        let begins = |line: &str| {
            let table = line.trim().trim_start_matches('[');
            line.trim().starts_with('[') && table.starts_with(&known.key)
        };
        let line = line_of_key(&base.text, &known.key)
            .or_else(|| base.text.lines().position(begins).map(|at| at + 1));
        let place = match line {
            Some(line) => format!("{file}, line {line}"),
            None => file.clone(),
        };
        pins.insert(
            known.key.clone(),
            Pin {
                text: shown(base, &known.key, value),
                place,
            },
        );
    }
    pins
}

/// A value as it may be shown: URLs may have passwords in them.
fn shown(base: &Config, key: &str, value: &Value) -> String {
    let without_password = match key {
        "store.url" => base.store.url.as_ref().map(|url| format!("{url:?}")),
        "cluster.notices" => base.cluster.notices.as_ref().map(|url| format!("{url:?}")),
        _ => None,
    };
    match without_password {
        Some(url) => Value::String(url).to_string(),
        None => value.to_string(),
    }
}

/// What a start reads of files. Those alone that settings name: the file's own mistakes are told when the server starts.
fn check_files(config: &Config, stored: &Texts) -> Result<(), Fault> {
    let has = |key: &str| stored.contains_key(key);
    let fault = |key: &str, why: String| Fault {
        key: key.to_owned(),
        why,
    };
    if has("tls.certificate") || has("tls.key") {
        for pair in config.tls.pairs() {
            tls::files::read(&pair).map_err(|error| fault("tls.certificate", error.to_string()))?;
        }
    }
    if let Some(key) = stored.keys().find(|key| key.starts_with("tls.acme")) {
        tls::acme::settings(config).map_err(|error| fault(key, error.to_string()))?;
    }
    if has("delivery.ca-file") {
        delivery::roots(config).map_err(|error| fault("delivery.ca-file", error.to_string()))?;
    }
    if has("delivery.route") {
        delivery::routes(config).map_err(|error| fault("delivery.route", error.to_string()))?;
    }
    if has("login.directory") {
        directories::chosen(config).map_err(|why| fault("login.directory", why))?;
    }
    if has("dns.trust-anchor") {
        wire::try_dns(config).map_err(|why| fault("dns.trust-anchor", why))?;
    }
    let backup = &config.backup;
    for (key, file) in [
        ("backup.passphrase-file", &backup.passphrase_file),
        (
            "backup.s3-secret-access-key-file",
            &backup.s3_secret_access_key_file,
        ),
    ] {
        if let (true, Some(file)) = (has(key), file) {
            delivery::password_of(file)
                .map_err(|error| fault(key, format!("{}: {error}", file.path().display())))?;
        }
    }
    Ok(())
}

/// The one spelling of a value. What is no TOML is a text, so that nobody has to write quotation marks within others.
pub fn normal(key: &str, text: &str) -> Result<String, String> {
    let as_toml = value_of(text).and_then(|value| spelled(key, value));
    match as_toml {
        Ok(text) => Ok(text),
        Err(why) => {
            let is_text = !text.trim_start().starts_with(['"', '\'', '[', '{']);
            let as_text = Value::String(text.trim().to_owned());
            match is_text.then(|| spelled(key, as_text)) {
                Some(Ok(text)) => Ok(text),
                // What the text lacks says more than that it is no TOML.
                Some(Err(of_text)) if value_of(text).is_err() => Err(of_text),
                _ => Err(why),
            }
        }
    }
}

/// How the configuration itself writes a value, if it takes it.
fn spelled(key: &str, value: Value) -> Result<String, String> {
    let mut table = Table::new();
    insert(&mut table, key, value.clone());
    let config = table.try_into::<Config>();
    let mut config = config.map_err(|error| error.message().replace('\n', "; "))?;
    let relative = |(of, file): &(&str, &mut NamedFile)| *of == key && file.path().is_relative();
    if let Some((_, file)) = config.files_mut().into_iter().find(relative) {
        let path = file.path().display();
        return Err(format!(
            "\"{path}\": the path of a file begins with a slash"
        ));
    }
    let written = Value::try_from(config).ok();
    let written = written.and_then(|all| lookup(all.as_table()?, key).cloned());
    Ok(written.unwrap_or(value).to_string())
}

/// A value on its own.
pub fn value_of(text: &str) -> Result<Value, String> {
    let table: Result<Table, _> = format!("value = {text}").parse();
    let mut table = table.map_err(|error| error.message().replace('\n', "; "))?;
    match (table.remove("value"), table.is_empty()) {
        (Some(value), true) => Ok(value),
        _ => Err("this is more than one value".to_owned()),
    }
}

/// The value of a key with tables in front.
pub fn lookup<'t>(table: &'t Table, key: &str) -> Option<&'t Value> {
    match key.split_once('.') {
        None => table.get(key),
        Some((first, rest)) => lookup(table.get(first)?.as_table()?, rest),
    }
}

/// Sets the value of a key with tables in front.
fn insert(table: &mut Table, key: &str, value: Value) {
    match key.split_once('.') {
        None => drop(table.insert(key.to_owned(), value)),
        Some((first, rest)) => {
            let inner = table
                .entry(first)
                .or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(inner) = inner {
                insert(inner, rest, value);
            }
        }
    }
}
