//! NOTIFY (RFC 5465): a client is told of what happens, in the selected mailbox and in others, also while it says nothing.
//!
//! Holds: one subscription a session, which gathers what comes while something is sent; what a client was told of a mailbox is compared
//! with what is there now, so that events may be missed and nothing is, and many changes of one mailbox are one line. What its own
//! CREATE, DELETE, RENAME, SUBSCRIBE and UNSUBSCRIBE have done a client isn't told again.
//! Other half: `changes`, which tells of the selected mailbox; `jmap_core::bus`.

use std::collections::HashMap;

use jmap_core::access::MailboxRights;
use jmap_core::bus::{StateChange, Subscription};
use jmap_core::inproc::imap_view::{MailboxKey, MetadataOf, ViewStatus};
use jmap_types::{DataType, data_type::DataTypes};

use super::changes::Expunges;
use super::list::told_attributes;
use super::{No, fetch, multisearch};
use crate::command::{Command, FetchItem, Notify, NotifyEvent, NotifyGroup, NotifyMailboxes};
use crate::encode::mailbox::{Attribute, ListData, StatusValue, list, status};
use crate::encode::{Code, Status, access};
use crate::out::Out;
use crate::selected::Applied;
use crate::session::{Flow, Handled, Session};
use crate::translate::names::{self, Tree};

mod lists;

/// Mailboxes that a client sees, if it watches others than the selected one.
pub const WATCHED_MAILBOXES_MAX: usize = 2_000;
/// Items that are shown of a new message.
pub const NEW_ITEMS_MAX: usize = 50;

/// RFC 5465 §5: the events that there are.
const EVENTS: [&str; 7] = [
    "MessageNew",
    "MessageExpunge",
    "FlagChange",
    "MailboxName",
    "SubscriptionChange",
    "MailboxMetadataChange",
    "ServerMetadataChange",
];

/// What a client has asked to be told of.
#[derive(Debug, Default)]
pub struct Watch {
    of_selected: OfSelected,
    groups: Vec<(NotifyMailboxes, Events)>,
    server_metadata: bool,
    /// `None`: nothing is watched.
    subscription: Option<Subscription>,
    /// What the client has been told of, of all mailboxes that it sees.
    known: HashMap<MailboxKey, Known>,
    /// Annotations of the server are known up to this sequence of the own account.
    server_since: u64,
}

/// Of the selected mailbox.
#[derive(Clone, Debug, Default)]
pub struct OfSelected {
    /// MessageNew and MessageExpunge.
    pub messages: bool,
    pub flags: bool,
    /// EXPUNGE waits for a command (§6.1.2).
    is_delayed: bool,
    /// What is shown of new messages.
    items: Option<Vec<FetchItem>>,
}

/// Of one of the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Events {
    messages: bool,
    flags: bool,
    names: bool,
    subscriptions: bool,
    metadata: bool,
}

impl Events {
    fn and(self, other: Events) -> Events {
        Events {
            messages: self.messages || other.messages,
            flags: self.flags || other.flags,
            names: self.names || other.names,
            subscriptions: self.subscriptions || other.subscriptions,
            metadata: self.metadata || other.metadata,
        }
    }
}

/// What a client knows of a mailbox.
#[derive(Debug)]
struct Known {
    name: String,
    /// Its place in the tree: a mailbox whose name changes by that of one above it has the same still.
    place: (Option<u64>, String),
    is_subscribed: bool,
    events: Events,
    status: Option<ViewStatus>,
    /// Annotations are known up to this sequence of its account.
    metadata_since: u64,
}

impl Watch {
    /// The next change; never, where nothing is watched.
    pub async fn next(watch: Option<&mut Watch>) -> StateChange {
        match watch.and_then(|watch| watch.subscription.as_mut()) {
            Some(subscription) => subscription.next().await,
            None => std::future::pending().await,
        }
    }
}

pub fn capabilities(session: &Session) -> &'static [&'static str] {
    super::after_login(session, &["NOTIFY"])
}

pub async fn notify(session: &mut Session, out: &mut Out, tag: &str, command: Command) -> Handled {
    let Command::Notify(asked) = command else {
        return session.bad(out, tag, "That is no NOTIFY");
    };
    let Some(asked) = asked else {
        session.watch = Some(Box::default());
        out.tagged(tag, Status::Ok, None, "Nothing will be told");
        return Ok(Flow::Continue);
    };
    let tells_status = asked.status;
    let watch = match Watch::of(asked) {
        Ok(watch) => watch,
        Err(Refused::BadEvent) => {
            let code = Code::BadEvent(EVENTS.to_vec());
            let text = "There is no such event";
            return session.no(out, tag, Some(code), text).await;
        }
        Err(Refused::Bad(text)) => return session.bad(out, tag, text),
    };
    match session.begin_watch(out, watch, tells_status).await {
        Ok(()) => session.ok(out, tag, None, "NOTIFY done").await,
        Err(No::Because(code, text)) => session.no(out, tag, code, &text).await,
        Err(No::Lost(error)) => Err(error),
    }
}

/// Why a NOTIFY is not taken.
enum Refused {
    /// §3.1: an event that isn't known, or AnnotationChange, of annotations that messages don't have here.
    BadEvent,
    Bad(&'static str),
}

impl Watch {
    fn of(asked: Notify) -> Result<Watch, Refused> {
        let is_unknown = |event: &NotifyEvent| {
            matches!(event, NotifyEvent::AnnotationChange | NotifyEvent::Other(_))
        };
        if asked
            .groups
            .iter()
            .any(|group| group.events.iter().any(is_unknown))
        {
            return Err(Refused::BadEvent);
        }
        let mut watch = Watch::default();
        let mut has_selected = false;
        for group in asked.groups {
            let is_delayed = group.mailboxes == NotifyMailboxes::SelectedDelayed;
            if is_delayed || group.mailboxes == NotifyMailboxes::Selected {
                if has_selected {
                    return Err(Refused::Bad("The selected mailbox is there twice"));
                }
                has_selected = true;
                watch.of_selected = of_selected(group, is_delayed)?;
                continue;
            }
            let events = events(&group, false)?;
            watch.server_metadata |= group.events.contains(&NotifyEvent::ServerMetadataChange);
            if events != Events::default() {
                watch.groups.push((group.mailboxes, events));
            }
        }
        Ok(watch)
    }

    fn is_of_nothing(&self) -> bool {
        !self.of_selected.messages && self.groups.is_empty() && !self.server_metadata
    }

    /// The events of each mailbox that the client sees.
    fn events(&self, tree: &Tree) -> HashMap<MailboxKey, Events> {
        let mut all: HashMap<MailboxKey, Events> = HashMap::new();
        for (source, events) in &self.groups {
            // §6.3: scripts can file a message anywhere.
            let source = match source {
                NotifyMailboxes::Inboxes => &NotifyMailboxes::Personal,
                source => source,
            };
            for key in multisearch::mailboxes_of(tree, source, None) {
                let known = all.entry(key).or_default();
                *known = known.and(*events);
            }
        }
        all
    }
}

fn of_selected(group: NotifyGroup, is_delayed: bool) -> Result<OfSelected, Refused> {
    let Events {
        messages, flags, ..
    } = events(&group, true)?;
    let items = group.events.into_iter().find_map(|event| match event {
        NotifyEvent::MessageNew(items) => items,
        _ => None,
    });
    if items
        .as_ref()
        .is_some_and(|items| items.len() > NEW_ITEMS_MAX)
    {
        return Err(Refused::Bad("That is too much of a new message"));
    }
    Ok(OfSelected {
        messages,
        flags,
        is_delayed,
        items,
    })
}

/// §5, §6.1, §8: what goes with what.
fn events(group: &NotifyGroup, is_selected: bool) -> Result<Events, Refused> {
    let mut events = Events::default();
    let (mut new, mut expunge) = (false, false);
    for event in &group.events {
        let is_of_messages = match event {
            NotifyEvent::MessageNew(items) => {
                if items.is_some() && !is_selected {
                    let text = "Only of messages in the selected mailbox something is shown";
                    return Err(Refused::Bad(text));
                }
                new = true;
                true
            }
            NotifyEvent::MessageExpunge => {
                expunge = true;
                true
            }
            NotifyEvent::FlagChange => {
                events.flags = true;
                true
            }
            NotifyEvent::MailboxName => {
                events.names = true;
                false
            }
            NotifyEvent::SubscriptionChange => {
                events.subscriptions = true;
                false
            }
            NotifyEvent::MailboxMetadataChange => {
                events.metadata = true;
                false
            }
            NotifyEvent::ServerMetadataChange => false,
            NotifyEvent::AnnotationChange | NotifyEvent::Other(_) => return Err(Refused::BadEvent),
        };
        if is_selected && !is_of_messages {
            return Err(Refused::Bad(
                "Of the selected mailbox, there are messages alone",
            ));
        }
    }
    if new != expunge || (events.flags && !new) {
        let text = "MessageNew and MessageExpunge go together, and FlagChange goes with them";
        return Err(Refused::Bad(text));
    }
    events.messages = new;
    Ok(events)
}

impl Session {
    /// `None`: what is usual, without NOTIFY.
    pub fn of_selected(&self) -> Option<&OfSelected> {
        self.watch.as_ref().map(|watch| &watch.of_selected)
    }

    fn subscribe(&self, watch: &Watch) -> Option<Subscription> {
        let caller = self.caller.as_ref().filter(|_| !watch.is_of_nothing())?;
        let mut types: DataTypes = [DataType::Email, DataType::Mailbox].into_iter().collect();
        if watch.server_metadata {
            // Annotations of the server come with it.
            types = types.with(DataType::Quota);
        }
        Some(self.server.core.subscribe(caller, types))
    }

    /// Watches from here on, in place of what was watched before.
    async fn begin_watch(
        &mut self,
        out: &mut Out,
        mut watch: Watch,
        tells_status: bool,
    ) -> Result<(), No> {
        watch.subscription = self.subscribe(&watch);
        let tree = self.tree().await?;
        watch.known = self.look(&watch, &tree).await?;
        if watch.server_metadata {
            watch.server_since = self.server_metadata(u64::MAX).await?.1;
        }
        let selected = self.selected.as_ref().map(|selected| selected.key);
        let utf8 = self.mode().utf8;
        for node in tree.nodes() {
            let Some(mailbox) = &node.mailbox else {
                continue;
            };
            let Some(known) = watch.known.get(&mailbox.key) else {
                continue;
            };
            // §3.1: what the client sees and may not read.
            if known.events != Events::default()
                && !mailbox.rights.contains(MailboxRights::READ_ITEMS)
            {
                let mut attributes = told_attributes(node);
                attributes.push(Attribute::NoAccess);
                tell_list(out, &node.name, &attributes, None, utf8);
            }
            if let Some(now) = &known.status
                && tells_status
                && selected != Some(mailbox.key)
            {
                let mut values = vec![
                    StatusValue::Messages(now.messages),
                    StatusValue::UidNext(now.uid_next),
                    StatusValue::UidValidity(now.uid_validity),
                ];
                if known.events.flags {
                    values.push(StatusValue::HighestModseq(now.highest_modseq));
                }
                status(out.buffer(), &node.name, &values, utf8);
                out.settle().await?;
            }
        }
        self.watch = Some(Box::new(watch));
        Ok(())
    }

    /// All mailboxes as they are.
    async fn look(&self, watch: &Watch, tree: &Tree) -> Result<HashMap<MailboxKey, Known>, No> {
        let mut known = HashMap::new();
        if watch.groups.is_empty() {
            return Ok(known);
        }
        let mailboxes = tree.nodes().iter().filter_map(|node| {
            let mailbox = node.mailbox.as_ref()?;
            Some((node, mailbox))
        });
        if mailboxes.clone().count() > WATCHED_MAILBOXES_MAX {
            let text = "There are too many mailboxes to watch";
            return Err(No::Because(
                Some(Code::NotificationOverflow),
                text.to_owned(),
            ));
        }
        let events = watch.events(tree);
        let (core, who) = (&self.server.core, self.who()?);
        for (node, mailbox) in mailboxes {
            let events = events.get(&mailbox.key).copied().unwrap_or_default();
            let is_readable = mailbox.rights.contains(MailboxRights::READ_ITEMS);
            let status = match events.messages && is_readable {
                true => core.view_status(who, mailbox.key).await.ok(),
                false => None,
            };
            let metadata_since = match watch.known.get(&mailbox.key) {
                _ if !events.metadata => 0,
                Some(before) if before.events.metadata => before.metadata_since,
                _ => {
                    let of = MetadataOf::Mailbox(mailbox.key);
                    let now = core.view_metadata_changes(who, of, u64::MAX).await;
                    now.map_or(u64::MAX, |(_, now)| now)
                }
            };
            known.insert(
                mailbox.key,
                Known {
                    name: node.name.clone(),
                    place: (mailbox.parent, mailbox.name.clone()),
                    is_subscribed: mailbox.is_subscribed,
                    events,
                    status,
                    metadata_since,
                },
            );
        }
        Ok(known)
    }

    async fn server_metadata(&self, since: u64) -> Result<(Vec<String>, u64), No> {
        let (core, who) = (&self.server.core, self.who()?);
        let changes = core.view_metadata_changes(who, MetadataOf::Server, since);
        Ok(changes.await?)
    }

    /// Something has happened, while no command is carried out.
    pub async fn tell_events(&mut self, out: &mut Out, change: &StateChange) {
        let expunges = match self.of_selected() {
            Some(OfSelected {
                is_delayed: false, ..
            }) => Expunges::Told,
            _ => Expunges::Kept,
        };
        self.tell_watched(out, change, expunges).await;
    }

    /// The same during IDLE, which allows for EXPUNGE.
    pub async fn tell_idle_events(&mut self, out: &mut Out, change: &StateChange) {
        self.tell_watched(out, change, Expunges::Told).await;
    }

    async fn tell_watched(&mut self, out: &mut Out, change: &StateChange, expunges: Expunges) {
        let Some(who) = &self.caller else {
            return;
        };
        match self.server.core.current(who).await {
            Ok(Some(current)) => self.caller = Some(current),
            // The next command will end the session, and say why.
            Ok(None) | Err(_) => {
                if let Some(watch) = &mut self.watch {
                    watch.subscription = None;
                }
                return;
            }
        }
        if change.is_empty()
            && let Some(watch) = &self.watch
        {
            // The caller may see more or less than before.
            let subscription = self.subscribe(watch);
            if let Some(watch) = &mut self.watch {
                watch.subscription = subscription;
            }
        }
        self.tell_changes(out, expunges).await;
        self.tell_others(out, &[]).await;
    }

    /// The names that a command makes, changes or takes away, as far as somebody watches.
    pub fn own_names(&self, command: &Command) -> Vec<String> {
        let watches = |watch: &Watch| !watch.groups.is_empty();
        if !self.watch.as_deref().is_some_and(watches) {
            return Vec::new();
        }
        let names: Vec<&String> = match command {
            Command::Create { mailbox, .. } => vec![mailbox],
            Command::Delete(name) | Command::Subscribe(name) | Command::Unsubscribe(name) => {
                vec![name]
            }
            Command::Rename { from, to } => vec![from, to],
            _ => Vec::new(),
        };
        names
            .into_iter()
            .filter_map(|name| names::canonical(name))
            .collect()
    }

    /// Tells what has happened, but for what the client itself has done to these names.
    pub async fn tell_names(&mut self, out: &mut Out, own: &[String]) {
        self.tell_others(out, own).await;
    }

    /// Tells of the mailboxes that aren't selected, and of the server.
    async fn tell_others(&mut self, out: &mut Out, own: &[String]) {
        let Some(mut watch) = self.watch.take() else {
            return;
        };
        match self.compare(out, &mut watch, own).await {
            Ok(()) => self.watch = Some(watch),
            // §5.8: as if it was NOTIFY NONE.
            Err(_) => {
                let code = Code::NotificationOverflow;
                out.untagged(Status::Ok, Some(&code), "Nothing is watched any more");
                self.watch = Some(Box::default());
            }
        }
    }

    async fn compare(&self, out: &mut Out, watch: &mut Watch, own: &[String]) -> Result<(), No> {
        let utf8 = self.mode().utf8;
        if watch.server_metadata {
            let (entries, now) = self.server_metadata(watch.server_since).await?;
            watch.server_since = now;
            tell_metadata(out, "", &entries, utf8);
        }
        if watch.groups.is_empty() {
            return Ok(());
        }
        let tree = self.tree().await?;
        let mut known = self.look(watch, &tree).await?;
        let lists = lists::Lists {
            before: &watch.known,
            now: &known,
            own,
        };
        lists.tell(out, &tree, utf8);
        let selected = self.selected.as_ref().map(|selected| selected.key);
        let (core, who) = (&self.server.core, self.who()?);
        for node in tree.nodes() {
            let Some(key) = node.mailbox.as_ref().map(|mailbox| mailbox.key) else {
                continue;
            };
            let Some(now) = known.get_mut(&key) else {
                continue;
            };
            let before = watch.known.get(&key);
            if selected != Some(key)
                && let Some(before) = before.and_then(|before| before.status.as_ref())
                && let Some(status_now) = &now.status
            {
                self.tell_status(out, &node.name, now.events, before, status_now);
            }
            // What is new to be watched is as it is.
            if now.events.metadata && before.is_some_and(|before| before.events.metadata) {
                let of = MetadataOf::Mailbox(key);
                let changes = core.view_metadata_changes(who, of, now.metadata_since);
                if let Ok((entries, sequence)) = changes.await {
                    now.metadata_since = sequence;
                    tell_metadata(out, &node.name, &entries, utf8);
                }
            }
            out.settle().await?;
        }
        watch.known = known;
        Ok(())
    }

    /// §5.1, §5.2, §5.3
    fn tell_status(
        &self,
        out: &mut Out,
        name: &str,
        events: Events,
        before: &ViewStatus,
        now: &ViewStatus,
    ) {
        let has_modseqs = self.enabled.condstore || self.enabled.qresync;
        let is_new = before.uid_validity != now.uid_validity;
        let messages = is_new || (before.messages, before.uid_next) != (now.messages, now.uid_next);
        let flags = events.flags && before.highest_modseq != now.highest_modseq;
        let unseen = flags && before.unseen != now.unseen;
        let mut values = Vec::new();
        if messages {
            values.push(StatusValue::Messages(now.messages));
            values.push(StatusValue::UidNext(now.uid_next));
        }
        if unseen {
            values.push(StatusValue::Unseen(now.unseen));
        }
        if has_modseqs && (messages || flags) {
            values.push(StatusValue::HighestModseq(now.highest_modseq));
        }
        if values.is_empty() {
            return;
        }
        values.push(StatusValue::UidValidity(now.uid_validity));
        status(out.buffer(), name, &values, self.mode().utf8);
    }

    /// Shows new messages of the selected mailbox: what NOTIFY asks for, and what the searches do that have found them (§5.2, §7).
    pub async fn show_new(
        &mut self,
        out: &mut Out,
        applied: &Applied,
        wanted: Vec<(u32, Vec<FetchItem>)>,
    ) {
        let of_all = self.of_selected().and_then(|of| of.items.clone());
        if of_all.is_none() && wanted.is_empty() {
            return;
        }
        for uid in applied.new.iter().map(|row| row.uid) {
            let own = self.selected.as_ref().is_some_and(|s| s.made.contains(uid));
            let of_all = of_all.iter().filter(|_| !own).flatten();
            let of_searches = wanted.iter().filter(|(of, _)| *of == uid);
            let items = of_all.chain(of_searches.flat_map(|(_, items)| items));
            let items: Vec<FetchItem> = items.cloned().collect();
            if !items.is_empty() {
                fetch::show(self, out, uid, &items).await;
            }
        }
    }
}

fn tell_list(
    out: &mut Out,
    name: &str,
    attributes: &[Attribute],
    old_name: Option<&str>,
    utf8: bool,
) {
    let data = ListData {
        attributes,
        child_info: &[],
        old_name,
    };
    list(out.buffer(), name, &data, utf8);
}

/// §5.6, §5.7: the names alone.
fn tell_metadata(out: &mut Out, mailbox: &str, entries: &[String], utf8: bool) {
    let entries: Vec<&str> = entries.iter().map(String::as_str).collect();
    access::metadata_changed(out.buffer(), mailbox, &entries, utf8);
}
