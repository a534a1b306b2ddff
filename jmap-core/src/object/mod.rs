//! The shared loops of the standard methods (RFC 8620 §5): what all objects have in common is here,
//! once; an object says only what it is.

mod changes;
mod creation;
mod get;
mod guard;
mod query;
mod set;
#[cfg(test)]
mod tests;

pub use changes::{ChangesObject, delta_since};
pub use creation::resolve_creation_ids;
pub use get::{GetObject, Properties, properties_of};
pub(crate) use guard::{ALONE_AFTER, Guard, States, TRIES};
pub use query::{QueryObject, Results, Search, Window, window};
pub(crate) use set::add_updated;
pub use set::{Rejected, SetObject, Staged, check_state, is_same};
