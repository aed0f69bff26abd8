//! What variables are called: those there are, and those that nginx alone has.

use ::http::{HeaderName, header};

use super::variable::Variable;

/// The name, what it stands for, and that in words.
type Name = (&'static str, Variable, &'static str);

/// What such names begin with, what they stand for, and that in words.
type Prefix = (&'static str, fn(&str) -> Option<Variable>, &'static str);

/// One name each, but for those at the end.
pub(super) const NAMES: &[Name] = &[
    // The request.
    ("request", Variable::Request, "method, path with query, and protocol: `GET /a?b HTTP/1.1`"),
    ("request_method", Variable::RequestMethod, "`GET`"),
    ("request_uri", Variable::RequestUri, "path and query as they came: `/a?b`"),
    ("uri", Variable::Uri, "the path as it came, without the query"),
    ("args", Variable::Args, "the query, without `?`"),
    ("is_args", Variable::IsArgs, "`?` if there is a query, else nothing"),
    ("server_protocol", Variable::ServerProtocol, "`HTTP/1.0`, `HTTP/1.1` or `HTTP/2.0`"),
    ("scheme", Variable::Scheme, "`http` or `https`"),
    ("https", Variable::Https, "`on` by TLS, else nothing"),
    ("http2", Variable::Http2, "`h2` by HTTP/2 with TLS, `h2c` without, else nothing"),
    (
        "host",
        Variable::Host,
        "the host without its port, in small letters; the service's if the request names none",
    ),
    (
        "http_host",
        Variable::HttpHost,
        "the host as the client names it, in `Host` or in the target",
    ),
    (
        "request_length",
        Variable::RequestLength,
        "bytes of the request: its head as HTTP/1.1 writes it, and what came of its body",
    ),
    ("body_bytes_received", Variable::BodyBytesReceived, "bytes that came of the request's body"),
    (
        "request_id",
        Variable::RequestId,
        "`X-Request-Id`: the client's if it can be used, else the one that was made",
    ),
    (
        "trace_id",
        Variable::TraceId,
        "the trace in `traceparent`: the client's, else the one that was made",
    ),
    (
        "request_time",
        Variable::RequestTime,
        "seconds from the head of the request to the last byte of the answer, with milliseconds",
    ),
    (
        "request_completion",
        Variable::RequestCompletion,
        "`OK` if the whole answer has gone out, else nothing",
    ),
    // The client.
    (
        "remote_addr",
        Variable::RemoteAddr,
        "the client: who connected, or whom a [network you trust](../README.md#options) connected for",
    ),
    ("remote_port", Variable::RemotePort, "the client's port, if it connected itself"),
    (
        "realip_remote_addr",
        Variable::RealipRemoteAddr,
        "who connected (with the PROXY protocol: whom its header names)",
    ),
    ("realip_remote_port", Variable::RealipRemotePort, "the port of the same"),
    (
        "remote_user",
        Variable::RemoteUser,
        "the name of Basic authentication, which nobody has checked; never the password",
    ),
    (
        "proxy_add_x_forwarded_for",
        Variable::ProxyAddXForwardedFor,
        "`X-Forwarded-For` as the container gets it",
    ),
    ("server_addr", Variable::ServerAddr, "the address that was connected to"),
    ("server_port", Variable::ServerPort, "its port"),
    (
        "connection",
        Variable::Connection,
        "the number of the connection, counted from the start of the process",
    ),
    (
        "connection_requests",
        Variable::ConnectionRequests,
        "how many requests have begun on the connection",
    ),
    ("ssl_protocol", Variable::SslProtocol, "`TLSv1.3` or `TLSv1.2`"),
    ("ssl_cipher", Variable::SslCipher, "the cipher suite, by OpenSSL's name"),
    ("ssl_server_name", Variable::SslServerName, "the host that the handshake names (SNI)"),
    (
        "ssl_alpn_protocol",
        Variable::SslAlpnProtocol,
        "`h2` or `http/1.1`, as the handshake has agreed on",
    ),
    (
        "ssl_session_reused",
        Variable::SslSessionReused,
        "`r` if an earlier session was resumed, else `.`",
    ),
    // The answer.
    (
        "status",
        Variable::Status,
        "the status of the answer; 499 if the client left before there was one",
    ),
    ("body_bytes_sent", Variable::BodyBytesSent, "bytes of the answer's body"),
    (
        "bytes_sent",
        Variable::BytesSent,
        "the same with its head as HTTP/1.1 writes it, without `Date` and framing",
    ),
    (
        "response_flags",
        Variable::ResponseFlags,
        "why there is no whole answer of a container: [a reason](operations.md#limits), such as `no_route` or `upstream_reset`",
    ),
    (
        "success",
        Variable::Success,
        "`1` if the whole answer has gone out and its status is below 400, else `0`",
    ),
    // Who answered.
    (
        "server_name",
        Variable::ServerName,
        "the service: the host as it was registered, `*.example.com` too",
    ),
    ("upstream_name", Variable::UpstreamName, "the container that answered"),
    ("upstream_addr", Variable::UpstreamAddr, "the addresses it was sent to, one after the other"),
    (
        "upstream_status",
        Variable::UpstreamStatus,
        "what each of them answered; 502 or 504 if nothing, `-` if that is not its doing",
    ),
    (
        "upstream_connect_time",
        Variable::UpstreamConnectTime,
        "seconds to open a connection to each, 0.000 if one was open, `-` if it failed",
    ),
    ("upstream_header_time", Variable::UpstreamHeaderTime, "seconds until the head of each answer"),
    (
        "upstream_response_time",
        Variable::UpstreamResponseTime,
        "seconds until the last byte of each answer",
    ),
    ("upstream_response_length", Variable::UpstreamResponseLength, "bytes of the container's body"),
    (
        "attempts",
        Variable::Attempts,
        "how often it was sent to a container; 0 if the balancer answered at once",
    ),
    ("proxy_host", Variable::ProxyHost, "the service, as `$server_name`"),
    ("proxy_port", Variable::ProxyPort, "the port of the container that it was sent to last"),
    // The time, and the process.
    ("time_local", Variable::TimeLocal, "when the line was written: `29/Nov/2026:16:48:00 +0000`"),
    ("time_iso8601", Variable::TimeIso8601, "the same: `2026-11-29T16:48:00+00:00`"),
    ("msec", Variable::Msec, "the same in Unix time: `1795970880.042`"),
    ("unix_time", Variable::UnixTime, "the same in whole seconds"),
    ("hostname", Variable::Hostname, "the name of the machine; in a container, of the container"),
    ("pid", Variable::Pid, "the number of the process"),
    // Other names.
    ("document_uri", Variable::Uri, "`$uri`"),
    ("query_string", Variable::Args, "`$args`"),
    ("content_type", Variable::Http(header::CONTENT_TYPE), "`$http_content_type`"),
    ("content_length", Variable::Http(header::CONTENT_LENGTH), "`$http_content_length`"),
    ("service", Variable::ServerName, "`$server_name`"),
    ("proxy_x_forwarded_for", Variable::ProxyAddXForwardedFor, "`$proxy_add_x_forwarded_for`"),
];

/// As many names as there are headers, cookies, arguments.
pub(super) const PREFIXES: &[Prefix] = &[
    (
        "http_",
        |rest| Some(Variable::Http(header_name(rest)?)),
        "a header of the request, as `$http_user_agent`",
    ),
    ("cookie_", |rest| named(rest).map(Variable::Cookie), "a cookie of the request"),
    ("arg_", |rest| named(rest).map(Variable::Arg), "an argument of the query, as it came"),
    (
        "sent_http_",
        |rest| Some(Variable::SentHttp(header_name(rest)?)),
        "a header of the answer, as the client gets it",
    ),
    (
        "upstream_http_",
        |rest| Some(Variable::UpstreamHttp(header_name(rest)?)),
        "a header of the answer, as the container sent it",
    ),
];

const NO_CACHE: &str = "nothing is cached here";
const NO_FILES: &str = "no files are served here";
const NO_MODULE: &str = "it belongs to a module of nginx that has no counterpart here";
const NO_CERTIFICATE: &str = "client certificates are checked, but not told of";
const NO_FIGURE: &str = "/metrics has figures of the whole process";
const NO_COUNT: &str =
    "bytes are counted without heads: name $body_bytes_received or $body_bytes_sent";
const PROXY_HEADER: &str =
    "name $realip_remote_addr: it is the one of the PROXY header, where there is one";

/// What nginx knows and we don't, `*` standing for any end; and what to do about it.
pub(super) const OF_NGINX: &[(&str, &str)] = &[
    ("ancient_browser", NO_MODULE),
    ("binary_remote_addr", "name $remote_addr"),
    ("connection_time", "name $request_time"),
    ("connections_*", NO_FIGURE),
    ("date_gmt", "name $time_iso8601"),
    ("date_local", "name $time_local"),
    ("document_root", NO_FILES),
    ("fastcgi_*", NO_MODULE),
    ("geoip*", NO_MODULE),
    ("gzip_ratio", "nothing is compressed here"),
    ("http3", "HTTP/3 isn't spoken here"),
    ("invalid_referer", NO_MODULE),
    ("jwt_*", NO_MODULE),
    ("limit_*", "name $response_flags, which says what was refused"),
    ("memcached_key", NO_MODULE),
    ("modern_browser", NO_MODULE),
    ("msie", NO_MODULE),
    ("nginx_version", "/metrics has the version, as lb_build_info"),
    ("pipe", "name $connection_requests"),
    ("proxy_internal_*", NO_MODULE),
    ("proxy_protocol_*", PROXY_HEADER),
    ("proxy_x_forwarded_*", "name $scheme, $host or $server_port"),
    ("quic*", "HTTP/3 isn't spoken here"),
    ("realpath_root", NO_FILES),
    ("request_body", "bodies pass through, and are kept nowhere"),
    ("request_body_file", "bodies pass through, and are kept nowhere"),
    ("request_filename", NO_FILES),
    ("secure_link*", NO_MODULE),
    ("sent_trailer_*", "trailers pass through, and are kept nowhere"),
    ("session_*", NO_MODULE),
    ("slice_range", NO_CACHE),
    ("ssl_ciphers", "name $ssl_cipher, the one that was chosen"),
    ("ssl_client_*", NO_CERTIFICATE),
    ("ssl_*", "name $ssl_protocol, $ssl_cipher or $ssl_server_name"),
    ("tcpinfo_*", "nobody asks the kernel for each request"),
    ("uid_*", NO_MODULE),
    ("upstream_bytes_*", NO_COUNT),
    ("upstream_cache_*", NO_CACHE),
    ("upstream_cookie_*", "name $upstream_http_set_cookie"),
    (
        "upstream_queue_time",
        "name $request_time and $upstream_response_time: waiting is the difference",
    ),
    ("upstream_trailer_*", "trailers pass through, and are kept nowhere"),
    ("userid*", NO_MODULE),
];

fn header_name(rest: &str) -> Option<HeaderName> {
    // nginx drops headers with `_` in their names, so that there is one reading.
    HeaderName::from_bytes(rest.replace('_', "-").as_bytes()).ok()
}

fn named(rest: &str) -> Option<Box<str>> {
    (!rest.is_empty()).then(|| rest.into())
}
