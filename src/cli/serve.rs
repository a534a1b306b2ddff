//! `posthorn serve`: the server, its first administrator, and what a newcomer may try.
//!
//! Holds: the administrator's password is shown once, on the standard output and nowhere else; the commands shown work
//! as they stand.

use std::{io::Write as _, path::Path};

use jmap_core::{Caller, Core, auth::Secret, directory::DirectoryError, rng::Rng};

use super::{AnyError, password};
use crate::{
    config::{Config, values::Listen},
    folder::Folder,
    wire::{self, Server},
};

/// Runs the server until it is told to stop.
pub async fn serve(mut config: Config, quickstart: bool) -> Result<(), AnyError> {
    if quickstart {
        config.quickstart();
    }
    let folder = Folder::make(&config.data)?;
    let (core, live) = wire::open(&config, &folder).await?;
    let server = Server::bind(live, &folder, core.clone()).await?;
    let rng = wire::rng();
    let first = first_administrator(&core, &core.hostname(), &*rng).await?;
    let mut text = String::new();
    if let Some((name, password)) = &first {
        text.push_str(&administrator(name, password));
    }
    // Later on the account is there, with a password that is known to its owner alone.
    if quickstart && first.is_some() {
        text.push_str(&what_to_try(&config, &folder, &password::random(&*rng)));
    }
    if !text.is_empty() {
        let _ = writeln!(std::io::stdout(), "{text}");
    }
    drop(core);
    Ok(server.run().await?)
}

/// Makes an administrator where there is no account.
async fn first_administrator(
    core: &Core,
    hostname: &str,
    rng: &dyn Rng,
) -> Result<Option<(String, Secret<String>)>, AnyError> {
    if !core.accounts(&Caller::server()).await?.is_empty() {
        return Ok(None);
    }
    let name = format!("admin@{}", domain_of(hostname));
    let password = password::random(rng);
    match core.bootstrap_admin(&name, password.clone()).await {
        Ok(_) => Ok(Some((name, password))),
        // Another server over the same database was faster, and has shown its password.
        Err(DirectoryError::AlreadyExists(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The domain that a host is most likely for: `example.org` of `mail.example.org`.
pub fn domain_of(hostname: &str) -> &str {
    match hostname.split_once('.') {
        Some((_, domain)) if domain.contains('.') => domain,
        _ => hostname,
    }
}

fn administrator(name: &str, password: &Secret<String>) -> String {
    format!(
        "An administrator was made. The password is shown this once.\n\n  login     {name}\n  password  {}\n\n",
        password.expose()
    )
}

/// Commands for a terminal beside the server's.
pub fn what_to_try(config: &Config, folder: &Folder, password: &Secret<String>) -> String {
    let posthorn = std::env::current_exe().unwrap_or_else(|_| "posthorn".into());
    let data = std::path::absolute(folder.path()).unwrap_or_else(|_| folder.path().to_owned());
    let posthorn = format!("{} --data {}", quoted(&posthorn), quoted(&data));
    let smtp = first_address(config.smtp.listen.as_deref());
    let http = first_address(config.http.listen.as_deref());
    let imap = first_address(config.imap.listen.as_deref());
    let password = password.expose();
    format!(
        r##"What to try next, in another terminal:

# A domain, and an account in it
{posthorn} domain add example.org
echo '{password}' | {posthorn} account add alice@example.org --password-stdin

# A mail for it, as from another server
curl smtp://{smtp} --mail-from bob@example.net --mail-rcpt alice@example.org --crlf --upload-file - <<'END'
From: Bob <bob@example.net>
To: Alice <alice@example.org>
Subject: A first mail
Message-ID: <first@example.net>

Hello Alice, do you read me?
END

# The same, with swaks
swaks --server {smtp} --from bob@example.net --to alice@example.org --header 'Subject: A second mail'

# What a JMAP client sees first
curl -s -w '\n' -u 'alice@example.org:{password}' http://{http}/.well-known/jmap -L

# Her mail, newest first
ID=$({posthorn} account show alice@example.org --id)
curl -s -w '\n' -u 'alice@example.org:{password}' http://{http}/jmap/api/ -H 'Content-Type: application/json' -d '{{
  "using": ["urn:ietf:params:jmap:core", "urn:ietf:params:jmap:mail"],
  "methodCalls": [
    ["Email/query", {{"accountId": "'$ID'", "sort": [{{"property": "receivedAt", "isAscending": false}}], "limit": 10}}, "0"],
    ["Email/get", {{"accountId": "'$ID'", "#ids": {{"resultOf": "0", "name": "Email/query", "path": "/ids"}},
      "properties": ["from", "subject", "receivedAt", "preview"]}}, "1"]]}}'

# The same by IMAP: her mailboxes
curl -s -u 'alice@example.org:{password}' imap://{imap}

# How the server is, and whether all that it keeps is sound
{posthorn} status
{posthorn} check
"##
    )
}

/// An address to connect to.
fn first_address(places: Option<&[Listen]>) -> String {
    let tcp = places
        .unwrap_or_default()
        .iter()
        .find_map(|place| match place {
            Listen::Tcp(address) => Some(address.to_string()),
            Listen::Unix(_) => None,
        });
    tcp.unwrap_or_default()
}

/// A path as one word of a shell.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"/._-+@:".contains(&b);
    match text.bytes().all(is_plain) {
        true => text,
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}
