//! A file that the configuration names.
//!
//! Holds: one that a setting in the store names is read only where the configuration file lets such files lie: who may change settings
//! isn't thereby somebody who may have any file of the machine read. Links and `..` are followed before it is decided. What may not be
//! read is refused before anything tells whether it is there.
//! Other half: `settings`, which says of which files the store speaks.

use std::{
    fmt, fs, io,
    path::{Component, Path, PathBuf},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

/// The key that says where the files lie that settings name.
pub const FOLDER_KEY: &str = "setting-files";

#[derive(Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(transparent)]
pub struct NamedFile {
    path: PathBuf,
    /// Where it must lie; `None`: anywhere.
    #[serde(skip)]
    within: Option<Arc<Path>>,
}

impl NamedFile {
    /// Where it is. It is read at [`NamedFile::to_read`].
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// From here on it may be read only within this folder.
    pub fn confine(&mut self, folder: &Arc<Path>) {
        self.within = Some(folder.clone());
    }

    /// A path without a slash in front is meant from here.
    pub fn mean_from(&mut self, folder: &Path) {
        self.path = folder.join(&self.path);
    }

    /// The place to read it at, this time: a link may lead elsewhere the next time.
    pub fn to_read(&self) -> io::Result<&Path> {
        let Some(folder) = &self.within else {
            return Ok(&self.path);
        };
        let refused = || {
            io::Error::new(
                io::ErrorKind::PermissionDenied,
                format!(
                    "a setting names it, so it must lie in {}: move it there and set it anew, or name its folder by {FOLDER_KEY} in the configuration file",
                    folder.display()
                ),
            )
        };
        let whole = fs::canonicalize(folder).map_err(|_| refused())?;
        let is_plain = |part: Component<'_>| !matches!(part, Component::ParentDir);
        let is_within = self.path.starts_with(folder) || self.path.starts_with(&whole);
        if !is_within || !self.path.components().all(is_plain) {
            return Err(refused());
        }
        match fs::canonicalize(&self.path)?.starts_with(&whole) {
            true => Ok(&self.path),
            false => Err(refused()),
        }
    }
}

impl<P: Into<PathBuf>> From<P> for NamedFile {
    fn from(path: P) -> NamedFile {
        NamedFile {
            path: path.into(),
            within: None,
        }
    }
}

impl fmt::Debug for NamedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn where_it_may_lie() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        for folder in ["files", "files/in", "filesystem", "out"] {
            fs::create_dir(at(folder)).unwrap();
        }
        for file in ["files/a", "files/in/b", "filesystem/c", "out/d"] {
            fs::write(at(file), "x").unwrap();
        }
        symlink(at("files/a"), at("files/to-a")).unwrap();
        symlink(at("out/d"), at("files/to-d")).unwrap();
        symlink(at("out"), at("files/away")).unwrap();
        symlink(at("files"), at("link")).unwrap();
        symlink(at("files/a"), at("out/to-a")).unwrap();
        let check = |folder: &str, file: &str| {
            let mut named = NamedFile::from(at(file));
            assert!(named.to_read().is_ok());
            named.confine(&Arc::from(at(folder)));
            named.to_read().map(|path| assert_eq!(path, at(file)))
        };
        for (folder, file) in [
            ("files", "files/a"),
            ("files", "files/in/b"),
            ("files", "files/to-a"),
            ("link", "files/a"),
            ("link", "link/a"),
        ] {
            assert!(check(folder, file).is_ok(), "{file} in {folder}");
        }
        for (folder, file) in [
            ("files", "out/d"),
            ("files", "out/none"),
            ("files", "files/to-d"),
            ("files", "files/away/d"),
            ("files", "files/../out/d"),
            ("files", "files/in/../a"),
            ("files", "filesystem/c"),
            // It would tell what is there.
            ("files", "out/to-a"),
            ("none", "files/a"),
        ] {
            let error = check(folder, file).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{file}");
            let said = error.to_string();
            assert!(said.contains(&at(folder).display().to_string()), "{said}");
            assert!(said.contains(FOLDER_KEY), "{said}");
        }
        let missing = check("files", "files/none").unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }
}
