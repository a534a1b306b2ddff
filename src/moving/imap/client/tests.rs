//! Against servers that lie, stop or refuse.

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _},
    net::TcpListener,
};

use super::*;

/// A server that answers each line that begins so with that; `TAG` is the tag.
pub async fn server(answers: &'static [(&'static str, String)]) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = BufReader::new(stream);
        stream.write_all(b"* OK hello\r\n").await.unwrap();
        let mut line = String::new();
        while stream.read_line(&mut line).await.is_ok_and(|read| read > 0) {
            let (tag, command) = line.split_once(' ').unwrap_or_default();
            let found = answers.iter().find(|(begin, _)| command.starts_with(begin));
            let text = match found {
                Some((_, text)) => text.replace("TAG", tag),
                None => format!("{tag} OK done\r\n"),
            };
            if stream.write_all(text.as_bytes()).await.is_err() || text.contains("BYE") {
                return;
            }
            line.clear();
        }
    });
    Server {
        host: "127.0.0.1".to_owned(),
        port,
        encryption: Encryption::Plain,
        tls: tls_config(None).unwrap(),
        proxy: None,
    }
}

async fn client(answers: Vec<(&'static str, String)>) -> Client {
    let server = server(answers.leak()).await;
    let password = Secret::new("secret words".to_owned());
    Client::open(&server, "alice", &password).await.unwrap()
}

pub fn answer(command: &'static str, lines: &str) -> (&'static str, String) {
    (command, format!("{lines}TAG OK done\r\n"))
}

#[tokio::test]
async fn what_was_not_asked_for_or_comes_twice_is_left_out() {
    let lines = "* 1 FETCH (UID 7 FLAGS (\\Seen) BODY[] {3}\r\nabc)\r\n* 2 EXISTS\r\n* 3 FETCH (FLAGS (x))\r\n\
                 * 1 FETCH (UID 7 BODY[] {3}\r\nxyz)\r\n* 9 FETCH (UID 9 BODY[] {1}\r\nz)\r\n* 4 FETCH (UID 8 BODY[] NIL)\r\n";
    let mut client = client(vec![answer("UID FETCH", lines)]).await;
    let fetched = client.fetch(&[7, 8], 100).await.unwrap();
    let shown: Vec<_> = fetched
        .iter()
        .map(|one| (one.uid, one.octets.clone()))
        .collect();
    assert_eq!(
        shown,
        [
            (7, Some(Bytes::from_static(b"abc"))),
            (8, Some(Bytes::new()))
        ]
    );
}

#[tokio::test]
async fn a_message_larger_than_it_was_said_to_be_is_not_kept() {
    let large = "x".repeat(1000);
    let lines = format!(
        "* 1 FETCH (UID 1 BODY[] {{1000}}\r\n{large})\r\n* 2 FETCH (UID 2 BODY[] {{2}}\r\nok)\r\n"
    );
    let mut client = client(vec![answer("UID FETCH", &lines)]).await;
    let fetched = client.fetch(&[1, 2], 500).await.unwrap();
    assert!(fetched[0].octets.is_none());
    assert_eq!(fetched[1].octets.as_deref(), Some(&b"ok"[..]));
}

#[tokio::test]
async fn refusals_and_ends_are_told_apart() {
    let mut refusing = client(vec![("EXAMINE", "TAG NO [NOPERM] not you\r\n".to_owned())]).await;
    let error = refusing.examine("INBOX").await.unwrap_err();
    assert!(matches!(&error, ImapError::Refused { .. }), "{error}");
    let mut ending = client(vec![("EXAMINE", "* BYE going down\r\n".to_owned())]).await;
    let error = ending.examine("INBOX").await.unwrap_err();
    assert!(matches!(&error, ImapError::Io(_)), "{error}");
    let mut without = client(vec![answer("EXAMINE", "* 3 EXISTS\r\n")]).await;
    let error = without.examine("INBOX").await.unwrap_err();
    assert!(error.to_string().contains("UIDVALIDITY"), "{error}");
}

#[tokio::test]
async fn a_password_is_in_no_error() {
    let answers = vec![(
        "LOGIN",
        "TAG NO wrong: secret is not the password\r\n".to_owned(),
    )];
    let server = server(answers.leak()).await;
    let password = Secret::new("open sesame".to_owned());
    let error = Client::open(&server, "alice", &password)
        .await
        .err()
        .unwrap();
    assert!(!error.to_string().contains("sesame"), "{error}");
}

#[tokio::test]
async fn a_greeting_of_another_protocol_is_told() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"220 mail ESMTP\r\n").await.unwrap();
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
    });
    let server = Server {
        port,
        ..server(&[]).await
    };
    let error = Client::open(&server, "a", &Secret::new("b".to_owned())).await;
    assert!(error.err().unwrap().to_string().contains("220 mail ESMTP"));
}
