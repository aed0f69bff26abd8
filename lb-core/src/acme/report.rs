//! What is told of a manager: plain data.

use std::{path::PathBuf, time::SystemTime};

/// What a [`Manager`](super::Manager) has ordered, orders, and can't.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// The URL of the ACME server's directory.
    pub directory: String,
    /// Where the account and what was issued are kept.
    pub folder: PathBuf,
    /// Whose turn it is to order.
    pub turn: Turn,
    /// The account at the server.
    pub account: Account,
    /// Every host there is to be a certificate for, by name.
    pub hosts: Vec<HostReport>,
}

/// Which process orders: one for each folder.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Turn {
    /// It isn't known yet.
    Unknown,
    /// This one.
    Ours,
    /// Another one does, until it ends. What it gets is served here as well.
    Others,
    /// The folder can't be used; why, and what to do. It is tried again every few
    /// seconds.
    Nobody(String),
}

/// The account at the ACME server.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Account {
    /// There is none, and nobody needed it yet.
    None,
    /// It is being opened, or read from its file.
    Opening,
    /// It is there.
    Open {
        /// Its URL, by which the server knows it.
        url: String,
    },
    /// It couldn't be opened, so nothing is ordered.
    Failed {
        /// Why not.
        why: String,
        /// It is tried again at this time.
        next_try: SystemTime,
    },
}

/// A host there is to be a certificate for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HostReport {
    /// Its name.
    pub host: String,
    /// What is done about it.
    pub state: State,
    /// Our certificate for it, if there is one.
    pub certificate: Option<Validity>,
}

/// What is done about a host's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum State {
    /// There can be no certificate for it; why.
    Refused(String),
    /// The folder has a certificate for it that isn't ours; which one.
    LeftAlone(String),
    /// Its files can't be read or written; why. They are tried again every minute.
    Unreadable(String),
    /// An order is to come.
    Waiting,
    /// An order is on its way.
    Ordering,
    /// Its certificate is good.
    Valid,
    /// The last order has failed. An earlier certificate is served, if there is one.
    Failed {
        /// Why.
        why: String,
        /// How many orders have failed in a row.
        failures: u32,
        /// It is ordered again at this time.
        next_try: SystemTime,
    },
}

impl State {
    /// Every name there is.
    pub const NAMES: [&str; 7] =
        ["refused", "left_alone", "unreadable", "waiting", "ordering", "valid", "failed"];

    /// Its name, as metrics have it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Refused(_) => "refused",
            Self::LeftAlone(_) => "left_alone",
            Self::Unreadable(_) => "unreadable",
            Self::Waiting => "waiting",
            Self::Ordering => "ordering",
            Self::Valid => "valid",
            Self::Failed { .. } => "failed",
        }
    }
}

/// How long a certificate is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Validity {
    /// It isn't valid before this time.
    pub not_before: SystemTime,
    /// It isn't valid after this time.
    pub not_after: SystemTime,
    /// It is renewed at this time.
    pub renews_at: SystemTime,
}
