//! Our server: the release binary with a fresh data folder.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::time::sleep;

use crate::http::Http;
use crate::measure::quiet;
use crate::peer::wait_for;
use crate::proc::Tree;
use crate::{DOMAIN, Fail, PASSWORD};

/// The gauge that says how many messages the search index lacks.
const PENDING: &str = "posthorn_search_pending";

pub struct Server {
    process: Child,
    pub http: u16,
    pub smtp: u16,
    pub lmtp: u16,
}

impl Server {
    /// Makes the domain and the users, then starts the server; its output goes to `log` in the folder.
    pub async fn start(folder: &Path, users: &[String]) -> Result<Self, Fail> {
        let binary = std::env::var_os("POSTHORN_BIN")
            .map_or("target/release/posthorn".into(), PathBuf::from);
        let data = folder.join("data");
        fs::create_dir_all(&data)?;
        cli(&binary, &data, &["domain", "add", DOMAIN], "")?;
        for user in users {
            let address = format!("{user}@{DOMAIN}");
            cli(
                &binary,
                &data,
                &["account", "add", &address, "--password-stdin"],
                PASSWORD,
            )?;
        }
        let log = fs::File::create(folder.join("log"))?;
        let process = Command::new(&binary)
            .arg("serve")
            .arg("--data")
            .arg(&data)
            .arg("--quickstart")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .map_err(|error| format!("can't start {}: {error}", binary.display()))?;
        // The ports of --quickstart.
        let server = Self {
            process,
            http: 8080,
            smtp: 2525,
            lmtp: 2424,
        };
        for port in [server.http, server.smtp, server.lmtp] {
            wait_for(port, "our server").await?;
        }
        Ok(server)
    }

    pub fn tree(&self) -> Tree {
        Tree::new(vec![self.process.id()])
    }

    /// Waits until the index has caught up and nothing is left to do.
    pub async fn settle(&self) -> Result<(), Fail> {
        let mut http = Http::open(self.http, "").await?;
        while let Some(pending) = pending(&mut http).await {
            if pending == 0.0 {
                break;
            }
            sleep(Duration::from_millis(50)).await;
        }
        quiet(&self.tree()).await;
        Ok(())
    }

    pub async fn stop(mut self) {
        let _ = Command::new("kill")
            .arg(self.process.id().to_string())
            .status();
        for _ in 0..100 {
            if matches!(self.process.try_wait(), Ok(Some(_))) {
                return;
            }
            sleep(Duration::from_millis(100)).await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The gauge's value; nothing when the server doesn't show it.
async fn pending(http: &mut Http) -> Option<f64> {
    let answer = http
        .get("/metrics")
        .await
        .ok()
        .filter(|answer| answer.status == 200)?;
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    text.lines()
        .find_map(|line| line.strip_prefix(PENDING)?.trim().parse().ok())
}

fn cli(binary: &Path, data: &Path, args: &[&str], input: &str) -> Result<(), Fail> {
    let mut child = Command::new(binary)
        .arg("--data")
        .arg(data)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("can't start {}: {error}", binary.display()))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes())?;
        stdin.write_all(b"\n")?;
    }
    let output = child.wait_with_output()?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!(
            "posthorn {}: {}",
            args.join(" "),
            String::from_utf8_lossy(&output.stderr)
        )
        .into()),
    }
}
