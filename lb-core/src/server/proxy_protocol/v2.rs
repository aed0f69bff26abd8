//! Version 2: binary (section 2.2).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{Addresses, Header, MAX_LEN, Malformed, Parsed, one_family, tlv};

/// The header of version 2, for a connection between these two ends; LOCAL if there
/// are none, as the balancer speaks for itself. Ends of different families are sent
/// as unspecified ones, so the receiver uses those of the connection it has.
pub fn write(addresses: Option<Addresses>) -> Vec<u8> {
    let mut header = SIGNATURE.to_vec();
    let command = if addresses.is_some() { PROXY } else { LOCAL };
    header.push(VERSION << 4 | command);
    let Some(Addresses { source, destination }) = one_family(addresses) else {
        header.extend_from_slice(&[UNSPEC << 4 | UNSPEC, 0, 0]);
        return header;
    };
    let (family, length) = if source.is_ipv4() { (INET, INET_LEN) } else { (INET6, INET6_LEN) };
    header.extend_from_slice(&[family << 4 | STREAM, 0, length]);
    for ip in [source.ip(), destination.ip()] {
        match ip {
            IpAddr::V4(ip) => header.extend_from_slice(&ip.octets()),
            IpAddr::V6(ip) => header.extend_from_slice(&ip.octets()),
        }
    }
    for port in [source.port(), destination.port()] {
        header.extend_from_slice(&port.to_be_bytes());
    }
    header
}

pub(super) const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

const VERSION: u8 = 2;
const LOCAL: u8 = 0;
const PROXY: u8 = 1;

/// Of families and of transports.
const UNSPEC: u8 = 0;
const INET: u8 = 1;
const INET6: u8 = 2;
const UNIX: u8 = 3;
const STREAM: u8 = 1;
const DGRAM: u8 = 2;

/// How long two addresses are, in bytes, with their ports.
const INET_LEN: u8 = 12;
const INET6_LEN: u8 = 36;
const UNIX_LEN: u8 = 216;

/// What comes before the addresses: signature, command, family, length.
const HEAD: usize = 16;

/// Parses what begins with the signature, or is the beginning of it. What can be told
/// from the head is told before the rest is there.
pub(super) fn parse(bytes: &[u8]) -> Result<Parsed, Malformed> {
    let mut head = bytes.iter().copied().skip(SIGNATURE.len());
    let incomplete = Ok(Parsed::Incomplete { needed: HEAD });
    let Some(command) = head.next() else { return incomplete };
    let local = is_local(command)?;
    let Some(family) = head.next() else { return incomplete };
    let block = if local { None } else { Block::read(family)? };
    let (Some(high), Some(low)) = (head.next(), head.next()) else { return incomplete };

    let length = HEAD + usize::from(u16::from_be_bytes([high, low]));
    if length > MAX_LEN {
        return Err(Malformed::TooLong { length, limit: MAX_LEN });
    }
    if length < HEAD + block.map_or(0, Block::len) {
        return Err(Malformed::Addresses);
    }
    let Some(whole) = bytes.get(..length) else {
        return Ok(Parsed::Incomplete { needed: length });
    };
    let mut header = Header { length, local, ..Header::default() };
    // Where it isn't said of what kind the addresses are, nobody knows where they end.
    if let Some(block) = block {
        let (addresses, fields) = whole[HEAD..].split_at(block.len());
        header.addresses = block.addresses(addresses);
        tlv::read(&mut header, whole, fields)?;
    }
    Ok(Parsed::Header(header))
}

fn is_local(byte: u8) -> Result<bool, Malformed> {
    match (byte >> 4, byte & 0xf) {
        (VERSION, LOCAL) => Ok(true),
        (VERSION, PROXY) => Ok(false),
        (VERSION, command) => Err(Malformed::Command(command)),
        (version, _) => Err(Malformed::Version(version)),
    }
}

/// The kinds of addresses whose length is known.
#[derive(Clone, Copy)]
enum Block {
    Inet,
    Inet6,
    Unix,
}

impl Block {
    /// `None` if the family or the transport is unspecified. Over which transport a
    /// client came makes no difference: by UDP, as HTTP/3 does, it is the same client.
    fn read(byte: u8) -> Result<Option<Self>, Malformed> {
        let block = match byte >> 4 {
            UNSPEC => None,
            INET => Some(Self::Inet),
            INET6 => Some(Self::Inet6),
            UNIX => Some(Self::Unix),
            family => return Err(Malformed::Family(family)),
        };
        match byte & 0xf {
            UNSPEC => Ok(None),
            STREAM | DGRAM => Ok(block),
            transport => Err(Malformed::Transport(transport)),
        }
    }

    fn len(self) -> usize {
        usize::from(match self {
            Self::Inet => INET_LEN,
            Self::Inet6 => INET6_LEN,
            Self::Unix => UNIX_LEN,
        })
    }

    /// What two addresses of this length are. Paths of Unix sockets tell a balancer
    /// nothing.
    fn addresses(self, bytes: &[u8]) -> Option<Addresses> {
        match self {
            Self::Inet => pair(bytes, |ip: [u8; 4]| Ipv4Addr::from(ip).into()),
            Self::Inet6 => pair(bytes, |ip: [u8; 16]| Ipv6Addr::from(ip).into()),
            Self::Unix => None,
        }
    }
}

/// Both addresses come first, then both ports.
fn pair<const N: usize>(bytes: &[u8], ip: impl Fn([u8; N]) -> IpAddr) -> Option<Addresses> {
    let (from, rest) = bytes.split_first_chunk()?;
    let (to, rest) = rest.split_first_chunk()?;
    let (from_port, rest) = rest.split_first_chunk()?;
    let to_port = rest.first_chunk()?;
    let end = |address, port: &[u8; 2]| SocketAddr::new(ip(address), u16::from_be_bytes(*port));
    Some(Addresses { source: end(*from, from_port), destination: end(*to, to_port) })
}

/// A header with this command, family and rest, whose length is right.
#[cfg(test)]
pub(super) fn header(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [SIGNATURE, &[command, family], &length, rest].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    const INET_BLOCK: [u8; 12] = [10, 0, 0, 1, 10, 0, 0, 2, 0x12, 0x34, 0, 80];

    fn parsed(bytes: &[u8]) -> Header {
        match parse(bytes) {
            Ok(Parsed::Header(header)) => header,
            other => panic!("{other:?}"),
        }
    }

    fn ends(source: &str, destination: &str) -> Option<Addresses> {
        let (source, destination) = (source.parse().unwrap(), destination.parse().unwrap());
        Some(Addresses { source, destination })
    }

    #[test]
    fn families_and_transports() {
        let inet = ends("10.0.0.1:4660", "10.0.0.2:80");
        let inet6 = ends("[102:304:506:708:90a:b0c:d0e:f10]:8508", "[::1]:8765");
        let mut inet6_block: Vec<u8> = (1..=16).collect();
        inet6_block.extend([0; 15]);
        inet6_block.extend([1, 0x21, 0x3c, 0x22, 0x3d]);
        let nothing: &[u8] = &[];
        for (family, block, expected) in [
            (0x11, &INET_BLOCK[..], inet),
            (0x12, &INET_BLOCK, inet),
            (0x21, &inet6_block, inet6),
            (0x22, &inet6_block, inet6),
            (0x31, &[b'/'; 216], None),
            (0x32, &[b'/'; 216], None),
            (0x00, nothing, None),
            (0x01, nothing, None),
            // Of no known length, so nothing in there can be wrong.
            (0x00, &[1, 2, 3], None),
            (0x10, &[1, 2, 3], None),
            (0x02, &INET_BLOCK, None),
        ] {
            let bytes = header(0x21, family, block);
            let expected = Header { length: bytes.len(), addresses: expected, ..Header::default() };
            assert_eq!(parsed(&[&bytes[..], b"GET /"].concat()), expected, "{family:#x}");
        }
    }

    #[test]
    fn who_speaks_for_itself_says_nothing_else() {
        for (family, block) in
            [(0, &[][..]), (0x11, &INET_BLOCK), (0x11, &[1]), (0xff, &[3, 0, 4, 0, 0, 0, 0])]
        {
            let bytes = header(0x20, family, block);
            let expected = Header { length: bytes.len(), local: true, ..Header::default() };
            assert_eq!(parsed(&bytes), expected, "{family:#x}");
        }
    }

    #[test]
    fn what_is_no_such_header() {
        use Malformed as M;
        for (command, family, error) in [
            (0x11, 0x11, M::Version(1)),
            (0x31, 0x11, M::Version(3)),
            (0x22, 0x11, M::Command(2)),
            (0x2f, 0x11, M::Command(15)),
            (0x21, 0x41, M::Family(4)),
            (0x21, 0xf0, M::Family(15)),
            (0x21, 0x13, M::Transport(3)),
            (0x21, 0x0f, M::Transport(15)),
            (0x21, 0x21, M::Addresses),
            (0x21, 0x32, M::Addresses),
        ] {
            let bytes = header(command, family, &INET_BLOCK);
            assert_eq!(parse(&bytes), Err(error), "{command:#x} {family:#x}");
            // It is known before anything else is there.
            assert_eq!(parse(&bytes[..HEAD]), Err(error), "{command:#x} {family:#x}");
        }
        assert_eq!(parse(&header(0x21, 0x11, &INET_BLOCK[1..])), Err(M::Addresses));
    }

    #[test]
    fn its_length_has_a_bound() {
        let longest = header(0x20, 0, &[0; MAX_LEN - HEAD]);
        assert_eq!(parsed(&longest).length, MAX_LEN);
        assert_eq!(parse(&longest[..HEAD]), Ok(Parsed::Incomplete { needed: MAX_LEN }));
        let longer = header(0x20, 0, &[0; MAX_LEN - HEAD + 1]);
        let error = Malformed::TooLong { length: MAX_LEN + 1, limit: MAX_LEN };
        assert_eq!(parse(&longer[..HEAD]), Err(error));
    }

    #[test]
    fn what_is_sent() {
        let head = |rest: &[u8]| [SIGNATURE, rest].concat();
        assert_eq!(write(None), head(&[0x20, 0, 0, 0]));
        assert_eq!(write(ends("10.0.0.1:1", "[::1]:2")), head(&[0x21, 0, 0, 0]));
        let inet = header(0x21, 0x11, &INET_BLOCK);
        assert_eq!(write(ends("10.0.0.1:4660", "10.0.0.2:80")), inet);
        assert_eq!(write(ends("[::ffff:10.0.0.1]:4660", "10.0.0.2:80")), inet);
        let inet6 = write(ends("[102:304::]:4660", "[::1]:80"));
        let mut block = [0; 36];
        block[..4].copy_from_slice(&[1, 2, 3, 4]);
        block[31..].copy_from_slice(&[1, 0x12, 0x34, 0, 80]);
        assert_eq!(inet6, header(0x21, 0x21, &block));
    }
}
