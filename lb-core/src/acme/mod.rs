//! ACME (RFC 8555; feature `acme`): certificates for hosts that are found while we
//! run, ordered from Let's Encrypt or any other server, kept, and renewed.
//!
//! A [`Manager`] is told the hosts, its [`Driver`] orders. What is issued is written
//! into the folder of a [`CertificateStore`], which serves it as it does all others:
//! it needs no restart, and open connections don't notice.
//!
//! # What is ordered
//!
//! A certificate for each host alone, with a new key (ECDSA, P-256), once there is
//! none, and again when a third of its lifetime is left or earlier, if the server
//! wants that (RFC 9773). An order that fails is repeated after a minute, then four
//! minutes, and so on up to six hours, or when the server says; the others go on. What
//! has failed is forgotten when the process ends, what was issued is not.
//!
//! Certificates of others are left alone: neither replaced nor renewed. If there are
//! files for a host that we didn't make, or the folder has a certificate for its
//! domain that is good for it, the [`Report`] says so and nothing is ordered.
//! Remove them, and something is. So it is with hosts that can't have a certificate:
//! addresses, wildcards (they need DNS-01), names that aren't public (unless the server
//! is [a private one](Options::verify)).
//!
//! A host that has left isn't renewed. Its files stay, and are used when it is back.
//!
//! # What is kept
//!
//! In `.acme`, or [another folder](Options::folder): the account's key, and what was
//! issued for each host. In the folder of the certificates there are only `<host>.crt`
//! and `<host>.key`. Keys can be read by the user of this process only.
//!
//! # More than one process
//!
//! One process orders for a folder: it holds a lock, which ends with it. All others
//! serve what it gets, and one of them goes on when it ends. So there are no double
//! orders. Where a new process takes over the sockets of an old one, the new one gets
//! the questions of the ACME server, so drop the old one's driver then: orders that are
//! broken off by that are made again. Processes that serve the same host at the same
//! time, on several machines, need a load balancer before them that sends those
//! questions to the one that orders.
//!
//! # Wiring
//!
//! ```no_run
//! use lb_core::{acme, tls};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (store, follower) = tls::CertificateStore::open(tls::StoreOptions::new("/etc/certs"))?;
//! tokio::spawn(follower.run());
//!
//! // Answers the ACME server: handshakes by the acceptor, requests by who has port 80.
//! let challenges = tls::Challenges::default();
//! let mut options = tls::AcceptorOptions::default();
//! options.challenges = challenges.clone();
//! let acceptor = tls::Acceptor::new(store.clone(), options);
//! # let _ = acceptor;
//! let answer = |path: &str| challenges.http01(path.strip_prefix(tls::Challenges::HTTP01_PATH)?);
//! # let _ = answer;
//!
//! let mut options = acme::Options::default();
//! options.terms_accepted = true;
//! options.contacts = vec!["me@example.com".into()];
//! let (manager, driver) = acme::Manager::new(options, store, challenges.clone())?;
//! tokio::spawn(driver.run());
//!
//! // Whenever hosts come and go.
//! manager.set_hosts(["www.example.com".to_owned()].into());
//! # Ok(())
//! # }
//! ```

mod ari;
mod client;
mod driver;
mod failure;
mod folder;
mod host;
mod issued;
mod jobs;
mod options;
mod order;
mod plan;
mod report;

use std::{collections::BTreeSet, fmt, sync::Arc};

use tokio::sync::watch;

pub use driver::Driver;
pub use options::{
    ChallengeType, ExternalAccount, InvalidOption, LETS_ENCRYPT, LETS_ENCRYPT_STAGING, Options,
};
pub use report::{Account, HostReport, Report, State, Turn, Validity};

use crate::tls::{CertificateStore, Challenges, Connector, ConnectorOptions};

/// Has certificates ordered for hosts. Clones are the same.
#[derive(Clone)]
pub struct Manager {
    hosts: Arc<watch::Sender<BTreeSet<String>>>,
    report: watch::Receiver<Report>,
}

impl Manager {
    /// Orders for the folder of this store, and has the ACME server answered by these
    /// challenges.
    ///
    /// # Errors
    ///
    /// The terms of service aren't accepted, or nothing can be ordered with an option.
    pub fn new(
        options: Options,
        store: CertificateStore,
        challenges: Challenges,
    ) -> Result<(Self, Driver), InvalidOption> {
        options.check()?;
        let connector =
            ConnectorOptions { verify: options.verify.clone(), ..ConnectorOptions::default() };
        let connector = Connector::new(connector).map_err(|error| InvalidOption {
            key: "verify",
            value: format!("{:?}", options.verify),
            remedy: error.to_string(),
        })?;
        let folder =
            folder::Folder::new(store.directory(), options.folder.clone(), &options.directory);
        let report = Report {
            directory: options.directory.clone(),
            folder: folder.path().to_owned(),
            turn: Turn::Unknown,
            account: Account::None,
            hosts: Vec::new(),
        };
        let (hosts, told) = watch::channel(BTreeSet::new());
        let (reporter, report) = watch::channel(report);
        let context = jobs::Context { options, folder, store, challenges, connector };
        let driver = Driver {
            context: Arc::new(context),
            hosts: told,
            report: reporter,
            #[cfg(feature = "http")]
            metrics: crate::metrics::Acme::new(),
        };
        Ok((Self { hosts: Arc::new(hosts), report }, driver))
    }

    /// These are the hosts there are to be certificates for, and no others. Case and a
    /// dot at the end don't matter.
    pub fn set_hosts(&self, hosts: BTreeSet<String>) {
        self.hosts.send_if_modified(|before| {
            let news = *before != hosts;
            *before = hosts;
            news
        });
    }

    /// What is ordered, what there is, and what is wrong, as of now.
    pub fn report(&self) -> Report {
        self.report.borrow().clone()
    }

    /// The first report that is as wanted, or the last one there will be.
    pub async fn wait_for(&self, mut wanted: impl FnMut(&Report) -> bool) -> Report {
        let mut report = self.report.clone();
        match report.wait_for(|report| wanted(report)).await {
            Ok(report) => report.clone(),
            Err(_) => self.report(),
        }
    }
}

impl fmt::Debug for Manager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Manager").field("report", &*self.report.borrow()).finish_non_exhaustive()
    }
}
