//! One order, from its account to the certificate.

use std::{sync::Arc, time::Duration};

use instant_acme::{
    Account, AuthorizationHandle, AuthorizationStatus, CertificateIdentifier, ChallengeHandle,
    Error, Identifier, NewOrder, Order, OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, KeyPair};
use tokio_rustls::rustls::{
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
    sign::CertifiedKey,
};

use super::{ChallengeType, failure::Failing, issued::Issued};
use crate::tls::{Challenges, Published, provider};

/// How long a server may think, each time it is waited for.
const PATIENCE: Duration = Duration::from_secs(120);

pub(super) struct Ordering<'a> {
    pub(super) host: &'a str,
    /// The certificate it takes the place of, if the server may be told.
    pub(super) replaces: Option<CertificateIdentifier<'static>>,
    pub(super) challenges: &'a Challenges,
    /// In the order in which they are tried.
    pub(super) types: Vec<ChallengeType>,
}

impl Ordering<'_> {
    pub(super) async fn run(self, account: &Account) -> Result<Issued, Failing> {
        let identifiers = [Identifier::Dns(self.host.to_owned())];
        let order = NewOrder::new(&identifiers);
        let mut order = match self.replaces.clone() {
            Some(before) => match account.new_order(&order.replaces(before)).await {
                Err(Error::Unsupported(_)) => account.new_order(&NewOrder::new(&identifiers)).await,
                ordered => ordered,
            },
            None => account.new_order(&order).await,
        }?;

        let mut tokens = Vec::new();
        let ready = self.prove(&mut order, &mut tokens).await;
        ready.map_err(|failing| failing.without(&tokens))?;

        let key = order.finalize().await?;
        let chain = order.poll_certificate(&patience()).await?;
        let unusable = |what: &str| {
            Failing::new(format!("the certificate that was issued can't be used: {what}"))
        };
        let issued = Issued::new(&key, &chain).map_err(unusable)?;
        if !issued.facts().names.iter().any(|name| name.eq_ignore_ascii_case(self.host)) {
            return Err(unusable("it is for another host"));
        }
        Ok(issued)
    }

    /// Answers the challenges until the server has made up its mind.
    async fn prove(&self, order: &mut Order, tokens: &mut Vec<String>) -> Result<(), Failing> {
        let mut published = Vec::new();
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization?;
            match authorization.status {
                AuthorizationStatus::Valid => continue,
                AuthorizationStatus::Pending => {}
                status => return Err(Failing::new(format!("the proof of the host is {status:?}"))),
            }
            tokens.extend(authorization.challenges.iter().map(|one| one.token.clone()));
            let (kind, mut challenge) = self.choose(&mut authorization)?;
            published.push(self.publish(kind, &challenge)?);
            challenge.set_ready().await?;
        }
        let status = order.poll_ready(&patience()).await;
        drop(published);
        match status {
            Ok(OrderStatus::Ready) => Ok(()),
            // The order says less than its challenge.
            Ok(_) => Err(why_invalid(order).await),
            Err(Error::Api(_)) if order.state().error.is_some() => Err(why_invalid(order).await),
            Err(error) => Err(error.into()),
        }
    }

    fn choose<'a>(
        &self,
        authorization: &'a mut AuthorizationHandle<'a>,
    ) -> Result<(ChallengeType, ChallengeHandle<'a>), Failing> {
        let offered = |kind: &&ChallengeType| {
            authorization.challenges.iter().any(|one| one.r#type == kind.acme())
        };
        let kind = self.types.iter().find(offered).copied();
        let chosen = kind.and_then(|kind| Some((kind, authorization.challenge(kind.acme())?)));
        chosen.ok_or_else(|| {
            let names: Vec<_> = self.types.iter().map(|kind| kind.name()).collect();
            Failing::new(format!("the server offers none of {}", names.join(", ")))
        })
    }

    fn publish(
        &self,
        kind: ChallengeType,
        challenge: &ChallengeHandle<'_>,
    ) -> Result<Published, Failing> {
        let authorization = challenge.key_authorization();
        Ok(match kind {
            ChallengeType::Http01 => {
                self.challenges.publish_http01(&challenge.token, authorization.as_str())
            }
            ChallengeType::TlsAlpn01 => {
                let certificate = tls_alpn01(self.host, authorization.digest().as_ref())?;
                self.challenges.publish_tls_alpn01(self.host, certificate)
            }
        })
    }
}

impl ChallengeType {
    fn acme(self) -> instant_acme::ChallengeType {
        match self {
            Self::TlsAlpn01 => instant_acme::ChallengeType::TlsAlpn01,
            Self::Http01 => instant_acme::ChallengeType::Http01,
        }
    }
}

fn patience() -> RetryPolicy {
    RetryPolicy::new().timeout(PATIENCE)
}

/// What the server says of the challenge that wasn't met.
async fn why_invalid(order: &mut Order) -> Failing {
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        // It may refuse nonces.
        for _ in 0..5 {
            if authorization.refresh().await.is_ok() {
                break;
            }
        }
        let mut challenges = authorization.challenges.iter();
        let failed = challenges.find_map(|one| Some((one, one.error.as_ref()?)));
        if let Some((challenge, problem)) = failed {
            let known = ChallengeType::ALL.into_iter().find(|kind| kind.acme() == challenge.r#type);
            return Failing::problem(problem)
                .about(known.map_or("a challenge", ChallengeType::name));
        }
    }
    Failing::new("the server doesn't believe that the host is served here, and not why".into())
}

/// The certificate that answers a challenge (RFC 8737, section 3).
fn tls_alpn01(host: &str, digest: &[u8]) -> Result<Arc<CertifiedKey>, Failing> {
    let failed = |what: &dyn std::fmt::Display| {
        Failing::new(format!("no certificate for the challenge: {what}"))
    };
    let mut params = CertificateParams::new([host.to_owned()]).map_err(|error| failed(&error))?;
    params.distinguished_name = DistinguishedName::new();
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let key = KeyPair::generate().map_err(|error| failed(&error))?;
    let certificate = params.self_signed(&key).map_err(|error| failed(&error))?;
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let key = provider().key_provider.load_private_key(key).map_err(|error| failed(&error))?;
    Ok(Arc::new(CertifiedKey::new(vec![certificate.der().clone()], key)))
}
