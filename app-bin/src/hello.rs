//! The application: a request in, a greeting out.

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use hyper::header::{CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{Request, Response, StatusCode};

use crate::behavior::{Behavior, Plan};
use crate::body::{Fill, Text};
use crate::journal::{Journal, Step};
use crate::lifecycle::{Lifecycle, Phase};
use crate::metrics::Metrics;
use crate::mood::{Mood, Moods};
use crate::overrides::Overrides;
use crate::traffic::Traffic;
use crate::tunnel;

/// The identity of the request that an answer is to.
const ID: HeaderName = HeaderName::from_static("x-id");

/// What a server serves: the name it greets with, how it behaves, and where its
/// metrics go.
#[derive(Debug)]
pub struct App {
    name: String,
    behavior: Behavior,
    metrics: Metrics,
    journal: Journal,
}

impl App {
    /// An app that greets with this name, behaves, and records nothing.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            behavior: Behavior::default(),
            metrics: Metrics::default(),
            journal: Journal::default(),
        }
    }

    /// The same with this behavior.
    #[must_use]
    pub fn with_behavior(mut self, behavior: Behavior) -> Self {
        self.behavior = behavior;
        self
    }

    /// The same with these metrics.
    #[must_use]
    pub fn with_metrics(mut self, metrics: Metrics) -> Self {
        self.metrics = metrics;
        self
    }

    /// The same, where `write` is told the steps of each request that has an
    /// identity (`?id=`), with that identity.
    #[must_use]
    pub fn with_journal(mut self, write: impl Fn(Step, &str) + Send + Sync + 'static) -> Self {
        self.journal = Journal::new(write);
        self
    }
}

/// An app at work in one server.
#[derive(Debug)]
pub(crate) struct Hello {
    name: String,
    behavior: Behavior,
    greeting: Text,
    journal: Journal,
    pub(crate) moods: Moods,
    pub(crate) traffic: Traffic,
    pub(crate) life: Lifecycle,
}

impl Hello {
    /// The app, ready for requests.
    pub(crate) fn new(app: App) -> Self {
        Self {
            greeting: Text::repeatable(&format!("Hi there, I'm served from {}!", app.name)),
            name: app.name,
            behavior: app.behavior,
            journal: app.journal,
            moods: Moods::new(),
            traffic: Traffic::new(app.metrics),
            life: Lifecycle::new(),
        }
    }

    /// The name it greets with.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Answers a request, whatever its path and method.
    ///
    /// # Errors
    ///
    /// The client broke off while sending the request's body.
    pub(crate) async fn respond(
        &self,
        mut request: Request<Incoming>,
    ) -> Result<Response<Fill>, hyper::Error> {
        let visit = self.traffic.enter();
        let mut response = if !tunnel::is_wanted(&request) {
            discard(request.body_mut()).await?;
            self.answer(&request).await
        } else if self.moods.when_it_answers().await == Mood::Failing {
            text(StatusCode::INTERNAL_SERVER_ERROR, self.greeting.once())
        } else {
            let upgrade = hyper::upgrade::on(&mut request);
            tokio::spawn(tunnel::echo(upgrade, self.life.join()));
            tunnel::switch()
        };
        if response.status() != StatusCode::SWITCHING_PROTOCOLS
            && self.life.phase() != Phase::Serving
        {
            // Whoever keeps connections for later is not to keep this one.
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        visit.answered(response.status());
        Ok(response)
    }

    async fn answer<B>(&self, request: &Request<B>) -> Response<Fill> {
        let overrides = match request.uri().query().map(Overrides::parse).transpose() {
            Ok(overrides) => overrides.unwrap_or_default(),
            Err(bad) => {
                return text(StatusCode::BAD_REQUEST, Bytes::from(format!("{bad}\n")).into());
            }
        };
        if let Some(id) = &overrides.id {
            // Before anything that takes time: who dies within that had it.
            self.journal.write(Step::Accepted, id);
        }
        let mood = self.moods.when_it_answers().await;
        match self.behavior.decide(&overrides) {
            Plan::Hang => std::future::pending().await,
            Plan::Answer { delay, status, size } => {
                if !delay.is_zero() {
                    tokio::time::sleep(delay).await;
                }
                let status = match overrides.status {
                    None if mood == Mood::Failing => StatusCode::INTERNAL_SERVER_ERROR,
                    _ => status,
                };
                let mut body = match size {
                    _ if has_no_body(status) => Fill::default(),
                    _ if overrides.echo => describe(request).into(),
                    Some(size) => self.greeting.sized(size),
                    None => self.greeting.once(),
                };
                if let Some(pace) = overrides.pace {
                    body = body.paced(pace);
                }
                if overrides.chunked {
                    body = body.chunked();
                }
                if overrides.truncate {
                    body = body.truncated();
                }
                let mut response = text(status, body);
                if let Some(id) = &overrides.id {
                    // What an identity may consist of, a header may.
                    if let Ok(value) = HeaderValue::from_str(id) {
                        response.headers_mut().insert(ID, value);
                    }
                    self.journal.write(Step::Executed, id);
                }
                response
            }
        }
    }
}

/// Reads a body to its end, so that the connection can carry the next request.
async fn discard(body: &mut Incoming) -> Result<(), hyper::Error> {
    if body.is_end_stream() {
        return Ok(());
    }
    while let Some(frame) = body.frame().await {
        frame?;
    }
    Ok(())
}

/// An answer of plain text. hyper adds the length and the date.
fn text(status: StatusCode, body: Fill) -> Response<Fill> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// The request line and the headers, one per line, names in lower case (the
/// parser keeps no other).
fn describe<B>(request: &Request<B>) -> Bytes {
    let line = format!("{} {} {:?}\n", request.method(), request.uri(), request.version());
    let mut described = line.into_bytes();
    for (name, value) in request.headers() {
        described.extend_from_slice(name.as_str().as_bytes());
        described.extend_from_slice(b": ");
        // As received: a value need not be UTF-8.
        described.extend_from_slice(value.as_bytes());
        described.push(b'\n');
    }
    described.into()
}

fn has_no_body(status: StatusCode) -> bool {
    matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn answer(behavior: Behavior, uri: &str) -> (StatusCode, String) {
        let hello = Hello::new(App::new("web").with_behavior(behavior));
        let request = Request::get(uri).header("x-a", "1").header("x-b", "2").body(()).unwrap();
        let response = hello.answer(&request).await;
        let status = response.status();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn greets() {
        assert_eq!(
            answer(Behavior::default(), "/any/path?a=b").await,
            (StatusCode::OK, "Hi there, I'm served from web!".to_owned())
        );
    }

    #[tokio::test]
    async fn tells_who_failed() {
        assert_eq!(
            answer(Behavior::default(), "/?status=503").await,
            (StatusCode::SERVICE_UNAVAILABLE, "Hi there, I'm served from web!".to_owned())
        );
    }

    #[tokio::test]
    async fn statuses_without_a_body_have_none() {
        for uri in ["/?status=204&size=9", "/?status=304&echo"] {
            assert_eq!(answer(Behavior::default(), uri).await.1, "", "{uri}");
        }
    }

    #[tokio::test]
    async fn echoes_the_request_whole() {
        let cut = Behavior { body_size: Some(3), ..Behavior::default() };
        assert_eq!(
            answer(cut, "/p?echo").await,
            (StatusCode::OK, "GET /p?echo HTTP/1.1\nx-a: 1\nx-b: 2\n".to_owned())
        );
    }

    #[tokio::test]
    async fn fails_while_told_to() {
        let hello = Hello::new(App::new("web"));
        let status = async |uri| {
            let request = Request::get(uri).body(()).unwrap();
            hello.answer(&request).await.status().as_u16()
        };
        hello.moods.set(Mood::Failing);
        assert_eq!((status("/").await, status("/?status=201").await), (500, 201));
        hello.moods.set(Mood::Well);
        assert_eq!(status("/").await, 200);
    }

    #[tokio::test]
    async fn refuses_bad_overrides() {
        let (status, body) = answer(Behavior::default(), "/?size=big").await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert_eq!(body, "cannot use ?size=big: write a whole number of bytes, as in size=1024\n");
    }
}
