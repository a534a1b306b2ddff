//! The records of a repository: CBOR with numbered fields, each in a frame that says what it is and ends with its hash.
//!
//! Holds: numbers of fields are never reused; a new field is an `Option` or has a default.
//! Other half: `tests::golden` has the bytes of every version; `README.md` explains them.

use minicbor::{Decode, Encode};

use crate::{Error, Name};

/// The format that this version writes.
pub const FORMAT: u64 = 1;

/// Octets of the magic number that a frame begins with.
const MAGIC_OCTETS: usize = 8;
const HASH_OCTETS: usize = 32;

/// A record that is a file, or the beginning of one.
pub(crate) trait Framed: Sized + Encode<()> + for<'b> Decode<'b, ()> {
    const MAGIC: &'static [u8; MAGIC_OCTETS];

    /// Magic number, CBOR, and the BLAKE3 hash of both.
    fn to_frame(&self) -> Vec<u8> {
        let mut frame = Self::MAGIC.to_vec();
        // Writing to a vector can't fail, and derived encoders have no errors of their own.
        let _ = minicbor::encode(self, &mut frame);
        let hash = blake3::hash(&frame);
        frame.extend_from_slice(hash.as_bytes());
        frame
    }

    /// `path` is for the error alone.
    fn from_frame(path: &str, frame: &[u8]) -> Result<Self, Error> {
        let Some(at) = frame.len().checked_sub(HASH_OCTETS) else {
            return Err(Error::damaged(path, "it is too short"));
        };
        let (content, hash) = frame.split_at(at);
        if blake3::hash(content).as_bytes() != hash {
            return Err(Error::damaged(path, "it isn't what was written"));
        }
        let Some(record) = content.strip_prefix(Self::MAGIC) else {
            return Err(Error::damaged(path, "it is a file of another kind"));
        };
        minicbor::decode(record).map_err(|error| Error::damaged(path, error.to_string()))
    }
}

/// `repository`: what a reader has to know first. It is never encrypted.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct RepositoryRecord {
    #[n(0)]
    pub format: u64,
    #[cbor(n(1), with = "minicbor::bytes")]
    pub id: [u8; 16],
    /// Of age; empty: nothing is encrypted.
    #[n(2)]
    pub recipients: Vec<String>,
    /// The identity of the one recipient is in `keys/identity.age`, under a passphrase.
    #[n(3)]
    pub has_passphrase: bool,
    /// Seconds since 1970.
    #[n(4)]
    pub created: i64,
}

impl Framed for RepositoryRecord {
    const MAGIC: &'static [u8; 8] = b"phrepo01";
}

/// `index/HASH`: which objects are in which packs. Never encrypted: it has objects by their keyed names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub(crate) struct IndexRecord {
    #[n(0)]
    pub packs: Vec<IndexPack>,
}

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct IndexPack {
    #[n(0)]
    pub pack: Name,
    /// Keyed names of its objects, 32 octets each, in their order.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub objects: Vec<u8>,
}

impl Framed for IndexRecord {
    const MAGIC: &'static [u8; 8] = b"phindx01";
}

/// `refs/SNAPSHOT`: what is to be kept for a snapshot. Never encrypted, so that who can't read snapshots can still remove old ones.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct RefsRecord {
    /// When the snapshot was taken, in seconds since 1970.
    #[n(0)]
    pub time: i64,
    /// Packs that it needs, by name.
    #[n(1)]
    pub packs: Vec<Name>,
    /// Counted up with each snapshot, under the lock: two may be of the same second.
    #[n(2)]
    pub number: u64,
}

impl Framed for RefsRecord {
    const MAGIC: &'static [u8; 8] = b"phrefs01";
}

/// The head of a pack; what follows it is one zstd frame with the objects one after the other.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub(crate) struct PackRecord {
    #[n(0)]
    pub objects: Vec<PackObject>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct PackObject {
    #[n(0)]
    pub name: Name,
    #[n(1)]
    pub octets: u64,
}

impl Framed for PackRecord {
    const MAGIC: &'static [u8; 8] = b"phpack01";
}

/// `snapshots/HASH`: a server at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct SnapshotRecord {
    /// When it was taken, in seconds since 1970.
    #[n(0)]
    pub time: i64,
    /// The name of the server.
    #[n(1)]
    pub hostname: String,
    /// The version that made it.
    #[n(2)]
    pub version: String,
    /// The format of the rows: that of the store.
    #[n(3)]
    pub store_format: u64,
    /// The nodes of the tree of rows, in the order of their keys.
    #[n(4)]
    pub nodes: Vec<Child>,
    /// Rows whose keys name blobs.
    #[n(5)]
    pub references: Vec<Reference>,
    #[n(6)]
    pub blobs: u64,
    /// Blobs that the server had not, or had otherwise than their names say.
    #[n(7)]
    pub substitutes: Vec<Substitute>,
    #[n(8)]
    pub accounts: u64,
    #[n(9)]
    pub emails: u64,
    /// What the run stored anew, in octets as they are in the repository.
    #[n(10)]
    pub added_octets: u64,
}

impl Framed for SnapshotRecord {
    const MAGIC: &'static [u8; 8] = b"phsnap01";
}

impl SnapshotRecord {
    pub fn rows(&self) -> u64 {
        self.nodes.iter().map(|node| node.rows).sum()
    }

    /// Octets of all keys and values.
    pub fn row_octets(&self) -> u64 {
        self.nodes.iter().map(|node| node.octets).sum()
    }
}

/// A part of the tree.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Child {
    #[cbor(n(0), with = "minicbor::bytes")]
    pub first_key: Vec<u8>,
    #[n(1)]
    pub name: Name,
    #[n(2)]
    pub rows: u64,
    /// Of keys and values.
    #[n(3)]
    pub octets: u64,
}

/// A node: the leaves below it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub(crate) struct NodeRecord {
    #[n(0)]
    pub leaves: Vec<Child>,
}

impl Framed for NodeRecord {
    const MAGIC: &'static [u8; 8] = b"phnode01";
}

/// Keys that begin with `prefix` have the name of a blob behind it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Reference {
    #[cbor(n(0), with = "minicbor::bytes")]
    pub prefix: Vec<u8>,
}

impl Reference {
    pub fn blob(&self, key: &[u8]) -> Option<Name> {
        let rest = key.strip_prefix(self.prefix.as_slice())?;
        rest.first_chunk::<32>().map(|name| Name(*name))
    }
}

/// A blob that isn't in the repository under its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Substitute {
    #[n(0)]
    pub blob: Name,
    /// The object with the octets that the server had for it; `None`: it had none.
    #[n(1)]
    pub object: Option<Name>,
}

/// `locks/OWNER`: somebody changes the repository.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub(crate) struct LockRecord {
    #[n(0)]
    pub purpose: String,
    #[n(1)]
    pub hostname: String,
    /// The boot of the machine, and the process namespace: in which the next two fields mean something.
    #[n(2)]
    pub machine: String,
    #[n(3)]
    pub process: u32,
    /// When the process began, in ticks since the boot.
    #[n(4)]
    pub started: u64,
    /// Counted up as long as the owner lives.
    #[n(5)]
    pub beat: u64,
}

impl Framed for LockRecord {
    const MAGIC: &'static [u8; 8] = b"phlock01";
}
