use super::*;

/// Runs an exchange: the initial response (decoded; `-` for none), then the other responses.
fn run(mechanism: Mechanism, initial: &str, responses: &[&str]) -> String {
    let encode = |text: &str| STANDARD.encode(text).into_bytes();
    let initial = (initial != "-").then(|| encode(initial));
    let (mut exchange, mut step) = match Exchange::start(mechanism, initial.as_deref()) {
        Ok(started) => started,
        Err(error) => return error.to_string(),
    };
    let mut shown = String::new();
    for response in responses {
        let Step::Challenge(challenge) = &step else {
            return format!("{shown}done too early");
        };
        let challenge = STANDARD.decode(challenge).unwrap();
        shown += &format!("{} > ", String::from_utf8(challenge).unwrap());
        step = match exchange.respond(&encode(response)) {
            Ok(step) => step,
            Err(error) => return format!("{shown}{error}"),
        };
    }
    match step {
        Step::Challenge(_) => shown + "waiting",
        Step::Done(credentials) => shown + &show(&credentials),
        Step::Identify { authzid, login } => format!("{shown}{authzid:?} {login:?}"),
        Step::Prove(_) | Step::Proved => shown + "a proof",
    }
}

fn show(credentials: &Credentials) -> String {
    match credentials {
        Credentials::Password {
            authzid,
            authcid,
            password,
        } => format!("{authzid:?} {authcid:?} {:?}", password.expose()),
        Credentials::Bearer { authzid, token } => {
            format!("{authzid:?} bearer {:?}", token.expose())
        }
    }
}

const MALFORMED: &str = "the response is not what the mechanism asks for";
const TOO_LONG: &str = "the response is too long";

#[test]
fn plain() {
    let check = |message: &str, want: &str| {
        assert_eq!(run(Mechanism::Plain, message, &[]), want, "{message:?}");
        let later = run(Mechanism::Plain, "-", &[message]);
        assert_eq!(later, format!(" > {want}"), "{message:?}");
    };
    // RFC 4616 §4.
    check(
        "\0tim\0tanstaaftanstaaf",
        r#"None "tim" "tanstaaftanstaaf""#,
    );
    check(
        "Ursel\0Kurt\0xipj3plmq",
        r#"Some("Ursel") "Kurt" "xipj3plmq""#,
    );
    check("\0jürgen\0pässword", r#"None "jürgen" "pässword""#);
    for message in [
        "",
        "\0",
        "\0\0",
        "\0a\0",
        "\0\0b",
        "a\0b",
        "\0a\0b\0",
        "a\0b\0c\0d",
    ] {
        check(message, MALFORMED);
    }
}

#[test]
fn plain_one_past_every_limit() {
    let check = |authzid: usize, authcid: usize, password: usize, good: bool| {
        let field = |length| "x".repeat(length);
        let message = [field(authzid), field(authcid), field(password)].join("\0");
        let got = run(Mechanism::Plain, &message, &[]);
        assert_eq!(got != TOO_LONG, good, "{authzid} {authcid} {password}");
    };
    check(NAME_OCTETS_MAX, NAME_OCTETS_MAX, PASSWORD_OCTETS_MAX, true);
    check(NAME_OCTETS_MAX + 1, 1, 1, false);
    check(1, NAME_OCTETS_MAX + 1, 1, false);
    check(1, 1, PASSWORD_OCTETS_MAX + 1, false);
}

#[test]
fn login() {
    let check = |initial: &str, responses: &[&str], want: &str| {
        assert_eq!(run(Mechanism::Login, initial, responses), want);
    };
    check(
        "-",
        &["tim", "secret"],
        r#"Username: > Password: > None "tim" "secret""#,
    );
    check("tim", &["secret"], r#"Password: > None "tim" "secret""#);
    check("tim", &[], "waiting");
    check("-", &[""], &format!("Username: > {MALFORMED}"));
    check("tim", &[""], &format!("Password: > {MALFORMED}"));
    check("t\0im", &[], MALFORMED);
    check(&"x".repeat(NAME_OCTETS_MAX + 1), &[], TOO_LONG);
}

#[test]
fn oauthbearer() {
    let check = |message: &str, want: &str| {
        assert_eq!(
            run(Mechanism::OAuthBearer, message, &[]),
            want,
            "{message:?}"
        );
    };
    // RFC 7628 §4.1.
    check(
        "n,a=user@example.com,\u{1}host=server.example.com\u{1}port=143\u{1}auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\u{1}\u{1}",
        r#"Some("user@example.com") bearer "vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==""#,
    );
    check("n,,\u{1}auth=bearer abc\u{1}\u{1}", r#"None bearer "abc""#);
    check(
        "y,a=a=2Cb=3D,\u{1}auth=Bearer a\u{1}\u{1}",
        r#"Some("a,b=") bearer "a""#,
    );
    for message in [
        "",
        "n,,",
        "n,,\u{1}",
        "n,,\u{1}\u{1}",
        "n,\u{1}auth=Bearer a\u{1}\u{1}",
        "p=tls-exporter,,\u{1}auth=Bearer a\u{1}\u{1}",
        "n,a=,\u{1}auth=Bearer a\u{1}\u{1}",
        "n,a=a,b,\u{1}auth=Bearer a\u{1}\u{1}",
        "n,a==2X,\u{1}auth=Bearer a\u{1}\u{1}",
        "n,a=a=2,\u{1}auth=Bearer a\u{1}\u{1}",
        "n,,\u{1}auth=Bearer a\u{1}",
        "n,,\u{1}auth=Bearer a\u{1}\u{1}\u{1}",
        "n,,\u{1}auth=Bearer a\u{1}auth=Bearer b\u{1}\u{1}",
        "n,,\u{1}auth=Basic abc\u{1}\u{1}",
        "n,,\u{1}auth=Bearer\u{1}\u{1}",
        "n,,\u{1}auth=Bearer \u{1}\u{1}",
        "n,,\u{1}auth=Bearer ==\u{1}\u{1}",
        "n,,\u{1}auth=Bearer a b\u{1}\u{1}",
        "n,,\u{1}auth=Bearer a\r\nb\u{1}\u{1}",
        "n,,\u{1}=x\u{1}auth=Bearer a\u{1}\u{1}",
        "n,,\u{1}host\u{1}auth=Bearer a\u{1}\u{1}",
    ] {
        check(message, MALFORMED);
    }
    let token = |length| format!("n,,\u{1}auth=Bearer {}\u{1}\u{1}", "x".repeat(length));
    assert!(run(Mechanism::OAuthBearer, &token(TOKEN_OCTETS_MAX), &[]).starts_with("None bearer"));
    check(&token(TOKEN_OCTETS_MAX + 1), TOO_LONG);
}

#[test]
fn xoauth2() {
    let check = |message: &str, want: &str| {
        assert_eq!(run(Mechanism::XOAuth2, message, &[]), want, "{message:?}");
    };
    check(
        "user=a@example.org\u{1}auth=Bearer ya29.x\u{1}\u{1}",
        r#"Some("a@example.org") bearer "ya29.x""#,
    );
    check("auth=Bearer ya29.x\u{1}\u{1}", MALFORMED);
    check("user=a@example.org\u{1}\u{1}", MALFORMED);
    check("user=\u{1}auth=Bearer a\u{1}\u{1}", MALFORMED);
}

#[test]
fn a_refused_token_is_explained() {
    for mechanism in [Mechanism::OAuthBearer, Mechanism::XOAuth2] {
        let message = match mechanism {
            Mechanism::XOAuth2 => "user=a\u{1}auth=Bearer a\u{1}\u{1}",
            _ => "n,,\u{1}auth=Bearer a\u{1}\u{1}",
        };
        let message = STANDARD.encode(message);
        let (mut exchange, step) = Exchange::start(mechanism, Some(message.as_bytes())).unwrap();
        assert!(matches!(step, Step::Done(Credentials::Bearer { .. })));
        let why = STANDARD.decode(exchange.refuse().unwrap()).unwrap();
        assert!(why.starts_with(b"{\"status\":"));
        assert_eq!(exchange.respond(b"AQ==").unwrap_err(), SaslError::Refused);
        assert_eq!(exchange.respond(b"AQ==").unwrap_err(), SaslError::Over);
    }
}

fn check_line(line: &[u8], want: SaslError) {
    let (mut exchange, _) = Exchange::start(Mechanism::Plain, None).unwrap();
    assert_eq!(
        exchange.respond(line).unwrap_err(),
        want,
        "{}",
        line.escape_ascii()
    );
    assert_eq!(exchange.respond(b"AHQAcA==").unwrap_err(), SaslError::Over);
}

#[test]
fn base64_is_strict() {
    check_line(b"*", SaslError::Cancelled);
    check_line(b"* ", SaslError::Base64);
    check_line(b"AHQAcA=", SaslError::Base64);
    check_line(b"AHQAcA", SaslError::Base64);
    check_line(b"AHQAcB==", SaslError::Base64);
    check_line(b" AHQAcA==", SaslError::Base64);
    check_line(b"AHQ\r\nAcA==", SaslError::Base64);
    check_line(b"AHQAcA==AAAA", SaslError::Base64);
    check_line(b"AHQA-_==", SaslError::Base64);
    check_line(b"=", SaslError::Base64);
    check_line(&[b'A'; RESPONSE_OCTETS_MAX], SaslError::Malformed);
    check_line(&[b'A'; RESPONSE_OCTETS_MAX + 1], SaslError::TooLong);
}

#[test]
fn an_empty_initial_response() {
    let error = Exchange::start(Mechanism::Plain, Some(b"=")).unwrap_err();
    assert_eq!(error, SaslError::Malformed);
    let (_, step) = Exchange::start(Mechanism::Plain, None).unwrap();
    assert!(matches!(step, Step::Challenge(challenge) if challenge.is_empty()));
}

#[test]
fn names_are_found_in_any_case() {
    for mechanism in Mechanism::ALL {
        let lower = mechanism.name().to_ascii_lowercase();
        assert_eq!(Mechanism::named(lower.as_bytes()), Some(mechanism));
    }
    assert_eq!(Mechanism::named(b"GSSAPI"), None);
    assert_eq!(Mechanism::named(b""), None);
}

#[test]
fn secrets_are_not_shown() {
    let message = STANDARD.encode("\0tim\0hunter2");
    let started = Exchange::start(Mechanism::Plain, Some(message.as_bytes())).unwrap();
    let shown = format!("{started:?}");
    assert!(
        shown.contains("tim") && !shown.contains("hunter2"),
        "{shown}"
    );
}

#[test]
fn no_prefix_and_no_noise_panics() {
    let messages = [
        "n,a=user@example.com,\u{1}host=h\u{1}port=143\u{1}auth=Bearer abc==\u{1}\u{1}",
        "user=a@example.org\u{1}auth=Bearer ya29.x\u{1}\u{1}",
        "Ursel\0Kurt\0xipj3plmq",
    ];
    let mut state = 7u64;
    for mechanism in Mechanism::ALL {
        for message in messages {
            for cut in 0..message.len() {
                run(mechanism, &message[..cut], &["", "x"]);
                let mut octets = message.as_bytes().to_vec();
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                octets[cut] = (state >> 56) as u8;
                let encoded = STANDARD.encode(&octets);
                let _ = Exchange::start(mechanism, Some(encoded.as_bytes()));
                let _ = Exchange::start(mechanism, Some(&octets));
            }
        }
    }
}

/// Runs an exchange of SCRAM up to where the proof is to be checked.
fn scram(
    mechanism: Mechanism,
    channel: &Channel,
    first: &str,
    last: &str,
) -> Result<Proof, SaslError> {
    let first = STANDARD.encode(first);
    let started = Exchange::start_over(mechanism, Some(first.as_bytes()), channel.clone());
    let (mut exchange, step) = started?;
    assert!(matches!(step, Step::Identify { .. }));
    exchange.identified(b"salt", 4096, "server")?;
    match exchange.respond(STANDARD.encode(last).as_bytes())? {
        Step::Prove(proof) => Ok(proof),
        other => panic!("{other:?}"),
    }
}

/// RFC 7677 §3.
#[test]
fn scram_has_the_messages_of_rfc_7677() {
    let first = STANDARD.encode("n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
    let (mut exchange, step) = Exchange::start(Mechanism::ScramSha256, None).unwrap();
    assert!(matches!(step, Step::Challenge(challenge) if challenge.is_empty()));
    let step = exchange.respond(first.as_bytes()).unwrap();
    assert!(matches!(step, Step::Identify { authzid: None, login } if login == "user"));
    let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
    let nonce = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
    let Step::Challenge(challenge) = exchange.identified(&salt, 4096, nonce).unwrap() else {
        panic!("no challenge");
    };
    let server_first = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                        s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
    assert_eq!(challenge, STANDARD.encode(server_first));
    let without_proof = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
    let proof = "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
    let last = STANDARD.encode(format!("{without_proof},p={proof}"));
    let Step::Prove(proved) = exchange.respond(last.as_bytes()).unwrap() else {
        panic!("no proof");
    };
    let signed = format!("n=user,r=rOprNGfwEbeRWgbNEkqO,{server_first},{without_proof}");
    assert_eq!(proved.signed, signed.as_bytes());
    assert_eq!(STANDARD.encode(proved.proof), proof);
    let signature = "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";
    let signature = STANDARD.decode(signature).unwrap();
    let Step::Challenge(challenge) = exchange.proved(&signature).unwrap() else {
        panic!("no signature");
    };
    let server_final = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";
    assert_eq!(challenge, STANDARD.encode(server_final));
    assert!(matches!(exchange.respond(b""), Ok(Step::Proved)));
    assert_eq!(exchange.respond(b"").err(), Some(SaslError::Over));
}

#[test]
fn scram_refuses_what_is_not_meant_for_it() {
    let channel = Channel {
        tls_exporter: Some([1; 32]),
        tls_server_end_point: None,
    };
    let (plain, plus) = (Mechanism::ScramSha256, Mechanism::ScramSha256Plus);
    let none = &Channel::default();
    let bound = [&b"p=tls-exporter,,"[..], &[1; 32]].concat();
    let bound = format!("c={},r=aserver,p=AA==", STANDARD.encode(bound));
    let unbound = "c=biws,r=aserver,p=AA==";
    let y = format!("c={},r=aserver,p=AA==", STANDARD.encode("y,,"));
    let long = format!("n,,n=u,r={}", "a".repeat(CLIENT_NONCE_OCTETS_MAX + 1));
    let longest = format!("n,,n=u,r={}", "a".repeat(CLIENT_NONCE_OCTETS_MAX));
    let malformed = Some(SaslError::Malformed);
    let rows = [
        (plain, none, "n,,n=u,r=a", unbound, None),
        (plain, &channel, "n,,n=u,r=a", unbound, None),
        (plain, none, "y,,n=u,r=a", &y, None),
        (plus, &channel, "p=tls-exporter,,n=u,r=a", &bound, None),
        // Somebody has hidden PLUS.
        (plain, &channel, "y,,n=u,r=a", &y, malformed),
        (
            plain,
            &channel,
            "p=tls-exporter,,n=u,r=a",
            &bound,
            malformed,
        ),
        (plus, &channel, "n,,n=u,r=a", unbound, malformed),
        (plus, &channel, "p=tls-unique,,n=u,r=a", &bound, malformed),
        (plus, none, "p=tls-exporter,,n=u,r=a", &bound, malformed),
        (
            plus,
            &channel,
            "p=tls-exporter,,n=u,r=a",
            unbound,
            malformed,
        ),
        (plain, none, "n,,m=x,n=u,r=a", unbound, malformed),
        (plain, none, "n,,n=,r=a", unbound, malformed),
        (plain, none, "n,,n=u=2,r=a", unbound, malformed),
        (plain, none, "n,,n=u,r=", unbound, malformed),
        (plain, none, "n,,n=u", unbound, malformed),
        (plain, none, "n,b,n=u,r=a", unbound, malformed),
        (
            plain,
            none,
            "n,,n=u,r=a",
            "c=biws,r=other,p=AA==",
            malformed,
        ),
        (plain, none, "n,,n=u,r=a", "c=biws,r=aserver,p=!", malformed),
        (plain, none, "n,,n=u,r=a", "c=biws,r=aserver", malformed),
        (
            plain,
            none,
            "n,,n=u,r=a",
            "r=aserver,c=biws,p=AA==",
            malformed,
        ),
        (plain, none, &long, unbound, Some(SaslError::TooLong)),
        (plain, none, &longest, unbound, malformed),
    ];
    for (mechanism, channel, first, last, want) in rows {
        let got = scram(mechanism, channel, first, last);
        assert_eq!(got.err(), want, "{mechanism:?} {first} {last}");
    }
}

#[test]
fn scram_decodes_names() {
    let first = STANDARD.encode("n,a=b=2Cc,n=d=3De,r=a");
    let (_, step) = Exchange::start(Mechanism::ScramSha256, Some(first.as_bytes())).unwrap();
    match step {
        Step::Identify { authzid, login } => {
            assert_eq!((authzid.as_deref(), &*login), (Some("b,c"), "d=e"));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn turns_can_not_be_taken_twice_or_early() {
    let (mut exchange, _) = Exchange::start(Mechanism::ScramSha256, None).unwrap();
    assert_eq!(exchange.proved(b"x").err(), Some(SaslError::Over));
    assert_eq!(
        exchange.identified(b"x", 1, "x").err(),
        Some(SaslError::Over)
    );
    let first = STANDARD.encode("n,,n=u,r=a");
    let started = Exchange::start(Mechanism::ScramSha256, Some(first.as_bytes()));
    let (mut exchange, _) = started.unwrap();
    assert_eq!(
        exchange.respond(first.as_bytes()).err(),
        Some(SaslError::Over)
    );
}

#[test]
fn what_is_offered_depends_on_the_connection() {
    let names = |channel: &Channel| -> Vec<&str> {
        let offered = Mechanism::offered(channel).into_iter();
        offered.map(Mechanism::name).collect()
    };
    let all = [
        "SCRAM-SHA-256-PLUS",
        "SCRAM-SHA-256",
        "PLAIN",
        "LOGIN",
        "OAUTHBEARER",
        "XOAUTH2",
    ];
    let channel = Channel {
        tls_exporter: Some([1; 32]),
        tls_server_end_point: None,
    };
    assert_eq!(names(&channel), all);
    assert_eq!(names(&Channel::default()), all[1..]);
    for name in all {
        assert!(
            Mechanism::named(name.to_lowercase().as_bytes()).is_some(),
            "{name}"
        );
    }
}
