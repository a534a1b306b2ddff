//! Randomness, passed in.
//! Holds: every salt, token and key of the core comes from an [`Rng`]; with a [`SeededRng`] a run can be repeated.
//! Other half: the binary hands out [`SystemRng`]. (ECDSA signatures draw their nonce inside the crypto library.)

use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;

/// A source of random octets.
pub trait Rng: Send + Sync + fmt::Debug {
    /// Overwrites all of `out`.
    fn fill(&self, out: &mut [u8]);

    /// A random number.
    fn next_u64(&self) -> u64 {
        let mut octets = [0; 8];
        self.fill(&mut octets);
        u64::from_le_bytes(octets)
    }
}

impl<R: Rng + ?Sized> Rng for Arc<R> {
    fn fill(&self, out: &mut [u8]) {
        (**self).fill(out)
    }
}

/// The cryptographic generator of the crypto library, seeded by the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemRng;

impl Rng for SystemRng {
    /// # Panics
    /// When the operating system has no randomness to give: to go on would be to hand out keys that can be guessed.
    /// No input from the network has a part in it.
    fn fill(&self, out: &mut [u8]) {
        if aws_lc_rs::rand::fill(out).is_err() {
            panic!("the operating system's random number generator failed");
        }
    }
}

/// A generator whose output is given by its seed: the BLAKE3 stream of it. For tests and simulations.
#[derive(Debug)]
pub struct SeededRng(Mutex<blake3::OutputReader>);

impl SeededRng {
    pub fn new(seed: u64) -> SeededRng {
        let mut hasher = blake3::Hasher::new_derive_key("posthorn seeded rng");
        hasher.update(&seed.to_le_bytes());
        SeededRng(Mutex::new(hasher.finalize_xof()))
    }
}

impl Rng for SeededRng {
    fn fill(&self, out: &mut [u8]) {
        self.0.lock().fill(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_one_stream() {
        let draw = |seed| {
            let rng = SeededRng::new(seed);
            [rng.next_u64(), rng.next_u64()]
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        let [first, second] = draw(1);
        assert_ne!(first, second);
    }

    #[test]
    fn system_rng_fills() {
        let mut octets = [0; 64];
        SystemRng.fill(&mut octets);
        assert_ne!(octets, [0; 64]);
    }
}
