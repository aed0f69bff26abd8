//! What a line of the access log can name.

use std::fmt;

use ::http::HeaderName;

use super::names::{NAMES, OF_NGINX, PREFIXES};

/// A variable, by what it stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Variable {
    Arg(Box<str>),
    Args,
    Attempts,
    BodyBytesReceived,
    BodyBytesSent,
    BytesSent,
    Connection,
    ConnectionRequests,
    Cookie(Box<str>),
    Host,
    Hostname,
    Http(HeaderName),
    Http2,
    HttpHost,
    Https,
    IsArgs,
    Msec,
    Pid,
    ProxyAddXForwardedFor,
    ProxyHost,
    ProxyPort,
    RealipRemoteAddr,
    RealipRemotePort,
    RemoteAddr,
    RemotePort,
    RemoteUser,
    Request,
    RequestCompletion,
    RequestId,
    RequestLength,
    RequestMethod,
    RequestTime,
    RequestUri,
    ResponseFlags,
    Scheme,
    SentHttp(HeaderName),
    ServerAddr,
    ServerName,
    ServerPort,
    ServerProtocol,
    SslAlpnProtocol,
    SslCipher,
    SslProtocol,
    SslServerName,
    SslSessionReused,
    Status,
    Success,
    TimeIso8601,
    TimeLocal,
    TraceId,
    UnixTime,
    UpstreamAddr,
    UpstreamConnectTime,
    UpstreamHeaderTime,
    UpstreamHttp(HeaderName),
    UpstreamName,
    UpstreamResponseLength,
    UpstreamResponseTime,
    UpstreamStatus,
    Uri,
}

/// Why a name stands for nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unknown {
    /// nginx knows it; what to do about it here.
    Here(&'static str),
    /// Nobody does; those that look like it.
    Everywhere(Vec<&'static str>),
}

impl Variable {
    /// Small letters or not, as in nginx.
    pub(super) fn find(name: &str) -> Result<Self, Unknown> {
        let name = name.to_ascii_lowercase();
        if let Some((_, variable, _)) = NAMES.iter().find(|(known, ..)| *known == name) {
            return Ok(variable.clone());
        }
        for (prefix, make, _) in PREFIXES {
            if let Some(rest) = name.strip_prefix(prefix)
                && let Some(variable) = make(rest)
            {
                return Ok(variable);
            }
        }
        let nginx = OF_NGINX.iter().find(|(known, _)| match known.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix),
            None => *known == name,
        });
        Err(match nginx {
            Some((_, remedy)) => Unknown::Here(remedy),
            None => Unknown::Everywhere(near(&name)),
        })
    }
}

/// How it is written in a format.
impl fmt::Display for Variable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let header = |f: &mut fmt::Formatter<'_>, prefix, name: &HeaderName| {
            write!(f, "{prefix}{}", name.as_str().replace('-', "_"))
        };
        match self {
            Self::Arg(name) => write!(f, "arg_{name}"),
            Self::Cookie(name) => write!(f, "cookie_{name}"),
            Self::Http(name) => header(f, "http_", name),
            Self::SentHttp(name) => header(f, "sent_http_", name),
            Self::UpstreamHttp(name) => header(f, "upstream_http_", name),
            _ => match NAMES.iter().find(|(_, variable, _)| variable == self) {
                Some((name, ..)) => f.write_str(name),
                None => Err(fmt::Error),
            },
        }
    }
}

/// Those that are written almost like `name`, the nearest first.
fn near(name: &str) -> Vec<&'static str> {
    let known = NAMES.iter().map(|(known, ..)| *known);
    let mut near: Vec<_> = known
        .map(|known| (strsim::levenshtein(name, known), known))
        .filter(|(distance, known)| *distance <= (known.len() / 3).min(3))
        .collect();
    near.sort_unstable();
    near.into_iter().map(|(_, known)| known).take(3).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_once_and_written_as_they_are_read() {
        for (at, (name, variable, _)) in NAMES.iter().enumerate() {
            assert!(NAMES[..at].iter().all(|(other, ..)| other != name), "{name} twice");
            assert!(PREFIXES.iter().all(|(prefix, ..)| prefix != name));
            assert_eq!(Variable::find(name).as_ref(), Ok(variable));
            let shown = variable.to_string();
            assert_eq!(Variable::find(&shown).as_ref(), Ok(variable), "{name} is {shown}");
        }
        for (prefix, make, _) in PREFIXES {
            let shown = make("x_y").unwrap().to_string();
            assert_eq!(shown, format!("{prefix}x_y"));
            assert_eq!(Variable::find(&shown).ok(), make("x_y"));
            assert!(Variable::find(prefix).is_err(), "{prefix} of what?");
        }
        assert_eq!(Variable::find("HTTP_X_App"), Variable::find("http_x_app"));
    }

    #[test]
    fn what_nginx_knows_is_known_or_explained() {
        // All of ngx_http_variables.c and the modules that are compiled in usually.
        for name in [
            "arg_a",
            "args",
            "binary_remote_addr",
            "body_bytes_sent",
            "bytes_sent",
            "connection",
            "connection_requests",
            "connection_time",
            "connections_active",
            "content_length",
            "content_type",
            "cookie_a",
            "document_root",
            "document_uri",
            "gzip_ratio",
            "host",
            "hostname",
            "http2",
            "http3",
            "http_a",
            "https",
            "is_args",
            "limit_conn_status",
            "limit_rate",
            "limit_req_status",
            "modern_browser",
            "msec",
            "nginx_version",
            "pid",
            "pipe",
            "proxy_add_x_forwarded_for",
            "proxy_host",
            "proxy_port",
            "proxy_protocol_addr",
            "query_string",
            "realip_remote_addr",
            "realip_remote_port",
            "realpath_root",
            "remote_addr",
            "remote_port",
            "remote_user",
            "request",
            "request_body",
            "request_completion",
            "request_filename",
            "request_id",
            "request_length",
            "request_method",
            "request_time",
            "request_uri",
            "scheme",
            "sent_http_a",
            "sent_trailer_a",
            "server_addr",
            "server_name",
            "server_port",
            "server_protocol",
            "ssl_cipher",
            "ssl_client_s_dn",
            "ssl_protocol",
            "ssl_server_name",
            "ssl_session_id",
            "status",
            "tcpinfo_rtt",
            "time_iso8601",
            "time_local",
            "upstream_addr",
            "upstream_bytes_sent",
            "upstream_cache_status",
            "upstream_connect_time",
            "upstream_cookie_a",
            "upstream_header_time",
            "upstream_http_a",
            "upstream_response_length",
            "upstream_response_time",
            "upstream_status",
            "upstream_trailer_a",
            "uri",
        ] {
            if let Err(Unknown::Everywhere(_)) = Variable::find(name) {
                panic!("{name} is unheard of");
            }
        }
        for (name, _) in OF_NGINX {
            assert!(Variable::find(name.trim_end_matches('*')).is_err(), "{name} is known");
        }
    }

    #[test]
    fn who_mistypes_is_told_what_is_like_it() {
        for (typed, near) in [
            ("stauts", "status"),
            ("remote_adr", "remote_addr"),
            ("body_byte_sent", "body_bytes_sent"),
            ("time_iso", ""),
            ("nothing_like_that", ""),
        ] {
            let Err(Unknown::Everywhere(found)) = Variable::find(typed) else {
                panic!("{typed} is known");
            };
            assert_eq!(found.first().copied().unwrap_or_default(), near, "{typed}");
        }
    }
}
