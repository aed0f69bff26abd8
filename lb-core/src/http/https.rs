//! Which requests are served by HTTPS, which by HTTP, and who is sent from one to the
//! other.

use ::http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode,
    header::{self, Entry},
};
use bytes::Bytes;

use super::{
    client::Client,
    error::{Redirect, Refusal, Refused},
    forwarding::Forwarding,
};
use crate::{
    registry::{self, Hsts, HttpsMethod},
    tls::{Acceptor, Challenges, HostOptions},
};

/// How a proxy serves HTTPS. What hosts ask for outranks it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Https {
    /// What the listeners' handshakes are made by: it knows who has a certificate.
    pub acceptor: Acceptor,
    /// What ACME servers are answered that ask by HTTP; nothing, as there are none.
    pub challenges: Challenges,
    /// Which of HTTP and HTTPS hosts are served by; by HTTPS, with redirects. A host
    /// that has no certificate and would be served by HTTPS alone is served by HTTP.
    pub method: HttpsMethod,
    /// Whether that last sentence holds; it does.
    pub http_without_certificate: bool,
    /// What browsers are told by HTTPS of hosts that have a certificate and aren't
    /// [`NoRedirect`](HttpsMethod::NoRedirect); for a year.
    pub hsts: Hsts,
    /// The port that clients are sent to; 443.
    pub port: u16,
    /// The status by which requests other than GET and HEAD are sent there; 301. With
    /// 307 or 308 clients keep the method.
    pub redirect: StatusCode,
}

impl Https {
    /// With what is usual.
    pub fn new(acceptor: Acceptor) -> Self {
        Self {
            acceptor,
            challenges: Challenges::default(),
            method: HttpsMethod::default(),
            http_without_certificate: true,
            hsts: Hsts::default(),
            port: 443,
            redirect: StatusCode::MOVED_PERMANENTLY,
        }
    }
}

/// What holds for one service.
#[derive(Clone, Debug, Default)]
pub(super) struct ServiceHttps {
    method: HttpsMethod,
    http_without_certificate: bool,
    hsts: Option<HeaderValue>,
    handshake: HostOptions,
}

/// What clients of a host meet with that come by HTTPS.
pub(super) struct Outlook {
    /// The name of the certificate that they are shown; with none there is no handshake.
    pub(super) certificate: Option<String>,
    /// Whether who shows none himself gets no handshake.
    pub(super) demands_certificate: bool,
    pub(super) is_served: bool,
}

/// Where a request has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Serve,
    Redirect,
    Refuse,
}

impl ServiceHttps {
    pub(super) fn new(asked: &registry::Https, https: Option<&Https>) -> Self {
        let Some(https) = https else { return Self::default() };
        let hsts = match asked.hsts.as_ref().unwrap_or(&https.hsts) {
            Hsts::Off => None,
            Hsts::Value(value) => HeaderValue::from_str(value).ok(),
        };
        let mut handshake = HostOptions::default();
        handshake.certificate.clone_from(&asked.certificate);
        handshake.policy = asked.policy;
        handshake.client_certificates = asked.client_certificates;
        Self {
            method: asked.method.unwrap_or(https.method),
            http_without_certificate: asked
                .http_without_certificate
                .unwrap_or(https.http_without_certificate),
            hsts,
            handshake,
        }
    }

    /// What it asks for in a handshake.
    pub(super) fn handshake(&self) -> HostOptions {
        let mut options = self.handshake.clone();
        // They get a certificate to read the refusal by.
        options.any_default = self.method == HttpsMethod::NoHttps;
        options
    }

    /// Tells browsers to come by HTTPS, unless the endpoint has told them something.
    pub(super) fn promise(&self, headers: &mut HeaderMap) {
        if let Some(hsts) = &self.hsts
            && let Entry::Vacant(entry) = headers.entry(header::STRICT_TRANSPORT_SECURITY)
        {
            entry.insert(hsts.clone());
        }
    }

    /// The method that it comes to.
    fn method(&self, has_certificate: bool) -> HttpsMethod {
        match self.method {
            HttpsMethod::Redirect | HttpsMethod::NoHttp
                if !has_certificate && self.http_without_certificate =>
            {
                HttpsMethod::NoRedirect
            }
            method => method,
        }
    }
}

impl Way {
    /// `secure` is whether the client speaks TLS to somebody, `here` whether to us.
    fn of(method: HttpsMethod, secure: bool, here: bool) -> Self {
        match method {
            HttpsMethod::Redirect if !secure => Self::Redirect,
            HttpsMethod::NoHttp if !secure => Self::Refuse,
            HttpsMethod::NoHttps if here => Self::Refuse,
            _ => Self::Serve,
        }
    }
}

impl Https {
    /// Whether a request for `host` is served the way it has come, and then, whether
    /// its answer is to tell browsers to come by HTTPS.
    pub(super) fn admit<B>(
        &self,
        request: &Request<B>,
        host: &str,
        service: &ServiceHttps,
        client: &Client,
        forwarding: &Forwarding,
    ) -> Result<bool, Refused> {
        if let Some(session) = &client.session
            && !self.acceptor.allows(session, host, &service.handshake)
        {
            return Err(Refusal::Misdirected.into());
        }
        let has_certificate = self.acceptor.has_certificate(host, &service.handshake);
        let method = service.method(has_certificate);
        let secure = client.secure || forwarding.says_secure(request.headers(), client);
        match Way::of(method, secure, client.session.is_some()) {
            // Nobody gets past a handshake that demands a certificate by a word, or
            // because there is nothing yet to make that handshake with.
            Way::Serve
                if client.session.is_none()
                    && is_https_alone(service.method)
                    && self.acceptor.demands_certificate(host, &service.handshake) =>
            {
                Err(Refusal::Scheme.into())
            }
            Way::Serve => Ok(secure && has_certificate && is_https_alone(method)),
            Way::Refuse => Err(Refusal::Scheme.into()),
            // Who issues certificates asks for these, before there is one.
            Way::Redirect if is_challenge(request.uri().path()) => Ok(false),
            Way::Redirect => Err(self.redirect(request, host)),
        }
    }

    /// What clients of a host meet with that come by HTTPS.
    pub(super) fn outlook(&self, host: &str, service: &ServiceHttps) -> Outlook {
        let options = service.handshake();
        let certificate = self.acceptor.certificate(host, &options);
        let method = service.method(self.acceptor.has_certificate(host, &service.handshake));
        Outlook {
            is_served: Way::of(method, true, true) == Way::Serve,
            demands_certificate: self.acceptor.demands_certificate(host, &options),
            certificate,
        }
    }

    /// The answer to an ACME server that asks whether the host is served here (RFC 8555,
    /// section 8.3), if it is one of ours.
    pub(super) fn challenge<B>(&self, request: &Request<B>) -> Option<Response<Bytes>> {
        let token = request.uri().path().strip_prefix(Challenges::HTTP01_PATH)?;
        let authorization = self.challenges.http01(token)?;
        let mut answer = Response::new(Bytes::copy_from_slice(authorization.as_bytes()));
        let kind = HeaderValue::from_static("application/octet-stream");
        answer.headers_mut().insert(header::CONTENT_TYPE, kind);
        Some(answer)
    }

    fn redirect<B>(&self, request: &Request<B>, host: &str) -> Refused {
        if host.is_empty() {
            return Refusal::BadHost.into();
        }
        let port = if self.port == 443 { String::new() } else { format!(":{}", self.port) };
        let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
        // As in `OPTIONS *`.
        let target = if target.starts_with('/') { target } else { "/" };
        let status = match *request.method() {
            Method::GET | Method::HEAD => StatusCode::MOVED_PERMANENTLY,
            _ => self.redirect,
        };
        match HeaderValue::try_from(format!("https://{host}{port}{target}")) {
            Ok(location) => Redirect { status, location }.into(),
            Err(_) => Refusal::BadTarget.into(),
        }
    }
}

/// Whether that is HTTPS, and not HTTP as well.
fn is_https_alone(method: HttpsMethod) -> bool {
    matches!(method, HttpsMethod::Redirect | HttpsMethod::NoHttp)
}

/// Whether this is the path of a challenge and of nothing else, however the endpoint
/// reads it: a token is of base64url (RFC 8555, section 8.3).
pub(super) fn is_challenge(path: &str) -> bool {
    path.strip_prefix(Challenges::HTTP01_PATH).is_some_and(|token| {
        token.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use HttpsMethod::{NoHttp, NoHttps, NoRedirect, Redirect};
    use Way::{Refuse, Serve};

    #[test]
    fn where_requests_go() {
        for (method, has_certificate, http, https) in [
            (Redirect, true, Way::Redirect, Serve),
            (Redirect, false, Serve, Serve),
            (NoRedirect, true, Serve, Serve),
            (NoHttp, true, Refuse, Serve),
            (NoHttp, false, Serve, Serve),
            (NoHttps, true, Serve, Refuse),
            (NoHttps, false, Serve, Refuse),
        ] {
            let service =
                ServiceHttps { method, http_without_certificate: true, ..Default::default() };
            let method = service.method(has_certificate);
            let ways = (Way::of(method, false, false), Way::of(method, true, true));
            assert_eq!(ways, (http, https), "{method} {has_certificate}");
        }
        let strict = ServiceHttps { method: Redirect, ..Default::default() };
        assert_eq!(strict.method(false), Redirect, "though there is nothing to be sent to");
        assert_eq!(Way::of(NoHttps, true, false), Serve, "a proxy in front speaks TLS, we don't");
    }

    #[test]
    fn a_challenge_leads_nowhere_else() {
        let is = |token: &str| is_challenge(&format!("/.well-known/acme-challenge/{token}"));
        assert!(is("aZ09-_") && !is_challenge("/.well-known/acme"));
        for token in ["..", "../../admin", "%2e%2e/admin", "..\\admin", "a/b", "a;b"] {
            assert!(!is(token), "{token}");
        }
    }
}
