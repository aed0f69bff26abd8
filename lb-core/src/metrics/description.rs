use metrics::{KeyName, SharedString, Unit, with_recorder};

/// One metric: what it is called, and what it means.
///
/// Tables of these are what the recorder is told, and what a reference is made
/// of.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Description {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// What it is about.
    pub topic: Topic,
    /// What it is counted in, if that isn't mere numbers.
    pub unit: Option<Unit>,
    /// Its labels.
    pub labels: &'static [Label],
    /// Upper bounds of buckets that suit a histogram, in its unit, growing; empty
    /// for all else.
    pub buckets: &'static [f64],
    /// What it says, in a sentence or two.
    pub help: &'static str,
}

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only ever grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// A distribution, in buckets.
    Histogram,
}

impl Kind {
    /// What exporters call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A label of a metric, and what it can be.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Label {
    /// Its name.
    pub name: &'static str,
    /// Its values.
    pub values: Values,
}

/// The values of a label.
#[derive(Clone, Copy, Debug)]
pub enum Values {
    /// One of these.
    OneOf(&'static [&'static str]),
    /// As many as there are of these.
    Each(&'static str),
}

impl Label {
    /// The host that a service answers for.
    pub const SERVICE: Self = Self::each("service", "hosts that are routed");
    /// The name of an endpoint.
    pub const ENDPOINT: Self = Self::each("endpoint", "containers and configured servers");
    /// The source that knows an endpoint.
    pub const SOURCE: Self = Self::each("source", "sources of endpoints");

    /// A label with these values.
    pub const fn one_of(name: &'static str, values: &'static [&'static str]) -> Self {
        Self { name, values: Values::OneOf(values) }
    }

    /// A label with a value for each of these.
    pub const fn each(name: &'static str, of: &'static str) -> Self {
        Self { name, values: Values::Each(of) }
    }
}

/// What metrics are about: the sections of a reference, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Topic {
    /// Rate, errors and duration of each service.
    Services,
    /// The same of each endpoint.
    Endpoints,
    /// The phases of a request on its way to an endpoint and back.
    Upstream,
    /// Requests sent again, endpoints left alone.
    Retries,
    /// Requests that wait, endpoints that leave.
    Drains,
    /// Connections to endpoints.
    Pool,
    /// Who knows the endpoints, and how soon.
    Discovery,
    /// Certificates and handshakes.
    Tls,
    /// Connections of clients, limits, overload.
    Listeners,
    /// The access log.
    AccessLog,
    /// Traces.
    Traces,
    /// The configuration.
    Configuration,
    /// The process.
    Process,
}

impl Topic {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Services,
        Self::Endpoints,
        Self::Upstream,
        Self::Retries,
        Self::Drains,
        Self::Pool,
        Self::Discovery,
        Self::Tls,
        Self::Listeners,
        Self::AccessLog,
        Self::Traces,
        Self::Configuration,
        Self::Process,
    ];

    /// The heading of its section.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Services => "Services: rate, errors, duration",
            Self::Endpoints => "Containers: rate, errors, duration",
            Self::Upstream => "Phases on the way to a container and back",
            Self::Retries => "Retries and ejections",
            Self::Drains => "Drains and the queue",
            Self::Pool => "The connection pool",
            Self::Discovery => "Discovery",
            Self::Tls => "TLS and ACME",
            Self::Listeners => "Listeners, limits, overload",
            Self::AccessLog => "The access log",
            Self::Traces => "Traces",
            Self::Configuration => "Configuration",
            Self::Process => "The process",
        }
    }
}

impl Description {
    /// A counter.
    pub const fn counter(topic: Topic, name: &'static str, help: &'static str) -> Self {
        Self { name, kind: Kind::Counter, topic, unit: None, labels: &[], buckets: &[], help }
    }

    /// A gauge.
    pub const fn gauge(topic: Topic, name: &'static str, help: &'static str) -> Self {
        Self { kind: Kind::Gauge, ..Self::counter(topic, name, help) }
    }

    /// A histogram of seconds, with these buckets.
    pub const fn seconds(
        topic: Topic,
        name: &'static str,
        buckets: &'static [f64],
        help: &'static str,
    ) -> Self {
        let unit = Some(Unit::Seconds);
        Self { kind: Kind::Histogram, unit, buckets, ..Self::counter(topic, name, help) }
    }

    /// The same counted in this unit.
    #[must_use]
    pub const fn of(self, unit: Unit) -> Self {
        Self { unit: Some(unit), ..self }
    }

    /// The same with these labels.
    #[must_use]
    pub const fn by(self, labels: &'static [Label]) -> Self {
        Self { labels, ..self }
    }

    /// Tells the recorder in force what it means.
    pub fn describe(&self) {
        let (name, help) = (KeyName::from_const_str(self.name), SharedString::const_str(self.help));
        with_recorder(|recorder| match self.kind {
            Kind::Counter => recorder.describe_counter(name, self.unit, help),
            Kind::Gauge => recorder.describe_gauge(name, self.unit, help),
            Kind::Histogram => recorder.describe_histogram(name, self.unit, help),
        });
    }
}
