use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::body::Incoming;
use pin_project_lite::pin_project;

use super::{exchange::Exchange, replay::Replay};

pub(super) type BoxError = Box<dyn std::error::Error + Send + Sync>;

pin_project! {
    /// The body of a request on its way to an endpoint.
    ///
    /// What a hyper server received is passed on as it is; any other body is
    /// boxed by [`new`](Self::new).
    pub struct RequestBody {
        #[pin]
        inner: RequestInner,
    }
}

pin_project! {
    #[project = RequestInnerProj]
    enum RequestInner {
        Empty,
        Incoming { #[pin] body: Incoming },
        Replay { #[pin] body: Replay },
        Boxed { #[pin] body: UnsyncBoxBody<Bytes, BoxError> },
    }
}

impl RequestBody {
    /// A body of any kind.
    pub fn new<B>(body: B) -> Self
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let body = UnsyncBoxBody::new(body.map_err(Into::into));
        Self { inner: RequestInner::Boxed { body } }
    }

    pub(super) fn replay(body: Replay) -> Self {
        Self { inner: RequestInner::Replay { body } }
    }

    /// No body.
    pub fn empty() -> Self {
        Self { inner: RequestInner::Empty }
    }
}

impl From<Incoming> for RequestBody {
    fn from(body: Incoming) -> Self {
        Self { inner: RequestInner::Incoming { body } }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.project().inner.project() {
            RequestInnerProj::Empty => Poll::Ready(None),
            RequestInnerProj::Incoming { body } => {
                body.poll_frame(cx).map(|frame| frame.map(|frame| frame.map_err(Into::into)))
            }
            RequestInnerProj::Replay { body } => body.poll_frame(cx),
            RequestInnerProj::Boxed { body } => body.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.inner {
            RequestInner::Empty => true,
            RequestInner::Incoming { body } => body.is_end_stream(),
            RequestInner::Replay { body } => body.is_end_stream(),
            RequestInner::Boxed { body } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inner {
            RequestInner::Empty => SizeHint::with_exact(0),
            RequestInner::Incoming { body } => body.size_hint(),
            RequestInner::Replay { body } => body.size_hint(),
            RequestInner::Boxed { body } => body.size_hint(),
        }
    }
}

impl fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestBody").finish_non_exhaustive()
    }
}

pin_project! {
    /// The body of an answer on its way to the client.
    ///
    /// The exchange it belongs to ends with its last byte, or when it is
    /// dropped before.
    pub struct ResponseBody {
        #[pin]
        inner: ResponseInner,
        exchange: Option<Exchange>,
    }

    impl PinnedDrop for ResponseBody {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            // A body of known length is dropped after its last byte without
            // being asked for another.
            let complete = this.inner.is_end_stream();
            if let Some(exchange) = this.exchange {
                exchange.finish(complete);
            }
        }
    }
}

pin_project! {
    #[project = ResponseInnerProj]
    pub(super) enum ResponseInner {
        Upstream { #[pin] body: Incoming },
        Local { #[pin] body: Full<Bytes> },
    }
}

impl ResponseInner {
    fn is_end_stream(&self) -> bool {
        match self {
            Self::Upstream { body } => body.is_end_stream(),
            Self::Local { body } => body.is_end_stream(),
        }
    }
}

impl ResponseBody {
    pub(super) fn upstream(body: Incoming, exchange: Exchange) -> Self {
        Self { inner: ResponseInner::Upstream { body }, exchange: Some(exchange) }
    }

    pub(super) fn local(body: Bytes, exchange: Exchange) -> Self {
        Self { inner: ResponseInner::Local { body: Full::new(body) }, exchange: Some(exchange) }
    }

    /// No body; the exchange goes on elsewhere.
    pub(super) fn empty() -> Self {
        Self { inner: ResponseInner::Local { body: Full::default() }, exchange: None }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = self.project();
        let frame = match this.inner.project() {
            ResponseInnerProj::Upstream { body } => ready!(body.poll_frame(cx)),
            ResponseInnerProj::Local { body } => {
                ready!(body.poll_frame(cx)).map(|frame| frame.map_err(|never| match never {}))
            }
        };
        if let Some(exchange) = this.exchange {
            match &frame {
                Some(Ok(frame)) => exchange.sent(frame.data_ref().map_or(0, Bytes::len)),
                Some(Err(_)) => exchange.broke_off(),
                None => exchange.finish(true),
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inner {
            ResponseInner::Upstream { body } => body.size_hint(),
            ResponseInner::Local { body } => body.size_hint(),
        }
    }
}

impl fmt::Debug for ResponseBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseBody").finish_non_exhaustive()
    }
}
