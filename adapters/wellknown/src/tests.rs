//! Requests and pages.

use std::time::Duration;

use expect_test::expect;

use super::*;

/// example.org alone.
#[derive(Debug)]
struct One;

#[async_trait]
impl Domains for One {
    async fn is_ours(&self, domain: &str) -> bool {
        domain == "example.org"
    }
}

/// As good as a signature here.
#[derive(Debug)]
struct Quotes;

impl Sign for Quotes {
    fn signed(&self, content: &[u8]) -> Option<Vec<u8>> {
        Some([b"signed(", content, b")"].concat())
    }
}

fn text(page: &Page) -> String {
    String::from_utf8(page.octets.clone()).unwrap()
}

fn site(mode: Mode) -> Site {
    let service = |protocol, port, implicit_tls| Service {
        protocol,
        port,
        implicit_tls,
    };
    let settings = Settings {
        hostname: "mail.example.org".into(),
        services: vec![
            service(Protocol::Imap, 993, true),
            service(Protocol::Submission, 587, false),
        ],
        jmap_url: Some("https://mail.example.org/.well-known/jmap".into()),
        managesieve_port: Some(4190),
        policy: Policy {
            mode,
            max_age: Duration::from_secs(86_400),
        },
    };
    Site::new(Arc::new(One), settings, Arc::new(Quotes))
}

fn get<'r>(host: &'r str, path: &'r str) -> Request<'r> {
    let (path, query) = match path.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (path, None),
    };
    Request {
        is_post: false,
        tls: true,
        host,
        path,
        query,
        body: b"",
    }
}

#[tokio::test]
async fn policies() {
    let site = site(Mode::Enforce);
    let request = get("MTA-STS.example.org:443", POLICY_PATH);
    let page = site.answer(request).await.unwrap();
    expect![[r#"
        version: STSv1
        mode: enforce
        mx: mail.example.org
        max_age: 86400
    "#]]
    .assert_eq(&text(&page).replace("\r\n", "\n"));
    let plain = Request {
        tls: false,
        ..request
    };
    let post = Request {
        is_post: true,
        ..request
    };
    let other = get("mta-sts.example.com", POLICY_PATH);
    let bare = get("example.org", POLICY_PATH);
    let strange = get("mta-sts.example.org/..", POLICY_PATH);
    for request in [plain, post, other, bare, strange] {
        assert_eq!(site.answer(request).await, None, "{request:?}");
    }
    let site = self::site(Mode::None);
    assert_eq!(site.answer(request).await, None);
}

#[test]
fn the_id_is_the_policys() {
    let policy = Policy {
        mode: Mode::Testing,
        max_age: Duration::from_secs(86_400),
    };
    let id = policy.id("mail.example.org").unwrap();
    assert_eq!(id, policy.id("mail.example.org").unwrap());
    assert_eq!(id, "de4a2c21349d8a41");
    let longer = Policy {
        max_age: MAX,
        ..policy
    };
    let enforced = Policy {
        mode: Mode::Enforce,
        ..policy
    };
    assert_ne!(policy.id("mx.example.org").unwrap(), id);
    assert_ne!(longer.id("mail.example.org").unwrap(), id);
    assert_ne!(enforced.id("mail.example.org").unwrap(), id);
    assert!(longer.text("a").unwrap().contains("max_age: 31557600\r\n"));
}

const MAX: Duration = Duration::from_secs(1 << 40);

#[tokio::test]
async fn mail_programs_are_told() {
    let site = site(Mode::None);
    let page = site
        .answer(get("autoconfig.example.org", "/mail/config-v1.1.xml"))
        .await
        .unwrap();
    expect![[r#"
        <?xml version="1.0" encoding="UTF-8"?>
        <clientConfig version="1.1">
          <emailProvider id="example.org">
            <domain>example.org</domain>
            <displayName>example.org</displayName>
            <displayShortName>example.org</displayShortName>
            <incomingServer type="imap">
              <hostname>mail.example.org</hostname>
              <port>993</port>
              <socketType>SSL</socketType>
              <username>%EMAILADDRESS%</username>
              <authentication>password-cleartext</authentication>
            </incomingServer>
            <outgoingServer type="smtp">
              <hostname>mail.example.org</hostname>
              <port>587</port>
              <socketType>STARTTLS</socketType>
              <username>%EMAILADDRESS%</username>
              <authentication>password-cleartext</authentication>
            </outgoingServer>
          </emailProvider>
        </clientConfig>
    "#]]
    .assert_eq(&text(&page));
    let named = "/.well-known/autoconfig/mail/config-v1.1.xml?a=b&emailaddress=alice%40example.org";
    for host in ["mail.example.org", "example.org"] {
        assert_eq!(site.answer(get(host, named)).await.as_ref(), Some(&page));
    }
    for path in [
        "/mail/config-v1.1.xml?emailaddress=alice@example.com",
        "/mail/config-v1.1.xml?emailaddress=%4",
        "/mail/config-v1.1.xml",
        "/mail/other.xml",
    ] {
        assert_eq!(
            site.answer(get("autoconfig.example.com", path)).await,
            None,
            "{path}"
        );
    }
}

fn post(body: &str) -> Request<'_> {
    Request {
        is_post: true,
        body: body.as_bytes(),
        ..get("autodiscover.example.org", "/Autodiscover/Autodiscover.xml")
    }
}

#[tokio::test]
async fn outlook_is_told() {
    let site = site(Mode::None);
    let ask = |address: &str| {
        format!(
            "<?xml version=\"1.0\"?><Autodiscover><Request><EMailAddress>{address}</EMailAddress></Request></Autodiscover>"
        )
    };
    let page = site.answer(post(&ask("alice@example.org"))).await.unwrap();
    expect![[r#"
        <?xml version="1.0" encoding="utf-8"?>
        <Autodiscover xmlns="http://schemas.microsoft.com/exchange/autodiscover/responseschema/2006">
          <Response xmlns="http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a">
            <Account>
              <AccountType>email</AccountType>
              <Action>settings</Action>
              <Protocol>
                <Type>IMAP</Type>
                <Server>mail.example.org</Server>
                <Port>993</Port>
                <LoginName>alice@example.org</LoginName>
                <SPA>off</SPA>
                <SSL>on</SSL>
                <Encryption>SSL</Encryption>
                <AuthRequired>on</AuthRequired>
              </Protocol>
              <Protocol>
                <Type>SMTP</Type>
                <Server>mail.example.org</Server>
                <Port>587</Port>
                <LoginName>alice@example.org</LoginName>
                <SPA>off</SPA>
                <SSL>off</SSL>
                <Encryption>TLS</Encryption>
                <AuthRequired>on</AuthRequired>
              </Protocol>
            </Account>
          </Response>
        </Autodiscover>
    "#]]
    .assert_eq(&text(&page));
    let long = format!("{}@example.org", "a".repeat(ADDRESS_OCTETS_MAX - 11));
    for address in [
        "alice@example.com",
        "alice",
        "",
        "a&amp;b@example.org",
        "<b>@example.org",
        &long,
    ] {
        assert_eq!(site.answer(post(&ask(address))).await, None, "{address}");
    }
    let fits = &long[1..];
    assert!(site.answer(post(&ask(fits))).await.is_some());
    for body in ["", "<EMailAddress>alice@example.org", "\u{0}"] {
        assert_eq!(site.answer(post(body)).await, None);
    }
    let other = Request {
        body: b"\xff",
        ..post("")
    };
    assert_eq!(site.answer(other).await, None);
}

#[tokio::test]
async fn documents_of_pacc() {
    let site = site(Mode::None);
    let request = get("UA-auto-config.example.org", PACC_PATH);
    let page = site.answer(request).await.unwrap();
    assert_eq!(page.content_type, "application/json");
    // Submission isn't at its usual port.
    expect![[r#"{"authentication":{"password":true},"info":{"provider":{"name":"example.org"}},"protocols":{"imap":{"host":"mail.example.org"},"jmap":{"url":"https://mail.example.org/.well-known/jmap"},"managesieve":{"host":"mail.example.org"}}}"#]]
    .assert_eq(&text(&page));
    let plain = Request {
        tls: false,
        ..request
    };
    let bare = get("example.org", PACC_PATH);
    let other = get("ua-auto-config.example.com", PACC_PATH);
    for request in [plain, bare, other] {
        assert_eq!(site.answer(request).await, None, "{request:?}");
    }
}

#[tokio::test]
async fn profiles_are_signed() {
    let site = site(Mode::None);
    let path = "/mail/profile.mobileconfig?emailaddress=ann%40example.org";
    let page = site.answer(get("mail.example.org", path)).await.unwrap();
    assert_eq!(page.content_type, "application/x-apple-aspen-config");
    let profile = text(&page);
    assert!(profile.starts_with("signed(<?xml ") && profile.ends_with("</plist>\n)"));
    for part in [
        "<string>ann@example.org</string>",
        "<integer>993</integer>",
        "<integer>587</integer>",
        "<string>EmailTypeIMAP</string>",
        "<string>org.example.mail.mail.account</string>",
    ] {
        assert!(profile.contains(part), "{profile}");
    }
    for wrong in [
        "",
        "?emailaddress=ann@example.com",
        "?emailaddress=a%3C@example.org",
        "?emailaddress=x",
    ] {
        let path = format!("{PROFILE_PATH}{wrong}");
        assert_eq!(
            site.answer(get("mail.example.org", &path)).await,
            None,
            "{wrong}"
        );
    }
}

#[tokio::test]
async fn autodiscover_2_leads_to_1() {
    let site = site(Mode::None);
    for (path, status, want) in [
        (
            "/autodiscover/autodiscover.json?Email=ann@example.org&Protocol=AutodiscoverV1",
            200,
            "{\"Protocol\":\"AutodiscoverV1\",\"Url\":\"https://mail.example.org/autodiscover/autodiscover.xml\"}",
        ),
        (
            "/Autodiscover/Autodiscover.json/v1.0/ann@example.org?Protocol=ActiveSync&RedirectCount=1",
            400,
            "\"InvalidProtocol\"",
        ),
        (
            "/autodiscover/autodiscover.json",
            400,
            "\"MandatoryParameterMissing\"",
        ),
    ] {
        let page = site
            .answer(get("autodiscover.example.org", path))
            .await
            .unwrap();
        assert_eq!(
            (page.status, page.content_type),
            (status, "application/json")
        );
        assert!(text(&page).contains(want), "{}", text(&page));
    }
}
