//! The PROXY protocol, both versions. The input is the beginning of a connection.
#![no_main]

use std::{
    net::SocketAddr,
    pin::pin,
    task::{Context, Poll, Waker},
};

use lb_core::server::proxy_protocol::{
    Addresses, Header, MAX_LEN, Parsed, parse, read, write_v1, write_v2,
};
use libfuzzer_sys::fuzz_target;
use tokio::io::AsyncReadExt;

fuzz_target!(|bytes: &[u8]| {
    let parsed = parse(bytes);
    let parts = (0..bytes.len()).step_by(1 + bytes.len() / 64);
    for part in parts.clone().map(|at| &bytes[..at]) {
        match parse(part) {
            Ok(Parsed::Incomplete { needed }) => {
                assert!(needed > part.len());
                if let Ok(Parsed::Header(header)) = &parsed {
                    assert!(needed <= header.length);
                }
            }
            decided => assert_eq!(decided, parsed, "what is decided stays so"),
        }
    }
    match &parsed {
        Ok(Parsed::Header(header)) => {
            assert!(header.length <= bytes.len().min(MAX_LEN));
            is_passed_on(header);
        }
        Ok(Parsed::Incomplete { needed }) => assert!((bytes.len() + 1..=MAX_LEN).contains(needed)),
        Ok(Parsed::Absent) => {}
        Err(error) => {
            let line = error.to_string();
            assert!(line.len() < 100 && line.bytes().all(|byte| matches!(byte, b' '..=b'~')));
        }
    }
    for at in parts {
        is_read(bytes, at, &parsed);
    }
});

/// The next hop is told the same of the client.
fn is_passed_on(header: &Header) {
    let canonical = |end: SocketAddr| SocketAddr::new(end.ip().to_canonical(), end.port());
    let expected = header
        .addresses
        .map(|ends| (canonical(ends.source), canonical(ends.destination)))
        .filter(|(source, destination)| source.is_ipv4() == destination.is_ipv4())
        .map(|(source, destination)| Addresses { source, destination });
    for written in [write_v1(header.addresses), write_v2(header.addresses)] {
        let Ok(Parsed::Header(again)) = parse(&written) else { panic!("{written:?}") };
        assert_eq!((again.addresses, again.length), (expected, written.len()));
    }
}

/// A stream that brings the bytes in two parts is read alike, and none are lost.
fn is_read(bytes: &[u8], at: usize, parsed: &Result<Parsed, impl Sized>) {
    let mut stream = bytes[..at].chain(&bytes[at..]);
    let mut context = Context::from_waker(Waker::noop());
    let result = pin!(read(&mut stream, MAX_LEN)).poll(&mut context);
    // There is always something to read, or the end.
    let Poll::Ready(result) = result else { panic!("it waits") };
    let (first, second) = stream.into_inner();
    match (result, parsed) {
        (Ok((Some(found), left)), Ok(Parsed::Header(header))) => {
            assert_eq!(&found, header);
            assert_eq!([&left, first, second].concat(), bytes[header.length..]);
        }
        (Ok((None, left)), Ok(Parsed::Absent)) => {
            assert_eq!([&left, first, second].concat(), bytes);
        }
        (Err(_), Ok(Parsed::Incomplete { .. }) | Err(_)) => {}
        (result, _) => panic!("{result:?}"),
    }
}
