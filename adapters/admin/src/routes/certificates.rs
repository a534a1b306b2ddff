//! Certificates of TLS: those that listeners show, and those that are ordered.
//!
//! Holds: a private key goes in, and none comes out.
//! Other half: `jmap_core::inproc::certificates` keeps them; `Host` shows them.

use http::Method;
use jmap_core::access::{self, Operation};
use serde_json::json;

use super::{CURSOR, LIMIT, handler};
use crate::{
    describe::{Described as _, choice, object},
    host::{self, ShownCertificate},
    page::{self, Page},
    problem::{Kind, Problem},
    request::Request,
    table::{Answer, Outcome, Route},
};

choice! {
    /// Where a certificate is from: files; an ACME server; somebody has brought it; the server has signed it itself.
    CertificateSource {
        File = "file",
        Acme = "acme",
        Imported = "imported",
        SelfSigned = "self-signed",
    }
}

choice! {
    /// How the order of a certificate stands: it has not come yet; the last orders came to nothing; it is there.
    OrderState {
        Ordered = "ordered",
        Failing = "failing",
        Done = "done",
    }
}

object! {
    answer
    /// A certificate, without its key.
    Certificate {
        /// What it is renewed and removed by; null: it isn't in the store.
        name: Option<String>,
        /// The names of hosts that it is for.
        names: Vec<String>,
        source: CertificateSource,
        /// The file that it is in.
        file: Option<String>,
        issuer: Option<String>,
        /// From when to when it is good; null: it hasn't come yet.
        not_before: Option<String> = {"format": "date-time"},
        not_after: Option<String> = {"format": "date-time"},
        /// Of one from an ACME server.
        order: Option<OrderState>,
        /// Orders that were begun since the last one that was fulfilled.
        failures: u64,
        /// Nothing is ordered before.
        next_try: Option<String> = {"format": "date-time"},
        /// Why something newer isn't shown.
        problem: Option<String>,
        /// The data of its TLSA record (RFC 7672).
        tlsa: Option<String>,
    }
}

object! {
    request
    /// A certificate from elsewhere.
    NewCertificate {
        /// PEM, the server's own certificate first.
        chain: String = {"minLength": 1},
        /// PEM, not encrypted.
        private_key: String = {"minLength": 1, "writeOnly": true, "format": "password"},
    }
}

const TAG: &str = "Certificates";

pub fn routes() -> Vec<Route> {
    vec![
        Route::new(
            Method::GET,
            "/certificates",
            (TAG, "listCertificates"),
            "Lists the certificates that listeners show, and those that are ordered",
            Operation::SeeCertificates,
            handler!(list),
        )
        .query(&[CURSOR, LIMIT])
        .may_fail(&[Kind::InUse])
        .answers(|schemas| page::schema::<Certificate>(schemas, true)),
        Route::new(
            Method::POST,
            "/certificates",
            (TAG, "importCertificate"),
            "Puts a certificate into the store, for all servers over it, in place of one by the same first name",
            Operation::ChangeCertificates,
            handler!(import),
        )
        .body(NewCertificate::schema)
        .may_fail(&[Kind::InvalidValue, Kind::LimitReached, Kind::InUse])
        .answers(Certificate::schema),
        Route::new(
            Method::POST,
            "/certificates/{certificate}/renew",
            (TAG, "renewCertificate"),
            "Has the next one ordered from the ACME server now; the list tells how it goes",
            Operation::ChangeCertificates,
            handler!(renew),
        ),
        Route::new(
            Method::DELETE,
            "/certificates/{certificate}",
            (TAG, "removeCertificate"),
            "Takes a certificate out of the store; if it is ordered, there will be another one",
            Operation::ChangeCertificates,
            handler!(remove),
        ),
    ]
}

fn shown(of: ShownCertificate) -> Certificate {
    let order = match (of.source, of.failures, of.validity) {
        (host::CertificateSource::Acme, 0, None) => Some(OrderState::Ordered),
        (host::CertificateSource::Acme, 0, Some(_)) => Some(OrderState::Done),
        (host::CertificateSource::Acme, ..) => Some(OrderState::Failing),
        _ => None,
    };
    Certificate {
        name: of.name,
        names: of.names,
        source: match of.source {
            host::CertificateSource::File => CertificateSource::File,
            host::CertificateSource::Acme => CertificateSource::Acme,
            host::CertificateSource::Imported => CertificateSource::Imported,
            host::CertificateSource::SelfSigned => CertificateSource::SelfSigned,
        },
        file: of.file,
        issuer: of.issuer,
        not_before: of.validity.map(|(from, _)| super::date_text(from)),
        not_after: of.validity.map(|(_, to)| super::date_text(to)),
        order,
        failures: u64::from(of.failures),
        next_try: of.next_try.map(super::date_text),
        problem: of.problem,
        tlsa: of.tlsa,
    }
}

async fn list(request: &Request) -> Outcome {
    access::may_run(&request.who, Operation::SeeCertificates)?;
    let all = request.site.host.certificates().await?;
    // As they are shown: those of files first.
    let all = all.into_iter().map(shown).enumerate().collect();
    let page = Page::of(request, all, |(at, of): &(usize, Certificate)| {
        (format!("{at:06}"), of.names.join(" "))
    })?;
    let items = page.items.iter().map(|(_, of)| json!(of));
    Ok(Answer::ok(page::json_of(
        items.collect(),
        page.next,
        Some(page.total),
    )))
}

async fn import(request: &Request) -> Outcome {
    let new: NewCertificate = request.read()?;
    // Who may not is told so, and not what is wrong with what they bring.
    access::may_run(&request.who, Operation::ChangeCertificates)?;
    let (core, who, host) = (&request.core, &request.who, &request.site.host);
    let name = host
        .import_certificate(core, who, &new.chain, &new.private_key)
        .await?;
    let all = host.certificates().await?;
    let found = all.into_iter().find(|of| of.name.as_ref() == Some(&name));
    Ok(Answer::ok(json!(shown(
        found.ok_or_else(Problem::not_found)?
    ))))
}

async fn renew(request: &Request) -> Outcome {
    let name = request.text("certificate")?;
    request.core.renew_certificate(&request.who, name).await?;
    request.site.host.certificates_changed();
    Ok(Answer::nothing())
}

async fn remove(request: &Request) -> Outcome {
    let name = request.text("certificate")?;
    request.core.remove_certificate(&request.who, name).await?;
    request.site.host.certificates_changed();
    Ok(Answer::nothing())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_an_order_stands() {
        let of = |source, failures, validity| {
            let order = shown(ShownCertificate {
                name: None,
                names: Vec::new(),
                source,
                file: None,
                issuer: None,
                validity,
                tlsa: None,
                failures,
                next_try: None,
                problem: None,
            });
            order.order
        };
        use host::CertificateSource::{Acme, Imported};
        assert_eq!(of(Acme, 0, None), Some(OrderState::Ordered));
        assert_eq!(of(Acme, 0, Some((0, 1))), Some(OrderState::Done));
        assert_eq!(of(Acme, 1, Some((0, 1))), Some(OrderState::Failing));
        assert_eq!(of(Imported, 0, Some((0, 1))), None);
    }
}
