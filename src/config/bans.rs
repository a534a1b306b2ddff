//! When clients are banned.
//!
//! Holds: the defaults are those of `jmap_core::bans`; what is trusted elsewhere in the configuration is never banned.

use jmap_core::bans::{BanSettings, Network as CoreNetwork, Threshold};
use serde::{Deserialize, Serialize};

use super::{
    Config,
    values::{Network, Rate, Span},
};

/// The keys of thresholds: a number, and the time that it is counted in. 0: such things lead to no ban.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Bans {
    pub enabled: bool,
    pub failed_logins: Rate,
    pub unknown_recipients: Rate,
    pub bad_commands: Rate,
    pub handshakes: Rate,
    pub probing: Rate,
    pub duration: Span,
    pub longest: Span,
    pub forget_after: Span,
    pub allow: Vec<Network>,
}

impl Default for Bans {
    fn default() -> Bans {
        let core = BanSettings::default();
        let rate = |of: Threshold| Rate::new(of.count, of.within);
        Bans {
            enabled: core.enabled,
            failed_logins: rate(core.failed_logins),
            unknown_recipients: rate(core.unknown_recipients),
            bad_commands: rate(core.bad_commands),
            handshakes: rate(core.handshakes),
            probing: rate(core.probing),
            duration: Span(core.duration),
            longest: Span(core.longest),
            forget_after: Span(core.forget_after),
            allow: Vec::new(),
        }
    }
}

impl Bans {
    /// The first key that doesn't fit, and why.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        if self.duration.0.is_zero() {
            let why = "a ban lasts for a second at least; `enabled = false` makes none";
            return Err(("bans.duration", why.to_owned()));
        }
        if self.longest.0 < self.duration.0 {
            let why = "the longest ban can't be shorter than the first one";
            return Err(("bans.longest", why.to_owned()));
        }
        Ok(())
    }
}

impl Config {
    /// What the core is told.
    pub fn core_bans(&self) -> BanSettings {
        let of = &self.bans;
        let threshold = |rate: Rate| Threshold::new(rate.0.burst, rate.0.per);
        let networks = |of: &[Network]| -> Vec<CoreNetwork> {
            let texts = of.iter().map(ToString::to_string);
            texts.filter_map(|text| text.parse().ok()).collect()
        };
        let proxies = [
            &self.smtp.proxies,
            &self.submission.proxies,
            &self.submissions.proxies,
            &self.lmtp.proxies,
            &self.imap.proxies,
            &self.imaps.proxies,
            &self.pop3.proxies,
            &self.pop3s.proxies,
            &self.managesieve.proxies,
            &self.http.proxies,
            &self.https.proxies,
            &self.authentication.trusted,
        ];
        BanSettings {
            enabled: of.enabled,
            failed_logins: threshold(of.failed_logins),
            unknown_recipients: threshold(of.unknown_recipients),
            bad_commands: threshold(of.bad_commands),
            handshakes: threshold(of.handshakes),
            probing: threshold(of.probing),
            duration: of.duration.0,
            longest: of.longest.0,
            forget_after: of.forget_after.0,
            allow: networks(&of.allow),
            trusted: proxies.iter().flat_map(|some| networks(some)).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_trusted_is_never_banned() {
        let text = "[imap]\nproxies = [\"192.0.2.0/24\"]\n[bans]\nallow = [\"2001:db8::/32\"]\nprobing = \"0/1m\"\n";
        let config = Config::parse(text, std::path::Path::new("p.toml")).unwrap();
        let of = config.core_bans();
        assert_eq!(of.allow, ["2001:db8::/32".parse().unwrap()]);
        assert!(of.trusted.contains(&"192.0.2.0/24".parse().unwrap()));
        assert_eq!(of.probing.count, 0);
        assert_eq!(
            Config::default().core_bans().failed_logins,
            BanSettings::default().failed_logins
        );
    }

    #[test]
    fn wrong_values_are_told() {
        for (line, key) in [
            ("duration = \"0s\"", "bans.duration"),
            ("longest = \"1s\"", "bans.longest"),
        ] {
            let text = format!("[bans]\n{line}\n");
            let error = Config::parse(&text, std::path::Path::new("p.toml")).unwrap_err();
            assert!(error.to_string().contains(key), "{error}");
        }
    }
}
