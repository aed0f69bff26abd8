//! The certificates that HTTPS is served with, and what operators are told of them.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use anyhow::Context;
use lb_core::tls::{Acceptor, CertificateStore, Challenges, StoreOptions};
use metrics::{Gauge, gauge};
use serde::Serialize;
use tokio::{task::JoinHandle, time};

use crate::{
    acme,
    config::TlsListeners,
    metrics::{CERTIFICATE_EXPIRY, CERTIFICATE_PROBLEMS},
};

/// Follows the folder for as long as it is kept.
pub(crate) struct Certificates {
    store: CertificateStore,
    acceptor: Acceptor,
    challenges: Challenges,
    /// Where HTTPS is served.
    port: u16,
    follower: JoinHandle<()>,
    /// By name. Those of certificates that are gone go.
    expiry: Mutex<HashMap<String, Gauge>>,
    problems: Gauge,
}

/// How long the folder may take to be read before clients are let in all the same.
const SETTLE: Duration = Duration::from_secs(5);

impl Certificates {
    /// Reads the folder, and goes on reading it.
    pub(crate) async fn open(listeners: &TlsListeners) -> anyhow::Result<Self> {
        let mut options = StoreOptions::new(&listeners.certificates);
        options.trust_default = listeners.trust_default;
        let (store, follower) =
            CertificateStore::open(options).context("there are no random numbers for TLS")?;
        let challenges = Challenges::default();
        let mut handshakes = listeners.handshakes();
        handshakes.challenges = challenges.clone();
        let acceptor = Acceptor::new(store.clone(), handshakes);
        let follower = tokio::spawn(follower.run());
        if time::timeout(SETTLE, store.wait_for(|report| report.synced)).await.is_err() {
            let folder = listeners.certificates.display();
            tracing::warn!(
                "the certificates in {folder} are not read yet: clients are refused until they are"
            );
        }
        let (expiry, problems) = (Mutex::default(), gauge!(CERTIFICATE_PROBLEMS));
        let port = listeners.listen.first().map_or(443, SocketAddr::port);
        Ok(Self { store, acceptor, challenges, port, follower, expiry, problems })
    }

    /// What makes handshakes with them.
    pub(crate) fn acceptor(&self) -> Acceptor {
        self.acceptor.clone()
    }

    pub(crate) fn store(&self) -> CertificateStore {
        self.store.clone()
    }

    /// What ACME servers are answered.
    pub(crate) fn challenges(&self) -> Challenges {
        self.challenges.clone()
    }

    /// The port of the listeners, as they are.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Sets what is only looked at now.
    pub(crate) fn observe(&self) {
        let report = self.store.report();
        self.problems.set(report.problems.len() as f64);
        let mut gauges = self.expiry.lock().unwrap_or_else(PoisonError::into_inner);
        gauges.retain(|name, _| report.certificates.iter().any(|found| found.name == *name));
        for found in &report.certificates {
            let name = found.name.clone();
            let gauge = gauges.entry(name).or_insert_with_key(
                |name| gauge!(CERTIFICATE_EXPIRY, "certificate" => name.clone()),
            );
            gauge.set(seconds(found.not_after) as f64);
        }
    }

    pub(crate) fn report(&self, acme: Option<acme::Report>) -> Report {
        let report = self.store.report();
        let certificates = report.certificates.into_iter().map(|found| Certificate {
            file: found.file.display().to_string(),
            name: found.name,
            hosts: found.hosts,
            names: found.names,
            not_before: shown(found.not_before),
            not_after: shown(found.not_after),
            stapled: found.stapled,
        });
        let authorities = report.client_authorities.into_iter().map(|found| Authority {
            host: found.host,
            file: found.file.display().to_string(),
            authorities: found.authorities,
        });
        Report {
            folder: report.directory.display().to_string(),
            certificates: certificates.collect(),
            client_authorities: authorities.collect(),
            problems: report.problems.iter().map(ToString::to_string).collect(),
            acme,
        }
    }
}

impl Drop for Certificates {
    fn drop(&mut self) {
        self.follower.abort();
    }
}

/// What `/certificates` answers.
#[derive(Serialize)]
pub(crate) struct Report {
    folder: String,
    certificates: Vec<Certificate>,
    client_authorities: Vec<Authority>,
    problems: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    acme: Option<acme::Report>,
}

#[derive(Serialize)]
struct Certificate {
    name: String,
    file: String,
    hosts: Vec<String>,
    names: Vec<String>,
    not_before: String,
    not_after: String,
    stapled: bool,
}

#[derive(Serialize)]
struct Authority {
    host: Option<String>,
    file: String,
    authorities: usize,
}

/// As reports have it.
pub(crate) fn shown(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(time).to_string()
}

/// Since 1970.
fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}
