//! Why the platform did not start.

use std::net::SocketAddr;
use std::path::PathBuf;

/// A start that failed: one line for the operator, exit code 2.
#[derive(Debug, thiserror::Error)]
pub enum UpError {
    /// The config file cannot be read or says something unknown.
    #[error("{}{}: {cause}", path.display(), line.map(|line| format!(":{line}")).unwrap_or_default())]
    Config {
        /// The file.
        path: PathBuf,
        /// The line, where it is known.
        line: Option<usize>,
        /// What is wrong.
        cause: String,
    },
    /// A combination of options that cannot work.
    #[error("{0}")]
    Options(String),
    /// A folder or file cannot be used.
    #[error("{}: {cause}", path.display())]
    File {
        /// The folder or file.
        path: PathBuf,
        /// What is wrong.
        cause: String,
    },
    /// An address cannot be listened at.
    #[error(
        "cannot listen at {address}: {cause} (another process may hold it; choose another address with --{flag})"
    )]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The flag that sets it.
        flag: &'static str,
        /// What the system says.
        cause: std::io::Error,
    },
    /// A part of the platform refused to start.
    #[error("{part}: {cause}")]
    Part {
        /// Which.
        part: &'static str,
        /// Why, in one line.
        cause: String,
    },
}
