use std::{
    collections::VecDeque,
    convert::Infallible,
    error, fmt, future,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use tokio::time;
use tower_service::Service;

/// An endpoint that does as it is told, for requests of any type. Clones are the
/// same endpoint.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use lb_core::testing::{Scripted, Step};
/// use tower::ServiceExt;
///
/// let endpoint = Scripted::new("hello");
/// endpoint.once(Step::Fail("out of memory"));
/// assert!(endpoint.clone().oneshot(()).await.is_err());
/// assert_eq!(endpoint.clone().oneshot(()).await.unwrap(), "hello");
/// assert_eq!(endpoint.calls(), 2);
/// # }
/// ```
#[derive(Clone)]
pub struct Scripted<R>(Arc<State<R>>);

struct State<R> {
    script: Mutex<Script<R>>,
    calls: AtomicUsize,
    under_way: AtomicUsize,
}

struct Script<R> {
    next: VecDeque<Step<R>>,
    always: Step<R>,
}

/// What a [`Scripted`] endpoint does with one request.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Step<R> {
    /// Answers at once.
    Answer(R),
    /// Fails at once, for the reason given.
    Fail(&'static str),
    /// Answers after a while.
    AnswerAfter(Duration, R),
    /// Fails after a while.
    FailAfter(Duration, &'static str),
    /// Never says anything.
    Hang,
}

/// The error of a [`Scripted`] endpoint that was told to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failed(pub &'static str);

impl<R: Clone> Scripted<R> {
    /// One that always answers at once.
    pub fn new(answer: R) -> Self {
        Self::always(Step::Answer(answer))
    }

    /// One that does the same with every request.
    pub fn always(step: Step<R>) -> Self {
        let script = Mutex::new(Script { next: VecDeque::new(), always: step });
        Self(Arc::new(State { script, calls: AtomicUsize::new(0), under_way: AtomicUsize::new(0) }))
    }

    /// Does this once, after what it has been told before.
    pub fn once(&self, step: Step<R>) {
        self.script().next.push_back(step);
    }

    /// Does this from now on, once what it has been told to do once is done.
    pub fn from_now_on(&self, step: Step<R>) {
        self.script().always = step;
    }

    /// The requests it has got so far.
    pub fn calls(&self) -> usize {
        self.0.calls.load(Ordering::Relaxed)
    }

    /// The requests it has neither answered nor seen cancelled.
    pub fn under_way(&self) -> usize {
        self.0.under_way.load(Ordering::Relaxed)
    }

    fn script(&self) -> MutexGuard<'_, Script<R>> {
        self.0.script.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<R, Req> Service<Req> for Scripted<R>
where
    R: Clone + Send + 'static,
{
    type Response = R;
    type Error = Failed;
    type Future = Pin<Box<dyn Future<Output = Result<R, Failed>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failed>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Req) -> Self::Future {
        let step = {
            let mut script = self.script();
            script.next.pop_front().unwrap_or_else(|| script.always.clone())
        };
        let under_way = UnderWay::begin(Arc::clone(&self.0));
        Box::pin(async move {
            let _under_way = under_way;
            match step {
                Step::Answer(answer) => Ok(answer),
                Step::Fail(reason) => Err(Failed(reason)),
                Step::AnswerAfter(pause, answer) => {
                    time::sleep(pause).await;
                    Ok(answer)
                }
                Step::FailAfter(pause, reason) => {
                    time::sleep(pause).await;
                    Err(Failed(reason))
                }
                Step::Hang => match future::pending::<Infallible>().await {},
            }
        })
    }
}

struct UnderWay<R>(Arc<State<R>>);

impl<R> UnderWay<R> {
    fn begin(state: Arc<State<R>>) -> Self {
        state.calls.fetch_add(1, Ordering::Relaxed);
        state.under_way.fetch_add(1, Ordering::Relaxed);
        Self(state)
    }
}

impl<R> Drop for UnderWay<R> {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

impl<R> fmt::Debug for Scripted<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scripted").field("calls", &self.0.calls).finish_non_exhaustive()
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "told to fail: {}", self.0)
    }
}

impl error::Error for Failed {}
