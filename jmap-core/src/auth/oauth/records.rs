//! What the store keeps of clients, of what people have granted them, and of codes under way.
//!
//! Holds: numbers of fields are never reused; a new field is an `Option` or has a default; no secret is in here, only what
//! recognises one.
//! Other half: `directory::tests::golden` has the bytes of every version.

use minicbor::{Decode, Encode, bytes::ByteArray};
use store::Record;

use super::OAuthScopes;
use crate::auth::token::{
    Minted, Presented, TOKEN_HASH_OCTETS, TOKEN_ID_OCTETS, TokenHash, TokenId,
};

/// A program that may ask people for access (RFC 7591 §2). Its id is in its key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct ClientRecord {
    #[n(0)]
    pub name: String,
    /// Where people may be sent back to.
    #[n(1)]
    pub redirect_uris: Vec<String>,
    /// What recognises its secret. `None`: a public client (RFC 6749 §2.1).
    #[n(2)]
    pub secret_hash: Option<ByteArray<32>>,
    /// Seconds since 1970.
    #[n(3)]
    pub created: i64,
    /// When it got tokens, in seconds since 1970, give or take a day.
    #[n(4)]
    pub last_used: i64,
    /// It has registered itself.
    #[n(5)]
    pub is_dynamic: bool,
    /// A page about it.
    #[n(6)]
    pub uri: Option<String>,
}

impl Record for ClientRecord {
    const KIND: &'static str = "OAuth client";
}

/// What recognises a code or a token.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
pub struct Kept {
    #[n(0)]
    pub id: ByteArray<TOKEN_ID_OCTETS>,
    #[n(1)]
    pub hash: ByteArray<TOKEN_HASH_OCTETS>,
}

impl Kept {
    pub fn of(minted: &Minted<TokenId>) -> Self {
        Self {
            id: minted.id.0.into(),
            hash: (*minted.hash.octets()).into(),
        }
    }

    pub fn id(&self) -> TokenId {
        TokenId(*self.id)
    }

    pub fn hash(&self) -> TokenHash {
        TokenHash::from_octets(*self.hash)
    }

    /// Whether it is what was presented.
    pub fn is(&self, presented: &Presented<TokenId>) -> bool {
        presented.id == self.id() && presented.is(&self.hash())
    }
}

// A hash is no secret, and no business of a log either.
impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Kept(..)")
    }
}

/// What a person has granted to a client: a part of the credential that it is.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Grant {
    #[n(0)]
    pub client: String,
    #[n(1)]
    pub scopes: OAuthScopes,
    /// The refresh token. All of one grant have one id, so that one of them that comes again is known.
    #[n(2)]
    pub refresh: Option<Kept>,
    /// The oldest first.
    #[n(3)]
    pub access: Vec<AccessToken>,
    /// When tokens were given last, in seconds since 1970.
    #[n(4)]
    pub used: i64,
    /// When the person signed in, in seconds since 1970.
    #[n(5)]
    pub authenticated: i64,
}

#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct AccessToken {
    #[n(0)]
    pub kept: Kept,
    /// Milliseconds since 1970.
    #[n(1)]
    pub expires: i64,
    #[n(2)]
    pub scopes: OAuthScopes,
}

impl Grant {
    /// The ids of all tokens that lead here.
    pub fn ids(&self) -> impl Iterator<Item = TokenId> {
        let access = self.access.iter().map(|token| token.kept.id());
        access.chain(self.refresh.iter().map(Kept::id))
    }
}

/// An authorization code (RFC 6749 §4.1.2) under way. Its id is in its key.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct CodeRecord {
    #[n(0)]
    pub kept: Kept,
    #[n(1)]
    pub client: String,
    #[n(2)]
    pub redirect_uri: String,
    #[n(3)]
    pub scopes: OAuthScopes,
    #[n(4)]
    pub account: u64,
    /// Seconds since 1970.
    #[n(5)]
    pub authenticated: i64,
    /// RFC 7636 §4.2, of S256.
    #[n(6)]
    pub challenge: String,
    #[n(7)]
    pub nonce: Option<String>,
    /// Milliseconds since 1970.
    #[n(8)]
    pub expires: i64,
    /// It was used, and has come to this credential.
    #[n(9)]
    pub grant: Option<u64>,
    /// The passkey that the person has signed in with.
    #[n(10)]
    pub passkey: Option<u64>,
}

impl Record for CodeRecord {
    const KIND: &'static str = "OAuth code";
}

/// A device that waits for somebody to let it in (RFC 8628). Its id is in its key.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct DeviceRecord {
    #[n(0)]
    pub kept: Kept,
    #[n(1)]
    pub client: String,
    #[n(2)]
    pub scopes: OAuthScopes,
    /// As people type it, without its dash.
    #[n(3)]
    pub user_code: String,
    /// Milliseconds since 1970.
    #[n(4)]
    pub expires: i64,
    #[n(5)]
    pub decision: Option<Decision>,
}

impl Record for DeviceRecord {
    const KIND: &'static str = "OAuth device";
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Decision {
    #[n(0)]
    Denied,
    #[n(1)]
    Allowed {
        #[n(0)]
        account: u64,
        /// Seconds since 1970.
        #[n(1)]
        authenticated: i64,
        /// The passkey that the person has signed in with.
        #[n(2)]
        passkey: Option<u64>,
    },
}

/// The way from what people type to the device.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct UserCodeRecord {
    #[n(0)]
    pub device: ByteArray<TOKEN_ID_OCTETS>,
    /// Milliseconds since 1970.
    #[n(1)]
    pub expires: i64,
}

impl Record for UserCodeRecord {
    const KIND: &'static str = "OAuth user code";
}
