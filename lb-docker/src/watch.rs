//! The reader of events.
//!
//! An engine whose events are read slowly first becomes slow itself, for
//! everybody, and then drops events without a word. So they are read by a task
//! that does nothing else, into a queue without a bound.

use std::{
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::StreamExt;
use tokio::{
    sync::{Notify, mpsc},
    task::JoinHandle,
    time::timeout,
};

use crate::{
    engine::{Engine, EngineError},
    event::Event,
};

/// An engine that doesn't confirm a subscription in this time has hung.
const SUBSCRIBE_TIMEOUT: Duration = Duration::from_secs(5);

/// The events since it was made.
pub(crate) struct Watch {
    events: mpsc::UnboundedReceiver<Result<Event, EngineError>>,
    task: JoinHandle<()>,
}

impl Watch {
    /// Subscribes, and returns once no event can be missed any more.
    pub(crate) async fn subscribe(engine: &Engine) -> Result<Self, EngineError> {
        let subscribed = Arc::new(Notify::new());
        let stream = engine.events(Arc::clone(&subscribed))?;
        let (sender, events) = mpsc::unbounded_channel();
        let task = tokio::spawn(async move {
            let mut stream = pin!(stream);
            while let Some(event) = stream.next().await {
                let event =
                    event.map(|(what, stamped)| Event { at: Instant::now(), stamped, what });
                let last = event.is_err();
                if sender.send(event).is_err() || last {
                    return;
                }
            }
            let _ = sender.send(Err(EngineError::Ended));
        });
        let mut watch = Self { events, task };
        tokio::select! {
            // The first thing that comes before the confirmation is an error.
            biased;
            () = subscribed.notified() => Ok(watch),
            refused = timeout(SUBSCRIBE_TIMEOUT, watch.events.recv()) => Err(match refused {
                Ok(Some(Err(error))) => error,
                Ok(Some(Ok(_)) | None) => EngineError::Ended,
                Err(_) => EngineError::Silent { what: "subscribe to events", after: SUBSCRIBE_TIMEOUT },
            }),
        }
    }

    /// The next event; an error is the last.
    pub(crate) async fn next(&mut self) -> Result<Event, EngineError> {
        self.events.recv().await.unwrap_or(Err(EngineError::Ended))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}
