//! What a domain has in the DNS: DKIM keys, the records to publish, and whether they are there.

use http::Method;
use jmap_core::{
    access::Operation,
    directory::dkim::{DkimKey as CoreKey, records::DkimState},
};
use serde_json::json;

use super::handler;
use crate::{
    describe::{choice, object},
    host::{self, DnsStatus},
    page,
    problem::Kind,
    request::Request,
    table::{Answer, Outcome, Route},
};

choice! {
    /// What a key is good for: it waits to be published, signs, or is published for what was signed before.
    KeyState {
        Waiting = "waiting",
        Active = "active",
        Retired = "retired",
    }
}

object! {
    answer
    /// A DKIM key, without what is secret of it.
    DkimKey {
        selector: String,
        /// "rsa" or "ed25519".
        algorithm: String,
        state: KeyState,
        created: String = {"format": "date-time"},
        /// When it came to its state.
        since: String = {"format": "date-time"},
        /// Where it is published.
        name: String,
        /// What is published there.
        record: String,
    }
}

object! {
    answer
    /// A record to publish.
    DnsRecord {
        /// Without the last dot.
        name: String,
        r#type: String,
        /// As a zone file has it.
        data: String,
        needed: bool,
        /// Of the domain's zone, not of that of the server's name.
        in_domain: bool,
    }
}

choice! {
    /// What the DNS has.
    FindingStatus {
        Ok = "ok",
        Missing = "missing",
        Different = "different",
        Unknown = "unknown",
    }
}

object! {
    answer
    /// What was found out about one record, or about something else that mail depends on.
    DnsFinding {
        /// The type of the record, or what was looked at.
        what: String,
        name: String,
        status: FindingStatus,
        /// Mail goes wrong unless it is mended.
        needed: bool,
        /// What to do, or what it is good for.
        sentence: String,
    }
}

const TAG: &str = "DNS";

pub fn routes() -> Vec<Route> {
    let wrong_name = [Kind::InvalidValue];
    vec![
        Route::new(
            Method::GET,
            "/domains/{domain}/dkim-keys",
            (TAG, "listDkimKeys"),
            "Lists the DKIM keys of a domain",
            Operation::SeeDnsRecords,
            handler!(list_keys),
        )
        .may_fail(&wrong_name)
        .answers(|schemas| page::schema::<DkimKey>(schemas, false)),
        Route::new(
            Method::POST,
            "/domains/{domain}/dkim-keys/prepare",
            (TAG, "prepareDkimKeys"),
            "Makes the next keys of a domain, to be published; those that wait already are shown",
            Operation::RotateDkimKeys,
            handler!(prepare),
        )
        .may_fail(&wrong_name)
        .may_fail(&[Kind::LimitReached])
        .answers(|schemas| page::schema::<DkimKey>(schemas, false)),
        Route::new(
            Method::POST,
            "/domains/{domain}/dkim-keys/activate",
            (TAG, "activateDkimKeys"),
            "Signs with the keys that wait from now on",
            Operation::RotateDkimKeys,
            handler!(activate),
        )
        .may_fail(&wrong_name)
        .answers(|schemas| page::schema::<DkimKey>(schemas, false)),
        Route::new(
            Method::DELETE,
            "/domains/{domain}/dkim-keys/{selector}",
            (TAG, "removeDkimKey"),
            "Removes a key that waits or has retired: its record can go from the DNS",
            Operation::RotateDkimKeys,
            handler!(remove),
        )
        .may_fail(&wrong_name)
        .may_fail(&[Kind::InUse]),
        Route::new(
            Method::GET,
            "/domains/{domain}/dns-records",
            (TAG, "listDnsRecords"),
            "Lists what a domain has to publish",
            Operation::SeeDnsRecords,
            handler!(records),
        )
        .may_fail(&wrong_name)
        .may_fail(&[Kind::InUse])
        .answers(|schemas| page::schema::<DnsRecord>(schemas, false)),
        Route::new(
            Method::GET,
            "/domains/{domain}/dns-check",
            (TAG, "checkDns"),
            "Looks whether the DNS has what a domain has to publish",
            Operation::SeeDnsRecords,
            handler!(check),
        )
        .may_fail(&wrong_name)
        .may_fail(&[Kind::InUse])
        .answers(|schemas| page::schema::<DnsFinding>(schemas, false)),
    ]
}

fn key(of: &CoreKey) -> DkimKey {
    DkimKey {
        selector: of.selector.clone(),
        algorithm: of.record.algorithm.name().to_owned(),
        state: match of.record.state {
            DkimState::Waiting => KeyState::Waiting,
            DkimState::Active => KeyState::Active,
            DkimState::Retired => KeyState::Retired,
        },
        created: super::date_text(of.record.created),
        since: super::date_text(of.record.since),
        name: of.name(),
        record: of.txt(),
    }
}

fn keys(of: &[CoreKey]) -> Answer {
    let items = of.iter().map(|of| json!(key(of))).collect();
    Answer::ok(page::json_of(items, None, None))
}

async fn list_keys(request: &Request) -> Outcome {
    let domain = request.text("domain")?;
    Ok(keys(&request.core.dkim_keys(&request.who, domain).await?))
}

async fn prepare(request: &Request) -> Outcome {
    let domain = request.text("domain")?;
    let made = request.core.prepare_dkim_keys(&request.who, domain).await?;
    Ok(keys(&made))
}

async fn activate(request: &Request) -> Outcome {
    let domain = request.text("domain")?;
    let active = request
        .core
        .activate_dkim_keys(&request.who, domain)
        .await?;
    Ok(keys(&active))
}

async fn remove(request: &Request) -> Outcome {
    let (domain, selector) = (request.text("domain")?, request.text("selector")?);
    let (core, who) = (&request.core, &request.who);
    core.remove_dkim_key(who, domain, selector).await?;
    Ok(Answer::nothing())
}

async fn records(request: &Request) -> Outcome {
    let domain = request.text("domain")?;
    let records = request
        .site
        .host
        .dns_records(&request.core, &request.who, domain)
        .await?;
    let record = |of: host::DnsRecord| DnsRecord {
        name: of.name,
        r#type: of.kind,
        data: of.data,
        needed: of.is_needed,
        in_domain: of.is_in_domain,
    };
    let items = records.into_iter().map(|of| json!(record(of))).collect();
    Ok(Answer::ok(page::json_of(items, None, None)))
}

async fn check(request: &Request) -> Outcome {
    let domain = request.text("domain")?;
    let findings = request
        .site
        .host
        .check_dns(&request.core, &request.who, domain)
        .await?;
    let finding = |of: host::DnsFinding| DnsFinding {
        what: of.what,
        name: of.name,
        status: match of.status {
            DnsStatus::Ok => FindingStatus::Ok,
            DnsStatus::Missing => FindingStatus::Missing,
            DnsStatus::Different => FindingStatus::Different,
            DnsStatus::Unknown => FindingStatus::Unknown,
        },
        needed: of.is_needed,
        sentence: of.sentence,
    };
    let items = findings.into_iter().map(|of| json!(finding(of))).collect();
    Ok(Answer::ok(page::json_of(items, None, None)))
}
