//! Which pages somebody can get to.
//!
//! Holds: what the server would refuse isn't offered.
//! Other half: `pages` shows what is at these addresses.

use super::{
    components::icon::Icon,
    session::{Role, Session},
};
use crate::messages::t;

/// A way to a page.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    pub address: &'static str,
    pub text: &'static str,
    pub icon: Icon,
}

/// Ways in groups, which have names.
pub fn ways(session: &Session) -> Vec<(&'static str, Vec<Way>)> {
    let may = |operation: &str| session.may(operation);
    let is_staff = session.role != Role::User;
    let (domains, accounts) = (may("domain.see"), is_staff && may("account.see"));
    let texts = t();
    let way = |is_there: bool, address, text, icon| {
        is_there.then_some(Way {
            address,
            text,
            icon,
        })
    };
    let start = [
        way(domains, "/admin/", texts.watching.overview, Icon::Dashboard),
        way(
            domains && may("dns.see"),
            "/admin/setup",
            texts.server.setup,
            Icon::Setup,
        ),
        way(
            may("alert.see"),
            "/admin/alerts",
            texts.telling.alerts,
            Icon::Warning,
        ),
    ];
    let directory = [
        way(domains, "/admin/domains", texts.domains, Icon::Domain),
        way(accounts, "/admin/accounts", texts.accounts, Icon::Accounts),
        way(accounts, "/admin/groups", texts.groups, Icon::Group),
        way(accounts, "/admin/aliases", texts.aliases, Icon::Alias),
        way(accounts, "/admin/lists", texts.lists, Icon::List),
    ];
    let traces = is_staff && may("trace.see");
    let mail = [
        way(
            may("queue.see"),
            "/admin/queue",
            texts.watching.queue,
            Icon::Queue,
        ),
        way(traces, "/admin/traces", texts.watching.traces, Icon::Trace),
        way(
            may("report.see"),
            "/admin/reports",
            texts.watching.reports,
            Icon::Report,
        ),
    ];
    let certificates = texts.server.certificates;
    let server = [
        way(
            may("certificate.see"),
            "/admin/certificates",
            certificates,
            Icon::Certificate,
        ),
        way(
            may("settings.see"),
            "/admin/settings",
            texts.settings,
            Icon::Settings,
        ),
        way(
            may("server.see"),
            "/admin/server",
            texts.server.maintenance,
            Icon::Node,
        ),
        way(may("log.see"), "/admin/logs", texts.telling.log, Icon::Log),
        way(
            may("webhook.see"),
            "/admin/webhooks",
            texts.telling.webhooks,
            Icon::Webhook,
        ),
        way(
            may("audit.see"),
            "/admin/audit",
            texts.watching.audit,
            Icon::Audit,
        ),
    ];
    let access = [
        way(
            is_staff && may("session.see"),
            "/admin/sessions",
            texts.access.sessions,
            Icon::Session,
        ),
        way(
            is_staff && may("ban.see"),
            "/admin/bans",
            texts.access.bans,
            Icon::Ban,
        ),
        way(
            may("client.see"),
            "/admin/programs",
            texts.telling.clients,
            Icon::Program,
        ),
    ];
    let own = [
        way(true, "/account/", texts.shell.my_overview, Icon::Account),
        way(true, "/account/security", texts.own.security, Icon::Key),
        way(
            true,
            "/account/sessions",
            texts.access.sessions,
            Icon::Session,
        ),
        way(true, "/account/phone", texts.access.phone, Icon::Phone),
        way(
            may("account.forward"),
            "/account/forwarding",
            texts.forwarding,
            Icon::Alias,
        ),
        way(
            true,
            "/account/vacation",
            texts.own.vacation,
            Icon::Vacation,
        ),
        way(true, "/account/rules", texts.own.rules, Icon::Rules),
        way(true, "/account/deleted", texts.deleted_mail, Icon::Undelete),
    ];
    let groups = [
        ("", start.to_vec()),
        (texts.shell.directory, directory.to_vec()),
        (texts.shell.mail, mail.to_vec()),
        (texts.shell.access, access.to_vec()),
        (texts.server.server, server.to_vec()),
        (texts.shell.my_account, own.to_vec()),
    ];
    let groups = groups.into_iter().map(|(name, ways)| {
        let there: Vec<Way> = ways.into_iter().flatten().collect();
        (name, there)
    });
    groups.filter(|(_, ways)| !ways.is_empty()).collect()
}
