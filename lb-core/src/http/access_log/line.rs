//! One line: what each variable of the format stands for.

use std::{
    io::Write,
    net::{IpAddr, SocketAddr},
    sync::OnceLock,
    time::{Duration, Instant},
};

use ::http::{StatusCode, Version};
use base64::{
    Engine,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use jiff::{Timestamp, Zoned, tz::TimeZone};

use super::{
    entry::{Entry, Notes},
    escape::{Field, digits, seconds},
    format::{Segment, Slot},
    variable::Variable,
};
use crate::http::{
    forwarding::is_request_id,
    head,
    record::{Record, Try},
    trace::Parent,
};

/// What time it is, in the ways to write it. Those that have no part of a second are
/// written once for each, and so often is the clock on the wall looked at.
#[derive(Default)]
pub(super) struct Stamps {
    /// When that was, and how many milliseconds of its second were over then.
    looked: Option<(Instant, u32)>,
    millis: i64,
    second: i64,
    local: String,
    iso8601: String,
}

impl Stamps {
    /// It is `now`, which is some time by the clock on the `wall`.
    pub(super) fn look(&mut self, now: Instant, wall: impl FnOnce() -> Timestamp) {
        if let Some((looked, over)) = self.looked {
            let since = now.saturating_duration_since(looked);
            let over = over + since.subsec_millis();
            if since.as_secs() == 0 && over < 1000 {
                self.millis = self.second * 1000 + i64::from(over);
                return;
            }
        }
        let wall = wall();
        self.looked = Some((now, wall.subsec_millisecond().unsigned_abs()));
        self.at(wall, TimeZone::system);
    }

    pub(super) fn at(&mut self, now: Timestamp, zone: impl FnOnce() -> TimeZone) {
        self.millis = now.as_millisecond();
        let second = now.as_second();
        if self.second != second || self.local.is_empty() {
            self.second = second;
            let local = Zoned::new(now, zone());
            self.local = local.strftime("%d/%b/%Y:%H:%M:%S %z").to_string();
            self.iso8601 = local.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string();
        }
    }
}

/// Appends the line of a request that has ended, if it is to have one.
pub(super) fn write(out: &mut Vec<u8>, entry: &Entry, record: &Record<'_>, stamps: &Stamps) {
    let Some(notes) = &entry.notes else { return };
    let line = Line { entry, notes, record, stamps };
    for segment in notes.format.segments() {
        match segment {
            Segment::Text(text) => match text.as_bytes() {
                [byte] => out.push(*byte),
                bytes => out.extend_from_slice(bytes),
            },
            Segment::Value { variable, mode, slot } => {
                line.value(variable, *slot, Field::new(out, *mode));
            }
        }
    }
    out.push(b'\n');
}

struct Line<'a> {
    entry: &'a Entry,
    notes: &'a Notes,
    record: &'a Record<'a>,
    stamps: &'a Stamps,
}

impl Line<'_> {
    fn value(&self, variable: &Variable, slot: Option<Slot>, field: Field<'_>) {
        let Self { entry, notes, record, stamps } = self;
        let client = &*entry.client;
        match variable {
            Variable::Request => field.texts([
                entry.method.as_str().as_bytes(),
                b" ",
                self.target().as_bytes(),
                b" ",
                version(entry.version).as_bytes(),
            ]),
            Variable::RequestMethod => field.text(entry.method.as_str().as_bytes()),
            Variable::RequestUri => field.text(self.target().as_bytes()),
            Variable::Uri => field.text(entry.uri.path().as_bytes()),
            Variable::Args => text(field, self.query().map(str::as_bytes)),
            Variable::IsArgs => field.plain(if self.query().is_some() { "?" } else { "" }),
            Variable::Arg(name) => {
                let args = self.query().unwrap_or_default().split('&');
                text(field, value_of(args, name).map(str::as_bytes));
            }
            Variable::ServerProtocol => field.plain(version(entry.version)),
            Variable::Scheme => field.plain(client.scheme()),
            Variable::Https => field.plain(if client.secure { "on" } else { "" }),
            Variable::Http2 => field.plain(match (entry.version, client.secure) {
                (Version::HTTP_2, true) => "h2",
                (Version::HTTP_2, false) => "h2c",
                _ => "",
            }),
            Variable::HttpHost => text(field, self.authority(slot)),
            Variable::Host => match self.host(slot) {
                Some(host) => field.lower(host),
                None => text(field, record.service.map(|name| name.as_bytes())),
            },
            Variable::Http(name) if *name == ::http::header::COOKIE => {
                self.header(slot, b"; ", field);
            }
            Variable::Http(_)
            | Variable::SentHttp(_)
            | Variable::UpstreamHttp(_)
            | Variable::ProxyAddXForwardedFor => self.header(slot, b", ", field),
            Variable::Cookie(name) => {
                let lines = notes.values(slot).filter_map(|line| str::from_utf8(line).ok());
                let cookie = lines.flat_map(|line| line.split(';')).map(str::trim_ascii);
                text(field, value_of(cookie, name).map(str::as_bytes));
            }
            Variable::RequestLength => field.number(notes.head + record.received),
            Variable::BodyBytesReceived => field.number(record.received),
            Variable::RequestId => {
                text(field, notes.values(slot).next().filter(|id| is_request_id(id)));
            }
            Variable::TraceId => {
                let parent = notes.values(slot).next();
                let parent = parent.filter(|parent| Parent::parse(parent).is_some());
                text(field, parent.map(|parent| &parent[3..35]));
            }
            Variable::RequestTime => field.seconds(record.took),
            Variable::RequestCompletion => field.plain(if record.complete { "OK" } else { "" }),

            Variable::RemoteAddr => match entry.origin() {
                Some(origin) => field.print(|out| ip(out, origin)),
                None => text(field, client.address.map(|_| client.ip.as_bytes())),
            },
            Variable::RemotePort if entry.origin().is_some() => field.absent(),
            Variable::RemotePort | Variable::RealipRemotePort => {
                number(field, client.address.map(|peer| peer.port().into()));
            }
            Variable::RealipRemoteAddr => {
                text(field, client.address.map(|_| client.ip.as_bytes()));
            }
            Variable::RemoteUser => {
                let mut room = [0; USER];
                text(field, notes.values(slot).next().and_then(|line| user(line, &mut room)));
            }
            Variable::ServerAddr => match client.local {
                Some(local) => field.print(|out| ip(out, local.ip().to_canonical())),
                None => field.absent(),
            },
            Variable::ServerPort => {
                number(field, client.local.map(|local| local.port().into()));
            }
            Variable::Connection => field.number(client.serial),
            Variable::ConnectionRequests => field.number(notes.requests),
            Variable::SslProtocol
            | Variable::SslCipher
            | Variable::SslServerName
            | Variable::SslAlpnProtocol
            | Variable::SslSessionReused => self.tls(variable, field),

            Variable::Status => field.digits(record.status.as_str()),
            Variable::BodyBytesSent => field.number(record.sent),
            Variable::BytesSent => field.number(notes.answer_head + record.sent),
            Variable::ResponseFlags => field.plain_if(record.reason),
            Variable::Success => {
                let is_fine = record.complete && record.status < StatusCode::BAD_REQUEST;
                field.number(is_fine.into());
            }

            Variable::ServerName | Variable::ProxyHost => {
                text(field, record.service.map(|name| name.as_bytes()));
            }
            Variable::UpstreamName => text(field, record.endpoint.map(|name| name.as_bytes())),
            Variable::UpstreamAddr => self.attempts(field, false, |out, attempt| {
                address(out, attempt.address);
                true
            }),
            Variable::UpstreamStatus => self.attempts(field, true, |out, attempt| {
                let Some(status) = attempt.status else { return false };
                digits(out, status.as_u16().into());
                true
            }),
            Variable::UpstreamConnectTime => self.attempts(field, true, |out, attempt| {
                let Some(connect) = attempt.phases.connect else { return false };
                seconds(out, connect);
                true
            }),
            Variable::UpstreamHeaderTime => self.attempts(field, true, |out, attempt| {
                let Some(first_byte) = attempt.phases.first_byte else { return false };
                seconds(out, attempt.phases.connect.unwrap_or_default() + first_byte);
                true
            }),
            Variable::UpstreamResponseTime => self.attempts(field, true, |out, attempt| {
                seconds(out, attempt.took);
                true
            }),
            Variable::UpstreamResponseLength => number(field, record.endpoint.map(|_| record.sent)),
            Variable::Attempts => field.number(record.attempts.into()),
            Variable::ProxyPort => {
                number(field, record.attempt.map(|attempt| attempt.address.port().into()));
            }

            Variable::TimeLocal => field.plain(&stamps.local),
            Variable::TimeIso8601 => field.plain(&stamps.iso8601),
            Variable::Msec => {
                let now = u64::try_from(stamps.millis).unwrap_or_default();
                field.seconds(Duration::from_millis(now));
            }
            Variable::UnixTime => field.number(u64::try_from(stamps.second).unwrap_or_default()),
            Variable::Hostname => field.text(hostname()),
            Variable::Pid => field.number(std::process::id().into()),
        }
    }

    fn target(&self) -> &str {
        self.entry.uri.path_and_query().map_or("/", |target| target.as_str())
    }

    fn query(&self) -> Option<&str> {
        self.entry.uri.query().filter(|query| !query.is_empty())
    }

    /// Whom the client has asked for, in its own words, but not as whom.
    fn authority(&self, slot: Option<Slot>) -> Option<&[u8]> {
        let authority = match self.entry.uri.authority() {
            Some(authority) => Some(authority.as_str().as_bytes()),
            None => self.notes.values(slot).next(),
        };
        authority.map(head::without_userinfo).filter(|authority| !authority.is_empty())
    }

    /// The same without its port, if it is one that anybody could be routed by.
    fn host(&self, slot: Option<Slot>) -> Option<&[u8]> {
        let host = head::without_port(str::from_utf8(self.authority(slot)?).ok()?)?;
        let host = host.strip_suffix('.').unwrap_or(host);
        (!host.is_empty()).then_some(host.as_bytes())
    }

    /// A header, whose lines are one.
    fn header(&self, slot: Option<Slot>, between: &'static [u8], field: Field<'_>) {
        let mut lines = self.notes.values(slot);
        match lines.next() {
            Some(first) => {
                field.texts([first].into_iter().chain(lines.flat_map(|line| [between, line])));
            }
            None => field.absent(),
        }
    }

    /// Something of each attempt, one after the other. `write` says whether it knew
    /// anything. Who is to have a number gets that of the last one.
    fn attempts(
        &self,
        field: Field<'_>,
        is_number: bool,
        write: impl Fn(&mut Vec<u8>, &Try) -> bool,
    ) {
        let Some(last) = &self.record.attempt else { return field.absent() };
        if is_number && field.is_value() {
            return field.number_if(|out| write(out, last));
        }
        field.print(|out| {
            for (at, attempt) in self.notes.failed.iter().chain([last]).enumerate() {
                if at > 0 {
                    out.extend_from_slice(b", ");
                }
                if !write(out, attempt) {
                    out.push(b'-');
                }
            }
        });
    }

    #[cfg(feature = "tls")]
    fn tls(&self, variable: &Variable, field: Field<'_>) {
        let Some(session) = &self.entry.client.session else { return field.absent() };
        match variable {
            Variable::SslProtocol => field.plain_if(session.version()),
            Variable::SslCipher => field.plain_if(session.cipher()),
            Variable::SslServerName => text(field, session.server_name().map(str::as_bytes)),
            Variable::SslAlpnProtocol => text(field, session.alpn()),
            _ => field.plain(if session.resumed() { "r" } else { "." }),
        }
    }

    #[cfg(not(feature = "tls"))]
    fn tls(&self, _: &Variable, field: Field<'_>) {
        field.absent();
    }
}

fn text(field: Field<'_>, text: Option<&[u8]>) {
    match text {
        Some(text) => field.text(text),
        None => field.absent(),
    }
}

fn number(field: Field<'_>, number: Option<u64>) {
    match number {
        Some(number) => field.number(number),
        None => field.absent(),
    }
}

fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_09 => "HTTP/0.9",
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2.0",
        Version::HTTP_3 => "HTTP/3.0",
        _ => "HTTP/1.1",
    }
}

fn ip(out: &mut Vec<u8>, ip: IpAddr) {
    // Writing to memory can't fail.
    let _ = write!(out, "{ip}");
}

fn address(out: &mut Vec<u8>, address: SocketAddr) {
    let _ = write!(out, "{address}");
}

/// The value of the first of these pairs with this name, whatever its letters.
fn value_of<'a>(mut pairs: impl Iterator<Item = &'a str>, name: &str) -> Option<&'a str> {
    pairs.find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        key.eq_ignore_ascii_case(name).then_some(value)
    })
}

/// Bytes of the longest name that is read.
const USER: usize = 255;

/// The name in credentials of Basic (RFC 7617). What comes behind it is forgotten.
fn user<'a>(credentials: &[u8], room: &'a mut [u8; USER]) -> Option<&'a [u8]> {
    const BASE64: GeneralPurpose = GeneralPurpose::new(
        &STANDARD,
        GeneralPurposeConfig::new()
            .with_decode_padding_mode(DecodePaddingMode::Indifferent)
            .with_decode_allow_trailing_bits(true),
    );
    let (scheme, rest) = credentials.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let token = rest.trim_ascii();
    // Whole groups of four letters, which are three bytes.
    let token = &token[..token.len().min(USER / 3 * 4)];
    let length = BASE64.decode_slice(token, room).ok()?;
    let end = room[..length].iter().position(|&byte| byte == b':')?;
    (end > 0).then_some(&room[..end])
}

fn hostname() -> &'static [u8] {
    static NAME: OnceLock<Vec<u8>> = OnceLock::new();
    NAME.get_or_init(|| rustix::system::uname().nodename().to_bytes().to_vec())
}
