//! What is kept: the account, what was issued, and the pairs of files in the folder of
//! the certificates that are made of it.
//!
//! ```text
//! .acme/lock                     held by the process that orders
//! .acme/accounts/<server>.json   the account at a server, with its key
//! .acme/issued/<host>.pem        the server, the key and the certificate of a host
//! .acme/issued/<host>.old.pem    those before
//! <host>.key, <host>.crt         made of it, the key first
//! ```
//!
//! A file of a pair is ours if it is what was issued last, or before that. So who dies
//! between two files finds them to be ours and finishes, and whatever somebody else has
//! put there is told from it.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Write},
    path::{Path, PathBuf},
    time::SystemTime,
};

use super::{
    issued::Issued,
    plan::{Certificate, Found},
};
use crate::tls::CertificateReport;

/// Where everything is. It has no state but what is on disk.
#[derive(Clone, Debug)]
pub(super) struct Folder {
    /// Whose files are served.
    certificates: PathBuf,
    own: PathBuf,
    /// The directory of the server that is asked.
    server: String,
}

/// Dropped, another process may order.
pub(super) struct Lock {
    _file: File,
}

impl Folder {
    pub(super) fn new(certificates: &Path, own: Option<PathBuf>, server: &str) -> Self {
        let own = own.unwrap_or_else(|| certificates.join(".acme"));
        Self { certificates: certificates.to_owned(), own, server: server.to_owned() }
    }

    pub(super) fn path(&self) -> &Path {
        &self.own
    }

    /// None if another process has it.
    pub(super) fn lock(&self) -> io::Result<Option<Lock>> {
        self.make(&self.own)?;
        let file = private().truncate(false).open(self.own.join("lock"))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Lock { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// The account's credentials, if it has been opened.
    pub(super) fn account(&self) -> io::Result<Option<Vec<u8>>> {
        read(&self.account_file())
    }

    pub(super) fn keep_account(&self, credentials: &[u8]) -> io::Result<()> {
        self.make(&self.own.join("accounts"))?;
        replace(&self.account_file(), credentials, Readers::Owner)
    }

    /// The server doesn't know this one any more, unless there is a newer one already.
    pub(super) fn lose_account(&self, lost: &[u8]) -> io::Result<()> {
        match self.account()? {
            Some(kept) if kept == lost => fs::remove_file(self.account_file()),
            _ => Ok(()),
        }
    }

    fn account_file(&self) -> PathBuf {
        let url = self.server.trim_start_matches("https://");
        let plain = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' };
        let name: String = url.chars().map(plain).collect();
        self.own.join("accounts").join(format!("{name}.json"))
    }

    /// Whether what would be issued for a host could be kept: else it would be ordered
    /// again and again, which servers allow a few times a week.
    pub(super) fn probe(&self, host: &str) -> io::Result<()> {
        const AS_MUCH: [u8; 16 << 10] = [b'\n'; 16 << 10];
        let folder = self.own.join("issued");
        self.make(&folder)?;
        // Others may be ordered for at the same time.
        let file = folder.join(format!("{host}.probe"));
        replace(&file, &AS_MUCH, Readers::Owner)?;
        fs::remove_file(&file).map_err(|error| naming(&file, &error))
    }

    /// Keeps what was issued, before any of it is served.
    pub(super) fn keep(&self, host: &str, issued: &Issued) -> io::Result<()> {
        self.make(&self.own.join("issued"))?;
        let (file, old) = self.issued_files(host);
        if let Some(before) = read(&file)? {
            replace(&old, &before, Readers::Owner)?;
        }
        replace(&file, issued.to_text(&self.server).as_bytes(), Readers::Owner)
    }

    fn issued_files(&self, host: &str) -> (PathBuf, PathBuf) {
        let folder = self.own.join("issued");
        (folder.join(format!("{host}.pem")), folder.join(format!("{host}.old.pem")))
    }

    /// What there is for a host. What was issued and isn't served is put where it
    /// will be, unless somebody else's files are there, or another certificate
    /// of the folder is good for this host.
    pub(super) fn settle(&self, host: &str, served: &[CertificateReport]) -> Found {
        self.try_settle(host, served).unwrap_or_else(|error| Found::Unreadable(error.to_string()))
    }

    fn try_settle(&self, host: &str, served: &[CertificateReport]) -> io::Result<Found> {
        let (file, old) = self.issued_files(host);
        let (issued, before) = (issued(&file)?, issued(&old)?);
        let ours = [issued.as_ref(), before.as_ref()].map(|one| one.map(|(issued, _)| issued));

        let [key, crt] = ["key", "crt"].map(|end| self.certificates.join(format!("{host}.{end}")));
        let (there_key, there_crt) = (read(&key)?, read(&crt)?);
        let foreign = |there: &Option<Vec<u8>>, part: fn(&Issued) -> &str| {
            let is = |issued: &&Issued| there.as_deref() == Some(part(issued).as_bytes());
            there.is_some() && !ours.into_iter().flatten().any(|one| is(&one))
        };
        if foreign(&there_key, Issued::key) {
            return Ok(Found::Foreign(not_ours(&key)));
        }
        if foreign(&there_crt, Issued::chain) {
            return Ok(Found::Foreign(not_ours(&crt)));
        }
        let is_elsewhere = |one: &&CertificateReport| one.name == host && one.file != crt;
        if let Some(other) = served.iter().find(is_elsewhere) {
            return Ok(Found::Foreign(not_ours(&other.file)));
        }
        if there_crt.is_none()
            && let Some(other) = of_domain(host, served)
        {
            return Ok(Found::Foreign(format!("{} is good for it", other.file.display())));
        }
        let Some((issued, server)) = issued else { return Ok(Found::Nothing) };
        // The key first: a certificate alone may be taken for authorities.
        if there_key.as_deref() != Some(issued.key().as_bytes()) {
            replace(&key, issued.key().as_bytes(), Readers::Owner)?;
        }
        if there_crt.as_deref() != Some(issued.chain().as_bytes()) {
            replace(&crt, issued.chain().as_bytes(), Readers::Everybody)?;
        }
        Ok(Found::Ours(Certificate {
            not_before: issued.facts().not_before,
            not_after: issued.facts().not_after,
            current: server == self.server,
        }))
    }

    /// The certificate that this server has issued last for a host, in DER.
    pub(super) fn leaf(&self, host: &str) -> io::Result<Option<Vec<u8>>> {
        let (file, _) = self.issued_files(host);
        let current = issued(&file)?.filter(|(_, server)| *server == self.server);
        Ok(current.map(|(issued, _)| issued.leaf().to_vec()))
    }

    /// Readable for nobody else.
    fn make(&self, folder: &Path) -> io::Result<()> {
        let mut builder = DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(folder).map_err(|error| naming(folder, &error))
    }
}

fn not_ours(file: &Path) -> String {
    format!("{} isn't ours; remove it to have one ordered", file.display())
}

/// What the folder has for the hosts below a domain, if it is good for this one.
fn of_domain<'a>(host: &str, served: &'a [CertificateReport]) -> Option<&'a CertificateReport> {
    let (_, domain) = host.split_once('.')?;
    let wildcard = format!("*.{domain}");
    let now = SystemTime::now();
    let by_name = |name: &str| served.iter().find(|one| one.name == name);
    by_name(&wildcard).or_else(|| by_name(domain)).filter(|one| {
        let is_for = |name: &String| name.eq_ignore_ascii_case(host) || *name == wildcard;
        one.names.iter().any(is_for) && one.not_before <= now && now <= one.not_after
    })
}

/// With the server it is from. What can't be understood was never issued.
fn issued(file: &Path) -> io::Result<Option<(Issued, String)>> {
    Ok(read(file)?.and_then(|text| Issued::from_text(&text)))
}

#[derive(Clone, Copy)]
enum Readers {
    Owner,
    Everybody,
}

fn read(file: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(file) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(naming(file, &error)),
    }
}

/// All of it or nothing, also if the machine dies.
fn replace(file: &Path, content: &[u8], readers: Readers) -> io::Result<()> {
    let write = || -> io::Result<()> {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let beside = file.with_file_name(format!(".{name}.new"));
        // What another one left there may have other rights.
        match fs::remove_file(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut options = match readers {
            Readers::Owner => private(),
            Readers::Everybody => writing(),
        };
        let mut new = options.create_new(true).open(&beside)?;
        new.write_all(content)?;
        new.sync_all()?;
        drop(new);
        fs::rename(&beside, file)?;
        // Elsewhere folders can't be opened.
        #[cfg(unix)]
        if let Some(folder) = file.parent() {
            File::open(folder)?.sync_all()?;
        }
        Ok(())
    };
    write().map_err(|error| naming(file, &error))
}

fn writing() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create(true);
    options
}

fn private() -> OpenOptions {
    let mut options = writing();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

fn naming(file: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", file.display()))
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::PermissionsExt, time::Duration};

    use rcgen::{CertificateParams, KeyPair};
    use tempfile::TempDir;

    use super::*;

    const SERVER: &str = "https://ca.test/dir";

    struct Scene {
        certificates: TempDir,
        folder: Folder,
    }

    fn scene() -> Scene {
        let certificates = tempfile::tempdir().unwrap();
        let folder = Folder::new(certificates.path(), None, SERVER);
        Scene { certificates, folder }
    }

    impl Scene {
        fn file(&self, name: &str) -> PathBuf {
            self.certificates.path().join(name)
        }

        fn text(&self, name: &str) -> String {
            fs::read_to_string(self.file(name)).unwrap()
        }

        fn settle(&self) -> Found {
            self.folder.settle("a.com", &[])
        }
    }

    fn issued(host: &str) -> Issued {
        let params = CertificateParams::new([host.to_owned()]).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Issued::new(&key.serialize_pem(), &certificate.pem()).unwrap()
    }

    fn certificate(found: &Found) -> &Certificate {
        match found {
            Found::Ours(certificate) => certificate,
            found => panic!("{found:?}"),
        }
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn what_is_issued_is_served_and_kept() {
        let scene = scene();
        assert_eq!(scene.settle(), Found::Nothing);
        let first = issued("a.com");
        scene.folder.keep("a.com", &first).unwrap();
        let found = scene.settle();
        let Certificate { not_after, current, .. } = certificate(&found);
        assert_eq!((*not_after, *current), (first.facts().not_after, true));
        assert_eq!(scene.text("a.com.key"), first.key());
        assert_eq!(scene.text("a.com.crt"), first.chain());
        assert_eq!(scene.folder.leaf("a.com").unwrap().unwrap(), first.leaf());
        for (name, expected) in [
            ("a.com.key", 0o600),
            (".acme/issued/a.com.pem", 0o600),
            (".acme", 0o700),
            (".acme/issued", 0o700),
        ] {
            assert_eq!(mode(&scene.file(name)), expected, "{name}");
        }

        let second = issued("a.com");
        scene.folder.keep("a.com", &second).unwrap();
        certificate(&scene.settle());
        assert_eq!(scene.text("a.com.key"), second.key());
        assert_eq!(scene.text("a.com.crt"), second.chain());
        let names = fs::read_dir(scene.certificates.path()).unwrap();
        let mut names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, [".acme", "a.com.crt", "a.com.key"], "nothing is left behind");
    }

    #[test]
    fn who_dies_in_the_midst_finishes_later() {
        let (first, second) = (issued("a.com"), issued("a.com"));
        // How far it came: kept, the key written, half of a file beside it.
        for step in 0..3 {
            let scene = scene();
            scene.folder.keep("a.com", &first).unwrap();
            certificate(&scene.settle());
            scene.folder.keep("a.com", &second).unwrap();
            if step > 0 {
                fs::write(scene.file("a.com.key"), second.key()).unwrap();
            }
            if step > 1 {
                fs::write(scene.file(".a.com.crt.new"), "-----BEG").unwrap();
            }
            certificate(&scene.settle());
            assert_eq!(scene.text("a.com.key"), second.key());
            assert_eq!(scene.text("a.com.crt"), second.chain());
        }
    }

    #[test]
    fn files_that_go_come_back() {
        let scene = scene();
        let issued = issued("a.com");
        scene.folder.keep("a.com", &issued).unwrap();
        for name in ["a.com.crt", "a.com.key"] {
            certificate(&scene.settle());
            fs::remove_file(scene.file(name)).unwrap();
        }
        certificate(&scene.settle());
        assert_eq!(scene.text("a.com.key"), issued.key());
    }

    #[test]
    fn what_is_not_ours_is_never_touched() {
        let (ours, theirs) = (issued("a.com"), issued("a.com"));
        for (name, content) in [("a.com.crt", theirs.chain()), ("a.com.key", theirs.key())] {
            for is_known in [false, true] {
                let scene = scene();
                if is_known {
                    scene.folder.keep("a.com", &ours).unwrap();
                    certificate(&scene.settle());
                }
                fs::write(scene.file(name), content).unwrap();
                let expected = format!("{name} isn't ours; remove it to have one ordered");
                let found = scene.settle();
                assert!(
                    matches!(&found, Found::Foreign(why) if why.ends_with(&expected)),
                    "{found:?}"
                );
                scene.folder.keep("a.com", &ours).unwrap();
                scene.settle();
                assert_eq!(scene.text(name), content);
            }
        }
    }

    #[test]
    fn a_certificate_of_the_domain_is_enough_if_it_is_good() {
        let scene = scene();
        let now = SystemTime::now();
        let day = Duration::from_secs(86_400);
        let served = |name: &str, names: &[&str], not_after| CertificateReport {
            name: name.into(),
            file: format!("/certs/{name}.crt").into(),
            hosts: Vec::new(),
            names: names.iter().map(ToString::to_string).collect(),
            not_before: now - day,
            not_after,
            stapled: false,
        };
        let found = |one| scene.folder.settle("www.a.com", &[one]);
        let good = |file| Found::Foreign(format!("/certs/{file} is good for it"));
        let wildcard = served("*.a.com", &["*.a.com"], now + day);
        assert_eq!(found(wildcard), good("*.a.com.crt"));
        let domain = served("a.com", &["a.com", "WWW.a.com"], now + day);
        assert_eq!(found(domain), good("a.com.crt"));
        assert_eq!(found(served("*.a.com", &["*.a.com"], now - day)), Found::Nothing, "expired");
        assert_eq!(found(served("a.com", &["a.com"], now + day)), Found::Nothing, "another name");
        assert_eq!(found(served("com", &["*.com"], now + day)), Found::Nothing, "two levels up");
        let strange = served("www.a.com", &["www.a.com"], now + day);
        assert!(matches!(found(strange), Found::Foreign(_)), "WWW.a.com.crt, say");
    }

    #[test]
    fn another_servers_certificate_is_ours_to_replace() {
        let scene = scene();
        scene.folder.keep("a.com", &issued("a.com")).unwrap();
        let staging = Folder::new(scene.certificates.path(), None, "https://other.test/dir");
        assert!(!certificate(&staging.settle("a.com", &[])).current);
        assert_eq!(staging.leaf("a.com").unwrap(), None);
        scene.folder.keep_account(b"a").unwrap();
        staging.keep_account(b"b").unwrap();
        assert_eq!(scene.folder.account().unwrap().unwrap(), b"a");
        let file = scene.file(".acme/accounts/ca.test-dir.json");
        assert_eq!(mode(&file), 0o600);
        scene.folder.lose_account(b"before").unwrap();
        assert_eq!(scene.folder.account().unwrap().unwrap(), b"a", "another order lost it first");
        scene.folder.lose_account(b"a").unwrap();
        assert_eq!(scene.folder.account().unwrap(), None);
        assert_eq!(staging.account().unwrap().unwrap(), b"b");
    }

    #[test]
    fn one_process_at_a_time_orders() {
        let scene = scene();
        let lock = scene.folder.lock().unwrap().unwrap();
        assert!(scene.folder.lock().unwrap().is_none());
        drop(lock);
        assert!(scene.folder.lock().unwrap().is_some());
    }

    #[test]
    fn what_cannot_be_read_or_written_says_which() {
        let scene = scene();
        fs::create_dir(scene.file("a.com.crt")).unwrap();
        let found = scene.settle();
        assert!(
            matches!(&found, Found::Unreadable(why) if why.contains("a.com.crt: ")),
            "{found:?}"
        );
        fs::create_dir_all(scene.file(".acme")).unwrap();
        fs::write(scene.file(".acme/issued"), "a file").unwrap();
        let error = scene.folder.probe("a.com").unwrap_err().to_string();
        assert!(error.contains(".acme/issued: "), "{error}");
        fs::remove_dir_all(scene.file(".acme")).unwrap();
        scene.folder.probe("a.com").unwrap();
        fs::remove_dir_all(scene.file(".acme")).unwrap();
        fs::write(scene.file(".acme"), "a file").unwrap();
        let Err(error) = scene.folder.lock() else { panic!() };
        assert!(error.to_string().contains(".acme: "), "{error}");
    }
}
