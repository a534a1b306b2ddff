//! The Session object (RFC 8620 §2), with the capabilities of RFC 8621 §1.3, RFC 8887 §3.1, RFC 9404 §3.1, RFC 9425,
//! RFC 9007, RFC 9661 and RFC 9749.
//!
//! Holds: its `state` changes when anything else of it does.
//! Other half: `methods`, which says what is complete enough to be offered.

use aws_lc_rs::digest;
use http::StatusCode;
use jmap_core::{
    Caller, Core, Limits,
    access::{self, Standing},
    blob,
    directory::AccountInfo,
    mail::{sieve, submission},
};
use serde_json::{Map, Value, json};

use crate::{Config, encode::problem::Problem, methods, translate::BUSY_WAIT};

/// The JSON of the object, and its state.
#[derive(Debug)]
pub struct Session {
    pub json: Value,
    pub state: String,
}

/// The sort orders of Email/query (RFC 8621 §4.4.2).
const EMAIL_SORTS: &[&str] = &[
    "receivedAt",
    "size",
    "from",
    "to",
    "subject",
    "sentAt",
    "hasKeyword",
    "allInThreadHaveKeyword",
    "someInThreadHaveKeyword",
];
const COLLATIONS: &[&str] = &["i;ascii-casemap", "i;unicode-casemap"];

/// The session of a caller, with URLs below `base` (a scheme and host, or nothing).
pub async fn session(
    core: &Core,
    config: &Config,
    who: &Caller,
    base: &str,
) -> Result<Session, Problem> {
    let mut accounts = Map::new();
    let mut primary = Map::new();
    for id in who.accounts() {
        let info = core.account_info(who, id).await.map_err(|error| {
            tracing::error!(%error, account = %id, "an account could not be read");
            let detail = "The server can't read the accounts at the moment.";
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).retry_after(BUSY_WAIT)
        })?;
        let Some(info) = info else {
            continue;
        };
        let Ok(standing) = access::standing(who, id) else {
            continue;
        };
        let capabilities = account_capabilities(&core.limits(), standing);
        if id == who.account {
            let ids = capabilities
                .keys()
                .map(|uri| (uri.clone(), json!(id.to_string())));
            primary = ids.collect();
        }
        accounts.insert(id.to_string(), account(&info, capabilities));
    }
    let mut json = json!({
        "capabilities": capabilities(&core.limits(), config, base),
        "accounts": accounts,
        "primaryAccounts": primary,
        "username": who.name,
        "apiUrl": format!("{base}/jmap/api"),
        "downloadUrl": format!("{base}/jmap/download/{{accountId}}/{{blobId}}/{{name}}?type={{type}}"),
        "uploadUrl": format!("{base}/jmap/upload/{{accountId}}"),
        "eventSourceUrl": format!("{base}/jmap/eventsource?types={{types}}&closeafter={{closeafter}}&ping={{ping}}"),
    });
    let state = hash(&json);
    json["state"] = json!(state);
    Ok(Session { json, state })
}

/// RFC 8620 §2: an Account object. It is never read-only as a whole: what a guest subscribes to is their own, and the rights on
/// mailboxes tell the rest.
fn account(info: &AccountInfo, capabilities: Map<String, Value>) -> Value {
    json!({
        "name": info.name,
        "isPersonal": info.is_personal,
        "isReadOnly": false,
        "accountCapabilities": capabilities,
    })
}

/// Objects are maps in the order of their names, so equal ones have one text.
fn hash(json: &Value) -> String {
    let digest = digest::digest(&digest::SHA256, json.to_string().as_bytes());
    let octets = digest.as_ref().iter().take(8);
    octets.map(|octet| format!("{octet:02x}")).collect()
}

/// Whether a capability may be in `using`.
pub fn is_offered(limits: &Limits, config: &Config, uri: &str) -> bool {
    match uri {
        methods::CORE | methods::WEBSOCKET => true,
        methods::WEBPUSH_VAPID => config.application_server_key.is_some(),
        uri => offered(limits).any(|capability| capability.uri == uri),
    }
}

/// What is complete, and of use: a server that keeps no trace, or nothing that was deleted, has none to show.
fn offered(limits: &Limits) -> impl Iterator<Item = &'static methods::Capability> {
    let (is_tracing, is_keeping) = (limits.trace_seconds != 0, limits.undelete_seconds != 0);
    let is_of_use = move |uri: &str| match uri {
        methods::TRACE => is_tracing,
        methods::UNDELETE => is_keeping,
        _ => true,
    };
    let all = methods::CAPABILITIES.iter();
    all.filter(move |c| c.is_complete() && is_of_use(c.uri))
}

/// RFC 8620 §2 `accountCapabilities`: those whose methods somebody of this standing may use with an account.
fn supported(
    limits: &Limits,
    standing: Standing,
) -> impl Iterator<Item = &'static methods::Capability> {
    offered(limits).filter(move |capability| access::has_capability(standing, capability.uri))
}

/// Whether an account has what the methods of a capability need: those of the core's work with each account.
pub fn is_supported(limits: &Limits, standing: Standing, uri: &str) -> bool {
    uri == methods::CORE || supported(limits, standing).any(|capability| capability.uri == uri)
}

fn capabilities(limits: &Limits, config: &Config, base: &str) -> Map<String, Value> {
    let mut all = Map::new();
    let core = json!({
        "maxSizeUpload": limits.max_size_upload,
        "maxConcurrentUpload": limits.max_concurrent_upload,
        "maxSizeRequest": limits.max_size_request,
        "maxConcurrentRequests": limits.max_concurrent_requests,
        "maxCallsInRequest": limits.max_calls_in_request,
        "maxObjectsInGet": limits.max_objects_in_get,
        "maxObjectsInSet": limits.max_objects_in_set,
        "collationAlgorithms": COLLATIONS,
    });
    all.insert(methods::CORE.into(), core);
    for capability in offered(limits) {
        let value = match capability.uri {
            methods::SIEVE => json!({ "implementation": sieve::IMPLEMENTATION }),
            _ => json!({}),
        };
        all.insert(capability.uri.into(), value);
    }
    // RFC 8887 §3.1: a wss (or ws) URL, which has to be absolute.
    if let Some(rest) = base.strip_prefix("http") {
        let websocket = json!({ "url": format!("ws{rest}/jmap/ws"), "supportsPush": true });
        all.insert(methods::WEBSOCKET.into(), websocket);
    }
    if let Some(key) = &config.application_server_key {
        let vapid = json!({ "applicationServerKey": key });
        all.insert(methods::WEBPUSH_VAPID.into(), vapid);
    }
    all
}

/// RFC 8621 §1.3.2: what a client may ask for in an envelope. `maxDelayedSend` says how long FUTURERELEASE holds.
fn submission_extensions(limits: &Limits) -> Map<String, Value> {
    let each = submission::envelope::EXTENSIONS.iter();
    each.map(|(name, arguments)| match *name {
        "SIZE" => (
            (*name).to_owned(),
            json!([limits.max_size_message.to_string()]),
        ),
        name => (name.to_owned(), json!(arguments)),
    })
    .collect()
}

fn account_capabilities(limits: &Limits, standing: Standing) -> Map<String, Value> {
    let owner = standing == Standing::Owner;
    let mut all = Map::new();
    for capability in supported(limits, standing) {
        let value = match capability.uri {
            methods::MAIL => json!({
                "maxMailboxesPerEmail": limits.max_mailboxes_per_email,
                "maxMailboxDepth": limits.max_mailbox_depth,
                "maxSizeMailboxName": limits.max_size_mailbox_name,
                "maxSizeAttachmentsPerEmail": limits.max_size_attachments_per_email,
                "emailQuerySortOptions": EMAIL_SORTS,
                "mayCreateTopLevelMailbox": owner,
            }),
            methods::BLOB => json!({
                "maxSizeBlobSet": limits.max_size_upload,
                "maxDataSources": blob::DATA_SOURCES_MAX,
                "supportedTypeNames": blob::LOOKUP_TYPES,
                "supportedDigestAlgorithms": blob::DIGEST_ALGORITHMS,
            }),
            methods::SUBMISSION => json!({
                "maxDelayedSend": limits.max_delayed_send,
                "submissionExtensions": submission_extensions(limits),
            }),
            methods::SIEVE => json!({
                "maxSizeScriptName": sieve::NAME_OCTETS_MAX,
                "maxSizeScript": sieve::SCRIPT_OCTETS_MAX,
                "maxNumberScripts": sieve::SCRIPTS_MAX,
                "maxNumberRedirects": sieve::REDIRECTS_MAX,
                "sieveExtensions": sieve::EXTENSIONS,
                "notificationMethods": null,
                "externalLists": null,
            }),
            _ => json!({}),
        };
        all.insert(capability.uri.into(), value);
    }
    all
}

#[cfg(test)]
mod tests {
    use jmap_types::AccountId;

    use super::*;

    #[test]
    fn an_account_is_not_read_only_for_a_guest() {
        let info = AccountInfo {
            id: AccountId::new(7),
            name: "alice@example.org".into(),
            is_personal: false,
        };
        let of_guest = account_capabilities(&Limits::default(), Standing::Guest);
        let account = account(&info, of_guest);
        assert_eq!(account["isReadOnly"], false);
        assert_eq!(account["isPersonal"], false);
        let mail = &account["accountCapabilities"][methods::MAIL];
        assert_eq!(mail["mayCreateTopLevelMailbox"], false);
    }
}
