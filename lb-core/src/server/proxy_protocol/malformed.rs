use std::{error, fmt};

use super::v1;

/// Why what begins as a PROXY header is none. Shown in one line, without a byte of
/// what was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Malformed {
    /// Version 1: the line doesn't end in time.
    Endless,
    /// Version 1: a CR or LF stands alone.
    LineEnd,
    /// Version 1: the protocol is none of `TCP4`, `TCP6` and `UNKNOWN`.
    Protocol,
    /// Version 1: there are not two addresses and two ports, with one space before each.
    Fields,
    /// Version 1: an address isn't one of the family that is named.
    Address,
    /// Version 1: a port isn't a number from 0 to 65535, or begins with a needless 0.
    Port,
    /// The signature of version 2, followed by another version.
    Version(u8),
    /// Version 2: neither LOCAL nor PROXY.
    Command(u8),
    /// Version 2: an address family that is unknown.
    Family(u8),
    /// Version 2: a transport protocol that is unknown.
    Transport(u8),
    /// Version 2: the header ends inside its addresses.
    Addresses,
    /// The header is longer than is accepted.
    TooLong {
        /// How long it is at least, in bytes.
        length: usize,
        /// How long it may be, in bytes.
        limit: usize,
    },
    /// Version 2: a field ends after the header, or after the field it is part of.
    Overrun,
    /// Version 2: the field of this type has a value that such a field can't have.
    Value(u8),
    /// Version 2: the field of this type is there twice.
    Twice(u8),
    /// Version 2: the checksum is another one.
    Checksum,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("malformed PROXY header: ")?;
        match self {
            Self::Endless => write!(f, "no CRLF in the first {} bytes", v1::MAX_LEN),
            Self::LineEnd => f.write_str("a CR or LF that is no CRLF"),
            Self::Protocol => f.write_str("the protocol is not TCP4, TCP6 or UNKNOWN"),
            Self::Fields => f.write_str("not two addresses and two ports, one space before each"),
            Self::Address => f.write_str("an address is not one of the family named"),
            Self::Port => f.write_str("a port is not a plain number from 0 to 65535"),
            Self::Version(version) => write!(f, "version {version} instead of 2"),
            Self::Command(command) => write!(f, "command {command} is not LOCAL (0) or PROXY (1)"),
            Self::Family(family) => write!(f, "address family {family} is unknown"),
            Self::Transport(transport) => write!(f, "transport protocol {transport} is unknown"),
            Self::Addresses => f.write_str("it ends inside its addresses"),
            Self::TooLong { length, limit } => {
                write!(f, "{length} bytes or more, where {limit} are accepted")
            }
            Self::Overrun => f.write_str("a field is longer than what holds it"),
            Self::Value(kind) => write!(f, "the field of type {kind:#04x} has no such value"),
            Self::Twice(kind) => write!(f, "the field of type {kind:#04x} is there twice"),
            Self::Checksum => f.write_str("the checksum doesn't match"),
        }
    }
}

impl error::Error for Malformed {}
