use std::{fs, io};

use super::cgroup::Cgroup;

/// Whose memory is measured, and how.
#[derive(Debug)]
pub struct Memory(Whose);

#[derive(Debug)]
enum Whose {
    Process,
    Cgroup(Cgroup),
}

impl Memory {
    /// What of this process is resident: what `ps` and `top` show, so what people
    /// mean who set a limit by hand.
    pub fn of_process() -> Self {
        Self(Whose::Process)
    }

    /// What the cgroup of this process uses, and its limit in bytes, if it has one
    /// of its own. That is what the kernel goes by when it ends processes. In version 2
    /// the buffers of sockets are part of it, of which a proxy has many, and which no
    /// process shows as its own. The cache of files is left out, as the kernel takes
    /// that back first.
    pub fn of_cgroup() -> Option<(Self, u64)> {
        let group = Cgroup::own()?;
        let limit = group.limit()?;
        Some((Self(Whose::Cgroup(group)), limit))
    }

    pub(super) fn used(&self) -> io::Result<u64> {
        match &self.0 {
            Whose::Process => {
                let status = fs::read_to_string("/proc/self/status")?;
                resident(&status).ok_or_else(|| io::Error::other("/proc/self/status has no VmRSS"))
            }
            Whose::Cgroup(group) => group.used(),
        }
    }
}

/// Unlike `statm`, this needs no size of a page.
fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kilobytes << 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_memory_is_read() {
        let status = "Name:\tlb-bin\nVmHWM:\t    9000 kB\nVmRSS:\t    8192 kB\nRssAnon:\t 1 kB\n";
        assert_eq!(resident(status), Some(8 << 20));
        assert_eq!(resident("Name:\tkthreadd\n"), None);
        assert!(Memory::of_process().used().unwrap() > 1 << 16);
    }
}
