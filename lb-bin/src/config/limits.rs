//! What clients and containers may take up, and for how long.

use std::time::Duration;

use lb_core::{http, server};

use super::{
    parse::{duration, number, size, unless_off},
    setting::{Invalid, Origins, Setting},
};
use crate::{
    cli::LimitOptions,
    file::{File, Scalar},
};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Of connections.
    pub(crate) server: server::Limits,
    /// Of requests.
    pub(crate) uri: usize,
    pub(crate) body: Option<u64>,
    pub(crate) body_timeout: Duration,
    pub(crate) answer_timeout: Duration,
    pub(crate) idle_timeout: Duration,
    /// Of everything.
    pub(crate) memory: MemoryLimit,
}

/// How much memory may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MemoryLimit {
    /// What the control group may use, if that is limited.
    OfCgroup,
    /// So many bytes.
    Bytes(u64),
    Off,
}

/// Less than any process needs is a mistake.
const LEAST_MEMORY: u64 = 1 << 20;

pub(super) fn limits(
    typed: &LimitOptions,
    from: &Origins<'_>,
    file: &File,
) -> Result<Limits, Invalid> {
    let setting = |id, typed: &Option<String>, written: &Option<Scalar>| {
        from.setting(id, typed.as_deref(), written.as_ref())
    };
    let time = |id, typed, written, usual: Duration| {
        setting(id, typed, written).map_or(Ok(usual), |given: Setting| given.parse(duration))
    };
    let count = |id, typed, written, usual: usize| {
        let parse = |given: Setting| given.parse(|text| number(text, 1));
        setting(id, typed, written).map_or(Ok(usual), parse)
    };
    let bytes = |id, typed, written, usual: usize| {
        let parse = |given: Setting| given.parse(|text| size(text, 256).map(usize_of));
        setting(id, typed, written).map_or(Ok(usual), parse)
    };
    let mut of_connections = server::Limits::default();
    let of_requests = http::Options::default();
    let usual = of_connections.clone();
    of_connections.head_timeout =
        time("head_timeout", &typed.head_timeout, &file.head_timeout, usual.head_timeout)?;
    of_connections.send_timeout =
        time("send_timeout", &typed.send_timeout, &file.send_timeout, usual.send_timeout)?;
    of_connections.head_size =
        bytes("head_size", &typed.head_size, &file.head_size, usual.head_size)?;
    of_connections.headers = count("headers", &typed.headers, &file.headers, usual.headers)?;
    of_connections.connections =
        count("connections", &typed.connections, &file.connections, usual.connections)?;
    of_connections.connections_per_client = setting(
        "connections_per_client",
        &typed.connections_per_client,
        &file.connections_per_client,
    )
    .map_or(Ok(usual.connections_per_client), |given| {
        given.parse(|text| unless_off(text, |text| number(text, 1)))
    })?;
    of_connections.requests = setting(
        "requests_per_connection",
        &typed.requests_per_connection,
        &file.requests_per_connection,
    )
    .map_or(Ok(usual.requests), |given| {
        given.parse(|text| unless_off(text, |text| number(text, 1).map(|number| number as u64)))
    })?;
    let streams = usual.streams as usize;
    of_connections.streams =
        u32::try_from(count("streams", &typed.streams, &file.streams, streams)?)
            .unwrap_or(u32::MAX);
    Ok(Limits {
        server: of_connections,
        uri: bytes("uri_limit", &typed.uri_limit, &file.uri_limit, of_requests.uri_limit)?,
        body: setting("body_limit", &typed.body_limit, &file.body_limit)
            .map_or(Ok(of_requests.body_limit), |given| {
                given.parse(|text| unless_off(text, |text| size(text, 0)))
            })?,
        body_timeout: time(
            "body_timeout",
            &typed.body_timeout,
            &file.body_timeout,
            of_requests.body_timeout,
        )?,
        answer_timeout: time(
            "answer_timeout",
            &typed.answer_timeout,
            &file.answer_timeout,
            of_requests.answer_timeout,
        )?,
        idle_timeout: time(
            "idle_timeout",
            &typed.idle_timeout,
            &file.idle_timeout,
            of_requests.idle_timeout,
        )?,
        memory: setting("memory_limit", &typed.memory_limit, &file.memory_limit).map_or(
            Ok(MemoryLimit::OfCgroup),
            |given| {
                given.parse(|text| {
                    let bytes = unless_off(text, |text| size(text, LEAST_MEMORY))?;
                    Ok(bytes.map_or(MemoryLimit::Off, MemoryLimit::Bytes))
                })
            },
        )?,
    })
}

fn usize_of(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
