//! Mailbox (RFC 8621 §2).
//! Holds: names are in Normalization Form C and unique among siblings, parents form a forest of bounded depth, a role is given once.
//! Other half: `write` has the transactions, `view` the counts.

mod get;
mod paths;
mod plan;
mod properties;
mod query;
mod rights;
mod set;
#[cfg(test)]
mod tests;
mod tree;

pub(crate) use get::{is_subscribed, is_visible, my_rights, visible_parent};
pub(in crate::mail) use paths::{all_in, create_path};
pub(crate) use paths::{create_levels, with_role};
pub use query::collate;
pub(in crate::mail) use set::share;

use std::collections::HashSet;

use crate::mail::view::View;

/// `id`, its parent, and so on. Ends even where damaged records form a circle.
fn chain(view: &View, id: u64) -> impl Iterator<Item = u64> {
    let mut seen = HashSet::new();
    std::iter::successors(Some(id), move |&id| {
        let parent = view.mailbox(id)?.record.parent?;
        seen.insert(parent).then_some(parent)
    })
}
