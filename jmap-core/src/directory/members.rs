//! Who is a member of which group.
//!
//! Holds: a member sees all of the group's mail, so only who looks after both makes one.
//! Other half: `read` makes a caller of it.

use bytes::Bytes;
use jmap_types::AccountId;
use store::{engine::Batch, keys};

use super::{
    DirectoryError, GROUPS_PER_ACCOUNT_MAX,
    read::Account,
    records::{AccountKind, AccountRecord},
};
use crate::{
    Core,
    access::{self, Object, Operation},
    admin::Deed,
    caller::Caller,
};

impl Core {
    /// Makes an account a member of a group. It is none twice: that changes nothing.
    pub async fn add_member(
        &self,
        who: &Caller,
        group: AccountId,
        member: AccountId,
    ) -> Result<(), DirectoryError> {
        self.change_directory(|| self.try_change_member(who, group, member, true))
            .await?;
        self.bus.look_again(member);
        Ok(())
    }

    pub async fn remove_member(
        &self,
        who: &Caller,
        group: AccountId,
        member: AccountId,
    ) -> Result<(), DirectoryError> {
        self.change_directory(|| self.try_change_member(who, group, member, false))
            .await?;
        self.bus.look_again(member);
        Ok(())
    }

    async fn try_change_member(
        &self,
        who: &Caller,
        group: AccountId,
        member: AccountId,
        is_added: bool,
    ) -> Result<(), DirectoryError> {
        let fence = self.fence().await?;
        let of = self
            .account_for(who, Operation::ChangeMembers, group)
            .await?;
        // Who is a member sees the group's mail: both have to be the caller's to look after.
        let added = self.account_for(who, Operation::SeeAccount, member).await?;
        let key = keys::membership(member, group);
        let is_member = self.engine.get(&key).await?.is_some();
        let mut batch = Batch::new();
        let deed = Deed::of_account(Operation::ChangeMembers, group, &of);
        let deed = match is_added {
            true => {
                self.check_new_member(&of, member, &added).await?;
                batch.put(key, Bytes::new());
                deed.field("member", None, Some(added.name.clone()))
            }
            false if is_member => {
                batch.delete(key);
                deed.field("member", Some(added.name.clone()), None)
            }
            false => return Err(DirectoryError::NotFound(member.to_string())),
        };
        if is_added != is_member {
            self.audit(&mut batch, who, deed);
        }
        Ok(self.commit_directory(fence, batch).await?)
    }

    async fn check_new_member(
        &self,
        group: &AccountRecord,
        id: AccountId,
        member: &AccountRecord,
    ) -> Result<(), DirectoryError> {
        if group.kind != AccountKind::Group {
            return Err(DirectoryError::InvalidName {
                why: "the account is not a group",
            });
        }
        if member.kind != AccountKind::Person {
            return Err(DirectoryError::InvalidName {
                why: "a group is no member of a group",
            });
        }
        if self.rows(keys::memberships_of(id), true).await?.len() >= GROUPS_PER_ACCOUNT_MAX {
            return Err(DirectoryError::TooMany("groups of one account"));
        }
        Ok(())
    }

    /// The members of a group, by id: those whom the caller may see.
    pub async fn members(
        &self,
        who: &Caller,
        group: AccountId,
    ) -> Result<Vec<Account>, DirectoryError> {
        self.account_for(who, Operation::SeeAccount, group).await?;
        let mut members = Vec::new();
        // Memberships are ordered by member: all of them are looked at.
        for (key, _) in self
            .rows(keys::all(keys::Subspace::Membership), true)
            .await?
        {
            let (member, of) = keys::decode_membership(&key)
                .ok_or_else(|| store::Error::bad_key("membership", &key))?;
            if of == group
                && let Some(record) = self.account_record(member).await?
                && access::may(who, Operation::SeeAccount, Object::Account(member, &record)).is_ok()
            {
                members.push(Account { id: member, record });
            }
        }
        Ok(members)
    }
}
