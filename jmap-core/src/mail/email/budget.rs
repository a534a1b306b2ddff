//! How much one Email/get or Email/parse may answer.
//! Holds: what is made beyond it is one value at the most, whatever the client asks of however many emails.
//! Other half: `get`, `parse` and `render` count with it.

use std::sync::atomic::{AtomicUsize, Ordering};

use jmap_types::{
    MethodError, MethodErrorKind, Value,
    value::{Key, weight, weight_of_key},
};

/// Octets of memory that the emails of one answer may take: a hundred messages of a megabyte, or the longest text that a message can have. A request
/// may have twice as much (`RESPONSES_OCTETS_MAX` of the adapter).
pub(super) const ANSWER_OCTETS_MAX: usize = 128 << 20;

/// Octets that are left; with none, it is spent.
#[derive(Debug)]
pub(super) struct Budget(AtomicUsize);

impl Budget {
    pub fn new(octets: usize) -> Self {
        Self(AtomicUsize::new(octets))
    }

    pub fn is_spent(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }

    pub fn spend(&self, octets: usize) {
        let left = self.0.load(Ordering::Relaxed);
        self.0.store(left.saturating_sub(octets), Ordering::Relaxed);
    }

    /// A value that `make` makes while there is something left; then null, in an answer that nobody gets.
    pub fn value(&self, make: impl FnOnce() -> Value) -> Value {
        if self.is_spent() {
            return Value::Null;
        }
        let value = make();
        self.spend(weight(&value));
        value
    }

    pub fn key(&self, key: Key) -> Key {
        self.spend(weight_of_key(&key));
        key
    }

    /// Errors: `requestTooLarge`, once it is spent.
    pub fn check(&self) -> Result<(), MethodError> {
        if self.is_spent() {
            let why =
                "The answer would be too large: ask for fewer emails, or set maxBodyValueBytes.";
            return Err(MethodError::describe(MethodErrorKind::RequestTooLarge, why));
        }
        Ok(())
    }
}
