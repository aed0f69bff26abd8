//! How a certificate is called when its server is asked when to renew it (RFC 9773).

use instant_acme::CertificateIdentifier;
use tokio_rustls::rustls::pki_types::Der;
use x509_cert::{
    certificate::{CertificateInner, Raw},
    der::Decode,
    ext::pkix::AuthorityKeyIdentifier,
};

/// None if the certificate doesn't say who has signed it.
pub(super) fn identifier(certificate: &[u8]) -> Option<CertificateIdentifier<'static>> {
    let content = CertificateInner::<Raw>::from_der(certificate).ok()?.tbs_certificate;
    let (_, authority) = content.get::<AuthorityKeyIdentifier>().ok()??;
    let authority = authority.key_identifier?;
    let serial = content.serial_number.as_bytes();
    let parts = (Der::from_slice(authority.as_bytes()), Der::from_slice(serial));
    Some(CertificateIdentifier::new(parts.0, parts.1).into_owned())
}

#[cfg(test)]
mod tests {
    use rcgen::{
        BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyIdMethod, KeyPair,
        SerialNumber,
    };

    use super::*;

    /// The example of RFC 9773, section 4.1.
    #[test]
    fn a_certificate_is_known_by_its_authority_and_serial() {
        let authority = [
            0x69, 0x88, 0x5b, 0x6b, 0x87, 0x46, 0x40, 0x41, 0xe1, 0xb3, 0x7b, 0x84, 0x7b, 0xa0,
            0xae, 0x2c, 0xde, 0x01, 0xc8, 0xd4,
        ];
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_identifier_method = KeyIdMethod::PreSpecified(authority.into());
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let mut params = CertificateParams::new(["example.com".to_owned()]).unwrap();
        params.serial_number = Some(SerialNumber::from_slice(&[0x87, 0x65, 0x43, 0x21]));
        params.use_authority_key_identifier_extension = true;
        let signed = params.signed_by(&KeyPair::generate().unwrap(), &issuer).unwrap();
        let told = identifier(signed.der()).unwrap().to_string();
        assert_eq!(told, "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE");

        params.use_authority_key_identifier_extension = false;
        let nobodys = params.signed_by(&KeyPair::generate().unwrap(), &issuer).unwrap();
        assert!(identifier(nobodys.der()).is_none());
        assert!(identifier(b"nonsense").is_none());
    }
}
