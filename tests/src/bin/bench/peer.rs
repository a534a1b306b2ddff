//! The peers: Debian's Dovecot (IMAP, LMTP) and Postfix (SMTP, delivering to that Dovecot), with their defaults, in folders of
//! their own and on free ports.
//! Holds: the system's own configuration is not read and not changed; nothing keeps running when the benchmark ends; limits
//! on clients are lifted, since one address plays them all.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::str::FromStr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::sleep;

use crate::measure::quiet;
use crate::proc::Tree;
use crate::{DOMAIN, Fail, PASSWORD, say};

/// How Dovecot stores mail.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    Maildir,
    Sdbox,
}

impl FromStr for Format {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "maildir" => Ok(Self::Maildir),
            "sdbox" => Ok(Self::Sdbox),
            _ => Err(format!("`{text}` is no format: maildir or sdbox")),
        }
    }
}

pub struct Peer {
    dovecot: Child,
    pub imap: u16,
    pub imaps: u16,
    pub pop3: u16,
    pub lmtp: u16,
    pub postfix: Option<Postfix>,
}

/// Postfix's master makes a daemon of itself, so there is no child to hold.
pub struct Postfix {
    config: PathBuf,
    spool: PathBuf,
    master: u32,
    pub smtp: u16,
}

impl Peer {
    /// Starts Dovecot, and Postfix when this is root (its master refuses anybody else).
    pub async fn start(folder: &Path, format: Format) -> Result<Self, Fail> {
        // The mail's owner must get through to it.
        for path in [folder.parent().unwrap_or(folder), folder] {
            fs::create_dir_all(path)?;
            fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
        }
        let (imap, lmtp, smtp) = (free_port()?, free_port()?, free_port()?);
        let (imaps, pop3) = (free_port()?, free_port()?);
        certificate(folder)?;
        let config = dovecot_config(folder, format, [imap, imaps], pop3, lmtp)?;
        let log = fs::File::create(folder.join("dovecot.out"))?;
        let dovecot = Command::new(program("dovecot"))
            .arg("-F")
            .arg("-c")
            .arg(config)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .map_err(|error| format!("can't start dovecot: {error}"))?;
        let mut peer = Self {
            dovecot,
            imap,
            imaps,
            pop3,
            lmtp,
            postfix: None,
        };
        wait_for(imap, "Dovecot").await?;
        wait_for(imaps, "Dovecot's IMAPS").await?;
        wait_for(lmtp, "Dovecot's LMTP").await?;
        peer.postfix = if is_root() {
            Some(Postfix::start(&folder.join("postfix"), smtp, lmtp).await?)
        } else {
            say("Postfix is left out: only root can start it");
            None
        };
        Ok(peer)
    }

    /// Dovecot alone.
    pub fn dovecot(&self) -> Tree {
        Tree::new(vec![self.dovecot.id()])
    }

    /// Postfix and the Dovecot it delivers to.
    pub fn both(&self) -> Tree {
        let mut roots = vec![self.dovecot.id()];
        roots.extend(self.postfix.as_ref().map(|postfix| postfix.master));
        Tree::new(roots)
    }

    /// Waits until all that Postfix has accepted is with Dovecot.
    pub async fn delivered(&self) {
        if let Some(postfix) = &self.postfix {
            while postfix.queued() > 0 {
                sleep(Duration::from_millis(20)).await;
            }
        }
    }

    /// Waits until nothing is queued and all is idle.
    pub async fn settle(&self) {
        self.delivered().await;
        quiet(&self.both()).await;
    }

    pub async fn stop(mut self) {
        if let Some(postfix) = self.postfix.take() {
            postfix.stop();
        }
        let _ = Command::new("kill")
            .arg(self.dovecot.id().to_string())
            .status();
        for _ in 0..50 {
            if matches!(self.dovecot.try_wait(), Ok(Some(_))) {
                return;
            }
            sleep(Duration::from_millis(100)).await;
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        if let Some(postfix) = self.postfix.take() {
            postfix.stop();
        }
        let _ = self.dovecot.kill();
        let _ = self.dovecot.wait();
    }
}

impl Postfix {
    async fn start(folder: &Path, smtp: u16, lmtp: u16) -> Result<Self, Fail> {
        let (config, spool, data) = (
            folder.join("etc"),
            folder.join("spool"),
            folder.join("data"),
        );
        for path in [&config, &spool, &data] {
            fs::create_dir_all(path)?;
        }
        own(&data, "postfix")?;
        fs::write(config.join("main.cf"), main_cf(folder, lmtp))?;
        fs::write(config.join("master.cf"), master_cf(smtp))?;
        let output = Command::new(program("postfix"))
            .arg("-c")
            .arg(&config)
            .arg("start")
            .output()?;
        if !output.status.success() {
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(format!("postfix start: {text}").into());
        }
        wait_for(smtp, "Postfix").await?;
        let master = fs::read_to_string(spool.join("pid/master.pid"))?
            .trim()
            .parse()?;
        Ok(Self {
            config,
            spool,
            master,
            smtp,
        })
    }

    /// The number of messages accepted and not yet delivered.
    pub fn queued(&self) -> usize {
        ["maildrop", "incoming", "active", "deferred"]
            .iter()
            .map(|name| files(&self.spool.join(name)))
            .sum()
    }

    fn stop(&self) {
        let _ = Command::new(program("postfix"))
            .arg("-c")
            .arg(&self.config)
            .arg("stop")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
    }
}

fn files(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| {
            if entry.path().is_dir() {
                files(&entry.path())
            } else {
                1
            }
        })
        .sum()
}

fn dovecot_config(
    folder: &Path,
    format: Format,
    [imap, imaps]: [u16; 2],
    pop3: u16,
    lmtp: u16,
) -> Result<PathBuf, Fail> {
    let (run, mail) = (folder.join("run"), folder.join("mail"));
    fs::create_dir_all(&run)?;
    fs::create_dir_all(&mail)?;
    let users = if is_root() {
        own(&mail, "mail")?;
        "mail_uid = mail\nmail_gid = mail\n".to_owned()
    } else {
        // Without root all processes are this user's, and none can be locked into a folder.
        let user = said("id", "-un")?;
        let group = said("id", "-gn")?;
        format!(
            "default_internal_user = {user}\ndefault_internal_group = {group}\ndefault_login_user = {user}\n\
             mail_uid = {user}\nmail_gid = {group}\n\
             service anvil {{\n  chroot =\n}}\nservice imap-login {{\n  chroot =\n}}\nservice pop3-login {{\n  chroot =\n}}\n"
        )
    };
    let format = match format {
        Format::Maildir => "maildir",
        Format::Sdbox => "sdbox",
    };
    let text = format!(
        "base_dir = {run}\nlog_path = {folder}/dovecot.log\nprotocols = imap pop3 lmtp\nlisten = 127.0.0.1\n\
         ssl = yes\nssl_cert = <{folder}/cert.pem\nssl_key = <{folder}/key.pem\n\
         disable_plaintext_auth = no\nfirst_valid_uid = 1\nmail_location = {format}:~/mail\n\
         mail_max_userip_connections = 100000\ndefault_client_limit = 20000\ndefault_process_limit = 5000\n\
         default_vsz_limit = 1G\n{users}\
         passdb {{\n  driver = static\n  args = password={PASSWORD}\n}}\n\
         userdb {{\n  driver = static\n  args = home={mail}/%n\n}}\n\
         service imap-login {{\n  inet_listener imap {{\n    port = {imap}\n  }}\n  inet_listener imaps {{\n    port = {imaps}\n    ssl = yes\n  }}\n}}\n\
         service pop3-login {{\n  inet_listener pop3 {{\n    port = {pop3}\n  }}\n  inet_listener pop3s {{\n    port = 0\n  }}\n}}\n\
         service imap {{\n  process_limit = 5000\n}}\n\
         service lmtp {{\n  inet_listener lmtp {{\n    port = {lmtp}\n  }}\n}}\n",
        run = run.display(),
        folder = folder.display(),
        mail = mail.display(),
    );
    let config = folder.join("dovecot.conf");
    fs::write(&config, text)?;
    Ok(config)
}

/// A certificate of the kind that our server makes for itself: P-256.
fn certificate(folder: &Path) -> Result<(), Fail> {
    let output = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt"])
        .args(["ec_paramgen_curve:prime256v1", "-nodes", "-days", "30"])
        .args([
            "-subj",
            "/CN=mail.example.org",
            "-keyout",
            "key.pem",
            "-out",
            "cert.pem",
        ])
        .current_dir(folder)
        .output()
        .map_err(|error| format!("can't run openssl: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("openssl: {}", String::from_utf8_lossy(&output.stderr)).into()),
    }
}

fn main_cf(folder: &Path, lmtp: u16) -> String {
    let folder = folder.display();
    format!(
        "compatibility_level = 3.6\nqueue_directory = {folder}/spool\ndata_directory = {folder}/data\n\
         maillog_file = {folder}/log\nmaillog_file_prefixes = {folder}\n\
         inet_interfaces = 127.0.0.1\ninet_protocols = ipv4\nmyhostname = mail.{DOMAIN}\nmydestination =\n\
         alias_maps =\nalias_database =\nlocal_recipient_maps =\n\
         virtual_mailbox_domains = {DOMAIN}\nvirtual_mailbox_maps = static:known\n\
         virtual_transport = lmtp:inet:127.0.0.1:{lmtp}\nsmtp_dns_support_level = disabled\n\
         lmtp_host_lookup = native\nsmtpd_client_connection_count_limit = 0\nin_flow_delay = 0\nmessage_size_limit = 52428800\n"
    )
}

/// Debian's master.cf, without what the measurement never reaches, and without chroot.
fn master_cf(smtp: u16) -> String {
    format!(
        "127.0.0.1:{smtp} inet n - n - - smtpd\n\
         pickup unix n - n 60 1 pickup\ncleanup unix n - n - 0 cleanup\nqmgr unix n - n 300 1 qmgr\n\
         tlsmgr unix - - n 1000? 1 tlsmgr\nrewrite unix - - n - - trivial-rewrite\nbounce unix - - n - 0 bounce\n\
         defer unix - - n - 0 bounce\ntrace unix - - n - 0 bounce\nverify unix - - n - 1 verify\n\
         flush unix n - n 1000? 0 flush\nproxymap unix - - n - - proxymap\nproxywrite unix - - n - 1 proxymap\n\
         smtp unix - - n - - smtp\nrelay unix - - n - - smtp\nshowq unix n - n - - showq\nerror unix - - n - - error\n\
         retry unix - - n - - error\ndiscard unix - - n - - discard\nlocal unix - n n - - local\n\
         virtual unix - n n - - virtual\nlmtp unix - - n - - lmtp\nanvil unix - - n - 1 anvil\n\
         scache unix - - n - 1 scache\npostlog unix-dgram n - n - 1 postlogd\n"
    )
}

/// Both live where a user's PATH may not look.
fn program(name: &str) -> PathBuf {
    let system = Path::new("/usr/sbin").join(name);
    if system.exists() { system } else { name.into() }
}

fn is_root() -> bool {
    said("id", "-u").is_ok_and(|id| id == "0")
}

fn own(path: &Path, user: &str) -> Result<(), Fail> {
    match Command::new("chown")
        .arg(format!("{user}:"))
        .arg(path)
        .status()?
        .success()
    {
        true => Ok(()),
        false => Err(format!("can't give {} to {user}", path.display()).into()),
    }
}

fn said(program: &str, argument: &str) -> Result<String, Fail> {
    let output = Command::new(program).arg(argument).output()?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// A port that nobody has right now.
pub fn free_port() -> Result<u16, Fail> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// Waits until something listens on the port.
pub async fn wait_for(port: u16, who: &str) -> Result<(), Fail> {
    for _ in 0..300 {
        if TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
            return Ok(());
        }
        sleep(Duration::from_millis(100)).await;
    }
    Err(format!("{who} does not listen on port {port}").into())
}
