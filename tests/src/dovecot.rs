//! Dovecot, with Maildirs in a folder of its own: a server that mail is brought in from.
//!
//! Holds: it runs as the user who runs the tests; as `nobody` where that is root, whom Dovecot gives no mail to. It is gone when it is dropped.

use std::{
    fs,
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::{
    Imap,
    home::{free_port, is_root},
};

const START_WAIT: Duration = Duration::from_secs(60);
/// Of every user.
pub const PASSWORD: &str = "four red cups 17";
/// Who may log in as everybody, by `USER*MASTER` or by SASL.
pub const MASTER: &str = "mover";
pub const MASTER_PASSWORD: &str = "the key of all doors 3";

#[derive(Debug)]
pub struct Dovecot {
    child: Option<Child>,
    pub port: u16,
    folder: PathBuf,
}

impl Drop for Dovecot {
    fn drop(&mut self) {
        if self.child.is_some() {
            self.kill();
        }
    }
}

impl Dovecot {
    /// With these users, below `folder`.
    pub fn start(folder: &Path, users: &[&str]) -> Dovecot {
        let folder = folder.join("dovecot");
        fs::create_dir_all(folder.join("mail")).expect("no folder");
        let passwords = |names: &[&str], password: &str| -> String {
            let line = |name: &&str| format!("{name}:{{PLAIN}}{password}\n");
            names.iter().map(line).collect()
        };
        let write = |path: PathBuf, text: String| fs::write(path, text).expect("not written");
        write(folder.join("users"), passwords(users, PASSWORD));
        write(
            folder.join("masters"),
            passwords(&[MASTER], MASTER_PASSWORD),
        );
        let mut dovecot = Dovecot {
            child: None,
            port: free_port(),
            folder,
        };
        write(dovecot.folder.join("dovecot.conf"), dovecot.config());
        if is_root() {
            dovecot.open_to_nobody();
        }
        dovecot.start_again();
        dovecot
    }

    fn config(&self) -> String {
        let (at, port) = (self.folder.display(), self.port);
        let (user, group) = match is_root() {
            true => ("nobody".to_owned(), "nogroup".to_owned()),
            false => (said("-un"), said("-gn")),
        };
        format!(
            "base_dir = {at}/run\nstate_dir = {at}/state\nlog_path = {at}/log\nprotocols = imap\nlisten = 127.0.0.1\nssl = no\n\
             disable_plaintext_auth = no\ndefault_internal_user = {user}\ndefault_internal_group = {group}\n\
             default_login_user = {user}\nfirst_valid_uid = 1\nfirst_valid_gid = 1\nmail_uid = {user}\nmail_gid = {group}\n\
             mail_location = maildir:~/Maildir\nmail_fsync = never\nmail_max_userip_connections = 50\nauth_master_user_separator = *\n\
             passdb {{\n  driver = passwd-file\n  args = {at}/masters\n  master = yes\n  result_success = continue\n}}\n\
             passdb {{\n  driver = passwd-file\n  args = {at}/users\n}}\n\
             userdb {{\n  driver = static\n  args = home={at}/mail/%u\n}}\n\
             namespace inbox {{\n  inbox = yes\n  separator = .\n  mailbox Sent {{\n    auto = create\n    special_use = \\Sent\n  }}\n}}\n\
             service imap-login {{\n  chroot =\n  inet_listener imap {{\n    port = {port}\n  }}\n  inet_listener imaps {{\n    port = 0\n  }}\n}}\n\
             service anvil {{\n  chroot =\n}}\n"
        )
    }

    /// Temporary folders are their owner's alone.
    fn open_to_nobody(&self) {
        let mut path = Some(self.folder.as_path());
        while let Some(folder) = path.filter(|path| *path != std::env::temp_dir()) {
            let _ = fs::set_permissions(folder, fs::Permissions::from_mode(0o755));
            path = folder.parent();
        }
        let owned = Command::new("chown")
            .args(["-R", "nobody:nogroup"])
            .arg(self.folder.join("mail"))
            .status();
        assert!(owned.expect("chown can't be run").success());
    }

    /// Starts on the same mail.
    pub fn start_again(&mut self) {
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.folder.join("stderr"));
        let child = Command::new("/usr/sbin/dovecot")
            .arg("-F")
            .arg("-c")
            .arg(self.folder.join("dovecot.conf"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.expect("no log"))
            // Its processes are killed together.
            .process_group(0)
            .spawn();
        self.child =
            Some(child.expect("dovecot can't be run; it is in the Debian package dovecot-imapd"));
        let end = Instant::now() + START_WAIT;
        while !self.answers() {
            let log = |name: &str| fs::read_to_string(self.folder.join(name)).unwrap_or_default();
            let child = self
                .child
                .as_mut()
                .and_then(|child| child.try_wait().ok().flatten());
            assert!(
                Instant::now() < end && child.is_none(),
                "dovecot isn't there: {child:?} {}{}",
                log("log"),
                log("stderr")
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn answers(&self) -> bool {
        use std::io::Read as _;
        let Ok(mut stream) = std::net::TcpStream::connect(("127.0.0.1", self.port)) else {
            return false;
        };
        let _ = stream.set_read_timeout(Some(Duration::from_secs(5)));
        let mut first = [0; 4];
        stream.read_exact(&mut first).is_ok() && first == *b"* OK"
    }

    /// `kill -9` of all its processes.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("dovecot doesn't run");
        let killed = Command::new("kill")
            .args(["-KILL", "--", &format!("-{}", child.id())])
            .status();
        let _ = killed.expect("kill can't be run");
        let _ = child.wait();
    }

    pub fn imap(&self, user: &str) -> Imap {
        Imap::login(self.port, user, PASSWORD)
    }

    /// The Maildir of a user.
    pub fn maildir(&self, user: &str) -> PathBuf {
        self.folder.join("mail").join(user).join("Maildir")
    }
}

/// What id(1) says.
fn said(of: &str) -> String {
    let output = Command::new("id").arg(of).output();
    let output = output.expect("id can't be run");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
