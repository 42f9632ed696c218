//! Who holds how many connections.
//!
//! Connections are counted when they are accepted and when they are closed, by several threads; calls have nothing to do
//! with it.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::config::Limits;

/// Why a connection is not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Full {
    /// The client holds as many as one may.
    Client,
    /// Too many are being opened, by all or by this client.
    Openings,
}

/// The seats of a process.
#[derive(Debug)]
pub(crate) struct Seats {
    per_client_max: usize,
    openings_max: usize,
    openings_per_client_max: usize,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    openings: usize,
    clients: HashMap<IpAddr, Held, foldhash::fast::RandomState>,
}

#[derive(Debug, Default)]
struct Held {
    connections: usize,
    openings: usize,
}

/// What one connection takes; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Seat {
    seats: Arc<Seats>,
    /// `None` while a proxy has not said who it is.
    client: Option<IpAddr>,
    opening: bool,
}

impl Seats {
    pub(crate) fn new(limits: &Limits) -> Arc<Self> {
        Arc::new(Self {
            per_client_max: limits.connections_per_client_max,
            openings_max: limits.openings_max,
            openings_per_client_max: limits.openings_per_client_max,
            table: Mutex::default(),
        })
    }

    /// A seat for a client, `None` where a proxy will say who it is. `opening`: there is something to be done before
    /// HTTP begins.
    pub(crate) fn take(
        self: &Arc<Self>,
        client: Option<IpAddr>,
        opening: bool,
    ) -> Result<Seat, Full> {
        let client = client.map(one_client);
        let mut table = self.table();
        if opening && table.openings >= self.openings_max {
            return Err(Full::Openings);
        }
        if let Some(client) = client {
            self.admit(&mut table, client, opening)?;
        }
        table.openings += usize::from(opening);
        drop(table);
        Ok(Seat {
            seats: Arc::clone(self),
            client,
            opening,
        })
    }

    fn admit(&self, table: &mut Table, client: IpAddr, opening: bool) -> Result<(), Full> {
        let held = table.clients.entry(client).or_default();
        // Nobody who holds nothing is refused: no entry stays behind.
        if held.connections >= self.per_client_max.max(1) {
            return Err(Full::Client);
        }
        if opening && held.openings >= self.openings_per_client_max.max(1) {
            return Err(Full::Openings);
        }
        held.connections += 1;
        held.openings += usize::from(opening);
        Ok(())
    }

    /// Counting goes on whatever happened to a thread that counted.
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    /// A proxy has said who the client is.
    pub(crate) fn belongs_to(&mut self, client: IpAddr) -> Result<(), Full> {
        if self.client.is_none() {
            let client = one_client(client);
            let mut table = self.seats.table();
            self.seats.admit(&mut table, client, self.opening)?;
            self.client = Some(client);
        }
        Ok(())
    }

    /// HTTP begins.
    pub(crate) fn opened(&mut self) {
        if std::mem::take(&mut self.opening) {
            let mut table = self.seats.table();
            table.openings -= 1;
            if let Some(held) = self
                .client
                .and_then(|client| table.clients.get_mut(&client))
            {
                held.openings -= 1;
            }
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.opened();
        let Some(client) = self.client else { return };
        let mut table = self.seats.table();
        if let Some(held) = table.clients.get_mut(&client) {
            held.connections -= 1;
            if held.connections == 0 {
                table.clients.remove(&client);
            }
        }
    }
}

/// A client has one IPv4 address, or a /64 of IPv6 (RFC 6177): addresses in it cost nothing.
fn one_client(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seats() -> Arc<Seats> {
        Seats::new(&Limits {
            connections_per_client_max: 2,
            openings_max: 2,
            openings_per_client_max: 1,
            ..Limits::default()
        })
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// req: S12
    #[test]
    fn one_client_takes_no_more_than_its_share() {
        let seats = seats();
        let (one, other) = (Some(ip("192.0.2.1")), Some(ip("192.0.2.2")));
        let mut held = vec![
            seats.take(one, false).unwrap(),
            seats.take(Some(ip("::ffff:192.0.2.1")), false).unwrap(),
        ];
        assert_eq!(seats.take(one, false).unwrap_err(), Full::Client);
        let _other = seats.take(other, false).unwrap();
        held.pop();
        held.push(seats.take(one, false).unwrap());
        drop(held);
        assert_eq!(seats.table().clients.len(), 1);
    }

    #[test]
    fn a_network_of_ipv6_is_one_client() {
        let seats = seats();
        let _held = [
            seats.take(Some(ip("2001:db8::1")), false).unwrap(),
            seats.take(Some(ip("2001:db8::2")), false).unwrap(),
        ];
        let third = seats.take(Some(ip("2001:db8::ffff:3")), false);
        assert_eq!(third.unwrap_err(), Full::Client);
        seats.take(Some(ip("2001:db8:0:1::1")), false).unwrap();
    }

    #[test]
    fn openings_are_few_and_end() {
        let seats = seats();
        let clients = ["192.0.2.1", "192.0.2.2", "192.0.2.3"].map(|text| Some(ip(text)));
        let mut first = seats.take(clients[0], true).unwrap();
        assert_eq!(seats.take(clients[0], true).unwrap_err(), Full::Openings);
        let _second = seats.take(clients[1], true).unwrap();
        assert_eq!(seats.take(clients[2], true).unwrap_err(), Full::Openings);
        first.opened();
        let _third = seats.take(clients[2], true).unwrap();
        assert_eq!(seats.table().openings, 2);
    }

    #[test]
    fn behind_a_proxy_the_one_counts_whom_it_names() {
        let seats = seats();
        let client = ip("192.0.2.1");
        let mut first = seats.take(None, true).unwrap();
        let mut second = seats.take(None, true).unwrap();
        first.belongs_to(client).unwrap();
        assert_eq!(second.belongs_to(client), Err(Full::Openings));
        first.opened();
        second.belongs_to(client).unwrap();
        drop((first, second));
        assert_eq!(seats.table().openings, 0);
        assert!(seats.table().clients.is_empty());
    }
}
