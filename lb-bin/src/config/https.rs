//! How HTTPS is served.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use http::StatusCode;
use lb_core::{
    registry::{Hsts, HttpsMethod, Policy},
    tls::AcceptorOptions,
};

use super::{
    parse::{duration, from_str, listen_address, truth, unless_off},
    setting::{Invalid, Origins, Setting},
};
use crate::{
    cli::HttpsOptions,
    file::{File, Scalar},
};

/// Where nginx-proxy has its certificates.
const FOLDER: &str = "/etc/nginx/certs";

/// How HTTPS is served, where it is.
#[derive(Clone, Debug)]
pub(crate) struct Https {
    pub(crate) listeners: Listeners,
    pub(crate) method: HttpsMethod,
    pub(crate) http_without_certificate: bool,
    pub(crate) hsts: Hsts,
    /// The port that clients are sent to, if it isn't that of the listeners.
    pub(crate) port: Option<u16>,
    pub(crate) redirect: StatusCode,
}

/// What can't change while it is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listeners {
    pub(crate) listen: Vec<SocketAddr>,
    pub(crate) certificates: PathBuf,
    pub(crate) trust_default: bool,
    pub(crate) http2: bool,
    pub(crate) policy: Policy,
    pub(crate) handshake_timeout: Duration,
}

impl Listeners {
    pub(crate) fn handshakes(&self) -> AcceptorOptions {
        let mut options = AcceptorOptions::default();
        if !self.http2 {
            options.alpn.retain(|protocol| protocol != b"h2");
        }
        options.policy = self.policy;
        options.handshake_timeout = self.handshake_timeout;
        options
    }
}

pub(super) fn https(
    typed: &HttpsOptions,
    from: &Origins<'_>,
    file: &File,
    env: impl Fn(&'static str) -> Option<Setting>,
    usual: SocketAddr,
) -> Result<Option<Https>, Invalid> {
    let setting = |id, typed: &Option<String>, written: &Option<Scalar>| {
        from.setting(id, typed.as_deref(), written.as_ref())
    };
    let said = |id, typed, written, default| {
        setting(id, typed, written).map_or(Ok(default), |given: Setting| given.parse(truth))
    };
    let folder = setting("certificates", &typed.certificates, &file.certificates);
    let listen = setting("listen_tls", &typed.listen_tls, &file.listen_tls);
    // All of it is looked at, whether it is of use or not.
    let addresses = listen
        .as_ref()
        .or(env("HTTPS_PORT").as_ref())
        .map(|given| given.list(listen_address))
        .transpose()?;
    let addresses = addresses.unwrap_or_else(|| vec![usual]);
    let usual = AcceptorOptions::default();
    let http2 = said("http2", &typed.http2, &file.http2, true)?;
    let policy = setting("tls_policy", &typed.tls_policy, &file.tls_policy)
        .map_or(Ok(usual.policy), |given| given.parse(from_str))?;
    let handshake_timeout =
        setting("handshake_timeout", &typed.handshake_timeout, &file.handshake_timeout)
            .map_or(Ok(usual.handshake_timeout), |given| given.parse(duration))?;
    let port =
        setting("external_https_port", &typed.external_https_port, &file.external_https_port)
            .map(|given| given.parse(port))
            .transpose()?;
    let certificates = match &folder {
        Some(given) => given.parse(|text| unless_off(text, |text| Ok(PathBuf::from(text))))?,
        None => Some(PathBuf::from(FOLDER)).filter(|folder| folder.is_dir()),
    };
    let trust_default = said(
        "trust_default_certificate",
        &typed.trust_default_certificate,
        &file.trust_default_certificate,
        true,
    )?;
    let method = setting("https_method", &typed.https_method, &file.https_method)
        .map_or(Ok(HttpsMethod::default()), |given| given.parse(from_str))?;
    let http_without_certificate = said(
        "http_without_certificate",
        &typed.http_without_certificate,
        &file.http_without_certificate,
        true,
    )?;
    let hsts = setting("hsts", &typed.hsts, &file.hsts)
        .map_or(Ok(Hsts::default()), |given| given.parse(from_str))?;
    let redirect = setting("non_get_redirect", &typed.non_get_redirect, &file.non_get_redirect)
        .map_or(Ok(StatusCode::MOVED_PERMANENTLY), |given| given.parse(redirect_status))?;
    let https = |certificates| Https {
        port,
        listeners: Listeners {
            listen: addresses,
            certificates,
            trust_default,
            http2,
            policy,
            handshake_timeout,
        },
        method,
        http_without_certificate,
        hsts,
        redirect,
    };
    match (certificates, listen) {
        (Some(certificates), _) => Ok(Some(https(certificates))),
        (None, None) => Ok(None),
        (None, Some(Setting { key, value })) => {
            let remedy = format!(
                "there are no certificates to serve HTTPS with: name their folder with \
                 --certificates, or make it {FOLDER}"
            );
            Err(Invalid { key, value, remedy })
        }
    }
}

fn port(text: &str) -> Result<u16, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("write a port from 1 to 65535".into()),
        Ok(port) => Ok(port),
    }
}

fn redirect_status(text: &str) -> Result<StatusCode, String> {
    match text {
        "301" => Ok(StatusCode::MOVED_PERMANENTLY),
        "307" => Ok(StatusCode::TEMPORARY_REDIRECT),
        "308" => Ok(StatusCode::PERMANENT_REDIRECT),
        _ => Err("write 301, 307 or 308; with the last two, clients keep the method".into()),
    }
}
