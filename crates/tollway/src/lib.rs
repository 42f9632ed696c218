//! The Tollway binary as a library: `up` runs the platform, `cli` talks to one.
//!
//! Here, and only here, the roles meet. Start at [`up::start`].

pub mod cli;
pub mod up;
