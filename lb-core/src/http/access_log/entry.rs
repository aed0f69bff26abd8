//! What is remembered of a request until its line is written.

use std::{net::IpAddr, sync::Arc};

use ::http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri, Version, header,
};

use super::format::{Captures, LogFormat, Slot};
use crate::http::{client::Client, forwarding::X_FORWARDED_FOR, record::Try};

/// What is known of a request, for all who are told of its end. Everything in it is
/// shared with the request itself; nothing is copied.
pub(in crate::http) struct Entry {
    pub(super) client: Arc<Client>,
    /// Who the client is, if it isn't who connected.
    origin: Option<IpAddr>,
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) version: Version,
    pub(super) notes: Option<Notes>,
}

/// What the format of the access log takes beside that.
pub(super) struct Notes {
    /// The one in force when the request began.
    pub(super) format: Arc<LogFormat>,
    values: Values,
    /// Bytes of the head, if anybody asks.
    pub(super) head: u64,
    /// The same of the answer.
    pub(super) answer_head: u64,
    /// How many requests the connection has had, if anybody asks.
    pub(super) requests: u64,
    /// Attempts that came to nothing, if anybody asks.
    pub(super) failed: Vec<Try>,
}

/// Headers, by the slots that the format has for them. Few formats name more than have
/// room without an allocation, and few headers come more than once.
#[derive(Default)]
struct Values {
    /// The first value in each of the first slots.
    first: [Option<HeaderValue>; ROOM],
    /// All others, in the order in which they came.
    more: Vec<(Slot, HeaderValue)>,
}

const ROOM: usize = 4;

impl Entry {
    pub(in crate::http) fn new<B>(request: &Request<B>, client: Arc<Client>) -> Self {
        Self {
            client,
            origin: None,
            method: request.method().clone(),
            uri: request.uri().clone(),
            version: request.version(),
            notes: None,
        }
    }

    /// Remembers what its line in this format is to say.
    pub(super) fn note<B>(&mut self, request: &Request<B>, format: Arc<LogFormat>) {
        let captures = format.captures();
        let mut values = Values::default();
        values.take(&captures.request, request.headers());
        for (name, slot) in &captures.passed {
            // It may be answered before it is passed on.
            if *name != X_FORWARDED_FOR {
                values.take_one(name, *slot, request.headers());
            }
        }
        let head = if captures.request_length { request_head(request) } else { 0 };
        let requests = if captures.connection_requests { self.client.requests.count() } else { 0 };
        let failed = Vec::new();
        self.notes = Some(Notes { format, values, head, answer_head: 0, requests, failed });
    }

    pub(in crate::http) fn speaks_for(&mut self, origin: IpAddr) {
        self.origin = Some(origin);
    }

    /// It is passed on with these headers.
    pub(in crate::http) fn is_passed_on(&mut self, headers: &HeaderMap) {
        let Some((captures, values)) = self.noted() else { return };
        for (name, slot) in &captures.passed {
            values.drop(*slot);
            values.take_one(name, *slot, headers);
        }
    }

    /// An attempt at it has come to nothing, and another one is made.
    pub(in crate::http) fn failed(&mut self, attempt: Try) {
        if let Some(notes) = &mut self.notes
            && notes.format.captures().attempts
        {
            notes.failed.push(attempt);
        }
    }

    /// An endpoint answers with these headers.
    pub(in crate::http) fn hears(&mut self, headers: &HeaderMap) {
        if let Some((captures, values)) = self.noted() {
            values.take(&captures.upstream, headers);
        }
    }

    /// The client is answered with these headers.
    pub(in crate::http) fn answers(&mut self, status: StatusCode, headers: &HeaderMap) {
        let Some(notes) = &mut self.notes else { return };
        let captures = notes.format.captures();
        notes.values.take(&captures.sent, headers);
        if captures.bytes_sent {
            notes.answer_head = answer_head(status, headers);
        }
    }

    /// Who has asked, as far as that is known.
    pub(in crate::http) fn client(&self) -> Option<IpAddr> {
        self.origin().or_else(|| Some(self.client.address?.ip().to_canonical()))
    }

    pub(super) fn origin(&self) -> Option<IpAddr> {
        self.origin.map(|ip| ip.to_canonical())
    }

    pub(in crate::http) fn method(&self) -> &Method {
        &self.method
    }

    /// Without the query.
    pub(in crate::http) fn path(&self) -> &str {
        self.uri.path()
    }

    fn noted(&mut self) -> Option<(&Captures, &mut Values)> {
        let Notes { format, values, .. } = self.notes.as_mut()?;
        Some((format.captures(), values))
    }
}

impl Notes {
    /// All that the headers kept in a slot said.
    pub(super) fn values(&self, slot: Option<Slot>) -> impl Iterator<Item = &[u8]> {
        let Values { first, more } = &self.values;
        let first = slot.and_then(|slot| first.get(usize::from(slot))?.as_ref());
        let more = more.iter().filter(move |(at, _)| Some(*at) == slot).map(|(_, value)| value);
        first.into_iter().chain(more).map(HeaderValue::as_bytes)
    }
}

impl Values {
    fn take(&mut self, wanted: &[(HeaderName, Slot)], headers: &HeaderMap) {
        if wanted.is_empty() {
            return;
        }
        // Few are wanted, and few are there: to look at each is less than to look them up.
        for (name, value) in headers {
            if let Some((_, slot)) = wanted.iter().find(|(wanted, _)| wanted == name) {
                self.put(*slot, value);
            }
        }
    }

    fn take_one(&mut self, name: &HeaderName, slot: Slot, headers: &HeaderMap) {
        if let Some(value) = headers.get(name) {
            self.put(slot, value);
        }
    }

    fn put(&mut self, slot: Slot, value: &HeaderValue) {
        match self.first.get_mut(usize::from(slot)) {
            Some(place) if place.is_none() => *place = Some(value.clone()),
            _ => self.more.push((slot, value.clone())),
        }
    }

    fn drop(&mut self, slot: Slot) {
        if let Some(place) = self.first.get_mut(usize::from(slot)) {
            *place = None;
        }
        self.more.retain(|(at, _)| *at != slot);
    }
}

/// Bytes of the head of a request, as HTTP/1.1 has it.
fn request_head<B>(request: &Request<B>) -> u64 {
    let uri = request.uri();
    let target = uri.path_and_query().map_or(1, |target| target.as_str().len());
    let host = match uri.authority() {
        Some(host) if !request.headers().contains_key(header::HOST) => line(4, host.as_str().len()),
        _ => 0,
    };
    // Two spaces, the version and the end of the line; the end of the head.
    let rest = request.method().as_str().len() + target + 12 + 2;
    fields(request.headers()) + host + rest as u64
}

/// Bytes of the head of an answer, as HTTP/1.1 has it.
fn answer_head(status: StatusCode, headers: &HeaderMap) -> u64 {
    let reason = status.canonical_reason().map_or(0, str::len);
    // The version, the status with its spaces and the end of the line; the end of the head.
    fields(headers) + 15 + 2 + reason as u64
}

fn fields(headers: &HeaderMap) -> u64 {
    headers.iter().map(|(name, value)| line(name.as_str().len(), value.len())).sum()
}

fn line(name: usize, value: usize) -> u64 {
    // `: ` and the end of the line.
    (name + value + 4) as u64
}
