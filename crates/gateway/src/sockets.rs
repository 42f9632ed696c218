//! The process's listening sockets, by name: made here, taken over from the process before, handed on to the next one.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::listener;

/// See the module. A socket that is handed on is the same one, with what waits in its queue.
#[derive(Debug, Default)]
pub struct Sockets(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// Taken over, and not asked for yet.
    inherited: HashMap<String, TcpListener>,
    /// In use here; a second handle on each, to be handed on.
    open: HashMap<String, TcpListener>,
}

impl Sockets {
    /// Begins with sockets of another process.
    #[must_use]
    pub fn inherited(sockets: HashMap<String, TcpListener>) -> Self {
        Self(Mutex::new(Known {
            inherited: sockets,
            open: HashMap::new(),
        }))
    }

    /// The socket of this name: the one that was taken over, if it is at this address, else a new one. It does not
    /// block.
    ///
    /// # Errors
    /// What the system says.
    pub fn listen(&self, name: &str, address: SocketAddr) -> io::Result<TcpListener> {
        let mut known = self.lock();
        let socket = match known.inherited.remove(name) {
            Some(socket) if is_at(&socket, address)? => {
                socket.set_nonblocking(true)?;
                socket
            }
            _ => listener::bind(address)?,
        };
        known.open.insert(name.to_owned(), socket.try_clone()?);
        Ok(socket)
    }

    /// This process accepts no more at this socket.
    pub fn close(&self, name: &str) {
        self.lock().open.remove(name);
    }

    /// Closes what was taken over and is not wanted any more.
    pub fn close_unwanted(&self) {
        self.lock().inherited.clear();
    }

    /// Further handles on all sockets in use, by name.
    ///
    /// # Errors
    /// When the process has no descriptors left.
    pub fn all(&self) -> io::Result<Vec<(String, TcpListener)>> {
        let known = self.lock();
        let handles = known
            .open
            .iter()
            .map(|(name, socket)| Ok((name.clone(), socket.try_clone()?)));
        handles.collect()
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a socket listens where it is wanted; port 0 is any.
fn is_at(socket: &TcpListener, wanted: SocketAddr) -> io::Result<bool> {
    let have = socket.local_addr()?;
    Ok(have.ip() == wanted.ip() && (wanted.port() == 0 || wanted.port() == have.port()))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn a_socket_goes_on_with_what_waits_in_its_queue() {
        let any: SocketAddr = ([127, 0, 0, 1], 0).into();
        let first = Sockets::default();
        let socket = first.listen("a", any).unwrap();
        let address = socket.local_addr().unwrap();
        let _waiting = std::net::TcpStream::connect(address).unwrap();
        let second = Sockets::inherited(first.all().unwrap().into_iter().collect());
        drop((socket, first));
        let socket = second.listen("a", any).unwrap();
        assert_eq!(socket.local_addr().unwrap(), address);
        // A busy system may put it there a moment later.
        let deadline = Instant::now() + Duration::from_mins(1);
        while socket.accept().is_err() {
            assert!(Instant::now() < deadline, "it waited there");
        }
    }

    #[test]
    fn another_address_is_another_socket() {
        let any: SocketAddr = ([127, 0, 0, 1], 0).into();
        let first = Sockets::default();
        let old = first.listen("a", any).unwrap().local_addr().unwrap();
        let other: SocketAddr = ([127, 0, 0, 2], 0).into();
        let second = Sockets::inherited(first.all().unwrap().into_iter().collect());
        let new = second.listen("a", other).unwrap().local_addr().unwrap();
        assert!(new.ip() == other.ip() && new != old);
    }
}
