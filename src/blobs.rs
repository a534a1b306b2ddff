//! Blobs as the configuration wants them: outside of the database, encrypted, or neither.
//!
//! Holds: what is read of a key or a secret goes to the store alone.
//! Other half: `config::Blobs` and `config::Encryption`; `store::blob`, which does it.

use std::sync::Arc;

use jmap_core::{
    clock::{Clock, SystemClock},
    rng::{Rng as _, SystemRng},
};
use store::{
    blob::{
        BlobEngine, BlobSettings, OpenError, OutsidePlace, OutsideSettings, S3Settings, Source,
        keyring::{Keyring, MasterKey},
    },
    engine::Engine,
};
use zeroize::Zeroizing;

use crate::{
    config::{BlobPlace, Blobs, Config, Encryption, EncryptionKey},
    delivery,
    folder::{Folder, FolderError},
};

/// The folder of what was fetched last, in the data folder.
const CACHE: &str = "blob-cache";

/// The same engine, with blobs as they are configured.
pub async fn over(
    engine: Arc<dyn Engine>,
    config: &Config,
    folder: &Folder,
) -> Result<Arc<dyn Engine>, FolderError> {
    let of = &config.store.blobs;
    let outside = outside(of, folder)?;
    let cache = match &outside {
        // A folder of this machine is as near as the cache would be.
        Some(OutsideSettings {
            place: OutsidePlace::S3(_),
            ..
        }) => Some((folder.path().join(CACHE), of.cache.0)),
        _ => None,
    };
    let settings = BlobSettings {
        outside,
        writes_outside: of.outside,
        threshold: of.threshold.0,
        cache,
        keyring: keyring(&config.store.encryption)?,
        source: Arc::new(SystemSource),
    };
    let opened = BlobEngine::open(engine, settings).await;
    opened
        .map(|engine| engine as Arc<dyn Engine>)
        .map_err(|error| match error {
            OpenError::Store(error) => folder.store_error(error),
            error => FolderError::Blobs(error.to_string()),
        })
}

fn outside(of: &Blobs, folder: &Folder) -> Result<Option<OutsideSettings>, FolderError> {
    let place = match of.place(folder.path()) {
        None => return Ok(None),
        Some(BlobPlace::Folder(folder)) => OutsidePlace::Folder(folder),
        Some(BlobPlace::Bucket { name, prefix }) => OutsidePlace::S3(S3Settings {
            bucket: name,
            prefix,
            endpoint: of.endpoint.clone(),
            region: of.region.clone(),
            credentials: credentials(of)?,
            virtual_hosted: of.virtual_hosted,
        }),
    };
    Ok(Some(OutsideSettings {
        place,
        timeout: of.timeout.0,
    }))
}

fn credentials(of: &Blobs) -> Result<Option<(String, Zeroizing<String>)>, FolderError> {
    let (Some(id), Some(file)) = (&of.access_key_id, &of.secret_access_key_file) else {
        return Ok(None);
    };
    let secret = delivery::password(file).map_err(|error| {
        let file = file.display();
        FolderError::Blobs(format!(
            "store.blobs.secret-access-key-file: {file}: {error}"
        ))
    })?;
    Ok(Some((id.clone(), Zeroizing::new(secret.expose().clone()))))
}

/// The keys as the file of the configuration names them now. Errors: a sentence for the operator.
pub fn keys_now(config: &Config) -> Result<Keyring, String> {
    let Some(file) = &config.file else {
        return Err("the server runs without a configuration file".into());
    };
    let config = Config::read(file).map_err(|error| error.to_string())?;
    keyring(&config.store.encryption).map_err(|error| error.to_string())
}

fn keyring(of: &Encryption) -> Result<Keyring, FolderError> {
    let mut keyring = Keyring::none();
    for key in &of.keys {
        let added = read(key).and_then(|master| {
            keyring
                .add(&key.id, master)
                .map_err(|error| error.to_string())
        });
        added.map_err(|why| {
            FolderError::Blobs(format!(
                "store.encryption.keys: the key \"{}\": {why}",
                key.id
            ))
        })?;
    }
    if !of.encrypt {
        keyring.encrypt_no_more();
    }
    Ok(keyring)
}

fn read(key: &EncryptionKey) -> Result<MasterKey, String> {
    let text = match (&key.file, &key.variable) {
        (Some(file), _) => {
            let line = delivery::password(file);
            let line = line.map_err(|error| format!("{}: {error}", file.display()))?;
            Zeroizing::new(line.expose().clone())
        }
        (None, Some(variable)) => {
            let found = std::env::var(variable);
            let why = |_| format!("the environment has no variable {variable}");
            Zeroizing::new(found.map_err(why)?)
        }
        (None, None) => return Err("it is nowhere".to_owned()),
    };
    MasterKey::parse(&text).map_err(|error| error.to_string())
}

/// The clock and the randomness of the process.
#[derive(Debug)]
struct SystemSource;

impl Source for SystemSource {
    fn now_ms(&self) -> u64 {
        u64::try_from(SystemClock.now().0).unwrap_or(0)
    }

    fn fill(&self, out: &mut [u8]) {
        SystemRng.fill(out);
    }
}
