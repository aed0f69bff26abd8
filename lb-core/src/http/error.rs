use ::http::{HeaderValue, Method, Request, Response, StatusCode, header};
use bytes::Bytes;

use super::body::Stopped;

/// Why the balancer answers a request itself. This table is the one place where
/// such answers are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// Memory is about to run out.
    Overload,
    /// The request names no host, several, or one that can't be read.
    BadHost,
    /// The target of the request isn't one for its method.
    BadTarget,
    /// The target of the request is longer than it may be.
    UriTooLong,
    /// The body of the request can't be read.
    BadBody,
    /// The body of the request is longer than it may be.
    BodyTooLarge,
    /// Nothing more of the body of the request came in time.
    BodyTimeout,
    /// The body comes in a transfer coding other than chunked.
    Coding,
    /// The method is CONNECT, as this is not a forward proxy, or TRACE, which would
    /// show a client what stands between it and the endpoint.
    Method,
    /// OPTIONS that may not go any further: `Max-Forwards` is 0.
    LastHop,
    /// The host is served by HTTPS, and the client is sent there.
    Redirect,
    /// The host is not served by the scheme of the request.
    Scheme,
    /// The connection was made for a host that asks less of its clients than that of
    /// the request.
    Misdirected,
    /// No service answers for the host.
    NoRoute,
    /// No endpoint of the service became ready in time.
    NoEndpoint,
    /// Too many requests were already waiting for the service.
    QueueFull,
    /// The balancer has run out of something that a connection needs.
    Exhausted,
    /// The endpoint broke off before it answered, and the request can't be
    /// repeated.
    Reset,
    /// What the endpoint answered isn't HTTP.
    BadAnswer,
    /// The endpoint didn't begin to answer in time.
    AnswerTimeout,
}

impl From<Stopped> for Refusal {
    fn from(stopped: Stopped) -> Self {
        match stopped {
            Stopped::TooLarge => Self::BodyTooLarge,
            Stopped::TooSlow => Self::BodyTimeout,
            Stopped::Overload => Self::Overload,
        }
    }
}

/// Why an endpoint's answer ends before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Truncation {
    /// The endpoint broke off.
    Reset,
    /// Nothing more came in time.
    Idle,
}

impl Truncation {
    pub(crate) const ALL: [Self; 2] = [Self::Reset, Self::Idle];

    /// Its name in metrics and in the access log.
    pub(crate) const fn reason(self) -> &'static str {
        match self {
            Self::Reset => "upstream_reset",
            Self::Idle => "upstream_idle",
        }
    }
}

impl Refusal {
    /// All of them.
    pub const ALL: [Self; 20] = [
        Self::Overload,
        Self::BadHost,
        Self::BadTarget,
        Self::UriTooLong,
        Self::BadBody,
        Self::BodyTooLarge,
        Self::BodyTimeout,
        Self::Coding,
        Self::Method,
        Self::LastHop,
        Self::Redirect,
        Self::Scheme,
        Self::Misdirected,
        Self::NoRoute,
        Self::NoEndpoint,
        Self::QueueFull,
        Self::Exhausted,
        Self::Reset,
        Self::BadAnswer,
        Self::AnswerTimeout,
    ];

    /// The status it is answered with.
    pub fn status(self) -> StatusCode {
        match self {
            Self::BadHost | Self::BadTarget | Self::BadBody => StatusCode::BAD_REQUEST,
            Self::UriTooLong => StatusCode::URI_TOO_LONG,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::Coding => StatusCode::NOT_IMPLEMENTED,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::LastHop => StatusCode::OK,
            Self::Redirect => StatusCode::MOVED_PERMANENTLY,
            Self::Misdirected => StatusCode::MISDIRECTED_REQUEST,
            Self::Overload
            | Self::Scheme
            | Self::NoRoute
            | Self::NoEndpoint
            | Self::QueueFull
            | Self::Exhausted => StatusCode::SERVICE_UNAVAILABLE,
            Self::Reset | Self::BadAnswer => StatusCode::BAD_GATEWAY,
            Self::AnswerTimeout => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// Its name in metrics and in the access log.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Overload => "overload",
            Self::BadHost => "bad_host",
            Self::BadTarget => "bad_target",
            Self::UriTooLong => "uri_too_long",
            Self::BadBody => "bad_body",
            Self::BodyTooLarge => "body_too_large",
            Self::BodyTimeout => "body_timeout",
            Self::Coding => "transfer_coding",
            Self::Method => "method",
            Self::LastHop => "last_hop",
            Self::Redirect => "redirect",
            Self::Scheme => "scheme",
            Self::Misdirected => "misdirected",
            Self::NoRoute => "no_route",
            Self::NoEndpoint => "no_endpoint",
            Self::QueueFull => "queue_full",
            Self::Exhausted => "exhausted",
            Self::Reset => "upstream_reset",
            Self::BadAnswer => "upstream_protocol",
            Self::AnswerTimeout => "upstream_timeout",
        }
    }

    /// Whether it is the doing of the endpoint that was asked.
    pub(super) fn is_the_endpoints(self) -> bool {
        matches!(self, Self::Reset | Self::BadAnswer | Self::AnswerTimeout)
    }

    /// What the client is told.
    fn text(self) -> &'static str {
        match self {
            Self::Overload => "503 Service Unavailable: overloaded, come later\n",
            Self::BadHost => "400 Bad Request: exactly one valid Host is needed\n",
            Self::BadTarget => "400 Bad Request: the target is none for this method\n",
            Self::UriTooLong => "414 URI Too Long: a shorter one is needed\n",
            Self::BadBody => "400 Bad Request: the body can't be read\n",
            Self::BodyTooLarge => "413 Payload Too Large: the body is too long\n",
            Self::BodyTimeout => "408 Request Timeout: the rest of the body didn't come\n",
            Self::Coding => "501 Not Implemented: no transfer coding but chunked\n",
            Self::Method => "405 Method Not Allowed: neither CONNECT nor TRACE is served here\n",
            Self::LastHop => "200 OK: this is as far as Max-Forwards goes\n",
            Self::Redirect => "301 Moved Permanently: this host is served by HTTPS\n",
            Self::Scheme => "503 Service Unavailable: this host isn't served by this scheme\n",
            Self::Misdirected => "421 Misdirected Request: this connection isn't for this host\n",
            Self::NoRoute => "503 Service Unavailable: nothing here answers for this host\n",
            Self::NoEndpoint => "503 Service Unavailable: no server is ready, try again soon\n",
            Self::QueueFull => "503 Service Unavailable: too many requests, try again soon\n",
            Self::Exhausted => "503 Service Unavailable: out of resources, try again soon\n",
            Self::Reset => "502 Bad Gateway: the server broke off before it answered\n",
            Self::BadAnswer => "502 Bad Gateway: the server didn't answer in HTTP\n",
            Self::AnswerTimeout => "504 Gateway Timeout: the server didn't answer in time\n",
        }
    }

    /// What a gRPC client is told, by the codes of its protocol.
    fn grpc_status(self) -> &'static str {
        match self {
            Self::BadHost
            | Self::BadTarget
            | Self::UriTooLong
            | Self::BadBody
            | Self::Coding
            | Self::BadAnswer => INTERNAL,
            Self::Overload | Self::BodyTooLarge | Self::QueueFull | Self::Exhausted => {
                RESOURCE_EXHAUSTED
            }
            Self::Method | Self::LastHop => UNIMPLEMENTED,
            Self::BodyTimeout | Self::AnswerTimeout => DEADLINE_EXCEEDED,
            Self::Redirect
            | Self::Scheme
            | Self::Misdirected
            | Self::NoRoute
            | Self::NoEndpoint
            | Self::Reset => UNAVAILABLE,
        }
    }

    /// The answer, in the form that the client wants.
    pub(super) fn response(self, form: Form) -> Response<Bytes> {
        self.response_as(self.status(), form)
    }

    /// The same with another status of its kind.
    fn response_as(self, status: StatusCode, form: Form) -> Response<Bytes> {
        if form == Form::Grpc {
            return self.grpc();
        }
        let (kind, body) = match form {
            Form::Json => ("application/json", self.json(status)),
            _ if status == self.status() => (PLAIN, self.text().into()),
            _ => (PLAIN, format!("{status}: {}\n", self.message())),
        };
        let mut response = Response::new(body.into());
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        match self {
            Self::Overload | Self::NoEndpoint | Self::QueueFull | Self::Exhausted => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            Self::Method | Self::LastHop => {
                headers.insert(
                    header::ALLOW,
                    HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
                );
            }
            Self::BadHost
            | Self::BadTarget
            | Self::UriTooLong
            | Self::BadBody
            | Self::BodyTooLarge
            | Self::BodyTimeout
            | Self::Coding
            | Self::Redirect
            | Self::Scheme
            | Self::Misdirected
            | Self::NoRoute
            | Self::Reset
            | Self::BadAnswer
            | Self::AnswerTimeout => {}
        }
        response
    }

    /// `{"status":503,"reason":"no_endpoint","message":"..."}`
    fn json(self, status: StatusCode) -> String {
        let (status, reason) = (status.as_u16(), self.reason());
        // None of these has a character that would need an escape.
        format!(
            "{{\"status\":{status},\"reason\":\"{reason}\",\"message\":\"{}\"}}\n",
            self.message()
        )
    }

    /// Trailers alone: gRPC has its status there, whatever HTTP says.
    fn grpc(self) -> Response<Bytes> {
        let mut response = Response::new(Bytes::new());
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert("grpc-status", HeaderValue::from_static(self.grpc_status()));
        headers.insert("grpc-message", HeaderValue::from_static(self.message()));
        response
    }

    /// The text without the status.
    fn message(self) -> &'static str {
        self.text().split_once(": ").map_or("", |(_, message)| message.trim_end())
    }
}

const PLAIN: &str = "text/plain; charset=utf-8";

// https://github.com/grpc/grpc/blob/master/doc/statuscodes.md
const DEADLINE_EXCEEDED: &str = "4";
const RESOURCE_EXHAUSTED: &str = "8";
const UNIMPLEMENTED: &str = "12";
const INTERNAL: &str = "13";
const UNAVAILABLE: &str = "14";

/// A refusal, and where the client is sent, if that is why.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) refusal: Refusal,
    #[cfg(feature = "tls")]
    redirect: Option<Box<Redirect>>,
}

/// Where a client is sent.
#[cfg(feature = "tls")]
#[derive(Debug)]
pub(super) struct Redirect {
    pub(super) status: StatusCode,
    pub(super) location: HeaderValue,
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self {
            refusal,
            #[cfg(feature = "tls")]
            redirect: None,
        }
    }
}

#[cfg(feature = "tls")]
impl From<Redirect> for Refused {
    fn from(redirect: Redirect) -> Self {
        Self { refusal: Refusal::Redirect, redirect: Some(Box::new(redirect)) }
    }
}

impl Refused {
    /// Where the client is sent, and by which status, if that is why.
    #[cfg(feature = "tls")]
    pub(super) fn redirect(&self) -> Option<&Redirect> {
        self.redirect.as_deref()
    }

    /// The answer, in the form that the client wants.
    pub(super) fn response(self, form: Form) -> Response<Bytes> {
        #[cfg(feature = "tls")]
        if let Some(redirect) = self.redirect {
            let mut response = self.refusal.response_as(redirect.status, form);
            if form != Form::Grpc {
                response.headers_mut().insert(header::LOCATION, redirect.location);
            }
            return response;
        }
        self.refusal.response(form)
    }
}

/// The form in which a client is told why it gets no answer of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Plain,
    Json,
    Grpc,
}

impl Form {
    /// What the client asks for, or speaks.
    pub(super) fn of<B>(request: &Request<B>) -> Self {
        let headers = request.headers();
        let has = |name, part: &str| {
            let value = headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
            value.is_some_and(|value| value.contains(part))
        };
        // What isn't an error is a yes to CONNECT.
        if has(header::CONTENT_TYPE, "application/grpc") && request.method() != Method::CONNECT {
            Self::Grpc
        } else if has(header::ACCEPT, "application/json") {
            Self::Json
        } else {
            Self::Plain
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_listed_in_their_order() {
        let mut at = 0..;
        assert!(Refusal::ALL.iter().all(|&refusal| Some(refusal as usize) == at.next()));
        let mut at = 0..;
        assert!(Truncation::ALL.iter().all(|&why| Some(why as usize) == at.next()));
    }

    #[test]
    fn it_is_said_in_the_form_that_is_asked_for() {
        let form = |name: &'static str, value: &'static str| {
            Form::of(&Request::builder().header(name, value).body(()).unwrap())
        };
        assert_eq!(form("accept", "text/html, */*"), Form::Plain);
        assert_eq!(form("accept", "application/json;q=0.9"), Form::Json);
        assert_eq!(form("content-type", "application/grpc+proto"), Form::Grpc);
        let connect = Request::connect("a:80").header("content-type", "application/grpc");
        assert_eq!(Form::of(&connect.body(()).unwrap()), Form::Plain);
        for refusal in Refusal::ALL {
            let json = refusal.json(refusal.status());
            let message = refusal.message();
            assert!(!message.is_empty() && !message.contains(['"', '\\']), "{refusal:?}");
            let expected = format!(
                "{{\"status\":{},\"reason\":\"{}\",\"message\":\"{message}\"}}\n",
                refusal.status().as_u16(),
                refusal.reason()
            );
            assert_eq!(json, expected);
            assert_eq!(refusal.response(Form::Grpc).status(), 200);
        }
    }

    #[test]
    fn the_text_repeats_the_status() {
        for refusal in Refusal::ALL {
            let status = refusal.status().to_string();
            assert!(refusal.text().starts_with(&status), "{refusal:?}");
        }
    }
}
