use std::future;

use bytes::{BufMut, Bytes, BytesMut};
use h2::{RecvStream, client};
use http::{
    HeaderMap, Request, Response, StatusCode,
    header::{CONTENT_TYPE, TE, USER_AGENT},
    uri::Authority,
};
use tokio::net::ToSocketAddrs;

use super::{BoxFuture, Check, CheckError, InvalidCheck, host, host_of, tcp::connect};
use crate::endpoint::EndpointId;

/// Passes if `grpc.health.v1.Health/Check` answers `SERVING`, the
/// [gRPC health checking protocol](https://github.com/grpc/grpc/blob/master/doc/health-checking.md).
///
/// Each check opens a connection of its own, in HTTP/2 without TLS. Targets are
/// addresses, or names with a port. A server without the health service does
/// not pass.
#[derive(Clone, Debug, Default)]
pub struct Grpc {
    service: String,
    authority: Option<Authority>,
}

impl Grpc {
    /// Asks for the server as a whole.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks for one service by its full name, such as `package.Service`.
    #[must_use]
    pub fn service(mut self, service: impl Into<String>) -> Self {
        self.service = service.into();
        self
    }

    /// The host that is asked for, in place of the address.
    pub fn authority(mut self, authority: &str) -> Result<Self, InvalidCheck> {
        self.authority = Some(host("authority", authority)?);
        Ok(self)
    }

    async fn look<T: ToSocketAddrs + ?Sized>(&self, target: &T) -> Result<(), CheckError> {
        let stream = connect(target).await?;
        let authority = match &self.authority {
            Some(authority) => authority.to_string(),
            None => host_of(stream.peer_addr()?),
        };
        let request = Request::post(format!("http://{authority}/grpc.health.v1.Health/Check"))
            .header(CONTENT_TYPE, "application/grpc")
            .header(TE, "trailers")
            .header(USER_AGENT, concat!("lb-core/", env!("CARGO_PKG_VERSION")))
            .body(())
            .map_err(|error| CheckError::new(error.to_string()))?;

        let (sender, connection) = client::handshake(stream).await.map_err(|e| explain(&e))?;
        let exchange = async {
            let mut sender = sender.ready().await.map_err(|error| explain(&error))?;
            let (response, mut body) =
                sender.send_request(request, false).map_err(|error| explain(&error))?;
            body.send_data(ask(&self.service), true).map_err(|error| explain(&error))?;
            self.judge(response.await.map_err(|error| explain(&error))?).await
        };
        tokio::select! {
            result = exchange => result,
            // The exchange notices, and says more about it.
            never = async { _ = connection.await; future::pending().await } => never,
        }
    }

    async fn judge(&self, response: Response<RecvStream>) -> Result<(), CheckError> {
        if response.status() != StatusCode::OK {
            let status = response.status();
            return Err(CheckError::new(format!("answers {status}, which is no gRPC")));
        }
        let (head, mut body) = response.into_parts();
        // An answer without a message has its status in the head.
        self.passed(&head.headers)?;
        let frame = read(&mut body).await?;
        let trailers = body.trailers().await.map_err(|error| explain(&error))?;
        let trailers = trailers.unwrap_or_default();
        self.passed(&trailers)?;
        if !(trailers.contains_key(STATUS) || head.headers.contains_key(STATUS)) {
            return Err(CheckError::new("answers without a gRPC status"));
        }
        match serving_status(message(&frame)?) {
            Some(SERVING) => Ok(()),
            Some(2) => Err(CheckError::new("answers NOT_SERVING")),
            Some(3) => Err(self.unknown()),
            Some(other) => Err(CheckError::new(format!("answers status {other}"))),
            None => Err(CheckError::new("answers with something that is no health status")),
        }
    }

    /// Whether these headers, if they say how the call ended, say well.
    fn passed(&self, headers: &HeaderMap) -> Result<(), CheckError> {
        let text = |key| headers.get(key).map(|value| String::from_utf8_lossy(value.as_bytes()));
        match text(STATUS).as_deref() {
            None | Some("0") => Ok(()),
            Some("5") => Err(self.unknown()),
            Some("12") => Err(CheckError::new(
                "has no health service (UNIMPLEMENTED): add grpc.health.v1.Health to it, or check \
                 it by tcp",
            )),
            Some(code) => {
                let message = text("grpc-message").unwrap_or_default();
                Err(CheckError::new(format!("fails with gRPC status {code}: {message}")))
            }
        }
    }

    fn unknown(&self) -> CheckError {
        CheckError::new(format!("does not know the service `{}`", self.service))
    }
}

impl<T: ToSocketAddrs + Sync + ?Sized> Check<T> for Grpc {
    fn check<'a>(
        &'a self,
        _: &'a EndpointId,
        target: &'a T,
    ) -> BoxFuture<'a, Result<(), CheckError>> {
        Box::pin(self.look(target))
    }
}

const STATUS: &str = "grpc-status";

/// `ServingStatus.SERVING`.
const SERVING: u64 = 1;

/// More than any answer needs: a status, and what later versions may add.
const ANSWER_LIMIT: usize = 4096;

/// A `HealthCheckRequest` in a gRPC frame: one flag for compression, the
/// length, and field 1, the service. The message is too small to be worth a
/// code generator.
fn ask(service: &str) -> Bytes {
    let mut message = BytesMut::new();
    if !service.is_empty() {
        message.put_u8(0b0000_1010);
        let mut length = service.len();
        while length > 0x7f {
            message.put_u8(length.to_le_bytes()[0] | 0x80);
            length >>= 7;
        }
        message.put_u8(length.to_le_bytes()[0]);
        message.put_slice(service.as_bytes());
    }
    let mut frame = BytesMut::new();
    frame.put_u8(0);
    // No name is 4 GiB long; one that were would be refused by the server.
    frame.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    frame.put_slice(&message);
    frame.freeze()
}

/// All that an answer has beside its headers.
async fn read(body: &mut RecvStream) -> Result<BytesMut, CheckError> {
    let mut read = BytesMut::new();
    while let Some(data) = body.data().await {
        let data = data.map_err(|error| explain(&error))?;
        // Without this the server would run out of window, and wait.
        body.flow_control().release_capacity(data.len()).map_err(|error| explain(&error))?;
        if read.len() + data.len() > ANSWER_LIMIT {
            return Err(CheckError::new("answers with far more than a health status"));
        }
        read.put_slice(&data);
    }
    Ok(read)
}

/// What is in the one frame of an answer, behind flag and length. With more
/// frames than one the length doesn't fit.
fn message(frame: &[u8]) -> Result<&[u8], CheckError> {
    match frame.split_at_checked(5) {
        Some(([0, length @ ..], message))
            if length.iter().fold(0, |n, &byte| n << 8 | usize::from(byte)) == message.len() =>
        {
            Ok(message)
        }
        _ => Err(CheckError::new("answers with something that is no gRPC message")),
    }
}

/// Field 1 of a `HealthCheckResponse`: 0 if it isn't there, as protobuf has it.
fn serving_status(mut message: &[u8]) -> Option<u64> {
    let mut status = 0;
    while !message.is_empty() {
        let key = varint(&mut message)?;
        let skip = match key & 0b111 {
            0 => {
                let value = varint(&mut message)?;
                if key >> 3 == 1 {
                    status = value;
                }
                0
            }
            1 => 8,
            2 => usize::try_from(varint(&mut message)?).ok()?,
            5 => 4,
            _ => return None,
        };
        message = message.get(skip..)?;
    }
    Some(status)
}

fn varint(message: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = message.split_first()?;
        *message = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn explain(error: &h2::Error) -> CheckError {
    CheckError::new(format!("does not answer in HTTP/2: {error}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_the_status_among_fields_it_does_not_know() {
        assert_eq!(serving_status(&[]), Some(0));
        assert_eq!(serving_status(&[0x08, 0x01]), Some(1));
        // A text, a fixed32, a fixed64 and a larger number, in fields 2 to 5.
        let others =
            [0x12, 2, b'h', b'i', 0x1d, 1, 2, 3, 4, 0x21, 1, 2, 3, 4, 5, 6, 7, 8, 0x28, 0x80, 1];
        assert_eq!(serving_status(&[&others[..], &[0x08, 0x02], &others[..]].concat()), Some(2));
        // Cut off, and a kind of field that there isn't.
        assert_eq!(serving_status(&[0x08]), None);
        assert_eq!(serving_status(&[0x12, 9, 1]), None);
        assert_eq!(serving_status(&[0x0f]), None);
    }

    #[test]
    fn long_names_have_a_long_length() {
        let name = "x".repeat(300);
        let frame = ask(&name);
        assert_eq!(frame[..8], [0, 0, 0, 1, 47, 0x0a, 0b1010_1100, 0b10]);
        assert_eq!(frame.len(), 8 + 300);
        assert_eq!(ask("")[..], [0, 0, 0, 0, 0]);
    }

    #[test]
    fn an_authority_that_is_none_is_told() {
        for authority in ["", "a b", "user@example.com", "user:secret@10.0.0.1:80"] {
            assert_eq!(Grpc::new().authority(authority).unwrap_err().key, "authority");
        }
        assert!(Grpc::new().authority("example.com:8080").is_ok());
    }

    proptest! {
        #[test]
        fn anything_can_be_read(message: Vec<u8>) {
            let _ = serving_status(&message);
        }
    }
}
