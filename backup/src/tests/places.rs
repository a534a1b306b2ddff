//! Places: folders, and what S3 is told.

use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::place::{Place, S3Settings};

#[test]
fn places_are_folders_or_buckets() {
    let s3 = |bucket: &str, prefix: &str| Place::S3 {
        bucket: bucket.to_owned(),
        prefix: prefix.to_owned(),
    };
    let row = |text: &str, place: Place| assert_eq!(text.parse::<Place>().unwrap(), place);
    row("/srv/backup", Place::Folder("/srv/backup".into()));
    row("backup", Place::Folder("backup".into()));
    row("file:///srv/backup", Place::Folder("/srv/backup".into()));
    row("s3://bucket", s3("bucket", ""));
    row("s3://bucket/", s3("bucket", ""));
    row("s3://bucket/a/b/", s3("bucket", "a/b"));
    for wrong in [
        "",
        "s3://",
        "s3:///a",
        "s3://key:secret@bucket/a",
        "gs://bucket",
        "file://srv",
    ] {
        assert!(wrong.parse::<Place>().is_err(), "{wrong}");
    }
}

#[test]
fn settings_show_no_secret() {
    let settings = S3Settings([("AWS_SECRET_ACCESS_KEY".to_owned(), "geheim".to_owned())].into());
    assert!(!format!("{settings:?}").contains("geheim"));
}

#[tokio::test]
async fn a_folder_is_its_owners_alone() {
    let outer = tempfile::tempdir().unwrap();
    let folder = outer.path().join("deep/backup");
    let place = Place::Folder(folder.clone());
    let settings = S3Settings::default();
    assert!(matches!(
        place.storage(&settings, false),
        Err(Error::Missing(_))
    ));
    let storage = place.storage(&settings, true).unwrap();
    let repository = Repository::create(storage.clone(), new(Encryption::None))
        .await
        .unwrap();
    let server = Server::with_mails(0..20);
    let (id, _) = back_up(&repository, &server, 1).await.unwrap();
    let mut files = 0;
    let mut folders = vec![folder];
    while let Some(folder) = folders.pop() {
        let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&folder), 0o700, "{}", folder.display());
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false => {
                    assert_eq!(mode(&path), 0o600, "{}", path.display());
                    files += 1;
                }
            }
        }
    }
    assert!(files > 4);
    let again = Repository::open(place.storage(&settings, false).unwrap(), &Key::None).await;
    let snapshot = again.unwrap().unwrap().snapshot(&id).await.unwrap();
    assert_eq!(restore(&snapshot).await.unwrap(), server);
    storage.delete("no/such/file").await.unwrap();
}
