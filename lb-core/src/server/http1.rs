//! Connections of HTTP/1, and what is left of them while nothing is asked.
//!
//! hyper keeps buffers of 8 KiB for a connection that has been used once, and most
//! connections wait most of the time. So one that has waited for a while is taken
//! from hyper, and given back with the first bytes of the next request.

use std::{
    future::Future,
    pin::{Pin, pin},
    sync::Arc,
    time::Duration,
};

use bytes::BytesMut;
use hyper::server::conn::http1::{Parts, UpgradeableConnection};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    time::{self, Instant},
};

use super::{
    Closed, HttpService,
    beginning::read,
    connection::{Early, Protocols, Stage, reached},
    service::Closing,
    stream::Stream,
    waits::{Clock, Waits},
};

/// How long a connection has waited that hyper need not keep.
const A_WHILE: Duration = Duration::from_secs(1);

type Served<S> = TowerToHyperService<Closing<S>>;
type Connection<I, S> = UpgradeableConnection<TokioIo<Stream<I>>, Served<S>>;

/// A connection without hyper.
struct Idle<I, S> {
    parts: Parts<TokioIo<Stream<I>>, Served<S>>,
    since: Instant,
}

impl Protocols {
    pub(super) async fn http1<I, S>(&self, mut stream: Stream<I>, service: S) -> Result<(), Early>
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        S: HttpService,
    {
        let head_timeout = self.limits.head_timeout;
        let waits = Arc::clone(stream.waits());
        let mut http1 = self.http1.clone();
        http1.timer(Clock { waits: Arc::clone(&waits), head_timeout });
        let service = Closing::new(service, self.limits.requests, stream.interim().clone());
        let mut service = TowerToHyperService::new(service);
        let mut closing = pin!(reached(self.stage.clone(), Stage::Closing));
        let closed = loop {
            let connection = http1.serve_connection(TokioIo::new(stream), service).with_upgrades();
            // In a box, to be given back.
            let connection = Box::new(connection);
            let idle = until_idle(connection, &waits, head_timeout, closing.as_mut()).await?;
            let Some(Idle { parts, since }) = idle else { return Ok(()) };
            (stream, service) = (parts.io.into_inner(), parts.service);
            waits.go_on(since);
            if parts.read_buf.is_empty() {
                // It has room all the same.
                drop(parts.read_buf);
                let mut start = BytesMut::new();
                tokio::select! {
                    biased;
                    read = read(&mut stream, &mut start) => match read {
                        Ok(true) => {}
                        _ => break None,
                    },
                    () = closing.as_mut() => break None,
                    () = time::sleep_until(since + head_timeout) => break Some(Closed::HeadTimeout),
                }
                stream.unread(start);
            } else {
                // The beginning of a head that came together with the request before.
                stream.unread(parts.read_buf.into());
            }
        };
        // It may have gone.
        let _ = stream.shutdown().await;
        closed.map_or(Ok(()), |closed| Err(Early::because(closed, "no next request came")))
    }
}

/// Serves a connection until it has done nothing but wait for a while, or to its
/// end; from `closing` on to its end.
async fn until_idle<I, S>(
    mut connection: Box<Connection<I, S>>,
    waits: &Waits,
    head_timeout: Duration,
    mut closing: Pin<&mut impl Future<Output = ()>>,
) -> hyper::Result<Option<Idle<I, S>>>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: HttpService,
{
    let mut is_closing = false;
    let a_while = A_WHILE.min(head_timeout);
    // Looks now and then, as setting it for each request would cost each request.
    let mut look = pin!(time::sleep(a_while));
    loop {
        tokio::select! {
            biased;
            served = &mut *connection => return served.map(|()| None),
            () = closing.as_mut(), if !is_closing => {
                is_closing = true;
                Pin::new(&mut *connection).graceful_shutdown();
            }
            () = look.as_mut() => {
                let now = Instant::now();
                let since = waits.since();
                if let Some(since) = since
                    && now >= since + a_while
                    && waits.is_idle()
                    && !is_closing
                {
                    return Ok(connection.into_parts().map(|parts| Idle { parts, since }));
                }
                // It has to be polled when a head is due: its timer wakes nobody.
                let due = since.and_then(|since| {
                    [a_while, head_timeout].map(|time| since + time).into_iter().find(|&at| at > now)
                });
                let next = now + a_while;
                look.as_mut().reset(due.map_or(next, |due| due.min(next)));
            }
        }
    }
}

#[cfg(test)]
mod tests;
