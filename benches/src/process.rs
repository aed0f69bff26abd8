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
}

impl Process {
    /// Starts a program.
    ///
    /// # Errors
    ///
    /// There is no such program.
    pub fn start(program: &Path, arguments: &[&str]) -> anyhow::Result<Self> {
        Self::spawn(Command::new(program).args(arguments), program)
    }

    /// Starts a program on one core.
    ///
    /// # Errors
    ///
    /// There is no `taskset`.
    pub fn pinned(core: usize, program: &Path, arguments: &[&str]) -> anyhow::Result<Self> {
        let mut taskset = Command::new("taskset");
        Self::spawn(taskset.args(["-c", &core.to_string()]).arg(program).args(arguments), program)
    }

    fn spawn(command: &mut Command, program: &Path) -> anyhow::Result<Self> {
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("can't start {}", program.display()))?;
        Ok(Self { child })
    }

    /// Nanoseconds that all its threads have run so far.
    pub fn cpu(&self) -> u64 {
        let Ok(tasks) = fs::read_dir(format!("/proc/{}/task", self.child.id())) else { return 0 };
        tasks
            .flatten()
            .filter_map(|task| fs::read_to_string(task.path().join("schedstat")).ok())
            .filter_map(|line| line.split(' ').next()?.parse::<u64>().ok())
            .sum()
    }

    /// Bytes it occupies (VmRSS).
    ///
    /// # Errors
    ///
    /// It has ended.
    pub fn memory(&self) -> anyhow::Result<u64> {
        self.status("VmRSS:")
    }

    /// Bytes it has occupied at the most (VmHWM).
    ///
    /// # Errors
    ///
    /// It has ended.
    pub fn peak_memory(&self) -> anyhow::Result<u64> {
        self.status("VmHWM:")
    }

    fn status(&self, name: &str) -> anyhow::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let value = status.lines().find_map(|line| line.strip_prefix(name));
        let kib = value.and_then(|value| value.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        Ok(kib.context("the program has ended")? * 1024)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
