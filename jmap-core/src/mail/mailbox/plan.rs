//! What the items of a Mailbox/set come to (RFC 8621 §2.5): nothing is written here.
//!
//! Holds: RFC 8620 §5.3: what fits once all items are done is done, whatever their order; where not all fit, no fewer are done than one by
//! one would be. Each plan is valid: names, roles, parents, depth and number.
//! Other half: `set` writes a plan; `tree` says what fits.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use jmap_types::{
    Id, Property, SetError, SetErrorKind, Value, WireId,
    mail::Mailbox,
    method::CreatedIds,
    value::{Map, MapExt, as_text, string},
};

use super::{
    get,
    properties::{self, Given, Shown},
    rights::{check_grants, check_rights, subscribe_guest},
    tree::{Tree, Wanted, check_name, no_parent, normal},
};
use crate::{
    Context, Limits,
    access::{MailboxRights, Standing},
    mail::{
        records::MailboxRecord,
        view::MailboxCounts,
        write::{self, MailTxn},
    },
    object::{GetObject as _, Rejected, resolve_creation_ids},
};

/// How often all items are looked at together, before it is one by one.
const ROUNDS_MAX: usize = 32;

/// The items of a call.
#[derive(Debug)]
pub(super) struct Items {
    /// A mailbox comes after its parent.
    pub create: Vec<(String, Map)>,
    pub update: Vec<(String, Map)>,
    /// No id twice.
    pub destroy: Vec<String>,
    pub on_destroy_remove_emails: bool,
    pub created_ids: CreatedIds,
}

/// What is read from the view for a call.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub counts: HashMap<u64, MailboxCounts>,
    /// The emails in what is to be destroyed.
    pub emails: HashMap<u64, Vec<u64>>,
}

/// What an item does to a mailbox.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub id: u64,
    pub before: Option<MailboxRecord>,
    pub after: Option<MailboxRecord>,
    /// Another place is asked for.
    is_moved: bool,
    /// What the client doesn't know of it.
    pub server_set: Option<Map>,
}

/// What came of each item, and all mailboxes after that.
#[derive(Debug)]
pub(super) struct Plan {
    pub creates: Vec<Result<Change, SetError>>,
    pub updates: Vec<Result<Change, SetError>>,
    pub destroys: Vec<Result<Change, SetError>>,
    pub tree: Tree,
}

/// Puts mailboxes behind those that are to be their parents. Those whose creation ids go in a circle come last.
pub(super) fn parents_first(mut waiting: Vec<(String, Map)>) -> Vec<(String, Map)> {
    let mut ordered = Vec::with_capacity(waiting.len());
    loop {
        let names: HashSet<String> = waiting.iter().map(|(name, _)| name.clone()).collect();
        let is_free = |(_, properties): &(String, Map)| {
            let parent = properties.find(Property::ParentId).and_then(as_text);
            let parent = parent.and_then(|parent| parent.strip_prefix('#'));
            !parent.is_some_and(|parent| names.contains(parent))
        };
        let (free, blocked): (Vec<_>, Vec<_>) = waiting.into_iter().partition(is_free);
        if free.is_empty() {
            ordered.extend(blocked);
            return ordered;
        }
        ordered.extend(free);
        waiting = blocked;
    }
}

/// One item.
#[derive(Clone, Copy)]
enum Item<'s> {
    Create(u64, &'s Map),
    Update(&'s str, &'s Map),
    Destroy(&'s str),
}

/// What has come of an item so far.
#[derive(Debug)]
enum Tried {
    Done(Box<Change>),
    Refused(SetError),
    /// It doesn't fit with others.
    TakenOut,
}

impl Tried {
    fn from_change(change: Result<Change, Rejected>) -> Result<Self, store::Error> {
        match change {
            Ok(change) => Ok(Self::Done(Box::new(change))),
            Err(Rejected::Set(error)) => Ok(Self::Refused(error)),
            Err(Rejected::Store(error)) => Err(error),
        }
    }

    fn change(&self) -> Option<&Change> {
        match self {
            Self::Done(change) => Some(change),
            Self::Refused(_) | Self::TakenOut => None,
        }
    }
}

/// Works out plans, in a transaction that hasn't changed anything yet.
pub(super) struct Planner<'s> {
    context: &'s Context,
    standing: Standing,
    limits: Arc<Limits>,
    txn: &'s MailTxn,
    seen: &'s Seen,
    items: &'s Items,
    /// Of this call, those of new mailboxes included.
    ids: CreatedIds,
    to_destroy: HashSet<u64>,
}

impl<'s> Planner<'s> {
    pub fn new(
        context: &'s Context,
        txn: &'s MailTxn,
        seen: &'s Seen,
        items: &'s Items,
    ) -> Result<Self, Rejected> {
        let ids = CreatedIds::default();
        for (name, id) in items.created_ids.to_map().into_vec() {
            if let Some(id) = as_text(&id).and_then(WireId::parse) {
                ids.insert(name.to_string().into_owned(), id);
            }
        }
        for (number, (name, _)) in (txn.head.last_id + 1..).zip(&items.create) {
            ids.insert(name.clone(), Mailbox::wire_id(number));
        }
        let to_destroy = items.destroy.iter().filter_map(|id| number_of(id, &ids));
        Ok(Self {
            context,
            standing: context.standing()?,
            limits: context.core.limits(),
            txn,
            seen,
            items,
            to_destroy: to_destroy.collect(),
            ids,
        })
    }

    pub async fn plan(&self) -> Result<Plan, Rejected> {
        let tree = Tree::read(self.txn).await?;
        let together = self.together(tree.clone()).await?;
        if let Some(end) = together {
            if end.is_whole {
                return Ok(self.sorted(end));
            }
            let single = self.one_by_one(tree).await?;
            return Ok(self.sorted(match end.done() > single.done() {
                true => end,
                false => single,
            }));
        }
        let single = self.one_by_one(tree).await?;
        Ok(self.sorted(single))
    }

    /// In the order of RFC 8620 §5.3.
    fn list(&self) -> impl Iterator<Item = Item<'s>> + use<'s> {
        let first = self.txn.head.last_id + 1;
        let items = self.items;
        let creates = (first..).zip(&items.create);
        let creates = creates.map(|(number, (_, properties))| Item::Create(number, properties));
        let updates = items.update.iter();
        let updates = updates.map(|(id, patch)| Item::Update(id, patch));
        let destroys = items.destroy.iter().map(|id| Item::Destroy(id));
        creates.chain(updates).chain(destroys)
    }

    fn sorted(&self, end: End) -> Plan {
        let outcome = |tried: Tried| match tried {
            Tried::Done(change) => Ok(*change),
            Tried::Refused(error) => Err(error),
            Tried::TakenOut => Err(SetError::new(SetErrorKind::ServerFail)),
        };
        let mut outcomes = end.tried.into_iter().map(outcome);
        let (creates, updates) = (self.items.create.len(), self.items.update.len());
        Plan {
            creates: outcomes.by_ref().take(creates).collect(),
            updates: outcomes.by_ref().take(updates).collect(),
            destroys: outcomes.collect(),
            tree: end.tree,
        }
    }

    /// Each as of what those before it have left.
    async fn one_by_one(&self, mut tree: Tree) -> Result<End, store::Error> {
        let mut tried = Vec::new();
        for item in self.list() {
            tried.push(self.one(&mut tree, item).await?);
        }
        Ok(End {
            tried,
            tree,
            is_whole: false,
        })
    }

    async fn one(&self, tree: &mut Tree, item: Item<'_>) -> Result<Tried, store::Error> {
        let tried = Tried::from_change(self.by_itself(tree, item).await)?;
        let Some(change) = tried.change() else {
            return Ok(tried);
        };
        tree.put(change.id, change.after.clone());
        if let Err(error) = self.check(tree, change) {
            tree.put(change.id, change.before.clone());
            return Ok(Tried::Refused(error));
        }
        Ok(tried)
    }

    /// All that are right by themselves at once. Those that don't fit then are taken out, the last ones first, until the others do, and have
    /// their turn one by one. `None`: too much depends on each other.
    async fn together(&self, mut tree: Tree) -> Result<Option<End>, store::Error> {
        let mut all = Vec::new();
        for item in self.list() {
            let tried = Tried::from_change(self.by_itself(&tree, item).await)?;
            if let Some(change) = tried.change() {
                tree.put(change.id, change.after.clone());
            }
            all.push(tried);
        }
        // What is below a loop is as deep as one likes: loops go first.
        let mut is_whole = !take_out(&mut all, &mut tree, is_loop);
        let mut rounds = 0;
        while take_out(&mut all, &mut tree, |tree, change| {
            self.check(tree, change).is_err()
        }) {
            is_whole = false;
            rounds += 1;
            if rounds == ROUNDS_MAX {
                return Ok(None);
            }
        }
        for (item, tried) in self.list().zip(&mut all) {
            if matches!(tried, Tried::TakenOut) {
                *tried = self.one(&mut tree, item).await?;
            }
        }
        Ok(Some(End {
            tried: all,
            tree,
            is_whole,
        }))
    }

    /// What an item does, as far as no other mailbox has to be asked but its parent.
    async fn by_itself(&self, tree: &Tree, item: Item<'_>) -> Result<Change, Rejected> {
        match item {
            Item::Create(id, properties) => self.create(tree, id, properties).await,
            Item::Update(id, patch) => self.update(tree, id, patch).await,
            Item::Destroy(id) => self.destroy(tree, id).await,
        }
    }

    async fn create(&self, tree: &Tree, id: u64, properties: &Map) -> Result<Change, Rejected> {
        let mut properties = properties.clone();
        resolve_creation_ids(&mut properties, &self.ids)?;
        let mut record = MailboxRecord {
            name: String::new(),
            parent: None,
            role: None,
            sort_order: 0,
            is_subscribed: false,
            share_with: Vec::new(),
            // It gets one when it is written.
            uid_validity: 0,
        };
        let given = Given::read(properties, &mut record)?;
        if !given.name {
            return Err(SetError::invalid_property("name", "A mailbox has a name.").into());
        }
        let normalized = self.normalize(&mut record)?;
        check_grants(self.context, &[], &record).await?;
        let (who, standing) = (&self.context.who, self.standing);
        if standing == Standing::Guest {
            if given.share_with {
                let why = "You may not choose whom a mailbox of others is shared with.";
                return Err(SetError::forbidden(why).into());
            }
            // It belongs to those who had the parent.
            let parent = record.parent.and_then(|id| tree.get(id));
            record.share_with = parent.map_or_else(Vec::new, |above| above.share_with.clone());
        }
        let rights = get::my_rights(who, standing, id, &record);
        let mut server_set = get::server_set(MailboxCounts::default(), rights);
        // Properties that the client left out have these values now (RFC 8620 §5.3).
        if !given.sort_order {
            server_set.set(Property::SortOrder, record.sort_order);
        }
        if !given.role {
            server_set.set(Property::Role, record.role.clone());
        }
        if !given.is_subscribed {
            server_set.set(Property::IsSubscribed, record.is_subscribed);
        }
        if !given.parent {
            server_set.set(Property::ParentId, Value::Null);
        }
        if normalized.is_some() {
            server_set.set(Property::Name, string(&record.name));
        }
        Ok(Change {
            id,
            before: None,
            after: Some(record),
            is_moved: true,
            server_set: Some(server_set),
        })
    }

    /// Brings a new name into its normal form: the name, if it is another one than was given.
    fn normalize(&self, record: &mut MailboxRecord) -> Result<Option<Map>, SetError> {
        let name = normal(&record.name);
        check_name(&self.limits, &name)?;
        let is_other = name != record.name;
        record.name = name;
        // RFC 8620 §5.3: the client is told what it doesn't know.
        Ok(is_other.then(|| Map::new().with(Property::Name, string(&record.name))))
    }

    async fn update(&self, tree: &Tree, id: &str, patch: &Map) -> Result<Change, Rejected> {
        let id = number_of(id, &self.ids).ok_or_else(SetError::not_found)?;
        if self.to_destroy.contains(&id) {
            return Err(SetError::new(SetErrorKind::WillDestroy).into());
        }
        let (who, standing) = (&self.context.who, self.standing);
        let old = self.visible(tree, id)?;
        let mut patch = patch.clone();
        resolve_creation_ids(&mut patch, &self.ids)?;
        let rights = get::my_rights(who, standing, id, old);
        if properties::has_server_set(&patch) {
            let counts = self.seen.counts.get(&id).copied().unwrap_or_default();
            let shown = get::server_set(counts, rights)
                .with(Property::Id, Id::<Mailbox>::new(id).to_string());
            patch = properties::take_server_set(patch, shown)?;
        }
        let mut record = old.clone();
        if standing == Standing::Guest {
            // A guest's subscription is in the grant.
            record.is_subscribed = get::is_subscribed(who, standing, old);
        }
        let shown = Shown {
            parent: self.visible_parent(tree, old),
            may_share: rights.contains(MailboxRights::SHARE),
        };
        let is_moved = properties::apply_patch(&mut record, shown, patch)?;
        // A name from before names were normalized stays as it is.
        let server_set = match record.name != old.name {
            true => self.normalize(&mut record)?,
            false => None,
        };
        check_rights(self.context, id, old, &record)?;
        check_grants(self.context, &old.share_with, &record).await?;
        if standing == Standing::Guest {
            subscribe_guest(self.context, &mut record);
            record.is_subscribed = old.is_subscribed;
        }
        Ok(Change {
            id,
            before: Some(old.clone()),
            after: Some(record),
            is_moved,
            server_set,
        })
    }

    async fn destroy(&self, tree: &Tree, id: &str) -> Result<Change, Rejected> {
        let id = number_of(id, &self.ids).ok_or_else(SetError::not_found)?;
        let old = self.visible(tree, id)?;
        let rights = get::my_rights(&self.context.who, self.standing, id, old);
        if !rights.contains(MailboxRights::DELETE) {
            return Err(SetError::forbidden("This mailbox may not be destroyed.").into());
        }
        if !self.items.on_destroy_remove_emails && self.has_email(id).await? {
            let mut children = tree.children(id);
            let kind = match children.any(|child| !self.to_destroy.contains(&child)) {
                true => SetErrorKind::MailboxHasChild,
                false => SetErrorKind::MailboxHasEmail,
            };
            return Err(SetError::new(kind).into());
        }
        Ok(Change {
            id,
            before: Some(old.clone()),
            after: None,
            is_moved: false,
            server_set: None,
        })
    }

    /// RFC 8621 §4.1.1: JMAP doesn't see what has `\Deleted` there; it doesn't keep the mailbox, and goes with it.
    async fn has_email(&self, mailbox: u64) -> Result<bool, store::Error> {
        for &email in self.seen.emails.get(&mailbox).into_iter().flatten() {
            let Some(record) = write::any_email(self.txn, email).await? else {
                continue;
            };
            let mut places = record.all_places.iter();
            if places.any(|place| place.mailbox == mailbox && !place.is_deleted) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn sees(&self, record: &MailboxRecord) -> bool {
        get::is_visible(&self.context.who, self.standing, record)
    }

    fn visible<'t>(&self, tree: &'t Tree, id: u64) -> Result<&'t MailboxRecord, SetError> {
        let record = tree.get(id).filter(|record| self.sees(record));
        record.ok_or_else(SetError::not_found)
    }

    /// As [`get::visible_parent`]; an owner sees also a parent that isn't there any more.
    fn visible_parent(&self, tree: &Tree, record: &MailboxRecord) -> Option<u64> {
        let sees = |id: &u64| tree.get(*id).is_some_and(|parent| self.sees(parent));
        record
            .parent
            .filter(|id| self.standing == Standing::Owner || sees(id))
    }

    /// Whether a change that is in the tree fits with all others there.
    fn check(&self, tree: &Tree, change: &Change) -> Result<(), SetError> {
        let Some(after) = tree.get(change.id) else {
            return match tree.has_child(change.id) {
                true => Err(SetError::new(SetErrorKind::MailboxHasChild)),
                false => Ok(()),
            };
        };
        if change.before.is_none() && tree.len() as u64 > self.limits.max_mailboxes {
            let why = "There are too many mailboxes.";
            return Err(SetError::describe(SetErrorKind::OverQuota, why));
        }
        if change.is_moved {
            self.check_parent(tree, after.parent)?;
        }
        let wanted = Wanted {
            id: change.id,
            before: change.before.as_ref(),
            after,
        };
        tree.check_place(&self.limits, wanted, |record| self.sees(record))
    }

    /// RFC 8621 §2 `mayCreateChild`: guests put mailboxes below those where they may, and never at the top. A mailbox that
    /// they don't see isn't there.
    fn check_parent(&self, tree: &Tree, parent: Option<u64>) -> Result<(), SetError> {
        if self.standing == Standing::Owner {
            return Ok(());
        }
        let Some(id) = parent else {
            return Err(SetError::forbidden("The top is the owner's alone."));
        };
        let parent = self.visible(tree, id).map_err(|_| no_parent())?;
        let rights = get::my_rights(&self.context.who, self.standing, id, parent);
        if !rights.contains(MailboxRights::CREATE_CHILD) {
            return Err(SetError::forbidden("You may not put a mailbox there."));
        }
        Ok(())
    }
}

/// A plan that is being worked out.
#[derive(Debug)]
struct End {
    tried: Vec<Tried>,
    tree: Tree,
    /// All that are right by themselves fit together.
    is_whole: bool,
}

impl End {
    fn done(&self) -> usize {
        let done = self.tried.iter().filter_map(Tried::change);
        done.count()
    }
}

/// Takes changes that are wrong out, the last ones first; and with each, what was done to the same mailbox after it. Whether there were any.
fn take_out(all: &mut [Tried], tree: &mut Tree, is_wrong: impl Fn(&Tree, &Change) -> bool) -> bool {
    let mut was_any = false;
    for at in (0..all.len()).rev() {
        let Some(change) = all.get(at).and_then(Tried::change) else {
            continue;
        };
        if !is_wrong(tree, change) {
            continue;
        }
        was_any = true;
        let id = change.id;
        for tried in all.iter_mut().skip(at).rev() {
            if let Some(change) = tried.change().filter(|change| change.id == id) {
                tree.put(id, change.before.clone());
                *tried = Tried::TakenOut;
            }
        }
    }
    was_any
}

fn is_loop(tree: &Tree, change: &Change) -> bool {
    let before = change.before.as_ref();
    tree.get(change.id).is_some_and(|after| {
        let is_moved = before.is_none_or(|before| before.parent != after.parent);
        is_moved && tree.is_loop(change.id, after.parent)
    })
}

/// The mailbox that an id, or a creation id behind `#`, names.
pub(super) fn number_of(id: &str, created_ids: &CreatedIds) -> Option<u64> {
    let id = match id.strip_prefix('#') {
        Some(creation_id) => created_ids.get(creation_id)?,
        None => WireId::parse(id)?,
    };
    Mailbox::parse_id(&id)
}
