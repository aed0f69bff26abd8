use clap::Args;

/// Whether and where traces of requests are sent.
#[derive(Args, Debug)]
pub(crate) struct TraceOptions {
    /// The collector that traces of requests are sent to (OpenTelemetry, OTLP), as
    /// http://collector:4318, or `off`. [default: OTEL_EXPORTER_OTLP_ENDPOINT, else off]
    #[arg(long, env = "LB_TRACES", global = true, value_name = "URL", help_heading = "Traces")]
    pub(crate) traces: Option<String>,

    /// What the collector is spoken to in: `grpc` or `http/protobuf`. [default:
    /// OTEL_EXPORTER_OTLP_PROTOCOL, else grpc at port 4317 and http/protobuf at others]
    #[arg(
        long,
        env = "LB_TRACES_PROTOCOL",
        global = true,
        value_name = "NAME",
        help_heading = "Traces"
    )]
    pub(crate) traces_protocol: Option<String>,

    /// The share of requests that are traced, from 0 to 1, unless a client that is
    /// believed (--trust-downstream-proxy) says whether its request is. [default: 1]
    #[arg(
        long,
        env = "LB_TRACES_SAMPLE",
        global = true,
        value_name = "SHARE",
        help_heading = "Traces"
    )]
    pub(crate) traces_sample: Option<String>,
}
