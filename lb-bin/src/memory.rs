//! Which memory is watched, and against which limit.

use lb_core::overload::{Memory, Pressure, Watch};
use tokio::task::JoinHandle;

use crate::config::MemoryLimit;

/// Watches memory until it is dropped.
pub(crate) struct Guard {
    limit: MemoryLimit,
    pressure: Pressure,
    task: Option<JoinHandle<()>>,
}

impl Guard {
    /// Who is given the pressure hears of what is seen here.
    pub(crate) fn new(limit: MemoryLimit, pressure: Pressure) -> Self {
        let mut guard = Self { limit, pressure, task: None };
        guard.watch();
        guard
    }

    /// This is the limit from now on.
    pub(crate) async fn set(&mut self, limit: MemoryLimit) {
        if std::mem::replace(&mut self.limit, limit) != limit {
            if let Some(task) = self.task.take() {
                task.abort();
                // It may be in the middle of a look, whose word would be the last one.
                let _ = task.await;
            }
            self.pressure.lift();
            self.watch();
        }
    }

    fn watch(&mut self) {
        let (memory, limit) = match self.limit {
            MemoryLimit::Off => return,
            MemoryLimit::Bytes(limit) => (Memory::of_process(), limit),
            MemoryLimit::OfCgroup => match Memory::of_cgroup() {
                Some(limited) => limited,
                None => return,
            },
        };
        match Watch::new(memory, limit, self.pressure.clone()) {
            Ok(watch) => self.task = Some(tokio::spawn(watch.run())),
            Err(error) => tracing::warn!(
                "how much memory is used can't be told, so there is no limit to it: {error}"
            ),
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}
