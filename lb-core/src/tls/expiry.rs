//! Until when certificates and their OCSP responses are good, and for whom.

use std::{error, fmt, net::IpAddr, time::SystemTime};

use x509_cert::{
    certificate::{CertificateInner, Raw},
    der::{DateTime, Decode, oid::db::rfc4519::CN},
    ext::pkix::{SubjectAltName, name::GeneralName},
};
use x509_ocsp::{BasicOcspResponse, OcspResponse, OcspResponseStatus};

/// What a certificate says of itself.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Facts {
    /// The alternative names of its subject (hosts and addresses), else the common
    /// name.
    pub(crate) names: Vec<String>,
    pub(crate) not_before: SystemTime,
    pub(crate) not_after: SystemTime,
}

/// It isn't what it should be.
#[derive(Debug, PartialEq)]
pub(crate) struct Malformed(String);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl error::Error for Malformed {}

/// Reads a certificate (RFC 5280, section 4.1).
pub(crate) fn read(der: &[u8]) -> Result<Facts, Malformed> {
    // Raw: old serial numbers break rules that are no concern of ours.
    let certificate = CertificateInner::<Raw>::from_der(der);
    let content = certificate.map_err(|error| Malformed(error.to_string()))?.tbs_certificate;
    let alternatives = content.get::<SubjectAltName>().ok().flatten();
    let mut names: Vec<_> =
        alternatives.iter().flat_map(|(_, names)| &names.0).filter_map(text).collect();
    if names.is_empty() {
        let parts = content.subject.0.iter().flat_map(|part| part.0.iter());
        let common = parts.filter(|part| part.oid == CN).map(ToString::to_string);
        names.extend(common.filter_map(|part| Some(part.strip_prefix("CN=")?.to_owned())));
    }
    Ok(Facts {
        names,
        not_before: content.validity.not_before.to_system_time(),
        not_after: content.validity.not_after.to_system_time(),
    })
}

/// Whether a certificate, which has been verified before, is valid at this time.
pub(super) fn is_valid(der: &[u8], now: SystemTime) -> bool {
    read(der).is_ok_and(|facts| facts.not_before <= now && now <= facts.not_after)
}

fn text(name: &GeneralName) -> Option<String> {
    match name {
        GeneralName::DnsName(name) => Some(name.to_string()),
        GeneralName::IpAddress(bytes) => {
            let v4 = || <[u8; 4]>::try_from(bytes.as_bytes()).map(IpAddr::from);
            let ip = v4().or_else(|_| <[u8; 16]>::try_from(bytes.as_bytes()).map(IpAddr::from));
            Some(ip.ok()?.to_string())
        }
        _ => None,
    }
}

/// Until when an OCSP response is good (RFC 6960, section 4.2.1); `None` if it
/// doesn't say.
pub(super) fn ocsp_until(der: &[u8]) -> Result<Option<SystemTime>, Malformed> {
    let broken = |error| Malformed(format!("is no response of OCSP: {error}"));
    let response = OcspResponse::from_der(der).map_err(broken)?;
    let content = match (response.response_status, response.response_bytes) {
        (OcspResponseStatus::Successful, Some(content)) => content,
        (status, _) => return Err(Malformed(format!("says no more than {status:?}"))),
    };
    let basic = BasicOcspResponse::from_der(content.response.as_bytes()).map_err(broken)?;
    let until = basic.tbs_response_data.responses.iter().filter_map(|of| of.next_update);
    Ok(until.map(|until| until.0.to_system_time()).min())
}

/// As RFC 3339 writes it.
pub(super) fn date(time: SystemTime) -> String {
    DateTime::from_system_time(time).map_or_else(|_| "at no known time".into(), |at| at.to_string())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::{
        CertificateParams, DistinguishedName, DnType, KeyPair, SerialNumber, date_time_ymd,
    };
    use x509_cert::der::Encode;

    use super::*;
    use crate::tls::testing::{response, unix};

    fn certificate(names: &[&str], adjust: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
        let names: Vec<_> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).unwrap();
        adjust(&mut params);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn names_and_times_are_read() {
        let der = certificate(&["example.com", "*.example.com", "10.0.0.1", "fd00::1"], |params| {
            params.not_before = date_time_ymd(2020, 1, 1);
            params.not_after = date_time_ymd(2060, 1, 1);
            params.serial_number = Some(SerialNumber::from(vec![0x7f; 40]));
        });
        let facts = read(&der).unwrap();
        assert_eq!(facts.names, ["example.com", "*.example.com", "10.0.0.1", "fd00::1"]);
        assert_eq!(facts.not_before, unix(1_577_836_800));
        assert_eq!(facts.not_after, unix(2_840_140_800));
        assert_eq!(date(facts.not_after), "2060-01-01T00:00:00Z");
    }

    #[test]
    fn the_common_name_stands_in_for_none() {
        let name = |params: &mut CertificateParams| {
            params.distinguished_name = DistinguishedName::new();
            params.distinguished_name.push(DnType::OrganizationName, "Examples");
            params.distinguished_name.push(DnType::CommonName, "old.example.com");
        };
        assert_eq!(read(&certificate(&[], name)).unwrap().names, ["old.example.com"]);
        assert_eq!(read(&certificate(&["new"], name)).unwrap().names, ["new"]);
    }

    #[test]
    fn a_response_of_ocsp_says_until_when_it_is_good() {
        assert_eq!(ocsp_until(&response(&[Some(5000)])), Ok(Some(unix(5000))));
        assert_eq!(ocsp_until(&response(&[Some(5000), None, Some(4000)])), Ok(Some(unix(4000))));
        assert_eq!(ocsp_until(&response(&[None])), Ok(None));
        let later = OcspResponse::try_later().to_der().unwrap();
        assert_eq!(ocsp_until(&later).unwrap_err().to_string(), "says no more than TryLater");
        let error = ocsp_until(b"-----BEGIN").unwrap_err().to_string();
        assert!(error.starts_with("is no response of OCSP: "), "{error}");
    }

    proptest! {
        #[test]
        fn nothing_that_is_cut_or_changed_panics(
            at in any::<prop::sample::Index>(), to: u8, cut in any::<prop::sample::Index>(),
        ) {
            for der in [certificate(&["example.com"], |_| {}), response(&[Some(1)])] {
                let cut_off = &der[..cut.index(der.len())];
                prop_assert!(read(cut_off).is_err() && ocsp_until(cut_off).is_err());
                let mut changed = der.clone();
                changed[at.index(der.len())] = to;
                let _ = (read(&changed), ocsp_until(&changed));
            }
        }
    }
}
