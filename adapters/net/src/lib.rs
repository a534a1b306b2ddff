//! What every protocol adapter needs from the network, and nothing of mail.
//!
//! Holds: whatever a peer can make grow has a named limit in the module that holds it; no parser panics; no
//! plaintext sent before a TLS handshake is ever read as if it had come after it.
//! Other half: the protocol adapters, which own the meaning of the bytes. This crate imports nothing of ours.

pub mod budget;
pub mod limits;
pub mod listener;
pub mod network;
pub mod pace;
pub mod proxy;
pub mod reader;
pub mod sasl;
pub mod secret;
pub mod shutdown;
pub mod slots;
pub mod stream;
pub mod tls;
pub mod wire;
pub mod writer;

pub use budget::Budget;
pub use limits::{Rate, RateLimiter, RetryAfter};
pub use listener::{
    Admission, Bind, Connection, ConnectionLimits, Gate, Listener, ListenerConfig, Refusal,
};
pub use network::{ClientKey, Network};
pub use pace::{Meter, Pace};
pub use reader::{Data, Form, Line, ReadError, Reader};
pub use secret::Secret;
pub use shutdown::Shutdown;
pub use stream::{Peer, Stream, TlsInfo};
pub use tls::{CertResolver, Identity};
pub use wire::Wire;
pub use writer::WriteError;
