//! Has certificates ordered for the hosts that are served, as they come and go.

use std::time::Duration;

use lb_core::{
    acme::{Account, InvalidOption, Manager, State, Turn},
    http::Plane,
    registry::HttpsMethod,
};
use serde::Serialize;
use tokio::{task::JoinHandle, time};

use crate::{
    certificates::{Certificates, shown},
    config::Acme,
};

/// Orders until it is dropped, or told to end.
pub(crate) struct Orders {
    manager: Manager,
    task: JoinHandle<()>,
}

/// How long it may take until a new host is noticed: orders take longer.
const INTERVAL: Duration = Duration::from_secs(1);

impl Orders {
    pub(crate) fn start(
        acme: &Acme,
        certificates: &Certificates,
        plane: Plane,
    ) -> Result<Self, InvalidOption> {
        let (store, challenges) = (certificates.store(), certificates.challenges());
        let (manager, driver) = Manager::new(acme.options.clone(), store, challenges)?;
        let (all, hosts) = (acme.all, manager.clone());
        let follow = async move {
            let mut tick = time::interval(INTERVAL);
            loop {
                tick.tick().await;
                let wanted = plane.https().into_iter();
                // One that is served with another certificate, or by HTTP, needs none.
                let wanted = wanted.filter(|(_, https)| {
                    https.certificate.is_none()
                        && https.acme.unwrap_or(all && https.method != Some(HttpsMethod::NoHttps))
                });
                hosts.set_hosts(wanted.map(|(host, _)| host.to_string()).collect());
            }
        };
        let task = tokio::spawn(async move {
            tokio::join!(driver.run(), follow);
        });
        Ok(Self { manager, task })
    }

    /// From now on somebody else orders.
    pub(crate) fn end(&self) {
        self.task.abort();
    }

    pub(crate) fn report(&self) -> Report {
        let report = self.manager.report();
        let (orders, orders_why) = match report.turn {
            Turn::Ours => ("here", None),
            Turn::Others => ("another process", None),
            Turn::Nobody(why) => ("nobody", Some(why)),
            _ => ("not known yet", None),
        };
        let account = match report.account {
            Account::Open { url } => url,
            Account::Failed { why, next_try } => {
                format!("failed, tried again at {}: {why}", shown(next_try))
            }
            Account::Opening => "is being opened".into(),
            _ => "none".into(),
        };
        let hosts = report.hosts.into_iter().map(|host| Host {
            state: host.state.name(),
            renews_at: host.certificate.map(|certificate| shown(certificate.renews_at)),
            next_try: match &host.state {
                State::Failed { next_try, .. } => Some(shown(*next_try)),
                _ => None,
            },
            reason: match host.state {
                State::Refused(why)
                | State::LeftAlone(why)
                | State::Unreadable(why)
                | State::Failed { why, .. } => Some(why),
                _ => None,
            },
            host: host.host,
        });
        Report {
            server: report.directory,
            folder: report.folder.display().to_string(),
            orders,
            orders_why,
            account,
            hosts: hosts.collect(),
        }
    }
}

impl Drop for Orders {
    fn drop(&mut self) {
        self.end();
    }
}

/// What `/certificates` answers of orders.
#[derive(Serialize)]
pub(crate) struct Report {
    server: String,
    folder: String,
    orders: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    orders_why: Option<String>,
    account: String,
    hosts: Vec<Host>,
}

#[derive(Serialize)]
struct Host {
    host: String,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    renews_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_try: Option<String>,
}
