//! Documents to what a node serves: goldens, and real definitions.
#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test fails by panicking, and says why it is skipped"
)]

mod corpus;
mod goldens;
mod rules;
