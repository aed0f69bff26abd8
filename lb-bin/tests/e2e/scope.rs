//! What belongs to one case, and goes with it.

use std::{
    fs,
    path::Path,
    process,
    sync::atomic::{AtomicU8, Ordering},
};

use crate::{
    docker::{App, attempt, docker},
    engine,
};

/// The label that all that is made here carries, with the scope as its value.
pub(crate) const LABEL: &str = "e2e.scope";

/// Where engines of cases' own keep their state: the paths of their sockets are
/// to be short.
pub(crate) const FOLDERS: &str = "/tmp";

const FAMILY: &str = "lbe2e";

/// The prefix of everything that this run makes.
pub(crate) fn run_prefix() -> String {
    format!("{FAMILY}-{}", process::id())
}

/// A name that nothing else on the engine has, for the containers, networks and
/// hosts of one case. They are removed when it is dropped.
pub(crate) struct Scope {
    prefix: String,
    subnets: AtomicU8,
}

impl Scope {
    pub(crate) fn new(number: usize) -> Self {
        Self { prefix: format!("{}-{number}", run_prefix()), subnets: AtomicU8::new(0) }
    }

    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// A host that only this scope's containers name.
    pub(crate) fn host(&self, name: &str) -> String {
        format!("{name}.{}.test", self.prefix)
    }

    pub(crate) fn app(&self, name: &str) -> App<'_> {
        App::new(self, name)
    }

    /// Makes a network of eight addresses, so few that they are soon used again.
    pub(crate) fn small_network(&self) -> SmallNetwork {
        let label = format!("--label={LABEL}={}", self.prefix);
        for _ in 0..64 {
            // A corner of the private addresses that few use.
            let number = self.subnets.fetch_add(1, Ordering::Relaxed);
            let third = process::id().to_le_bytes()[0];
            let base = [10, 231, third, number.wrapping_mul(8)];
            let [a, b, c, d] = base;
            let name = format!("{}-net{number}", self.prefix);
            let subnet = format!("--subnet={a}.{b}.{c}.{d}/29");
            match attempt(["network", "create", &label, &subnet, &name]) {
                Ok(_) => return SmallNetwork { name, base },
                Err(error) if error.contains("overlaps") => {}
                Err(error) => panic!("{error}"),
            }
        }
        panic!("every subnet that was tried is taken");
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        // What runs in an engine of its own ends with that.
        if engine::is_inside() {
            return;
        }
        remove(&format!("{LABEL}={}", self.prefix));
    }
}

/// A network whose addresses are handed out by hand.
pub(crate) struct SmallNetwork {
    pub(crate) name: String,
    base: [u8; 4],
}

impl SmallNetwork {
    /// One of its addresses; 2 to 6 are for containers.
    pub(crate) fn address(&self, number: u8) -> String {
        let [a, b, c, d] = self.base;
        format!("{a}.{b}.{c}.{}", d + number)
    }
}

/// Removes what runs of this suite left behind that were killed.
pub(crate) fn sweep() {
    let filter = format!("label={LABEL}");
    let label = format!("{{{{.Label \"{LABEL}\"}}}}");
    let found = |list: &[&str], format: &str| {
        let list = list.iter().copied().chain(["--filter", &filter, "--format", format]);
        let mut found: Vec<_> = docker(list).lines().map(str::to_owned).collect();
        found.retain(|name| is_orphan(name));
        found.sort_unstable();
        found.dedup();
        found
    };
    let mut scopes = found(&["ps", "--all"], &label);
    scopes.extend(found(&["network", "ls"], &label));
    for scope in scopes {
        eprintln!("removing what {scope} has left behind");
        remove(&format!("{LABEL}={scope}"));
    }
    for image in found(&["image", "ls"], "{{.Repository}}") {
        eprintln!("removing the image {image}");
        docker(["image", "rm", &image]);
    }
    for name in engine::left_cgroups().into_iter().filter(|name| is_orphan(name)) {
        eprintln!("removing the control groups {name}");
        engine::remove_cgroups(&name);
    }
    for folder in fs::read_dir(FOLDERS).unwrap().flatten() {
        if is_orphan(&folder.file_name().to_string_lossy()) {
            eprintln!("removing {:?}", folder.path());
            fs::remove_dir_all(folder.path()).unwrap();
        }
    }
}

/// Whether the process that this was made by, whose id is in it, lives no more.
fn is_orphan(name: &str) -> bool {
    let parts: Vec<_> = name.split('-').collect();
    let [FAMILY, pid, _] = parts[..] else { return false };
    pid.parse::<u32>().is_ok_and(|pid| !Path::new(&format!("/proc/{pid}")).exists())
}

/// Removes the containers and then the networks with this label.
fn remove(label: &str) {
    let filter = format!("label={label}");
    let complain = |error: String| eprintln!("not removed: {error}");
    for (list, remove) in [
        (&["ps", "--all", "--quiet"][..], &["rm", "--force", "--volumes"][..]),
        (&["network", "ls", "--quiet"], &["network", "rm"]),
    ] {
        match attempt(list.iter().copied().chain(["--filter", &filter])) {
            Ok(found) if !found.is_empty() => {
                if let Err(error) = attempt(remove.iter().copied().chain(found.lines())) {
                    complain(error);
                }
            }
            Ok(_) => {}
            Err(error) => complain(error),
        }
    }
}
