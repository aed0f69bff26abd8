use clap::Args;

/// How certificates are ordered.
#[derive(Args, Debug)]
pub(crate) struct AcmeOptions {
    /// Whom to order certificates from, for containers that ask for one (the label
    /// lb.acme=true, or LETSENCRYPT_HOST): `letsencrypt`, `letsencrypt-staging` for
    /// trials, the URL of another ACME server's directory, or `off`. To name one is to
    /// agree to its terms of service. They are written into the folder given with
    /// --certificates. [default: off]
    #[arg(long, env = "LB_ACME", global = true, value_name = "SERVER|off", help_heading = "HTTPS")]
    pub(crate) acme: Option<String>,

    /// Addresses of e-mail the ACME server may write to, separated by commas.
    #[arg(
        long,
        env = "LB_ACME_EMAIL",
        global = true,
        value_name = "ADDRESS",
        help_heading = "HTTPS"
    )]
    pub(crate) acme_email: Option<String>,

    /// Which hosts get a certificate: `asked` (those that ask) or `all` (those that don't
    /// say no). [default: asked]
    #[arg(
        long,
        env = "LB_ACME_HOSTS",
        global = true,
        value_name = "asked|all",
        help_heading = "HTTPS"
    )]
    pub(crate) acme_hosts: Option<String>,

    /// How to prove that a host is served here, the preferred way first.
    /// [default: tls-alpn-01,http-01]
    #[arg(
        long,
        env = "LB_ACME_CHALLENGES",
        global = true,
        value_name = "NAMES",
        help_heading = "HTTPS"
    )]
    pub(crate) acme_challenges: Option<String>,

    /// A file of certificates (PEM) by which the ACME server itself is verified, if it
    /// is a private one.
    #[arg(long, env = "LB_ACME_CA", global = true, value_name = "FILE", help_heading = "HTTPS")]
    pub(crate) acme_ca: Option<String>,

    /// The account the ACME server knows you by already, if it demands that (external
    /// account binding).
    #[arg(
        long,
        env = "LB_ACME_EAB",
        global = true,
        hide_env_values = true,
        value_name = "ID:KEY",
        help_heading = "HTTPS"
    )]
    pub(crate) acme_eab: Option<String>,
}
