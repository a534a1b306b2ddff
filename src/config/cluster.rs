//! How this server works together with others over the same database.
//!
//! Holds: the defaults are those of `jmap_core::cluster`.
//! Other half: `wire::open`.

use std::{fmt, path::PathBuf};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};

use super::values::Span;

/// Of no effect with a database that no other process can have.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Cluster {
    /// What people call this server; without it, the name of the machine.
    pub name: Option<String>,
    /// Where nodes tell each other of changes: PostgreSQL, Redis or NATS.
    pub notices: Option<NoticesUrl>,
    /// A file with the password for that in its first line.
    pub notices_password_file: Option<PathBuf>,
    pub poll_interval: Span,
    pub check_interval: Span,
    pub heartbeat: Span,
    pub dead_after: Span,
}

/// A URL that may have a password in it, which `Debug` doesn't show.
#[derive(Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(transparent)]
pub struct NoticesUrl(pub String);

impl NoticesUrl {
    /// The same with this password.
    pub fn with_password(&self, password: &str) -> Result<String, String> {
        let Some((scheme, rest)) = self.0.split_once("://") else {
            return Err("it is not a URL".to_owned());
        };
        let (user, place) = rest.split_once('@').unwrap_or(("", rest));
        let user = user.split(':').next().unwrap_or_default();
        let password = utf8_percent_encode(password, NON_ALPHANUMERIC);
        Ok(format!("{scheme}://{user}:{password}@{place}"))
    }
}

impl fmt::Debug for NoticesUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, rest) = self.0.split_once("://").unwrap_or(("", &self.0));
        let place = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
        write!(f, "{scheme}://{place}")
    }
}

impl Default for Cluster {
    fn default() -> Cluster {
        let of = jmap_core::cluster::Settings::new(PathBuf::new(), "");
        Cluster {
            name: None,
            notices: None,
            notices_password_file: None,
            poll_interval: Span(of.poll_every),
            check_interval: Span(of.check_every),
            heartbeat: Span(of.beat_every),
            dead_after: Span(of.dead_after),
        }
    }
}

impl Cluster {
    /// The first key that doesn't fit, and why.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        let spans = [
            ("cluster.poll-interval", self.poll_interval),
            ("cluster.check-interval", self.check_interval),
            ("cluster.heartbeat", self.heartbeat),
        ];
        for (key, span) in spans {
            if span.0.is_zero() {
                return Err((key, "it takes some time".to_owned()));
            }
        }
        if self.dead_after.0 < self.heartbeat.0 * 4 {
            let why = "a server that misses a beat or two isn't dead: it is four times the heartbeat, or more";
            return Err(("cluster.dead-after", why.to_owned()));
        }
        match &self.notices {
            Some(url) => crate::notices::of(&url.0)
                .map(drop)
                .map_err(|why| ("cluster.notices", why)),
            None if self.notices_password_file.is_some() => {
                let why = "it needs cluster.notices as well".to_owned();
                Err(("cluster.notices-password-file", why))
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_goes_into_the_url_and_not_into_the_log() {
        let url = NoticesUrl("redis://u:old@host:6379/1".to_owned());
        assert_eq!(
            url.with_password("a@/").unwrap(),
            "redis://u:a%40%2F@host:6379/1"
        );
        assert_eq!(format!("{url:?}"), "redis://host:6379/1");
        let url = NoticesUrl("nats://host".to_owned());
        assert_eq!(url.with_password("x").unwrap(), "nats://:x@host");
    }

    #[test]
    fn wrong_values_are_told() {
        assert_eq!(Cluster::default().check(), Ok(()));
        let dead = Cluster {
            dead_after: Span::seconds(3),
            ..Cluster::default()
        };
        assert_eq!(dead.check().unwrap_err().0, "cluster.dead-after");
        let url = Cluster {
            notices: Some(NoticesUrl("http://x".to_owned())),
            ..Cluster::default()
        };
        assert_eq!(url.check().unwrap_err().0, "cluster.notices");
    }
}
