//! `tollway upgrade`, `tollway reload`: what a platform on this machine is asked over the socket in its data folder.

use std::io;
use std::path::PathBuf;

use clap::Args;

use super::Failure;
use crate::up::handover::{self, Ask, Replied};
use crate::up::{Options, Span};

/// Which platform on this machine.
#[derive(Debug, Args)]
pub struct Local {
    /// Its data folder [default: ./tollway-data]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Its config file, which may name the data folder
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// How to upgrade.
#[derive(Debug, Args)]
pub struct Upgrade {
    #[command(flatten)]
    local: Local,
    /// The new binary [default: the path that the running process was started from]
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
    /// Time for the new process to be ready [default: 60s]
    #[arg(long, value_name = "DURATION")]
    timeout: Option<Span>,
}

impl Local {
    fn ask(self, ask: Ask) -> Result<(), Failure> {
        let options = Options {
            config: self.config,
            data_dir: self.data_dir,
            ..Options::default()
        };
        let options = options
            .with_file()
            .map_err(|error| Failure::Usage(error.to_string()))?;
        let folder = options.data_dir();
        match handover::ask(&folder, ask) {
            Ok(Replied::Done(text)) => {
                println!("{text}");
                Ok(())
            }
            Ok(Replied::Refused(cause)) => {
                eprintln!("tollway: {cause}");
                Err(Failure::No)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Failure::Unreachable(
                format!("{}: no platform runs on this folder", folder.display()),
            )),
            Err(error) => Err(Failure::Unreachable(format!(
                "{}: {error}",
                handover::door(&folder).display()
            ))),
        }
    }
}

/// Has a new process take over from the running one.
///
/// # Errors
/// [`Failure::No`] when the running process goes on.
pub(super) fn upgrade(upgrade: Upgrade) -> Result<(), Failure> {
    let binary = upgrade
        .binary
        .map(|path| std::fs::canonicalize(&path).map_err(|error| Failure::file(&path, error)))
        .transpose()?;
    let timeout_ms = upgrade.timeout.map_or(60_000, Span::as_ms);
    let ask = handover::Upgrade { binary, timeout_ms };
    upgrade.local.ask(Ask::Upgrade(ask))
}

/// Has the running process read its files again.
///
/// # Errors
/// [`Failure::No`] when some of them cannot be used.
pub(super) fn reload(local: Local) -> Result<(), Failure> {
    local.ask(Ask::Reload)
}
