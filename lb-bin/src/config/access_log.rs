//! Where requests are written down, and what is said of them.

use std::path::PathBuf;

use lb_core::http::{Destination, Escape, LogFormat};

use super::{
    parse::{from_str, truth, unless_off},
    setting::{Invalid, Origins, Setting},
};
use crate::{cli::Options, file::File};

#[derive(Debug)]
pub(crate) struct AccessLog {
    /// Nowhere if there is none.
    pub(crate) destination: Option<Destination>,
    pub(crate) format: LogFormat,
    /// What the format can't say, though it was asked to.
    pub(crate) warnings: Vec<String>,
}

pub(super) fn access_log(
    options: &Options,
    from: &Origins<'_>,
    file: &File,
    env: impl Fn(&'static str) -> Option<Setting>,
) -> Result<AccessLog, Invalid> {
    let setting = |id, typed: &Option<String>, written| from.setting(id, typed.as_deref(), written);
    let destination = setting("access_log", &options.access_log, file.access_log.as_ref())
        .map(|given| given.parse(destination))
        .or_else(|| env("DISABLE_ACCESS_LOGS").map(|given| given.parse(stdout_unless)))
        .unwrap_or(Ok(Some(Destination::Stdout)))?;
    let format = setting("log_format", &options.log_format, file.log_format.as_ref());
    let escape =
        setting("log_format_escape", &options.log_format_escape, file.log_format_escape.as_ref());
    let escape = escape.map(|given| given.parse(from_str::<Escape>)).transpose()?;
    let (format, warnings) = match format {
        Some(given) => {
            let format = given.parse(|text| match escape {
                Some(escape) => LogFormat::new(text, escape).map_err(|error| error.to_string()),
                None => from_str(text),
            })?;
            (format, Vec::new())
        }
        None => of_nginx_proxy(escape, env)?,
    };
    Ok(AccessLog { destination, format, warnings })
}

/// What nginx-proxy would write. Its variables are what people come with, and what can't
/// be had of them is no reason not to serve: it is told, and `-` in each line.
fn of_nginx_proxy(
    escape: Option<Escape>,
    env: impl Fn(&'static str) -> Option<Setting>,
) -> Result<(LogFormat, Vec<String>), Invalid> {
    let is_json = env("LOG_JSON").map_or(Ok(false), |given| given.parse(truth))?;
    let escape = match (escape, env("LOG_FORMAT_ESCAPE"), is_json) {
        (Some(escape), ..) => escape,
        (None, Some(given), false) => given.parse(from_str)?,
        (None, None, false) => Escape::Default,
        (None, _, true) => Escape::Json,
    };
    let by_name = |name: &str| LogFormat::new(name, escape).map_err(|error| error.to_string());
    match env("LOG_FORMAT") {
        Some(given) if LogFormat::NAMES.contains(&given.value.trim()) => {
            // One that is written in a way of its own was not asked for in another one.
            let format = given.parse(by_name).or_else(|_| given.parse(from_str))?;
            Ok((format, Vec::new()))
        }
        Some(Setting { key, value }) => {
            let (format, problems) = LogFormat::of_nginx(value.trim(), escape);
            let told = |problem| format!("{key} is {value:?}: {problem}");
            Ok((format, problems.into_iter().map(told).collect()))
        }
        // Nobody has written one that could be wrong.
        None if is_json => Ok((from_str("nginx-proxy-json").unwrap_or_default(), Vec::new())),
        None => Ok((LogFormat::new("default", escape).unwrap_or_default(), Vec::new())),
    }
}

fn destination(text: &str) -> Result<Option<Destination>, String> {
    unless_off(text, |text| {
        Ok(match text {
            "-" => Destination::Stdout,
            path => Destination::File(PathBuf::from(path)),
        })
    })
}

/// What `DISABLE_ACCESS_LOGS` means.
fn stdout_unless(disabled: &str) -> Result<Option<Destination>, String> {
    truth(disabled).map(|disabled| (!disabled).then_some(Destination::Stdout))
}
