//! The running process's side: the door, and one hand-over through it.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::channel::{read_line, send, write_line};
use super::{Ask, Hello, Replied, TOKEN, Upgrade};

/// Until the new process must accept, once everything is its.
const ACCEPT_TIME: Duration = Duration::from_secs(30);
/// Until somebody at the door must have said what they want.
const HELLO_TIME: Duration = Duration::from_secs(5);

/// The socket at which a running platform is asked to hand over. It is left in its place at the end: the next process
/// puts its own there.
pub(crate) struct Door {
    task: JoinHandle<()>,
    asked: mpsc::Receiver<Asked>,
    takers: mpsc::Receiver<(String, UnixStream)>,
}

/// Somebody asks for something.
pub(crate) struct Asked {
    pub(crate) ask: Ask,
    answer: oneshot::Sender<Replied>,
}

impl Asked {
    /// Says how it went.
    pub(crate) fn answer(self, replied: Replied) {
        // Whoever asked may have gone.
        let _ = self.answer.send(replied);
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Door {
    /// Opens the door of a data folder; a door that an earlier process left goes.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        // The folder is closed to others; the mode says it twice.
        let listener = tokio::net::UnixListener::bind(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        let (ask, asked) = mpsc::channel(1);
        let (take, takers) = mpsc::channel(1);
        let task = tokio::spawn(async move {
            loop {
                match listener.accept().await {
                    Ok((stream, _)) => {
                        tokio::spawn(receive(stream, ask.clone(), take.clone()));
                    }
                    Err(error) => {
                        tracing::warn!(%error, "the upgrade socket cannot accept");
                        tokio::time::sleep(Duration::from_secs(1)).await;
                    }
                }
            }
        });
        Ok(Self {
            task,
            asked,
            takers,
        })
    }

    /// The next one who asks for something.
    pub(crate) async fn asked(&mut self) -> Asked {
        match self.asked.recv().await {
            Some(asked) => asked,
            None => std::future::pending().await,
        }
    }
}

/// Hears what somebody at the door wants.
async fn receive(
    stream: tokio::net::UnixStream,
    ask: mpsc::Sender<Asked>,
    take: mpsc::Sender<(String, UnixStream)>,
) {
    let own = rustix::process::geteuid().as_raw();
    let theirs = stream.peer_cred().map(|peer| peer.uid());
    if !theirs.is_ok_and(|theirs| theirs == own || theirs == 0) {
        tracing::warn!("another user knocked at the upgrade socket");
        return;
    }
    let Ok(stream) = stream.into_std() else {
        return;
    };
    let hello = tokio::task::spawn_blocking(move || {
        let mut stream = stream;
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(HELLO_TIME))?;
        let hello: Hello = serde_json::from_str(&read_line(&mut stream)?)?;
        Ok::<_, io::Error>((hello, stream))
    });
    let (wanted, mut stream) = match hello.await {
        Ok(Ok((Hello::Take(token), stream))) => {
            let _ = take.send((token, stream)).await;
            return;
        }
        Ok(Ok((Hello::Ask(wanted), stream))) => (wanted, stream),
        Ok(Err(_)) | Err(_) => return,
    };
    let (answer, answered) = oneshot::channel();
    let asked = Asked {
        ask: wanted,
        answer,
    };
    let replied = if ask.try_send(asked).is_err() {
        Replied::Refused("the platform is busy with an upgrade".to_owned())
    } else {
        let gone = || Replied::Refused("the platform is stopping".to_owned());
        answered.await.unwrap_or_else(|_| gone())
    };
    if let Ok(text) = serde_json::to_string(&replied) {
        // Whoever asked may have gone.
        let _ = write_line(&mut stream, &text);
    }
}

/// A hand-over that is under way. Dropping it ends the new process.
pub(crate) struct Giving {
    child: Child,
    stream: Option<UnixStream>,
}

impl Giving {
    /// Starts the new binary and hands it the descriptors; returns when it is ready.
    ///
    /// # Errors
    /// One line for whoever asked.
    pub(crate) async fn begin(
        door: &mut Door,
        upgrade: &Upgrade,
        own_binary: &Path,
        descriptors: Vec<(String, OwnedFd)>,
    ) -> Result<Self, String> {
        let deadline = Instant::now() + Duration::from_millis(upgrade.timeout_ms);
        let binary = upgrade
            .binary
            .clone()
            .unwrap_or_else(|| PathBuf::from(own_binary));
        let token = format!("{}{}", uuid::Uuid::new_v4(), uuid::Uuid::new_v4());
        let child = Command::new(&binary)
            .args(std::env::args_os().skip(1))
            .env(TOKEN, &token)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("{} cannot be started: {error}", binary.display()))?;
        let mut giving = Self {
            child,
            stream: None,
        };
        let mut stream = giving.taker(door, &token, deadline).await?;
        stream = giving
            .exchange(stream, deadline, move |stream| {
                send(stream, &descriptors)?;
                expect(stream, "ready")
            })
            .await?;
        giving.stream = Some(stream);
        Ok(giving)
    }

    /// Gives everything away; returns when the new process accepts.
    ///
    /// # Errors
    /// One line for whoever asked; the new process has ended then.
    pub(crate) async fn finish(&mut self) -> Result<u32, String> {
        let stream = self.stream.take().ok_or("nothing was begun")?;
        let stream = self
            .exchange(stream, Instant::now() + ACCEPT_TIME, |stream| {
                write_line(stream, "yours")?;
                expect(stream, "accepts")
            })
            .await?;
        // It stands until this process ends: that is how the new one knows.
        self.stream = Some(stream);
        self.child.id().ok_or_else(|| "it has ended".to_owned())
    }

    /// Ends the new process.
    pub(crate) async fn end(mut self) {
        // Fails when it has ended by itself.
        let _ = self.child.kill().await;
    }

    /// Lets the new process live; what is returned stands for this one, which it waits for.
    pub(crate) fn release(self) -> Option<UnixStream> {
        let Self { child, stream } = self;
        // Without its handle it is not ended: `kill_on_drop` is a matter of the handle.
        std::mem::forget(child);
        stream
    }

    /// The new process at the door.
    async fn taker(
        &mut self,
        door: &mut Door,
        token: &str,
        deadline: Instant,
    ) -> Result<UnixStream, String> {
        loop {
            tokio::select! {
                taker = door.takers.recv() => match taker {
                    Some((theirs, stream)) if credentials::equal(theirs.as_bytes(), token.as_bytes()) => {
                        return Ok(stream);
                    }
                    _ => tracing::warn!("somebody without the token wanted to take over"),
                },
                status = self.child.wait() => return Err(ended(status)),
                () = tokio::time::sleep_until(deadline) => return Err(TOO_LATE.to_owned()),
            }
        }
    }

    /// Speaks with the new process, while it lives and time lasts.
    async fn exchange(
        &mut self,
        stream: UnixStream,
        deadline: Instant,
        speak: impl FnOnce(&mut UnixStream) -> io::Result<()> + Send + 'static,
    ) -> Result<UnixStream, String> {
        let left = deadline.saturating_duration_since(Instant::now());
        let spoken = tokio::task::spawn_blocking(move || {
            let mut stream = stream;
            let left = left.max(Duration::from_millis(1));
            stream.set_read_timeout(Some(left))?;
            stream.set_write_timeout(Some(left))?;
            speak(&mut stream)?;
            Ok::<_, io::Error>(stream)
        });
        tokio::select! {
            spoken = spoken => match spoken {
                Ok(Ok(stream)) => Ok(stream),
                Ok(Err(error)) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                    Err(TOO_LATE.to_owned())
                }
                // It has closed the connection: most probably it has ended, which says more.
                Ok(Err(error)) => {
                    let grace = Duration::from_secs(1);
                    match tokio::time::timeout(grace, self.child.wait()).await {
                        Ok(status) => Err(ended(status)),
                        Err(_) => Err(format!("it does not keep to the protocol: {error}")),
                    }
                }
                Err(error) => Err(error.to_string()),
            },
            status = self.child.wait() => Err(ended(status)),
        }
    }
}

const TOO_LATE: &str = "the new process was not ready in time; it was ended";

fn ended(status: io::Result<std::process::ExitStatus>) -> String {
    match status {
        Ok(status) => format!("the new process has ended ({status}); its log says why"),
        Err(error) => error.to_string(),
    }
}

fn expect(stream: &mut UnixStream, word: &str) -> io::Result<()> {
    let line = read_line(stream)?;
    if line == word {
        return Ok(());
    }
    Err(io::Error::other(format!(
        "`{line}` came instead of `{word}`"
    )))
}
