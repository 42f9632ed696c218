//! How many tunnels may be open at a time: in the process, and for each client's address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::worker::Shared;

/// The tunnels that are open on all workers. A lock, because both limits are exact; it is taken when a tunnel begins and
/// when it ends, never by a call.
#[derive(Default)]
pub(crate) struct Tunnels(Mutex<Open>);

#[derive(Default)]
struct Open {
    all: usize,
    by_client: HashMap<IpAddr, usize>,
}

/// Which limit is reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Full {
    /// That of the process.
    Process,
    /// That of the client's address.
    Client,
}

/// A tunnel's place; free again when it is dropped.
pub(crate) struct Slot {
    shared: Arc<Shared>,
    client: IpAddr,
}

impl Slot {
    /// Takes a place.
    ///
    /// # Errors
    /// Which limit leaves none.
    pub(crate) fn take(shared: &Arc<Shared>, client: IpAddr) -> Result<Self, Full> {
        let limits = &shared.config.limits;
        let tunnels = &shared.tunnels;
        tunnels.enter(client, limits.tunnels_max, limits.tunnels_per_client_max)?;
        Ok(Self {
            shared: Arc::clone(shared),
            client,
        })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.shared.tunnels.leave(self.client);
    }
}

impl Tunnels {
    fn enter(&self, client: IpAddr, max: usize, client_max: usize) -> Result<(), Full> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if open.all >= max {
            return Err(Full::Process);
        }
        let mine = open.by_client.entry(client).or_default();
        if *mine >= client_max {
            if *mine == 0 {
                open.by_client.remove(&client);
            }
            return Err(Full::Client);
        }
        *mine += 1;
        open.all += 1;
        Ok(())
    }

    fn leave(&self, client: IpAddr) {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.all -= 1;
        if let Some(mine) = open.by_client.get_mut(&client) {
            *mine -= 1;
            if *mine == 0 {
                open.by_client.remove(&client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// req: S12
    #[test]
    fn one_client_leaves_room_for_others() {
        let tunnels = Tunnels::default();
        let (one, two): (IpAddr, IpAddr) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
        assert_eq!(tunnels.enter(one, 3, 2), Ok(()));
        assert_eq!(tunnels.enter(one, 3, 2), Ok(()));
        assert_eq!(tunnels.enter(one, 3, 2), Err(Full::Client));
        assert_eq!(tunnels.enter(two, 3, 2), Ok(()));
        assert_eq!(tunnels.enter(two, 3, 2), Err(Full::Process));
        tunnels.leave(one);
        assert_eq!(tunnels.enter(two, 3, 2), Ok(()));
        tunnels.leave(one);
        tunnels.leave(two);
        tunnels.leave(two);
        let open = tunnels.0.lock().unwrap();
        assert!(open.all == 0 && open.by_client.is_empty());
    }
}
