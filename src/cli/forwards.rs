//! Commands about mail that goes on: what accounts and aliases forward, and lists.
//!
//! Other half: `execute`, which calls; `jmap_core::directory` keeps what is said here.

use jmap_core::{
    Caller, Core,
    directory::{
        Account, AccountKind, DirectoryError, Forward, ListChange, ListRecord, NewList,
        Posters as CorePosters,
    },
};
use jmap_types::AccountId;

use super::{
    command::{Answer, Command, Posters},
    execute::{CommandError, Done, account_row, account_rows, done},
};

pub(super) async fn execute(core: &Core, who: &Caller, command: Command) -> Done {
    let changed = match command {
        Command::AccountForward { name, to, keep } => {
            let id = core.account_named(&name).await?.id;
            let forward = (!to.is_empty()).then_some(Forward { to, keep });
            core.set_forward(who, id, forward).await?
        }
        Command::ForwardAdd { address, to } => core.add_forwarding_alias(who, &address, to).await?,
        Command::ForwardSet { address, to } => {
            let alias = of_kind(core, &address, AccountKind::Alias).await?;
            let forward = Forward { to, keep: false };
            core.set_forward(who, alias.id, Some(forward)).await?
        }
        Command::ForwardRemove { address } => {
            let alias = of_kind(core, &address, AccountKind::Alias).await?;
            core.remove_account(who, alias.id).await?;
            return done(format!(
                "mail for {} goes nowhere any more",
                alias.record.name
            ));
        }
        Command::ForwardList => return all(core, who, AccountKind::Alias).await,
        Command::ListAdd {
            address,
            owner,
            description,
            posters,
            members,
        } => {
            let new = NewList {
                address,
                owner,
                description,
                posters: core_posters(posters),
                members,
            };
            core.add_list(who, new).await?
        }
        Command::ListSet {
            address,
            description,
            posters,
            add,
            remove,
        } => {
            let list = of_kind(core, &address, AccountKind::List).await?;
            let change = ListChange {
                description,
                posters: posters.map(core_posters),
                members: None,
                add,
                remove,
            };
            core.set_list(who, list.id, change).await?
        }
        Command::ListRemove { address } => {
            let list = of_kind(core, &address, AccountKind::List).await?;
            core.remove_list(who, list.id).await?;
            return done(format!("the list {} was removed", list.record.name));
        }
        Command::ListShow {
            address: Some(address),
        } => of_kind(core, &address, AccountKind::List).await?,
        _ => return all(core, who, AccountKind::List).await,
    };
    Ok(Answer::Account(Box::new(
        account_row(core, &changed).await?,
    )))
}

async fn of_kind(core: &Core, name: &str, kind: AccountKind) -> Result<Account, CommandError> {
    let account = core.account_named(name).await?;
    match account.record.kind == kind {
        true => Ok(account),
        false => Err(DirectoryError::NotFound(name.to_owned()).into()),
    }
}

async fn all(core: &Core, who: &Caller, kind: AccountKind) -> Done {
    let mut accounts = core.accounts(who).await?;
    accounts.retain(|account| account.record.kind == kind);
    Ok(Answer::Accounts(account_rows(core, accounts).await?))
}

pub(super) fn posters(posters: CorePosters) -> Posters {
    match posters {
        CorePosters::Anyone => Posters::Anyone,
        CorePosters::Members => Posters::Members,
        CorePosters::Domain => Posters::Domain,
    }
}

fn core_posters(posters: Posters) -> CorePosters {
    match posters {
        Posters::Anyone => CorePosters::Anyone,
        Posters::Members => CorePosters::Members,
        Posters::Domain => CorePosters::Domain,
    }
}

/// The name of a list's owner.
pub(super) async fn owner(core: &Core, list: &ListRecord) -> Result<Option<String>, CommandError> {
    let account = core
        .account(&Caller::server(), AccountId::new(list.owner))
        .await;
    match account {
        Ok(account) => Ok(Some(account.record.name.clone())),
        Err(DirectoryError::NotFound(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
