use clap::Args;

/// How HTTPS is served.
#[derive(Args, Debug)]
pub(crate) struct HttpsOptions {
    /// The folder of certificates, as `example.com.crt` and `.key`, which is followed as
    /// it changes, or `off`. With it, HTTPS is served.
    /// [default: /etc/nginx/certs, if that is there]
    #[arg(
        long,
        env = "LB_CERTIFICATES",
        global = true,
        value_name = "DIR",
        help_heading = "HTTPS"
    )]
    pub(crate) certificates: Option<String>,

    /// Where clients connect by HTTPS, in the form of --listen.
    /// [default: 443, or HTTPS_PORT; 127.0.0.1:8443 for the demo]
    #[arg(long, env = "LB_LISTEN_TLS", global = true, value_name = "ADDR", help_heading = "HTTPS")]
    pub(crate) listen_tls: Option<String>,

    /// Which of both hosts are served by that have a certificate: `redirect` (HTTPS, and
    /// HTTP sends clients there), `noredirect`, `nohttp`, `nohttps`.
    /// [default: redirect]
    #[arg(
        long,
        env = "HTTPS_METHOD",
        global = true,
        value_name = "METHOD",
        help_heading = "HTTPS"
    )]
    pub(crate) https_method: Option<String>,

    /// The port that clients are sent to. [default: that of --listen-tls]
    #[arg(
        long,
        env = "EXTERNAL_HTTPS_PORT",
        global = true,
        value_name = "PORT",
        help_heading = "HTTPS"
    )]
    pub(crate) external_https_port: Option<String>,

    /// The status by which requests other than GET and HEAD are sent to HTTPS: 301, 307
    /// or 308. [default: 301]
    #[arg(
        long,
        env = "NON_GET_REDIRECT",
        global = true,
        value_name = "STATUS",
        help_heading = "HTTPS"
    )]
    pub(crate) non_get_redirect: Option<String>,

    /// Whether hosts without a certificate are served by HTTP, though they would be by
    /// HTTPS alone. [default: true]
    #[arg(
        long,
        env = "ENABLE_HTTP_ON_MISSING_CERT",
        global = true,
        value_name = "BOOL",
        help_heading = "HTTPS"
    )]
    pub(crate) http_without_certificate: Option<String>,

    /// The header Strict-Transport-Security, or `off`. [default: max-age=31536000]
    #[arg(long, env = "HSTS", global = true, value_name = "VALUE|off", help_heading = "HTTPS")]
    pub(crate) hsts: Option<String>,

    /// Whether default.crt is for hosts that have no other certificate. [default: true]
    #[arg(
        long,
        env = "TRUST_DEFAULT_CERT",
        global = true,
        value_name = "BOOL",
        help_heading = "HTTPS"
    )]
    pub(crate) trust_default_certificate: Option<String>,

    /// Which versions of TLS are spoken: `Mozilla-Intermediate` (1.2 and 1.3) or
    /// `Mozilla-Modern` (1.3). [default: Mozilla-Intermediate]
    #[arg(long, env = "SSL_POLICY", global = true, value_name = "NAME", help_heading = "HTTPS")]
    pub(crate) tls_policy: Option<String>,

    /// Whether clients are offered HTTP/2. [default: true]
    #[arg(long, env = "ENABLE_HTTP2", global = true, value_name = "BOOL", help_heading = "HTTPS")]
    pub(crate) http2: Option<String>,

    /// How long a handshake may take. [default: 10s]
    #[arg(
        long,
        env = "LB_HANDSHAKE_TIMEOUT",
        global = true,
        value_name = "TIME",
        help_heading = "Limits"
    )]
    pub(crate) handshake_timeout: Option<String>,
}
