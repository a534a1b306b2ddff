//! What comes by SMTP.

use bytes::Bytes;
use jmap_types::{mail::EmailSubmission, method::Get};
use serde_json::json;

use super::{ANN, BOB, HELLO, Server};
use crate::inproc::submit::SubmitError;

async fn check(message: &str, from: Option<&str>, to: &[&str], expected: Result<(), SubmitError>) {
    let server = Server::new().await;
    let message = Bytes::from(message.replace('\n', "\r\n"));
    let to: Vec<String> = to.iter().map(|to| (*to).to_owned()).collect();
    let result = server
        .core
        .submit(&server.ann, from.map(str::to_owned), to, message)
        .await;
    assert_eq!(result, expected);
    server.core.send_due().await.unwrap();
    let arrived = server.inbox(&server.bob).await.len();
    assert_eq!(arrived, usize::from(expected.is_ok()));
    let list = server
        .call::<Get<EmailSubmission>>(&server.ann, json!({"ids": null}))
        .await;
    assert_eq!(list["list"].as_array().unwrap().len(), arrived);
}

#[tokio::test]
async fn submissions() {
    check(HELLO, Some(ANN), &[BOB], Ok(())).await;
    check(HELLO, Some("Ann+tag@EXAMPLE.org"), &[BOB], Ok(())).await;
    check(HELLO, None, &[BOB], Ok(())).await;
    check(
        HELLO,
        Some(BOB),
        &[BOB],
        Err(SubmitError::ForbiddenMailFrom),
    )
    .await;
    check(
        &HELLO.replace("ann@", "eve@"),
        Some(ANN),
        &[BOB],
        Err(SubmitError::ForbiddenFrom),
    )
    .await;
    check(
        "To: bob@example.org\n\nHi\n",
        Some(ANN),
        &[BOB],
        Err(SubmitError::ForbiddenFrom),
    )
    .await;
    check(
        HELLO,
        Some(ANN),
        &[BOB, "x"],
        Err(SubmitError::InvalidRecipients(vec!["x".into()])),
    )
    .await;
}
