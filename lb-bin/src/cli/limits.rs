use clap::Args;

/// What clients and containers may take up, and for how long.
#[derive(Args, Debug)]
pub(crate) struct LimitOptions {
    /// How long a client may take to send the head of its first or its next request
    /// before its connection is closed; one of HTTP/2 is when it has had no stream for
    /// as long.
    /// [default: 60s]
    #[arg(
        long,
        env = "LB_HEAD_TIMEOUT",
        global = true,
        value_name = "TIME",
        help_heading = "Limits"
    )]
    pub(crate) head_timeout: Option<String>,

    /// How long a client may leave an answer that waits for it untouched before its
    /// connection is closed, or its stream of HTTP/2 reset.
    /// [default: 60s]
    #[arg(
        long,
        env = "LB_SEND_TIMEOUT",
        global = true,
        value_name = "TIME",
        help_heading = "Limits"
    )]
    pub(crate) send_timeout: Option<String>,

    /// The longest head of a request; a longer one gets 431.
    /// [default: 64k]
    #[arg(
        long,
        env = "LB_HEAD_SIZE",
        global = true,
        value_name = "BYTES",
        help_heading = "Limits"
    )]
    pub(crate) head_size: Option<String>,

    /// The most header fields of a request; more get 431.
    /// [default: 100]
    #[arg(long, env = "LB_HEADERS", global = true, value_name = "N", help_heading = "Limits")]
    pub(crate) headers: Option<String>,

    /// The most connections of clients at once; further ones get 503 and are closed.
    /// [default: 20000]
    #[arg(long, env = "LB_CONNECTIONS", global = true, value_name = "N", help_heading = "Limits")]
    pub(crate) connections: Option<String>,

    /// The same for one client: an IPv4 address, or an IPv6 network of 64 bits.
    /// [default: off]
    #[arg(
        long,
        env = "LB_CONNECTIONS_PER_CLIENT",
        global = true,
        value_name = "N|off",
        help_heading = "Limits"
    )]
    pub(crate) connections_per_client: Option<String>,

    /// After how many requests a connection is closed.
    /// [default: off]
    #[arg(
        long,
        env = "LB_REQUESTS_PER_CONNECTION",
        global = true,
        value_name = "N|off",
        help_heading = "Limits"
    )]
    pub(crate) requests_per_connection: Option<String>,

    /// The most requests at once on one connection of HTTP/2.
    /// [default: 128]
    #[arg(long, env = "LB_STREAMS", global = true, value_name = "N", help_heading = "Limits")]
    pub(crate) streams: Option<String>,

    /// The longest path and query; a longer one gets 414.
    /// [default: 16k]
    #[arg(
        long,
        env = "LB_URI_LIMIT",
        global = true,
        value_name = "BYTES",
        help_heading = "Limits"
    )]
    pub(crate) uri_limit: Option<String>,

    /// The longest body of a request; a longer one gets 413.
    /// [default: off]
    #[arg(
        long,
        env = "LB_BODY_LIMIT",
        global = true,
        value_name = "BYTES|off",
        help_heading = "Limits"
    )]
    pub(crate) body_limit: Option<String>,

    /// How long the next piece of a request's body may take to come; then 408.
    /// [default: 60s]
    #[arg(
        long,
        env = "LB_BODY_TIMEOUT",
        global = true,
        value_name = "TIME",
        help_heading = "Limits"
    )]
    pub(crate) body_timeout: Option<String>,

    /// How long a container may take to begin its answer; then 504.
    /// [default: 60s]
    #[arg(
        long,
        env = "LB_ANSWER_TIMEOUT",
        global = true,
        value_name = "TIME",
        help_heading = "Limits"
    )]
    pub(crate) answer_timeout: Option<String>,

    /// How long the next piece of an answer may take to come; then it is broken off.
    /// WebSockets may be silent for ever.
    /// [default: 5m]
    #[arg(
        long,
        env = "LB_IDLE_TIMEOUT",
        global = true,
        value_name = "TIME",
        help_heading = "Limits"
    )]
    pub(crate) idle_timeout: Option<String>,

    /// How much memory may be used: from 90 % of it on requests get 503, from 95 % on
    /// connections are closed at once.
    /// [default: the limit of the control group, if it has one]
    #[arg(
        long,
        env = "LB_MEMORY_LIMIT",
        global = true,
        value_name = "BYTES|off",
        help_heading = "Limits"
    )]
    pub(crate) memory_limit: Option<String>,
}
