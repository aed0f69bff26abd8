//! Values, where they were given, and what is wrong with them.

use std::{error, fmt};

use clap::{ArgMatches, CommandFactory, parser::ValueSource};

use crate::{cli::Cli, file::Scalar};

/// A value that can't be used: where it was given, what it is, and what would be
/// right.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Invalid {
    pub(crate) key: String,
    pub(crate) value: String,
    pub(crate) remedy: String,
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {:?}: {}", self.key, self.value, self.remedy)
    }
}

impl error::Error for Invalid {}

/// A value and where it was given.
pub(super) struct Setting {
    pub(super) key: String,
    pub(super) value: String,
}

impl Setting {
    pub(super) fn parse<T>(
        &self,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<T, Invalid> {
        parse(self.value.trim()).map_err(|remedy| Invalid {
            key: self.key.clone(),
            value: self.value.clone(),
            remedy,
        })
    }

    pub(super) fn list<T>(
        &self,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Vec<T>, Invalid> {
        self.parse(|text| text.split(',').map(str::trim).map(&parse).collect())
    }
}

/// Knows where each value came from, to say so when it is wrong.
pub(super) struct Origins<'a> {
    pub(super) matches: &'a ArgMatches,
    pub(super) file: &'a str,
}

impl Origins<'_> {
    /// The value to go by, unless nothing or nothing but white space was given.
    pub(super) fn setting(
        &self,
        id: &'static str,
        typed: Option<&str>,
        written: Option<&Scalar>,
    ) -> Option<Setting> {
        let set = |value: &String| !value.trim().is_empty();
        let typed = typed.map(str::to_owned).filter(set);
        typed.map(|value| Setting { key: self.key(id), value }).or_else(|| {
            let value = written.map(Scalar::text).filter(set)?;
            Some(Setting { key: format!("{id} in {}", self.file), value })
        })
    }

    pub(super) fn key(&self, id: &str) -> String {
        if self.matches.value_source(id) == Some(ValueSource::EnvVariable) {
            let command = Cli::command();
            let known = command.get_arguments().find(|argument| argument.get_id() == id);
            if let Some(variable) = known.and_then(clap::Arg::get_env) {
                return variable.to_string_lossy().into_owned();
            }
        }
        format!("--{}", id.replace('_', "-"))
    }
}
