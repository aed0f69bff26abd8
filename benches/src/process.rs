//! Programs under measurement.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
};

use anyhow::Context;

/// A program that is killed when it is dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
    /// Counted by their process; workers may be children.
    pids: Vec<u32>,
}

impl Process {
    /// Starts a program on one core.
    ///
    /// # Errors
    ///
    /// There is no such program, or no `taskset`.
    pub fn start(core: usize, program: &Path, arguments: &[&str]) -> anyhow::Result<Self> {
        let child = Command::new("taskset")
            .args(["-c", &core.to_string()])
            .arg(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("can't start {}", program.display()))?;
        let pids = vec![child.id()];
        Ok(Self { child, pids })
    }

    /// Counts the children that it has by now as well.
    pub fn adopt(&mut self) {
        let id = self.child.id();
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children"));
        let children = children.unwrap_or_default();
        self.pids.extend(children.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
    }

    /// Nanoseconds that all threads have run so far.
    pub fn cpu(&self) -> u64 {
        self.pids.iter().map(|pid| cpu(*pid)).sum()
    }
}

fn cpu(pid: u32) -> u64 {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return 0 };
    tasks
        .flatten()
        .filter_map(|task| fs::read_to_string(task.path().join("schedstat")).ok())
        .filter_map(|line| line.split(' ').next()?.parse::<u64>().ok())
        .sum()
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
