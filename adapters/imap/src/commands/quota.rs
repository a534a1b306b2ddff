//! GETQUOTA, GETQUOTAROOT, SETQUOTA (RFC 9208): an account is a quota root, called by its login name, where it has a limit.

use jmap_core::inproc::imap_view::ViewAccount;
use jmap_types::mail::Quota;
use jmap_types::method::Get;
use jmap_types::value::key;

use super::{No, answer};
use crate::command::Command;
use crate::encode::Code;
use crate::encode::access;
use crate::out::Out;
use crate::session::{Flow, Handled, Session};

/// RFC 9208 §5.1: in units of so many octets.
const STORAGE_UNIT: u64 = 1024;

pub fn capabilities(session: &Session) -> &'static [&'static str] {
    super::after_login(session, &["QUOTA", "QUOTA=RES-STORAGE"])
}

/// Octets that an account uses, and may use. `None`: without a limit, or not to be told.
async fn quota(session: &Session, account: &ViewAccount) -> Result<Option<(u64, u64)>, No> {
    let get = Get::<Quota> {
        account_id: account.id,
        ids: None,
        properties: None,
        arguments: (),
    };
    let response = session.server.core.call(session.who()?, get).await?;
    let number = |name: &str| {
        let quota = response.list.first()?.as_object()?;
        quota.get(&key(name))?.as_u64()
    };
    Ok(number("used").zip(number("hardLimit")))
}

fn tell(out: &mut Out, root: &str, (used, limit): (u64, u64)) {
    let storage = access::Quota {
        resource: "STORAGE",
        used: used.div_ceil(STORAGE_UNIT),
        limit: limit / STORAGE_UNIT,
    };
    access::quota(out.buffer(), root, &[storage]);
}

pub async fn get(session: &mut Session, out: &mut Out, tag: &str, command: Command) -> Handled {
    let Command::GetQuota(root) = command else {
        return Ok(Flow::Continue);
    };
    let done = try_get(session, out, &root).await;
    answer(session, out, tag, done, "GETQUOTA done").await
}

async fn try_get(session: &Session, out: &mut Out, root: &str) -> Result<Option<Code>, No> {
    let accounts = session.server.core.view_accounts(session.who()?).await?;
    for account in accounts.iter().filter(|account| account.name == root) {
        if let Some(numbers) = quota(session, account).await? {
            tell(out, root, numbers);
            return Ok(None);
        }
    }
    let text = "There is no such quota root";
    Err(No::Because(Some(Code::NonExistent), text.to_owned()))
}

pub async fn get_root(
    session: &mut Session,
    out: &mut Out,
    tag: &str,
    command: Command,
) -> Handled {
    let Command::GetQuotaRoot(mailbox) = command else {
        return Ok(Flow::Continue);
    };
    let done = try_get_root(session, out, &mailbox).await;
    answer(session, out, tag, done, "GETQUOTAROOT done").await
}

async fn try_get_root(session: &Session, out: &mut Out, name: &str) -> Result<Option<Code>, No> {
    let tree = session.tree().await?;
    let mailbox = super::existing(&tree, name)?;
    let account = tree.account(mailbox.key.account).ok_or_else(No::failed)?;
    let numbers = quota(session, account).await?;
    let roots: Vec<&str> = numbers.iter().map(|_| account.name.as_str()).collect();
    access::quota_root(out.buffer(), name, &roots, session.mode().utf8);
    if let Some(numbers) = numbers {
        tell(out, &account.name, numbers);
    }
    Ok(None)
}

/// Limits are the administrator's to set, elsewhere: QUOTASET is not announced.
pub async fn set(session: &mut Session, out: &mut Out, tag: &str, _: Command) -> Handled {
    let text = "Limits are set by the administrator";
    session.no(out, tag, Some(Code::NoPerm), text).await
}
