//! Rows for the values, for errors, and for the documented file.

use std::{collections::BTreeMap, path::Path};

use serde_json::Value;

use super::{
    Config,
    values::{Listen, Octets, Rate, Span},
};

const EXAMPLE: &str = include_str!("../../posthorn.example.toml");

/// The example with its settings switched on.
fn uncommented() -> String {
    let is_setting = |rest: &str| rest.starts_with(|c: char| c == '[' || c.is_ascii_lowercase());
    let line = |line: &'static str| {
        line.strip_prefix('#')
            .filter(|rest| is_setting(rest))
            .unwrap_or(line)
    };
    EXAMPLE.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// Keys with tables in front, and their values.
fn flat(prefix: &str, value: &Value, into: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                let key = if prefix.is_empty() {
                    name.clone()
                } else {
                    format!("{prefix}.{name}")
                };
                flat(&key, value, into);
            }
        }
        value => drop(into.insert(prefix.to_owned(), value.clone())),
    }
}

fn keys_of(value: impl serde::Serialize) -> BTreeMap<String, Value> {
    let mut keys = BTreeMap::new();
    flat("", &serde_json::to_value(value).unwrap(), &mut keys);
    keys
}

#[test]
fn example_has_every_key_with_its_default() {
    let written: toml::Value = toml::from_str(&uncommented()).unwrap();
    let (written, defaults) = (keys_of(written), keys_of(Config::default()));
    assert_eq!(
        written.keys().collect::<Vec<_>>(),
        defaults.keys().collect::<Vec<_>>()
    );
    let example = keys_of(Config::parse(&uncommented(), Path::new("example")).unwrap());
    for (key, default) in defaults {
        // Without a default there is something to see how it is written.
        if default != Value::Null {
            assert_eq!(example[&key], default, "{key}");
        }
    }
}

#[test]
fn example_as_it_is_changes_nothing() {
    assert_eq!(
        Config::parse(EXAMPLE, Path::new("example")).unwrap(),
        Config::default()
    );
}

#[test]
fn errors_name_file_line_and_key() {
    let rows = [
        (
            "hostnam = \"a\"\n",
            "p.toml, line 1, hostnam: unknown field `hostnam`",
        ),
        (
            "[smtp]\n\nlisen = []\n",
            "p.toml, line 3, smtp.lisen: unknown field `lisen`",
        ),
        ("[smtpp]\n", "p.toml, line 1, smtpp: unknown field `smtpp`"),
        (
            "hostname = \"a b\"\n",
            "p.toml, line 1, hostname: \"a b\" is not the name of a host",
        ),
        (
            "admin-contact = \"postmaster\"\n",
            "p.toml, line 1, admin-contact: \"postmaster\" is not a URI",
        ),
        (
            "[smtp]\nlisten = [\"25\"]\n",
            "p.toml, line 2, smtp.listen: \"25\" is not an IP address with a port",
        ),
        (
            "[limits]\nmax-size-message = \"50 M\"\n",
            "p.toml, line 2, limits.max-size-message: \"50 M\" is not a size",
        ),
        (
            "[limits]\nupload-time = 5\n",
            "p.toml, line 2, limits.upload-time: \"5\" is not a span of time",
        ),
        (
            "[delivery]\nretry = []\n",
            "p.toml, line 2, delivery.retry: there is at least one wait",
        ),
        (
            "[delivery.domains.\"a b\"]\n",
            "p.toml, delivery.domains: \"a b\" is not a domain",
        ),
        (
            "[smtp]\nidle-timeout = \"5 minutes\"",
            "p.toml, line 2, smtp.idle-timeout: \"5 minutes\" is not a span",
        ),
        (
            "[store.blobs]\nurl = \"gs://bucket\"\n",
            "p.toml, line 2, store.blobs.url: this is neither a folder nor s3://BUCKET/PREFIX",
        ),
        (
            "[store.blobs]\nurl = \"s3:///prefix\"\n",
            "p.toml, line 2, store.blobs.url: the bucket has no name",
        ),
        (
            "[store.blobs]\naccess-key-id = \"a\"\n",
            "p.toml, line 2, store.blobs.access-key-id: store.blobs.secret-access-key-file and this need each other",
        ),
        (
            "[store.encryption]\nkeys = [{ id = \"a\" }]\n",
            "p.toml, line 2, store.encryption.keys: the key \"a\" needs a file or a variable",
        ),
        (
            "[log]\nlevel = \"loud\"\n",
            "p.toml, line 2, log.level: unknown variant `loud`",
        ),
        (
            "[http]\nproxies = [\n  \"10.0.0.1/8\",\n]\n",
            "p.toml, line 3, http.proxies: 10.0.0.1/8 has bits set",
        ),
        (
            "[smtp]\nlisten = [\"unix:/a\"]\n",
            "p.toml, line 2, smtp.listen: only lmtp listens on Unix sockets",
        ),
        (
            "[tls]\nkey = \"k\"\n",
            "p.toml, line 2, tls.key: the key needs tls.certificate as well",
        ),
        (
            "[search]\nshards = 0\n",
            "p.toml, line 2, search.shards: there is at least one shard",
        ),
        (
            "[authentication]\nresolvers = [\"127.0.0.1\"]\n",
            "p.toml, line 2, authentication.resolvers: ",
        ),
        (
            "[authentication]\ntimeout = \"0s\"\n",
            "p.toml, line 2, authentication.timeout: it takes some time",
        ),
        (
            "[reports]\ncontact = \"reports\"\n",
            "p.toml, line 2, reports.contact: this is not an address",
        ),
        (
            "[authentication]\ndmarc-reject = \"no\"\n",
            "p.toml, line 2, authentication.dmarc-reject: unknown variant `no`",
        ),
        ("[smtp\n", "p.toml, line 1"),
        (
            "connections = 1\n",
            "p.toml, line 1, connections: unknown field `connections`",
        ),
    ];
    for (text, expected) in rows {
        let error = Config::parse(text, Path::new("p.toml"))
            .unwrap_err()
            .to_string();
        assert!(error.starts_with(expected), "{text:?}: {error}");
        assert!(!error.contains('\n'), "{error}");
    }
}

#[test]
fn sizes() {
    let rows = [
        ("0", Some(0), "0 B"),
        ("1536", Some(1536), "1536 B"),
        ("50 MB", Some(50_000_000), "50 MB"),
        ("64kib", Some(65_536), "64 KiB"),
        ("1 GiB", Some(1 << 30), "1 GiB"),
        ("50 M", None, ""),
        ("-1", None, ""),
        ("99999999 TiB", None, ""),
        ("", None, ""),
    ];
    for (text, octets, written) in rows {
        let parsed = text.parse::<Octets>().ok();
        assert_eq!(parsed.map(|octets| octets.0), octets, "{text}");
        if let Some(parsed) = parsed {
            assert_eq!(parsed.to_string(), written);
            assert_eq!(written.parse(), Ok(parsed));
        }
    }
}

#[test]
fn spans_and_rates() {
    for (text, seconds, written) in [
        ("90s", 90, "90s"),
        ("120s", 120, "2m"),
        ("24h", 86_400, "1d"),
        ("0s", 0, "0s"),
    ] {
        let span: Span = text.parse().unwrap();
        assert_eq!(
            (span.0.as_secs(), span.to_string().as_str()),
            (seconds, written)
        );
    }
    for (text, written) in [
        ("300/1m", Some("300/1m")),
        ("1 / 60s", Some("1/1m")),
        ("300", None),
        ("1/0s", None),
    ] {
        assert_eq!(
            text.parse::<Rate>()
                .ok()
                .map(|rate| rate.to_string())
                .as_deref(),
            written
        );
    }
}

#[test]
fn quickstart_keeps_to_this_machine() {
    let mut config = Config::default();
    config.quickstart();
    for &(service, _, _) in super::PLACES {
        for place in config.listen_mut(service).iter().flatten() {
            assert!(
                matches!(place, Listen::Tcp(address) if address.ip().is_loopback() && address.port() > 1024)
            );
        }
    }
}

#[test]
fn places_of_blobs() {
    use super::{BlobPlace, Blobs};
    let bucket = |name: &str, prefix: &str| BlobPlace::Bucket {
        name: name.into(),
        prefix: prefix.into(),
    };
    let rows = [
        ("s3://mail", bucket("mail", "")),
        ("s3://mail/a/b/", bucket("mail", "a/b")),
        ("octets", BlobPlace::Folder("/data/octets".into())),
        ("/srv/octets", BlobPlace::Folder("/srv/octets".into())),
    ];
    for (url, want) in rows {
        let of = Blobs {
            url: Some(url.into()),
            ..Blobs::default()
        };
        assert_eq!(of.place(Path::new("/data")), Some(want), "{url}");
    }
    assert_eq!(Blobs::default().place(Path::new("/data")), None);
}
