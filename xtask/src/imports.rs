//! Who may import whom among the workspace's crates.
//! Holds: data types and network know nothing of ours; only the core sees the store; an adapter sees the core and never
//! another protocol's adapter; the binary and the end-to-end tests see all.
//! Other half: `ARCHITECTURE.md` explains the table; `deny.toml` says the same to cargo-deny.

use crate::json::Json;
use crate::{cargo, say};

/// Every crate of ours, and which of ours it may import. A crate that isn't listed may not exist.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("jmap-types", &[]),
    ("net", &[]),
    ("backup", &[]),
    ("store", &["jmap-types"]),
    ("jmap-core", &["jmap-types", "store"]),
    ("acme", ADAPTER),
    ("directory", ADAPTER),
    ("jmap", ADAPTER),
    ("imap", ADAPTER),
    ("pop3", ADAPTER),
    ("managesieve", ADAPTER),
    ("admin", ADAPTER),
    ("dav", ADAPTER),
    ("mail-auth-adapter", &["net"]),
    ("spam", ADAPTER),
    ("caldav", &["jmap-core", "jmap-types", "net", "dav"]),
    ("carddav", &["jmap-core", "jmap-types", "net", "dav"]),
    (
        "smtp",
        &[
            "jmap-core",
            "jmap-types",
            "net",
            "mail-auth-adapter",
            "spam",
        ],
    ),
    ("oauth", ADAPTER),
    ("wellknown", ADAPTER),
    ("console", &[]),
    ("web-admin", &["jmap-types"]),
    ("posthorn", ALL),
    ("e2e", ALL),
    ("xtask", &[]),
    ("xtask-wasm", &[]),
];

const ADAPTER: &[&str] = &["jmap-core", "jmap-types", "net"];
const ALL: &[&str] = &["*"];

/// Asks cargo for the workspace and checks every crate of it.
pub fn check_workspace() -> Result<(), String> {
    let output = cargo::bare()
        .args(["metadata", "--format-version", "1", "--no-deps"])
        .output()
        .map_err(|error| format!("can't start cargo: {error}"))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let breaks = breaks(&String::from_utf8_lossy(&output.stdout))?;
    if breaks.is_empty() {
        say::step(format_args!("import rules: kept"));
        return Ok(());
    }
    Err(format!(
        "the import rules are broken:\n  {}",
        breaks.join("\n  ")
    ))
}

/// Reads the text of `cargo metadata` and returns a sentence for each import that the table doesn't allow.
///
/// `--no-deps` lists the workspace's packages with the dependencies their manifests declare, of every kind and target: what is
/// declared counts, used or not, and also a test must not reach around the rule.
fn breaks(metadata: &str) -> Result<Vec<String>, String> {
    let metadata = Json::parse(metadata)?;
    let packages = metadata
        .get("packages")
        .ok_or("cargo metadata lists no packages")?;
    let name = |package: &Json| -> Result<String, String> {
        let name = package.get("name").and_then(Json::string);
        name.map(str::to_owned)
            .ok_or_else(|| "a package without a name".into())
    };
    let ours: Vec<String> = packages
        .items()
        .iter()
        .map(name)
        .collect::<Result<_, _>>()?;
    let mut found = Vec::new();
    for (package, importer) in packages.items().iter().zip(&ours) {
        let Some((_, allowed)) = MAY_IMPORT.iter().find(|(name, _)| name == importer) else {
            found.push(format!(
                "{importer} has no row in the table of who may import whom"
            ));
            continue;
        };
        let dependencies = package
            .get("dependencies")
            .map(Json::items)
            .unwrap_or_default();
        for dependency in dependencies {
            let imported = name(dependency)?;
            // A crate of the registry can have the name of one of ours; ours come by path.
            let is_ours = ours.contains(&imported)
                && dependency
                    .get("path")
                    .is_some_and(|path| *path != Json::Null);
            let may = *allowed == ALL || allowed.contains(&imported.as_str());
            if is_ours && !may {
                found.push(format!("{importer} imports {imported}"));
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A made-up workspace: each row is a crate and what it depends on; `registry:x` comes from outside.
    fn check(workspace: &[(&str, &[&str])], want: &[&str]) {
        let dependency = |name: &&str| match name.strip_prefix("registry:") {
            Some(name) => {
                format!(r#"{{"name":"{name}","source":"registry+https://x","kind":null}}"#)
            }
            None => format!(r#"{{"name":"{name}","source":null,"kind":"dev","path":"/x/{name}"}}"#),
        };
        let package = |(name, imports): &(&str, &[&str])| {
            let imports: Vec<String> = imports.iter().map(dependency).collect();
            format!(
                r#"{{"name":"{name}","version":"0.1.0","dependencies":[{}]}}"#,
                imports.join(",")
            )
        };
        let packages: Vec<String> = workspace.iter().map(package).collect();
        let metadata = format!(r#"{{"packages":[{}],"version":1}}"#, packages.join(","));
        assert_eq!(breaks(&metadata).unwrap(), want);
    }

    #[test]
    fn a_workspace_that_keeps_the_rules() {
        check(
            &[
                ("jmap-types", &["registry:serde"]),
                ("net", &["registry:tokio"]),
                ("store", &["jmap-types"]),
                ("jmap-core", &["jmap-types", "store"]),
                ("imap", &["jmap-core", "net", "jmap-types"]),
                ("dav", &["jmap-core"]),
                ("caldav", &["dav", "jmap-core"]),
                ("posthorn", &["store", "imap", "jmap-core"]),
                ("e2e", &["posthorn", "store", "imap"]),
            ],
            &[],
        );
    }

    #[test]
    fn each_way_to_break_them() {
        check(
            &[("store", &[]), ("imap", &["store"])],
            &["imap imports store"],
        );
        check(
            &[("imap", &[]), ("smtp", &["imap"])],
            &["smtp imports imap"],
        );
        check(
            &[("net", &["store"]), ("store", &[])],
            &["net imports store"],
        );
        check(
            &[("store", &["jmap-core"]), ("jmap-core", &[])],
            &["store imports jmap-core"],
        );
        check(
            &[("jmap-core", &["net"]), ("net", &[])],
            &["jmap-core imports net"],
        );
        check(&[("dav", &[]), ("imap", &["dav"])], &["imap imports dav"]);
        check(
            &[("common", &[])],
            &["common has no row in the table of who may import whom"],
        );
    }

    #[test]
    fn a_registry_crate_of_the_same_name_is_no_import_of_ours() {
        check(&[("imap", &[]), ("smtp", &["registry:imap"])], &[]);
    }

    #[test]
    fn this_workspace_keeps_the_rules() {
        check_workspace().unwrap();
    }
}
