//! TLS to containers.

use std::{path::Path, time::Duration};

use lb_core::{http::UpstreamTls, registry::Verification};

use super::{
    parse::{duration, from_str},
    setting::{Invalid, Origins, Setting},
};
use crate::{
    cli::UpstreamOptions,
    file::{File, Scalar},
};

/// Reads the file of authorities, if there is one.
pub(super) fn upstream_tls(
    typed: &UpstreamOptions,
    from: &Origins<'_>,
    file: &File,
) -> Result<UpstreamTls, Invalid> {
    let setting = |id, typed: &Option<String>, written: &Option<Scalar>| {
        from.setting(id, typed.as_deref(), written.as_ref())
    };
    let ca = setting("upstream_ca", &typed.upstream_ca, &file.upstream_ca);
    let verify = setting("upstream_verify", &typed.upstream_verify, &file.upstream_verify);
    let usual = match (&verify, &ca) {
        (Some(given), _) => given.parse(from_str)?,
        // Who names authorities wants them asked.
        (None, Some(_)) => Verification::Ca,
        (None, None) => Verification::Off,
    };
    if let (Verification::Ca, Some(Setting { key, value }), None) = (usual, &verify, &ca) {
        let remedy = "name the file of authorities with --upstream-ca";
        return Err(Invalid { key: key.clone(), value: value.clone(), remedy: remedy.into() });
    }
    let tls = |ca: Option<&Path>| UpstreamTls::new(usual, ca).map_err(|error| error.to_string());
    let tls = match &ca {
        Some(given) => given.parse(|path| tls(Some(Path::new(path))))?,
        // Nothing that was said can be wrong with it.
        None => Setting { key: "--upstream-verify".into(), value: usual.to_string() }
            .parse(|_| tls(None))?,
    };
    let timeout = setting(
        "upstream_handshake_timeout",
        &typed.upstream_handshake_timeout,
        &file.upstream_handshake_timeout,
    )
    .map_or(Ok(Duration::from_secs(5)), |given| given.parse(duration))?;
    Ok(tls.handshake_timeout(timeout))
}
