//! Where requests wait while a service has no endpoint for them.

use std::{pin::pin, sync::Arc, time::Duration};

use tokio::time;

use super::{error::Refusal, proxy::Shared, table::Service};
use crate::{clock, registry::HostPattern};

/// How much longer than a host is remembered those wait who asked for it: they are
/// to hear that it is forgotten, and who answers for it then, however busy we are.
const NEWS: Duration = Duration::from_millis(200);

/// Waits until an endpoint of the service is ready, and gives back the service
/// as it is by then.
pub(super) async fn wait(shared: &Shared, service: Arc<Service>) -> Result<Arc<Service>, Refusal> {
    let room = &service.shared.room;
    let left = service.options.wait.saturating_sub(room.outage());
    if left.is_zero() {
        return Err(Refusal::NoEndpoint);
    }
    let _seat = room.enter(service.options.wait_limit).ok_or(Refusal::QueueFull)?;
    let began = clock::now();
    let is_remembered = service.plan.endpoints.is_empty();
    let left = if is_remembered { left.saturating_add(NEWS) } else { left };
    let found = time::timeout(left, ready(shared, &service)).await;
    service.shared.metrics.waited.record(began.elapsed());
    found.ok().flatten().ok_or(Refusal::NoEndpoint)
}

/// The service once it is ready, or whoever answers for its host now that it is
/// forgotten; `None` if nobody does.
async fn ready(shared: &Shared, service: &Service) -> Option<Arc<Service>> {
    let host = &service.plan.host;
    loop {
        // Listen first, look second: a change in between is not missed.
        let mut changed = pin!(shared.changed.notified());
        changed.as_mut().enable();
        // It may be another service by now.
        let table = shared.table.load_full();
        let Some(current) = table.service(host) else {
            return match host {
                HostPattern::Exact(host) => table.routes.find(host).cloned(),
                _ => None,
            };
        };
        if current.cluster.is_ready() {
            // It may have become so before we had noted that it was not.
            current.shared.room.ready();
            return Some(Arc::clone(current));
        }
        drop(table);
        changed.await;
    }
}
