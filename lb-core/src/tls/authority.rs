//! Who vouches for clients.

use std::{path::PathBuf, sync::Arc};

use tokio_rustls::rustls::server::{ClientCertVerifierBuilder, WebPkiClientVerifier};

use super::{
    directory::Found,
    pair::Fault,
    roots,
    scope::{Scope, provider},
};

/// The authorities of a file, and the sessions of clients they vouched for.
pub(super) struct Authority {
    pub(super) file: PathBuf,
    pub(super) count: usize,
    content: Vec<u8>,
    pub(super) required: Arc<Scope>,
    pub(super) optional: Arc<Scope>,
}

impl Authority {
    /// Reads it, unless it is what was there before: then its sessions go on.
    pub(super) fn load(found: &Found, before: Option<&Arc<Self>>) -> Result<Arc<Self>, Fault> {
        let content = found.content()?;
        match before {
            Some(before) if before.content == *content && before.file == found.path => {
                Ok(before.clone())
            }
            _ => Self::parse(found, content).map(Arc::new),
        }
    }

    fn parse(found: &Found, content: &[u8]) -> Result<Self, Fault> {
        let fault = |what: String| Fault::new(found, what, roots::REMEDY);
        let roots = roots::parse(content).map_err(fault)?;
        let count = roots.len();
        let roots = Arc::new(roots);
        let scope = |set: fn(ClientCertVerifierBuilder) -> ClientCertVerifierBuilder| {
            let builder =
                WebPkiClientVerifier::builder_with_provider(roots.clone(), provider().clone());
            let verifier = set(builder).build().map_err(|error| fault(error.to_string()))?;
            Scope::new(&verifier).map(Arc::new).map_err(|error| fault(error.to_string()))
        };
        Ok(Self {
            file: found.path.clone(),
            count,
            content: content.to_owned(),
            required: scope(|builder| builder)?,
            optional: scope(ClientCertVerifierBuilder::allow_unauthenticated)?,
        })
    }
}
