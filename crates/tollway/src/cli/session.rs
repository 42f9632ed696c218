//! Who one is logged in as: server and token, from flags, the environment, or the last login.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::args::Target;
use super::failure::Failure;

/// What `login` remembers, in a file that only its owner can read.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Session {
    /// URL of the control API.
    pub(crate) server: String,
    /// Bearer token.
    pub(crate) token: String,
}

/// Without the token.
impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Session({})", self.server)
    }
}

impl Session {
    /// The session that a command works in.
    ///
    /// # Errors
    /// When neither flags nor the last login say all of it. A token that was given is sent to no server but the one
    /// given with it or logged in to.
    pub(crate) fn of(target: &Target) -> Result<Self, Failure> {
        let remembered = Self::load(&path()?)?;
        let same_server = |server: &str| {
            remembered
                .as_ref()
                .is_some_and(|session| session.server == server)
        };
        match (target.server.clone(), target.token.clone()) {
            (Some(server), Some(token)) => Ok(Self {
                server: trimmed(&server),
                token,
            }),
            (Some(server), None) if !same_server(&trimmed(&server)) => {
                Err(Failure::Usage(format!(
                    "not logged in to {server}: use `tollway login --server {server}` or TOLLWAY_TOKEN"
                )))
            }
            (_, token) => {
                let mut session = remembered
                    .ok_or_else(|| Failure::Usage("not logged in: use `tollway login`".into()))?;
                session.token = token.unwrap_or(session.token);
                Ok(session)
            }
        }
    }

    fn load(path: &Path) -> Result<Option<Self>, Failure> {
        match fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map(Some)
                .map_err(|_| Failure::file(path, "is damaged: log in again after removing it")),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Failure::file(path, error)),
        }
    }

    /// Remembers this session.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn save(&self) -> Result<(), Failure> {
        let path = path()?;
        let folder = path
            .parent()
            .expect("the path has a folder by construction");
        fs::create_dir_all(folder).map_err(|error| Failure::file(folder, error))?;
        let fault = |error| Failure::file(&path, error);
        let mut file = private(&path).map_err(fault)?;
        let text = serde_json::to_vec(self).expect("two strings are plain JSON");
        file.write_all(&text).map_err(fault)
    }

    /// Forgets the last login.
    ///
    /// # Errors
    /// When the file is there and cannot be removed.
    pub(crate) fn forget() -> Result<(), Failure> {
        let path = path()?;
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Failure::file(&path, error))
            }
            _ => Ok(()),
        }
    }
}

/// A URL without the slash at its end, as it is compared and extended.
pub(crate) fn trimmed(url: &str) -> String {
    url.trim_end_matches('/').to_owned()
}

/// `$XDG_CONFIG_HOME/tollway/session.json`
fn path() -> Result<PathBuf, Failure> {
    let variable = |name| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    let config = variable("XDG_CONFIG_HOME").or_else(|| Some(variable("HOME")?.join(".config")));
    let config =
        config.ok_or_else(|| Failure::Usage("neither XDG_CONFIG_HOME nor HOME is set".into()))?;
    Ok(config.join("tollway/session.json"))
}

fn private(path: &Path) -> std::io::Result<fs::File> {
    use std::os::unix::fs::OpenOptionsExt;
    // A file that is there keeps its mode when it is opened; it must not be readable by others from before.
    let _ = fs::remove_file(path);
    fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}
