//! Hands listening sockets to another process, over a Unix socket.
//!
//! The other process accepts from the very same sockets, so between the last
//! connection accepted here and the first one accepted there nobody is refused:
//! who connects waits in the queue that both share. The receiver gives what it
//! got to [`Server::bind_or_adopt`](super::Server::bind_or_adopt), starts, and
//! says so; the sender then calls
//! [`Running::hand_over`](super::Running::hand_over). What the two say to each
//! other besides is theirs to decide.

use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{BorrowedFd, OwnedFd},
};

use rustix::{
    cmsg_space,
    net::{
        RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
        SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
    },
};
use tokio::{io::Interest, net::UnixStream};

/// How many sockets one message can carry.
pub const MOST: usize = 64;

/// What a process started by ours gets, it gets on purpose.
#[cfg(target_os = "linux")]
const FLAGS: RecvFlags = RecvFlags::CMSG_CLOEXEC;
#[cfg(not(target_os = "linux"))]
const FLAGS: RecvFlags = RecvFlags::empty();

/// Sends sockets and, with them, a `message` that must not be empty.
///
/// # Errors
///
/// More than [`MOST`] sockets, an empty message, one too long to be sent in one
/// piece, or a receiver that has gone.
pub async fn send(
    stream: &UnixStream,
    message: &[u8],
    sockets: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let invalid = |why| Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    if sockets.len() > MOST {
        return invalid("too many sockets for one message");
    }
    if message.is_empty() {
        return invalid("sockets need a message to go with");
    }
    let sent = stream
        .async_io(Interest::WRITABLE, || {
            let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MOST))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            control.push(SendAncillaryMessage::ScmRights(sockets));
            Ok(sendmsg(stream, &[IoSlice::new(message)], &mut control, SendFlags::NOSIGNAL)?)
        })
        .await?;
    if sent == message.len() { Ok(()) } else { invalid("the message is too long for one piece") }
}

/// Receives what was sent, a message of at most `longest` bytes; nothing once the
/// sender has gone.
///
/// # Errors
///
/// The connection is broken, or carried more sockets than [`MOST`].
pub async fn receive(
    stream: &UnixStream,
    longest: usize,
) -> io::Result<Option<(Vec<u8>, Vec<OwnedFd>)>> {
    stream
        .async_io(Interest::READABLE, || {
            let mut message = vec![0; longest];
            let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MOST))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let mut parts = [IoSliceMut::new(&mut message)];
            let received = recvmsg(stream, &mut parts, &mut control, FLAGS)?;
            let mut sockets = Vec::new();
            for part in control.drain() {
                if let RecvAncillaryMessage::ScmRights(some) = part {
                    sockets.extend(some);
                }
            }
            if received.flags.contains(ReturnFlags::CTRUNC) {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "more sockets were sent than could be taken",
                ));
            }
            message.truncate(received.bytes);
            Ok((received.bytes > 0).then_some((message, sockets)))
        })
        .await
}
