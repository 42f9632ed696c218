//! A running platform hands its listening sockets to a new process of another binary, and goes when that one serves.
//!
//! Over a UNIX socket in the data folder (mode 0600, same user): `tollway upgrade` asks the running process, that one
//! starts the new one as its child, with the arguments it has itself and a token in the environment, and the child comes
//! back on the same socket:
//!
//! | old | new |
//! |---|---|
//! | sends its sockets and the data folder's lock | |
//! | serves | starts everything, accepts nothing, says `ready` |
//! | ends its control side, says `yours` | |
//! | | reads what was written last, accepts everywhere, says `accepts` |
//! | drains the gateway, ends | keeps usage in memory until then, opens the spool |
//!
//! A listening socket is one object with two owners: no connection in its queue is lost, whoever takes it. What goes
//! wrong before `accepts` ends the new process, and the old one goes on. Reasons: docs/adr/0029-upgrade-by-descriptors.md.

mod channel;
mod giving;
mod taking;

use std::path::{Path, PathBuf};

pub(super) use giving::{Asked, Door, Giving};
pub(super) use taking::{LOCK, Taking};

/// The variable with the token of a process that is to take over.
const TOKEN: &str = "TOLLWAY_HANDOVER";

/// The door's place in a data folder.
#[must_use]
pub fn door(data_dir: &Path) -> PathBuf {
    data_dir.join("upgrade.sock")
}

/// What `tollway upgrade` asks for.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Upgrade {
    /// The new binary; without it the path that the running process was started from.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub binary: Option<PathBuf>,
    /// Until it must be ready, in milliseconds.
    pub timeout_ms: u64,
}

/// What somebody at the door asks for.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Ask {
    /// A new process.
    Upgrade(Upgrade),
    /// Files are read again.
    Reload,
}

/// What is answered.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Replied {
    /// What was done.
    Done(String),
    /// Why nothing was done.
    Refused(String),
}

/// The first line of whoever comes to the door.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Hello {
    /// A command.
    Ask(Ask),
    /// The new process, with its token.
    Take(String),
}

/// Asks a running platform; returns when it is done.
///
/// # Errors
/// When there is no platform at the door, or it has gone.
pub fn ask(data_dir: &Path, ask: Ask) -> std::io::Result<Replied> {
    let mut stream = std::os::unix::net::UnixStream::connect(door(data_dir))?;
    channel::write_line(&mut stream, &serde_json::to_string(&Hello::Ask(ask))?)?;
    Ok(serde_json::from_str(&channel::read_line(&mut stream)?)?)
}
