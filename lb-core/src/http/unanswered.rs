//! Why a request that was sent has no answer.

use std::error::Error as _;

use ::http::Request;

use super::body::RequestBody;

/// Why there is no answer.
pub(super) enum Unanswered {
    /// Nothing of the request has gone out.
    Unsent(Box<Request<RequestBody>>),
    Failed(hyper::Error),
    /// The endpoint says that it has done nothing about it and won't; nor about others
    /// on the same connection, if it was so `with_all`.
    Refused {
        with_all: bool,
    },
    /// The endpoint hangs, and the request goes elsewhere.
    Hangs,
    /// The endpoint has ended.
    Left,
    /// Its time is over.
    Late,
}

impl Unanswered {
    /// Its name in traces, where the request goes on.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::Unsent(_) | Self::Failed(_) => "reset",
            Self::Refused { .. } => "refused",
            Self::Hangs => "silent",
            Self::Left => "left",
            Self::Late => "upstream_timeout",
        }
    }
}

/// What hyper says of a request of HTTP/2 that waited for a stream until the connection
/// ended. It has no other name. Of one of HTTP/1 that may mean anything, as does any
/// other word of a task that has gone.
const NEVER_OPENED: &str = "runtime dropped the dispatch task";

/// What a request has met with that had gone out, on a connection that `is_shared` or
/// not. One of HTTP/2 can be refused alone, or be one of those behind the last one that
/// is still served (RFC 9113, section 8.7).
pub(super) fn failed(error: hyper::Error, is_shared: bool) -> Unanswered {
    let never_opened = || error.source().is_some_and(|why| why.to_string() == NEVER_OPENED);
    if is_shared && error.is_user() && never_opened() {
        return Unanswered::Refused { with_all: true };
    }
    let why = error.source().and_then(|why| why.downcast_ref::<h2::Error>());
    match why.filter(|why| why.is_remote()) {
        Some(why) if why.is_go_away() => Unanswered::Refused { with_all: true },
        Some(why) if why.reason() == Some(h2::Reason::REFUSED_STREAM) => {
            Unanswered::Refused { with_all: false }
        }
        _ => Unanswered::Failed(error),
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use hyper::client::conn::http1;
    use hyper_util::rt::TokioIo;

    use super::*;

    #[tokio::test]
    async fn what_has_gone_out_on_a_connection_of_http1_passes_for_nothing_less() {
        let (ours, theirs) = tokio::io::duplex(4096);
        let (mut sender, mut connection) = http1::handshake(TokioIo::new(ours)).await.unwrap();
        let answer = sender.try_send_request(Request::new(RequestBody::empty()));
        assert!((&mut connection).now_or_never().is_none(), "it writes, and waits");
        drop(connection);
        let mut error = answer.await.unwrap_err();
        assert!(error.take_message().is_none(), "it has gone out");
        assert!(matches!(failed(error.into_error(), false), Unanswered::Failed(_)));
        drop(theirs);
    }
}
