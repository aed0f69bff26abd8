//! A server behind the balancer.

use std::{net::SocketAddr, time::Duration};

use app_bin::{App, Handle, Server};
use tokio::{task::JoinHandle, time};

use crate::lb::LIMIT;

/// Serves in this process until it is dropped.
pub(crate) struct Site {
    pub(crate) address: SocketAddr,
    handle: Handle,
    task: JoinHandle<()>,
}

impl Site {
    pub(crate) fn start(name: &str) -> Self {
        let server = Server::bind(([127, 0, 0, 1], 0).into(), App::new(name)).unwrap();
        let (address, handle) = (server.local_addr(), server.handle());
        let task = tokio::spawn(async move {
            server.run().await;
        });
        Self { address, handle, task }
    }

    /// Waits until it has a request to answer.
    pub(crate) async fn busy(&self) {
        let busy = time::timeout(LIMIT, async {
            while self.handle.in_flight() == 0 {
                time::sleep(Duration::from_millis(5)).await;
            }
        });
        busy.await.expect("no request arrives");
    }

    /// Requests it has not answered yet.
    pub(crate) fn in_flight(&self) -> u64 {
        self.handle.in_flight()
    }

    /// Requests it has had.
    pub(crate) fn requests(&self) -> u64 {
        self.handle.requests()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.task.abort();
    }
}
