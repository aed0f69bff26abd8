//! The engine: what discovery asks it. The types of its API end here.

mod convert;
mod error;
mod transport;

use std::{
    collections::{HashMap, HashSet},
    io,
    sync::Arc,
    time::Duration,
};

use bollard::{
    ClientVersion, Docker, body_full,
    errors::Error as ApiError,
    query_parameters::{
        EventsOptionsBuilder, InspectContainerOptions, ListContainersOptions, ListNetworksOptions,
    },
};
use futures_util::{Stream, StreamExt};
use tokio::{sync::Notify, time::timeout};

use self::transport::{Opener, Transport};
use crate::{
    container::{Container, Summary},
    event::Stamped,
    options::Options,
    status::Version,
};

pub(crate) use error::EngineError;

/// The oldest API that tells all that is needed: since this one an inspection
/// shows the stop timeout.
const OLDEST: ApiVersion = ApiVersion { major: 1, minor: 25 };

/// The newest API whose answers are known.
const NEWEST: ApiVersion = ApiVersion {
    major: bollard::API_DEFAULT_VERSION.major_version,
    minor: bollard::API_DEFAULT_VERSION.minor_version,
};

/// An engine that hangs still accepts connections: whatever doesn't answer in
/// this time counts as lost.
const PING_TIMEOUT: Duration = Duration::from_secs(1);

/// Inspections wait while the engine works on the container; lists wait for
/// all of them.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection to one engine, at the version of the API agreed upon.
pub(crate) struct Engine {
    transport: Transport,
    docker: Docker,
    version: Version,
}

impl Engine {
    /// Finds the engine and agrees with it on a version.
    ///
    /// An engine refuses versions newer than itself, and newer ones refuse the
    /// older versions. The ping alone has none, so it comes first.
    pub(crate) async fn connect(options: &Options) -> Result<Self, EngineError> {
        let transport = Transport::new(Opener::find(options)?);
        let pong = ping(&transport).await?;
        let header = |name| pong.get(name).and_then(|value| value.to_str().ok());
        let theirs: ApiVersion = header("api-version")
            .and_then(ApiVersion::read)
            .ok_or_else(|| EngineError::NotAnEngine(transport.address()))?;
        if theirs < OLDEST {
            return Err(EngineError::TooOld {
                theirs: theirs.to_string(),
                oldest: OLDEST.to_string(),
            });
        }
        let api = theirs.min(NEWEST).to_string();
        // "Docker/20.10.24 (linux)".
        let server = header("server").and_then(|server| server.split_whitespace().next());
        let version = Version { engine: server.unwrap_or("unknown").to_owned(), api };
        let transport = transport.at_version(&version.api);
        let docker = client(transport.clone(), None)?;
        Ok(Self { transport, docker, version })
    }

    pub(crate) fn version(&self) -> &Version {
        &self.version
    }

    pub(crate) async fn ping(&self) -> Result<(), EngineError> {
        ping(&self.transport).await.map(drop)
    }

    /// The containers that run, are paused, or are between two starts.
    pub(crate) async fn list(&self) -> Result<Vec<Summary>, EngineError> {
        let list = self.docker.list_containers(None::<ListContainersOptions>);
        let list = answer("list the containers", list).await?;
        Ok(list.into_iter().filter_map(convert::summary).collect())
    }

    /// A container, unless there is none of this id or name.
    pub(crate) async fn inspect(&self, id: &str) -> Result<Option<Container>, EngineError> {
        let inspect = self.docker.inspect_container(id, None::<InspectContainerOptions>);
        match answer("inspect a container", inspect).await {
            Ok(found) => Ok(convert::container(found)),
            Err(EngineError::Refused { status: 404, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The ids of the networks that nothing leads out of.
    pub(crate) async fn internal_networks(&self) -> Result<HashSet<String>, EngineError> {
        let list = self.docker.list_networks(None::<ListNetworksOptions>);
        let list = answer("list the networks", list).await?;
        let internal = list.into_iter().filter(|network| network.internal == Some(true));
        Ok(internal.filter_map(|network| network.id).collect())
    }

    /// The events from now on, each with its time stamp. `subscribed` is told once none can
    /// be missed any more: when the engine has answered, before the first event.
    pub(crate) fn events(
        &self,
        subscribed: Arc<Notify>,
    ) -> Result<impl Stream<Item = Result<Stamped, EngineError>> + Send + use<>, EngineError> {
        let filters = HashMap::from([
            ("type", vec!["container", "network", "daemon"]),
            // Without this list, each health check would bring three more.
            (
                "event",
                vec![
                    "start",
                    "kill",
                    "die",
                    "oom",
                    "pause",
                    "unpause",
                    "destroy",
                    "remove",
                    "rename",
                    "update",
                    "health_status",
                    "connect",
                    "disconnect",
                    "reload",
                ],
            ),
        ]);
        let options = EventsOptionsBuilder::default().filters(&filters).build();
        let docker = client(self.transport.clone(), Some(subscribed))?;
        let events = docker.events(Some(options));
        Ok(events.filter_map(async |event| match event {
            Ok(event) => convert::event(event).map(Ok),
            Err(error) => Some(Err(EngineError::of("read events", error))),
        }))
    }
}

/// A client of the API over our own connections: these tell when the answer
/// begins, and open the socket anew each time.
fn client(transport: Transport, answered: Option<Arc<Notify>>) -> Result<Docker, EngineError> {
    let send = move |request| {
        let (transport, answered) = (transport.clone(), answered.clone());
        async move {
            let response = transport.send(request).await;
            if let (Ok(response), Some(answered)) = (&response, answered)
                && response.status().is_success()
            {
                answered.notify_one();
            }
            response.map_err(|err| ApiError::IOError { err })
        }
    };
    // The version here is not sent: the transport puts it in front of the path.
    let version = ClientVersion { major_version: NEWEST.major, minor_version: NEWEST.minor };
    let seconds = ANSWER_TIMEOUT.as_secs();
    Docker::connect_with_custom_transport(send, Some("http://docker"), seconds, &version)
        .map_err(|error| EngineError::of("connect", error))
}

async fn ping(transport: &Transport) -> Result<http::HeaderMap, EngineError> {
    let request = http::Request::get("/_ping").body(body_full(Default::default()));
    let request =
        request.map_err(|error| EngineError::Broken { what: "ping", reason: error.to_string() })?;
    match timeout(PING_TIMEOUT, transport.send_unversioned(request)).await {
        Err(_) => Err(EngineError::Silent { what: "ping", after: PING_TIMEOUT }),
        Ok(Err(error)) => Err(transport.explain(error)),
        Ok(Ok(response)) if response.status().is_success() => Ok(response.into_parts().0.headers),
        Ok(Ok(response)) => Err(EngineError::Refused {
            what: "ping",
            status: response.status().as_u16(),
            message: String::new(),
        }),
    }
}

async fn answer<T>(
    what: &'static str,
    answer: impl Future<Output = Result<T, ApiError>>,
) -> Result<T, EngineError> {
    match timeout(ANSWER_TIMEOUT, answer).await {
        Err(_) => Err(EngineError::Silent { what, after: ANSWER_TIMEOUT }),
        Ok(answer) => answer.map_err(|error| EngineError::of(what, error)),
    }
}

/// A version of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct ApiVersion {
    major: usize,
    minor: usize,
}

impl ApiVersion {
    fn read(text: &str) -> Option<Self> {
        let (major, minor) = text.trim().split_once('.')?;
        Some(Self { major: major.parse().ok()?, minor: minor.parse().ok()? })
    }
}

impl std::fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// The words of an error and of what caused it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        // Wrappers often repeat what they wrap.
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}

fn other(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::other(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_numbers_not_text() {
        let version = |text| ApiVersion::read(text).unwrap();
        assert!(version("1.9") < version("1.41"));
        assert!(version("1.53") < version("2.0"));
        assert_eq!(ApiVersion::read("1"), None);
        assert_eq!(ApiVersion::read("one.two"), None);
    }
}
