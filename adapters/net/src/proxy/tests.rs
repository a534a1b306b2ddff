use super::*;

fn check(line: &str, want: &str) {
    let got = match parse_v1(line.as_bytes()) {
        Ok(Header::Local) => "local".to_owned(),
        Ok(Header::Proxied {
            source,
            destination,
        }) => format!("{source} {destination}"),
        Err(error) => error.to_string(),
    };
    assert_eq!(got, want, "{line:?}");
}

#[test]
fn version_1() {
    check(
        "PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n",
        "192.0.2.1:56324 198.51.100.1:443",
    );
    check(
        "PROXY TCP6 2001:db8::1 ::ffff:198.51.100.1 1 0\r\n",
        "[2001:db8::1]:1 198.51.100.1:0",
    );
    check("PROXY UNKNOWN\r\n", "local");
    check("PROXY UNKNOWN whatever this is\r\n", "local");
    let bad = |text: &str| format!("bad PROXY header: {text}");
    check(
        "PROXY TCP4 192.0.2.1 198.51.100.1 1 2\n",
        &bad("the line does not end in CRLF"),
    );
    check(
        "PROXY TCP4  192.0.2.1 198.51.100.1 1 2\r\n",
        &bad("not a port"),
    );
    check(
        "PROXY TCP4 192.0.2.1 198.51.100.1 1\r\n",
        &bad("something is missing"),
    );
    check(
        "PROXY TCP4 192.0.2.1 198.51.100.1 1 2 3\r\n",
        &bad("something is left over"),
    );
    check(
        "PROXY TCP4 192.0.2.1 2001:db8::1 1 2\r\n",
        &bad("not an address of its family"),
    );
    check(
        "PROXY UDP4 192.0.2.1 192.0.2.1 1 2\r\n",
        &bad("not an address of its family"),
    );
    check(
        "PROXY TCP4 192.0.2.1 192.0.2.1 01 2\r\n",
        &bad("not a port"),
    );
    check(
        "PROXY TCP4 192.0.2.1 192.0.2.1 +1 2\r\n",
        &bad("not a port"),
    );
    check(
        "PROXY TCP4 192.0.2.1 192.0.2.1 65536 2\r\n",
        &bad("not a port"),
    );
    check("EHLO me\r\n", "no PROXY header");
}

#[test]
fn version_1_longest() {
    let fill = |length: usize| format!("PROXY UNKNOWN{}\r\n", " ".repeat(length - 15));
    check(&fill(PROXY_V1_OCTETS_MAX), "local");
    check(
        &fill(PROXY_V1_OCTETS_MAX + 1),
        "bad PROXY header: the line is too long",
    );
}

fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    let mut header = V2_SIGNATURE.to_vec();
    header.extend([command, family]);
    header.extend((body.len() as u16).to_be_bytes());
    header.extend(body);
    header
}

const V4_BODY: &[u8] = &[192, 0, 2, 1, 198, 51, 100, 1, 0xdc, 0x04, 0x01, 0xbb];

async fn read(mut input: &[u8]) -> (String, usize) {
    let got = match read_header(&mut input).await {
        Ok(header) => format!("{header:?}"),
        Err(error) => error.to_string(),
    };
    (got, input.len())
}

#[tokio::test]
async fn version_2() {
    let proxied = "Proxied { source: 192.0.2.1:56324, destination: 198.51.100.1:443 }";
    let with_extension = [V4_BODY, &[0x04, 0, 1, 0]].concat();
    let rows: &[(u8, u8, &[u8], &str)] = &[
        (0x21, 0x11, V4_BODY, proxied),
        (0x21, 0x11, &with_extension, proxied),
        (0x20, 0x00, &[], "Local"),
        (0x20, 0x11, V4_BODY, "Local"),
        (0x21, 0x00, &[], "Local"),
        (0x21, 0x31, &[0; 216], "Local"),
        (
            0x21,
            0x12,
            V4_BODY,
            "bad PROXY header: unknown address family",
        ),
        (0x22, 0x11, V4_BODY, "bad PROXY header: unknown command"),
        (0x11, 0x11, V4_BODY, "bad PROXY header: unknown version"),
        (
            0x21,
            0x11,
            &V4_BODY[..11],
            "bad PROXY header: the header is too short",
        ),
        (
            0x21,
            0x21,
            V4_BODY,
            "bad PROXY header: the header is too short",
        ),
        (0x20, 0x00, &[0; PROXY_V2_OCTETS_MAX], "Local"),
        (
            0x20,
            0x00,
            &[0; PROXY_V2_OCTETS_MAX + 1],
            "bad PROXY header: the header is too long",
        ),
    ];
    for (command, family, body, want) in rows {
        assert_eq!(read(&v2(*command, *family, body)).await.0, *want);
    }
}

#[tokio::test]
async fn nothing_is_read_beyond_the_header() {
    let v1 = b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n";
    for header in [v1.to_vec(), v2(0x21, 0x11, V4_BODY)] {
        let input = [&header[..], b"EHLO me\r\n"].concat();
        let (got, left) = read(&input).await;
        assert!(got.starts_with("Proxied"), "{got}");
        assert_eq!(left, 9);
        for cut in 0..header.len() {
            let (got, _) = read(&header[..cut]).await;
            assert!(!got.starts_with("Proxied"), "cut at {cut}: {got}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_proxy_is_not_waited_for() {
    let (mut reader, _kept_open) = tokio::io::duplex(64);
    let started = tokio::time::Instant::now();
    let error = read_header(&mut reader).await.unwrap_err();
    assert!(matches!(error, ProxyError::Timeout));
    assert_eq!(started.elapsed().as_secs(), PROXY_TIMEOUT.as_secs());
}
