use std::{
    fmt, io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    net::TcpListener,
    sync::watch,
    task::{JoinHandle, JoinSet},
    time,
};

use super::{
    message::{Framing, Headers, Seen},
    parse,
    reply::{Reply, Step},
    stream::{End, Fault, Heard, Wire},
};

/// A server on the loopback that answers by a script and keeps all it is told. It
/// ends when it is dropped.
pub struct Backend {
    address: SocketAddr,
    state: Arc<State>,
    accepting: JoinHandle<()>,
}

/// What came over one connection.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recorded {
    /// Every byte.
    pub bytes: Vec<u8>,
    /// The well-formed requests, the last of which may be
    /// [incomplete](Seen::complete).
    pub requests: Vec<Seen>,
    /// What is wrong with what came behind them, if it is not a request.
    pub garbage: Option<String>,
    /// How it has ended, if it has.
    pub end: Option<End>,
}

type Script = Arc<dyn Fn(&Seen) -> Reply + Send + Sync>;

struct State {
    script: Mutex<Script>,
    records: Mutex<Vec<Arc<Mutex<Record>>>>,
    /// The number of the next request.
    next: AtomicU64,
    /// Counts what has been recorded.
    news: watch::Sender<u64>,
    /// How often those who hold were released, and all connections were closed.
    released: watch::Sender<u64>,
    closed: watch::Sender<u64>,
}

#[derive(Default)]
struct Record {
    heard: Heard,
    /// Bytes that were heard before the record was cleared.
    skip: usize,
    requests: Vec<Seen>,
    garbage: Option<String>,
    end: Option<End>,
}

/// How long a connection may be silent.
const LIMIT: Duration = Duration::from_secs(30);

impl Backend {
    /// Listens on a free port of 127.0.0.1. The script is given a request as soon
    /// as its head has been read, and says what is done about it.
    ///
    /// # Errors
    ///
    /// No port is free.
    pub fn start(script: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let address = listener.local_addr()?;
        let state = Arc::new(State {
            script: Mutex::new(Arc::new(script)),
            records: Mutex::default(),
            next: AtomicU64::new(0),
            news: watch::Sender::new(0),
            released: watch::Sender::new(0),
            closed: watch::Sender::new(0),
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&state)));
        Ok(Self { address, state, accepting })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers by this script from now on.
    pub fn script(&self, script: impl Fn(&Seen) -> Reply + Send + Sync + 'static) {
        *lock(&self.state.script) = Arc::new(script);
    }

    /// What came over each connection, in the order in which they were opened.
    pub fn connections(&self) -> Vec<Recorded> {
        self.state.records().iter().map(|record| lock(record).to_recorded()).collect()
    }

    /// All requests so far, in the order in which their heads came.
    pub fn requests(&self) -> Vec<Seen> {
        let connections = self.connections().into_iter();
        let mut requests: Vec<_> = connections.flat_map(|recorded| recorded.requests).collect();
        requests.sort_by_key(|seen| seen.number);
        requests
    }

    /// Waits until what came over the connections is like this, and returns it.
    ///
    /// # Errors
    ///
    /// It never was within the limit; this is what had come then.
    pub async fn until(
        &self,
        limit: Duration,
        done: impl Fn(&[Recorded]) -> bool,
    ) -> Result<Vec<Recorded>, Vec<Recorded>> {
        let mut news = self.state.news.subscribe();
        let waited = time::timeout(limit, async {
            loop {
                news.mark_unchanged();
                let connections = self.connections();
                // It fails when the backend is gone, which is here.
                if done(&connections) || news.changed().await.is_err() {
                    return connections;
                }
            }
        });
        waited.await.map_err(|_| self.connections())
    }

    /// Lets those go on who hold.
    pub fn release(&self) {
        self.state.released.send_modify(|released| *released += 1);
    }

    /// Closes all connections, and waits until that is done; new ones are welcome.
    pub async fn close_all(&self) {
        // Who is in this list will hear of it, and end.
        let open: Vec<_> = self.state.records().clone();
        let mut news = self.state.news.subscribe();
        self.state.closed.send_modify(|closed| *closed += 1);
        while !open.iter().all(|record| lock(record).end.is_some()) {
            if news.changed().await.is_err() {
                return;
            }
        }
    }

    /// Forgets what it was told. Connections that are open stay, and are recorded
    /// from here on.
    pub fn clear(&self) {
        self.state.records().retain(|record| {
            let mut record = lock(record);
            let heard = record.heard.bytes().len();
            record.skip = heard;
            record.requests.clear();
            record.end.is_none()
        });
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backend").field("address", &self.address).finish_non_exhaustive()
    }
}

impl State {
    fn records(&self) -> MutexGuard<'_, Vec<Arc<Mutex<Record>>>> {
        lock(&self.records)
    }

    fn changed(&self) {
        self.news.send_modify(|news| *news += 1);
    }
}

impl Record {
    fn to_recorded(&self) -> Recorded {
        Recorded {
            bytes: self.heard.bytes()[self.skip..].to_vec(),
            requests: self.requests.clone(),
            garbage: self.garbage.clone(),
            end: self.end,
        }
    }
}

fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    // Dropped with this task, they end with it.
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        let Ok(wire) = Wire::new(stream, LIMIT) else { continue };
        let record = Record { heard: wire.heard().clone(), ..Record::default() };
        let record = Arc::new(Mutex::new(record));
        let closed = state.closed.subscribe();
        let connection =
            Connection { wire, record: Arc::clone(&record), state: Arc::clone(&state) };
        state.records().push(record);
        connections.spawn(connection.run(closed));
    }
}

struct Connection {
    wire: Wire,
    record: Arc<Mutex<Record>>,
    state: Arc<State>,
}

impl Connection {
    async fn run(mut self, mut closed: watch::Receiver<u64>) {
        let end = tokio::select! {
            end = self.serve() => end,
            _ = closed.changed() => End::Closed,
        };
        // The other side must see it before it is recorded.
        let Self { wire, record, state } = self;
        drop(wire);
        lock(&record).end = Some(end);
        state.changed();
    }

    /// Serves until one of the sides has had enough.
    async fn serve(&mut self) -> End {
        loop {
            let start = self.wire.position();
            let mut seen = match self.head().await {
                Ok(seen) => seen,
                Err(Fault::Ended(end)) if self.wire.since(start).is_empty() => return end,
                Err(fault) => return self.garbage(fault, "a head").await,
            };
            // Before anybody knows of the request and could release it.
            let mut released = self.state.released.subscribe();
            self.record(&seen, true);
            let script = Arc::clone(&*lock(&self.state.script));
            let mut is_read = false;
            for step in script(&seen).steps {
                let done = match step {
                    Step::ReadBody => {
                        is_read = true;
                        self.body(&mut seen).await
                    }
                    Step::Send(bytes) => self.wire.write(&bytes).await.map_err(|_| End::Reset),
                    Step::Pause(pause) => {
                        time::sleep(pause).await;
                        Ok(())
                    }
                    Step::Hold => self.hold(&mut released).await,
                    Step::Close => return self.close().await,
                    Step::Reset => {
                        // If it can't be, it has failed already.
                        let _ = self.wire.abort();
                        Err(End::Reset)
                    }
                };
                if let Err(end) = done {
                    return end;
                }
            }
            if !is_read && let Err(end) = self.body(&mut seen).await {
                return end;
            }
            let stays = seen.version == "HTTP/1.1" || seen.lists("connection", "keep-alive");
            if !stays || seen.lists("connection", "close") {
                return self.close().await;
            }
        }
    }

    async fn head(&mut self) -> Result<Seen, Fault> {
        let (line, headers) = self.wire.head().await?;
        let number = self.state.next.fetch_add(1, Ordering::Relaxed);
        Ok(Seen { number, ..parse::request(&line, headers)? })
    }

    /// Reads the body of the request that was recorded last.
    async fn body(&mut self, seen: &mut Seen) -> Result<(), End> {
        if seen.framing == Framing::None {
            return Ok(());
        }
        let mut trailers = Headers::default();
        let read = self.wire.body(seen.framing, &mut seen.body, &mut trailers).await;
        seen.trailers = trailers;
        seen.complete = read.is_ok();
        self.record(seen, false);
        match read {
            Ok(()) => Ok(()),
            Err(Fault::Ended(end)) => Err(end),
            Err(fault) => Err(self.garbage(fault, "a body").await),
        }
    }

    async fn garbage(&mut self, fault: Fault, within: &str) -> End {
        let (why, end) = match fault {
            Fault::Malformed(why) => (why, None),
            Fault::Ended(end) => (format!("{within} that ends in its middle ({end})"), Some(end)),
        };
        lock(&self.record).garbage = Some(why);
        self.state.changed();
        match end {
            Some(end) => end,
            None => {
                // Who waits for an answer is told; who doesn't, needn't be.
                let _ = self.wire.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n").await;
                self.close().await
            }
        }
    }

    /// Closes so that all that was sent arrives: what is not read when a socket is
    /// closed turns the close into a reset.
    async fn close(&mut self) -> End {
        if self.wire.half_close().await.is_err() {
            return End::Reset;
        }
        self.wire.limit = Duration::from_millis(200);
        while self.wire.fill().await.is_ok() {}
        End::Closed
    }

    async fn hold(&mut self, released: &mut watch::Receiver<u64>) -> Result<(), End> {
        loop {
            tokio::select! {
                _ = released.changed() => return Ok(()),
                filled = self.wire.fill() => {
                    filled?;
                    self.state.changed();
                }
            }
        }
    }

    fn record(&self, seen: &Seen, is_new: bool) {
        let mut record = lock(&self.record);
        if !is_new {
            record.requests.pop();
        }
        record.requests.push(seen.clone());
        drop(record);
        self.state.changed();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::wire::Client;

    const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

    fn backend(reply: Reply) -> Backend {
        Backend::start(move |_| reply.clone()).unwrap()
    }

    async fn sent(backend: &Backend, bytes: &str) -> Client {
        let mut client = Client::connect(backend.address()).await.unwrap();
        client.send(bytes).await.unwrap();
        client
    }

    async fn until(backend: &Backend, done: impl Fn(&Recorded) -> bool) -> Recorded {
        let all = backend.until(LIMIT, |all| all.first().is_some_and(&done)).await;
        all.unwrap().remove(0)
    }

    #[tokio::test]
    async fn it_keeps_what_it_was_told() {
        let backend = backend(Reply::answer(OK));
        let bytes = "PUT //a%2F?\u{e9} HTTP/1.1\r\nhOst: b\r\nX: 1\r\nx: 2\r\n\
                     Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nSum: 9\r\n\r\n\
                     GET / HTTP/1.1\r\nHost: b\r\n\r\n";
        let mut client = sent(&backend, bytes).await;
        for _ in 0..2 {
            assert_eq!(client.answer("GET").await.complete().unwrap().status, 200);
        }
        let recorded = backend.connections().remove(0);
        assert_eq!(recorded.bytes, bytes.as_bytes());
        assert_eq!((recorded.garbage, recorded.end), (None, None));
        let [first, second] = &recorded.requests[..] else { panic!("two requests were sent") };
        assert_eq!((&first.method[..], &first.target[..]), ("PUT", "//a%2F?\u{e9}".as_bytes()));
        assert_eq!(first.names().next(), Some("hOst"));
        assert_eq!(first.text("x").as_deref(), Some("1, 2"));
        assert_eq!((first.framing, &first.body[..]), (Framing::Chunked, &b"abc"[..]));
        assert_eq!(first.trailers.text("sum").as_deref(), Some("9"));
        assert!(first.complete && second.complete);
        backend.clear();
        assert!(backend.requests().is_empty());
    }

    #[tokio::test]
    async fn what_is_not_a_request_is_garbage() {
        for bytes in [
            "GET / HTTP/1.1\nHost: a\n\n",
            "GET / HTTP/1.1\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n+1\r\na\r\n0\r\n\r\n",
        ] {
            let backend = backend(Reply::answer(OK));
            let mut client = sent(&backend, bytes).await;
            assert_eq!(client.answer("GET").await.complete().unwrap().status, 400, "{bytes}");
            let recorded = until(&backend, |recorded| recorded.garbage.is_some()).await;
            assert!(recorded.requests.iter().all(|seen| !seen.complete), "{bytes}");
        }
        let backend = backend(Reply::answer(OK));
        drop(sent(&backend, "GET / HTTP/1.1\r\nHost: a\r\n").await);
        until(&backend, |recorded| recorded.garbage.is_some()).await;
    }

    #[tokio::test]
    async fn what_breaks_off_is_incomplete() {
        let backend = backend(Reply::answer(OK));
        let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab";
        let client = sent(&backend, head).await;
        until(&backend, |recorded| !recorded.requests.is_empty()).await;
        client.abort().unwrap();
        let recorded = until(&backend, |recorded| recorded.end.is_some()).await;
        assert_eq!((recorded.garbage, recorded.end), (None, Some(End::Reset)));
        assert_eq!(
            (recorded.requests[0].complete, recorded.requests[0].framing),
            (false, Framing::Length(5))
        );
    }

    #[tokio::test]
    async fn it_may_answer_before_the_body_is_there() {
        let backend = backend(Reply::early("HTTP/1.1 100 Continue\r\n\r\n").read_body().send(OK));
        let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n";
        let mut client = sent(&backend, head).await;
        let interim = client.one_answer("POST").await.complete().unwrap();
        assert_eq!((interim.status, backend.requests()[0].complete), (100, false));
        client.send("ab").await.unwrap();
        assert_eq!(client.answer("POST").await.complete().unwrap().status, 200);
        assert_eq!(backend.requests()[0].content(), "ab");
    }

    #[tokio::test]
    async fn it_holds_until_it_is_released() {
        let backend = backend(Reply::silence().send(OK));
        let mut client = sent(&backend, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        until(&backend, |recorded| recorded.requests.len() == 1).await;
        backend.release();
        assert_eq!(client.answer("GET").await.complete().unwrap().status, 200);
        backend.close_all().await;
        assert_eq!(client.rest().await, (Vec::new(), End::Closed));
        assert_eq!(backend.connections()[0].end, Some(End::Closed));
    }

    #[tokio::test]
    async fn it_closes_when_it_was_asked_to() {
        let backend = backend(Reply::answer(OK));
        for head in ["HTTP/1.0\r\n\r\n", "HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"] {
            let mut client = sent(&backend, &format!("GET / {head}")).await;
            assert_eq!(client.answer("GET").await.complete().unwrap().status, 200);
            assert_eq!(client.rest().await, (Vec::new(), End::Closed));
        }
    }
}
