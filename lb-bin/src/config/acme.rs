//! How certificates are ordered.

use lb_core::{
    acme::{ExternalAccount, LETS_ENCRYPT, LETS_ENCRYPT_STAGING, Options},
    tls::Verify,
};

use super::{
    parse::{from_str, unless_off},
    setting::{Invalid, Origins, Setting},
};
use crate::{
    cli::AcmeOptions,
    file::{File, Scalar},
};

/// How certificates are ordered, where they are.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Acme {
    pub(crate) options: Options,
    /// Whether hosts have a certificate ordered that don't ask for it.
    pub(crate) all: bool,
}

/// `there` is whether there is a folder for them.
pub(super) fn acme(
    typed: &AcmeOptions,
    from: &Origins<'_>,
    file: &File,
    there: bool,
) -> Result<Option<Acme>, Invalid> {
    let setting = |id, typed: &Option<String>, written: &Option<Scalar>| {
        from.setting(id, typed.as_deref(), written.as_ref())
    };
    let server = setting("acme", &typed.acme, &file.acme);
    let directory = server.as_ref().map(|given| given.parse(|text| unless_off(text, directory)));
    let mut options = Options::default();
    if let Some(given) = setting("acme_email", &typed.acme_email, &file.acme_email) {
        options.contacts = given.list(address)?;
    }
    if let Some(given) = setting("acme_challenges", &typed.acme_challenges, &file.acme_challenges) {
        options.challenges = given.list(from_str)?;
    }
    if let Some(given) = setting("acme_ca", &typed.acme_ca, &file.acme_ca) {
        options.verify = Verify::File(given.value.trim().into());
    }
    if let Some(given) = setting("acme_eab", &typed.acme_eab, &file.acme_eab) {
        options.external_account = Some(external_account(&given)?);
    }
    let hosts = setting("acme_hosts", &typed.acme_hosts, &file.acme_hosts);
    let all = hosts.map_or(Ok(false), |given| {
        given.parse(|text| match text {
            "asked" => Ok(false),
            "all" => Ok(true),
            _ => Err("write asked or all".into()),
        })
    })?;
    let (Some(directory), Some(Setting { key, value })) =
        (directory.transpose()?.flatten(), server)
    else {
        return Ok(None);
    };
    if !there {
        let remedy = "certificates need a folder to be written to: name it with --certificates";
        return Err(Invalid { key, value, remedy: remedy.into() });
    }
    options.directory = directory;
    // To name a server is to agree; the documentation says so.
    options.terms_accepted = true;
    Ok(Some(Acme { options, all }))
}

fn directory(text: &str) -> Result<String, String> {
    match text {
        "letsencrypt" => Ok(LETS_ENCRYPT.into()),
        "letsencrypt-staging" => Ok(LETS_ENCRYPT_STAGING.into()),
        url if url.starts_with("https://") && url.parse::<http::Uri>().is_ok() => Ok(url.into()),
        _ => Err("write letsencrypt, letsencrypt-staging, the URL of another server's \
                  directory, which begins with https://, or off"
            .into()),
    }
}

fn address(text: &str) -> Result<String, String> {
    if text.contains('@') && !text.contains(':') {
        Ok(text.into())
    } else {
        Err("write an address, as in me@example.com".into())
    }
}

/// What is wrong is said without the key.
fn external_account(given: &Setting) -> Result<ExternalAccount, Invalid> {
    let account = given.value.trim().split_once(':');
    let account = account.and_then(|(id, key)| ExternalAccount::new(id, key).ok());
    account.ok_or_else(|| Invalid {
        key: given.key.clone(),
        value: "(not shown)".into(),
        remedy: "write ID:KEY, as the ACME server shows them; the key is base64".into(),
    })
}
