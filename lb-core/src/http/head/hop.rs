//! Headers that speak of one connection and not of the message.

use ::http::{HeaderMap, HeaderName, HeaderValue, header};

/// These (RFC 9110, section 7.6.1), beside those that `Connection` names.
/// `Trailer` isn't one: it announces what is passed on.
static HOP_BY_HOP: [HeaderName; 6] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// What a message asks of the next hop, so far as we go along.
#[derive(Default)]
pub(super) struct Hop {
    /// The protocols it would rather speak.
    pub(super) upgrade: Option<HeaderValue>,
    /// Whether it takes trailers.
    trailers: bool,
    /// Whether its body comes in chunks, of whatever method: for some nobody expects
    /// one who isn't told.
    chunked: bool,
}

impl Hop {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        Self {
            upgrade: upgrade(headers),
            trailers: takes_trailers(headers),
            chunked: headers.contains_key(header::TRANSFER_ENCODING),
        }
    }

    /// Puts this in the place of what the message said to us.
    pub(super) fn replace(self, headers: &mut HeaderMap) {
        remove(headers);
        if self.chunked {
            headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        let options = match (&self.upgrade, self.trailers) {
            (None, false) => return,
            (Some(_), false) => "upgrade",
            (None, true) => "te",
            (Some(_), true) => "upgrade, te",
        };
        headers.insert(header::CONNECTION, HeaderValue::from_static(options));
        if let Some(protocol) = self.upgrade {
            headers.insert(header::UPGRADE, protocol);
        }
        if self.trailers {
            headers.insert(header::TE, HeaderValue::from_static("trailers"));
        }
    }
}

/// The options that `Connection` lists.
pub(in crate::http) fn connection_tokens(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    list(headers, &header::CONNECTION)
}

/// Whether the message is framed in a way that everybody understands. Other
/// codings than chunked would be lost on the way, and with them the content.
pub(in crate::http) fn is_plainly_framed(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    codings.next().is_none_or(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked"))
        && codings.next().is_none()
}

fn upgrade(headers: &HeaderMap) -> Option<HeaderValue> {
    let protocol = headers.get(header::UPGRADE)?;
    // A tunnel of HTTP/2 would go past routing and everything else here.
    if protocol.to_str().map_or(true, |list| list.to_ascii_lowercase().contains("h2c")) {
        return None;
    }
    connection_tokens(headers)
        .any(|token| token.eq_ignore_ascii_case("upgrade"))
        .then(|| protocol.clone())
}

fn takes_trailers(headers: &HeaderMap) -> bool {
    headers.contains_key(header::TE)
        && list(headers, &header::TE).any(|coding| coding.eq_ignore_ascii_case("trailers"))
}

fn list<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|list| list.split(','))
        .map(str::trim)
        .filter(|token| !token.is_empty())
}

fn remove(headers: &mut HeaderMap) {
    if headers.contains_key(header::CONNECTION) {
        let named: Vec<HeaderName> =
            connection_tokens(headers).filter_map(|token| token.parse().ok()).collect();
        for name in named {
            // Framing is not an option of the connection: a message that names
            // it would be cut off from its own length.
            if name != header::CONTENT_LENGTH && name != header::HOST {
                headers.remove(name);
            }
        }
    }
    if headers.contains_key(header::TRANSFER_ENCODING) {
        // It doesn't count beside the other (RFC 9112, section 6.3), and would
        // once that one is gone.
        headers.remove(header::CONTENT_LENGTH);
    }
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
}
