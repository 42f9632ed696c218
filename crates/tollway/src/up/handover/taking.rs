//! The new process's side.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;

use gateway::Sockets;
use tokio::sync::oneshot;

use super::channel::{read_line, receive, write_line};
use super::{Hello, TOKEN, door};
use crate::up::UpError;

/// The name of the data folder's lock among the descriptors.
pub(crate) const LOCK: &str = "lock";

/// What a process takes over from the one before.
pub(crate) struct Taking {
    stream: UnixStream,
    /// Its sockets.
    pub(crate) sockets: Arc<Sockets>,
    /// The lock of the data folder, held by both.
    pub(crate) lock: File,
}

impl Taking {
    /// Takes over, where this process was started for that.
    ///
    /// # Errors
    /// When the one before does not hand over.
    pub(crate) fn of_this_process(data_dir: &Path) -> Result<Option<Self>, UpError> {
        let Ok(token) = std::env::var(TOKEN) else {
            return Ok(None);
        };
        let path = door(data_dir);
        Self::from(&path, token)
            .map(Some)
            .map_err(|error| UpError::File {
                path,
                cause: format!("the running process hands nothing over: {error}"),
            })
    }

    fn from(path: &Path, token: String) -> io::Result<Self> {
        let mut stream = UnixStream::connect(path)?;
        write_line(&mut stream, &serde_json::to_string(&Hello::Take(token))?)?;
        let mut lock = None;
        let mut sockets = HashMap::new();
        for (name, descriptor) in receive(&mut stream)? {
            if name == LOCK {
                lock = Some(File::from(descriptor));
            } else {
                sockets.insert(name, TcpListener::from(descriptor));
            }
        }
        Ok(Self {
            stream,
            sockets: Arc::new(Sockets::inherited(sockets)),
            lock: lock.ok_or_else(|| io::Error::other("the lock is missing"))?,
        })
    }

    /// Says that everything is ready, and waits until everything is ours: the control side of the one before has ended.
    /// If all of it has ended, so much the better.
    pub(crate) fn ready(&self) -> io::Result<()> {
        let mut stream = self.stream.try_clone()?;
        write_line(&mut stream, "ready")?;
        match read_line(&mut stream) {
            Ok(line) if line == "yours" => Ok(()),
            Ok(line) => Err(io::Error::other(format!(
                "`{line}` came instead of `yours`"
            ))),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Says that this process accepts. What is returned comes when the one before has ended.
    pub(crate) fn accepts(self) -> io::Result<oneshot::Receiver<()>> {
        let mut stream = self.stream;
        // It may have ended already.
        let _ = write_line(&mut stream, "accepts");
        let (gone, waits) = oneshot::channel();
        std::thread::Builder::new()
            .name("handover".to_owned())
            .spawn(move || {
                // Nothing more is said: this is the end.
                let _ = read_line(&mut stream);
                let _ = gone.send(());
            })?;
        Ok(waits)
    }
}
