//! X.509 certificates of clients: who vouches for one ([`Authorities`]), what it says ([`Description`]), and how a listener
//! asks for it ([`AnyCertificate`]).
//!
//! Chains, signatures, times and revocation lists are checked by rustls with its webpki, never by code of ours. Knows
//! nothing of sockets, HTTP or documents. Start at [`Authorities::verify`].

mod any;
mod authorities;
mod description;
pub mod names;

pub use any::AnyCertificate;
pub use authorities::{Authorities, AuthoritiesError, Refused};
pub use description::{Description, Unreadable};
