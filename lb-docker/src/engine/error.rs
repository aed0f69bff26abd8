use std::{error, fmt, io, path::PathBuf, time::Duration};

use bollard::errors::Error as ApiError;

use super::chain;

/// Why the engine can't be asked, and what to do about it.
#[derive(Debug)]
pub(crate) enum EngineError {
    /// There is no socket at any of these paths.
    NoSocket(Vec<PathBuf>),
    /// The socket, which belongs to this group, may not be opened.
    Forbidden { path: PathBuf, gid: Option<u32> },
    /// Nobody answers at the address.
    Unreachable { address: String, source: io::Error },
    /// A file that TLS needs can't be used.
    Certificate { path: PathBuf, reason: String },
    /// What answers is no engine.
    NotAnEngine(String),
    /// The engine's API is older than what is needed.
    TooOld { theirs: String, oldest: String },
    /// The engine answered with an error.
    Refused { what: &'static str, status: u16, message: String },
    /// The engine accepts connections and doesn't answer.
    Silent { what: &'static str, after: Duration },
    /// The connection broke, or what came was no sense.
    Broken { what: &'static str, reason: String },
    /// The stream of events came to its end.
    Ended,
}

impl EngineError {
    pub(super) fn of(what: &'static str, error: ApiError) -> Self {
        match error {
            ApiError::DockerResponseServerError { status_code: status, message } => {
                Self::Refused { what, status, message }
            }
            ApiError::RequestTimeoutError => Self::Silent { what, after: super::ANSWER_TIMEOUT },
            error => Self::Broken { what, reason: chain(&error) },
        }
    }
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSocket(paths) => {
                let paths: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
                write!(
                    f,
                    "no Docker socket at {}; mount it: -v /var/run/docker.sock:{}, or set \
                     DOCKER_HOST",
                    paths.join(" or "),
                    paths.first().map_or("/var/run/docker.sock", String::as_str),
                )
            }
            Self::Forbidden { path, gid: Some(gid) } => write!(
                f,
                "no permission to open {}; the socket belongs to group {gid}: run with \
                 --group-add {gid} (compose: DOCKER_GID={gid})",
                path.display()
            ),
            Self::Forbidden { path, gid: None } => write!(
                f,
                "no permission to open {}; run with --group-add and the id of the group that \
                 owns it",
                path.display()
            ),
            Self::Unreachable { address, source } => {
                write!(f, "no Docker engine answers at {address}: {}", chain(source))
            }
            Self::Certificate { path, reason } => write!(
                f,
                "{} can't be used: {reason}; set DOCKER_CERT_PATH to a directory that holds \
                 ca.pem, cert.pem and key.pem",
                path.display()
            ),
            Self::NotAnEngine(address) => write!(
                f,
                "what answers at {address} is no Docker engine; set DOCKER_HOST to the address \
                 of one"
            ),
            Self::TooOld { theirs, oldest } => write!(
                f,
                "the Docker engine speaks API {theirs}, {oldest} is needed; update the engine"
            ),
            Self::Refused { what, status: 400, message } if message.contains("client version") => {
                write!(
                    f,
                    "the Docker engine refused to {what}: {message}; update whichever of \
                     balancer and engine is the older"
                )
            }
            Self::Refused { what, status: 403, message } => write!(
                f,
                "the Docker engine refused to {what} (403): {message}; let what guards the \
                 socket pass GET requests for _ping, events, containers and networks"
            ),
            Self::Refused { what, status, message } => {
                write!(f, "the Docker engine refused to {what} ({status}): {message}")
            }
            Self::Silent { what, after } => write!(
                f,
                "the Docker engine accepts connections but did not answer within {after:?} \
                 ({what}); is it hung?"
            ),
            Self::Broken { what, reason } => {
                write!(f, "the connection to the Docker engine failed ({what}): {reason}")
            }
            Self::Ended => f.write_str("the Docker engine ended the stream of events"),
        }
    }
}

impl error::Error for EngineError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Unreachable { source, .. } => Some(source),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_names_its_remedy() {
        for (error, text) in [
            (
                EngineError::NoSocket(vec!["/var/run/docker.sock".into(), "/tmp/d.sock".into()]),
                "no Docker socket at /var/run/docker.sock or /tmp/d.sock; mount it: \
                 -v /var/run/docker.sock:/var/run/docker.sock, or set DOCKER_HOST",
            ),
            (
                EngineError::Forbidden { path: "/d.sock".into(), gid: Some(105) },
                "no permission to open /d.sock; the socket belongs to group 105: run with \
                 --group-add 105 (compose: DOCKER_GID=105)",
            ),
            (
                EngineError::TooOld { theirs: "1.24".into(), oldest: "1.25".into() },
                "the Docker engine speaks API 1.24, 1.25 is needed; update the engine",
            ),
            (
                EngineError::Refused {
                    what: "list the containers",
                    status: 400,
                    message: "client version 1.53 is too old".into(),
                },
                "the Docker engine refused to list the containers: client version 1.53 is too \
                 old; update whichever of balancer and engine is the older",
            ),
        ] {
            assert_eq!(error.to_string(), text);
        }
    }
}
