use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::body::Incoming;
use pin_project_lite::pin_project;

use super::{
    error::Truncation,
    exchange::Exchange,
    expectation::{Expectation, Gate},
    progress::Progress,
    replay::Replay,
};
use crate::{
    abandon::is_abandoned,
    overload::{Level, Pressure},
    patience::Patience,
};

pub(super) type BoxError = Box<dyn std::error::Error + Send + Sync>;

pin_project! {
    /// The body of a request on its way to an endpoint.
    ///
    /// What a hyper server received is passed on as it is; any other body is
    /// boxed by [`new`](Self::new).
    pub struct RequestBody {
        #[pin]
        inner: RequestInner,
        gate: Option<Box<Gate>>,
        meter: Option<Meter>,
    }
}

/// What is left to a body.
struct Meter {
    bytes: u64,
    patience: Patience,
    progress: Arc<Progress>,
    pressure: Pressure,
}

/// Why a body that could be read isn't.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stopped {
    TooLarge = 1,
    TooSlow,
    /// What it takes up is needed.
    Overload,
}

impl Stopped {
    pub(super) const ALL: [Self; 3] = [Self::TooLarge, Self::TooSlow, Self::Overload];
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLarge => "the body is longer than it may be",
            Self::TooSlow => "the rest of the body didn't come in time",
            Self::Overload => "memory is about to run out",
        })
    }
}

impl std::error::Error for Stopped {}

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
        Self { inner: RequestInner::Boxed { body }, gate: None, meter: None }
    }

    pub(super) fn replay(body: Replay) -> Self {
        Self { inner: RequestInner::Replay { body }, gate: None, meter: None }
    }

    /// No body.
    pub fn empty() -> Self {
        Self { inner: RequestInner::Empty, gate: None, meter: None }
    }

    /// The body, to be read once this is met.
    pub(super) fn once_met(mut self, expectation: Arc<Expectation>) -> Self {
        self.gate = Some(Box::new(Gate::new(expectation)));
        self
    }

    /// The body, if it ends within so many bytes, and each piece of it comes in time;
    /// and how far it has come, if there is one.
    pub(super) fn metered(
        mut self,
        bytes: Option<u64>,
        timeout: Duration,
        pressure: &Pressure,
    ) -> Result<(Self, Option<Arc<Progress>>), Stopped> {
        if self.is_end_stream() {
            return Ok((self, None));
        }
        let bytes = bytes.unwrap_or(u64::MAX);
        if self.size_hint().lower() > bytes {
            return Err(Stopped::TooLarge);
        }
        let progress = Arc::<Progress>::default();
        let patience = Patience::new(timeout);
        let (meters, pressure) = (Arc::clone(&progress), pressure.clone());
        self.meter = Some(Meter { bytes, patience, progress: meters, pressure });
        Ok((self, Some(progress)))
    }
}

impl From<Incoming> for RequestBody {
    fn from(body: Incoming) -> Self {
        Self { inner: RequestInner::Incoming { body }, gate: None, meter: None }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.project();
        if let Some(meter) = this.meter
            && meter.pressure.level() == Level::Critical
        {
            // It may be kept for a repeat, and grow.
            meter.progress.stops(Stopped::Overload);
            return Poll::Ready(Some(Err(Stopped::Overload.into())));
        }
        if let Some(gate) = this.gate {
            if let Err(error) = ready!(gate.poll_open(cx)) {
                return Poll::Ready(Some(Err(error)));
            }
            *this.gate = None;
        }
        let frame = match this.inner.project() {
            RequestInnerProj::Empty => Poll::Ready(None),
            RequestInnerProj::Incoming { body } => {
                body.poll_frame(cx).map(|frame| frame.map(|frame| frame.map_err(Into::into)))
            }
            RequestInnerProj::Replay { body } => body.poll_frame(cx),
            RequestInnerProj::Boxed { body } => body.poll_frame(cx),
        };
        let Some(meter) = this.meter else { return frame };
        if frame.is_pending() {
            meter.progress.awaits();
            ready!(meter.patience.poll_end(cx));
            meter.progress.stops(Stopped::TooSlow);
            return Poll::Ready(Some(Err(Stopped::TooSlow.into())));
        }
        meter.patience.renew();
        let length = match &frame {
            Poll::Ready(Some(Ok(frame))) => frame.data_ref().map_or(0, Bytes::len),
            _ => 0,
        };
        meter.progress.moves(length);
        if length > 0 {
            match meter.bytes.checked_sub(length as u64) {
                Some(left) => meter.bytes = left,
                None => {
                    meter.progress.stops(Stopped::TooLarge);
                    return Poll::Ready(Some(Err(Stopped::TooLarge.into())));
                }
            }
        }
        frame
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
        patience: Patience,
    }

    impl PinnedDrop for ResponseBody {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            // A body of known length is dropped after its last byte without
            // being asked for another.
            let complete = this.inner.is_end_stream();
            if let Some(exchange) = this.exchange {
                if is_abandoned() {
                    exchange.was_left("client_timeout");
                }
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
    /// What an endpoint sends, as long as each piece of it comes in time.
    pub(super) fn upstream(body: Incoming, exchange: Exchange, timeout: Duration) -> Self {
        let patience = Patience::new(timeout);
        Self { inner: ResponseInner::Upstream { body }, exchange: Some(exchange), patience }
    }

    pub(super) fn local(body: Bytes, exchange: Exchange) -> Self {
        let body = Full::new(body);
        // It is all there.
        let patience = Patience::new(Duration::MAX);
        Self { inner: ResponseInner::Local { body }, exchange: Some(exchange), patience }
    }

    /// No body; the exchange goes on elsewhere.
    pub(super) fn empty() -> Self {
        let patience = Patience::new(Duration::MAX);
        Self { inner: ResponseInner::Local { body: Full::default() }, exchange: None, patience }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = self.project();
        let frame = match this.inner.project() {
            ResponseInnerProj::Upstream { body } => match body.poll_frame(cx) {
                Poll::Ready(frame) => {
                    this.patience.renew();
                    frame.map(|frame| frame.map_err(|error| (error.into(), Truncation::Reset)))
                }
                Poll::Pending => {
                    ready!(this.patience.poll_end(cx));
                    let error = format!("nothing more came for {:?}", this.patience.limit);
                    Some(Err((error.into(), Truncation::Idle)))
                }
            },
            ResponseInnerProj::Local { body } => {
                ready!(body.poll_frame(cx)).map(|frame| frame.map_err(|never| match never {}))
            }
        };
        if let Some(exchange) = this.exchange {
            match &frame {
                Some(Ok(frame)) => exchange.sent(frame.data_ref().map_or(0, Bytes::len)),
                Some(Err((_, why))) => exchange.broke_off(*why),
                None => exchange.finish(true),
            }
        }
        Poll::Ready(frame.map(|frame| frame.map_err(|(error, _): (BoxError, _)| error)))
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
