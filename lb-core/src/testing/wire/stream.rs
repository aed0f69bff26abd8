use std::{
    error, fmt, io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time,
};

use super::{
    message::{Framing, Headers},
    parse::{self, Malformed},
};

/// Why nothing more came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The other side has sent all it wanted to (FIN).
    Closed,
    /// The other side has broken off (RST), or the connection has failed.
    Reset,
    /// The other side has been silent for the limit, and the connection is open.
    Silent,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "closed",
            Self::Reset => "reset",
            Self::Silent => "silence",
        })
    }
}

impl error::Error for End {}

/// Why a message isn't there.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Ended(End),
    Malformed(Malformed),
}

impl From<End> for Fault {
    fn from(end: End) -> Self {
        Self::Ended(end)
    }
}

impl From<Malformed> for Fault {
    fn from(why: Malformed) -> Self {
        Self::Malformed(why)
    }
}

/// All that has been received, for others to look at while more comes.
#[derive(Clone, Debug, Default)]
pub(super) struct Heard(Arc<Mutex<Vec<u8>>>);

impl Heard {
    pub(super) fn bytes(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// More than any head in a test, and no more memory than one can spare.
const LONGEST_LINE: usize = 16 << 20;

/// A connection, read strictly.
#[derive(Debug)]
pub(super) struct Wire {
    stream: TcpStream,
    heard: Heard,
    /// How much of it has been taken.
    at: usize,
    /// For each time the other side is waited for.
    pub(super) limit: Duration,
}

impl Wire {
    pub(super) fn new(stream: TcpStream, limit: Duration) -> io::Result<Self> {
        // Pieces are to arrive as pieces.
        stream.set_nodelay(true)?;
        Ok(Self { stream, heard: Heard::default(), at: 0, limit })
    }

    pub(super) fn heard(&self) -> &Heard {
        &self.heard
    }

    pub(super) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// How much has been taken: where the next message begins.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    /// What has been received from there on.
    pub(super) fn since(&self, position: usize) -> Vec<u8> {
        self.heard.bytes()[position..].to_vec()
    }

    /// Waits for more.
    pub(super) async fn fill(&mut self) -> Result<(), End> {
        let mut buffer = [0; 16 << 10];
        match time::timeout(self.limit, self.stream.read(&mut buffer)).await {
            Err(_) => Err(End::Silent),
            Ok(Ok(0)) => Err(End::Closed),
            Ok(Ok(length)) => {
                self.heard.bytes().extend_from_slice(&buffer[..length]);
                Ok(())
            }
            Ok(Err(_)) => Err(End::Reset),
        }
    }

    pub(super) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        time::timeout(self.limit, self.stream.write_all(bytes))
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }

    pub(super) async fn half_close(&mut self) -> io::Result<()> {
        self.stream.shutdown().await
    }

    /// Has the connection end with a reset when it is dropped.
    pub(super) fn abort(&self) -> io::Result<()> {
        self.stream.set_zero_linger()
    }

    /// The lines of a head: the first one, and the fields.
    pub(super) async fn head(&mut self) -> Result<(Vec<u8>, Headers), Fault> {
        let first = self.line().await?;
        Ok((first, self.fields().await?))
    }

    /// The content, and what follows the last chunk.
    pub(super) async fn body(
        &mut self,
        framing: Framing,
        body: &mut Vec<u8>,
        trailers: &mut Headers,
    ) -> Result<(), Fault> {
        match framing {
            Framing::None => Ok(()),
            Framing::Length(length) => self.take(length, body).await.map_err(Into::into),
            Framing::Chunked => self.chunks(body, trailers).await,
            Framing::UntilClose => match self.take(u64::MAX, body).await {
                Ok(()) | Err(End::Closed) => Ok(()),
                Err(end) => Err(end.into()),
            },
        }
    }

    async fn chunks(&mut self, body: &mut Vec<u8>, trailers: &mut Headers) -> Result<(), Fault> {
        loop {
            let size = parse::chunk_size(&self.line().await?)?;
            if size == 0 {
                *trailers = self.fields().await?;
                return Ok(());
            }
            self.take(size, body).await?;
            let end = self.line().await?;
            if !end.is_empty() {
                return Err(format!("behind a chunk: {}", end.escape_ascii()).into());
            }
        }
    }

    async fn fields(&mut self) -> Result<Headers, Fault> {
        let mut headers = Headers::default();
        loop {
            let line = self.line().await?;
            if line.is_empty() {
                return Ok(headers);
            }
            headers.0.push(parse::field(&line)?);
        }
    }

    /// A line without its end, which is CR LF and nothing else.
    async fn line(&mut self) -> Result<Vec<u8>, Fault> {
        let mut searched = 0;
        loop {
            {
                let heard = self.heard.bytes();
                let rest = &heard[self.at..];
                if let Some(end) = rest[searched..].iter().position(|&byte| byte == b'\n') {
                    let line = &rest[..searched + end];
                    let Some(line) = line.strip_suffix(b"\r") else {
                        return Err(format!("a bare LF behind {}", line.escape_ascii()).into());
                    };
                    if line.contains(&b'\r') {
                        return Err(format!("a bare CR in {}", line.escape_ascii()).into());
                    }
                    let line = line.to_vec();
                    self.at += searched + end + 1;
                    return Ok(line);
                }
                searched = rest.len();
                if searched > LONGEST_LINE {
                    return Err(format!("a line of {searched} bytes").into());
                }
            }
            self.fill().await?;
        }
    }

    /// That many bytes, or as many as there are.
    pub(super) async fn take(&mut self, length: u64, into: &mut Vec<u8>) -> Result<(), End> {
        let mut left = length;
        loop {
            {
                let heard = self.heard.bytes();
                let rest = &heard[self.at..];
                let some = rest.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                into.extend_from_slice(&rest[..some]);
                self.at += some;
                left -= some as u64;
            }
            if left == 0 {
                return Ok(());
            }
            self.fill().await?;
        }
    }
}
