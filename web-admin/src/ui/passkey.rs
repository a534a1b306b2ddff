//! Passkeys, which the browser makes and uses.
//!
//! Other half: WebAuthn Level 3 (§5.1); `adapters/admin` says what the browser is asked, and takes what it answers.

use js_sys::{Function, JSON, Object, Promise, Reflect};
use leptos::prelude::window;
use serde_json::Value;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;

use crate::messages::t;

const KIND: &str = "PublicKeyCredential";

/// Whether the browser has them, on a page of this kind.
pub fn are_there() -> bool {
    let kind = Reflect::get(&window(), &KIND.into());
    kind.is_ok_and(|kind| Reflect::has(&kind, &"parseRequestOptionsFromJSON".into()) == Ok(true))
}

/// RegistrationResponseJSON of what the browser makes with PublicKeyCredentialCreationOptionsJSON. Errors: why not, as it says.
pub async fn make(options: &Value) -> Result<Value, String> {
    let made = ask("parseCreationOptionsFromJSON", "create", options);
    made.await.map_err(|error| why(&error))
}

/// AuthenticationResponseJSON of what the browser answers to PublicKeyCredentialRequestOptionsJSON.
pub async fn show(options: &Value) -> Result<Value, String> {
    let shown = ask("parseRequestOptionsFromJSON", "get", options);
    shown.await.map_err(|error| why(&error))
}

async fn ask(parse: &str, method: &str, options: &Value) -> Result<Value, JsValue> {
    let options = JSON::parse(&options.to_string())?;
    let kind = Reflect::get(&window(), &KIND.into())?;
    let options = call(&kind, parse, &options)?;
    let wanted = Object::new();
    Reflect::set(&wanted, &"publicKey".into(), &options)?;
    let credentials = Reflect::get(&window().navigator(), &"credentials".into())?;
    let answer = call(&credentials, method, &wanted)?;
    let answer = JsFuture::from(answer.dyn_into::<Promise>()?).await?;
    let answer = call(&answer, "toJSON", &JsValue::UNDEFINED)?;
    let text = JSON::stringify(&answer)?.as_string().unwrap_or_default();
    Ok(serde_json::from_str(&text).unwrap_or_default())
}

fn call(of: &JsValue, name: &str, argument: &JsValue) -> Result<JsValue, JsValue> {
    let function = Reflect::get(of, &name.into())?;
    let function = function.dyn_into::<Function>();
    function?.call1(of, argument)
}

fn why(error: &JsValue) -> String {
    match Reflect::get(error, &"message".into()) {
        Ok(message) => message.as_string().unwrap_or_default(),
        Err(_) => t().access.no_passkeys_here.to_owned(),
    }
}
