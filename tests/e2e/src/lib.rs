//! End-to-end tests: whole roles in this process, real sockets, a real database, real backends.
//!
//! Start at [`Sandbox`]; the tests are in `tests/it`.

pub mod backend;
pub mod issuer;
pub mod raw;
pub mod sandbox;
pub mod tab;

pub use backend::Backend;
pub use issuer::OutsideIssuer;
pub use sandbox::{Api, Sandbox};
pub use tab::Tab;
