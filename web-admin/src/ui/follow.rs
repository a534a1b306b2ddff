//! Answers of the API that go on.
//!
//! Holds: whoever leaves the page ends the answer; one that ends by itself is asked for again, from where it was.
//! Other half: `adapters/admin/src/live.rs`.

use leptos::{prelude::*, task::spawn_local};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{AbortController, ReadableStreamDefaultReader, Response, TextDecoder};

use super::{api, session, time};
use crate::{
    events::{Event, Events},
    problem::Problem,
};

/// Time before another try, when there was no connection.
const AGAIN_MS: i32 = 3000;

/// Follows an address until the signal says no, or the page is left. `got` gets each event; `failed`: why it doesn't go on.
pub fn follow(
    address: String,
    got: impl Fn(Event) + 'static,
    failed: impl Fn(Option<Problem>) + 'static,
) {
    let Ok(abort) = AbortController::new() else {
        return;
    };
    let signal = abort.signal();
    let kept = StoredValue::new_local(abort);
    on_cleanup(move || {
        kept.try_with_value(AbortController::abort);
    });
    spawn_local(async move {
        let mut last = String::new();
        while !signal.aborted() {
            let mut call = api::Call::new("GET", &address).until(signal.clone());
            if !last.is_empty() {
                call = call.field("last-event-id", &last);
            }
            match call.stream().await {
                Ok(response) => {
                    failed(None);
                    let _ = read(&response, &mut last, &got).await;
                }
                Err(_) if signal.aborted() => return,
                Err(problem) => {
                    let is_over = matches!(problem.status, 1..500);
                    let is_session = problem.status == 401;
                    failed(Some(problem));
                    if is_session {
                        session::expired();
                    }
                    if is_over {
                        return;
                    }
                }
            }
            time::sleep(AGAIN_MS).await;
        }
    });
}

async fn read(response: &Response, last: &mut String, got: &impl Fn(Event)) -> Result<(), JsValue> {
    let Some(body) = response.body() else {
        return Ok(());
    };
    let reader: ReadableStreamDefaultReader = body.get_reader().dyn_into()?;
    let decoder = TextDecoder::new()?;
    // A character may come in two pieces.
    let options = web_sys::TextDecodeOptions::new();
    options.set_stream(true);
    let mut events = Events::default();
    loop {
        let piece = JsFuture::from(reader.read()).await?;
        let value = js_sys::Reflect::get(&piece, &"value".into())?;
        if value.is_undefined() {
            return Ok(());
        }
        let octets: js_sys::Uint8Array = value.dyn_into()?;
        let text = decoder.decode_with_js_u8_array_and_options(&octets, &options)?;
        for event in events.push(&text) {
            if !event.id.is_empty() {
                event.id.clone_into(last);
            }
            got(event);
        }
    }
}
