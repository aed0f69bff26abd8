//! Files as they would be read, for tests.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{CertificateParams, KeyPair};
use x509_cert::der::{
    Encode,
    asn1::{BitString, GeneralizedTime, Null, OctetString},
};
use x509_ocsp::{
    BasicOcspResponse, CertId, CertStatus, OcspGeneralizedTime, OcspResponse, ResponderId,
    ResponseData, SingleResponse, Version,
};

use super::directory::{Found, Unit};

pub(super) fn unix(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

pub(super) fn found(path: &str, content: impl Into<Vec<u8>>) -> Found {
    Found { path: path.into(), content: Ok(content.into()), everybody_reads: false }
}

/// A certificate and its key, valid between these seconds since 1970.
pub(super) fn unit(from: u64, to: u64) -> Unit {
    let mut params = CertificateParams::new(["example.com".to_owned()]).unwrap();
    (params.not_before, params.not_after) = (unix(from).into(), unix(to).into());
    let key = KeyPair::generate().unwrap();
    Unit {
        certificate: Some(found("example.com.crt", params.self_signed(&key).unwrap().pem())),
        key: Some(found("example.com.key", key.serialize_pem())),
        ..Unit::default()
    }
}

/// A response that is good until then, for each of its certificates.
pub(super) fn response(until: &[Option<u64>]) -> Vec<u8> {
    let time = |seconds| GeneralizedTime::from_unix_duration(Duration::from_secs(seconds));
    let hash = || OctetString::new([0; 20]).unwrap();
    let algorithm = || x509_cert::spki::AlgorithmIdentifierOwned {
        oid: x509_cert::der::oid::db::rfc5912::ID_SHA_1,
        parameters: None,
    };
    let of = |until: &Option<u64>| SingleResponse {
        cert_id: CertId {
            hash_algorithm: algorithm(),
            issuer_name_hash: hash(),
            issuer_key_hash: hash(),
            serial_number: 1_u8.into(),
        },
        cert_status: CertStatus::Good(Null),
        this_update: OcspGeneralizedTime(time(0).unwrap()),
        next_update: until.map(|until| OcspGeneralizedTime(time(until).unwrap())),
        single_extensions: None,
    };
    let basic = BasicOcspResponse {
        tbs_response_data: ResponseData {
            version: Version::V1,
            responder_id: ResponderId::ByKey(hash()),
            produced_at: OcspGeneralizedTime(time(0).unwrap()),
            responses: until.iter().map(of).collect(),
            response_extensions: None,
        },
        signature_algorithm: algorithm(),
        signature: BitString::from_bytes(&[0]).unwrap(),
        certs: None,
    };
    OcspResponse::successful(basic).unwrap().to_der().unwrap()
}
