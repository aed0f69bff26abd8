use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use ::http::{Request, Response};
use futures_util::future::Either;
use hyper::{
    body::Incoming,
    client::conn::{TrySendError, http1, http2},
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustix::io::Errno;

use super::{
    Options,
    body::RequestBody,
    client::Client,
    dial::{KEEPALIVE_INTERVAL, dial},
    head,
};
use crate::{clock, registry::Transport};

/// A connection to an endpoint that carries one request at a time, or what is needed
/// of one that carries many.
pub(super) struct Connection {
    sender: Sender,
    secure: bool,
    /// It has carried a request before, so the other side may have closed it
    /// without our having seen that yet.
    pub(super) reused: bool,
    opened: Instant,
    idle_since: Instant,
    /// Who uses it, if it carries many requests.
    users: Option<Arc<()>>,
    /// Whose requests it carries, if not anybody's.
    owner: Option<Weak<Client>>,
}

enum Sender {
    Http1(http1::SendRequest<RequestBody>),
    Http2(http2::SendRequest<RequestBody>),
}

/// How many requests a connection of HTTP/2 carries at once: what servers are to allow
/// at the least (RFC 9113, section 6.5.2). Beyond what one allows they would wait.
const STREAMS: usize = 100;

/// The most that is read of an answer at once, and the longest head of one: clients
/// that take nothing of theirs may be many.
const BUFFER: usize = 64 << 10;

impl Connection {
    /// Opens a connection, for the requests of its `owner` or of anybody, within the
    /// limits of `options`.
    pub(super) async fn open(
        address: SocketAddr,
        transport: &Transport,
        owner: Option<&Arc<Client>>,
        options: &Options,
    ) -> io::Result<Self> {
        let stream =
            TokioIo::new(dial(address, transport, owner.map(|owner| &**owner), options).await?);
        // The errors of a connection reach whoever waits for an answer; there is
        // nobody else to tell.
        let sender = if transport.protocol.is_http2() {
            let (sender, connection) = http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .keep_alive_interval(KEEPALIVE_INTERVAL)
                .handshake(stream)
                .await
                .map_err(io::Error::other)?;
            tokio::spawn(connection);
            Sender::Http2(sender)
        } else {
            let (sender, connection) = http1::Builder::new()
                .max_buf_size(BUFFER)
                .handshake(stream)
                .await
                .map_err(io::Error::other)?;
            tokio::spawn(connection.with_upgrades());
            Sender::Http1(sender)
        };
        let users = matches!(sender, Sender::Http2(_)).then(Arc::default);
        let secure = transport.protocol.is_tls();
        let (owner, opened) = (owner.map(Arc::downgrade), clock::now());
        Ok(Self { sender, secure, reused: false, opened, idle_since: opened, users, owner })
    }

    /// Whether it carries many requests.
    pub(super) fn is_shared(&self) -> bool {
        self.users.is_some()
    }

    /// Whether it carries the requests of this client and of nobody else; or, if none is
    /// named, those of anybody.
    pub(super) fn is_of(&self, client: Option<&Arc<Client>>) -> bool {
        let owner = self.owner.as_ref().map(Weak::as_ptr);
        owner == client.map(Arc::as_ptr)
    }

    /// Whether it carries the requests of one client.
    pub(super) fn is_owned(&self) -> bool {
        self.owner.is_some()
    }

    /// Whether there is nobody left whose requests it may carry.
    pub(super) fn is_orphaned(&self) -> bool {
        self.owner.as_ref().is_some_and(|owner| owner.strong_count() == 0)
    }

    pub(super) fn opened(&self) -> Instant {
        self.opened
    }

    /// Whether it was opened after this moment, if there is one.
    pub(super) fn is_newer(&self, than: Option<Instant>) -> bool {
        than.is_none_or(|than| self.opened > than)
    }

    /// The same connection for somebody else, if it carries many requests and can carry
    /// another one.
    pub(super) fn share(&mut self) -> Option<Self> {
        let (Sender::Http2(sender), Some(users)) = (&self.sender, &self.users) else {
            return None;
        };
        if sender.is_closed() || Arc::strong_count(users) > STREAMS {
            return None;
        }
        self.idle_since = clock::now();
        let (sender, users) = (Sender::Http2(sender.clone()), Some(Arc::clone(users)));
        let (secure, opened, idle_since) = (self.secure, self.opened, self.idle_since);
        let owner = self.owner.clone();
        Some(Self { sender, secure, reused: true, opened, idle_since, users, owner })
    }

    /// Sends a request, before the answer is waited for: nothing has to hold it
    /// meanwhile. An error may give it back, if none of it went out.
    pub(super) fn send(
        &mut self,
        mut request: Request<RequestBody>,
    ) -> impl Future<Output = Result<Response<Incoming>, TrySendError<Request<RequestBody>>>> + use<>
    {
        match &mut self.sender {
            Sender::Http1(sender) => {
                head::to_http1(&mut request);
                Either::Left(sender.try_send_request(request))
            }
            Sender::Http2(sender) => {
                head::to_http2(&mut request, self.secure);
                Either::Right(sender.try_send_request(request))
            }
        }
    }

    /// An answer has been read to its end.
    pub(super) fn rest(&mut self) {
        self.reused = true;
        self.idle_since = clock::now();
    }

    pub(super) fn is_closed(&self) -> bool {
        match &self.sender {
            Sender::Http1(sender) => sender.is_closed(),
            Sender::Http2(sender) => sender.is_closed(),
        }
    }

    /// Whether it is open, and has been unused for less than `limit`, by somebody who is
    /// still there.
    pub(super) fn is_fresh(&self, now: Instant, limit: Duration) -> bool {
        !self.is_closed()
            && !self.is_orphaned()
            && now.saturating_duration_since(self.idle_since) < limit
    }
}

/// Whether a failed connect says something about the endpoint, and not about
/// what this process may open.
pub(super) fn speaks_of_the_endpoint(error: &io::Error) -> bool {
    let ours = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    !Errno::from_io_error(error).is_some_and(|error| ours.contains(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_we_lack_is_not_the_endpoints_fault() {
        for (error, theirs) in [
            (io::Error::from(Errno::CONNREFUSED), true),
            (io::Error::from(Errno::ADDRNOTAVAIL), true),
            (io::Error::new(io::ErrorKind::TimedOut, "no answer"), true),
            (io::Error::from(Errno::MFILE), false),
            (io::Error::from(Errno::NOBUFS), false),
        ] {
            assert_eq!(speaks_of_the_endpoint(&error), theirs, "{error}");
        }
    }

    #[tokio::test]
    async fn it_is_fresh_for_a_while_and_while_it_is_open() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let limit = Duration::from_secs(1);
        let options = Options { connect_timeout: limit, ..Options::default() };
        let transport = Transport::default();
        let mut connection = Connection::open(address, &transport, None, &options).await.unwrap();
        let (accepted, _) = listener.accept().await.unwrap();
        connection.rest();
        let rested = connection.idle_since;
        assert!(connection.is_fresh(rested + Duration::from_millis(999), limit));
        assert!(!connection.is_fresh(rested + limit, limit));
        drop(accepted);
        while !connection.is_closed() {
            tokio::task::yield_now().await;
        }
        assert!(!connection.is_fresh(rested, limit));
    }
}
