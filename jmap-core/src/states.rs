//! The current states of a caller's accounts (RFC 8620 §7.1): what a push starts from.
//!
//! Other half: `bus`, which tells what changes from here on.

use jmap_types::{MethodError, State, data_type::DataTypes};

use crate::{Caller, Core, bus::StateChange, error::method_error};

impl Core {
    /// The states of these types in all accounts that the caller can see.
    pub async fn states(&self, who: &Caller, types: DataTypes) -> Result<StateChange, MethodError> {
        let mut states = StateChange::new();
        for id in who.accounts() {
            let head = self
                .accounts
                .handle(id)
                .head()
                .await
                .map_err(method_error)?;
            let of_account = types.iter().map(|t| (t, State(head.state(t))));
            states.insert(id, of_account.collect());
        }
        Ok(states)
    }
}
