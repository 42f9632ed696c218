//! Real servers for tests: each is started in a throw-away folder on a free port, and goes with the test that started
//! it, however the test ends.
//!
//! A part whose program is not installed fails the test with a line that names the package; nothing is skipped in
//! silence. One file a part; start at [`Postgres`]. Used by tests alone: whatever goes wrong here is a panic.

mod keeper;
pub mod postgres;

pub use postgres::Postgres;
