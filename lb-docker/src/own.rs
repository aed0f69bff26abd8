//! Which container the balancer itself runs in.

use std::{fs, path::Path};

use crate::{
    container::Container,
    engine::{Engine, EngineError},
    network::Vantage,
    options::Options,
};

/// Where the balancer sees the containers from, and its own container if it
/// runs in one that this engine knows.
pub(crate) async fn look_around(
    engine: &Engine,
    options: &Options,
) -> Result<(Vantage, Option<Container>), EngineError> {
    for name in names(&options.proc, options.hostname.as_deref()) {
        let Some(own) = engine.inspect(&name).await? else { continue };
        let internal = engine.internal_networks().await?;
        return Ok((Vantage::of(&own, |id| internal.contains(id)), Some(own)));
    }
    Ok((Vantage::Host, None))
}

/// What the engine may know the own container by, the surest first.
fn names(proc: &Path, hostname: Option<&str>) -> Vec<String> {
    let read = |file: &str| fs::read_to_string(proc.join(file)).unwrap_or_default();
    // The engine mounts files from its directory of the container, such as
    // /etc/hostname. With cgroups of version 1 the path of the group ends in
    // the id.
    if let Some(id) = mounted_id(&read("self/mountinfo")).or(grouped_id(&read("self/cgroup"))) {
        return vec![id];
    }
    // By default the hostname is the beginning of the id. One that was chosen
    // may be a container's name by chance, but hardly looks like an id.
    let short = |name: &&str| name.len() == 12 && name.bytes().all(|b| b.is_ascii_hexdigit());
    hostname.filter(short).map(str::to_owned).into_iter().collect()
}

fn mounted_id(mountinfo: &str) -> Option<String> {
    let own = mountinfo.lines().filter(|line| {
        // The fifth field says where it is mounted. A program on the host sees
        // the mounts of all containers, elsewhere.
        let at = line.split_whitespace().nth(4);
        matches!(at, Some("/etc/hostname" | "/etc/hosts" | "/etc/resolv.conf"))
    });
    own.flat_map(|line| line.split("/containers/").skip(1)).find_map(leading_id)
}

fn grouped_id(cgroup: &str) -> Option<String> {
    cgroup.lines().filter_map(|line| line.rsplit(['/', '-']).next()).find_map(leading_id)
}

/// The id that a text begins with.
fn leading_id(text: &str) -> Option<String> {
    let id = text.get(..64)?;
    let rest = text[64..].chars().next();
    let hex = id.bytes().all(|b| b.is_ascii_hexdigit());
    (hex && !rest.is_some_and(|c| c.is_ascii_alphanumeric())).then(|| id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "75c1ee4601db2860f8a68e668d0120e0e274962d3ad8f3a54f11ae38275ef99d";

    #[test]
    fn reads_the_mounts_of_a_container() {
        let line = |at: &str| {
            format!("1 2 8:1 /var/lib/docker/containers/{ID}/hostname {at} rw - ext4 /dev/sda rw\n")
        };
        assert_eq!(mounted_id(&line("/etc/hostname")).as_deref(), Some(ID));
        // As a program on the host sees it.
        assert_eq!(mounted_id(&line("/var/lib/docker/containers/x/mounts/shm")), None);
        assert_eq!(mounted_id("1 2 8:1 /containers/short/hostname /etc/hostname rw"), None);
    }

    #[test]
    fn reads_control_groups() {
        for line in [
            format!("12:cpu:/docker/{ID}\n"),
            format!("0::/system.slice/docker-{ID}.scope\n"),
            format!("1:name=systemd:/\n5:memory:/docker/{ID}"),
        ] {
            assert_eq!(grouped_id(&line).as_deref(), Some(ID), "{line}");
        }
        assert_eq!(grouped_id("0::/\n"), None);
        assert_eq!(grouped_id(&format!("0::/docker/{ID}0\n")), None);
    }

    #[test]
    fn a_hostname_counts_only_where_nothing_better_is() {
        let proc = tempfile::tempdir().unwrap();
        assert_eq!(names(proc.path(), Some("75c1ee4601db")), ["75c1ee4601db"]);
        assert_eq!(names(proc.path(), Some("web")), [""; 0]);
        assert_eq!(names(proc.path(), None), [""; 0]);
        fs::create_dir(proc.path().join("self")).unwrap();
        fs::write(proc.path().join("self/cgroup"), format!("1:cpu:/docker/{ID}")).unwrap();
        assert_eq!(names(proc.path(), Some("75c1ee4601db")), [ID]);
    }
}
