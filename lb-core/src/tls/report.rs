//! What is told of a store: plain data.

use std::{fmt, path::PathBuf, time::SystemTime};

/// What a [`CertificateStore`](super::CertificateStore) serves, and what is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// The folder that is followed.
    pub directory: PathBuf,
    /// Whether the folder has been read in whole since the start.
    pub synced: bool,
    /// Every certificate that is served, by name.
    pub certificates: Vec<CertificateReport>,
    /// The authorities client certificates are verified against, by name.
    pub client_authorities: Vec<AuthorityReport>,
    /// What is wrong with files of the folder, by name.
    pub problems: Vec<Problem>,
}

/// A certificate that is served.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CertificateReport {
    /// The name it is found by: a host, `*.` and a domain, `default`, or what
    /// services call it. It is that of the file.
    pub name: String,
    /// Where it was read.
    pub file: PathBuf,
    /// The hosts it is chosen for by its name, in the form `example.com` or
    /// `*.example.com`; `*` for those without another one. Empty for a default
    /// that isn't trusted.
    pub hosts: Vec<String>,
    /// The names and addresses it was issued for: those of the subject's
    /// alternative names, or its common name if there are none.
    pub names: Vec<String>,
    /// It isn't valid before this time.
    pub not_before: SystemTime,
    /// It isn't valid after this time.
    pub not_after: SystemTime,
    /// Whether an OCSP response is stapled to it as of now.
    pub stapled: bool,
}

/// Authorities of client certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuthorityReport {
    /// The host whose clients they vouch for; none for all hosts that have no
    /// authorities of their own.
    pub host: Option<String>,
    /// Where they were read.
    pub file: PathBuf,
    /// How many there are.
    pub authorities: usize,
}

/// Something that is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Problem {
    /// The name of the certificate or authority; empty if it is the folder's.
    pub name: String,
    /// The file, or the folder.
    pub file: PathBuf,
    /// What is wrong with it.
    pub what: String,
    /// What to do about it.
    pub remedy: String,
    /// What became of it.
    pub effect: Effect,
}

/// What becomes of files with a [`Problem`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Effect {
    /// Nothing is served of them.
    NotServed,
    /// What was served before still is.
    EarlierServed,
    /// They are served all the same.
    ServedAnyway,
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotServed => "not served",
            Self::EarlierServed => "what was there before is served",
            Self::ServedAnyway => "served all the same",
        })
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, what, remedy, effect, .. } = self;
        write!(f, "{}: {what}; {remedy} ({effect})", file.display())
    }
}
