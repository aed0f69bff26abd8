use std::{future, ops::RangeInclusive};

use bytes::Bytes;
use http::{
    HeaderValue, Request, Response,
    header::{CONNECTION, HOST, USER_AGENT},
    uri::PathAndQuery,
};
use http_body_util::{BodyExt, Empty};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::net::ToSocketAddrs;

use super::{BoxFuture, Check, CheckError, InvalidCheck, host_of, tcp::connect};
use crate::endpoint::EndpointId;

/// Passes if a `GET` is answered as expected: with a status from 200 to 299,
/// unless [said otherwise](Self::status), and with a [text](Self::body) in the
/// body, if asked for.
///
/// Each check opens a connection of its own, without TLS, and closes it:
/// connections that are kept open say little of a server that can't accept new
/// ones. Targets are addresses, or names with a port.
#[derive(Clone, Debug)]
pub struct Http {
    path: PathAndQuery,
    host: Option<HeaderValue>,
    status: RangeInclusive<u16>,
    body: Option<Box<[u8]>>,
}

impl Http {
    /// Bytes of a body in which an expected text is looked for.
    pub const BODY_LIMIT: usize = 64 * 1024;

    /// Asks for `path`, which begins with a slash and may have a query.
    pub fn get(path: &str) -> Result<Self, InvalidCheck> {
        let invalid = || InvalidCheck {
            key: "path",
            value: path.to_owned(),
            remedy: "it begins with a slash, as in /healthz, and what a URL doesn't allow is \
                     written as %20",
        };
        let parsed = path.parse().ok().filter(|_| path.starts_with('/'));
        Ok(Self { path: parsed.ok_or_else(invalid)?, host: None, status: 200..=299, body: None })
    }

    /// What the `Host` header says, in place of the address.
    pub fn host(mut self, host: &str) -> Result<Self, InvalidCheck> {
        let host = super::host("host", host)?;
        self.host = HeaderValue::from_str(host.as_str()).ok();
        Ok(self)
    }

    /// The statuses that pass, from 100 to 599.
    pub fn status(mut self, expected: RangeInclusive<u16>) -> Result<Self, InvalidCheck> {
        if expected.is_empty() || *expected.start() < 100 || *expected.end() > 599 {
            return Err(InvalidCheck {
                key: "status",
                value: format!("{}-{}", expected.start(), expected.end()),
                remedy: "it is a range within 100 to 599 that begins with the smaller number",
            });
        }
        self.status = expected;
        Ok(self)
    }

    /// A text that is part of a good answer's body, within its first
    /// [64 KiB](Self::BODY_LIMIT). Without one the body isn't read.
    #[must_use]
    pub fn body(mut self, expected: impl Into<Vec<u8>>) -> Self {
        self.body = Some(expected.into().into_boxed_slice());
        self
    }

    async fn look<T: ToSocketAddrs + ?Sized>(&self, target: &T) -> Result<(), CheckError> {
        let stream = connect(target).await?;
        let host = match &self.host {
            Some(host) => host.clone(),
            None => HeaderValue::from_str(&host_of(stream.peer_addr()?))
                .map_err(|error| CheckError::new(error.to_string()))?,
        };
        let request = Request::get(self.path.as_str())
            .header(HOST, host)
            .header(USER_AGENT, concat!("lb-core/", env!("CARGO_PKG_VERSION")))
            .header(CONNECTION, "close")
            .body(Empty::<Bytes>::new())
            .map_err(|error| CheckError::new(error.to_string()))?;

        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| explain(&error))?;
        let exchange = async {
            let response = sender.send_request(request).await.map_err(|error| explain(&error))?;
            self.judge(response).await
        };
        tokio::select! {
            result = exchange => result,
            // The exchange notices, and says more about it.
            never = async { _ = connection.await; future::pending().await } => never,
        }
    }

    async fn judge(&self, response: Response<Incoming>) -> Result<(), CheckError> {
        let status = response.status();
        if !self.status.contains(&status.as_u16()) {
            let (low, high) = (self.status.start(), self.status.end());
            return Err(CheckError::new(format!("answers {status}, not {low} to {high}")));
        }
        match &self.body {
            Some(expected) => find(expected, response.into_body()).await,
            None => Ok(()),
        }
    }
}

impl<T: ToSocketAddrs + Sync + ?Sized> Check<T> for Http {
    fn check<'a>(
        &'a self,
        _: &'a EndpointId,
        target: &'a T,
    ) -> BoxFuture<'a, Result<(), CheckError>> {
        Box::pin(self.look(target))
    }
}

/// Reads until the text has come, the body has ended, or enough has been read.
async fn find(expected: &[u8], mut body: Incoming) -> Result<(), CheckError> {
    let mut read = Vec::new();
    let mut searched = 0;
    loop {
        if expected.is_empty() || read[searched..].windows(expected.len()).any(|at| at == expected)
        {
            return Ok(());
        }
        // The text may have begun at the end of what has come so far.
        searched = (read.len() + 1).saturating_sub(expected.len());
        if read.len() == Http::BODY_LIMIT {
            let limit = Http::BODY_LIMIT / 1024;
            return Err(missing(expected, format_args!("the first {limit} KiB of its body")));
        }
        match body.frame().await {
            Some(Ok(frame)) => {
                let room = Http::BODY_LIMIT - read.len();
                if let Some(data) = frame.data_ref() {
                    read.extend_from_slice(&data[..data.len().min(room)]);
                }
            }
            Some(Err(error)) => return Err(explain(&error)),
            None => return Err(missing(expected, format_args!("its body"))),
        }
    }
}

fn missing(expected: &[u8], place: std::fmt::Arguments<'_>) -> CheckError {
    CheckError::new(format!("`{}` is not in {place}", String::from_utf8_lossy(expected)))
}

fn explain(error: &hyper::Error) -> CheckError {
    CheckError::new(format!("does not answer in HTTP: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_not_be_asked_is_told() {
        for path in ["", "healthz", "http://a/b", "/a b", "*"] {
            let error = Http::get(path).unwrap_err();
            assert_eq!((error.key, error.value.as_str()), ("path", path));
        }
        let get = || Http::get("/healthz?full=1").unwrap();
        for host in ["", "a b", "a/b", "user@example.com"] {
            assert_eq!(get().host(host).unwrap_err().key, "host", "{host}");
        }
        for status in [RangeInclusive::new(300, 200), 0..=200, 200..=600] {
            assert_eq!(get().status(status).unwrap_err().key, "status");
        }
        assert!(get().host("example.com:80").unwrap().status(200..=399).is_ok());
    }

    #[test]
    fn an_error_names_key_value_and_remedy() {
        let error = Http::get("healthz").unwrap_err().to_string();
        assert!(error.starts_with("path `healthz` won't do: it begins with a slash"), "{error}");
    }
}
