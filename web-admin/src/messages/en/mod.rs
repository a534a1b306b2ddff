//! English.

mod access;
mod directory;
mod own;
mod server;
mod shell;
mod telling;
mod watching;

pub use access::Access;
pub use directory::Directory;
pub use own::Own;
pub use server::Server;
pub use shell::Shell;
pub use telling::Telling;
pub use watching::Watching;

/// Declares the texts of a part of the console, and what they are in English. Another language only has values.
macro_rules! catalogue {
    ($(#[$about:meta])* $part:ident $($name:ident: $text:literal,)*) => {
        $(#[$about])*
        #[derive(Debug)]
        pub struct $part {
            $(pub $name: &'static str,)*
        }

        pub const EN: $part = $part {
            $($name: $text,)*
        };
    };
}
pub(crate) use catalogue;

catalogue! {
    /// What many pages say.
    Common
    account: "Account",
    account_name_hint: "A mail address in one of your domains, such as anna@example.org.",
    accounts: "Accounts",
    and_more: "and {count} more",
    actions: "Actions",
    active: "Active",
    add_account: "Add an account",
    add_domain: "Add a domain",
    added: "Added.",
    address: "Address",
    alias: "Alias",
    aliases: "Aliases",
    all_states: "All states",
    as_table: "As a table",
    cancel: "Cancel",
    change: "Change",
    changed_meanwhile: "Somebody else has changed it meanwhile. Here is how it is now.",
    check_again: "Look again",
    choose: "Choose",
    choose_all: "Choose all rows",
    chosen: "{count} chosen",
    close: "Close",
    copied: "Copied.",
    copy: "Copy",
    copy_all: "Copy all as a zone file",
    copy_failed: "The browser doesn't let the text be copied.",
    credentials: "Passwords and tokens",
    days: "{count} days",
    deleted: "Deleted",
    deleted_mail: "Deleted mail",
    description: "Description",
    disable: "Disable",
    disabled_count: "Disabled: {count}",
    dismiss: "Dismiss",
    dkim: "DKIM keys",
    dns_doctor: "What the DNS says",
    dns_records_lead: "Copy them to where the domain's DNS is kept.",
    domain: "Domain",
    domain_hint: "Such as example.org.",
    domains: "Domains",
    done: "Done",
    enable: "Enable",
    enabled_count: "Enabled: {count}",
    failed: "Failed",
    forward_to: "Goes on to",
    forwarding: "Forwarding",
    from: "From",
    general: "General",
    group: "Group",
    groups: "Groups",
    journey: "Journey of a message",
    keeps_copy: "Keep a copy here",
    kind: "Kind",
    list: "List",
    lists: "Lists",
    loading: "Loading…",
    message: "Message",
    months: "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec",
    name: "Name",
    next: "Next",
    no: "No",
    no_connection: "The server can't be reached.",
    no_domains: "There are no domains yet. Add the first one: then it can have accounts.",
    no_mailbox: "This account has no mail.",
    no_subject: "(no subject)",
    not_a_date: "This is no date.",
    not_a_number: "This is no number.",
    nothing_changed: "Nothing was changed.",
    nothing_deleted: "Nothing that was deleted can be brought back.",
    nothing_found: "Nothing matches.",
    nothing_here: "There is nothing here yet.",
    one_a_line: "One address a line.",
    one_row: "1 entry",
    optional: "(optional)",
    pages: "Pages of the list",
    password: "Password",
    password_lead: "At least ten characters that nobody guesses.",
    previous: "Previous",
    recipients_per_day: "Recipients a day",
    recipients_per_hour: "Recipients an hour",
    remove: "Remove",
    removed: "Removed.",
    removed_count: "Removed: {count}",
    required: "This is needed.",
    restore: "Bring back",
    restored: "Brought back: {count}",
    rows: "{count} entries",
    save: "Save",
    saved: "Saved.",
    search_deleted: "Search in subject and sender",
    server_failed: "The server could not do it.",
    settings: "Settings",
    show_all: "Show all",
    since: "Since",
    size: "Size",
    state: "State",
    storage: "Storage",
    subject: "Subject",
    try_again: "Try again",
    undo: "Undo",
    undone: "Undone.",
    unit: "unit",
    unknown: "Unknown",
    until: "Until",
    what: "What",
    when: "When",
    yes: "Yes",
}

/// The texts of one language.
#[derive(Debug)]
pub struct Messages {
    pub access: Access,
    pub common: Common,
    pub directory: Directory,
    pub own: Own,
    pub server: Server,
    pub shell: Shell,
    pub telling: Telling,
    pub watching: Watching,
}

/// What is said often is said shortly.
impl std::ops::Deref for Messages {
    type Target = Common;

    fn deref(&self) -> &Common {
        &self.common
    }
}

pub static MESSAGES: Messages = Messages {
    access: access::EN,
    common: EN,
    directory: directory::EN,
    own: own::EN,
    server: server::EN,
    shell: shell::EN,
    telling: telling::EN,
    watching: watching::EN,
};
