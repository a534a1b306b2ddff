//! A terminal with a program in it, by tmux: keys go in, the screen is read.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const WAIT: Duration = Duration::from_secs(40);

pub struct Terminal {
    socket: PathBuf,
}

impl Terminal {
    /// Runs a command line of the shell, with `folder` as its home.
    pub fn run(folder: &Path, command: &str) -> Terminal {
        let terminal = Terminal {
            socket: folder.join("tmux"),
        };
        let home = folder.display();
        let said = terminal.tmux(&[
            "-f",
            "/dev/null",
            "new-session",
            "-d",
            "-x",
            "140",
            "-y",
            "40",
            &format!(
                "cd {home}; HOME={home} XDG_CONFIG_HOME={home} XDG_CACHE_HOME={home} LC_ALL=C.UTF-8 TERM=screen \
                 {command} 2>{home}/errors; echo ended $?; sleep 60"
            ),
        ]);
        assert!(said.is_some(), "tmux can't start a session");
        terminal
    }

    fn tmux(&self, args: &[&str]) -> Option<String> {
        let output = Command::new("tmux")
            .arg("-S")
            .arg(&self.socket)
            .args(args)
            .stdin(Stdio::null())
            .output()
            .expect("tmux can't be run; it is a Debian package");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        output.status.success().then_some(said)
    }

    /// Keys as tmux names them: `Enter`, `Escape`, or text.
    pub fn keys(&self, keys: &[&str]) {
        let sent = self.tmux(&[&["send-keys"], keys].concat());
        assert!(sent.is_some(), "{keys:?}: nobody is there");
    }

    pub fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p"]).unwrap_or_default()
    }

    /// Waits until all of that is on the screen.
    pub fn shows(&self, what: &[&str]) -> String {
        let end = Instant::now() + WAIT;
        loop {
            let screen = self.screen();
            if what.iter().all(|what| screen.contains(what)) {
                return screen;
            }
            assert!(Instant::now() < end, "no {what:?} on\n{screen}");
            thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.tmux(&["kill-server"]);
    }
}
