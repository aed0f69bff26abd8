use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use ::http::{HeaderMap, HeaderValue, Request, StatusCode, header, request::Parts};

use super::{
    Inquiry,
    nearby::{Near, near},
    shares::{Basis, Shares, owner},
};
use crate::{
    balance::Algorithm,
    endpoint::EndpointId,
    http::{
        EndpointReport, Plane, Refusal,
        client::Client,
        forward::key,
        forwarding::X_FORWARDED_FOR,
        head,
        plane::report,
        table::{Service, Table},
    },
    overload::Level,
    registry::HostPattern,
};

/// What would become of a request as things are.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RequestExplanation {
    /// The host it is for, in small letters and without a port.
    pub host: String,
    /// Whether it would come by HTTPS.
    pub secure: bool,
    /// Why it would be refused before any endpoint is asked.
    pub refused: Option<Refusal>,
    /// The service that answers for the host, if one does.
    pub route: Option<RouteExplanation>,
    /// What may be meant, where no service names the host.
    pub near: Vec<Near>,
    /// What becomes of it by HTTP.
    pub http: Way,
    /// What becomes of it by HTTPS, if that is served at all.
    pub https: Option<HttpsExplanation>,
    /// Whether what the client says in `X-Forwarded-*` counts, if that doesn't depend on
    /// a client that wasn't named.
    pub believed: Option<bool>,
    /// Who the client is taken for, if not for who connects.
    pub speaks_for: Option<IpAddr>,
}

/// The service that a request is for, and who would get it there.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RouteExplanation {
    /// Its name.
    pub service: Arc<str>,
    /// What makes it answer for the host.
    pub found_by: Match,
    /// How it picks.
    pub algorithm: Algorithm,
    /// What its requests are kept together by: the client, as the endpoint is told of
    /// it. `None` if the algorithm doesn't hash, or the client isn't known.
    pub key: Option<String>,
    /// Where the request goes.
    pub goes: Goes,
    /// What the parts of its endpoints are reckoned by.
    pub basis: Basis,
    /// Its endpoints.
    pub endpoints: Vec<EndpointShare>,
    /// Requests that wait for one of them.
    pub waiting: usize,
}

/// What makes a service answer for a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Match {
    /// It names it.
    Exact,
    /// By a wildcard.
    Wildcard,
    /// Nobody names it, and this is the default host.
    Default,
}

impl Match {
    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Wildcard => "wildcard",
            Self::Default => "default",
        }
    }
}

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Goes {
    /// To this endpoint, as do all of its key.
    To {
        /// Which one.
        id: EndpointId,
        /// Who is tried with one request at a time, and would else be the one.
        tried: Option<EndpointId>,
    },
    /// To one of those that have a part.
    ToOneOf,
    /// Nobody is ready: it waits, for so long at most since the last one was, and then
    /// gets 503.
    Waits(Duration),
}

/// One endpoint of the service that a request is for.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EndpointShare {
    /// What it is.
    pub report: EndpointReport,
    /// The part of the service's requests that it is given, from 0 to 1.
    pub share: f64,
}

/// What becomes of a request on its way to an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Way {
    /// It is served.
    Serve,
    /// Its client is sent elsewhere.
    Redirect {
        /// By this status.
        status: StatusCode,
        /// There.
        location: String,
    },
    /// It is refused.
    Refuse(Refusal),
}

/// What becomes of a request by HTTPS.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HttpsExplanation {
    /// The name of the certificate that is shown; with none the handshake fails.
    pub certificate: Option<String>,
    /// Whether clients have to show one as well.
    pub demands_certificate: bool,
    /// Whether what comes after the handshake is served, or refused as the host is
    /// served by HTTP alone.
    pub serves: bool,
}

impl RequestExplanation {
    /// Whether an endpoint would be asked: at once, or after the client has followed a
    /// redirect to HTTPS.
    pub fn is_served(&self) -> bool {
        let secure = || self.https.as_ref().is_some_and(|it| it.serves && it.certificate.is_some());
        let gets_through = match &self.http {
            _ if self.secure => secure(),
            Way::Serve => true,
            Way::Redirect { .. } => secure(),
            Way::Refuse(_) => false,
        };
        let goes = self.route.as_ref().is_some_and(|it| !matches!(it.goes, Goes::Waits(_)));
        self.refused.is_none() && gets_through && goes
    }
}

impl Plane {
    /// Explains what would become of a request. Where an algorithm hashes and the client
    /// is known, the endpoint it names is the one that would get it.
    pub fn explain_request(&self, inquiry: &Inquiry) -> RequestExplanation {
        let table = self.0.table.load();
        let options = &*table.options;
        let client = Client::new(inquiry.client.map(|ip| SocketAddr::new(ip, 0)), None);
        let trust = &options.forwarding.trust;
        let known = client.address.is_some() || trust.is_blind();
        let mut explanation = RequestExplanation {
            host: inquiry.host.clone(),
            secure: inquiry.secure,
            refused: None,
            route: None,
            near: Vec::new(),
            http: Way::Serve,
            https: None,
            believed: known.then(|| trust.is_blind() || options.forwarding.believes(&client)),
            speaks_for: None,
        };
        // Who is believed whoever it is has no need of an address.
        let anybody = || Client::new(Some(SocketAddr::from(([0, 0, 0, 0], 0))), None);
        let stand_in =
            if client.address.is_none() && trust.is_blind() { anybody() } else { client };
        let head = match head_of(inquiry) {
            Ok(head) => head,
            Err(refusal) => return explanation.refused(refusal),
        };
        let request = Request::from_parts(head, ());
        let host = match head::host(&request) {
            Ok(host) => host,
            Err(refusal) => return explanation.refused(refusal),
        };
        let small = host.to_ascii_lowercase();
        explanation.host = small.strip_suffix('.').unwrap_or(&small).to_owned();
        if self.0.pressure.level() >= Level::High {
            explanation.refused = Some(Refusal::Overload);
        } else if inquiry.target.as_str().len() > options.uri_limit {
            explanation.refused = Some(Refusal::UriTooLong);
        }
        let service = table.routes.find(host);
        let found_by = service.map(|service| found_by(service, &explanation.host));
        if !matches!(found_by, Some(Match::Exact | Match::Wildcard)) {
            let services = table.services.iter().map(|one| (&one.plan.host, &one.name));
            explanation.near = near(&explanation.host, services, &table.unrouted);
        }
        let (Some(service), Some(found_by)) = (service, found_by) else {
            explanation.refused.get_or_insert(Refusal::NoRoute);
            return explanation;
        };
        #[cfg(feature = "tls")]
        https(&mut explanation, options, service, &stand_in, &request, host);

        let (mut head, ()) = request.into_parts();
        let named = head.headers.contains_key(X_FORWARDED_FOR);
        let word = options.forwarding.word(&head.headers, &stand_in);
        explanation.speaks_for = word.origin;
        head::to_upstream(&mut head, &stand_in, word, &options.forwarding);
        // What is said of nobody in particular counts only where it comes first.
        let known = stand_in.address.is_some() && (inquiry.client.is_some() || named);
        let headers = known.then_some(&head.headers);
        explanation.route = Some(route(&table, service, found_by, headers));
        explanation
    }
}

impl RequestExplanation {
    fn refused(self, refusal: Refusal) -> Self {
        Self { refused: Some(refusal), ..self }
    }
}

/// The head of the request as it would come.
fn head_of(inquiry: &Inquiry) -> Result<Parts, Refusal> {
    let host = HeaderValue::from_str(&inquiry.host).map_err(|_| Refusal::BadHost)?;
    let (mut head, ()) = Request::new(()).into_parts();
    head.uri = inquiry.target.clone().into();
    head.headers = inquiry.headers.clone();
    head.headers.append(header::HOST, host);
    Ok(head)
}

fn found_by(service: &Service, host: &str) -> Match {
    match &service.plan.host {
        pattern if !pattern.matches(host) => Match::Default,
        HostPattern::Exact(_) => Match::Exact,
        HostPattern::Suffix(_) | HostPattern::Prefix(_) => Match::Wildcard,
    }
}

#[cfg(feature = "tls")]
fn https(
    explanation: &mut RequestExplanation,
    options: &crate::http::Options,
    service: &Service,
    client: &Client,
    request: &Request<()>,
    host: &str,
) {
    let Some(https) = &options.https else { return };
    let admitted = https.admit(request, host, &service.https, client, &options.forwarding);
    if let Err(refused) = admitted {
        explanation.http = match refused.redirect() {
            Some(redirect) => Way::Redirect {
                status: redirect.status,
                location: String::from_utf8_lossy(redirect.location.as_bytes()).into_owned(),
            },
            None => Way::Refuse(refused.refusal),
        };
    }
    let outlook = https.outlook(host, &service.https);
    explanation.https = Some(HttpsExplanation {
        certificate: outlook.certificate,
        demands_certificate: outlook.demands_certificate,
        serves: outlook.is_served,
    });
}

fn route(
    table: &Table,
    service: &Service,
    found_by: Match,
    headers: Option<&HeaderMap>,
) -> RouteExplanation {
    let shares = Shares::of(service);
    let members = service.cluster.members();
    let endpoints = service.plan.endpoints.iter().map(|planned| EndpointShare {
        share: service.place(planned).map_or(0.0, |place| shares.parts[place]),
        report: report(table, service, planned),
    });
    let hash = headers.and_then(|headers| key(service, headers));
    let owner = hash.and_then(|hash| owner(service, hash));
    let goes = match owner {
        Some(owner) => Goes::To { id: members[owner.place].id.clone(), tried: owner.tried },
        None if shares.parts.iter().any(|&part| part > 0.0) => Goes::ToOneOf,
        None => Goes::Waits(service.options.wait),
    };
    let first = |headers: &HeaderMap| {
        let chain = headers.get(X_FORWARDED_FOR)?.to_str().ok()?;
        Some(chain.split(',').next()?.trim().to_owned())
    };
    RouteExplanation {
        service: Arc::clone(&service.name),
        found_by,
        algorithm: service.algorithm,
        key: headers.filter(|_| hash.is_some()).and_then(first),
        goes,
        basis: shares.basis,
        endpoints: endpoints.collect(),
        waiting: service.shared.room.waiting(),
    }
}
