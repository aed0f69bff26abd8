//! Formats that have names.

use super::escape::Escape;

/// How the values of a preset are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// In any way that was asked for.
    Any,
    /// In this one: another would make nonsense of it.
    Only(Escape),
    /// In columns between `|`.
    Columns,
}

/// A format that has a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Preset {
    pub(super) name: &'static str,
    pub(super) style: Style,
    pub(super) text: &'static str,
}

/// The first one is the default.
pub(super) const PRESETS: &[Preset] = &[
    Preset {
        name: "default",
        style: Style::Any,
        text: r#"$http_host $remote_addr - - [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent" "$upstream_name" $request_time $attempts $response_flags"#,
    },
    // What nginx-proxy writes.
    Preset {
        name: "nginx-proxy",
        style: Style::Any,
        text: r#"$host $remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent" "$upstream_addr""#,
    },
    // What nginx writes.
    Preset {
        name: "combined",
        style: Style::Any,
        text: r#"$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent""#,
    },
    // The names that nginx-proxy has, and then ours.
    Preset {
        name: "json",
        style: Style::Only(Escape::Json),
        text: concat!(
            r#"{"time_local":"$time_iso8601","client_ip":$http_x_forwarded_for,"remote_addr":$remote_addr,"#,
            r#""remote_user":$remote_user,"host":$host,"scheme":"$scheme","request":"$request","#,
            r#""request_method":"$request_method","request_uri":"$request_uri","server_protocol":"$server_protocol","#,
            r#""request_length":$request_length,"status":$status,"body_bytes_sent":$body_bytes_sent,"#,
            r#""request_time":$request_time,"service":$service,"upstream_name":$upstream_name,"#,
            r#""upstream_addr":$upstream_addr,"upstream_status":$upstream_status,"upstream_connect_time":$upstream_connect_time,"#,
            r#""upstream_header_time":$upstream_header_time,"upstream_response_time":$upstream_response_time,"#,
            r#""attempts":$attempts,"response_flags":$response_flags,"http_referrer":$http_referer,"#,
            r#""http_user_agent":$http_user_agent,"request_id":$request_id,"trace_id":$trace_id}"#,
        ),
    },
    // What nginx-proxy writes with LOG_JSON=true: all values are strings.
    Preset {
        name: "nginx-proxy-json",
        style: Style::Only(Escape::Json),
        text: concat!(
            r#"{"time_local":"$time_iso8601","client_ip":"$http_x_forwarded_for","remote_addr":"$remote_addr","#,
            r#""request":"$request","status":"$status","body_bytes_sent":"$body_bytes_sent","#,
            r#""request_time":"$request_time","upstream_response_time":"$upstream_response_time","#,
            r#""upstream_addr":"$upstream_addr","http_referrer":"$http_referer","#,
            r#""http_user_agent":"$http_user_agent","request_id":"$request_id"}"#,
        ),
    },
    // A colour that isn't there Logstalgia chooses by the status.
    Preset {
        name: "logstalgia",
        style: Style::Columns,
        text: "$unix_time|$remote_addr|$request_uri|$status|$body_bytes_sent|$success||$http_referer|$http_user_agent|$server_name|$upstream_name",
    },
];
