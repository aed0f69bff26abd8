use tokio::net::{TcpStream, ToSocketAddrs};

use super::{BoxFuture, Check, CheckError};
use crate::endpoint::EndpointId;

/// Passes if a connection is accepted, which is closed at once: nothing is sent.
///
/// It says that something listens, not that it works. Targets are addresses, or
/// names with a port, which are resolved for each check.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tcp(());

impl Tcp {
    /// The check; there is nothing to choose.
    pub fn new() -> Self {
        Self(())
    }
}

impl<T: ToSocketAddrs + Sync + ?Sized> Check<T> for Tcp {
    fn check<'a>(
        &'a self,
        _: &'a EndpointId,
        target: &'a T,
    ) -> BoxFuture<'a, Result<(), CheckError>> {
        Box::pin(async move { connect(target).await.map(drop) })
    }
}

/// Opens the connection of a check.
pub(super) async fn connect<T: ToSocketAddrs + ?Sized>(
    target: &T,
) -> Result<TcpStream, CheckError> {
    TcpStream::connect(target)
        .await
        .map_err(|error| CheckError::new(format!("can't connect: {error}")))
}
