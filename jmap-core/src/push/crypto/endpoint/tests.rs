use super::*;
use crate::rng::{Rng, SeededRng};

fn check(url: &str, policy: EndpointPolicy, want: Result<&str, EndpointError>) {
    let got = PushEndpoint::parse(url, policy).map(|endpoint| endpoint.url());
    assert_eq!(got.as_deref(), want.as_ref().map(|url| *url), "{url:.100}");
    // The normal form is accepted, and is its own.
    if let Ok(normal) = got {
        let again = PushEndpoint::parse(&normal, policy).map(|endpoint| endpoint.url());
        assert_eq!(again, Ok(normal));
    }
}

#[test]
fn accepted() {
    let rows = [
        ("https://push.example.net", "https://push.example.net/"),
        (
            "https://push.example.net/a/b?c=d&e",
            "https://push.example.net/a/b?c=d&e",
        ),
        ("https://push.example.net?c", "https://push.example.net/?c"),
        ("HTTPS://Push.Example.NET./A", "https://push.example.net/A"),
        ("https://push.example.net:443/", "https://push.example.net/"),
        (
            "https://push.example.net:08443/",
            "https://push.example.net:8443/",
        ),
        (
            "https://xn--bcher-kva.example/%C3%a9",
            "https://xn--bcher-kva.example/%C3%a9",
        ),
        ("https://8.8.8.8/x", "https://8.8.8.8/x"),
        (
            "https://[2606:4700:0:0::1111]:99/x",
            "https://[2606:4700::1111]:99/x",
        ),
        ("https://a_b.example/@user:x", "https://a_b.example/@user:x"),
    ];
    for (url, want) in rows {
        check(url, EndpointPolicy::Public, Ok(want));
    }
}

#[test]
fn refused() {
    use EndpointError::*;
    let most = format!(
        "https://example.org/{}",
        "a".repeat(ENDPOINT_OCTETS_MAX - 20)
    );
    check(&most, EndpointPolicy::Public, Ok(&most));
    let label = "a".repeat(LABEL_OCTETS_MAX + 1);
    let long_name = format!("https://{}example.org/", "abc.".repeat(63));
    let rows = [
        (format!("{most}a"), TooLong),
        (String::new(), NotHttps),
        ("https:example.org".into(), NotHttps),
        ("https:/example.org".into(), NotHttps),
        ("http://example.org/".into(), NotHttps),
        ("ftp://example.org/".into(), NotHttps),
        ("httpss://example.org/".into(), NotHttps),
        (" https://example.org/".into(), BadCharacter),
        ("https://example.org/a b".into(), BadCharacter),
        ("https://example.org/\r\nX-A: b".into(), BadCharacter),
        ("https://example.org\\@evil.example/".into(), BadCharacter),
        ("https://example.org/é".into(), BadCharacter),
        ("https://exämple.org/".into(), BadCharacter),
        ("https://example.org/%".into(), BadCharacter),
        ("https://example.org/%4".into(), BadCharacter),
        ("https://example.org/%zz".into(), BadCharacter),
        ("https://example.org/[".into(), BadCharacter),
        ("https://example.org/#a".into(), HasFragment),
        ("https://user@example.org/".into(), HasCredentials),
        ("https://user:pass@example.org/".into(), HasCredentials),
        ("https://example.org@127.0.0.1/".into(), HasCredentials),
        ("https:///a".into(), BadHost),
        ("https://./".into(), BadHost),
        ("https://a..b/".into(), BadHost),
        ("https://-a.example/".into(), BadHost),
        ("https://a-.example/".into(), BadHost),
        ("https://%65xample.org/".into(), BadHost),
        ("https://ex*mple.org/".into(), BadHost),
        (format!("https://{label}.example/"), BadHost),
        (long_name, BadHost),
        ("https://[::1".into(), BadHost),
        ("https://[::1]x/".into(), BadHost),
        ("https://[fe80::1%25eth0]/".into(), BadHost),
        ("https://[8.8.8.8]/".into(), BadHost),
        ("https://2130706433/".into(), BadHost),
        ("https://0x7f000001/".into(), BadHost),
        ("https://127.1/".into(), BadHost),
        ("https://0177.0.0.1/".into(), BadHost),
        ("https://1.2.3.4.5/".into(), BadHost),
        ("https://example.org:/".into(), BadPort),
        ("https://example.org:0/".into(), BadPort),
        ("https://example.org:+443/".into(), BadPort),
        ("https://example.org:65536/".into(), BadPort),
        ("https://example.org:443:443/".into(), BadPort),
        ("https://127.0.0.1/".into(), NotPublic),
        ("https://169.254.169.254/latest".into(), NotPublic),
        ("https://[::1]/".into(), NotPublic),
        ("https://[::ffff:8.8.8.8]/".into(), NotPublic),
        ("https://localhost/".into(), NotPublic),
        ("https://LOCALHOST./".into(), NotPublic),
        ("https://a.localhost/".into(), NotPublic),
        ("https://mailserver/".into(), NotPublic),
        ("https://db.internal/".into(), NotPublic),
        ("https://printer.local/".into(), NotPublic),
        ("https://router.home.arpa/".into(), NotPublic),
    ];
    for (url, want) in rows {
        check(&url, EndpointPolicy::Public, Err(want));
    }
}

#[test]
fn insecure_where_allowed() {
    use EndpointError::*;
    let rows = [
        ("http://localhost:8080/x", Ok("http://localhost:8080/x")),
        ("http://127.0.0.1:80/x", Ok("http://127.0.0.1/x")),
        ("http://[::1]:443/x", Ok("http://[::1]:443/x")),
        ("https://10.0.0.1/", Ok("https://10.0.0.1/")),
        ("ftp://10.0.0.1/", Err(NotHttps)),
        ("http://a@10.0.0.1/", Err(HasCredentials)),
        ("http://127.1/", Err(BadHost)),
    ];
    for (url, want) in rows {
        check(url, EndpointPolicy::AllowInsecure, want);
    }
}

#[test]
fn public_addresses() {
    let rows = [
        ("1.1.1.1", true),
        ("9.255.255.255", true),
        ("11.0.0.0", true),
        ("100.63.255.255", true),
        ("100.128.0.0", true),
        ("172.15.255.255", true),
        ("172.32.0.0", true),
        ("192.0.1.1", true),
        ("192.167.255.255", true),
        ("192.169.0.0", true),
        ("198.17.255.255", true),
        ("198.20.0.0", true),
        ("223.255.255.255", true),
        ("0.0.0.0", false),
        ("0.1.2.3", false),
        ("10.0.0.1", false),
        ("100.64.0.1", false),
        ("100.127.255.255", false),
        ("127.0.0.1", false),
        ("127.255.255.255", false),
        ("169.254.169.254", false),
        ("172.16.0.1", false),
        ("172.31.255.255", false),
        ("192.0.0.8", false),
        ("192.0.2.1", false),
        ("192.88.99.1", false),
        ("192.168.1.1", false),
        ("198.18.0.1", false),
        ("198.19.255.255", false),
        ("198.51.100.1", false),
        ("203.0.113.1", false),
        ("224.0.0.1", false),
        ("239.255.255.255", false),
        ("240.0.0.1", false),
        ("255.255.255.255", false),
        ("2606:4700::1111", true),
        ("2001:200::1", true),
        ("2a00::1", true),
        ("3ffe::1", true),
        ("64:ff9b::808:808", true),
        ("::", false),
        ("::1", false),
        ("::8.8.8.8", false),
        ("::ffff:8.8.8.8", false),
        ("::ffff:127.0.0.1", false),
        ("64:ff9b::7f00:1", false),
        ("64:ff9b::a9fe:a9fe", false),
        ("64:ff9b:1::808:808", false),
        ("100::1", false),
        ("2001::1", false),
        ("2001:1ff::1", false),
        ("2001:db8::1", false),
        ("2002:7f00:1::", false),
        ("3fff::1", false),
        ("3fff:fff::1", false),
        ("4000::1", false),
        ("5f00::1", false),
        ("fc00::1", false),
        ("fd00:ec2::254", false),
        ("fe80::1", false),
        ("fec0::1", false),
        ("ff02::1", false),
    ];
    for (ip, want) in rows {
        assert_eq!(is_public(ip.parse().unwrap()), want, "{ip}");
    }
}

#[test]
fn hostile_urls_never_panic() {
    let seed = 11;
    let rng = SeededRng::new(seed);
    let pieces = [
        "https://",
        "http:",
        "//",
        "[",
        "]",
        "::",
        ":",
        "@",
        "%",
        "%41",
        "é",
        "\0",
        ".",
        "..",
        "-",
        "1",
        "0x7f",
        "example",
        ".org",
        "/",
        "?",
        "#",
        "\\",
        "65536",
        "443",
        "ffff",
        "localhost",
    ];
    for round in 0..20_000 {
        let mut url = String::from(["", "https://"][rng.next_u64() as usize % 2]);
        for _ in 0..rng.next_u64() % 12 {
            url.push_str(pieces[rng.next_u64() as usize % pieces.len()]);
        }
        for policy in [EndpointPolicy::Public, EndpointPolicy::AllowInsecure] {
            let Ok(endpoint) = PushEndpoint::parse(&url, policy) else {
                continue;
            };
            let again = PushEndpoint::parse(&endpoint.url(), policy);
            assert_eq!(again, Ok(endpoint), "seed {seed} round {round}: {url:?}");
        }
    }
}
