//! Our server: the release binary with a fresh data folder.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::http::Http;
use crate::measure::quiet;
use crate::peer::{free_port, wait_for};
use crate::proc::Tree;
use crate::{DOMAIN, Fail, PASSWORD};

/// The gauge that says how many accounts the search index is behind with.
const PENDING: &str = "posthorn_search_pending_accounts ";
/// The file beside the data that names the database.
const STORE: &str = "store.toml";
/// Longer than this the index is never behind, once nothing more comes in.
const CATCH_UP: Duration = Duration::from_secs(600);

pub struct Server {
    process: Child,
    pub http: u16,
    pub smtp: u16,
    pub lmtp: u16,
    pub imap: u16,
    pub imaps: u16,
    pub pop3: u16,
}

impl Server {
    /// Makes the domain and the users, then starts the server; its output goes to `log` in the folder.
    pub async fn start(folder: &Path, users: &[String]) -> Result<Self, Fail> {
        Self::start_on(folder, users, "").await
    }

    /// The same with tables of the configuration that say where everything is kept. Without users, it is another server
    /// over one database that has them.
    pub async fn start_on(folder: &Path, users: &[String], store: &str) -> Result<Self, Fail> {
        let binary = std::env::var_os("POSTHORN_BIN")
            .map_or("target/release/posthorn".into(), PathBuf::from);
        let data = folder.join("data");
        fs::create_dir_all(&data)?;
        fs::write(folder.join(STORE), store)?;
        if !users.is_empty() {
            cli(&binary, &data, &["domain", "add", DOMAIN], "")?;
        }
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
        let (http, smtp, lmtp) = (free_port()?, free_port()?, free_port()?);
        let (imap, imaps, pop3) = (free_port()?, free_port()?, free_port()?);
        let config = folder.join("posthorn.toml");
        fs::write(
            &config,
            configuration(http, smtp, lmtp, [imap, imaps], pop3) + store,
        )?;
        let process = Command::new(&binary)
            .arg("serve")
            .arg("--config")
            .arg(&config)
            .arg("--data")
            .arg(&data)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .map_err(|error| format!("can't start {}: {error}", binary.display()))?;
        let server = Self {
            process,
            http,
            smtp,
            lmtp,
            imap,
            imaps,
            pop3,
        };
        for port in [http, smtp, lmtp, imap, imaps, pop3] {
            wait_for(port, "our server").await?;
        }
        Ok(server)
    }

    pub fn tree(&self) -> Tree {
        Tree::new(self.roots())
    }

    pub fn roots(&self) -> Vec<u32> {
        vec![self.process.id()]
    }

    /// Waits until the index has caught up and nothing is left to do.
    pub async fn settle(&self) -> Result<(), Fail> {
        let started = Instant::now();
        let mut http = Http::open(self.http, "").await?;
        while pending(&mut http).await? > 0.0 {
            if started.elapsed() > CATCH_UP {
                return Err(format!("the search index is behind after {CATCH_UP:?}").into());
            }
            // Asking costs the server half a millisecond, which isn't what is measured.
            sleep(Duration::from_secs(1)).await;
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

/// What a mail server has by default, without the limits on clients: one address plays them all.
fn configuration(http: u16, smtp: u16, lmtp: u16, [imap, imaps]: [u16; 2], pop3: u16) -> String {
    let listener = |name: &str, port: u16| {
        format!("[{name}]\nlisten = [\"127.0.0.1:{port}\"]\nexempt = [\"127.0.0.0/8\"]\n")
    };
    let mail = "message-rate = \"1000000/1s\"\nmessages-per-connection = 1000000\n";
    [
        format!("hostname = \"mail.{DOMAIN}\"\n"),
        listener("smtp", smtp),
        mail.into(),
        listener("lmtp", lmtp),
        mail.into(),
        listener("http", http),
        listener("imap", imap),
        listener("imaps", imaps),
        listener("pop3", pop3),
        "[managesieve]\nlisten = []\n[pop3s]\nlisten = []\n[submission]\nlisten = []\n[submissions]\nlisten = []\n[https]\nlisten = []\n".into(),
    ]
    .concat()
}

/// The gauge's value. Without it nobody knows when the work is done, and there is nothing to measure.
async fn pending(http: &mut Http) -> Result<f64, Fail> {
    let answer = http.get("/metrics").await?;
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(PENDING)?.trim().parse().ok());
    value.ok_or_else(|| format!("/metrics ({}) has no {PENDING}", answer.status).into())
}

fn cli(binary: &Path, data: &Path, args: &[&str], input: &str) -> Result<(), Fail> {
    let mut child = Command::new(binary)
        .arg("--config")
        .arg(data.with_file_name(STORE))
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
