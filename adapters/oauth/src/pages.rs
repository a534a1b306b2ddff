//! The pages: somebody signs in, and decides what a program or a device gets (RFC 6749 §4.1, RFC 8628 §3.3).
//!
//! Holds: each step looks again at what the client has asked for; a form counts only with the cookie that its page has set, and from a
//! page of this server; who has signed in is in a ticket that is good for this request alone.
//! Other half: `jmap_core::auth::oauth` has tickets, codes and devices; `html` has the looks.

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, header, request::Parts};
use jmap_core::auth::{
    AuthError, Secret,
    oauth::{
        Authorization, AuthorizationError, AuthorizationRequest, Client as OAuthClient,
        DeviceRequest, OAuthScopes, SignInStep, SignedIn,
    },
    webauthn::{Assertion, RelyingParty},
};

use crate::{
    Client, Provider,
    bound::{Bound, is_from_here},
    error::{Refusal, sentence},
    form::{Form, with_parameters},
    html::{self, Ask, Consent, PASSKEY_FIELDS, Page},
    metadata::{AUTHORIZE_PATH, DEVICE_PATH},
};

/// What somebody decides about.
enum Flow {
    /// With the query by which it was asked for.
    Authorize(Box<Authorization>, String),
    Device(Box<DeviceRequest>),
}

impl Flow {
    fn action(&self) -> &'static str {
        match self {
            Flow::Authorize(..) => AUTHORIZE_PATH,
            Flow::Device(_) => DEVICE_PATH,
        }
    }

    /// The field by which the next page knows what it is about.
    fn field(&self) -> (&'static str, &str) {
        match self {
            Flow::Authorize(_, query) => ("request", query),
            Flow::Device(request) => ("user_code", &request.user_code),
        }
    }

    fn client(&self) -> &OAuthClient {
        match self {
            Flow::Authorize(of, _) => &of.client,
            Flow::Device(of) => &of.client,
        }
    }

    fn scopes(&self) -> OAuthScopes {
        match self {
            Flow::Authorize(of, _) => of.scopes,
            Flow::Device(of) => of.scopes,
        }
    }
}

impl Provider {
    pub async fn authorize_page(
        &self,
        client: &Client,
        head: &Parts,
        form: &Form,
    ) -> Result<Response<Bytes>, Refusal> {
        let is_step = head.method == Method::POST && form.get("request").is_some();
        let query = match (is_step, &head.method) {
            (true, _) => form.owned("request").unwrap_or_default(),
            // OpenID Connect Core §3.1.2.1: a client may have the browser send it as a form; it is taken as an address then.
            (false, &Method::POST) => return Err(Refusal::invalid("use GET for this address")),
            (false, _) => head.uri.query().unwrap_or_default().to_owned(),
        };
        let asked =
            Form::parse(&query).ok_or_else(|| Refusal::invalid("the request is no form"))?;
        let request = AuthorizationRequest {
            response_type: asked.owned("response_type"),
            response_mode: asked.owned("response_mode"),
            client_id: asked.owned("client_id"),
            redirect_uri: asked.owned("redirect_uri"),
            scope: asked.owned("scope"),
            state: asked.owned("state"),
            code_challenge: asked.owned("code_challenge"),
            code_challenge_method: asked.owned("code_challenge_method"),
            nonce: asked.owned("nonce"),
            prompt: asked.owned("prompt"),
            request: asked
                .owned("request")
                .or_else(|| asked.owned("request_uri")),
        };
        let of = match self.0.core.check_authorization(&request).await {
            Ok(of) => of,
            Err(AuthorizationError::Shown(why)) => {
                return Ok(html::refusal(StatusCode::BAD_REQUEST, why));
            }
            Err(AuthorizationError::Sent {
                redirect_uri,
                state,
                code,
                why,
            }) => {
                let parameters = [("error", code.name()), ("error_description", why)];
                let state = state.as_deref();
                return Ok(sent_back(client, &redirect_uri, &parameters, state));
            }
            Err(AuthorizationError::Failed(error)) => return Err(error.into()),
        };
        let flow = Flow::Authorize(Box::new(of), query);
        self.step(client, head, form, flow, is_step).await
    }

    pub async fn device_page(
        &self,
        client: &Client,
        head: &Parts,
        form: &Form,
    ) -> Result<Response<Bytes>, Refusal> {
        let typed = form.get("user_code").unwrap_or_default();
        let ask = |error| {
            let body = html::user_code(DEVICE_PATH, &[("begin", "1")], typed, error);
            let page = Page {
                title: "Let a device in",
                body: &body,
                goes_to: None,
                has_script: false,
            };
            page.into_response(StatusCode::OK)
        };
        // RFC 8628 §5.4: also a code that came with the address is confirmed by whoever sees it.
        if head.method != Method::POST {
            return Ok(ask(None));
        }
        let found = self.0.core.device_request(typed, &client.origin()).await;
        let request = match found {
            Ok(Some(request)) => request,
            Ok(None) => {
                let why = "There is no such code, or its time is over.";
                return Ok(ask(Some(why)));
            }
            Err(error) => return Ok(ask(Some(&sentence(&error)))),
        };
        let is_step = form.get("begin").is_none();
        let flow = Flow::Device(Box::new(request));
        self.step(client, head, form, flow, is_step).await
    }

    /// The next page.
    async fn step(
        &self,
        client: &Client,
        head: &Parts,
        form: &Form,
        flow: Flow,
        is_step: bool,
    ) -> Result<Response<Bytes>, Refusal> {
        let bound = Bound::new(self, client, &head.headers, flow.field());
        if !is_step {
            return Ok(self.login_page(client, &flow, &bound, None));
        }
        let token = form.get("form").unwrap_or_default();
        let is_ours = is_from_here(client, &head.headers)
            && !bound.is_new
            && self.0.core.is_form_token(token, &bound.octets);
        if !is_ours {
            let why =
                "The page was open for too long, or your browser takes no cookies. Try again.";
            return Ok(self.login_page(client, &flow, &bound, Some(why)));
        }
        let core = &self.0.core;
        let origin = client.origin();
        match (
            form.get("ticket"),
            form.secret("code"),
            form.get("decision"),
        ) {
            (Some(ticket), _, Some(decision)) => {
                match core.signed_in(ticket, &bound.octets).await {
                    Ok(who) => self.decide(client, flow, &who, decision == "allow").await,
                    Err(error) => {
                        let why = sentence(&error);
                        Ok(self.login_page(client, &flow, &bound, Some(&why)))
                    }
                }
            }
            (Some(ticket), Some(code), None) => {
                match core
                    .sign_in_by_code(ticket, code, origin, &bound.octets)
                    .await
                {
                    Ok(done) => self.consent_page(client, &flow, &bound, &done).await,
                    Err(AuthError::Invalid) => {
                        let ticket = Secret::from(ticket);
                        let why = "The code is wrong, or was used already.";
                        Ok(self.code_page(client, &flow, &bound, &ticket, Some(why)))
                    }
                    Err(error) => {
                        let why = sentence(&error);
                        Ok(self.login_page(client, &flow, &bound, Some(&why)))
                    }
                }
            }
            _ if form.get("signature").is_some() => {
                let Some(assertion) = assertion(form) else {
                    return Err(Refusal::invalid("the passkey is not what a browser sends"));
                };
                let used =
                    core.sign_in_by_passkey(&assertion, party(client), origin, &bound.octets);
                match used.await {
                    Ok(ticket) => self.consent_page(client, &flow, &bound, &ticket).await,
                    Err(error) => {
                        let why = match error {
                            AuthError::Invalid => {
                                "The passkey is not one of an account here.".to_owned()
                            }
                            error => sentence(&error),
                        };
                        Ok(self.login_page(client, &flow, &bound, Some(&why)))
                    }
                }
            }
            _ => {
                let login = form.owned("login").unwrap_or_default();
                let password = form.secret("password").cloned().unwrap_or_default();
                match core.sign_in(login, password, origin, &bound.octets).await {
                    Ok(SignInStep::Done(ticket)) => {
                        self.consent_page(client, &flow, &bound, &ticket).await
                    }
                    Ok(SignInStep::Code(ticket)) => {
                        Ok(self.code_page(client, &flow, &bound, &ticket, None))
                    }
                    Err(error) => {
                        let why = sentence(&error);
                        Ok(self.login_page(client, &flow, &bound, Some(&why)))
                    }
                }
            }
        }
    }

    fn shown(&self, client: &Client, bound: &Bound, page: Page<'_>) -> Response<Bytes> {
        let mut response = page.into_response(StatusCode::OK);
        bound.set(client, &mut response);
        response
    }

    fn login_page(
        &self,
        client: &Client,
        flow: &Flow,
        bound: &Bound,
        error: Option<&str>,
    ) -> Response<Bytes> {
        let token = self.0.core.form_token(&bound.octets);
        let hidden = [flow.field(), ("form", token.as_str())];
        let name = &flow.client().record.name;
        let challenge = self.0.core.passkey_challenge(&bound.octets);
        let challenge = BASE64_URL_SAFE_NO_PAD.encode(challenge);
        let ask = Ask {
            challenge: &challenge,
            rp_id: party(client).id(),
        };
        let body = html::login(flow.action(), &hidden, name, ask, error);
        let page = Page {
            title: "Sign in",
            body: &body,
            goes_to: None,
            has_script: true,
        };
        self.shown(client, bound, page)
    }

    fn code_page(
        &self,
        client: &Client,
        flow: &Flow,
        bound: &Bound,
        ticket: &Secret<String>,
        error: Option<&str>,
    ) -> Response<Bytes> {
        let token = self.0.core.form_token(&bound.octets);
        let hidden = [
            flow.field(),
            ("form", token.as_str()),
            ("ticket", ticket.expose()),
        ];
        let body = html::code(flow.action(), &hidden, error);
        let page = Page {
            title: "One more step",
            body: &body,
            goes_to: None,
            has_script: false,
        };
        self.shown(client, bound, page)
    }

    async fn consent_page(
        &self,
        client: &Client,
        flow: &Flow,
        bound: &Bound,
        ticket: &Secret<String>,
    ) -> Result<Response<Bytes>, Refusal> {
        let who = self.0.core.signed_in(ticket.expose(), &bound.octets).await;
        let who = match who {
            Ok(who) => who,
            Err(error) => {
                let why = sentence(&error);
                return Ok(self.login_page(client, flow, bound, Some(&why)));
            }
        };
        let token = self.0.core.form_token(&bound.octets);
        let hidden = [
            flow.field(),
            ("form", token.as_str()),
            ("ticket", ticket.expose()),
        ];
        let (note, goes_to) = match flow {
            Flow::Authorize(of, _) => {
                let source = source_of(&of.redirect_uri);
                (format!("You will be sent to {source}."), Some(source))
            }
            Flow::Device(of) => (format!("The device shows the code {}.", of.user_code), None),
        };
        let record = &flow.client().record;
        let sentences: Vec<&str> = flow.scopes().sentences().collect();
        let consent = Consent {
            program: &record.name,
            uri: record.uri.as_deref(),
            account: &who.name,
            sentences: &sentences,
            note: &note,
            is_unknown: record.is_dynamic,
        };
        let body = html::consent(flow.action(), &hidden, consent);
        let page = Page {
            title: "Allow access?",
            body: &body,
            goes_to: goes_to.as_deref(),
            has_script: false,
        };
        Ok(self.shown(client, bound, page))
    }

    async fn decide(
        &self,
        client: &Client,
        flow: Flow,
        who: &SignedIn,
        is_allowed: bool,
    ) -> Result<Response<Bytes>, Refusal> {
        let core = &self.0.core;
        let of = match flow {
            Flow::Device(request) => {
                let decided = core
                    .decide_device(&request.user_code, who, is_allowed)
                    .await?;
                return Ok(match (decided, is_allowed) {
                    (true, true) => html::message(
                        "Done",
                        "The device is let in. You can close this page and go on there.",
                    ),
                    (true, false) => html::message("Done", "The device is not let in."),
                    (false, _) => html::refusal(
                        StatusCode::BAD_REQUEST,
                        "There is nothing to decide any more: the code was used, or its time is over.",
                    ),
                });
            }
            Flow::Authorize(of, _) => of,
        };
        let state = of.state.as_deref();
        if !is_allowed {
            let parameters = [
                ("error", "access_denied"),
                ("error_description", "access was refused"),
            ];
            return Ok(sent_back(client, &of.redirect_uri, &parameters, state));
        }
        let code = core.authorize(&of, who).await?;
        let parameters = [("code", code.expose().as_str())];
        Ok(sent_back(client, &of.redirect_uri, &parameters, state))
    }
}

/// The server, as the browser knows it.
fn party(client: &Client) -> RelyingParty<'_> {
    RelyingParty {
        origin: &client.base_url,
    }
}

/// What the script has filled in. `None`: it is no base64url.
fn assertion(form: &Form) -> Option<Assertion> {
    let octets = |name: &str| {
        let text = form.get(name)?;
        BASE64_URL_SAFE_NO_PAD.decode(text).ok()
    };
    let [id, client_data, authenticator_data, signature, user_handle] = PASSKEY_FIELDS.map(octets);
    Some(Assertion {
        credential_id: id?,
        client_data: client_data?,
        authenticator_data: authenticator_data?,
        signature: signature?,
        user_handle: user_handle?,
    })
}

/// RFC 6749 §4.1.2, RFC 9207 §2.
fn sent_back(
    client: &Client,
    redirect_uri: &str,
    parameters: &[(&str, &str)],
    state: Option<&str>,
) -> Response<Bytes> {
    let mut parameters = parameters.to_vec();
    parameters.extend(state.map(|state| ("state", state)));
    parameters.push(("iss", &client.base_url));
    let mut response = Response::new(Bytes::new());
    // RFC 9700 §4.12: the browser must not send its form once more.
    *response.status_mut() = StatusCode::SEE_OTHER;
    let location = with_parameters(redirect_uri, &parameters);
    if let Ok(location) = HeaderValue::try_from(location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

/// Scheme and host of an address, as a source of a Content-Security-Policy; of others than https, the scheme.
fn source_of(uri: &str) -> String {
    let (scheme, rest) = uri.split_once(':').unwrap_or((uri, ""));
    let rest = rest.strip_prefix("//").unwrap_or_default();
    let host = rest.split(['/', '?']).next().unwrap_or_default();
    let is_plain = |octet: u8| octet.is_ascii_alphanumeric() || b".-:".contains(&octet);
    match !host.is_empty() && host.bytes().all(is_plain) {
        true => format!("{scheme}://{host}"),
        false => format!("{scheme}:"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources() {
        for (uri, want) in [
            ("https://app.example/back?x", "https://app.example"),
            ("http://127.0.0.1:8080/back", "http://127.0.0.1:8080"),
            ("http://[::1]:8080/back", "http:"),
            ("org.example.app:/back", "org.example.app:"),
            ("https://a;script-src */", "https:"),
        ] {
            assert_eq!(source_of(uri), want, "{uri}");
        }
    }
}
