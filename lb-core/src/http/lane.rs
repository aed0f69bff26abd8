use std::{
    io, mem,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::{Mutex as AsyncMutex, Notify};

use super::{client::Client, connection::Connection};
use crate::{
    clock::{self, duration_nanos},
    health::Heard,
    sync::lock,
};

/// What one worker has to do with an upstream, apart from the others, so that
/// they don't contend.
#[derive(Default)]
#[repr(align(128))]
pub(super) struct Lane {
    idle: Mutex<Vec<Connection>>,
    /// Held by who opens a connection that others wait to share: when that last failed,
    /// and why.
    opening: AsyncMutex<Option<(Instant, io::Error)>>,
    /// Requests sent, and those for whose answer's head nobody waits any more.
    sent: AtomicU64,
    settled: AtomicU64,
    /// Those of them that were sent over a connection that was open already, since last
    /// asked.
    reused: AtomicU64,
    /// Heads of answers that have come.
    answers: AtomicU64,
    /// The longest time one took since last asked, in nanoseconds.
    slowest: AtomicU64,
    /// The upstream is cut off, or hangs, or some time has passed.
    pub(super) cut: Notify,
}

/// A connection that has gone unused for this long is closed: what stands in
/// between may have forgotten it.
const IDLE_LIMIT: Duration = Duration::from_secs(60);

/// The same for a request that can't be repeated: servers close what has been
/// idle for a few seconds, and it may be closed while the request is on its way.
const ONCE_IDLE_LIMIT: Duration = Duration::from_secs(1);

/// Idle connections kept for each worker and endpoint.
const IDLE_MAX: usize = 256;

impl Lane {
    /// An idle connection that carries requests of its `owner`, or of anybody, for one
    /// that may be repeated or not. To one that has met with a broken one `since`, a
    /// connection is given only if it was opened later, and thus is shared.
    pub(super) fn take(
        &self,
        owner: Option<&Arc<Client>>,
        repeatable: bool,
        since: Option<Instant>,
    ) -> Option<Connection> {
        if since.is_some() {
            return self.newer(owner, since);
        }
        let now = clock::now();
        let limit = if repeatable { IDLE_LIMIT } else { ONCE_IDLE_LIMIT };
        let mut idle = lock(&self.idle);
        if let Some(owner) = owner {
            return take_of(owner, &mut idle, now, limit);
        }
        loop {
            // The last one is the freshest.
            // One that is shared stays where it is.
            if let Some(shared) = idle.iter_mut().rev().find_map(Connection::share) {
                return Some(shared);
            }
            if idle.last().is_some_and(|last| last.is_shared() && !last.is_closed()) {
                // All have as much as they can carry.
                return None;
            }
            let last = idle.pop_if(|last| last.is_closed() || last.is_fresh(now, limit))?;
            if !last.is_closed() {
                return Some(last);
            }
        }
    }

    /// A connection that carries many requests and was opened after this moment.
    fn newer(&self, owner: Option<&Arc<Client>>, since: Option<Instant>) -> Option<Connection> {
        let mut idle = lock(&self.idle);
        let newer = idle.iter_mut().rev();
        let newer = newer.filter(|shared| shared.is_newer(since) && shared.is_of(owner));
        newer.filter_map(Connection::share).next()
    }

    /// One that carries many requests, opened by `open` unless somebody else does just
    /// then, in whose luck all share that wait for it.
    pub(super) async fn shared(
        &self,
        owner: Option<&Arc<Client>>,
        since: Option<Instant>,
        open: impl Future<Output = io::Result<Connection>>,
    ) -> io::Result<Connection> {
        let began = clock::now();
        let mut failed = self.opening.lock().await;
        if let Some(shared) = self.newer(owner, since) {
            return Ok(shared);
        }
        if let Some((at, error)) = &*failed
            && *at >= began
        {
            return Err(again(error));
        }
        let opened = open.await;
        *failed = opened.as_ref().err().map(|error| (clock::now(), again(error)));
        opened
    }

    /// Keeps a connection that is free again, if it is `wanted`.
    pub(super) fn put(&self, mut connection: Connection, wanted: impl FnOnce() -> bool) {
        // One that is shared is here already.
        if connection.is_closed() || connection.is_shared() {
            return;
        }
        connection.rest();
        let mut idle = lock(&self.idle);
        make_room(&mut idle, &connection);
        // Asked under the lock that closing takes: what is put in after its look
        // would stay, and keep a server waiting that is told to stop.
        if idle.len() < IDLE_MAX && wanted() {
            idle.push(connection);
        }
    }

    /// Keeps a connection for others beside who has opened it, if it can be shared.
    pub(super) fn share(&self, connection: &mut Connection) {
        let mut idle = lock(&self.idle);
        make_room(&mut idle, connection);
        if idle.len() < IDLE_MAX
            && let Some(shared) = connection.share()
        {
            idle.push(shared);
        }
    }

    /// How many connections are idle.
    pub(super) fn idle(&self) -> usize {
        lock(&self.idle).len()
    }

    /// How many requests were sent over a connection that was open already, since the
    /// last call.
    pub(super) fn reused(&self) -> u64 {
        self.reused.swap(0, Ordering::Relaxed)
    }

    pub(super) fn close_idle(&self) {
        drop(mem::take(&mut *lock(&self.idle)));
    }

    pub(super) fn close_stale(&self, now: Instant) {
        lock(&self.idle).retain(|connection| connection.is_fresh(now, IDLE_LIMIT));
    }

    /// A request is sent, and waits for the head of its answer until this is
    /// dropped. The connection may be `reused`.
    pub(super) fn wait(&self, reused: bool) -> Waiting<'_> {
        self.sent.fetch_add(1, Ordering::Relaxed);
        if reused {
            self.reused.fetch_add(1, Ordering::Relaxed);
        }
        Waiting(self)
    }

    /// The head of an answer has come to a request that was begun then.
    pub(super) fn answered(&self, begun: Instant) {
        self.answers.fetch_add(1, Ordering::Relaxed);
        let took = duration_nanos(clock::now().saturating_duration_since(begun));
        if took > self.slowest.load(Ordering::Relaxed) {
            self.slowest.fetch_max(took, Ordering::Relaxed);
        }
    }

    /// Adds what was `heard` here, and gives the longest time an answer took since
    /// the last call.
    pub(super) fn heard(&self, heard: &mut Heard) -> Duration {
        // In this order, lest more have been settled than were sent.
        let settled = self.settled.load(Ordering::Acquire);
        let sent = self.sent.load(Ordering::Relaxed);
        heard.sent += sent;
        heard.waiting += usize::try_from(sent.saturating_sub(settled)).unwrap_or(usize::MAX);
        heard.answers += self.answers.load(Ordering::Relaxed);
        if self.slowest.load(Ordering::Relaxed) == 0 {
            return Duration::ZERO;
        }
        Duration::from_nanos(self.slowest.swap(0, Ordering::Relaxed))
    }
}

/// The same where each client has connections of its own.
fn take_of(
    owner: &Arc<Client>,
    idle: &mut Vec<Connection>,
    now: Instant,
    limit: Duration,
) -> Option<Connection> {
    for at in (0..idle.len()).rev() {
        let connection = &mut idle[at];
        if !connection.is_of(Some(owner)) {
            continue;
        }
        if let Some(shared) = connection.share() {
            return Some(shared);
        }
        if connection.is_closed() {
            idle.remove(at);
        } else if !connection.is_shared() && connection.is_fresh(now, limit) {
            return Some(idle.remove(at));
        }
    }
    None
}

/// Lets the connections go of clients that have gone, if `another` one, that belongs to
/// a client, needs their place.
fn make_room(idle: &mut Vec<Connection>, another: &Connection) {
    if idle.len() >= IDLE_MAX && another.is_owned() {
        idle.retain(|connection| !connection.is_orphaned());
    }
}

/// The same error for somebody else.
fn again(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}

/// One request that waits for the head of its answer.
pub(super) struct Waiting<'a>(&'a Lane);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.settled.fetch_add(1, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpSocket};

    use super::{super::Options, *};
    use crate::registry::Transport;

    fn client() -> Arc<Client> {
        Arc::new(Client::new(None, None))
    }

    async fn open(listener: &TcpListener, owner: &Arc<Client>) -> Connection {
        let address = listener.local_addr().unwrap();
        let limit = Duration::from_secs(20);
        let options = Options { connect_timeout: limit, ..Options::default() };
        let transport = Transport::default();
        Connection::open(address, &transport, Some(owner), &options).await.unwrap()
    }

    #[tokio::test]
    async fn connections_of_a_client_are_for_it_alone_and_go_when_it_has_gone() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let lane = Lane::default();
        let (one, other) = (client(), client());
        for owner in [&one, &other] {
            lane.put(open(&listener, owner).await, || true);
        }
        let taken = lane.take(Some(&one), true, None).unwrap();
        assert!(lane.take(Some(&one), true, None).is_none(), "what is left is another one's");
        lane.put(taken, || true);
        drop(one);
        lane.close_stale(clock::now());
        assert_eq!(lane.idle(), 1);
        assert!(lane.take(Some(&other), true, None).is_some());
    }

    #[tokio::test]
    async fn who_has_gone_makes_room() {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        // All of them wait there.
        let listener = socket.listen(1024).unwrap();
        let lane = Lane::default();
        let (here, gone) = (client(), client());
        for _ in 0..IDLE_MAX {
            lane.put(open(&listener, &gone).await, || true);
        }
        assert_eq!(lane.idle(), IDLE_MAX);
        drop(gone);
        lane.put(open(&listener, &here).await, || true);
        assert_eq!(lane.idle(), 1);
    }
}
