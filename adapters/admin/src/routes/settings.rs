//! Settings: what can be configured, what counts, where that is from; one by one, or as a file.
//!
//! Holds: the core checks a change together with everything else that is set, and puts it into effect before it is answered. No value is a
//! secret: those are in files, which are named and not shown.
//! Other half: `jmap_core::settings`; `Host` reads and writes files.

use std::collections::{BTreeMap, BTreeSet};

use http::Method;
use jmap_core::{
    access::Operation,
    settings::{
        Difference, Place, SETTINGS_MAX, Setting as CoreSetting, SettingsError, Source, Texts, Wish,
    },
};
use serde_json::{Value, json};

use super::{CURSOR, LIMIT, handler};
use crate::{
    describe::{Described as _, Schemas, choice, object},
    page::{self, Page},
    problem::{Kind, Problem},
    request::Request,
    table::{Answer, Outcome, Parameter, Route},
};

choice! {
    /// Where the value that counts is from.
    SettingSource {
        Default = "default",
        File = "file",
        Store = "store",
    }
}

object! {
    answer
    /// A key of the configuration. Values are as TOML has them.
    Setting {
        /// With tables in front: `smtp.idle-timeout`.
        key: String,
        description: String,
        /// What kind of value it has, in a word; empty: this version doesn't know the key.
        kind: String,
        /// What counts; null: nothing is there.
        value: Option<String>,
        source: SettingSource,
        /// Where in the configuration file.
        place: Option<String>,
        default: Option<String>,
        /// How such a value is written.
        example: String,
        /// Why it can be in the configuration file alone.
        file_alone: Option<String>,
        /// It can be set here: nothing of the configuration file keeps it from that.
        changeable: bool,
        /// What the store has, whether it counts or not; by whom, and when.
        stored: Option<String>,
        set_by: Option<String>,
        set_at: Option<String> = {"format": "date-time"},
        /// Why what the store has doesn't count; where it counts (`source` is `store`), why what it is about waits.
        fault: Option<String>,
    }
}

object! {
    request
    /// A value for a setting.
    NewValue {
        /// As TOML; around a text, quotation marks may be left out.
        value: String = {"maxLength": 32768},
    }
}

object! {
    answer
    /// A key whose stored value changes.
    SettingChange {
        key: String,
        /// What the store had; null: nothing.
        before: Option<String>,
        after: Option<String>,
    }
}

object! {
    answer
    /// What has changed, or would.
    SettingChanges {
        changes: Vec<SettingChange>,
    }
}

object! {
    answer
    /// Settings as a file in the format of the configuration.
    SettingsFile {
        toml: String,
    }
}

object! {
    request
    /// The settings that the store is to have.
    WantedSettings {
        /// In the format of the configuration file.
        toml: String,
        /// What the file doesn't have stays as it is; else it is unset.
        keep: Option<bool>,
    }
}

const TAG: &str = "Settings";
const FILTERS: &[Parameter] = &[
    Parameter {
        name: "q",
        about: "Only those that have this text in their key, description or value, in any letter case.",
        schema: super::text,
    },
    Parameter {
        name: "changed",
        about: "Only those that differ from the default, or don't count.",
        schema: super::flag,
    },
];
const PLAN: Parameter = Parameter {
    name: "plan",
    about: "Only says what would change.",
    schema: || json!({"type": "boolean", "default": false}),
};
const ALL: Parameter = Parameter {
    name: "all",
    about: "With all other settings as comments.",
    schema: || json!({"type": "boolean", "default": false}),
};

pub fn routes() -> Vec<Route> {
    let refused = [Kind::InvalidValue, Kind::LimitReached];
    let changes = |route: Route| {
        route
            .may_fail(&refused)
            .may_fail(&[Kind::NotFound])
            .answers(SettingChanges::schema)
    };
    let read = |method, path, id, summary, run| {
        Route::new(
            method,
            path,
            (TAG, id),
            summary,
            Operation::SeeSettings,
            run,
        )
    };
    let change = |method, path, id, summary, run| {
        Route::new(
            method,
            path,
            (TAG, id),
            summary,
            Operation::ChangeSettings,
            run,
        )
    };
    vec![
        read(
            Method::GET,
            "/settings",
            "listSettings",
            "Lists every key of the configuration with its value, and where that is from",
            handler!(list),
        )
        .query(&[CURSOR, LIMIT])
        .query(FILTERS)
        .answers(|schemas| page::schema::<Setting>(schemas, true)),
        changes(
            change(
                Method::PATCH,
                "/settings",
                "changeSettings",
                "Sets several keys in one step, and unsets those that are null; all take effect at once",
                handler!(change_many),
            )
            .query(&[PLAN])
            .body(patch),
        ),
        read(
            Method::GET,
            "/settings/{setting}",
            "getSetting",
            "Shows a key: what it means, its value, and who has set it",
            handler!(get),
        )
        .answers(Setting::schema),
        change(
            Method::PUT,
            "/settings/{setting}",
            "setSetting",
            "Sets a key; it takes effect at once",
            handler!(set),
        )
        .body(NewValue::schema)
        .may_fail(&refused)
        .answers(Setting::schema),
        change(
            Method::DELETE,
            "/settings/{setting}",
            "unsetSetting",
            "Takes away what was set, so that the default counts",
            handler!(unset),
        )
        .may_fail(&refused),
        read(
            Method::GET,
            "/settings-file",
            "exportSettings",
            "Shows what the store has as a file, for those who keep configuration in git",
            handler!(export),
        )
        .query(&[ALL])
        .answers(SettingsFile::schema),
        changes(
            change(
                Method::POST,
                "/settings-file/plan",
                "planSettings",
                "Says what applying a file would change",
                handler!(plan),
            )
            .body(WantedSettings::schema),
        ),
        changes(
            change(
                Method::POST,
                "/settings-file/apply",
                "applySettings",
                "Makes the store have what a file has, in one step",
                handler!(apply),
            )
            .body(WantedSettings::schema),
        ),
    ]
}

/// The schema of a merge patch over all settings.
fn patch(_: &mut Schemas) -> Value {
    json!({
        "type": "object",
        "description": "By key: a value as TOML, or null to unset it.",
        "additionalProperties": {"type": ["string", "null"]},
        "maxProperties": SETTINGS_MAX,
    })
}

fn shown(of: CoreSetting) -> Setting {
    let (source, place) = match of.source {
        Source::Default => (SettingSource::Default, None),
        Source::File(place) => (SettingSource::File, Some(place)),
        Source::Store => (SettingSource::Store, None),
    };
    let file_alone = of.known.as_ref().and_then(|known| match known.place {
        Place::File(why) => Some(why.to_owned()),
        Place::Store => None,
    });
    let (stored, set_by, set_at) = match of.stored {
        Some(record) => (Some(record.text), Some(record.who), Some(record.at)),
        None => (None, None, None),
    };
    let changeable = of.known.is_some() && file_alone.is_none() && place.is_none();
    let (description, kind, default, example) = match of.known {
        Some(known) => (known.description, known.kind, known.default, known.example),
        None => (String::new(), "", None, String::new()),
    };
    Setting {
        key: of.key,
        description,
        kind: kind.to_owned(),
        value: of.value,
        source,
        place,
        default,
        example,
        file_alone,
        changeable,
        stored,
        set_by,
        set_at: set_at.map(super::date_text),
        fault: of.fault,
    }
}

impl Setting {
    fn is_changed(&self) -> bool {
        self.fault.is_some() || self.stored.is_some() || self.value != self.default
    }

    /// `asked`: in lower case.
    fn has(&self, asked: &str) -> bool {
        let value = self.value.as_deref().unwrap_or_default();
        [&*self.key, &*self.description, value]
            .iter()
            .any(|text| super::has(text, asked))
    }
}

async fn list(request: &Request) -> Outcome {
    let asked = request.asked("q").map(str::to_lowercase);
    let changed = request.asked_as::<bool>("changed")?.unwrap_or(false);
    let all = request.core.settings(&request.who).await?;
    // In the order of the catalogue, which stays the same.
    let mut settings: Vec<(usize, Setting)> = all.into_iter().map(shown).enumerate().collect();
    settings.retain(|(_, setting)| {
        asked.as_deref().is_none_or(|asked| setting.has(asked))
            && (!changed || setting.is_changed())
    });
    let page = Page::of(request, settings, |(at, setting)| {
        (format!("{at:06}"), setting.key.clone())
    })?;
    let items = page.items.iter().map(|(_, setting)| json!(setting));
    Ok(Answer::ok(page::json_of(
        items.collect(),
        page.next,
        Some(page.total),
    )))
}

async fn one(request: &Request, key: &str) -> Result<Setting, Problem> {
    let all = request.core.settings(&request.who).await?;
    let found = all.into_iter().find(|setting| setting.key == key);
    Ok(shown(
        found.ok_or_else(|| SettingsError::Unknown(key.to_owned()))?,
    ))
}

async fn get(request: &Request) -> Outcome {
    Ok(Answer::ok(json!(
        one(request, request.text("setting")?).await?
    )))
}

fn changes(of: Vec<Difference>) -> Answer {
    let change = |of: Difference| SettingChange {
        key: of.key,
        before: of.before,
        after: of.after,
    };
    Answer::ok(json!(SettingChanges {
        changes: of.into_iter().map(change).collect(),
    }))
}

/// Does what is wished, or says what that would change.
async fn wish(request: &Request, wish: Wish, is_plan: bool) -> Outcome {
    let (core, who) = (&request.core, &request.who);
    Ok(changes(match is_plan {
        true => core.plan_settings(who, &wish).await?,
        false => core.change_settings(who, &wish).await?,
    }))
}

async fn set(request: &Request) -> Outcome {
    let new: NewValue = request.read()?;
    let key = request.text("setting")?;
    let set = Texts::from([(key.to_owned(), new.value)]);
    let unset = BTreeSet::new();
    wish(request, Wish::Change { set, unset }, false).await?;
    Ok(Answer::ok(json!(one(request, key).await?)))
}

async fn unset(request: &Request) -> Outcome {
    let unset = BTreeSet::from([request.text("setting")?.to_owned()]);
    let set = Texts::new();
    wish(request, Wish::Change { set, unset }, false).await?;
    Ok(Answer::nothing())
}

async fn change_many(request: &Request) -> Outcome {
    let asked: BTreeMap<String, Option<String>> = request.read()?;
    let is_plan = request.asked_as::<bool>("plan")?.unwrap_or(false);
    if asked.len() > SETTINGS_MAX {
        let why = format!("There are at most {SETTINGS_MAX} settings.");
        return Err(Problem::new(Kind::LimitReached, why));
    }
    let (mut set, mut unset) = (Texts::new(), BTreeSet::new());
    for (key, value) in asked {
        match value {
            Some(text) => drop(set.insert(key, text)),
            None => drop(unset.insert(key)),
        }
    }
    wish(request, Wish::Change { set, unset }, is_plan).await
}

async fn export(request: &Request) -> Outcome {
    let all = request.asked_as::<bool>("all")?.unwrap_or(false);
    let settings = request.core.settings(&request.who).await?;
    let toml = request.site.host.file_of_settings(&settings, all);
    Ok(Answer::ok(json!(SettingsFile { toml })))
}

async fn plan(request: &Request) -> Outcome {
    wanted(request, true).await
}

async fn apply(request: &Request) -> Outcome {
    wanted(request, false).await
}

async fn wanted(request: &Request, is_plan: bool) -> Outcome {
    let asked: WantedSettings = request.read()?;
    let keep = asked.keep.unwrap_or(false);
    // Who may not is told so, and not what is wrong with the file.
    jmap_core::access::may_run(&request.who, Operation::ChangeSettings)?;
    let wanted = request.site.host.settings_of_file(&asked.toml);
    let wanted = wanted.map_err(|why| Problem::new(Kind::InvalidValue, why))?;
    wish(request, Wish::Equal { wanted, keep }, is_plan).await
}
