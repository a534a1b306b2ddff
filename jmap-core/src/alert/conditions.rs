//! What may be wrong, and what is.
//!
//! Other half: `find` and the binary find it out.

use std::fmt;

use minicbor::{Decode, Encode};

/// Octets of a subject, and of a sentence.
const SUBJECT_OCTETS_MAX: usize = 200;
const SENTENCE_OCTETS_MAX: usize = 500;

macro_rules! kinds {
    ($($(#[doc = $doc:literal])* $number:literal $variant:ident = $name:literal),* $(,)?) => {
        /// What may be wrong.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
        #[cbor(index_only)]
        pub enum AlertKind { $($(#[doc = $doc])* #[n($number)] $variant),* }

        impl AlertKind {
            pub const ALL: &[AlertKind] = &[$(AlertKind::$variant),*];

            pub const fn name(self) -> &'static str {
                match self { $(AlertKind::$variant => $name),* }
            }

            /// What it means, for people.
            pub fn about(self) -> String {
                match self { $(AlertKind::$variant => [$($doc.trim()),*].join(" ")),* }
            }
        }
    };
}

kinds! {
    /// The disk is nearly full.
    0 DiskFull = "disk-full",
    /// The database can't be written.
    1 StoreFailing = "store-failing",
    /// Messages don't get to where blobs are kept.
    2 BlobsFailing = "blobs-failing",
    /// Many messages wait to be sent.
    3 QueueLong = "queue-long",
    /// A message has waited for long.
    4 QueueOld = "queue-old",
    /// A certificate ends soon.
    5 CertificateEnding = "certificate-ending",
    /// A certificate could not be ordered.
    6 CertificateFailing = "certificate-failing",
    /// The last backup has failed.
    7 BackupFailed = "backup-failed",
    /// There was no backup for long.
    8 BackupMissing = "backup-missing",
    /// A server of the cluster is gone.
    9 NodeGone = "node-gone",
    /// An address of the server is in a list of addresses that send spam.
    10 Blocklisted = "blocklisted",
    /// A webhook was disabled.
    11 WebhookDisabled = "webhook-disabled",
}

impl AlertKind {
    /// While it lasts, the store can't say so.
    pub(super) fn is_kept_in_memory(self) -> bool {
        self == AlertKind::StoreFailing
    }

    /// While it lasts, nobody can be mailed.
    pub(super) fn stops_mail(self) -> bool {
        matches!(self, AlertKind::StoreFailing | AlertKind::BlobsFailing)
    }
}

impl fmt::Display for AlertKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Something that is wrong at this moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    pub kind: AlertKind,
    /// What it is about, where there may be several of a kind.
    pub subject: String,
    pub sentence: String,
}

impl Condition {
    pub fn new(kind: AlertKind, subject: impl Into<String>, sentence: impl Into<String>) -> Self {
        Self {
            kind,
            subject: shortened(subject.into(), SUBJECT_OCTETS_MAX),
            sentence: shortened(sentence.into(), SENTENCE_OCTETS_MAX),
        }
    }
}

fn shortened(mut text: String, octets_max: usize) -> String {
    let mut end = text.len().min(octets_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}
