//! The folder: which file is what of which name.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File, Metadata},
    io::{self, Read},
    path::{Path, PathBuf},
};

use xxhash_rust::xxh64::Xxh64;

/// The name under which authorities for all hosts are found: `ca.crt`.
pub(super) const EVERY_HOST: &str = "ca";

/// What the folder holds for one name. It has no `Debug`: there are keys in it.
#[derive(Default)]
pub(super) struct Unit {
    pub(super) certificate: Option<Found>,
    pub(super) key: Option<Found>,
    pub(super) authorities: Option<Found>,
    pub(super) ocsp: Option<Found>,
    /// Files that mean the same as one that was taken.
    pub(super) doubles: Vec<PathBuf>,
}

/// A file as it was read.
pub(super) struct Found {
    pub(super) path: PathBuf,
    /// Or why it can't be read.
    pub(super) content: Result<Vec<u8>, String>,
    /// Whether every user of the machine may read it.
    pub(super) everybody_reads: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Certificate,
    Key,
    Authorities,
    Ocsp,
}

/// Reads the folder in whole. `is_certificate` says of a name whether it was that
/// of a certificate before.
pub(super) fn read(
    directory: &Path,
    is_certificate: impl Fn(&str) -> bool,
) -> io::Result<BTreeMap<String, Unit>> {
    let mut files = BTreeSet::new();
    for entry in fs::read_dir(directory)? {
        // What isn't text can't be the name of a host.
        files.extend(entry?.file_name().into_string());
    }
    let lower: BTreeSet<_> = files.iter().map(|file| file.to_ascii_lowercase()).collect();
    let has_key = |name: &str| lower.contains(&format!("{name}.key")) || is_certificate(name);

    let mut units = BTreeMap::<_, Unit>::new();
    for file in files {
        let Some((name, role)) = classify(&file, has_key) else { continue };
        let unit = units.entry(name).or_default();
        let path = directory.join(file);
        let place = match role {
            Role::Certificate => &mut unit.certificate,
            Role::Key => &mut unit.key,
            Role::Authorities => &mut unit.authorities,
            Role::Ocsp => &mut unit.ocsp,
        };
        if place.is_some() {
            unit.doubles.push(path);
        } else {
            *place = Some(Found::read(path));
        }
    }
    Ok(units)
}

/// What a file of this name is, and of what: the name in small letters, `_.` at its
/// beginning as `*.`.
///
/// `example.ca.crt` may be the certificate of the host `example.ca`, or authorities
/// for the host `example`: it is the former if `has_key` knows a key for it.
fn classify(file: &str, has_key: impl Fn(&str) -> bool) -> Option<(String, Role)> {
    let file = file.to_ascii_lowercase();
    let (stem, role) = match file.rsplit_once('.')? {
        ("ca", "crt") => (EVERY_HOST, Role::Authorities),
        // Of no use here, and no host's.
        ("ca", _) => return None,
        (stem, "key") => (stem, Role::Key),
        (stem, "ocsp") => (stem, Role::Ocsp),
        // Kept beside certificates for nginx, which verifies responses of OCSP by it.
        (stem, "crt") if stem.ends_with(".chain") => return None,
        (stem, "crt") => match stem.strip_suffix(".ca") {
            Some(host) if !has_key(stem) => (host, Role::Authorities),
            _ => (stem, Role::Certificate),
        },
        _ => return None,
    };
    // Hidden files belong to tools that are at work.
    if stem.is_empty() || stem.starts_with('.') {
        return None;
    }
    let name = match stem.strip_prefix("_.") {
        Some(domain) => format!("*.{domain}"),
        None => stem.to_owned(),
    };
    Some((name, role))
}

/// More than any certificate, chain or list of authorities is: somebody named
/// another file.
const SIZE_LIMIT: u64 = 4 << 20;

impl Found {
    fn read(path: PathBuf) -> Self {
        let everybody_reads = path.metadata().is_ok_and(|metadata| everybody_reads(&metadata));
        let content = read_all(&path).map_err(|error| error.to_string());
        Self { path, content, everybody_reads }
    }
}

fn read_all(path: &Path) -> io::Result<Vec<u8>> {
    // Opening a pipe would wait for who writes into it.
    if !path.metadata()?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let mut content = Vec::new();
    File::open(path)?.take(SIZE_LIMIT + 1).read_to_end(&mut content)?;
    if content.len() as u64 > SIZE_LIMIT {
        let limit = SIZE_LIMIT >> 20;
        return Err(io::Error::other(format!("more than {limit} MiB")));
    }
    Ok(content)
}

#[cfg(unix)]
fn everybody_reads(metadata: &Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;

    metadata.permissions().mode() & 0o004 != 0
}

#[cfg(not(unix))]
fn everybody_reads(_: &Metadata) -> bool {
    false
}

impl Unit {
    /// Another one for every other content. Of keys no more than this is kept to
    /// compare.
    pub(super) fn fingerprint(&self) -> u64 {
        let mut hash = Xxh64::new(0);
        let mut add = |bytes: &[u8]| {
            hash.update(&(bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        };
        let Self { certificate, key, authorities, ocsp, doubles } = self;
        for found in [certificate, key, authorities, ocsp] {
            match found {
                None => add(b"none"),
                Some(Found { path, content, everybody_reads }) => {
                    add(path.as_os_str().as_encoded_bytes());
                    add(&[u8::from(*everybody_reads), u8::from(content.is_ok())]);
                    add(content.as_deref().unwrap_or_else(|error| error.as_bytes()));
                }
            }
        }
        for double in doubles {
            add(double.as_os_str().as_encoded_bytes());
        }
        hash.digest()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tempfile::TempDir;

    use super::*;

    fn folder(files: &[&str]) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            fs::write(folder.path().join(file), file).unwrap();
        }
        folder
    }

    fn names(files: &[&str]) -> Vec<String> {
        let folder = folder(files);
        let of = |found: &Option<Found>| found.is_some();
        let units = read(folder.path(), |_| false).unwrap();
        let line = |(name, unit): (String, Unit)| {
            let Unit { certificate, key, authorities, ocsp, doubles } = &unit;
            let parts = [(certificate, "crt"), (key, "key"), (authorities, "ca"), (ocsp, "ocsp")];
            let parts: Vec<_> =
                parts.iter().filter(|(found, _)| of(found)).map(|(_, part)| *part).collect();
            format!("{name}: {}{}", parts.join(" "), "+".repeat(doubles.len()))
        };
        units.into_iter().map(line).collect()
    }

    #[test]
    fn files_are_grouped_by_name() {
        let files = [
            "example.com.crt",
            "example.com.key",
            "example.com.ca.crt",
            "example.com.ocsp",
            "example.com.chain.crt",
            "example.com.dhparam.pem",
            "_.example.org.crt",
            "_.example.org.key",
            "Default.CRT",
            "default.key",
            "ca.crt",
            "ca.key",
            ".hidden.crt",
            ".crt",
            "README",
        ];
        assert_eq!(
            names(&files),
            [
                "*.example.org: crt key",
                "ca: ca",
                "default: crt key",
                "example.com: crt key ca ocsp"
            ]
        );
    }

    #[test]
    fn a_canadian_host_is_told_from_authorities_by_its_key() {
        assert_eq!(names(&["shop.ca.crt", "shop.ca.key"]), ["shop.ca: crt key"]);
        assert_eq!(names(&["shop.ca.crt"]), ["shop: ca"]);
        let canadian = folder(&["shop.ca.crt"]);
        let units = read(canadian.path(), |name| name == "shop.ca").unwrap();
        assert!(units["shop.ca"].certificate.is_some(), "it was one before its key went");
    }

    #[test]
    fn of_two_files_for_the_same_one_is_taken() {
        let folder = folder(&["*.example.com.crt", "_.example.com.crt", "_.example.com.key"]);
        let units = read(folder.path(), |_| false).unwrap();
        let unit = &units["*.example.com"];
        assert!(unit.certificate.as_ref().unwrap().path.ends_with("*.example.com.crt"));
        assert!(unit.doubles[0].ends_with("_.example.com.crt"));
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        let folder = folder(&["big.key"]);
        fs::create_dir(folder.path().join("a.crt")).unwrap();
        File::create(folder.path().join("big.key")).unwrap().set_len(SIZE_LIMIT + 1).unwrap();
        let units = read(folder.path(), |_| false).unwrap();
        let why = |found: &Option<Found>| found.as_ref().unwrap().content.clone().unwrap_err();
        assert_eq!(why(&units["a"].certificate), "not a regular file");
        assert_eq!(why(&units["big"].key), "more than 4 MiB");
        assert!(read(&folder.path().join("none"), |_| false).is_err());
    }

    #[test]
    fn every_difference_shows_in_the_fingerprint() {
        let unit = |files: &[&str], content: &str| {
            let found = |file: &str| Found {
                path: Path::new("/certs").join(file),
                content: Ok(content.into()),
                everybody_reads: false,
            };
            Unit {
                certificate: files.contains(&"crt").then(|| found("a.crt")),
                key: files.contains(&"key").then(|| found("a.key")),
                ..Unit::default()
            }
        };
        let mut open = unit(&["crt", "key"], "1");
        open.key.as_mut().unwrap().everybody_reads = true;
        let mut failed = unit(&["crt", "key"], "1");
        failed.key.as_mut().unwrap().content = Err("1".into());
        let all = [
            unit(&["crt", "key"], "1"),
            unit(&["crt", "key"], "2"),
            unit(&["crt"], "1"),
            unit(&["key"], "1"),
            open,
            failed,
        ];
        let prints: BTreeSet<_> = all.iter().map(Unit::fingerprint).collect();
        assert_eq!(prints.len(), all.len());
        assert_eq!(all[0].fingerprint(), unit(&["crt", "key"], "1").fingerprint());
    }

    proptest! {
        #[test]
        fn any_name_is_classified(file in "[a-zA-Z_.*-]{0,12}(\\.ca)?(\\.chain)?(\\.crt|\\.key|\\.ocsp)?") {
            if let Some((name, _)) = classify(&file, |_| false) {
                prop_assert!(!name.is_empty() && !name.starts_with('.'));
                prop_assert_eq!(name.to_ascii_lowercase(), name);
            }
        }
    }
}
