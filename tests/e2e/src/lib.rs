//! End-to-end tests: whole roles in this process, real sockets, a real database, real backends.
//!
//! Start at [`Sandbox`]; the tests are in `tests/it`.

pub mod backend;
pub mod raw;
pub mod sandbox;

pub use backend::Backend;
pub use sandbox::{Api, Sandbox};
