//! Mailbox/query and Mailbox/queryChanges (RFC 8621 §2.3, §2.4).

use std::{cmp::Ordering, collections::HashSet};

use jmap_types::{
    Id, MethodError, WireId,
    mail::{Mailbox, MailboxCondition, MailboxSortKey},
    method::{Comparator, Filter},
};

use super::{chain, get};
use crate::{
    Caller, Context,
    access::Standing,
    error::method_error,
    mail::{
        message::fold,
        view::{MailboxRow, View},
    },
    object::{QueryObject, Results, Search, Window},
};

impl QueryObject for Mailbox {
    async fn search(
        context: &Context,
        search: Search<'_, Self>,
        _window: Option<&Window>,
    ) -> Result<Results, MethodError> {
        let standing = context.standing()?;
        let view = context.account()?.view().await.map_err(method_error)?;
        let who = &context.who;
        let matching = |row: &MailboxRow| {
            search
                .filter
                .is_none_or(|filter| matches(filter, row, who, standing))
        };
        let visible = view
            .mailboxes()
            .filter(|(_, row)| get::is_visible(who, standing, &row.record));
        let all: Vec<u64> = visible.map(|(id, _)| id).collect();
        let mut found: HashSet<u64> = all
            .iter()
            .copied()
            .filter(|&id| view.mailbox(id).is_some_and(matching))
            .collect();
        if search.arguments.filter_as_tree {
            // RFC 8621 §2.3: in the result only with all its ancestors.
            let whole = found.clone();
            found.retain(|&id| chain(&view, id).all(|above| whole.contains(&above)));
        }
        let mut sorted = all;
        sorted.sort_by(|&a, &b| compare(&view, search.sort, a, b));
        if search.arguments.sort_as_tree {
            sorted = as_tree(&view, sorted);
        }
        sorted.retain(|id| found.contains(id));
        Ok(Results::All(sorted))
    }

    /// A parent's name or place moves its children, and a parent that matches brings them in.
    fn can_calculate_changes(search: &Search<'_, Self>) -> bool {
        !search.arguments.sort_as_tree && !search.arguments.filter_as_tree
    }
}

fn matches(
    filter: &Filter<MailboxCondition>,
    row: &MailboxRow,
    who: &Caller,
    standing: Standing,
) -> bool {
    let all = |filters: &[Filter<MailboxCondition>], wanted: bool| {
        filters
            .iter()
            .all(|filter| matches(filter, row, who, standing) == wanted)
    };
    match filter {
        Filter::And(filters) => all(filters, true),
        Filter::Or(filters) => filters
            .iter()
            .any(|filter| matches(filter, row, who, standing)),
        Filter::Not(filters) => all(filters, false),
        Filter::Condition(condition) => meets(condition, row, who, standing),
    }
}

fn meets(condition: &MailboxCondition, row: &MailboxRow, who: &Caller, standing: Standing) -> bool {
    let record = &row.record;
    let parent_is = |wanted: &Option<WireId>| match (wanted, record.parent) {
        (None, None) => true,
        (Some(id), Some(parent)) => id.as_id::<Mailbox>() == Some(Id::new(parent)),
        _ => false,
    };
    let name_has = |part: &String| fold(&record.name).contains(&fold(part));
    let role_is = |role: &Option<String>| record.role.as_deref() == role.as_deref();
    condition.parent_id.as_ref().is_none_or(parent_is)
        && condition.name.as_ref().is_none_or(name_has)
        && condition.role.as_ref().is_none_or(role_is)
        && condition
            .has_any_role
            .is_none_or(|has| record.role.is_some() == has)
        && condition
            .is_subscribed
            .is_none_or(|is| get::is_subscribed(who, standing, record) == is)
}

fn compare(view: &View, sort: &[Comparator<MailboxSortKey>], a: u64, b: u64) -> Ordering {
    let (Some(row_a), Some(row_b)) = (view.mailbox(a), view.mailbox(b)) else {
        return a.cmp(&b);
    };
    let (left, right) = (&row_a.record, &row_b.record);
    for comparator in sort {
        let ordering = match comparator.key {
            MailboxSortKey::SortOrder => left.sort_order.cmp(&right.sort_order),
            MailboxSortKey::Name => {
                collate(comparator.collation.as_deref(), &left.name, &right.name)
            }
            MailboxSortKey::ParentId => left.parent.cmp(&right.parent),
        };
        let ordering = if comparator.is_ascending {
            ordering
        } else {
            ordering.reverse()
        };
        if ordering != Ordering::Equal {
            return ordering;
        }
    }
    a.cmp(&b)
}

/// RFC 8620 §5.5: `i;unicode-casemap` unless the client names another collation.
pub fn collate(collation: Option<&str>, a: &str, b: &str) -> Ordering {
    match collation {
        Some("i;octet") => a.cmp(b),
        Some("i;ascii-casemap") => a.to_ascii_uppercase().cmp(&b.to_ascii_uppercase()),
        Some("i;ascii-numeric") => leading_number(a).cmp(&leading_number(b)),
        _ => a.to_uppercase().cmp(&b.to_uppercase()),
    }
}

/// RFC 4790 §9.1: strings that don't begin with a digit are equal, and after all numbers.
fn leading_number(text: &str) -> (bool, usize, &str) {
    let digits = &text[..text.bytes().take_while(u8::is_ascii_digit).count()];
    let significant = digits.trim_start_matches('0');
    (digits.is_empty(), significant.len(), significant)
}

/// Each mailbox followed by those below it, siblings in the given order (RFC 8621 §2.3 `sortAsTree`).
fn as_tree(view: &View, sorted: Vec<u64>) -> Vec<u64> {
    let visible: HashSet<u64> = sorted.iter().copied().collect();
    let parent = |id: u64| {
        view.mailbox(id)?
            .record
            .parent
            .filter(|parent| visible.contains(parent))
    };
    let mut children: std::collections::HashMap<Option<u64>, Vec<u64>> = Default::default();
    for &id in &sorted {
        children.entry(parent(id)).or_default().push(id);
    }
    let mut tree = Vec::with_capacity(sorted.len());
    let mut open: Vec<u64> = children.remove(&None).unwrap_or_default();
    open.reverse();
    while let Some(id) = open.pop() {
        tree.push(id);
        let below = children.remove(&Some(id)).unwrap_or_default();
        open.extend(below.into_iter().rev());
    }
    tree
}
