//! Alerts: what needs an administrator.

use http::Method;
use jmap_core::{
    access::Operation,
    alert::{self, AlertKind},
};
use serde_json::{Value, json};

use super::{CURSOR, LIMIT, handler};
use crate::{
    describe::{Described, Schemas, object},
    page::{self, Page},
    request::Request,
    table::{Answer, Outcome, Route},
};

/// The name of what may be wrong.
#[derive(Debug, serde::Serialize)]
#[serde(transparent)]
pub struct AlertName(&'static str);

impl Described for AlertName {
    fn schema(schemas: &mut Schemas) -> Value {
        schemas.refer("AlertName", |_| {
            let names: Vec<&str> = AlertKind::ALL.iter().map(|kind| kind.name()).collect();
            let of = |kind: &AlertKind| format!("`{kind}`: {}", kind.about());
            let about: Vec<String> = AlertKind::ALL.iter().map(of).collect();
            json!({
                "type": "string",
                "description": format!("What is wrong. {}", about.join(" ")),
                "enum": names,
            })
        })
    }
}

object! {
    answer
    /// Something that needs an administrator.
    Alert {
        number: u64,
        kind: AlertName,
        /// The node that it is about; null: all of them.
        node: Option<String>,
        /// What it is about, where there may be several of a kind.
        subject: Option<String>,
        /// What is wrong, and what to do.
        sentence: String,
        since: String = {"format": "date-time"},
        /// When it was mailed last.
        mailed: Option<String> = {"format": "date-time"},
    }
}

const TAG: &str = "Alerts";

pub fn routes() -> Vec<Route> {
    vec![
        Route::new(
            Method::GET,
            "/alerts",
            (TAG, "listAlerts"),
            "Lists what is wrong at the moment, newest first",
            Operation::SeeAlerts,
            handler!(list),
        )
        .query(&[CURSOR, LIMIT])
        .answers(|schemas| page::schema::<Alert>(schemas, true)),
        Route::new(
            Method::DELETE,
            "/alerts/{alert}",
            (TAG, "dismissAlert"),
            "Forgets an alert, such as of a server that is meant to be gone; what is still wrong begins anew",
            Operation::DismissAlert,
            handler!(dismiss),
        ),
    ]
}

fn date(ms: i64) -> String {
    super::date_text(ms.div_euclid(1000))
}

fn shown(of: &alert::Alert) -> Alert {
    let record = &of.record;
    let text = |text: &String| (!text.is_empty()).then(|| text.clone());
    Alert {
        number: of.number,
        kind: AlertName(record.kind.name()),
        node: text(&record.node),
        subject: text(&record.subject),
        sentence: record.sentence.clone(),
        since: date(record.since),
        mailed: record.mailed.map(date),
    }
}

async fn list(request: &Request) -> Outcome {
    let alerts = request.core.alerts(&request.who).await?;
    // Newest first.
    let page = Page::of(request, alerts, |of| {
        let since = u64::try_from(of.record.since).unwrap_or(0);
        (
            format!("{:020}", u64::MAX - since),
            format!("{:020}", of.number),
        )
    })?;
    let items = page.items.iter().map(|of| json!(shown(of))).collect();
    Ok(Answer::ok(page::json_of(
        items,
        page.next,
        Some(page.total),
    )))
}

async fn dismiss(request: &Request) -> Outcome {
    let number = request.number("alert")?;
    request.core.dismiss_alert(&request.who, number).await?;
    Ok(Answer::nothing())
}
