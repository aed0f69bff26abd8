//! What containers are told of clients.

use lb_core::http::{Forwarding, Trust};

use super::{
    parse::{from_str, on_or_off, proxy_name, unless_off},
    setting::{Invalid, Origins, Setting},
};
use crate::{
    cli::Options,
    file::{File, Scalar},
};

/// What endpoints are told of clients, and whether it was said who is believed.
pub(super) fn forwarding(
    options: &Options,
    from: &Origins<'_>,
    file: &File,
) -> Result<(Forwarding, bool), Invalid> {
    let setting = |id, typed: &Option<String>, written: &Option<Scalar>| {
        from.setting(id, typed.as_deref(), written.as_ref())
    };
    let switch = |id, typed, written, default| {
        setting(id, typed, written).map_or(Ok(default), |given: Setting| given.parse(on_or_off))
    };
    let trust = setting(
        "trust_downstream_proxy",
        &options.trust_downstream_proxy,
        &file.trust_downstream_proxy,
    );
    let usual = Forwarding::default();
    let mut forwarding = Forwarding::default();
    forwarding.trust =
        trust.as_ref().map_or(Ok(Trust::everybody()), |given| given.parse(from_str))?;
    forwarding.forwarded =
        switch("forwarded", &options.forwarded, &file.forwarded, usual.forwarded)?;
    forwarding.via = setting("via", &options.via, &file.via)
        .map_or(Ok(None), |given| given.parse(|text| unless_off(text, proxy_name)))?;
    forwarding.request_id =
        switch("request_id", &options.request_id, &file.request_id, usual.request_id)?;
    forwarding.trace = switch("traceparent", &options.traceparent, &file.traceparent, usual.trace)?;
    Ok((forwarding, trust.is_some()))
}
