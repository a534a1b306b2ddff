//! The public test suites of SPF and ARC. Their files are others' and not kept here: they are fetched, each by the client of
//! the registry that has it.
//! Holds: what is handed out comes from the archives with these SHA-256 hashes; a fetch that was broken off leaves nothing that
//! looks finished.
//! Other half: `adapters/mail-auth/tests/suites`, which runs them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::{cache, cargo, packages, say};

/// What names a suite to its test, and its place in the cache.
pub type Found = (&'static str, PathBuf);

struct Suite {
    /// The environment variable that names [`Suite::folder`] to the test.
    variable: &'static str,
    what: &'static str,
    archive: &'static str,
    sha256: &'static str,
    /// The archive's own top folder; with the version, so that another one is fetched anew.
    top: &'static str,
    /// Where the suite is below it.
    folder: &'static str,
    fetch: fn(&Suite, &Path, &Path) -> Result<(), String>,
}

const SUITES: &[Suite] = &[
    // License: BSD, 3 clauses (test/rfc7208-tests.LICENSE).
    Suite {
        variable: "POSTHORN_SPF_SUITE",
        what: "the test suite of SPF (PyPI: pyspf 2.0.14)",
        archive: "pyspf-2.0.14.tar.gz",
        sha256: "57a7ef01bda090173aafb6af0106251686ed73f03db4e911fcd34c57fc347186",
        top: "pyspf-2.0.14",
        folder: "test",
        fetch: by_pip,
    },
    // License: MIT (LICENSE.txt in the folder). The suite is ValiMail's, a copy comes with Perl's Mail::DKIM.
    Suite {
        variable: "POSTHORN_ARC_SUITE",
        what: "the test suite of ARC (Debian: the source of libmail-dkim-perl 1.20240923)",
        archive: "libmail-dkim-perl_1.20240923.orig.tar.gz",
        sha256: "45de46f5dc4d23bcb6ad6401759881dd43968eab20e73f6f79d9557467de20ee",
        top: "Mail-DKIM-1.20240923",
        folder: "t/arc_test_suite",
        fetch: by_apt,
    },
];

/// The suites that are in the cache or could be fetched. Of the others it says that they are left out, and so does their test.
/// `venv`: a Python environment with pip.
pub fn ensure(venv: &Path) -> Result<Vec<Found>, String> {
    let base = cache::cache()?.join("suites");
    cache::make(&base)?;
    let mut found = Vec::new();
    for suite in SUITES {
        match suite.ensure(&base, venv) {
            Ok(folder) => found.push((suite.variable, folder)),
            Err(error) => say::step(format_args!("{} is left out: {error}", suite.what)),
        }
    }
    Ok(found)
}

impl Suite {
    fn ensure(&self, base: &Path, venv: &Path) -> Result<PathBuf, String> {
        let ready = base.join(self.top);
        let folder = ready.join(self.folder);
        if folder.is_dir() {
            return Ok(folder);
        }
        let _lock = cache::lock(&base.join("lock"))?;
        if folder.is_dir() {
            return Ok(folder);
        }
        let work = base.join("work");
        let _ = fs::remove_dir_all(&work);
        cache::make(&work)?;
        say::step(format_args!("fetching {}", self.what));
        (self.fetch)(self, &work, venv)?;
        let mut unpack = Command::new("tar");
        unpack.arg("-xzf").arg(work.join(self.archive));
        unpack.arg("-C").arg(&work);
        unpack.arg(format!("{}/{}", self.top, self.folder));
        cargo::check("unpacking it", &mut unpack)?;
        fs::rename(work.join(self.top), &ready)
            .map_err(|error| format!("{}: {error}", ready.display()))?;
        let _ = fs::remove_dir_all(&work);
        Ok(folder)
    }
}

/// pip compares the hash.
fn by_pip(suite: &Suite, work: &Path, venv: &Path) -> Result<(), String> {
    let (package, version) = suite.top.split_once('-').unwrap_or_default();
    let wanted = format!("{package}=={version}");
    let list = work.join("requirements");
    fs::write(&list, format!("{wanted} --hash=sha256:{}\n", suite.sha256))
        .map_err(|error| format!("{}: {error}", list.display()))?;
    let mut pip = Command::new(venv.join("bin/python"));
    pip.args(["-m", "pip", "download", "--quiet", "--no-deps"]);
    pip.args(["--no-binary", package, "--require-hashes"]);
    pip.arg("--requirement").arg(&list).arg("--dest").arg(work);
    cargo::check(&format!("pip download {wanted}"), &mut pip)
}

/// apt compares the hash. The archive is asked of the mirrors that this system has its packages from, whose pool has the
/// sources of all releases.
fn by_apt(suite: &Suite, work: &Path, _: &Path) -> Result<(), String> {
    let helper = Path::new("/usr/lib/apt/apt-helper");
    if !packages::has("apt-get") || !helper.exists() {
        return Err("it needs apt".to_owned());
    }
    let targets = Command::new("apt-get")
        .args(["indextargets", "--format", "$(ORIGIN) $(REPO_URI)"])
        .output()
        .map_err(|error| format!("can't start apt-get: {error}"))?;
    let targets = String::from_utf8_lossy(&targets.stdout).into_owned();
    let mut tried = Vec::new();
    for mirror in debian_mirrors(&targets) {
        let (source, _) = suite.archive.split_once('_').unwrap_or_default();
        let pool = format!("pool/main/{}/{source}", &source[..4]);
        let status = Command::new(helper)
            // Root's folders are closed to apt's own user.
            .args(["-o", "APT::Sandbox::User=root", "download-file"])
            .arg(format!("{mirror}/{pool}/{}", suite.archive))
            .arg(work.join(suite.archive))
            .arg(format!("SHA256:{}", suite.sha256))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status()
            .map_err(|error| format!("can't start apt-helper: {error}"))?;
        if status.success() {
            return Ok(());
        }
        tried.push(mirror);
    }
    match tried.is_empty() {
        true => Err("apt knows no mirror of Debian".to_owned()),
        false => Err(format!("not had from {}", tried.join(", "))),
    }
}

/// The mirrors in the lines "origin URI", without the archives of security updates, each once.
fn debian_mirrors(targets: &str) -> Vec<&str> {
    let mut mirrors: Vec<&str> = Vec::new();
    for line in targets.lines() {
        let Some(uri) = line.strip_prefix("Debian ") else {
            continue;
        };
        let uri = uri.trim().trim_end_matches('/');
        if !uri.contains("security") && !mirrors.contains(&uri) {
            mirrors.push(uri);
        }
    }
    mirrors
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirrors_of_debian() {
        let targets = "Debian http://a.example/debian-security/\nDebian http://a.example/debian/\n\
                       Debian http://a.example/debian/\nOther https://b.example/\nDebian https://c.example/debian\n";
        let mirrors = debian_mirrors(targets);
        assert_eq!(
            mirrors,
            ["http://a.example/debian", "https://c.example/debian"]
        );
        assert!(debian_mirrors("").is_empty());
    }

    #[test]
    fn suites_are_pinned() {
        for suite in SUITES {
            assert_eq!(suite.sha256.len(), 64, "{}", suite.archive);
            assert!(suite.top.ends_with(|c: char| c.is_ascii_digit()));
        }
    }
}
