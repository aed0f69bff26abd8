use std::{
    collections::HashMap,
    fmt,
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use tokio::sync::{Notify, mpsc};

use super::{Closed, Limits, closed::Counts};
use crate::{
    overload::{Level, Pressure},
    sync::lock,
};

/// The open connections of all workers.
#[derive(Debug, Default)]
pub(super) struct Open {
    count: AtomicUsize,
    /// Those there have been, with those that are open.
    accepted: AtomicU64,
    /// Told each time the last one has closed.
    none: Notify,
    /// Those of each client, if that is limited.
    of_clients: Mutex<HashMap<IpAddr, usize>>,
    pressure: Pressure,
    closed: Counts,
}

impl Open {
    pub(super) fn new(pressure: Pressure) -> Self {
        Self { pressure, ..Self::default() }
    }

    /// Ends when no connection is open, as of some moment after the call.
    pub(super) async fn none(&self) {
        loop {
            let closed = self.none.notified();
            if self.count.load(Ordering::Relaxed) == 0 {
                return;
            }
            closed.await;
        }
    }

    /// A connection was closed by us, for this reason.
    pub(super) fn closed(&self, closed: Closed) {
        self.closed.count(closed);
    }

    /// Counts a connection, unless it can't be served.
    pub(super) fn admit(
        self: &Arc<Self>,
        limits: &Limits,
        alive: &mpsc::Sender<()>,
    ) -> Result<Guard, Closed> {
        self.accepted.fetch_add(1, Ordering::Relaxed);
        if self.pressure.level() == Level::Critical {
            return Err(Closed::Overload);
        }
        let before = self.count.fetch_add(1, Ordering::Relaxed);
        // Uncounts itself where it is dropped.
        let guard = Guard { open: Arc::clone(self), client: None, _alive: alive.clone() };
        if before < limits.connections { Ok(guard) } else { Err(Closed::TooMany) }
    }
}

/// Whoever has an IPv6 address has a network of them.
fn network(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).into(),
        v4 => v4,
    }
}

/// Keeps a connection counted as open.
#[derive(Debug)]
pub struct Guard {
    open: Arc<Open>,
    /// Whose it is, if that is counted.
    client: Option<IpAddr>,
    /// The worker waits until all of these are gone.
    _alive: mpsc::Sender<()>,
}

impl Guard {
    /// Counts the connection as one of `client`, unless that one has too many already.
    pub(super) fn is_of(&mut self, client: IpAddr, limits: &Limits) -> bool {
        let Some(most) = limits.connections_per_client else { return true };
        let client = network(client);
        let mut clients = lock(&self.open.of_clients);
        let open = clients.entry(client).or_default();
        let has_room = *open < most;
        if has_room {
            *open += 1;
            self.client = Some(client);
        }
        has_room
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(client) = self.client {
            let mut clients = lock(&self.open.of_clients);
            if let Some(open) = clients.get_mut(&client) {
                *open -= 1;
                if *open == 0 {
                    clients.remove(&client);
                }
            }
        }
        if self.open.count.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.open.none.notify_waiters();
        }
    }
}

/// The connections of clients, in numbers.
#[derive(Clone)]
pub struct Connections(pub(super) Arc<Open>);

impl Connections {
    /// How many are open now.
    pub fn open(&self) -> usize {
        self.0.count.load(Ordering::Relaxed)
    }

    /// How many were accepted so far, those among them that were not served.
    pub fn accepted(&self) -> u64 {
        self.0.accepted.load(Ordering::Relaxed)
    }

    /// How many were closed so far for this reason, or not served.
    pub fn closed(&self, closed: Closed) -> u64 {
        self.0.closed.of(closed)
    }
}

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Connections").field(&self.open()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admit(open: &Arc<Open>, client: &str, limits: &Limits) -> Option<Guard> {
        let guard = open.admit(limits, &mpsc::channel(1).0).ok();
        guard.and_then(|mut guard| guard.is_of(client.parse().unwrap(), limits).then_some(guard))
    }

    #[test]
    fn there_are_no_more_than_there_may_be() {
        let open = Arc::<Open>::default();
        let limits = Limits { connections: 2, ..Limits::default() };
        let first = admit(&open, "10.0.0.1", &limits).unwrap();
        let _second = admit(&open, "10.0.0.1", &limits).unwrap();
        assert!(admit(&open, "10.0.0.2", &limits).is_none());
        drop(first);
        assert!(admit(&open, "10.0.0.2", &limits).is_some());
        let connections = Connections(open);
        assert_eq!((connections.open(), connections.accepted()), (1, 4));
    }

    #[test]
    fn nor_of_one_client() {
        let open = Arc::<Open>::default();
        let limits = Limits { connections_per_client: Some(1), ..Limits::default() };
        let first = admit(&open, "10.0.0.1", &limits).unwrap();
        assert!(admit(&open, "::ffff:10.0.0.1", &limits).is_none(), "that is the same one");
        let _other = admit(&open, "10.0.0.2", &limits).unwrap();
        let _v6 = admit(&open, "2001:db8::1", &limits).unwrap();
        assert!(admit(&open, "2001:db8::ffff:1", &limits).is_none());
        let _network = admit(&open, "2001:db8:0:1::1", &limits).unwrap();
        drop(first);
        assert!(admit(&open, "10.0.0.1", &limits).is_some());
        assert_eq!(lock(&open.of_clients).len(), 3, "who has none is forgotten");
    }
}
