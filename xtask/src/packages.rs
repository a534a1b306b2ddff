//! The system's packages that building, testing and measuring need, each with its reason.
//! Holds: a package is asked for only when what it gives is missing, so a machine that has all needs neither root nor
//! network.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::say;

/// What a package is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Need {
    Build,
    Test,
    Bench,
}

/// How to see that what a package gives is there.
enum Found {
    /// One of these programs is in PATH (or in /usr/sbin, where a user's PATH doesn't look).
    Program(&'static [&'static str]),
    /// A libclang that bindgen can load.
    LibClang,
    /// Python's venv with pip in it.
    PythonVenv,
    /// A module that perl can load.
    PerlModule(&'static str),
    /// PostgreSQL's server, which Debian has in a folder for each version.
    PostgresServer,
    /// This file.
    File(&'static str),
    /// This file below one of the folders of libraries, whose names differ by machine.
    Library(&'static str),
}

struct Package {
    /// Debian's name.
    name: &'static str,
    need: Need,
    why: &'static str,
    found: Found,
}

const PACKAGES: &[Package] = &[
    Package {
        name: "g++",
        need: Need::Build,
        why: "the C and C++ compiler, for RocksDB, zstd, lz4, aws-lc and mimalloc",
        found: Found::Program(&["c++", "g++"]),
    },
    Package {
        name: "libclang-dev",
        need: Need::Build,
        why: "libclang, with which bindgen reads RocksDB's header",
        found: Found::LibClang,
    },
    Package {
        name: "curl",
        need: Need::Test,
        why: "a client the tests drive the server's HTTP, SMTP, IMAP and POP3 with",
        found: Found::Program(&["curl"]),
    },
    Package {
        name: "age",
        need: Need::Test,
        why: "an independent reader of encrypted backups, and the maker of their keys",
        found: Found::Program(&["age-keygen"]),
    },
    Package {
        name: "swaks",
        need: Need::Test,
        why: "a client the tests drive the server's SMTP with",
        found: Found::Program(&["swaks"]),
    },
    Package {
        name: "getmail6",
        need: Need::Test,
        why: "a client the tests drive the server's POP3 and IMAP with",
        found: Found::Program(&["getmail"]),
    },
    Package {
        name: "isync",
        need: Need::Test,
        why: "a client (mbsync) that keeps a folder and an IMAP account the same in the tests",
        found: Found::Program(&["mbsync"]),
    },
    Package {
        name: "offlineimap3",
        need: Need::Test,
        why: "another client that does so, in its own way",
        found: Found::Program(&["offlineimap"]),
    },
    Package {
        name: "fetchmail",
        need: Need::Test,
        why: "a client the tests fetch mail by IMAP and POP3 with",
        found: Found::Program(&["fetchmail"]),
    },
    Package {
        name: "neomutt",
        need: Need::Test,
        why: "a mail program the tests read, search, flag and move mail with",
        found: Found::Program(&["neomutt"]),
    },
    Package {
        name: "aerc",
        need: Need::Test,
        why: "another one, with another library for IMAP",
        found: Found::Program(&["aerc"]),
    },
    Package {
        name: "tmux",
        need: Need::Test,
        why: "the terminal that these two are driven in",
        found: Found::Program(&["tmux"]),
    },
    Package {
        name: "gsasl",
        need: Need::Test,
        why: "a client the tests try logins by SCRAM with",
        found: Found::Program(&["gsasl"]),
    },
    Package {
        name: "slapd",
        need: Need::Test,
        why: "the LDAP server that the tests ask",
        found: Found::Program(&["slapd"]),
    },
    Package {
        name: "sieve-connect",
        need: Need::Test,
        why: "a client the tests manage Sieve scripts with",
        found: Found::Program(&["sieve-connect"]),
    },
    Package {
        name: "knot",
        need: Need::Test,
        why: "the name server that the tests' senders of mail have their records at",
        found: Found::Program(&["knotd"]),
    },
    Package {
        name: "bind9-utils",
        need: Need::Test,
        why: "named-checkzone, which reads the zone files that the server prints",
        found: Found::Program(&["named-checkzone"]),
    },
    Package {
        name: "bind9",
        need: Need::Test,
        why: "the name server that takes the updates of a test, and that an ACME server asks",
        found: Found::Program(&["named"]),
    },
    Package {
        name: "pebble",
        need: Need::Test,
        why: "the ACME server that the tests order certificates from",
        found: Found::Program(&["pebble"]),
    },
    Package {
        name: "libnet-ssleay-perl",
        need: Need::Test,
        why: "STARTTLS in swaks",
        found: Found::PerlModule("Net::SSLeay"),
    },
    Package {
        name: "strace",
        need: Need::Test,
        why: "shows the tests that an acknowledgement comes after the sync",
        found: Found::Program(&["strace"]),
    },
    Package {
        name: "python3-venv",
        need: Need::Test,
        why: "a place for Python's JMAP client, away from the system's",
        found: Found::PythonVenv,
    },
    Package {
        name: "redis-server",
        need: Need::Test,
        why: "a server that brings notices from node to node in the tests",
        found: Found::Program(&["redis-server"]),
    },
    Package {
        name: "nats-server",
        need: Need::Test,
        why: "another one",
        found: Found::Program(&["nats-server"]),
    },
    Package {
        name: "postgresql",
        need: Need::Test,
        why: "a database server that the tests keep mail in",
        found: Found::PostgresServer,
    },
    Package {
        name: "postgresql-client",
        need: Need::Test,
        why: "psql, with which the tests make their databases",
        found: Found::Program(&["psql"]),
    },
    Package {
        name: "mariadb-server",
        need: Need::Test,
        why: "another one, for what MySQL does in its own way",
        found: Found::Program(&["mariadbd"]),
    },
    Package {
        name: "openssl",
        need: Need::Test,
        why: "makes the certificate of a deployment",
        found: Found::Program(&["openssl"]),
    },
    Package {
        name: "haproxy",
        need: Need::Test,
        why: "the balancer in front of the nodes of a deployment",
        found: Found::Program(&["haproxy"]),
    },
    Package {
        name: "postfix",
        need: Need::Test,
        why: "a server that the tests send mail to",
        found: Found::Program(&["postfix"]),
    },
    Package {
        name: "iproute2",
        need: Need::Test,
        why: "gives a network of a test's own an address",
        found: Found::Program(&["ip"]),
    },
    Package {
        name: "sasl2-bin",
        need: Need::Test,
        why: "the passwords of a relay that the tests log in at",
        found: Found::Program(&["saslpasswd2"]),
    },
    Package {
        name: "libsasl2-modules",
        need: Need::Test,
        why: "SCRAM at that relay",
        found: Found::Library("sasl2/libscram.so"),
    },
    Package {
        name: "postgrey",
        need: Need::Test,
        why: "a greylist that mail of the tests waits for",
        found: Found::Program(&["postgrey"]),
    },
    Package {
        name: "dovecot-imapd",
        need: Need::Test,
        why: "a server that the tests bring mail in from",
        found: Found::File("/usr/lib/dovecot/imap"),
    },
    Package {
        name: "libfaketime",
        need: Need::Test,
        why: "lets a day pass for the server in a moment, so that its reports are due",
        found: Found::Library("faketime/libfaketimeMT.so.1"),
    },
    Package {
        name: "chromium",
        need: Need::Test,
        why: "the browser that the tests use the web console with",
        found: Found::Program(&["chromium"]),
    },
    Package {
        name: "chromium-driver",
        need: Need::Test,
        why: "WebDriver, by which the tests drive it",
        found: Found::Program(&["chromedriver"]),
    },
    Package {
        name: "postfix",
        need: Need::Bench,
        why: "the peer the benchmark's SMTP is measured beside",
        found: Found::Program(&["postfix"]),
    },
    Package {
        name: "openssl",
        need: Need::Bench,
        why: "makes the peer's certificate",
        found: Found::Program(&["openssl"]),
    },
    Package {
        name: "dovecot-imapd",
        need: Need::Bench,
        why: "the peer the benchmark's reading is measured beside (IMAP)",
        found: Found::File("/usr/lib/dovecot/imap"),
    },
    Package {
        name: "dovecot-pop3d",
        need: Need::Bench,
        why: "the peer the benchmark's fetching of all mail is measured beside (POP3)",
        found: Found::File("/usr/lib/dovecot/pop3"),
    },
    Package {
        name: "dovecot-lmtpd",
        need: Need::Bench,
        why: "the peer the benchmark's LMTP is measured beside",
        found: Found::File("/usr/lib/dovecot/lmtp"),
    },
];

/// Installs what is missing of `needs`; says each package and its reason. Without root, and without sudo that asks for no
/// password, it fails with the command to run.
pub fn ensure(needs: &[Need]) -> Result<(), String> {
    let missing: Vec<&Package> = PACKAGES
        .iter()
        .filter(|package| needs.contains(&package.need) && !is_there(&package.found))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    for package in &missing {
        say::step(format_args!(
            "missing: {:<20} {}",
            package.name, package.why
        ));
    }
    let names: Vec<&str> = missing.iter().map(|package| package.name).collect();
    let by_hand = format!(
        "apt-get install --no-install-recommends {}",
        names.join(" ")
    );
    if !has("apt-get") {
        return Err(format!(
            "this is no Debian: install the above with your system's packages (on Debian: {by_hand})"
        ));
    }
    let prefix: &[&str] = if is_root() {
        &[]
    } else if sudo_asks_nothing() {
        &["sudo", "-n"]
    } else {
        return Err(format!(
            "installing needs root; please run\n\n    sudo {by_hand}\n\nand then this again"
        ));
    };
    install(prefix, &names)?;
    match missing.iter().find(|package| !is_there(&package.found)) {
        None => Ok(()),
        Some(package) => Err(format!(
            "{} was installed, but what it should give is not found",
            package.name
        )),
    }
}

fn install(prefix: &[&str], names: &[&str]) -> Result<(), String> {
    let _quiet = NoServices::new(names);
    apt(prefix, &["update", "--quiet"])?;
    let mut args = vec!["install", "--quiet", "--yes", "--no-install-recommends"];
    args.extend(names);
    apt(prefix, &args)
}

fn apt(prefix: &[&str], args: &[&str]) -> Result<(), String> {
    let mut words: Vec<&str> = prefix.to_vec();
    words.extend([
        "env",
        "DEBIAN_FRONTEND=noninteractive",
        "apt-get",
        "-o",
        "Dpkg::Use-Pty=0",
    ]);
    words.extend(args);
    say::step(format_args!("{}", words.join(" ")));
    let status = Command::new(words[0])
        .args(&words[1..])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .map_err(|error| format!("can't start {}: {error}", words[0]))?;
    match status.success() {
        true => Ok(()),
        false => Err(format!("{}: {status}", words.join(" "))),
    }
}

/// Keeps apt-get from starting the peers as services: tests and benchmark start their own, on their own ports. Debian's way is a
/// `policy-rc.d` that says no; one that the system already has is left as it is.
struct NoServices {
    written: bool,
}

const POLICY: &str = "/usr/sbin/policy-rc.d";

impl NoServices {
    fn new(names: &[&str]) -> Self {
        let services = names.iter().any(|name| {
            [
                "postfix",
                "dovecot",
                "knot",
                "bind9",
                "postgrey",
                "sasl2",
                "postgresql",
                "haproxy",
                "mariadb",
                "redis",
                "nats",
            ]
            .iter()
            .any(|of| name.starts_with(of))
        });
        let mut written = false;
        if services && is_root() && !Path::new(POLICY).exists() {
            written = fs::write(POLICY, "#!/bin/sh\nexit 101\n").is_ok()
                && fs::set_permissions(POLICY, fs::Permissions::from_mode(0o755)).is_ok();
        }
        Self { written }
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.written {
            let _ = fs::remove_file(POLICY);
        }
    }
}

fn is_there(found: &Found) -> bool {
    match found {
        Found::Program(names) => names.iter().any(|name| has(name)),
        Found::LibClang => libclang_is_there(),
        Found::PythonVenv => {
            // Debian splits the module: `venv` is always there, `ensurepip` only with python3-venv.
            quiet("python3", &["-c", "import venv, ensurepip"])
        }
        Found::PerlModule(name) => quiet("perl", &[&format!("-M{name}"), "-e1"]),
        Found::PostgresServer => {
            let folders = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
            let is_server = |folder: fs::DirEntry| folder.path().join("bin/initdb").exists();
            folders.flatten().any(is_server) || has("initdb")
        }
        Found::File(path) => Path::new(path).exists(),
        Found::Library(file) => folders_of_libraries().any(|folder| folder.join(file).exists()),
    }
}

/// `/usr/lib`, and those below it, such as `/usr/lib/x86_64-linux-gnu`.
fn folders_of_libraries() -> impl Iterator<Item = PathBuf> {
    let below = fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    let below = below.map(|entry| entry.path());
    std::iter::once(PathBuf::from("/usr/lib")).chain(below)
}

pub fn has(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .any(|folder| {
            folder
                .join(program)
                .metadata()
                .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
        })
}

/// Looks where clang-sys looks: `$LIBCLANG_PATH`, what `llvm-config` says, the libraries' folders and LLVM's own.
fn libclang_is_there() -> bool {
    let mut folders: Vec<std::path::PathBuf> = Vec::new();
    folders.extend(env::var_os("LIBCLANG_PATH").map(Into::into));
    if let Ok(out) = Command::new("llvm-config").arg("--libdir").output() {
        folders.push(String::from_utf8_lossy(&out.stdout).trim().into());
    }
    for base in ["/usr/lib", "/usr/local/lib", "/usr/lib64", "/lib", "/lib64"] {
        folders.push(base.into());
        let below = fs::read_dir(base).into_iter().flatten().flatten();
        for entry in below {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.starts_with("llvm") {
                folders.push(entry.path().join("lib"));
            } else if name.ends_with("-linux-gnu") {
                folders.push(entry.path());
            }
        }
    }
    folders
        .iter()
        .flat_map(|folder| fs::read_dir(folder).into_iter().flatten().flatten())
        .any(|entry| is_libclang(&entry.file_name()))
}

/// `libclang.so`, `libclang-14.so`, `libclang.so.1`; not `libclang-cpp.so.14`, which bindgen can't use.
fn is_libclang(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    let Some(rest) = name.strip_prefix("libclang") else {
        return false;
    };
    let rest = rest.trim_start_matches(|c: char| c == '-' || c == '.' || c.is_ascii_digit());
    rest == "so" || rest.starts_with("so.")
}

pub fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|out| out.stdout.trim_ascii() == b"0")
}

fn sudo_asks_nothing() -> bool {
    has("sudo") && quiet("sudo", &["-n", "true"])
}

fn quiet(program: &str, args: &[&str]) -> bool {
    Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, want: bool) {
        assert_eq!(is_libclang(OsStr::new(name)), want, "{name}");
    }

    #[test]
    fn libclang_is_told_from_its_relatives() {
        check("libclang.so", true);
        check("libclang-14.so", true);
        check("libclang-14.so.1", true);
        check("libclang.so.1", true);
        check("libclang-14.so.14.0.6", true);
        check("libclang-cpp.so.14", false);
        check("libclangAST.a", false);
        check("libclang.a", false);
    }

    #[test]
    fn every_package_says_why() {
        for package in PACKAGES {
            assert!(package.why.len() > 10, "{}", package.name);
        }
    }
}
