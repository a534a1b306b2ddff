//! Domains.

use http::Method;
use jmap_core::{
    access::Operation,
    admin::Version,
    directory::{self, DomainChange},
};
use jmap_types::AccountId;
use serde_json::json;

use super::{LIST, handler};
use crate::{
    describe::{Described as _, Patch, object},
    page::{self, Page},
    problem::Kind,
    request::{Request, tag},
    table::{Answer, Outcome, Route},
};

object! {
    answer
    /// A domain whose mail is kept here.
    Domain {
        /// Lower-case A-labels.
        name: String = {"maxLength": 253},
        /// The id of the account that gets mail for addresses that nobody has.
        catch_all: Option<String>,
        /// The domain whose addresses it has.
        alias_of: Option<String>,
        /// The domain of the reverse-path of mail that its addresses forward (SRS).
        srs_domain: Option<String>,
        /// Accounts and groups that it may have; null: no limit.
        accounts_max: Option<u64>,
        /// Octets that its accounts may use together; null: no limit.
        quota_octets: Option<u64>,
        /// Recipients that its accounts may send to together; null: no limit but their own.
        recipients_per_hour: Option<u64>,
        recipients_per_day: Option<u64>,
        created: String = {"format": "date-time"},
    }
}

object! {
    request
    /// A new domain.
    NewDomain {
        /// As A-labels or in Unicode.
        name: String = {"minLength": 1, "maxLength": 253},
    }
}

object! {
    patch
    /// What is to change of a domain. Members that are left out stay as they are.
    DomainPatch {
        /// The name or an address of an account; null: mail for addresses that nobody has is refused.
        catch_all: Patch<String> = {"maxLength": 320},
        alias_of: Patch<String> = {"maxLength": 253},
        srs_domain: Patch<String> = {"maxLength": 253},
        accounts_max: Patch<u64>,
        quota_octets: Patch<u64>,
        recipients_per_hour: Patch<u64>,
        recipients_per_day: Patch<u64>,
    }
}

const TAG: &str = "Domains";

pub fn routes() -> Vec<Route> {
    vec![
        Route::new(
            Method::GET,
            "/domains",
            (TAG, "listDomains"),
            "Lists the domains that the account may see",
            Operation::SeeDomain,
            handler!(list),
        )
        .query(LIST)
        .answers(|schemas| page::schema::<Domain>(schemas, true)),
        Route::new(
            Method::POST,
            "/domains",
            (TAG, "addDomain"),
            "Keeps mail for a domain from now on, and makes its DKIM keys",
            Operation::AddDomain,
            handler!(add),
        )
        .body(NewDomain::schema)
        .creates(Domain::schema),
        Route::new(
            Method::GET,
            "/domains/{domain}",
            (TAG, "getDomain"),
            "Shows a domain",
            Operation::SeeDomain,
            handler!(get),
        )
        .versioned()
        .may_fail(&[Kind::InvalidValue])
        .answers(Domain::schema),
        Route::new(
            Method::PATCH,
            "/domains/{domain}",
            (TAG, "changeDomain"),
            "Changes a domain; all but the catch-all is for administrators of the server",
            Operation::ChangeDomain,
            handler!(change),
        )
        .versioned()
        .body(DomainPatch::schema)
        .may_fail(&[Kind::InvalidValue, Kind::InUse])
        .answers(Domain::schema),
        Route::new(
            Method::DELETE,
            "/domains/{domain}",
            (TAG, "removeDomain"),
            "Keeps no more mail for a domain that has no addresses any more",
            Operation::RemoveDomain,
            handler!(remove),
        )
        .versioned()
        .may_fail(&[Kind::InUse, Kind::InvalidValue]),
    ]
}

fn domain(domain: &directory::Domain) -> Domain {
    let record = &domain.record;
    Domain {
        name: domain.name.clone(),
        catch_all: record.catch_all.map(|id| AccountId::new(id).to_string()),
        alias_of: record.alias_of.clone(),
        srs_domain: record.srs_domain.clone(),
        accounts_max: record.accounts_max,
        quota_octets: record.octets_max,
        recipients_per_hour: record.recipients_per_hour,
        recipients_per_day: record.recipients_per_day,
        created: super::date_text(record.created),
    }
}

fn answer(of: &directory::Domain) -> Answer {
    Answer::ok(json!(domain(of))).with_tag(tag(Version::of(&of.record)))
}

async fn list(request: &Request) -> Outcome {
    let mut domains = request.core.domains(&request.who).await?;
    if let Some(asked) = request.asked("q").map(str::to_lowercase) {
        domains.retain(|domain| super::has(&domain.name, &asked));
    }
    let sort = request.asked_as("sort")?;
    let page = Page::of(request, domains, |domain| {
        super::place(
            sort,
            &domain.name,
            domain.record.created,
            domain.name.clone(),
        )
    })?;
    let items = page.items.iter().map(|of| json!(domain(of))).collect();
    Ok(Answer::ok(page::json_of(
        items,
        page.next,
        Some(page.total),
    )))
}

async fn add(request: &Request) -> Outcome {
    let new: NewDomain = request.read()?;
    let (core, who) = (&request.core, &request.who);
    let name = super::made(request, |terms| async move {
        let domain = core.add_domain_on(who, &new.name, &terms).await?;
        Ok(domain.name)
    })
    .await?;
    let made = core.domain(who, &name).await?;
    Ok(answer(&made).created(format!("/domains/{name}")))
}

async fn get(request: &Request) -> Outcome {
    let name = request.text("domain")?;
    Ok(answer(&request.core.domain(&request.who, name).await?))
}

async fn change(request: &Request) -> Outcome {
    let patch: DomainPatch = request.read()?;
    let change = DomainChange {
        catch_all: patch.catch_all.change(),
        alias_of: patch.alias_of.change(),
        srs_domain: patch.srs_domain.change(),
        accounts_max: patch.accounts_max.change(),
        octets_max: patch.quota_octets.change(),
        recipients_per_hour: patch.recipients_per_hour.change(),
        recipients_per_day: patch.recipients_per_day.change(),
    };
    let name = request.text("domain")?;
    let terms = request.terms()?;
    let changed = request
        .core
        .set_domain_on(&request.who, name, change, &terms)
        .await?;
    Ok(answer(&changed))
}

async fn remove(request: &Request) -> Outcome {
    let name = request.text("domain")?;
    let terms = request.terms()?;
    request
        .core
        .remove_domain_on(&request.who, name, &terms)
        .await?;
    Ok(Answer::nothing())
}
