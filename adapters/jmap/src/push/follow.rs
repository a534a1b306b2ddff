//! The changes that a client follows, of the accounts that it may see.
//!
//! Holds: what was shared is told of at once, and what isn't any more is not told of, from the moment on at which that
//! has changed; nothing is missed in between.
//! Other half: `Login`, which knows what the client may see.

use jmap_core::{
    Core,
    bus::{StateChange, Subscription},
};
use jmap_types::{AccountId, MethodError, data_type::DataTypes};

use super::seen::Seen;
use crate::auth::Login;

/// See the module.
pub struct Following {
    core: Core,
    subscription: Subscription,
    accounts: Vec<AccountId>,
    pub types: DataTypes,
    pub seen: Seen,
}

/// The login is no longer good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Over;

impl Following {
    /// Begins with what is current, which counts as seen; also gives it.
    pub async fn begin(
        core: &Core,
        login: &Login,
        types: DataTypes,
    ) -> Result<(Self, StateChange), MethodError> {
        // The subscription first: what changes after it is not missed.
        let subscription = core.subscribe(&login.who, types);
        let current = core.states(&login.who, types).await?;
        let mut seen = Seen::default();
        seen.advance(&current);
        let following = Self {
            core: core.clone(),
            subscription,
            accounts: login.who.accounts().collect(),
            types,
            seen,
        };
        Ok((following, current))
    }

    /// The next change, as the core tells it: to be given to [`Following::visible`].
    pub async fn next(&mut self) -> StateChange {
        self.subscription.next().await
    }

    /// What of a change the client may hear now; possibly nothing. It counts as seen then.
    pub async fn visible(
        &mut self,
        change: StateChange,
        login: &mut Login,
    ) -> Result<StateChange, Over> {
        if !login.refresh().await {
            return Err(Over);
        }
        let change = self.caught_up(change, login).await;
        self.seen.advance(&change);
        Ok(change)
    }

    /// A change, or, where the accounts are others than before, all that has changed in those of now.
    async fn caught_up(&mut self, change: StateChange, login: &Login) -> StateChange {
        let accounts: Vec<AccountId> = login.who.accounts().collect();
        if accounts == self.accounts {
            return change;
        }
        self.subscription = self.core.subscribe(&login.who, self.types);
        self.accounts = accounts;
        match self.core.states(&login.who, self.types).await {
            Ok(current) => self.seen.missed(&current),
            Err(error) => {
                tracing::error!(%error, "the states could not be read");
                let is_visible = |account: &AccountId| self.accounts.contains(account);
                change
                    .into_iter()
                    .filter(|(account, _)| is_visible(account))
                    .collect()
            }
        }
    }
}
