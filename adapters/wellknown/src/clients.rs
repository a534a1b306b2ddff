//! The pages that tell mail programs where the servers are.
//!
//! Holds: what goes into XML has no character that means something there.

use std::fmt::Write as _;

use serde_json::json;

use crate::{ADDRESS_OCTETS_MAX, AUTODISCOVER_PATH, Page, Protocol, Settings, parameter};

const XML: &str = "application/xml; charset=utf-8";
const REQUEST_ELEMENT: &str = "EMailAddress";

/// Mozilla's Autoconfiguration file format 1.1.
pub fn autoconfig(settings: &Settings, domain: &str) -> Page {
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<clientConfig version=\"1.1\">\n  <emailProvider id=\"{domain}\">\n    \
         <domain>{domain}</domain>\n    <displayName>{domain}</displayName>\n    <displayShortName>{domain}</displayShortName>\n"
    );
    for service in &settings.services {
        let (element, kind) = match service.protocol {
            Protocol::Imap => ("incomingServer", "imap"),
            Protocol::Pop3 => ("incomingServer", "pop3"),
            Protocol::Submission => ("outgoingServer", "smtp"),
        };
        let socket = if service.implicit_tls {
            "SSL"
        } else {
            "STARTTLS"
        };
        // Writing to a String can't fail.
        let _ = write!(
            text,
            "    <{element} type=\"{kind}\">\n      <hostname>{}</hostname>\n      <port>{}</port>\n      \
             <socketType>{socket}</socketType>\n      <username>%EMAILADDRESS%</username>\n      \
             <authentication>password-cleartext</authentication>\n    </{element}>\n",
            settings.hostname, service.port
        );
    }
    text.push_str("  </emailProvider>\n</clientConfig>\n");
    Page::of(XML, text)
}

/// Microsoft's Autodiscover (MS-OXDSCLI §3.1.5, "POX").
pub fn autodiscover(settings: &Settings, address: &str) -> Page {
    let mut text = String::from(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n\
         <Autodiscover xmlns=\"http://schemas.microsoft.com/exchange/autodiscover/responseschema/2006\">\n  \
         <Response xmlns=\"http://schemas.microsoft.com/exchange/autodiscover/outlook/responseschema/2006a\">\n    \
         <Account>\n      <AccountType>email</AccountType>\n      <Action>settings</Action>\n",
    );
    for service in &settings.services {
        let kind = match service.protocol {
            Protocol::Imap => "IMAP",
            Protocol::Pop3 => "POP3",
            Protocol::Submission => "SMTP",
        };
        let (ssl, encryption) = match service.implicit_tls {
            true => ("on", "SSL"),
            false => ("off", "TLS"),
        };
        let _ = write!(
            text,
            "      <Protocol>\n        <Type>{kind}</Type>\n        <Server>{}</Server>\n        <Port>{}</Port>\n        \
             <LoginName>{address}</LoginName>\n        <SPA>off</SPA>\n        <SSL>{ssl}</SSL>\n        \
             <Encryption>{encryption}</Encryption>\n        <AuthRequired>on</AuthRequired>\n      </Protocol>\n",
            settings.hostname, service.port
        );
    }
    text.push_str("    </Account>\n  </Response>\n</Autodiscover>\n");
    Page::of(XML, text)
}

/// Autodiscover v2 (MS-OXWSADISC §3.1.5): where the one of a protocol is. There is one for `AutodiscoverV1`, which is POX.
pub fn autodiscover_json(settings: &Settings, query: Option<&str>) -> Page {
    let protocol = query.and_then(|query| parameter(query, "Protocol"));
    if protocol.is_some_and(|name| name.eq_ignore_ascii_case("AutodiscoverV1")) {
        let url = format!("https://{}{AUTODISCOVER_PATH}", settings.hostname);
        let body = json!({"Protocol": "AutodiscoverV1", "Url": url});
        return Page::of("application/json", body.to_string());
    }
    let body = match protocol {
        None => json!({
            "ErrorCode": "MandatoryParameterMissing",
            "ErrorMessage": "A valid value must be provided for the query parameter 'Protocol'",
        }),
        Some(_) => json!({
            "ErrorCode": "InvalidProtocol",
            "ErrorMessage": "The given protocol is not served here. Supported values are 'AutodiscoverV1'",
        }),
    };
    Page {
        status: 400,
        ..Page::of("application/json", body.to_string())
    }
}

/// The address in an Autodiscover request. Nothing else of it counts, so nothing else is parsed.
pub fn asked_address(body: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?;
    let (_, rest) = text.split_once(&format!("<{REQUEST_ELEMENT}>"))?;
    let (address, _) = rest.split_once(&format!("</{REQUEST_ELEMENT}>"))?;
    proper_address(address.trim())
}

/// An address of which every character may stand in XML as it is. The few others that an address may have (`&` and quotes)
/// are as if there was none.
pub fn proper_address(text: &str) -> Option<String> {
    let is_proper = |c: char| {
        c.is_alphanumeric() || c == '@' || (c.is_ascii_punctuation() && !"&<>\"'".contains(c))
    };
    let fits = text.len() <= ADDRESS_OCTETS_MAX && text.contains('@');
    (fits && text.chars().all(is_proper)).then(|| text.to_owned())
}
