//! What the driver does beside its loop: everything that waits for the server or a disk.

use std::{io, time::Duration};

use instant_acme::{
    Account, AccountCredentials, CertificateIdentifier, Error, ExternalAccountKey, NewAccount,
};
use tokio::{task, time};

use super::{
    Options, ari,
    client::Client,
    failure::Failing,
    folder::Folder,
    order::Ordering,
    plan::{Failure, Found, Window},
};
use crate::tls::{CertificateStore, Challenges, Connector};

/// One order, in whole.
const PATIENCE: Duration = Duration::from_secs(600);

/// While the server refuses nonces.
const TRIES: u32 = 5;

/// What all jobs know.
pub(super) struct Context {
    pub(super) options: Options,
    pub(super) folder: Folder,
    pub(super) store: CertificateStore,
    pub(super) challenges: Challenges,
    pub(super) connector: Connector,
}

impl Context {
    /// Opens the account, or sees that it is there: its URL.
    pub(super) async fn open_account(&self) -> Result<String, Failure> {
        let client = Client::new(self.connector.clone());
        let mut tries = 0;
        let opened = loop {
            let opened = self.account(&client).await;
            if !only_another_nonce(&opened, &mut tries) {
                break opened;
            }
        };
        opened.map(|account| account.id().to_owned()).map_err(|failing| failing.finish(&client))
    }

    /// A new one for every job, so that the server's directory is as it is now.
    async fn account(&self, client: &Client) -> Result<Account, Failing> {
        let builder = Account::builder_with_http(Box::new(client.clone()));
        let kept = self.on_disk(Folder::account).await?;
        if let Some(kept) = kept {
            let credentials: AccountCredentials = serde_json::from_slice(&kept).map_err(|_| {
                // What is wrong with it may quote it.
                let folder = self.folder.path().display();
                Failing::new(format!("the account's file can't be read; remove {folder}/accounts"))
            })?;
            return Ok(builder.from_credentials(credentials).await?);
        }
        // An account that couldn't be kept would be opened again and again, which servers
        // allow a few times an hour.
        self.on_disk(|folder| folder.probe("account")).await?;
        let contacts: Vec<_> =
            self.options.contacts.iter().map(|address| format!("mailto:{address}")).collect();
        let contacts: Vec<_> = contacts.iter().map(String::as_str).collect();
        let account = NewAccount {
            contact: &contacts,
            terms_of_service_agreed: self.options.terms_accepted,
            only_return_existing: false,
        };
        let known = self.options.external_account.as_ref();
        let known = known.map(|known| ExternalAccountKey::new(known.id.clone(), &known.key));
        let directory = self.options.directory.clone();
        let (account, credentials) = builder.create(&account, directory, known.as_ref()).await?;
        let credentials = serde_json::to_vec(&credentials).map_err(Error::from)?;
        self.on_disk(move |folder| folder.keep_account(&credentials)).await?;
        Ok(account)
    }

    /// Orders, keeps and serves a certificate: what there is then.
    pub(super) async fn order(&self, host: &str, failures: u32) -> Result<Found, Failure> {
        let client = Client::new(self.connector.clone());
        let account = self.on_disk(Folder::account).await;
        let order = async {
            let mut tries = 0;
            loop {
                let order = self.try_order(&client, host, failures).await;
                if !only_another_nonce(&order, &mut tries) {
                    return order;
                }
            }
        };
        let order = time::timeout(PATIENCE, order).await;
        let order = order.unwrap_or_else(|_| Err(Failing::new("it took 10 minutes".into())));
        let failure = match order {
            Ok(found) => return Ok(found),
            Err(failing) => failing.finish(&client),
        };
        if let (true, Ok(Some(lost))) = (failure.account_lost, account) {
            // One of these that can't be removed is found again, and says so again.
            let _ = self.on_disk(move |folder| folder.lose_account(&lost)).await;
        }
        Err(failure)
    }

    async fn try_order(
        &self,
        client: &Client,
        host: &str,
        failures: u32,
    ) -> Result<Found, Failing> {
        let name = host.to_owned();
        self.on_disk(move |folder| folder.probe(&name)).await?;
        let account = self.account(client).await?;
        let mut types = self.options.challenges.clone();
        let first = usize::try_from(failures).unwrap_or_default() % types.len().max(1);
        types.rotate_left(first);
        // Who has failed may have replaced it, without anybody knowing.
        let replaces = match failures {
            0 => self.identifier(host).await?,
            _ => None,
        };
        let ordering = Ordering { host, replaces, challenges: &self.challenges, types };
        let issued = ordering.run(&account).await?;
        let name = host.to_owned();
        self.on_disk(move |folder| folder.keep(&name, &issued)).await?;
        Ok(self.settle([host.to_owned()].into()).await.pop().map_or(Found::Nothing, |(_, one)| one))
    }

    /// When the server wants the host's certificate to be renewed. An error if it
    /// never says.
    pub(super) async fn ask_renewal(&self, host: &str) -> Result<Option<Window>, NeverSays> {
        let client = Client::new(self.connector.clone());
        let Ok(Some(identifier)) = self.identifier(host).await else { return Ok(None) };
        let Ok(account) = self.account(&client).await else { return Ok(None) };
        match account.renewal_info(&identifier).await {
            Ok((info, ask_after)) => {
                let window = info.suggested_window;
                let (start, end) = (window.start.into(), window.end.into());
                Ok(Some(Window { start, end, ask_after }))
            }
            Err(Error::Unsupported(_)) => Err(NeverSays),
            Err(error) => {
                tracing::debug!(host, %error, "the ACME server doesn't say when to renew");
                Ok(None)
            }
        }
    }

    /// Of our certificate for a host, if it is from this server.
    async fn identifier(
        &self,
        host: &str,
    ) -> Result<Option<CertificateIdentifier<'static>>, Failing> {
        let name = host.to_owned();
        let leaf = self.on_disk(move |folder| folder.leaf(&name)).await?;
        Ok(leaf.as_deref().and_then(ari::identifier))
    }

    /// What there is for these hosts, and puts in place what was issued for them.
    pub(super) async fn settle(&self, hosts: Vec<String>) -> Vec<(String, Found)> {
        let served = self.store.certificates();
        let settled = self.on_disk(move |folder| {
            let settle = |host: String| {
                let found = folder.settle(&host, &served);
                (host, found)
            };
            Ok(hosts.into_iter().map(settle).collect())
        });
        settled.await.unwrap_or_default()
    }

    pub(super) async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Folder) -> io::Result<T> + Send + 'static,
    ) -> Result<T, Failing> {
        let folder = self.folder.clone();
        let done = task::spawn_blocking(move || work(&folder)).await;
        let done = done.unwrap_or_else(|error| Err(io::Error::other(error)));
        done.map_err(|error| Failing::new(error.to_string()))
    }
}

/// Whether to try it again at once. A server may refuse any nonce (RFC 8555, section
/// 6.5), several in a row, and all of them when it has started anew. That says nothing of
/// what was asked.
fn only_another_nonce<T>(result: &Result<T, Failing>, tries: &mut u32) -> bool {
    *tries += 1;
    *tries < TRIES && result.as_ref().is_err_and(Failing::is_bad_nonce)
}

/// The server knows nothing of RFC 9773.
pub(super) struct NeverSays;
