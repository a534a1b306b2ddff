//! (skeleton)

pub mod mail {
    //! Mail (RFC 8621).
    pub mod message;
}
