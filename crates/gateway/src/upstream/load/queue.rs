//! Calls that wait for a place at a backend that has as many calls as it may: a short queue, fair among clients.
//!
//! Clients take turns, and within one it is first come, first served. When the queue is full, the client that has most in
//! it gives up its latest place to one that has fewer: nobody keeps the others out. Who ends a call hands its place over, so
//! that no newcomer comes between. It has a lock, which only who finds the backend full, or leaves while somebody waits, takes.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::Counted;

/// The queue of one backend.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    waiting: AtomicU32,
    turns: Mutex<Turns>,
}

#[derive(Debug, Default)]
struct Turns {
    /// Who is next stands first.
    clients: VecDeque<Client>,
    tickets: u64,
}

#[derive(Debug)]
struct Client {
    key: u128,
    calls: VecDeque<(u64, oneshot::Sender<Counted>)>,
}

/// A place in the queue, until it is dropped.
#[derive(Debug)]
pub(crate) struct Ticket<'q> {
    queue: &'q Queue,
    key: u128,
    number: u64,
    admitted: oneshot::Receiver<Counted>,
}

impl Ticket<'_> {
    /// Brings the place at the backend; ends when somebody else got the place in the queue.
    pub(crate) fn admitted(&mut self) -> &mut oneshot::Receiver<Counted> {
        &mut self.admitted
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        self.queue.leave(self);
    }
}

impl Queue {
    /// How many wait.
    pub(crate) fn waiting(&self) -> u32 {
        self.waiting.load(Ordering::SeqCst)
    }

    /// A place for a call of a client; `None` = there are `max`, and the client has no fewer than the others.
    pub(crate) fn enter(&self, key: u128, max: u32) -> Option<Ticket<'_>> {
        let mut turns = self.turns();
        if turns.len() >= max as usize && !turns.make_place(key) {
            return None;
        }
        let (sender, admitted) = oneshot::channel();
        turns.tickets += 1;
        let number = turns.tickets;
        turns.put(key, (number, sender));
        self.told(&turns);
        Some(Ticket {
            queue: self,
            key,
            number,
            admitted,
        })
    }

    /// A call waits no more.
    fn leave(&self, ticket: &Ticket<'_>) {
        let mut turns = self.turns();
        if let Some(client) = turns
            .clients
            .iter_mut()
            .find(|client| client.key == ticket.key)
        {
            client.calls.retain(|(number, _)| *number != ticket.number);
        }
        turns.clients.retain(|client| !client.calls.is_empty());
        self.told(&turns);
    }

    /// Whose turn it is.
    pub(crate) fn next(&self) -> Option<oneshot::Sender<Counted>> {
        let mut turns = self.turns();
        let mut client = turns.clients.pop_front()?;
        let next = client.calls.pop_front();
        if !client.calls.is_empty() {
            turns.clients.push_back(client);
        }
        self.told(&turns);
        next.map(|(_, sender)| sender)
    }

    fn told(&self, turns: &Turns) {
        let waiting = u32::try_from(turns.len()).unwrap_or(u32::MAX);
        self.waiting.store(waiting, Ordering::SeqCst);
    }

    fn turns(&self) -> MutexGuard<'_, Turns> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turns {
    fn len(&self) -> usize {
        self.clients.iter().map(|client| client.calls.len()).sum()
    }

    fn put(&mut self, key: u128, call: (u64, oneshot::Sender<Counted>)) {
        match self.clients.iter_mut().find(|client| client.key == key) {
            Some(client) => client.calls.push_back(call),
            None => self.clients.push_back(Client {
                key,
                calls: VecDeque::from([call]),
            }),
        }
    }

    /// Takes the latest place of the client that has most, if that is two more than this one has: the sender is dropped, which
    /// whoever waits hears.
    fn make_place(&mut self, key: u128) -> bool {
        let own = self.clients.iter().find(|client| client.key == key);
        let own = own.map_or(0, |client| client.calls.len());
        let most = self
            .clients
            .iter_mut()
            .max_by_key(|client| client.calls.len());
        most.filter(|client| client.calls.len() > own + 1)
            .is_some_and(|client| client.calls.pop_back().is_some())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::Load;
    use super::*;

    /// Whose turn it is, by what each hears.
    fn turn(queue: &Queue, tickets: &mut [(&'static str, Option<Ticket<'_>>)]) -> &'static str {
        let next = queue.next().expect("somebody waits");
        let load = Arc::new(Load::default());
        let place = load.call(None).expect("there is room");
        next.send(place).expect("whoever waits is there");
        let heard = |(_, ticket): &mut (&str, Option<Ticket<'_>>)| {
            let ticket = ticket.as_mut();
            ticket.is_some_and(|ticket| ticket.admitted().try_recv().is_ok())
        };
        let at = tickets.iter_mut().position(heard).expect("one heard it");
        tickets[at].1 = None;
        tickets[at].0
    }

    #[test]
    fn clients_take_turns_and_each_keeps_its_order() {
        let queue = Queue::default();
        let mut tickets: Vec<_> = [
            ("a1", 1),
            ("a2", 1),
            ("a3", 1),
            ("b1", 2),
            ("c1", 3),
            ("b2", 2),
        ]
        .into_iter()
        .map(|(name, key)| (name, queue.enter(key, 10)))
        .collect();
        assert_eq!(queue.waiting(), 6);
        let turns: Vec<_> = (0..6).map(|_| turn(&queue, &mut tickets)).collect();
        assert_eq!(turns, ["a1", "b1", "c1", "a2", "b2", "a3"]);
        assert_eq!(queue.waiting(), 0);
        assert!(queue.next().is_none());
    }

    #[test]
    fn a_full_queue_takes_the_latest_place_of_who_has_most() {
        let queue = Queue::default();
        let mut mine: Vec<_> = (0..4).map(|_| queue.enter(1, 4).unwrap()).collect();
        assert!(queue.enter(1, 4).is_none(), "one's own places are enough");
        let first = queue.enter(2, 4).unwrap();
        let second = queue.enter(2, 4).unwrap();
        assert!(queue.enter(2, 4).is_none(), "two each");
        assert_eq!(queue.waiting(), 4);
        let lost = mine.iter_mut().map(|ticket| {
            ticket
                .admitted()
                .try_recv()
                .is_err_and(|error| error == oneshot::error::TryRecvError::Closed)
        });
        assert_eq!(lost.collect::<Vec<_>>(), [false, false, true, true]);
        drop((first, second));
        assert_eq!(queue.waiting(), 2);
        mine.clear();
        assert_eq!(queue.waiting(), 0);
    }
}
