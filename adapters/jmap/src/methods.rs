//! The methods that can be called over JSON, and the capabilities that they belong to.
//!
//! Holds: a capability is offered only when all of its methods are in the table; a method is called only with accounts of which the
//! session says that they have its capability.
//! Other half: `jmap_core::Handle`, which does what a method says.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use jmap_core::{
    Caller, Core, Handle, Limits,
    access::{self, Standing},
};
use jmap_types::{
    Arguments, MethodError, MethodErrorKind,
    blob::{BlobCopy, BlobGet, BlobLookup, BlobUpload},
    email::{Import, Parse},
    mail::{Email, EmailSubmission, Identity, Mailbox, Quota, Thread, VacationResponse},
    mdn::{MdnParse, MdnSend},
    method::{Changes, Copy, CreatedIds, Echo, Get, MethodResponse, Query, QueryChanges, Set},
    push::{PushSubscriptionGet, PushSubscriptionSet},
    search_snippet::SearchSnippetGet,
    sieve::{SieveScript, SieveScriptValidate},
    trace::MessageTrace,
    undelete::{DeletedEmail, DeletedEmailRestore},
    value::Map,
};

use crate::session;

/// A method.
#[derive(Debug)]
pub struct Method {
    pub name: &'static str,
    /// The URI that must be in `using`.
    pub capability: &'static str,
    /// URIs that must be there beside it.
    pub others: &'static [&'static str],
    pub run: Run,
}

/// What a call has of the request that it belongs to.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    pub using: Arc<[String]>,
    pub created: CreatedIds,
}

impl Surroundings {
    fn uses(&self, uri: &str) -> bool {
        self.using.iter().any(|used| used == uri)
    }
}

/// Reads the arguments and makes the call.
pub type Run = fn(&'static Method, Core, Caller, Map, Surroundings) -> BoxFuture<'static, Outcome>;

/// The method's own response and those that it implies, by name; the future fails where there is no response of its own.
pub type Outcome = Result<(Map, Vec<(&'static str, Result<Map, MethodError>)>), MethodError>;

const fn entry<C: Handle>(capability: &'static str) -> Method {
    Method {
        name: C::NAME,
        capability,
        others: &[],
        run: run::<C>,
    }
}

fn run<C: Handle>(
    method: &'static Method,
    core: Core,
    who: Caller,
    arguments: Map,
    surroundings: Surroundings,
) -> BoxFuture<'static, Outcome> {
    Box::pin(async move {
        let mut call = C::from_arguments(Arguments::new(arguments))?;
        let standing = |id| access::standing(&who, id).ok();
        let (to, from) = (call.account_id(), call.source_account_id());
        method.check_accounts(
            &core.limits(),
            to.and_then(standing),
            from.and_then(standing),
        )?;
        if call
            .named_types()
            .iter()
            .any(|name| !is_used(name, &surroundings))
        {
            return Err(MethodErrorKind::UnknownDataType.into());
        }
        call.set_created_ids(surroundings.created);
        let mut response = core.call(&who, call).await?;
        let implied = response.take_implicit();
        Ok((response.into_map(), implied))
    })
}

/// RFC 9404 §4.3: whether the capability that defines a type is in `using`; types that are none are the core's matter.
fn is_used(type_name: &str, surroundings: &Surroundings) -> bool {
    let get = format!("{type_name}/get");
    find(&get).is_none_or(|method| surroundings.uses(method.capability))
}

pub const CORE: &str = "urn:ietf:params:jmap:core";
pub const MAIL: &str = "urn:ietf:params:jmap:mail";
pub const SUBMISSION: &str = "urn:ietf:params:jmap:submission";
pub const VACATION_RESPONSE: &str = "urn:ietf:params:jmap:vacationresponse";
pub const WEBSOCKET: &str = "urn:ietf:params:jmap:websocket";
pub const BLOB: &str = "urn:ietf:params:jmap:blob";
pub const QUOTA: &str = "urn:ietf:params:jmap:quota";
pub const MDN: &str = "urn:ietf:params:jmap:mdn";
pub const SIEVE: &str = "urn:ietf:params:jmap:sieve";
/// Of our own: see the README.
pub const TRACE: &str = "urn:posthorn:params:jmap:trace";
/// Of our own: see the README.
pub const UNDELETE: &str = "urn:posthorn:params:jmap:undelete";
pub const WEBPUSH_VAPID: &str = "urn:ietf:params:jmap:webpush-vapid";

/// All methods.
pub static METHODS: &[Method] = &[
    entry::<Echo>(CORE),
    entry::<BlobCopy>(CORE),
    entry::<PushSubscriptionGet>(CORE),
    entry::<PushSubscriptionSet>(CORE),
    entry::<Get<Mailbox>>(MAIL),
    entry::<Changes<Mailbox>>(MAIL),
    entry::<Query<Mailbox>>(MAIL),
    entry::<QueryChanges<Mailbox>>(MAIL),
    entry::<Set<Mailbox>>(MAIL),
    entry::<Get<Thread>>(MAIL),
    entry::<Changes<Thread>>(MAIL),
    entry::<Get<Email>>(MAIL),
    entry::<Changes<Email>>(MAIL),
    entry::<Query<Email>>(MAIL),
    entry::<QueryChanges<Email>>(MAIL),
    entry::<Set<Email>>(MAIL),
    entry::<Copy<Email>>(MAIL),
    entry::<Import>(MAIL),
    entry::<Parse>(MAIL),
    entry::<SearchSnippetGet>(MAIL),
    entry::<Get<Identity>>(SUBMISSION),
    entry::<Changes<Identity>>(SUBMISSION),
    entry::<Set<Identity>>(SUBMISSION),
    entry::<Get<EmailSubmission>>(SUBMISSION),
    entry::<Changes<EmailSubmission>>(SUBMISSION),
    entry::<Query<EmailSubmission>>(SUBMISSION),
    entry::<QueryChanges<EmailSubmission>>(SUBMISSION),
    entry::<Set<EmailSubmission>>(SUBMISSION),
    entry::<Get<VacationResponse>>(VACATION_RESPONSE),
    entry::<Set<VacationResponse>>(VACATION_RESPONSE),
    Method {
        // RFC 9007 §2.1: it implies an Email/set.
        others: &[MAIL],
        ..entry::<MdnSend>(MDN)
    },
    entry::<MdnParse>(MDN),
    entry::<BlobUpload>(BLOB),
    entry::<BlobGet>(BLOB),
    entry::<BlobLookup>(BLOB),
    entry::<Get<Quota>>(QUOTA),
    entry::<Changes<Quota>>(QUOTA),
    entry::<Query<Quota>>(QUOTA),
    entry::<QueryChanges<Quota>>(QUOTA),
    entry::<Get<SieveScript>>(SIEVE),
    entry::<Query<SieveScript>>(SIEVE),
    entry::<Set<SieveScript>>(SIEVE),
    entry::<SieveScriptValidate>(SIEVE),
    entry::<Get<MessageTrace>>(TRACE),
    entry::<Query<MessageTrace>>(TRACE),
    entry::<Get<DeletedEmail>>(UNDELETE),
    entry::<Query<DeletedEmail>>(UNDELETE),
    entry::<DeletedEmailRestore>(UNDELETE),
];

/// A capability with methods, and which ones its specification gives it.
#[derive(Debug)]
pub struct Capability {
    pub uri: &'static str,
    pub methods: &'static [&'static str],
}

/// What the server could offer, in the order of the session object.
pub static CAPABILITIES: &[Capability] = &[
    Capability {
        uri: MAIL,
        methods: &[
            "Mailbox/get",
            "Mailbox/changes",
            "Mailbox/query",
            "Mailbox/queryChanges",
            "Mailbox/set",
            "Thread/get",
            "Thread/changes",
            "Email/get",
            "Email/changes",
            "Email/query",
            "Email/queryChanges",
            "Email/set",
            "Email/copy",
            "Email/import",
            "Email/parse",
            "SearchSnippet/get",
        ],
    },
    Capability {
        uri: SUBMISSION,
        methods: &[
            "Identity/get",
            "Identity/changes",
            "Identity/set",
            "EmailSubmission/get",
            "EmailSubmission/changes",
            "EmailSubmission/query",
            "EmailSubmission/queryChanges",
            "EmailSubmission/set",
        ],
    },
    Capability {
        uri: VACATION_RESPONSE,
        methods: &["VacationResponse/get", "VacationResponse/set"],
    },
    Capability {
        uri: BLOB,
        methods: &["Blob/upload", "Blob/get", "Blob/lookup"],
    },
    Capability {
        uri: QUOTA,
        methods: &[
            "Quota/get",
            "Quota/changes",
            "Quota/query",
            "Quota/queryChanges",
        ],
    },
    Capability {
        uri: MDN,
        methods: &["MDN/send", "MDN/parse"],
    },
    // RFC 9661 has no /changes and no /queryChanges.
    Capability {
        uri: SIEVE,
        methods: &[
            "SieveScript/get",
            "SieveScript/query",
            "SieveScript/set",
            "SieveScript/validate",
        ],
    },
    Capability {
        uri: TRACE,
        methods: &["MessageTrace/get", "MessageTrace/query"],
    },
    Capability {
        uri: UNDELETE,
        methods: &[
            "DeletedEmail/get",
            "DeletedEmail/query",
            "DeletedEmail/restore",
        ],
    },
];

impl Method {
    /// Whether all that it needs is in `using`.
    pub fn is_in(&self, surroundings: &Surroundings) -> bool {
        self.needs().all(|uri| surroundings.uses(uri))
    }

    fn needs(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.capability).chain(self.others.iter().copied())
    }

    /// RFC 8620 §2, §5.4: whether the accounts of a call have all that it needs. `None`: the call names no account, or none that the
    /// caller can see, which the core says.
    fn check_accounts(
        &self,
        limits: &Limits,
        to: Option<Standing>,
        from: Option<Standing>,
    ) -> Result<(), MethodErrorKind> {
        let has_all = |standing: Standing| {
            self.needs()
                .all(|uri| session::is_supported(limits, standing, uri))
        };
        if !to.is_none_or(has_all) {
            return Err(MethodErrorKind::AccountNotSupportedByMethod);
        }
        if !from.is_none_or(has_all) {
            return Err(MethodErrorKind::FromAccountNotSupportedByMethod);
        }
        Ok(())
    }
}

/// The method of this name.
pub fn find(name: &str) -> Option<&'static Method> {
    METHODS.iter().find(|method| method.name == name)
}

impl Capability {
    /// Whether all of its methods are there.
    pub fn is_complete(&self) -> bool {
        self.methods
            .iter()
            .all(|name| find(name).is_some_and(|method| method.capability == self.uri))
    }
}

#[cfg(test)]
mod tests {
    use jmap_types::{AccountId, Value, method::MethodCall};

    use super::*;

    #[test]
    fn every_method_is_there_once_and_belongs_somewhere() {
        for (at, method) in METHODS.iter().enumerate() {
            assert!(
                METHODS[..at].iter().all(|other| other.name != method.name),
                "{}",
                method.name
            );
            let listed = CAPABILITIES.iter().any(|capability| {
                capability.uri == method.capability && capability.methods.contains(&method.name)
            });
            assert!(listed || method.capability == CORE, "{}", method.name);
        }
    }
    fn check(name: &str, to: Option<Standing>, from: Option<Standing>, expected: Option<&str>) {
        let method = find(name).unwrap();
        // With all that a server may have switched off.
        let limits = Limits {
            undelete_seconds: 1,
            trace_seconds: 1,
            ..Limits::default()
        };
        let checked = method.check_accounts(&limits, to, from);
        assert_eq!(
            checked.err().map(MethodErrorKind::as_str),
            expected,
            "{name}"
        );
    }

    #[test]
    fn an_account_without_the_capability_is_not_supported() {
        let (owner, guest) = (Some(Standing::Owner), Some(Standing::Guest));
        let refused = Some("accountNotSupportedByMethod");
        for method in METHODS {
            let is_shared = [CORE, MAIL, BLOB].contains(&method.capability);
            let expected = refused.filter(|_| !is_shared);
            check(method.name, guest, None, expected);
            check(method.name, owner, None, None);
            // One that the caller can't see is the core's matter.
            check(method.name, None, None, None);
        }
        check("Email/copy", owner, guest, None);
        check("Email/copy", guest, owner, None);
        let refused = Some("fromAccountNotSupportedByMethod");
        check("SieveScript/set", owner, guest, refused);
        check("SieveScript/set", owner, None, None);
    }

    #[test]
    fn copies_name_the_account_that_they_are_from() {
        let arguments = |more: &str| {
            let json = format!(r#"{{"fromAccountId":"a7","accountId":"a8",{more}}}"#);
            let value = Value::parse_json(json.leak()).unwrap();
            Arguments::new(value.into_object().unwrap())
        };
        let copy = Copy::<Email>::from_arguments(arguments(r#""create":{}"#)).unwrap();
        let of_blobs = BlobCopy::from_arguments(arguments(r#""blobIds":[]"#)).unwrap();
        let from = AccountId::parse("a7");
        assert_eq!(copy.source_account_id(), from);
        assert_eq!(MethodCall::source_account_id(&of_blobs), from);
    }
}
