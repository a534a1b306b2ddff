//! Times as they are here and now.

use crate::format;

/// Seconds since 1970.
pub fn now() -> i64 {
    (js_sys::Date::now() / 1000.0) as i64
}

/// A date of the API in local time; what is no date is shown as it is.
pub fn date(text: &str) -> String {
    match format::parse_date(text) {
        Some(seconds) => format::date(seconds, offset_minutes(seconds)),
        None => text.to_owned(),
    }
}

/// `14:05`, in local time.
pub fn clock(seconds: i64) -> String {
    let date = format::date(seconds, offset_minutes(seconds));
    date.rsplit(' ').next().unwrap_or_default().to_owned()
}

/// `3 Mar`: a day, as UTC has it.
pub fn day(seconds: i64) -> String {
    let date = format::date(seconds, 0);
    let mut parts = date.split(' ');
    let (day, month) = (parts.next(), parts.next());
    format!("{} {}", day.unwrap_or_default(), month.unwrap_or_default())
}

/// How far local time was ahead of UTC then.
fn offset_minutes(seconds: i64) -> i64 {
    let then = js_sys::Date::new(&((seconds as f64) * 1000.0).into());
    -(then.get_timezone_offset() as i64)
}

/// Lets time pass.
pub async fn sleep(milliseconds: i32) {
    let promise = js_sys::Promise::new(&mut |done, _| {
        let window = leptos::prelude::window();
        let _ = window.set_timeout_with_callback_and_timeout_and_arguments_0(&done, milliseconds);
    });
    let _ = wasm_bindgen_futures::JsFuture::from(promise).await;
}
