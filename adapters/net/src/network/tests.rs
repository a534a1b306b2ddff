use super::*;

fn check(network: &str, address: &str, inside: bool) {
    let parsed: Network = network.parse().unwrap();
    let address = address.parse().unwrap();
    assert_eq!(parsed.contains(address), inside, "{network} {address}");
}

#[test]
fn contains() {
    check("192.0.2.0/24", "192.0.2.255", true);
    check("192.0.2.0/24", "192.0.3.0", false);
    check("192.0.2.0/24", "::ffff:192.0.2.7", true);
    check("192.0.2.7", "192.0.2.7", true);
    check("192.0.2.7", "192.0.2.8", false);
    check("::ffff:192.0.2.7", "192.0.2.7", true);
    check("0.0.0.0/0", "255.255.255.255", true);
    check("0.0.0.0/0", "2001:db8::1", false);
    check("::/0", "2001:db8::1", true);
    check("::/0", "192.0.2.1", false);
    check("2001:db8::/33", "2001:db8:7fff::1", true);
    check("2001:db8::/33", "2001:db8:8000::1", false);
    check("::1", "::1", true);
}

fn check_error(text: &str, message: &str) {
    let error = text.parse::<Network>().unwrap_err();
    assert_eq!(error.to_string(), message);
}

#[test]
fn errors_say_what_is_wrong() {
    check_error("localhost", "\"localhost\" is not an IP address");
    check_error("", "\"\" is not an IP address");
    check_error("10.0.0.0/33", "\"33\" is not a prefix length from 0 to 32");
    check_error("10.0.0.0/+8", "\"+8\" is not a prefix length from 0 to 32");
    check_error("::/129", "\"129\" is not a prefix length from 0 to 128");
    check_error(
        "10.1.0.0/8",
        "10.1.0.0/8 has bits set beyond its prefix; did you mean 10.0.0.0/8?",
    );
}

fn check_same_client(one: &str, other: &str, same: bool) {
    let key = |text: &str| ClientKey::of(text.parse().unwrap());
    assert_eq!(key(one) == key(other), same, "{one} {other}");
}

#[test]
fn one_client() {
    check_same_client("192.0.2.1", "::ffff:192.0.2.1", true);
    check_same_client("192.0.2.1", "192.0.2.2", false);
    check_same_client("2001:db8::1", "2001:db8::ffff:0:0:1", true);
    check_same_client("2001:db8::1", "2001:db8:0:1::1", false);
}
