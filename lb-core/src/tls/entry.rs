//! What is served under one name, made of its files: all of them or none.

use std::{sync::Arc, time::SystemTime};

use super::{
    authority::Authority,
    directory::{EVERY_HOST, Found, Unit},
    pair::{Fault, Pair},
};

/// What is served under one name.
pub(super) struct Entry {
    pub(super) pair: Option<Arc<Pair>>,
    pub(super) authorities: Authorities,
}

/// Who vouches for the clients of a name.
#[derive(Clone)]
pub(super) enum Authorities {
    /// Nobody in particular.
    Unsaid,
    Known(Arc<Authority>),
    /// There is a file, which never could be read. Who was meant to show a
    /// certificate isn't let in without.
    Unreadable,
}

/// Why the files of a name are not taken.
pub(super) struct Refusal {
    pub(super) fault: Fault,
    /// Whether time alone may change that.
    pub(super) passes: bool,
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self { fault, passes: false }
    }
}

impl Entry {
    /// What is served while nothing can be.
    pub(super) fn blocked(unit: &Unit) -> Self {
        let authorities = match unit.authorities {
            Some(_) => Authorities::Unreadable,
            None => Authorities::Unsaid,
        };
        Self { pair: None, authorities }
    }

    /// With what is wrong and doesn't matter enough to be refused.
    pub(super) fn load(
        name: &str,
        unit: &Unit,
        before: Option<&Self>,
        now: SystemTime,
    ) -> Result<(Self, Vec<Fault>), Refusal> {
        let Unit { certificate, key, authorities, ocsp, doubles } = unit;
        let mut warnings = Vec::new();
        let known = before.and_then(|before| before.authorities.known());
        let authorities = match authorities {
            None => Authorities::Unsaid,
            Some(found) => Authorities::Known(Authority::load(found, known)?),
        };
        let pair = match (certificate, key) {
            (None, None) => None,
            (Some(certificate), None) => {
                return Err(Fault::missing(certificate, "key", "key").into());
            }
            (None, Some(key)) => return Err(Fault::missing(key, "crt", "certificate").into()),
            (Some(certificate), Some(key)) => {
                let mut pair = Pair::load(certificate, key)?;
                if let Some(fault) = pair.untimely(now)
                    && before.is_some_and(|before| before.is_timely(now))
                {
                    return Err(Refusal { fault, passes: true });
                }
                if key.everybody_reads {
                    warnings.push(Fault::new(
                        key,
                        "this key can be read by every user of the machine",
                        "take that right from the others: chmod o-r",
                    ));
                }
                warnings.extend(ocsp.as_ref().and_then(|ocsp| pair.staple(ocsp).err()));
                Some(Arc::new(pair))
            }
        };
        warnings.extend(doubles.iter().map(|double| Fault {
            file: double.clone(),
            what: format!("there is another file of this kind for {name}, which is taken"),
            remedy: "remove one of them".into(),
        }));
        if let (None, Some(found)) = (&pair, &unit.authorities) {
            warnings.extend(maybe_canadian(name, found));
        }
        Ok((Self { pair, authorities }, warnings))
    }

    /// Whether its certificate is valid at this time.
    fn is_timely(&self, now: SystemTime) -> bool {
        self.pair.as_ref().is_some_and(|pair| pair.untimely(now).is_none())
    }

    /// What time has made of it.
    pub(super) fn untimely(&self, now: SystemTime) -> impl Iterator<Item = Fault> {
        let pair = self.pair.as_deref();
        let certificate = pair.and_then(|pair| pair.untimely(now));
        let ocsp = pair.and_then(|pair| pair.unstapled(now));
        certificate.into_iter().chain(ocsp)
    }
}

impl Authorities {
    fn known(&self) -> Option<&Arc<Authority>> {
        match self {
            Self::Known(authority) => Some(authority),
            Self::Unsaid | Self::Unreadable => None,
        }
    }
}

/// A file `shop.ca.crt` alone is taken for authorities of the host `shop`, and may
/// have been meant as the certificate of the host `shop.ca`.
fn maybe_canadian(name: &str, found: &Found) -> Option<Fault> {
    if name == EVERY_HOST || name.contains('.') {
        return None;
    }
    Some(Fault::new(
        found,
        format!("is taken for authorities of the clients of {name:?}, which has no certificate"),
        format!("if it is the certificate of {name}.ca, put {name}.ca.key beside it"),
    ))
}
