//! A picture that the server has drawn.

use leptos::prelude::*;

use crate::query;

/// A QR code. `svg`: as the API gives it; as an image, nothing in it can be run. `what`: for those who don't see it.
pub fn svg(svg: &str, what: &'static str) -> AnyView {
    let address = format!("data:image/svg+xml,{}", query::encode(svg));
    view! { <img class="qr" src=address alt=what width="220" height="220" /> }.into_any()
}
