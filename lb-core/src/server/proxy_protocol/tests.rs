use proptest::{collection::vec, prelude::*};

use super::*;

/// One of each kind.
pub(super) fn headers() -> Vec<Vec<u8>> {
    let ends = |source: &str, destination: &str| {
        let (source, destination) = (source.parse().unwrap(), destination.parse().unwrap());
        Some(Addresses { source, destination })
    };
    let inet = ends("192.0.2.1:56324", "192.0.2.2:443");
    let inet6 = ends("[2001:db8::1]:1", "[::1]:65535");
    let fields = [tlv::field(0x01, b"h2"), tlv::field(0x04, &[0; 700])];
    let mut headers: Vec<_> =
        [None, inet, inet6].into_iter().flat_map(|ends| [write_v1(ends), write_v2(ends)]).collect();
    headers.push(tlv::header_with(&fields, Some(1)));
    headers.push(b"PROXY UNKNOWN whatever that is\r\n".to_vec());
    headers
}

#[test]
fn what_begins_otherwise_is_no_header() {
    for bytes in
        [&b"GET / HTTP/1.1\r\n"[..], b"\r\nG", b"PROPFIND", b"proxy ", b"\0", b"\r\n\r\n\n"]
    {
        assert_eq!(parse(bytes), Ok(Parsed::Absent), "{bytes:?}");
    }
    assert_eq!(parse(b""), Ok(Parsed::Incomplete { needed: 15 }));
}

#[test]
fn errors_are_one_short_line() {
    use Malformed as M;
    for error in [
        M::Endless,
        M::LineEnd,
        M::Protocol,
        M::Fields,
        M::Address,
        M::Port,
        M::Version(15),
        M::Command(15),
        M::Family(15),
        M::Transport(15),
        M::Addresses,
        M::TooLong { length: 65_551, limit: MAX_LEN },
        M::TooLong { length: 51, limit: 50 },
        M::Overrun,
        M::Value(255),
        M::Twice(1),
        M::Checksum,
    ] {
        let text = error.to_string();
        assert!(
            text.len() < 100 && text.chars().all(|c| c.is_ascii_graphic() || c == ' '),
            "{text}"
        );
    }
}

fn end() -> impl Strategy<Value = SocketAddr> {
    any::<(IpAddr, u16)>().prop_map(SocketAddr::from)
}

fn both_ends() -> impl Strategy<Value = Addresses> {
    (end(), end()).prop_map(|(source, destination)| Addresses { source, destination })
}

fn fields() -> impl Strategy<Value = Vec<Vec<u8>>> {
    // Of the types that are kept there is one at most.
    let kinds = prop::sample::subsequence(vec![0x01, 0x02, 0x05, 0x04, 0x30, 0xe0, 0xff], 0..=7);
    kinds.prop_flat_map(|kinds| {
        let field = |kind| {
            vec(any::<u8>(), 0..128).prop_map(move |mut value| {
                if kind == 0x02 {
                    value.iter_mut().for_each(|byte| *byte = b'a' + *byte % 26);
                }
                tlv::field(kind, &value)
            })
        };
        kinds.into_iter().map(field).collect::<Vec<_>>()
    })
}

/// Headers of every kind.
fn header() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::option::of(both_ends()).prop_map(write_v1),
        prop::option::of(both_ends()).prop_map(write_v2),
        "[ -~]{0,91}".prop_map(|rest| format!("PROXY UNKNOWN {rest}\r\n").into_bytes()),
        (any::<u8>(), vec(any::<u8>(), 0..300))
            .prop_map(|(family, rest)| v2::header(0x20, family, &rest)),
        fields().prop_map(|fields| tlv::header_with(&fields, None)),
        fields().prop_map(|fields| tlv::header_with(&fields, Some(fields.len() / 2))),
    ]
}

/// Bytes that get far: a beginning that is right, with anything behind.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let beginning = prop_oneof![
        Just(vec![]),
        Just(b"PROXY ".to_vec()),
        Just(b"PROXY TCP4 ".to_vec()),
        Just(b"PROXY TCP6 ::1 ".to_vec()),
        Just(v2::SIGNATURE.to_vec()),
        any::<u8>().prop_map(|length| [v2::SIGNATURE, &[0x21, 0x11, 0, length]].concat()),
    ];
    (beginning, vec(any::<u8>(), 0..400)).prop_map(|(beginning, rest)| [beginning, rest].concat())
}

proptest! {
    #[test]
    fn what_is_written_is_read(ends in both_ends()) {
        for header in [write_v1(Some(ends)), write_v2(Some(ends))] {
            let expected = Header {
                length: header.len(),
                addresses: one_family(Some(ends)),
                ..Header::default()
            };
            prop_assert_eq!(parse(&header), Ok(Parsed::Header(expected)));
        }
    }

    #[test]
    fn part_of_a_header_is_none(header in header(), rest in vec(any::<u8>(), 0..20)) {
        for at in 0..header.len() {
            match parse(&header[..at]) {
                Ok(Parsed::Incomplete { needed }) => {
                    prop_assert!((at + 1..=header.len()).contains(&needed), "{} at {}", needed, at);
                }
                other => prop_assert!(false, "{:?} at {}", other, at),
            }
        }
        let whole = parse(&header);
        let Ok(Parsed::Header(found)) = &whole else {
            return Err(TestCaseError::fail(format!("{whole:?}")));
        };
        prop_assert_eq!(found.length, header.len());
        prop_assert_eq!(parse(&[header, rest].concat()), whole);
    }

    #[test]
    fn no_bytes_panic_and_no_header_is_longer_than_they_are(bytes in bytes()) {
        match parse(&bytes) {
            Ok(Parsed::Header(header)) => {
                prop_assert!(header.length <= bytes.len());
                // What comes after it has no say.
                prop_assert_eq!(parse(&bytes[..header.length]), Ok(Parsed::Header(header)));
            }
            Ok(Parsed::Incomplete { needed }) => prop_assert!(needed > bytes.len()),
            Ok(Parsed::Absent) | Err(_) => {}
        }
    }
}
