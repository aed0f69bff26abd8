use clap::Args;

/// How containers are spoken to.
#[derive(Args, Debug)]
pub(crate) struct UpstreamOptions {
    /// Whose certificates are believed of containers that speak TLS and don't say:
    /// `off` for anybody's, `webpki` for those that browsers believe, `ca` for those of
    /// --upstream-ca. [default: ca if that is given; else off, as nginx-proxy does]
    #[arg(
        long,
        env = "LB_UPSTREAM_VERIFY",
        global = true,
        value_name = "off|webpki|ca",
        help_heading = "Upstream TLS"
    )]
    pub(crate) upstream_verify: Option<String>,

    /// A file (PEM) with the authorities that sign certificates of containers.
    #[arg(
        long,
        env = "LB_UPSTREAM_CA",
        global = true,
        value_name = "FILE",
        help_heading = "Upstream TLS"
    )]
    pub(crate) upstream_ca: Option<String>,

    /// How long the TLS handshake with a container may take. [default: 5s]
    #[arg(
        long,
        env = "LB_UPSTREAM_HANDSHAKE_TIMEOUT",
        global = true,
        value_name = "TIME",
        help_heading = "Upstream TLS"
    )]
    pub(crate) upstream_handshake_timeout: Option<String>,
}
