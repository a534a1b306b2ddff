//! Real mails for tests, where there are some.

use std::path::PathBuf;

/// At most `count_max` mails, evenly picked from the folder that `POSTHORN_CORPUS` names (default:
/// `../shared/corpus` beside the workspace). None where there is no such folder: it is said, and the test makes its own.
pub fn mails(count_max: usize) -> Vec<Vec<u8>> {
    let root = std::env::var_os("POSTHORN_CORPUS").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus"),
        PathBuf::from,
    );
    let mut paths = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            match path.is_dir() {
                true => folders.push(path),
                false => paths.push(path),
            }
        }
    }
    if paths.is_empty() {
        println!("no mails in {}: generated ones are used", root.display());
    }
    paths.sort();
    let step = (paths.len() / count_max).max(1);
    paths
        .iter()
        .step_by(step)
        .filter_map(|path| std::fs::read(path).ok())
        .collect()
}
