//! End-to-end tests: whole roles in this process, real sockets, a real database, real backends.
//!
//! Start at [`Sandbox`]; the tests are in `tests/it`.

use std::time::Duration;

pub mod backend;
pub mod issuer;
pub mod raw;
pub mod sandbox;
pub mod tab;

pub use backend::Backend;
pub use issuer::OutsideIssuer;
pub use sandbox::{Api, Sandbox};
pub use tab::Tab;

/// How long a test waits for what has to come. A machine may be slow, and stand still for seconds: nobody waits for so long on one that is not.
pub const PATIENCE: Duration = Duration::from_secs(60);
