//! Who is banned, for the listeners: the core knows.
//!
//! Other half: `net::Admission`, which asks for each connection.

use std::net::IpAddr;

use jmap_core::{Core, bans::BanRule};
use net::Gate;

/// See the module.
#[derive(Debug)]
pub struct CoreGate(pub Core);

impl Gate for CoreGate {
    fn is_banned(&self, address: IpAddr) -> bool {
        self.0.is_banned(address)
    }

    fn spoke_no_tls(&self, address: IpAddr) {
        self.0.note_offence(address, BanRule::Handshakes, "");
    }
}
