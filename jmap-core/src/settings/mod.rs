//! Settings: what is configured and isn't in the configuration file. The store has them, one row a key.
//!
//! Holds: what is set is sound together with everything else that is set, whoever changes something at the same time: a change asserts
//! that the settings are those that it was checked with. A stored setting that isn't sound, such as one of a newer version, counts for
//! nothing and keeps nobody from starting. One without which mail would go another way counts, and what it is about waits.
//! Other half: the binary knows what keys and texts mean ([`Meaning`]), and puts them into effect; `cluster` tells other nodes.

pub mod records;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use parking_lot::Mutex;
use store::{
    Record as _, decode_numbers,
    engine::{Assertion, Batch, Page},
    keys::{self, Subspace},
    numbers,
};

use self::records::SettingRecord;
use crate::{
    Caller, Core,
    access::{self, Operation},
    admin::{AUDIT_FIELDS_MAX, Deed},
};

/// Settings that are stored.
pub const SETTINGS_MAX: usize = 1000;
/// Octets of one value.
pub const TEXT_OCTETS_MAX: usize = 32 << 10;
/// Octets of a key.
pub const KEY_OCTETS_MAX: usize = 200;
/// The key of the counter that every change asserts and counts up.
pub(crate) const COUNTER: &str = "settings";
/// How often a change is tried when concurrent ones win.
const TRIES: usize = 10;

/// Values by key, each as TOML.
pub type Texts = BTreeMap<String, String>;

/// What can be configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// With tables in front: `smtp.idle-timeout`.
    pub key: String,
    pub description: String,
    /// What kind of value it has, in a word.
    pub kind: &'static str,
    /// As TOML; `None`: nothing is there by default.
    pub default: Option<String>,
    /// How such a value is written.
    pub example: String,
    pub place: Place,
}

/// Where a key belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The store; a change takes effect at once.
    Store,
    /// The configuration file alone, and why.
    File(&'static str),
}

/// A key that the configuration file has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pin {
    /// As TOML.
    pub text: String,
    /// The file, and the line.
    pub place: String,
}

/// Why a value can't be: a sentence that says what is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub key: String,
    pub why: String,
}

/// What keys and texts mean.
pub trait Meaning: Send + Sync + fmt::Debug + 'static {
    /// Everything that can be configured, in the order to show it.
    fn catalogue(&self) -> &[Known];

    /// The keys that the configuration file has; it wins.
    fn pins(&self) -> &BTreeMap<String, Pin>;

    /// The one spelling of a value that may stand alone. Errors: what is allowed.
    fn normal(&self, key: &str, text: &str) -> Result<String, String>;

    /// Whether these settings are sound together, and with the configuration file. `new`: keys that are being set, of which no more is
    /// put up with than a start needs to.
    fn check(&self, stored: &Texts, new: &BTreeSet<String>) -> Result<(), Fault>;

    /// Of settings that have passed the check: those that count, while what they are about waits, and for what.
    fn waits(&self, stored: &Texts) -> Vec<Fault>;

    /// Puts them into effect, in place of what was. They have passed the check.
    fn apply(&self, core: &Core, stored: &Texts);
}

/// A key as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// `None`: this version doesn't know the key.
    pub known: Option<Known>,
    pub key: String,
    /// What counts, as TOML; `None`: nothing is there.
    pub value: Option<String>,
    pub source: Source,
    /// What the store has, whether it counts or not.
    pub stored: Option<SettingRecord>,
    /// Why it doesn't count. Of one that does: why what it is about waits.
    pub fault: Option<String>,
}

/// Where the value that counts is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    Default,
    /// The configuration file; says where.
    File(String),
    Store,
}

/// What is to be changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    Change {
        set: Texts,
        unset: BTreeSet<String>,
    },
    /// The store is to have these, and no others; with `keep`, others stay.
    Equal {
        wanted: Texts,
        keep: bool,
    },
}

/// A row that a wish changes. `None`: there is no row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    pub key: String,
    pub before: Option<String>,
    pub after: Option<String>,
}

/// Why settings can't be read or changed: a sentence for whoever asked.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    #[error("only an administrator may do this")]
    Forbidden,
    #[error("there is no setting \"{0}\"")]
    Unknown(String),
    #[error("{key} can't be set here: {why}. It belongs into the configuration file")]
    InFile { key: String, why: &'static str },
    #[error("{key} can't be changed here: it stands in {place}, and the file wins")]
    Pinned { key: String, place: String },
    #[error("{}: {}", .0.key, .0.why)]
    Invalid(Fault),
    /// A named limit of this module is reached.
    #[error("{0}")]
    TooMuch(String),
    /// The process has nobody who knows what settings mean.
    #[error("settings can't be read here")]
    NoMeaning,
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl From<store::engine::EngineError> for SettingsError {
    fn from(error: store::engine::EngineError) -> Self {
        Self::Store(error.into())
    }
}

/// What a core has of settings.
#[derive(Debug, Default)]
pub(crate) struct Settings {
    meaning: OnceLock<Arc<dyn Meaning>>,
    /// One change, or one putting into effect, at a time.
    turn: tokio::sync::Mutex<()>,
    /// The counter with which they were last put into effect, and what was wrong with them.
    seen: Mutex<Option<(u64, Vec<Fault>)>>,
}

/// What the store has, at one moment.
struct Stored {
    counter: Option<Bytes>,
    /// `None`: the record can't be read.
    rows: BTreeMap<String, Option<SettingRecord>>,
}

impl Stored {
    fn texts(&self) -> Texts {
        let readable = |(key, record): (&String, &Option<SettingRecord>)| {
            let record = record.as_ref()?;
            Some((key.clone(), record.text.clone()))
        };
        self.rows.iter().filter_map(readable).collect()
    }

    fn count(&self) -> u64 {
        count_of(self.counter.as_ref())
    }
}

/// One that can't be read counts as none: what matters is that it becomes another one with each change.
fn count_of(counter: Option<&Bytes>) -> u64 {
    let numbers = counter.and_then(|bytes| decode_numbers::<1>(&keys::meta(COUNTER), bytes).ok());
    numbers.map_or(0, |[count]| count)
}

impl Core {
    /// Who knows what settings mean, from now on; the first call counts. What is stored takes effect with [`Core::load_settings`].
    pub fn understand_settings_with(&self, meaning: Arc<dyn Meaning>) {
        let _ = self.settings.meaning.set(meaning);
    }

    /// Puts what is stored into effect, as far as it is sound.
    pub async fn load_settings(&self) -> Result<(), store::Error> {
        let _turn = self.settings.turn.lock().await;
        self.load_settings_in_turn().await
    }

    async fn load_settings_in_turn(&self) -> Result<(), store::Error> {
        let Some(meaning) = self.settings.meaning.get() else {
            return Ok(());
        };
        let stored = self.stored_settings().await?;
        let (sound, mut faults) = sound(&**meaning, &stored);
        faults.extend(meaning.waits(&sound));
        meaning.apply(self, &sound);
        let count = stored.count();
        let before = self.settings.seen.lock().replace((count, faults.clone()));
        let is_new = |fault: &&Fault| {
            let told = before.as_ref().map(|(_, faults)| faults);
            !told.is_some_and(|told| told.contains(fault))
        };
        let waits = |fault: &Fault| sound.contains_key(&fault.key);
        for fault in faults.iter().filter(is_new) {
            let (key, why) = (&fault.key, &fault.why);
            match waits(fault) {
                true => tracing::error!(%key, %why, "what a stored setting is about waits"),
                false => tracing::warn!(%key, %why, "a stored setting counts for nothing"),
            }
        }
        Ok(())
    }

    /// Puts into effect what another node has changed.
    pub(crate) async fn look_at_settings(&self) -> Result<(), store::Error> {
        if self.settings.meaning.get().is_none() {
            return Ok(());
        }
        let counter = self.engine.get(&keys::meta(COUNTER)).await?;
        let count = count_of(counter.as_ref());
        let seen = self.settings.seen.lock().as_ref().map(|(seen, _)| *seen);
        match seen == Some(count) {
            true => Ok(()),
            false => self.load_settings().await,
        }
    }

    /// What of the store doesn't count, though it can be read, or waits: a sentence for each, by its key.
    pub(crate) async fn faulty_settings(&self) -> Result<Vec<(String, String)>, store::Error> {
        let Some(meaning) = self.settings.meaning.get() else {
            return Ok(Vec::new());
        };
        let stored = self.stored_settings().await?;
        let (sound, mut faults) = sound(&**meaning, &stored);
        let is_readable = |fault: &Fault| matches!(stored.rows.get(&fault.key), Some(Some(_)));
        faults.retain(is_readable);
        let told = |what: &'static str| {
            move |Fault { key, why }| {
                let sentence = format!("{key} {what}: {why}");
                (key, sentence)
            }
        };
        let waits = meaning.waits(&sound).into_iter();
        let waits = waits.map(told("counts, and what it is about waits"));
        let nothing = faults.into_iter().map(told("counts for nothing"));
        Ok(nothing.chain(waits).collect())
    }

    /// Everything that can be configured, as it is now; then what the store has and this version doesn't know.
    pub async fn settings(&self, who: &Caller) -> Result<Vec<Setting>, SettingsError> {
        may(who, Operation::SeeSettings)?;
        let meaning = self.meaning()?;
        let mut stored = self.stored_settings().await?;
        let (sound, mut faults) = sound(&**meaning, &stored);
        faults.extend(meaning.waits(&sound));
        let why = |key: &str| {
            let fault = faults.iter().find(|fault| fault.key == key);
            fault.map(|fault| fault.why.clone())
        };
        let mut settings = Vec::new();
        for known in meaning.catalogue() {
            let key = known.key.clone();
            let record = stored.rows.remove(&key).flatten();
            let (value, source) = match (meaning.pins().get(&key), sound.get(&key)) {
                (Some(pin), _) => (Some(pin.text.clone()), Source::File(pin.place.clone())),
                (None, Some(text)) => (Some(text.clone()), Source::Store),
                (None, None) => (known.default.clone(), Source::Default),
            };
            settings.push(Setting {
                fault: why(&key),
                known: Some(known.clone()),
                key,
                value,
                source,
                stored: record,
            });
        }
        settings.extend(stored.rows.into_iter().map(|(key, record)| Setting {
            known: None,
            fault: why(&key),
            key,
            value: None,
            source: Source::Default,
            stored: record,
        }));
        Ok(settings)
    }

    /// What a wish would change.
    pub async fn plan_settings(
        &self,
        who: &Caller,
        wish: &Wish,
    ) -> Result<Vec<Difference>, SettingsError> {
        may(who, Operation::ChangeSettings)?;
        let meaning = self.meaning()?;
        let stored = self.stored_settings().await?;
        differences(&**meaning, &stored, wish)
    }

    /// Fulfils a wish in one commit, and puts it into effect before it returns.
    pub async fn change_settings(
        &self,
        who: &Caller,
        wish: &Wish,
    ) -> Result<Vec<Difference>, SettingsError> {
        may(who, Operation::ChangeSettings)?;
        let meaning = self.meaning()?;
        let _turn = self.settings.turn.lock().await;
        for _ in 0..TRIES {
            let stored = self.stored_settings().await?;
            let differences = differences(&**meaning, &stored, wish)?;
            if differences.is_empty() {
                return Ok(differences);
            }
            let committed = self.commit_settings(who, &stored, &differences).await;
            if matches!(committed, Err(store::Error::Conflict)) {
                continue;
            }
            // Also after an error: with a database behind a network it may have happened.
            let loaded = self.load_settings_in_turn().await;
            if let Some(cluster) = &self.cluster {
                cluster.tell_settings();
            }
            committed?;
            loaded?;
            return Ok(differences);
        }
        Err(store::Error::Conflict.into())
    }

    async fn commit_settings(
        &self,
        who: &Caller,
        stored: &Stored,
        differences: &[Difference],
    ) -> Result<(), store::Error> {
        let counter = keys::meta(COUNTER);
        let mut batch = Batch::new();
        batch.assert(match &stored.counter {
            Some(found) => Assertion::Equals(counter.clone(), found.clone()),
            None => Assertion::Absent(counter.clone()),
        });
        batch.put(counter, numbers(&[stored.count().wrapping_add(1)]));
        for difference in differences {
            let key = keys::setting(&difference.key);
            let Some(text) = &difference.after else {
                batch.delete(key);
                continue;
            };
            let record = SettingRecord {
                text: text.clone(),
                who: who.name.clone(),
                at: self.clock.now().seconds(),
            };
            batch.put(key, record.to_bytes());
        }
        for some in differences.chunks(AUDIT_FIELDS_MAX) {
            let object = match some {
                [one] => &*one.key,
                _ => "settings",
            };
            let deed = some
                .iter()
                .cloned()
                .fold(Deed::new(Operation::ChangeSettings, object), |deed, of| {
                    deed.field(&of.key, of.before, of.after)
                });
            self.audit(&mut batch, who, deed);
        }
        Ok(self.engine.commit(batch).await?)
    }

    fn meaning(&self) -> Result<&Arc<dyn Meaning>, SettingsError> {
        self.settings.meaning.get().ok_or(SettingsError::NoMeaning)
    }

    /// The counter is read first: rows that are newer than it make a commit that asserts it fail.
    async fn stored_settings(&self) -> Result<Stored, store::Error> {
        let counter = self.engine.get(&keys::meta(COUNTER)).await?;
        // More than may be stored: what is there isn't believed to be in order.
        let page = Page::first(keys::all(Subspace::Setting), SETTINGS_MAX + 1);
        let mut rows = BTreeMap::new();
        for (key, bytes) in self.engine.scan(page).await? {
            if let Some(name) = keys::decode_setting(&key) {
                let record = SettingRecord::from_bytes(&key, &bytes).ok();
                rows.insert(name.to_owned(), record);
            }
        }
        Ok(Stored { counter, rows })
    }
}

fn may(who: &Caller, operation: Operation) -> Result<(), SettingsError> {
    access::may_run(who, operation).map_err(|_| SettingsError::Forbidden)
}

/// What of the stored settings counts, and what doesn't.
fn sound(meaning: &dyn Meaning, stored: &Stored) -> (Texts, Vec<Fault>) {
    let fault = |key: &str, why: &str| Fault {
        key: key.to_owned(),
        why: why.to_owned(),
    };
    let (mut sound, mut faults) = (Texts::new(), Vec::new());
    for (key, record) in &stored.rows {
        let known = meaning.catalogue().iter().find(|known| known.key == *key);
        let why = match (known.map(|known| known.place), record) {
            (None, _) => "this version has no such setting".to_owned(),
            (Some(Place::File(_)), _) => "it belongs into the configuration file".to_owned(),
            (Some(Place::Store), None) => "the record can't be read".to_owned(),
            (Some(Place::Store), Some(record)) => match meaning.normal(key, &record.text) {
                Err(why) => why,
                Ok(text) => {
                    if !meaning.pins().contains_key(key) {
                        sound.insert(key.clone(), text);
                    }
                    continue;
                }
            },
        };
        faults.push(fault(key, &why));
    }
    while let Err(found) = meaning.check(&sound, &BTreeSet::new()) {
        if sound.remove(&found.key).is_some() {
            faults.push(found);
            continue;
        }
        // It is said of a key that isn't stored: one that belongs to it is at fault, or all are.
        let table = |key: &str| key.split_once('.').map(|(table, _)| table.to_owned());
        let mut guilty: Vec<String> = sound
            .keys()
            .filter(|key| table(key) == table(&found.key))
            .cloned()
            .collect();
        if guilty.is_empty() {
            guilty = sound.keys().cloned().collect();
        }
        if guilty.is_empty() {
            break;
        }
        for key in guilty {
            sound.remove(&key);
            faults.push(fault(&key, &format!("{}: {}", found.key, found.why)));
        }
    }
    (sound, faults)
}

/// The rows that a wish changes. What comes of them is sound.
fn differences(
    meaning: &dyn Meaning,
    stored: &Stored,
    wish: &Wish,
) -> Result<Vec<Difference>, SettingsError> {
    let (set, unset) = match wish {
        Wish::Change { set, unset } => (set, unset.clone()),
        Wish::Equal { wanted, keep: true } => (wanted, BTreeSet::new()),
        Wish::Equal { wanted, .. } => {
            let others = stored.rows.keys().filter(|key| !wanted.contains_key(*key));
            (wanted, others.cloned().collect())
        }
    };
    let before = stored.texts();
    let mut differences = Vec::new();
    for (key, text) in set {
        let text = settable(meaning, key, text)?;
        if before.get(key) == Some(&text) {
            continue;
        }
        if let Some(pin) = meaning.pins().get(key) {
            return Err(SettingsError::Pinned {
                key: key.clone(),
                place: pin.place.clone(),
            });
        }
        differences.push(Difference {
            key: key.clone(),
            before: before.get(key).cloned(),
            after: Some(text),
        });
    }
    for key in unset.iter().filter(|key| !set.contains_key(*key)) {
        let is_known = meaning.catalogue().iter().any(|known| known.key == *key);
        match stored.rows.get(key) {
            Some(_) => differences.push(Difference {
                key: key.clone(),
                before: before.get(key).cloned(),
                after: None,
            }),
            None if is_known => {}
            None => return Err(SettingsError::Unknown(key.clone())),
        }
    }
    // What doesn't count already is no reason to refuse something else.
    let (mut after, _) = sound(meaning, stored);
    let mut count = stored.rows.len();
    for difference in &differences {
        let is_new = !stored.rows.contains_key(&difference.key);
        match &difference.after {
            Some(text) => {
                after.insert(difference.key.clone(), text.clone());
                count += usize::from(is_new);
            }
            None => {
                after.remove(&difference.key);
                count -= 1;
            }
        }
    }
    if count > SETTINGS_MAX && !differences.is_empty() {
        let why = format!("there are at most {SETTINGS_MAX} settings");
        return Err(SettingsError::TooMuch(why));
    }
    let set = differences.iter().filter(|of| of.after.is_some());
    let new = set.map(|of| of.key.clone()).collect();
    meaning
        .check(&after, &new)
        .map_err(SettingsError::Invalid)?;
    differences.sort_by(|one, other| one.key.cmp(&other.key));
    Ok(differences)
}

/// The one spelling of a value, if the key may be set at all.
fn settable(meaning: &dyn Meaning, key: &str, text: &str) -> Result<String, SettingsError> {
    let known = meaning.catalogue().iter().find(|known| known.key == key);
    match known.map(|known| known.place) {
        None => {
            let shown: String = key.chars().take(KEY_OCTETS_MAX).collect();
            return Err(SettingsError::Unknown(shown));
        }
        Some(Place::File(why)) => {
            let key = key.to_owned();
            return Err(SettingsError::InFile { key, why });
        }
        Some(Place::Store) => {}
    }
    let invalid = |why: String| {
        SettingsError::Invalid(Fault {
            key: key.to_owned(),
            why,
        })
    };
    let too_long = || invalid(format!("a value has at most {TEXT_OCTETS_MAX} octets"));
    if text.len() > TEXT_OCTETS_MAX {
        return Err(too_long());
    }
    let text = meaning.normal(key, text).map_err(invalid)?;
    match text.len() > TEXT_OCTETS_MAX {
        true => Err(too_long()),
        false => Ok(text),
    }
}
