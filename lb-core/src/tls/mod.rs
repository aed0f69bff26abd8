//! TLS (feature `tls`): certificates from a folder, and handshakes with them.
//!
//! rustls does it, with the cryptography of aws-lc-rs. Versions 1.2 and 1.3 are
//! spoken, older ones never.
//!
//! # The folder
//!
//! It is laid out as users of nginx-proxy have it. Everything is PEM but `.ocsp`.
//!
//! | file | |
//! |---|---|
//! | `example.com.crt`, `example.com.key` | for the host `example.com`: its certificate, with the chain below it, and the key. For `foo.example.com`, too, if that has nothing closer, but not for `bar.foo.example.com` |
//! | `*.example.com.crt` or `_.example.com.crt`, and `.key` | for hosts one level below, and preferred to the above for these |
//! | `shared.crt`, `shared.key` | for hosts that [ask for it](HostOptions::certificate) by name |
//! | `default.crt`, `default.key` | for all others, [unless it isn't trusted](StoreOptions::trust_default), and for clients that name no host |
//! | `example.com.ca.crt` | authorities: clients of this host have to show a certificate of theirs. Those of all names that the certificate `example.com` is chosen for, too |
//! | `ca.crt` | the same for all hosts that have no such file |
//! | `example.com.ocsp` | an OCSP response (DER), shown with the certificate until it expires |
//!
//! The certificate is the one the host asks for, and then no other; else its own;
//! else its domain's; else the default. Without one the handshake ends with the
//! alert `unrecognized_name`. Files are told by their names alone: whether a
//! certificate was issued for the host it is shown for, its clients judge.
//!
//! # When files change
//!
//! A [`Follower`] reads the folder again and again. What it finds under a name is
//! taken as a whole or not at all: if a key is missing or belongs to another
//! certificate, if something can't be parsed, or if the certificate isn't valid at
//! this time, what was served under the name before still is, and the
//! [`Report`] and the log say which file is wrong, how, and what to do. Other
//! names don't care. Connections that are open go on as they are.
//!
//! A certificate that has expired, or isn't valid yet, is served if there is no
//! better one of this name, as nginx does it: that is for clients to judge, and
//! some have been told to accept it. The report says so.
//!
//! A host whose authorities never could be read lets nobody in, rather than
//! everybody. When files are gone, so is what they said, `.ca.crt` included; a
//! host that [must](ClientCertificates::Required) have authorities lets nobody in
//! without.
//!
//! # Sessions
//!
//! Clients resume sessions, by tickets, whose keys are replaced every 6 hours and
//! forgotten after 12, or from a cache; and only under the server name they were
//! made for. Hosts that demand other certificates of their clients, or the same
//! host after it has begun to, can't be entered with them, and neither can any
//! host with a session whose client certificate has expired since.
//!
//! Requests name a host as well, and it may be another one than the handshake did:
//! ask [`Acceptor::allows`] about each that differs.
//!
//! # ACME
//!
//! [`Challenges`] are what an ACME server has to be answered before it issues a
//! certificate. The module `acme` (feature `acme`) orders them, and writes them
//! into the folder; an ACME client of your own can do the same.
//!
//! # Example
//!
//! ```
//! use lb_core::tls::{
//!     Acceptor, CertificateStore, Connector, ConnectorOptions, HostOptions, StoreOptions, Verify,
//! };
//! use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let folder = tempfile::tempdir()?;
//! let made = rcgen::generate_simple_self_signed(["example.com".into()])?;
//! std::fs::write(folder.path().join("example.com.crt"), made.cert.pem())?;
//! std::fs::write(folder.path().join("example.com.key"), made.signing_key.serialize_pem())?;
//!
//! let (store, follower) = CertificateStore::open(StoreOptions::new(folder.path()))?;
//! tokio::spawn(follower.run());
//! let report = store.wait_for(|report| report.synced).await;
//! assert_eq!(report.certificates[0].names, ["example.com"]);
//!
//! let acceptor = Acceptor::new(store, Default::default());
//! let (client, server) = duplex(4096);
//! let server = tokio::spawn(async move {
//!     let mut accepted = acceptor.accept(server, |_host| HostOptions::default()).await?;
//!     assert_eq!(accepted.session.server_name(), Some("example.com"));
//!     accepted.stream.write_all(b"hello").await?;
//!     accepted.stream.shutdown().await?;
//!     Ok::<_, lb_core::tls::HandshakeError>(())
//! });
//!
//! let mut options = ConnectorOptions::default();
//! options.verify = Verify::File(folder.path().join("example.com.crt"));
//! let mut stream = Connector::new(options)?.connect("example.com", client).await?;
//! let mut heard = String::new();
//! stream.read_to_string(&mut heard).await?;
//! assert_eq!(heard, "hello");
//! server.await??;
//! # Ok(())
//! # }
//! ```

mod authority;
mod challenges;
mod client;
mod directory;
mod entry;
mod expiry;
mod history;
mod pair;
mod report;
mod roots;
mod scope;
mod server;
mod snapshot;
mod store;
#[cfg(test)]
mod testing;

pub use crate::registry::{ClientCertificates, Policy, UnknownClientCertificates, UnknownPolicy};
pub use challenges::{Challenges, Published};
pub use client::{Connector, ConnectorError, ConnectorOptions, Verify};
pub use report::{AuthorityReport, CertificateReport, Effect, Problem, Report};
pub use server::{Accepted, Acceptor, AcceptorOptions, HandshakeError, HostOptions, Session};
pub use store::{CertificateStore, Follower, StoreOptions};

#[cfg(feature = "acme")]
pub(crate) use {
    expiry::{Facts, read as facts},
    scope::provider,
};
