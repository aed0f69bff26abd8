use std::{net::IpAddr, time::Duration};

use clap::Args;
use http::{HeaderName, HeaderValue};

use crate::explain::{Question, header};

#[derive(Args, Clone, Debug)]
pub(crate) struct Shown {
    /// Print what the balancer answers, as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Explain {
    /// A container, by its name, its id, or 4 digits or more with which that begins; or
    /// a host, as app.local or app.local:8080; or a URL, as `https://app.local/path`.
    #[arg(value_name = "CONTAINER|HOST|URL")]
    of: String,

    /// The client that would send the request, of a host: where requests of one client
    /// are kept together, this says where.
    #[arg(long, value_name = "IP")]
    client: Option<IpAddr>,

    /// What the request would say, of a host, as 'X-Forwarded-For: 10.0.0.9'. May be
    /// given several times.
    #[arg(long, value_name = "NAME: VALUE", value_parser = header)]
    header: Vec<(HeaderName, HeaderValue)>,

    #[command(flatten)]
    pub(crate) shown: Shown,
}

impl Explain {
    pub(crate) fn question(&self) -> Question {
        Question { of: self.of.clone(), client: self.client, headers: self.header.clone() }
    }
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Top {
    /// Print the table once, after watching for one interval.
    #[arg(long)]
    pub(crate) once: bool,

    /// How often figures are shown anew, 250ms or more.
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = interval)]
    pub(crate) interval: Duration,
}

/// The balancer tells figures four times a second.
const LEAST: Duration = Duration::from_millis(250);

fn interval(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text);
    let time = time.map_err(|error| format!("{error}; write a time such as 1s or 500ms"))?;
    if time < LEAST { Err("nothing changes more often than every 250ms".into()) } else { Ok(time) }
}
