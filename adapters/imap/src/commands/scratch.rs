use crate::command::Command;
use crate::out::Out;
use crate::session::{Handled, Session};
pub async fn login(session: &mut Session, out: &mut Out, tag: &str, command: Command) -> Handled {
    use jmap_core::auth::*;
    let Command::Login { name, password } = command else {
        return session.bad(out, tag, "x");
    };
    let origin = Origin {
        ip: "127.0.0.1".parse().unwrap(),
        protocol: Protocol::Imap,
        tls: false,
    };
    match session
        .server
        .core
        .login(
            Credentials::Password {
                login: name,
                password: Secret::new(password.expose().clone()),
            },
            origin,
        )
        .await
    {
        Ok(caller) => {
            session.caller = Some(caller);
            session.ok(out, tag, None, "in").await
        }
        Err(e) => session.no(out, tag, None, &e.to_string()).await,
    }
}
pub async fn enable(session: &mut Session, out: &mut Out, tag: &str, command: Command) -> Handled {
    let Command::Enable(names) = command else {
        return session.bad(out, tag, "x");
    };
    for n in names {
        match &*n {
            "QRESYNC" => {
                session.enabled.qresync = true;
                session.enabled.condstore = true
            }
            "IMAP4REV2" => session.enabled.rev2 = true,
            "UIDONLY" => session.enabled.uidonly = true,
            _ => {}
        }
    }
    session.ok(out, tag, None, "enabled").await
}
