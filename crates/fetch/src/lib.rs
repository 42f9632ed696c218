//! The guarded client: fetches URLs that others choose (imports, later webhooks, key sets, discovery) without becoming
//! their hands inside the house.
//!
//! Invariants: only `http` and `https`, without user information; an address is checked when a connection is made, and
//! the connection goes to exactly the address that was checked, so a name that changes its mind (DNS rebinding) gains
//! nothing; every redirect is checked like the first URL and never leads from `https` to `http`; no proxy of the
//! environment is asked; size, time and redirects are bounded. An error never tells what was found at an address.
//!
//! Knows nothing of what is fetched. Start at [`Fetcher`].

mod address;
mod counts;
mod error;
mod fetcher;
mod resolve;

pub use address::{Allow, AllowError};
pub use counts::{Counts, RESULTS};
pub use error::FetchError;
pub use fetcher::{FetchConfig, Fetched, Fetcher, SetupError};
pub use resolve::{Resolve, SystemResolver};
