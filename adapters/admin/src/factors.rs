//! A code of the second factor beside a password, and a secret as a picture that a device reads.
//!
//! Holds: at a login a code is of use with the Basic scheme alone; where a factor is taken away it confirms with any; the picture has the secret in it and is made for whoever enrols.
//! Other half: `jmap_core::auth::admission` asks for codes.

use http::HeaderMap;
use jmap_core::{
    auth::{AuthError, Confirmed, Credentials, Secret},
    directory::DirectoryError,
};
use qrcode::{EcLevel, QrCode, render::svg};

use crate::{
    problem::{Kind, Problem},
    request::Request,
};

/// The field that a code comes in.
pub const CODE_FIELD: &str = "one-time-code";
/// Pixels of a side of the picture, at least.
const SIDE_MIN: u32 = 220;

/// The credentials of a request, with the code that came along.
pub fn with_code(credentials: Credentials, fields: &HeaderMap) -> Credentials {
    let code = fields.get(CODE_FIELD).and_then(|code| code.to_str().ok());
    match (credentials, code) {
        (Credentials::Password { login, password }, Some(code)) => Credentials::Factors {
            login,
            password,
            code: Secret::new(code.to_owned()),
        },
        (credentials, _) => credentials,
    }
}

/// Has whoever asks show once more who they are.
pub async fn confirmed(request: &Request) -> Result<Option<Confirmed>, Problem> {
    let code = request.headers.get(CODE_FIELD);
    let code = code.and_then(|code| code.to_str().ok());
    let code = code.map(|code| Secret::new(code.to_owned()));
    let confirmed = request
        .core
        .confirm(&request.who, code.as_ref(), &request.origin)
        .await;
    confirmed.map_err(|error| match error {
        // The login is good all the same.
        AuthError::Invalid => DirectoryError::WrongCode.into(),
        error => error.into(),
    })
}

/// The same where nothing is done without.
pub async fn must_confirm(request: &Request) -> Result<Confirmed, Problem> {
    let needed = || Problem::of(Kind::ConfirmationNeeded);
    confirmed(request).await?.ok_or_else(needed)
}

/// A QR code (ISO/IEC 18004) as SVG. `None`: the text is longer than one holds.
pub fn picture(text: &str) -> Option<String> {
    let code = QrCode::with_error_correction_level(text, EcLevel::M).ok()?;
    let mut renderer = code.render::<svg::Color<'_>>();
    renderer.min_dimensions(SIDE_MIN, SIDE_MIN);
    let document = renderer.build();
    // Without what says that it is XML, so that it can be put into a page.
    let at = document.find("<svg")?;
    document.get(at..).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_code_goes_with_a_password() {
        let password = || Credentials::from_authorization("Basic YTpi").unwrap();
        let mut fields = HeaderMap::new();
        let none = with_code(password(), &fields);
        assert!(matches!(none, Credentials::Password { .. }));
        fields.insert(CODE_FIELD, HeaderValue::from_static("123456"));
        let Credentials::Factors {
            login,
            password: secret,
            code,
        } = with_code(password(), &fields)
        else {
            panic!("no factors");
        };
        assert_eq!((login.as_str(), secret.expose().as_str()), ("a", "b"));
        assert_eq!(code.expose(), "123456");
        let bearer = Credentials::from_authorization("Bearer x").unwrap();
        assert!(matches!(
            with_code(bearer, &fields),
            Credentials::Bearer { .. }
        ));
    }

    #[test]
    fn pictures() {
        let svg = picture("otpauth://totp/a:b?secret=ABC").unwrap();
        assert!(
            svg.starts_with("<svg") && !svg.contains("ABC"),
            "{svg:.200}"
        );
        assert_eq!(picture(&"x".repeat(10_000)), None);
    }
}
