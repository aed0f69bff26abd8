use ::http::{HeaderMap, Method, Request, Uri, request::Parts};
use http_body::Body;

use super::{body::RequestBody, replay::Tape};

/// A request that may have to be sent more than once.
pub(super) struct Outgoing {
    /// As it is to be sent next.
    request: Option<Request<RequestBody>>,
    idempotent: bool,
    kept: Kept,
}

/// What was kept of it, to send it again.
pub(super) enum Kept {
    Nothing,
    /// It has no body.
    Head(Box<Parts>),
    Body(Box<Parts>, Tape),
}

impl Kept {
    /// Whether that is all of it, as of now.
    pub(super) fn is_whole(&self) -> bool {
        match self {
            Self::Nothing => false,
            Self::Head(_) => true,
            Self::Body(_, tape) => tape.is_whole(),
        }
    }
}

impl Outgoing {
    /// Keeps up to `limit` bytes of the body of an idempotent request (RFC 9110,
    /// section 9.2.2); and of any other, if endpoints `may_refuse` what they were sent.
    pub(super) fn new(request: Request<RequestBody>, limit: usize, may_refuse: bool) -> Self {
        let idempotent = request.method().is_idempotent();
        if !idempotent && !may_refuse {
            return Self { request: Some(request), idempotent, kept: Kept::Nothing };
        }
        let kept = Box::new(copy(request.method(), request.uri(), request.headers()));
        if request.body().is_end_stream() {
            return Self { request: Some(request), idempotent, kept: Kept::Head(kept) };
        }
        let (head, body) = request.into_parts();
        let too_long = body.size_hint().lower() > limit as u64;
        let tape = Tape::new(body, if too_long { 0 } else { limit });
        let request =
            tape.replay().map(|body| Request::from_parts(head, RequestBody::replay(body)));
        Self { request, idempotent, kept: Kept::Body(kept, tape) }
    }

    /// Whether its method lets it be sent again, whatever became of it.
    pub(super) fn is_repeatable(&self) -> bool {
        self.idempotent
    }

    /// What it would take to send it again, wherever that is.
    pub(super) fn kept(&self) -> &Kept {
        &self.kept
    }

    /// The request, to be sent now.
    pub(super) fn take(&mut self) -> Option<Request<RequestBody>> {
        self.request.take()
    }

    /// Nothing of it has gone out: it will be sent as it is.
    pub(super) fn put_back(&mut self, request: Request<RequestBody>) {
        self.request = Some(request);
    }

    /// Gets ready to be sent again, if enough was kept. Whether it may be is for the
    /// caller to know.
    pub(super) fn rewind(&mut self) -> bool {
        let (head, body) = match &self.kept {
            Kept::Nothing => return false,
            Kept::Head(head) => (head, Some(RequestBody::empty())),
            Kept::Body(head, tape) => (head, tape.replay().map(RequestBody::replay)),
        };
        let head = copy(&head.method, &head.uri, &head.headers);
        self.request = body.map(|body| Request::from_parts(head, body));
        self.request.is_some()
    }
}

/// All but the extensions, which speak of the client's connection.
fn copy(method: &Method, uri: &Uri, headers: &HeaderMap) -> Parts {
    let (mut copy, ()) = Request::new(()).into_parts();
    copy.method.clone_from(method);
    copy.uri.clone_from(uri);
    copy.headers.clone_from(headers);
    copy
}
