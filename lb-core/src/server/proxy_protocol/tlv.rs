//! What version 2 says beside the addresses: fields of type, length and value
//! (sections 2.2.1 to 2.2.7).

use super::{Header, Malformed, Tls};

const ALPN: u8 = 0x01;
const AUTHORITY: u8 = 0x02;
const CRC32C: u8 = 0x03;
const UNIQUE_ID: u8 = 0x05;
const SSL: u8 = 0x20;
const SSL_VERSION: u8 = 0x21;

/// The fields that are read. Each may be there once only: otherwise the next hop might
/// take the other one.
const READ: [u8; 5] = [ALPN, AUTHORITY, CRC32C, UNIQUE_ID, SSL];

/// The longest unique id, in bytes.
const UNIQUE_ID_LEN: usize = 128;

/// Bits of the first byte of an SSL field: the client came by TLS; it showed a
/// certificate on this connection, or earlier in its session.
const CAME_BY_TLS: u8 = 0x01;
const SHOWED_CERTIFICATE: u8 = 0x02 | 0x04;

/// Enters `fields`, with which the `whole` header ends, into what is known of it.
pub(super) fn read(header: &mut Header, whole: &[u8], fields: &[u8]) -> Result<(), Malformed> {
    let mut fields = Fields(fields);
    let mut seen = Vec::new();
    while let Some((kind, value)) = fields.next().transpose()? {
        if READ.contains(&kind) {
            if seen.contains(&kind) {
                return Err(Malformed::Twice(kind));
            }
            seen.push(kind);
        }
        match kind {
            ALPN => header.alpn = Some(value.into()),
            AUTHORITY => header.authority = Some(text(kind, value)?),
            UNIQUE_ID if value.len() > UNIQUE_ID_LEN => return Err(Malformed::Value(kind)),
            UNIQUE_ID => header.unique_id = Some(value.into()),
            SSL => header.tls = tls(value)?,
            CRC32C => {
                let (before, _) = whole.split_at(whole.len() - fields.0.len() - value.len());
                check(before, value, fields.0)?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// The fields that are left.
struct Fields<'a>(&'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u8, &'a [u8]), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = std::mem::take(&mut self.0);
        if rest.is_empty() {
            return None;
        }
        let field = rest.split_first_chunk().and_then(|(&[kind, high, low], rest)| {
            let length = u16::from_be_bytes([high, low]);
            let (value, rest) = rest.split_at_checked(length.into())?;
            self.0 = rest;
            Some((kind, value))
        });
        Some(field.ok_or(Malformed::Overrun))
    }
}

/// A value that may be logged.
fn text(kind: u8, value: &[u8]) -> Result<Box<str>, Malformed> {
    let text = str::from_utf8(value).ok().filter(|text| !text.contains(char::is_control));
    text.map(Into::into).ok_or(Malformed::Value(kind))
}

fn tls(value: &[u8]) -> Result<Option<Tls>, Malformed> {
    let Some((&[client, verify @ ..], rest)) = value.split_first_chunk::<5>() else {
        return Err(Malformed::Value(SSL));
    };
    // Without a certificate there is nothing to complain of, and some say 0 then.
    let verified = client & SHOWED_CERTIFICATE != 0 && verify == [0; 4];
    let mut tls = Tls { version: None, verified };
    for field in Fields(rest) {
        let (kind, value) = field?;
        match (kind, &tls.version) {
            (SSL_VERSION, None) => tls.version = Some(text(kind, value)?),
            (SSL_VERSION, Some(_)) => return Err(Malformed::Twice(kind)),
            _ => {}
        }
    }
    Ok(Some(tls).filter(|_| client & CAME_BY_TLS != 0))
}

/// Checks the checksum that stands between these two parts of a header; it counts as
/// zero in what it is made of (section 2.2.3).
fn check(before: &[u8], sum: &[u8], after: &[u8]) -> Result<(), Malformed> {
    let sum: [u8; 4] = sum.try_into().map_err(|_| Malformed::Value(CRC32C))?;
    if crc32c([before, &[0; 4], after]) == u32::from_be_bytes(sum) {
        Ok(())
    } else {
        Err(Malformed::Checksum)
    }
}

/// CRC32c (RFC 4960, appendix B), bit by bit: a header is a few hundred bytes, and there
/// is one for each connection.
fn crc32c(parts: [&[u8]; 3]) -> u32 {
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    let bytes = parts.into_iter().flatten();
    !bytes.fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            if crc & 1 == 1 { crc >> 1 ^ POLYNOMIAL } else { crc >> 1 }
        })
    })
}

/// A field of this type with this value.
#[cfg(test)]
pub(super) fn field(kind: u8, value: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(value.len()).unwrap().to_be_bytes();
    [&[kind, high, low], value].concat()
}

/// A header with these fields after two IPv4 addresses, and among them, where `sum` says
/// so, the checksum.
#[cfg(test)]
pub(super) fn header_with(fields: &[Vec<u8>], sum: Option<usize>) -> Vec<u8> {
    let mut fields = fields.to_vec();
    if let Some(at) = sum {
        fields.insert(at, field(CRC32C, &[0; 4]));
    }
    let block: Vec<u8> = (1..=12).collect();
    let mut header = super::v2::header(0x21, 0x11, &[block, fields.concat()].concat());
    if let Some(at) = sum {
        let at = 16 + 12 + fields[..at].concat().len() + 3;
        let sum = crc32c([&header, &[], &[]]).to_be_bytes();
        header[at..at + 4].copy_from_slice(&sum);
    }
    header
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Parsed, parse},
        *,
    };

    fn read(fields: &[Vec<u8>]) -> Result<Header, Malformed> {
        match parse(&header_with(fields, None))? {
            Parsed::Header(header) => Ok(header),
            other => panic!("{other:?}"),
        }
    }

    fn ssl(client: u8, verify: u8, fields: &[Vec<u8>]) -> Vec<u8> {
        field(SSL, &[&[client, 0, 0, 0, verify], &fields.concat()[..]].concat())
    }

    #[test]
    fn what_is_kept() {
        let version = field(SSL_VERSION, b"TLSv1.3");
        let cipher = field(0x23, b"TLS_AES_128_GCM_SHA256");
        let header = read(&[
            field(0x04, &[0xff; 40]),
            field(ALPN, b"h2"),
            field(AUTHORITY, "bücher.example".as_bytes()),
            field(0xe0, b"custom"),
            field(UNIQUE_ID, &[0xff; 128]),
            ssl(1, 0, &[cipher.clone(), version.clone(), cipher]),
            field(0x30, b""),
        ]);
        let header = header.unwrap();
        assert!(header.addresses.is_some());
        assert_eq!(header.alpn.as_deref(), Some(&b"h2"[..]));
        assert_eq!(header.authority.as_deref(), Some("bücher.example"));
        assert_eq!(header.unique_id.as_deref(), Some(&[0xff; 128][..]));
        let tls = Tls { version: Some("TLSv1.3".into()), verified: false };
        assert_eq!(header.tls, Some(tls));
    }

    #[test]
    fn a_certificate_is_good_if_there_is_one_and_nothing_was_found() {
        let verified =
            |client, verify| read(&[ssl(client, verify, &[])]).unwrap().tls.map(|tls| tls.verified);
        for (client, verify, expected) in [
            (0, 0, None),
            (6, 0, None),
            (1, 0, Some(false)),
            (3, 0, Some(true)),
            (5, 0, Some(true)),
            (0xf7, 0, Some(true)),
            (7, 1, Some(false)),
        ] {
            assert_eq!(verified(client, verify), expected, "{client} {verify}");
        }
    }

    #[test]
    fn what_is_wrong() {
        use Malformed as M;
        let version = field(SSL_VERSION, b"TLSv1.3");
        for (fields, error) in [
            (vec![vec![0x04]], M::Overrun),
            (vec![vec![0x04, 0]], M::Overrun),
            (vec![vec![0x04, 0, 1]], M::Overrun),
            (vec![field(0xe0, b"x"), vec![0x04, 0xff, 0xff, 1]], M::Overrun),
            (vec![field(AUTHORITY, b"\xff")], M::Value(AUTHORITY)),
            (vec![field(AUTHORITY, b"a\nb")], M::Value(AUTHORITY)),
            (vec![field(UNIQUE_ID, &[b'x'; 129])], M::Value(UNIQUE_ID)),
            (vec![field(CRC32C, &[0; 3])], M::Value(CRC32C)),
            (vec![field(SSL, &[1, 0, 0, 0])], M::Value(SSL)),
            (vec![ssl(1, 0, &[vec![0x21, 0, 1]])], M::Overrun),
            (vec![ssl(1, 0, &[field(SSL_VERSION, b"\x1b[0m")])], M::Value(SSL_VERSION)),
            (vec![ssl(1, 0, &[version.clone(), version])], M::Twice(SSL_VERSION)),
            (vec![field(ALPN, b"h2"), field(ALPN, b"h2")], M::Twice(ALPN)),
            (vec![field(AUTHORITY, b"a"), field(AUTHORITY, b"b")], M::Twice(AUTHORITY)),
            (vec![ssl(0, 0, &[]), ssl(1, 0, &[])], M::Twice(SSL)),
        ] {
            assert_eq!(read(&fields), Err(error), "{fields:02x?}");
        }
    }

    #[test]
    fn sums() {
        // The published value for these digits, and RFC 3720, appendix B.4.
        assert_eq!(crc32c([b"1234", b"", b"56789"]), 0xe306_9283);
        assert_eq!(crc32c([&[0; 32], &[], &[]]), 0x8a91_36aa);
        assert_eq!(crc32c([&[0xff; 16], &[0xff; 16], &[]]), 0x62a8_ab43);
    }

    #[test]
    fn a_header_with_a_sum_is_believed_only_as_it_was() {
        let fields = [field(ALPN, b"h2"), field(AUTHORITY, b"a.example")];
        for at in 0..=2 {
            let header = header_with(&fields, Some(at));
            assert!(matches!(parse(&header), Ok(Parsed::Header(_))), "{at}");
            for (byte, bit) in
                (16..header.len()).flat_map(|byte| (0..8).map(move |bit| (byte, bit)))
            {
                let mut other = header.clone();
                other[byte] ^= 1 << bit;
                let unchecked = other.windows(3).all(|three| three != [CRC32C, 0, 4]);
                let accepted = matches!(parse(&other), Ok(Parsed::Header(_)));
                assert!(!accepted || unchecked, "{at}: bit {bit} of byte {byte}");
            }
        }
        let sum = field(CRC32C, &[0; 4]);
        let twice = parse(&header_with(&[sum], Some(0)));
        assert_eq!(twice, Err(Malformed::Twice(CRC32C)));
    }
}
