//! The `x-wso2-*` keys of a definition: what WSO2's gateways read there, read the same way, and what it means as a
//! document.
//!
//! [`read()`] makes a typed model of the keys; [`into_document`] writes what is served today into an API's document. Every
//! key of the family is either served, or reported with its place: refused where it is malformed, warned about where it
//! is not served, served in another way, unknown, or at a place where nobody reads it. Nothing is passed over in silence.
//! Where two meanings are possible the one that lets fewer calls through is taken (ADR 0020).
//!
//! Knows nothing of stores, gateways or files. Start reading at [`KEYS`], then [`Extensions`].

mod documents;
mod keys;
mod model;
mod read;

pub use documents::{Chosen, into_document};
pub use keys::{KEYS, Key, Level, Meaning};
pub use model::{
    ApplicationSecurity, Cors, Credential, EndpointList, EndpointSecurity, EndpointType,
    Extensions, Keys, Operation, Placed,
};
pub use read::read;
