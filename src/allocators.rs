//! The two allocators of the process: mimalloc for Rust, the C library's for RocksDB.
//!
//! Holds: what both keep for later goes back to the system when the server is at rest; they do so by themselves
//! only while they are used.

unsafe extern "C" {
    /// mimalloc: gives free pages back; `force` for all of them.
    safe fn mi_collect(force: bool);

    /// malloc_trim(3): gives free pages of all arenas back.
    #[cfg(target_env = "gnu")]
    safe fn malloc_trim(pad: usize) -> std::ffi::c_int;
}

/// Takes milliseconds.
pub fn give_back() {
    mi_collect(true);
    #[cfg(target_env = "gnu")]
    malloc_trim(0);
}
