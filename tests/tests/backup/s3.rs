//! An object store: a server of S3 in this process, and the real binary as its client.

use std::{net::SocketAddr, path::Path};

use e2e::{Home, Server};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
};
use s3s::{auth::SimpleAuth, service::S3ServiceBuilder};
use serde_json::json;

use crate::{deliver, json_of, model::Model, number, text_of};

const KEY: &str = "posthorn";
const SECRET: &str = "a secret of the object store";
const BUCKET: &str = "mail";

/// An object store over a folder.
fn object_store(folder: &Path) -> (tokio::runtime::Runtime, SocketAddr) {
    std::fs::create_dir(folder.join(BUCKET)).expect("the bucket can't be made");
    let files = s3s_fs::FileSystem::new(folder).expect("no object store");
    let mut builder = S3ServiceBuilder::new(files);
    builder.set_auth(SimpleAuth::from_single(KEY, SECRET));
    let service = builder.build();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("no runtime");
    let listener = runtime
        .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
        .expect("no port");
    let address = listener.local_addr().expect("no address");
    runtime.spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let service = service.clone();
            tokio::spawn(async move {
                let builder = Builder::new(TokioExecutor::new());
                let _ = builder
                    .serve_connection(TokioIo::new(socket), service)
                    .await;
            });
        }
    });
    (runtime, address)
}

#[test]
fn a_backup_goes_to_an_object_store_and_comes_back() {
    let folder = tempfile::tempdir().expect("no folder");
    let (_runtime, address) = object_store(folder.path());
    let run = |home: &Home, args: &[&str], secret: &str| {
        let mut command = home.command(&[&["--json"], args].concat());
        command
            .env("AWS_ENDPOINT_URL", format!("http://{address}"))
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", KEY)
            .env("AWS_SECRET_ACCESS_KEY", secret);
        let child = command.spawn().expect("the binary can't be started");
        child.wait_with_output().expect("no output")
    };
    let server = Server::start();
    deliver(server.home.smtp, 0..50);
    let place = "s3://mail/backups/one";
    let first = json_of(run(&server.home, &["backup", place], SECRET));
    deliver(server.home.smtp, 100..103);
    // Who looks for identities for the first time makes them.
    let before = Model::of(&server, "alice");
    let second = json_of(run(&server.home, &["backup", place], SECRET));
    println!("first:  {first}\nsecond: {second}");
    assert_eq!(number(&second, "newBlobs"), 3);
    let report = run(
        &server.home,
        &["backup", "verify", place, "--read-all"],
        SECRET,
    );
    assert_eq!(json_of(report)["problems"], json!([]));
    let stranger = run(&server.home, &["backup", "list", place], "wrong");
    assert!(!stranger.status.success());
    assert!(
        !text_of(&stranger).contains("wrong"),
        "{}",
        text_of(&stranger)
    );
    let home = Home::new();
    json_of(run(&home, &["restore", place], SECRET));
    home.check();
    let server = Server::start_in(home);
    assert_eq!(Model::of(&server, "alice"), before);
    assert!(!server.log().contains(SECRET));
}
