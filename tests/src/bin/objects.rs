//! A server of S3 as a process of its own, for tests: `objects FOLDER ADDRESS`. It keeps what it is given in the folder.
//!
//! Holds: it takes its keys from the variables that Garage has them in, which it stands in for; it ends when its input does.
//! Other half: `e2e::objects`, which starts, kills and freezes it.

use std::{
    io::{Read as _, stdin},
    net::SocketAddr,
    path::Path,
    process::ExitCode,
};

use store::blob::s3_server::S3Server;

fn main() -> ExitCode {
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [folder, address] = args.as_slice() else {
        eprintln!("objects FOLDER ADDRESS");
        return ExitCode::from(2);
    };
    let Ok(address) = address.parse::<SocketAddr>() else {
        eprintln!("{address} is no address");
        return ExitCode::from(2);
    };
    let id = variable("GARAGE_DEFAULT_ACCESS_KEY");
    let secret = variable("GARAGE_DEFAULT_SECRET_KEY");
    let server = S3Server::over(Path::new(folder), address, (&id, &secret));
    eprintln!("objects: {}", server.endpoint());
    // Whoever has started it holds the other end.
    while stdin().read(&mut [0; 64]).is_ok_and(|octets| octets > 0) {}
    ExitCode::SUCCESS
}
