//! What hyper leaves to us of HTTP/2: to keep an eye on each stream.

use std::{
    cell::Cell,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, Bytes};
use http::{Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use hyper::{body::Incoming, rt::Executor, server::conn::http2::Builder};
use hyper_util::rt::TokioTimer;
use pin_project_lite::pin_project;
use tokio::{sync::Notify, time};
use tower_service::Service;

use super::{HttpService, Limits};
use crate::{abandon::abandon, clock, patience::Patience};

/// What waits to be sent on one stream: there may be many who take nothing.
const SEND_BUFFER: usize = 64 << 10;

/// What of a body is handed over at once. A client has to take as much within
/// [`Limits::send_timeout`], as what it takes of one piece can't be seen.
const PIECE: usize = 16 << 10;

/// More than a page that is left, or a client that is impatient for once.
const MOST_GIVEN_UP: i64 = 256;

/// The streams of one connection: runs each, and gives up those whose client takes
/// nothing for too long, which resets them and does no harm to the others.
#[derive(Clone)]
pub(super) struct Streams(Arc<Shared>);

struct Shared {
    limits: Arc<Limits>,
    open: AtomicUsize,
    /// When the last one ended, as [`clock::nanos`].
    ended: AtomicU64,
    requests: AtomicU64,
    /// Requests that the client has given up before there was an answer, less those that
    /// were answered. Each costs us and a server about as much as one that is answered,
    /// and the client next to nothing (CVE-2023-44487).
    given_up: AtomicI64,
    /// They are too many.
    tiresome: Notify,
    /// There have been as many requests as there may be.
    spent: Notify,
}

impl Streams {
    pub(super) fn new(limits: &Arc<Limits>) -> Self {
        Self(Arc::new(Shared {
            limits: Arc::clone(limits),
            open: AtomicUsize::new(0),
            ended: AtomicU64::new(clock::nanos(clock::now())),
            requests: AtomicU64::new(0),
            given_up: AtomicI64::new(0),
            tiresome: Notify::new(),
            spent: Notify::new(),
        }))
    }

    /// What serves the connection.
    pub(super) fn builder(&self) -> Builder<Self> {
        let limits = &self.0.limits;
        let mut builder = Builder::new(self.clone());
        builder
            .timer(TokioTimer::new())
            .max_header_list_size(u32::try_from(limits.head_size).unwrap_or(u32::MAX))
            .max_concurrent_streams(limits.streams)
            .max_send_buf_size(SEND_BUFFER)
            // WebSockets (RFC 8441).
            .enable_connect_protocol()
            .keep_alive_interval(limits.head_timeout);
        builder
    }

    /// Ends when there have been as many requests as there may be, or no stream for as
    /// long as a next request may take to come.
    pub(super) async fn are_enough(&self) {
        tokio::select! {
            () = self.0.spent.notified() => {}
            () = self.are_none_for(self.0.limits.head_timeout) => {}
        }
    }

    /// Ends when nothing that is left of them is worth waiting for: what has been
    /// answered is with the client, or isn't taken.
    pub(super) async fn are_over(&self) {
        self.are_none_for(self.0.limits.send_timeout).await;
    }

    /// Ends when many were given up, and more than were answered.
    pub(super) async fn are_given_up(&self) {
        self.0.tiresome.notified().await;
    }

    fn ended(&self, is_answered: bool) {
        let given_up = &self.0.given_up;
        if is_answered {
            // Who has been answered often may not give up as many.
            if given_up.load(Ordering::Relaxed) > -MOST_GIVEN_UP {
                given_up.fetch_sub(1, Ordering::Relaxed);
            }
        } else if given_up.fetch_add(1, Ordering::Relaxed) >= MOST_GIVEN_UP {
            self.0.tiresome.notify_one();
        }
    }

    async fn are_none_for(&self, limit: Duration) {
        let limit_nanos = clock::duration_nanos(limit);
        let mut wait = limit;
        while !wait.is_zero() {
            time::sleep(wait).await;
            wait = limit;
            if self.0.open.load(Ordering::Relaxed) == 0 {
                let now = clock::nanos(clock::now());
                let idle = now.saturating_sub(self.0.ended.load(Ordering::Relaxed));
                wait = Duration::from_nanos(limit_nanos.saturating_sub(idle));
            }
        }
    }
}

impl<F> Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        self.0.open.fetch_add(1, Ordering::Relaxed);
        tokio::spawn(Stream {
            patience: Patience::new(self.0.limits.send_timeout),
            stream: Some(stream),
            is_held: false,
            _open: Open(Arc::clone(&self.0)),
        });
    }
}

/// Counts a stream as open.
struct Open(Arc<Shared>);

impl Drop for Open {
    fn drop(&mut self) {
        if self.0.open.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.0.ended.store(clock::nanos(clock::now()), Ordering::Relaxed);
        }
    }
}

thread_local! {
    /// Of the stream that is being polled: whether its body has handed something over
    /// that hyper holds until the client takes it, if it was asked.
    static HANDED_OVER: Cell<Option<bool>> = const { Cell::new(None) };
}

pin_project! {
    /// One stream from its request to the last of its answer that hyper has to be given.
    struct Stream<F> {
        #[pin]
        stream: Option<F>,
        // It waits for the client.
        is_held: bool,
        patience: Patience,
        _open: Open,
    }
}

impl<F: Future<Output = ()>> Future for Stream<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        let Some(stream) = this.stream.as_mut().as_pin_mut() else { return Poll::Ready(()) };
        HANDED_OVER.set(None);
        if stream.poll(cx).is_ready() {
            return Poll::Ready(());
        }
        if let Some(handed_over) = HANDED_OVER.take() {
            *this.is_held = handed_over;
            this.patience.renew();
        }
        if *this.is_held {
            ready!(this.patience.poll_end(cx));
            tracing::debug!(limit = ?this.patience.limit, "a client takes nothing of a stream");
            abandon(|| this.stream.set(None));
            return Poll::Ready(());
        }
        Poll::Pending
    }
}

/// A service for the requests of one connection.
#[derive(Clone)]
pub(super) struct Limited<S> {
    service: S,
    streams: Streams,
}

impl<S> Limited<S> {
    pub(super) fn new(service: S, streams: Streams) -> Self {
        Self { service, streams }
    }
}

impl<S: HttpService> Service<Request<Incoming>> for Limited<S> {
    type Response = Response<Pieces<S::Body>>;
    type Error = S::Failure;
    type Future = Answer<S::Answer>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Failure>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let shared = &self.streams.0;
        let requests = shared.requests.fetch_add(1, Ordering::Relaxed) + 1;
        if shared.limits.requests == Some(requests) {
            shared.spent.notify_one();
        }
        let is_too_large = request.headers().len() > shared.limits.headers;
        Answer {
            answer: (!is_too_large).then(|| self.service.call(request)),
            unanswered: Some(self.streams.clone()),
        }
    }
}

pin_project! {
    pub(super) struct Answer<F> {
        // `None` if there are too many fields in the request.
        #[pin]
        answer: Option<F>,
        // Until there is an answer.
        unanswered: Option<Streams>,
    }

    impl<F> PinnedDrop for Answer<F> {
        fn drop(this: Pin<&mut Self>) {
            if let Some(streams) = this.project().unanswered.take() {
                streams.ended(false);
            }
        }
    }
}

impl<F, B, E> Future for Answer<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<Pieces<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let answer = this.answer.as_pin_mut().map(|answer| answer.poll(cx));
        if answer.as_ref().is_none_or(Poll::is_ready)
            && let Some(streams) = this.unanswered.take()
        {
            streams.ended(true);
        }
        let Some(answer) = answer else {
            let mut response = Response::new(Pieces { body: None, piece: None });
            *response.status_mut() = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
            return Poll::Ready(Ok(response));
        };
        let answer = ready!(answer)?;
        Poll::Ready(Ok(answer.map(|body| Pieces { body: Some(body), piece: None })))
    }
}

pin_project! {
    /// A body in pieces of which each has to be taken in time.
    pub(super) struct Pieces<B> {
        #[pin]
        body: Option<B>,
        // What has come and is to be handed over next.
        piece: Option<Bytes>,
    }
}

impl<B: Body> Body for Pieces<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let mut this = self.project();
        HANDED_OVER.set(Some(false));
        let mut data = match this.piece.take() {
            Some(rest) => rest,
            None => {
                let Some(body) = this.body.as_mut().as_pin_mut() else { return Poll::Ready(None) };
                let Some(frame) = ready!(body.poll_frame(cx)?) else { return Poll::Ready(None) };
                // Costs nothing where it is `Bytes` already.
                let frame = frame.map_data(|mut data| data.copy_to_bytes(data.remaining()));
                match frame.into_data() {
                    Ok(data) => data,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                }
            }
        };
        if data.len() > PIECE {
            *this.piece = Some(data.split_off(PIECE));
        }
        HANDED_OVER.set(Some(true));
        Poll::Ready(Some(Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        self.piece.is_none() && self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        // Asked for before anything has been read.
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}
