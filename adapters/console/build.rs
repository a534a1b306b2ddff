//! Writes the table of the console's files that `assets.rs` includes.
//! Holds: without `POSTHORN_CONSOLE_DIR` the table is empty, and everything still builds.
//! Other half: `cargo xtask wasm` makes the folder, and every cargo call of xtask names it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

const FOLDER: &str = "POSTHORN_CONSOLE_DIR";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed={FOLDER}");
    let folder = env::var_os(FOLDER).filter(|folder| !folder.is_empty());
    let table = folder.map_or_else(|| "&[]".to_owned(), |folder| table(Path::new(&folder)));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    fs::write(out.join("assets.rs"), table).expect("OUT_DIR can be written to");
}

fn table(folder: &Path) -> String {
    let entries = fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("{FOLDER}: {}: {error}", folder.display()));
    let mut names: Vec<String> = entries
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| !name.ends_with(".gz") && !name.ends_with(".br"))
        .collect();
    names.sort();
    let mut table = "&[\n".to_owned();
    for name in names {
        let path = folder.join(&name).display().to_string();
        writeln!(
            table,
            "Asset {{ name: {name:?}, plain: include_bytes!({path:?}), gzip: include_bytes!({:?}), brotli: include_bytes!({:?}) }},",
            format!("{path}.gz"),
            format!("{path}.br"),
        )
        .expect("a string can be written to");
    }
    table.push(']');
    table
}
