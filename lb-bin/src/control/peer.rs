//! Who is at the other end of a control socket. A name that is no file is anybody's
//! to take and to connect to, so both sides look.

use std::io;

use tokio::net::UnixStream;

/// The user this process runs as.
pub(crate) fn us() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// The user at the other end, unless it may tell us what to do.
pub(super) fn stranger(stream: &UnixStream) -> io::Result<Option<u32>> {
    let peer = stream.peer_cred()?.uid();
    Ok((!may_tell(peer, us())).then_some(peer))
}

/// The user at the other end, unless it is one to ask and to believe.
pub(crate) fn impostor(stream: &UnixStream) -> io::Result<Option<u32>> {
    let peer = stream.peer_cred()?.uid();
    Ok((!is_believed(peer, us())).then_some(peer))
}

fn may_tell(peer: u32, us: u32) -> bool {
    peer == 0 || peer == us
}

/// Root asks on behalf of everybody.
fn is_believed(peer: u32, us: u32) -> bool {
    us == 0 || may_tell(peer, us)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_and_the_same_user_are_trusted() {
        for (peer, us, tells, believed) in [
            (0, 0, true, true),
            (0, 1000, true, true),
            (1000, 1000, true, true),
            (1000, 0, false, true),
            (1000, 1001, false, false),
        ] {
            assert_eq!(may_tell(peer, us), tells, "{peer} tells {us}");
            assert_eq!(is_believed(peer, us), believed, "{us} believes {peer}");
        }
    }
}
