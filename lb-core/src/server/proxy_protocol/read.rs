use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

use super::{Header, MAX_LEN, Malformed, Parsed, parse};

/// What a header without unusual fields has room in: the smallest segment that every
/// TCP has to support (section 2).
const FIRST: usize = 536;

/// Takes the header off the beginning of a connection. With it come the bytes that
/// were read and are not part of it: they belong before whatever the stream brings
/// next. There is no header if the stream begins otherwise, or ends at once; where one
/// is expected, the connection is to be closed then.
///
/// `limit` bounds the header, in bytes, and what is read to find it; [`MAX_LEN`] does in
/// any case. There is no time limit: put one around it, of 3 seconds at least, which is
/// what it takes to send a segment again (section 2). What had been read is lost then.
///
/// # Errors
///
/// `InvalidData`, with the [`Malformed`] inside: it is no header, or one longer than
/// `limit`. `UnexpectedEof`: the stream ends within the header. What the stream says
/// when it can't be read.
pub async fn read<S>(mut stream: S, limit: usize) -> io::Result<(Option<Header>, Vec<u8>)>
where
    S: AsyncRead + Unpin,
{
    let limit = limit.min(MAX_LEN);
    let mut bytes = vec![0; limit.min(FIRST)];
    let mut filled = 0;
    loop {
        let parsed = parse(&bytes[..filled]).map_err(invalid)?;
        let needed = match parsed {
            Parsed::Incomplete { needed } => needed,
            Parsed::Absent => {
                bytes.truncate(filled);
                return Ok((None, bytes));
            }
            Parsed::Header(header) => {
                bytes.truncate(filled);
                bytes.drain(..header.length);
                return Ok((Some(header), bytes));
            }
        };
        if needed > limit {
            return Err(invalid(Malformed::TooLong { length: needed, limit }));
        }
        if needed > bytes.len() {
            bytes.resize(needed, 0);
        }
        match stream.read(&mut bytes[filled..]).await? {
            0 if filled == 0 => return Ok((None, Vec::new())),
            0 => {
                let ended = "the connection ended within a PROXY header";
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, ended));
            }
            more => filled += more,
        }
    }
}

fn invalid(error: Malformed) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncWriteExt, duplex};

    use super::{
        super::{tests::headers, v2},
        *,
    };

    const REST: &[u8] = b"GET / HTTP/1.1\r\n\r\n";

    #[tokio::test]
    async fn a_header_may_come_in_two_parts() {
        for header in headers() {
            let Ok(Parsed::Header(expected)) = parse(&header) else { panic!("{header:?}") };
            let bytes = [&header, REST].concat();
            for at in 0..=bytes.len() {
                let mut stream = bytes[..at].chain(&bytes[at..]);
                let (found, mut left) = read(&mut stream, MAX_LEN).await.unwrap();
                assert_eq!(found.as_ref(), Some(&expected), "{at} of {header:?}");
                stream.read_to_end(&mut left).await.unwrap();
                assert_eq!(left, REST, "{at} of {header:?}");
            }
        }
    }

    #[tokio::test]
    async fn a_header_may_come_byte_by_byte() {
        for header in headers() {
            let Ok(Parsed::Header(expected)) = parse(&header) else { panic!("{header:?}") };
            let (mut near, far) = duplex(1);
            // The stream stays open, so it has to be found before anything else comes.
            let (written, read) = tokio::join!(near.write_all(&header), read(far, header.len()));
            written.unwrap();
            assert_eq!(read.unwrap(), (Some(expected), vec![]), "{header:?}");
        }
    }

    #[tokio::test]
    async fn what_has_none_is_handed_back() {
        for bytes in [REST, b"", b"\r\nGET /", b"PROPFIND / HTTP/1.1\r\n", b"\x16\x03\x01"] {
            let mut stream = bytes;
            let (found, left) = read(&mut stream, MAX_LEN).await.unwrap();
            assert_eq!(found, None, "{bytes:?}");
            assert_eq!([&left, stream].concat(), bytes);
        }
    }

    #[tokio::test]
    async fn a_header_ends_before_the_connection_does() {
        for header in headers() {
            for at in 1..header.len() {
                let error = read(&header[..at], MAX_LEN).await.unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{at} of {header:?}");
            }
        }
    }

    #[tokio::test]
    async fn no_more_is_read_than_is_allowed() {
        for header in headers() {
            let bytes = [&header, REST].concat();
            for limit in 0..=bytes.len() {
                let mut stream = &bytes[..];
                let result = read(&mut stream, limit).await;
                assert!(bytes.len() - stream.len() <= limit);
                assert_eq!(result.is_ok(), limit >= header.len(), "{limit} for {header:?}");
            }
        }
        let endless = v2::header(0x20, 0, &[0; MAX_LEN]);
        let mut stream = &endless[..];
        let error = read(&mut stream, usize::MAX).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert_eq!(
            error.to_string(),
            "malformed PROXY header: 4112 bytes or more, where 4096 are accepted"
        );
    }
}
