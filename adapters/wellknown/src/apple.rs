//! Configuration profiles for Apple's mail programs (the payload `com.apple.mail.managed`).
//!
//! Holds: a profile has no password; it is the same for the same address, so that a newer one takes its place.

use crate::{Protocol, Service, Settings};

pub const CONTENT_TYPE: &str = "application/x-apple-aspen-config";

/// A property list; `None`: there is nothing to set up.
pub fn profile(settings: &Settings, address: &str) -> Option<String> {
    let find = |protocol| settings.services.iter().find(|of| of.protocol == protocol);
    let incoming = find(Protocol::Imap).or_else(|| find(Protocol::Pop3))?;
    let outgoing = find(Protocol::Submission)?;
    let kind = match incoming.protocol {
        Protocol::Pop3 => "EmailTypePOP",
        Protocol::Imap | Protocol::Submission => "EmailTypeIMAP",
    };
    let host = &settings.hostname;
    let reversed: Vec<&str> = host.split('.').rev().collect();
    let reversed = reversed.join(".");
    let server = |prefix: &str, of: &Service| {
        // With STARTTLS, the program finds out by itself that it is there.
        format!(
            "      <key>{prefix}MailServerHostName</key>\n      <string>{host}</string>\n      \
             <key>{prefix}MailServerPortNumber</key>\n      <integer>{}</integer>\n      \
             <key>{prefix}MailServerUseSSL</key>\n      <true/>\n      \
             <key>{prefix}MailServerUsername</key>\n      <string>{address}</string>\n      \
             <key>{prefix}MailServerAuthentication</key>\n      <string>EmailAuthPassword</string>\n",
            of.port
        )
    };
    let payload = |level: &str, kind: &str, identifier: &str| {
        format!(
            "{level}<key>PayloadType</key>\n{level}<string>{kind}</string>\n\
             {level}<key>PayloadVersion</key>\n{level}<integer>1</integer>\n\
             {level}<key>PayloadIdentifier</key>\n{level}<string>{identifier}</string>\n\
             {level}<key>PayloadUUID</key>\n{level}<string>{}</string>\n\
             {level}<key>PayloadDisplayName</key>\n{level}<string>{address}</string>\n",
            uuid(&format!("{identifier} {address}"))
        )
    };
    let inner = payload(
        "      ",
        "com.apple.mail.managed",
        &format!("{reversed}.mail.account"),
    );
    let outer = payload("  ", "Configuration", &format!("{reversed}.mail"));
    let (incoming, outgoing) = (server("Incoming", incoming), server("Outgoing", outgoing));
    Some(format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">\n\
         <plist version=\"1.0\">\n<dict>\n  <key>PayloadContent</key>\n  <array>\n    <dict>\n{inner}      \
         <key>EmailAccountType</key>\n      <string>{kind}</string>\n      \
         <key>EmailAccountDescription</key>\n      <string>{address}</string>\n      \
         <key>EmailAddress</key>\n      <string>{address}</string>\n\
         {incoming}{outgoing}      \
         <key>OutgoingPasswordSameAsIncomingPassword</key>\n      <true/>\n    \
         </dict>\n  </array>\n{outer}  \
         <key>PayloadDescription</key>\n  <string>Sets up mail for {address}.</string>\n  \
         <key>PayloadRemovalDisallowed</key>\n  <false/>\n</dict>\n</plist>\n"
    ))
}

/// A UUID of a name (RFC 9562 §5.8: made in a way of our own).
fn uuid(name: &str) -> String {
    let hash = blake3::hash(name.as_bytes());
    let mut octets = [0; 16];
    octets.copy_from_slice(&hash.as_bytes()[..16]);
    octets[6] = (octets[6] & 0x0f) | 0x80;
    octets[8] = (octets[8] & 0x3f) | 0x80;
    let hex: String = octets.iter().map(|octet| format!("{octet:02X}")).collect();
    format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    )
}
