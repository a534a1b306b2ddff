//! What accounts log in with: passwords, app passwords and API tokens.

use http::Method;
use jmap_core::{
    access::Operation,
    auth::{Scopes, Secret},
    clock::UtcMillis,
    directory::{self, AccountKind, CredentialKind, NewCredential as NewCoreCredential},
};
use jmap_types::UtcDate;
use serde_json::json;

use super::handler;
use crate::{
    describe::{Described as _, choice, object},
    factors, page,
    problem::{Kind, Problem},
    request::Request,
    table::{Answer, Outcome, Route},
};

choice! {
    /// What kind of credential it is.
    KindOfCredential {
        Password = "password",
        AppPassword = "app-password",
        Token = "token",
        Grant = "grant",
        Totp = "totp",
        Passkey = "passkey",
    }
}

choice! {
    /// What a credential is good for. `submission` and `sieve` count over JMAP too; `vacation` is the vacation response there, which `submission` has in it.
    Scope {
        Imap = "imap",
        Pop3 = "pop3",
        Submission = "submission",
        Jmap = "jmap",
        Sieve = "sieve",
        Vacation = "vacation",
        Api = "api",
    }
}

impl Scope {
    /// Those of a set; `None`: it is good for everything.
    pub fn of(scopes: Scopes) -> Option<Vec<Scope>> {
        let names = scopes.names()?;
        Some(names.iter().filter_map(|name| name.parse().ok()).collect())
    }

    fn set(self) -> Scopes {
        match self {
            Scope::Imap => Scopes::IMAP,
            Scope::Pop3 => Scopes::POP3,
            Scope::Submission => Scopes::SUBMISSION,
            Scope::Jmap => Scopes::JMAP,
            Scope::Sieve => Scopes::SIEVE,
            Scope::Vacation => Scopes::VACATION,
            Scope::Api => Scopes::API,
        }
    }
}

choice! {
    /// What kind of credential can be issued: an app password for mail programs, or a bearer token for programs.
    KindOfNewCredential {
        AppPassword = "app-password",
        Token = "token",
    }
}

object! {
    answer
    /// A credential, without its secret.
    Credential {
        /// Within its account; the password has number 1.
        number: u64,
        kind: KindOfCredential,
        description: String,
        created: String = {"format": "date-time"},
        expires: Option<String> = {"format": "date-time"},
        /// What it is good for; null: everything.
        scopes: Option<Vec<Scope>>,
    }
}

object! {
    request
    /// A new app password or token.
    NewCredential {
        kind: KindOfNewCredential,
        /// What it is for.
        description: Option<String> = {"maxLength": 500},
        /// Null: it is good until it is revoked. What an app password, or a credential with scopes, makes for its own account ends with it.
        expires: Option<String> = {"format": "date-time"},
        /// What it is good for: no more than the credential of whoever makes it; null: everything.
        scopes: Option<Vec<Scope>> = {"minItems": 1, "maxItems": 16},
    }
}

object! {
    answer
    /// A credential that was just made.
    IssuedCredential {
        credential: Credential,
        /// Shown this once; null: the same request was made before, and has been told.
        secret: Option<String>,
    }
}

object! {
    request
    /// A new password.
    NewPassword {
        password: String = {"format": "password", "writeOnly": true, "minLength": 1, "maxLength": 1024},
    }
}

const TAG: &str = "Credentials";

pub fn routes() -> Vec<Route> {
    vec![
        Route::new(
            Method::PUT,
            "/accounts/{account}/password",
            (TAG, "setPassword"),
            "Sets the password of an account; people may set their own, but not by an app password or a credential with scopes",
            Operation::SetPassword,
            handler!(set_password),
        )
        .body(NewPassword::schema)
        .may_fail(&[Kind::InvalidValue]),
        Route::new(
            Method::GET,
            "/accounts/{account}/credentials",
            (TAG, "listCredentials"),
            "Lists what an account logs in with; people see their own",
            Operation::SeeCredentials,
            handler!(list),
        )
        .answers(|schemas| page::schema::<Credential>(schemas, false)),
        Route::new(
            Method::POST,
            "/accounts/{account}/credentials",
            (TAG, "issueCredential"),
            "Makes an app password or a token, and shows its secret once",
            Operation::IssueCredential,
            handler!(issue),
        )
        .body(NewCredential::schema)
        .creates(IssuedCredential::schema),
        Route::new(
            Method::DELETE,
            "/accounts/{account}/credentials/{credential}",
            (TAG, "revokeCredential"),
            "Makes a credential good for nothing from now on; one's own password, second factor and passkeys not by an app password or a credential with scopes, and a second factor or passkey only by who shows once more who they are",
            Operation::RevokeCredential,
            handler!(revoke),
        )
        .may_fail(&[Kind::ConfirmationNeeded, Kind::InvalidValue]),
    ]
}

fn credential(of: &directory::Credential) -> Credential {
    Credential {
        number: of.number,
        kind: of.kind.into(),
        description: of.description.clone(),
        created: super::date_text(of.created),
        expires: of
            .expires
            .map(|expires| super::date_text(expires.seconds())),
        scopes: Scope::of(of.scopes),
    }
}

impl From<CredentialKind> for KindOfCredential {
    fn from(kind: CredentialKind) -> KindOfCredential {
        match kind {
            CredentialKind::Password => KindOfCredential::Password,
            CredentialKind::AppPassword => KindOfCredential::AppPassword,
            CredentialKind::Token => KindOfCredential::Token,
            CredentialKind::Grant => KindOfCredential::Grant,
            CredentialKind::Totp => KindOfCredential::Totp,
            CredentialKind::Passkey => KindOfCredential::Passkey,
        }
    }
}

async fn set_password(request: &Request) -> Outcome {
    let new: NewPassword = request.read()?;
    let account = super::account_of_kind(request, &[AccountKind::Person]).await?;
    let secret = Secret::new(new.password);
    request
        .core
        .set_password(&request.who, account.id, &secret)
        .await?;
    Ok(Answer::nothing())
}

async fn list(request: &Request) -> Outcome {
    let account = super::account_of_kind(request, &[AccountKind::Person]).await?;
    let credentials = request.core.credentials(&request.who, account.id).await?;
    // An account has at most 100 of them: one page.
    let items = credentials.iter().map(|of| json!(credential(of))).collect();
    Ok(Answer::ok(page::json_of(items, None, None)))
}

async fn issue(request: &Request) -> Outcome {
    let new: NewCredential = request.read()?;
    let account = super::account_of_kind(request, &[AccountKind::Person]).await?;
    let expires = match &new.expires {
        Some(text) => Some(moment(request, text)?),
        None => None,
    };
    let description = new.description.unwrap_or_default();
    let new = NewCoreCredential {
        kind: match new.kind {
            KindOfNewCredential::AppPassword => CredentialKind::AppPassword,
            KindOfNewCredential::Token => CredentialKind::Token,
        },
        description: &description,
        expires,
        scopes: match &new.scopes {
            Some(scopes) => scopes
                .iter()
                .fold(Scopes::NONE, |all, scope| all.union(scope.set())),
            None => Scopes::ALL,
        },
    };
    let (core, who) = (&request.core, &request.who);
    let issued = std::sync::OnceLock::new();
    let made = super::made(request, |terms| {
        let issued = &issued;
        async move {
            let new = core.issue_credential(who, account.id, new, &terms).await?;
            let number = new.credential.number.to_string();
            let _ = issued.set(new);
            Ok(number)
        }
    })
    .await?;
    let answer = match issued.into_inner() {
        Some(new) => IssuedCredential {
            credential: credential(&new.credential),
            secret: Some(new.secret.expose().clone()),
        },
        None => {
            let all = core.credentials(who, account.id).await?;
            let found = all.iter().find(|of| of.number.to_string() == made);
            IssuedCredential {
                credential: found.map(credential).ok_or_else(Problem::not_found)?,
                secret: None,
            }
        }
    };
    let place = format!("/accounts/{}/credentials/{made}", account.id);
    Ok(Answer::ok(json!(answer)).created(place))
}

/// A moment that is yet to come.
fn moment(request: &Request, text: &str) -> Result<UtcMillis, Problem> {
    let invalid = |why| Problem::new(Kind::InvalidValue, why);
    let (UtcDate(seconds), _) = jmap_types::date::parse_rfc3339(text)
        .ok_or_else(|| invalid("A moment looks like 2030-01-31T12:00:00Z."))?;
    let at = UtcMillis(seconds.saturating_mul(1000));
    match at.0 > request.site.clock.now().0 {
        true => Ok(at),
        false => Err(invalid("The moment is over.")),
    }
}

async fn revoke(request: &Request) -> Outcome {
    let account = super::account_of_kind(request, &[AccountKind::Person]).await?;
    let number = request.number("credential")?;
    let (core, who) = (&request.core, &request.who);
    if account.id == who.account {
        let confirmed = factors::confirmed(request).await?;
        core.revoke_own(who, number, confirmed.as_ref()).await?;
    } else {
        core.revoke_credential(who, account.id, number).await?;
    }
    Ok(Answer::nothing())
}
