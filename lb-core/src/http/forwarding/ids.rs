//! The names by which a request can be found again.

use ::http::{HeaderMap, HeaderName, HeaderValue};

use super::{
    super::trace::{Parent, TRACEPARENT, TRACESTATE, hex},
    Forwarding,
};

pub(in crate::http) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longer ones are no names but a way to fill logs.
const LONGEST_ID: usize = 128;

/// Whether this request is traced here.
#[derive(Clone, Copy, Debug)]
pub(in crate::http) enum Traced {
    /// Nobody asks for traces.
    Off,
    /// This one is not.
    No,
    /// It is, and this is its span.
    Yes {
        span: Parent,
        /// Whether the trace begins here.
        is_new: bool,
    },
}

impl Forwarding {
    /// Gives a request an `X-Request-Id` and a `traceparent` (W3C Trace Context), where
    /// it is told to and the request brings none that can be used. Where both are
    /// missing they share the same 128 bits, so either leads to the other.
    ///
    /// Where requests are traced, `traceparent` says whether this one is.
    pub(in crate::http) fn name(&self, headers: &mut HeaderMap, traced: Traced) {
        let wants_id = self.request_id && !has_request_id(headers);
        let (parent, is_new) = match traced {
            Traced::Yes { span, is_new } => (Some(span), is_new),
            Traced::No | Traced::Off => match (Parent::of(headers), traced) {
                // Whoever is below us would look for a span that nobody has written down.
                (Some(given), Traced::No) if given.is_sampled() => (Some(given.next(false)), false),
                (Some(_), _) => (None, false),
                (None, _) if !self.trace => (None, false),
                // Somebody else may be tracing.
                (None, traced) => (Some(Parent::new(matches!(traced, Traced::Off))), true),
            },
        };
        if wants_id {
            let shared = parent.filter(|_| is_new).map(Parent::trace_id);
            let id = shared.unwrap_or_else(|| hex(fastrand::u128(1..)));
            if let Ok(value) = HeaderValue::from_bytes(&id) {
                headers.insert(X_REQUEST_ID, value);
            }
        }
        if let Some(value) = parent.and_then(Parent::value) {
            headers.insert(TRACEPARENT, value);
        }
        if is_new {
            // It would speak of another trace.
            headers.remove(TRACESTATE);
        }
    }
}

fn has_request_id(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(X_REQUEST_ID).iter();
    values.next().is_some_and(|id| is_request_id(id.as_bytes())) && values.next().is_none()
}

pub(in crate::http) fn is_request_id(id: &[u8]) -> bool {
    (1..=LONGEST_ID).contains(&id.len()) && id.iter().all(u8::is_ascii_graphic)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0af7651916cd43dd8448eb211c80319c";
    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn named(given: &[(HeaderName, &str)], traced: Traced) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in given {
            headers.append(name, value.parse().unwrap());
        }
        Forwarding::default().name(&mut headers, traced);
        headers
    }

    fn text(headers: &HeaderMap, name: &HeaderName) -> String {
        headers.get(name).map_or(String::new(), |value| value.to_str().unwrap().to_owned())
    }

    #[test]
    fn they_are_made_where_there_are_none() {
        let headers = named(&[], Traced::Off);
        let (id, parent) = (text(&headers, &X_REQUEST_ID), text(&headers, &TRACEPARENT));
        assert!(is_request_id(id.as_bytes()) && Parent::of(&headers).is_some());
        assert_eq!((id.len(), &parent[3..35], &parent[52..]), (32, id.as_str(), "-01"));
        assert_ne!(text(&named(&[], Traced::Off), &X_REQUEST_ID), id);
        let headers = named(&[], Traced::No);
        let (id, parent) = (text(&headers, &X_REQUEST_ID), text(&headers, &TRACEPARENT));
        assert_eq!((&parent[3..35], &parent[52..]), (id.as_str(), "-00"));
    }

    #[test]
    fn they_are_passed_on_where_they_can_be_used() {
        let given = [(X_REQUEST_ID, "a/b:7"), (TRACEPARENT, PARENT), (TRACESTATE, "v=1")];
        let headers = named(&given, Traced::Off);
        assert_eq!(text(&headers, &X_REQUEST_ID), "a/b:7");
        assert_eq!(text(&headers, &TRACEPARENT), PARENT);
        assert_eq!(text(&headers, &TRACESTATE), "v=1");
        let headers = named(&[(TRACEPARENT, PARENT)], Traced::Off);
        assert_ne!(text(&headers, &X_REQUEST_ID), ID, "a trace has many requests");
    }

    #[test]
    fn who_is_below_hears_whether_it_is_traced() {
        let given = [(TRACEPARENT, PARENT), (TRACESTATE, "v=1")];
        let headers = named(&given, Traced::No);
        let parent = text(&headers, &TRACEPARENT);
        assert_eq!((&parent[3..35], &parent[52..]), (ID, "-00"));
        assert!(!parent.contains("b7ad6b7169203331"), "{parent}");
        assert_eq!(text(&headers, &TRACESTATE), "v=1");
        let not_sampled = PARENT.replace("-01", "-00");
        let headers = named(&[(TRACEPARENT, &not_sampled)], Traced::No);
        assert_eq!(text(&headers, &TRACEPARENT), not_sampled);

        let span = Parent::parse(PARENT.as_bytes()).unwrap().next(true);
        let headers = named(&given, Traced::Yes { span, is_new: false });
        assert_eq!(Parent::of(&headers), Some(span));
        assert_eq!(text(&headers, &TRACESTATE), "v=1");
        assert_ne!(text(&headers, &X_REQUEST_ID), ID);
        let span = Parent::new(true);
        let headers = named(&[(TRACESTATE, "v=1")], Traced::Yes { span, is_new: true });
        assert_eq!(Parent::of(&headers), Some(span));
        assert_eq!(text(&headers, &X_REQUEST_ID).as_bytes(), span.trace_id());
        assert!(!headers.contains_key(TRACESTATE));
    }

    #[test]
    fn what_is_of_no_use_is_replaced() {
        let given = [
            (X_REQUEST_ID, "a"),
            (X_REQUEST_ID, "b"),
            (TRACEPARENT, PARENT),
            (TRACEPARENT, PARENT),
            (TRACESTATE, "v=1"),
        ];
        let headers = named(&given, Traced::Off);
        assert_eq!(headers.get_all(X_REQUEST_ID).iter().count(), 1);
        assert_eq!(text(&headers, &X_REQUEST_ID).len(), 32);
        assert_ne!(Parent::of(&headers).unwrap().trace_id(), *ID.as_bytes().as_array().unwrap());
        assert!(!headers.contains_key(TRACESTATE));
        for id in ["", "a b", &"x".repeat(129)] {
            assert!(!is_request_id(id.as_bytes()), "{id}");
        }
    }

    #[test]
    fn nothing_is_added_where_nobody_asks() {
        let mut headers = HeaderMap::new();
        let mut forwarding =
            Forwarding { request_id: false, trace: false, ..Forwarding::default() };
        forwarding.name(&mut headers, Traced::Off);
        forwarding.name(&mut headers, Traced::No);
        assert!(headers.is_empty());
        forwarding.trace = true;
        forwarding.name(&mut headers, Traced::Off);
        assert_eq!(headers.len(), 1);
    }
}
