//! Mail on its way, records of the DNS, work that takes long, settings, certificates.

use serde_json::json;

use super::{DOMAIN, LISTED, LISTED_TO_HELP, OWN, Row, SERVER, row};

/// `alice`: the id of her account, which is of `example.org`.
pub fn rows(alice: &str) -> Vec<Row> {
    let account = format!("/accounts/{alice}");
    let domain = "/domains/example.org";
    let message = format!("/queue/messages/{alice}/{alice}");
    let empty = || Some(json!({}));
    let file = || Some(json!({"toml": "", "keep": true}));
    let setting = "/settings/smtp.idle-timeout";
    let certificate = "/certificates/none.example";
    vec![
        row("listDkimKeys", format!("{domain}/dkim-keys"), None, DOMAIN),
        row(
            "prepareDkimKeys",
            format!("{domain}/dkim-keys/prepare"),
            None,
            DOMAIN,
        ),
        row(
            "activateDkimKeys",
            format!("{domain}/dkim-keys/activate"),
            None,
            DOMAIN,
        ),
        row(
            "removeDkimKey",
            format!("{domain}/dkim-keys/none"),
            None,
            DOMAIN,
        ),
        row(
            "listDnsRecords",
            format!("{domain}/dns-records"),
            None,
            DOMAIN,
        ),
        row("checkDns", format!("{domain}/dns-check"), None, DOMAIN),
        row("listQueue", "/queue/messages", None, LISTED),
        row("getQueued", &message, None, DOMAIN),
        row("retryQueued", format!("{message}/retry"), None, DOMAIN),
        row("cancelQueued", &message, None, DOMAIN),
        row("holdQueued", format!("{message}/hold"), None, DOMAIN),
        row("releaseQueued", format!("{message}/hold"), None, DOMAIN),
        row("retryQueue", "/queue/retry", empty(), SERVER),
        row("listDestinations", "/queue/destinations", None, SERVER),
        row("listHolds", "/queue/holds", None, SERVER),
        row("holdQueue", "/queue/holds/far.example", None, SERVER),
        row("releaseQueue", "/queue/holds/far.example", None, SERVER),
        row("listTraces", "/traces", None, LISTED_TO_HELP),
        row("listReports", "/reports", None, LISTED),
        row("summarizeReports", "/reports/summary", None, LISTED),
        row("listDeleted", format!("{account}/deleted"), None, OWN),
        row(
            "restoreDeleted",
            format!("{account}/deleted/y1-1/restore"),
            empty(),
            OWN,
        ),
        row("listNodes", "/nodes", None, SERVER),
        row("getNumbers", "/metrics", None, SERVER),
        row("getNumbersOverTime", "/metrics/history", None, SERVER),
        row("listJobs", "/jobs", None, SERVER),
        row(
            "beginJob",
            "/jobs",
            Some(json!({"kind": "check", "fast": true})),
            SERVER,
        ),
        row("getJob", "/jobs/99", None, SERVER),
        row("stopJob", "/jobs/99", None, SERVER),
        row("listQuarantine", "/quarantine", None, SERVER),
        row("forgetQuarantined", "/quarantine/00", None, SERVER),
        row("listSettings", "/settings", None, SERVER),
        row("changeSettings", "/settings", empty(), SERVER),
        row("getSetting", setting, None, SERVER),
        row("setSetting", setting, Some(json!({"value": "5m"})), SERVER),
        row("unsetSetting", setting, None, SERVER),
        row("exportSettings", "/settings-file", None, SERVER),
        row("planSettings", "/settings-file/plan", file(), SERVER),
        row("applySettings", "/settings-file/apply", file(), SERVER),
        row("listCertificates", "/certificates", None, SERVER),
        // There is nothing in it, which who may is told.
        row(
            "importCertificate",
            "/certificates",
            Some(json!({"chain": "none", "privateKey": "none"})),
            SERVER,
        ),
        row(
            "renewCertificate",
            format!("{certificate}/renew"),
            None,
            SERVER,
        ),
        row("removeCertificate", certificate, None, SERVER),
    ]
}

/// Routes whose object isn't there, of which who may is told.
pub const NOT_THERE: &[&str] = &[
    "revokeCredential",
    "activateDkimKeys",
    "removeDkimKey",
    "getQueued",
    "retryQueued",
    "cancelQueued",
    "holdQueued",
    "releaseQueued",
    "restoreDeleted",
    "getJob",
    "stopJob",
    "forgetQuarantined",
    "renewCertificate",
    "removeCertificate",
];
