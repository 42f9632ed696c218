//! The log of the process: lines on standard error, filtered by `TOLLWAY_LOG` (as `info`, `warn`, `gateway=debug`).

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// What is told unless asked for otherwise: not each step of filling a new database.
const DEFAULT: &str = "info,sea_orm_migration=warn";

/// Starts logging; a second start in one process changes nothing.
pub(crate) fn start() {
    let filter = EnvFilter::try_from_env("TOLLWAY_LOG").unwrap_or_else(|_| EnvFilter::new(DEFAULT));
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .try_init();
}
