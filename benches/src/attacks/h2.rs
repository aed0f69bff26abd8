//! HTTP/2 frame by frame, as no client would speak it.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, BufReader},
    net::tcp::{OwnedReadHalf, OwnedWriteHalf},
    sync::watch,
    time::{self, Instant},
};

use super::{Frames, scene::connect};

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PING: u8 = 6;
const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;

pub(super) const END_STREAM: u8 = 1;
pub(super) const ACK: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;

pub(super) const INITIAL_WINDOW: u16 = 4;

pub(super) const REFUSED_STREAM: u32 = 7;
pub(super) const CANCEL: u32 = 8;

pub(super) fn frame(to: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let length = u32::try_from(payload.len()).unwrap_or(0).to_be_bytes();
    to.extend_from_slice(&length[1..]);
    to.extend_from_slice(&[kind, flags]);
    to.extend_from_slice(&stream.to_be_bytes());
    to.extend_from_slice(payload);
}

/// The fields of a request; the method and the path as HPACK has them.
pub(super) fn head(method: &str, path: &str) -> Vec<u8> {
    // `:scheme: http`, from the static table; then names from there with own values.
    let mut head = vec![0x86];
    for (name, value) in [(2, method), (4, path), (1, "app.test")] {
        literal(&mut head, &[name], value.as_bytes());
    }
    head
}

/// A field that isn't to be remembered.
pub(super) fn literal(to: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    to.extend_from_slice(name);
    length(to, value.len());
    to.extend_from_slice(value);
}

/// A length as HPACK writes it (RFC 7541, section 5.1), without Huffman's code.
fn length(to: &mut Vec<u8>, length: usize) {
    let mut rest = match u8::try_from(length) {
        Ok(short @ 0..0x7f) => return to.push(short),
        _ => length - 0x7f,
    };
    to.push(0x7f);
    while rest >= 0x80 {
        to.push(0x80 | u8::try_from(rest & 0x7f).unwrap_or(0));
        rest >>= 7;
    }
    to.push(u8::try_from(rest).unwrap_or(0));
}

/// What has come from the proxy.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// Heads of answers.
    pub(super) answers: AtomicU64,
    /// Streams that were refused.
    pub(super) refused: AtomicU64,
    /// Streams that were reset for another reason.
    pub(super) reset: AtomicU64,
}

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Open,
    /// The proxy has said why it will close it (GOAWAY).
    Leaving(u32),
    Closed(Option<u32>),
}

/// A client of HTTP/2 that can do anything.
pub(super) struct Peer {
    write: OwnedWriteHalf,
    pub(super) heard: Arc<Heard>,
    state: watch::Receiver<State>,
}

/// How a flood ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flood {
    pub(super) frames: u64,
    pub(super) state: State,
}

impl Peer {
    pub(super) async fn connect(
        address: SocketAddr,
        number: usize,
        settings: &[(u16, u32)],
    ) -> anyhow::Result<Self> {
        let (read, mut write) = connect(address, number).await?.into_split();
        let mut start = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        let settings: Vec<_> = settings
            .iter()
            .flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat())
            .collect();
        frame(&mut start, SETTINGS, 0, 0, &settings);
        frame(&mut start, SETTINGS, ACK, 0, &[]);
        write.write_all(&start).await?;
        let (tell, state) = watch::channel(State::Open);
        let heard = Arc::<Heard>::default();
        tokio::spawn(listen(read, Arc::clone(&heard), tell));
        Ok(Self { write, heard, state })
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write.write_all(bytes).await
    }

    pub(super) fn state(&self) -> State {
        *self.state.borrow()
    }

    /// Ends when the proxy has closed the connection.
    pub(super) async fn closed(&mut self) {
        let _ = self.state.wait_for(|state| matches!(state, State::Closed(_))).await;
    }

    /// Sends what `make` makes until the connection is closed, the time is up, or so
    /// many frames are sent.
    pub(super) async fn flood(&mut self, until: Instant, most: u64, mut make: Frames) -> Flood {
        let (mut bytes, mut frames) = (Vec::new(), 0);
        let mut state = self.state.clone();
        while Instant::now() < until && frames < most && self.state() == State::Open {
            bytes.clear();
            let some = make(&mut bytes);
            let sent = tokio::select! {
                sent = self.write.write_all(&bytes) => sent.is_ok(),
                _ = state.wait_for(|&state| state != State::Open) => false,
                () = time::sleep_until(until) => false,
            };
            if !sent {
                break;
            }
            frames += some;
        }
        // Who has been told why is closed, too.
        if self.state() != State::Open || (frames < most && Instant::now() < until) {
            let _ = time::timeout(Duration::from_secs(2), self.closed()).await;
        }
        Flood { frames, state: self.state() }
    }
}

async fn listen(read: OwnedReadHalf, heard: Arc<Heard>, tell: watch::Sender<State>) {
    let mut read = BufReader::with_capacity(64 << 10, read);
    let mut why = None;
    // Until it is closed, which is no failure.
    let _ = next(&mut read, &heard, &mut why, &tell).await;
    tell.send_replace(State::Closed(why));
}

async fn next(
    read: &mut BufReader<OwnedReadHalf>,
    heard: &Heard,
    why: &mut Option<u32>,
    tell: &watch::Sender<State>,
) -> io::Result<()> {
    let mut payload = Vec::new();
    loop {
        let length = read.read_u24().await?;
        let kind = read.read_u8().await?;
        let _flags_and_stream = (read.read_u8().await?, read.read_u32().await?);
        payload.resize(length, 0);
        read.read_exact(&mut payload).await?;
        let code = |at: usize| {
            let code = payload.get(at..at + 4).and_then(|code| code.try_into().ok());
            code.map_or(0, u32::from_be_bytes)
        };
        match kind {
            HEADERS => _ = heard.answers.fetch_add(1, Ordering::Relaxed),
            RST_STREAM if code(0) == REFUSED_STREAM => {
                heard.refused.fetch_add(1, Ordering::Relaxed);
            }
            RST_STREAM => _ = heard.reset.fetch_add(1, Ordering::Relaxed),
            GOAWAY => {
                *why = Some(code(4));
                tell.send_replace(State::Leaving(code(4)));
            }
            _ => {}
        }
    }
}

trait ReadU24 {
    async fn read_u24(&mut self) -> io::Result<usize>;
}

impl ReadU24 for BufReader<OwnedReadHalf> {
    async fn read_u24(&mut self) -> io::Result<usize> {
        let high = usize::from(self.read_u8().await?);
        Ok(high << 16 | usize::from(self.read_u16().await?))
    }
}

/// What an error code of HTTP/2 is called.
pub(super) fn name(code: u32) -> &'static str {
    match code {
        0 => "NO_ERROR",
        1 => "PROTOCOL_ERROR",
        3 => "FLOW_CONTROL_ERROR",
        5 => "STREAM_CLOSED",
        6 => "FRAME_SIZE_ERROR",
        9 => "COMPRESSION_ERROR",
        11 => "ENHANCE_YOUR_CALM",
        _ => "another error",
    }
}
