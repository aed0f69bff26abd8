use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The files of a cgroup in which memory is accounted for, of either version.
#[derive(Debug)]
pub(super) struct Cgroup {
    folder: PathBuf,
    names: &'static Names,
}

#[derive(Debug)]
struct Names {
    limits: &'static [&'static str],
    used: &'static str,
    /// Of `memory.stat`: what can be taken back from the cache.
    cached: &'static [&'static str],
}

const V1: Names = Names {
    limits: &["memory.limit_in_bytes"],
    used: "memory.usage_in_bytes",
    cached: &["total_active_file", "total_inactive_file"],
};

const V2: Names = Names {
    // Beyond the second one everything gets slow.
    limits: &["memory.max", "memory.high"],
    used: "memory.current",
    cached: &["active_file", "inactive_file", "slab_reclaimable"],
};

/// What version 1 has instead of "no limit" is less than this by a page.
const NONE: u64 = i64::MAX as u64 - (1 << 20);

impl Cgroup {
    /// That of this process.
    pub(super) fn own() -> Option<Self> {
        let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
        Self::of(&groups, Path::new("/sys/fs/cgroup"))
    }

    /// The one that `/proc/self/cgroup` names, in what is mounted at `root`.
    fn of(groups: &str, root: &Path) -> Option<Self> {
        // ID:CONTROLLERS:PATH, of version 2 with neither ID nor controllers.
        let lines = || groups.lines().filter_map(|line| line.split_once(':')?.1.split_once(':'));
        let v1 = lines().find(|(names, _)| names.split(',').any(|name| name == "memory"));
        let (path, root, names) = match v1 {
            Some((_, path)) => (path, root.join("memory"), &V1),
            None => (lines().find(|(names, _)| names.is_empty())?.1, root.to_owned(), &V2),
        };
        // In a container the path may be that of the host, while its own group is
        // mounted as the root.
        let folders = [root.join(path.trim_start_matches('/')), root];
        let folder = folders.into_iter().find(|folder| folder.join(names.used).exists())?;
        Some(Self { folder, names })
    }

    /// In bytes, if there is one.
    pub(super) fn limit(&self) -> Option<u64> {
        let limits = self.names.limits.iter().filter_map(|name| self.number(name).ok());
        limits.filter(|&limit| limit < NONE).min()
    }

    /// In bytes, without what the kernel takes back before it ends anybody.
    pub(super) fn used(&self) -> io::Result<u64> {
        let used = self.number(self.names.used)?;
        let stat = fs::read_to_string(self.folder.join("memory.stat"))?;
        let cached = stat.lines().filter_map(|line| line.split_once(' '));
        let cached = cached.filter(|(name, _)| self.names.cached.contains(name));
        let cached = cached.filter_map(|(_, bytes)| bytes.trim().parse::<u64>().ok());
        // They are not counted in the same moment.
        Ok(used.saturating_sub(cached.sum()))
    }

    fn number(&self, name: &str) -> io::Result<u64> {
        let text = fs::read_to_string(self.folder.join(name))?;
        text.trim().parse().map_err(|_| io::Error::other(format!("{name} is {:?}", text.trim())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes these files, and says whom the process belongs to.
    fn group(own: &str, files: &[(&str, &str)]) -> (tempfile::TempDir, Option<Cgroup>) {
        let root = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let group = Cgroup::of(own, root.path());
        (root, group)
    }

    #[test]
    fn version_2_is_read() {
        let (_root, group) = group(
            "0::/app\n",
            &[
                ("app/memory.max", "1048576\n"),
                ("app/memory.high", "max\n"),
                ("app/memory.current", "900000\n"),
                (
                    "app/memory.stat",
                    "anon 1\nactive_file 100\ninactive_file 20\nslab_reclaimable 3\nsock 5\n",
                ),
                ("memory.current", "1\n"),
            ],
        );
        let group = group.unwrap();
        assert_eq!(group.limit(), Some(1 << 20));
        assert_eq!(group.used().unwrap(), 900_000 - 123);
        fs::write(group.folder.join("memory.high"), "1000000").unwrap();
        assert_eq!(group.limit(), Some(1_000_000), "whichever is reached first");
    }

    #[test]
    fn version_1_is_read_where_a_container_has_it() {
        let (_root, group) = group(
            "9:cpu,cpuacct:/docker/1\n4:memory:/docker/1\n0::/\n",
            &[
                ("memory/memory.limit_in_bytes", "67108864\n"),
                ("memory/memory.usage_in_bytes", "2000\n"),
                (
                    "memory/memory.stat",
                    "active_file 7\ntotal_active_file 500\ntotal_inactive_file 600\n",
                ),
            ],
        );
        let group = group.unwrap();
        assert_eq!((group.limit(), group.used().unwrap()), (Some(64 << 20), 900));
        fs::write(group.folder.join("memory.limit_in_bytes"), "9223372036854771712").unwrap();
        assert_eq!(group.limit(), None);
    }

    #[test]
    fn where_nothing_is_said_there_is_no_limit() {
        assert!(group("", &[]).1.is_none());
        assert!(group("0::/\n", &[]).1.is_none(), "the root of the machine has no such file");
        let (_root, group) =
            group("0::/a\n", &[("a/memory.current", "1"), ("a/memory.max", "max")]);
        let group = group.unwrap();
        assert_eq!(group.limit(), None);
        assert!(group.used().is_err(), "and what can't be read is no zero");
    }
}
