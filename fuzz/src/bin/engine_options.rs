//! Where the engine is and which containers count. Each line of the input is an entry of
//! the environment.
//!
//! The file is compiled in, as lb-docker as a whole would have its HTTP and TLS compiled
//! for this, too.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[allow(dead_code)]
#[path = "../../../lb-docker/src/options.rs"]
mod options;

use options::{EngineAddress, LabelFilter, Options};

fuzz_target!(|text: &str| {
    let said = |key: &str| {
        let entries = text.split('\n').filter_map(|line| line.split_once('='));
        entries.rev().find(|(known, _)| *known == key).map(|(_, value)| value.to_owned())
    };
    let options = match Options::from_env(said) {
        Ok(options) => options,
        Err(error) => {
            let value = said(error.key).unwrap_or_default();
            assert!(value.contains(&error.value) && !error.remedy.is_empty(), "{error}");
            return;
        }
    };

    // Said in plain words, it is the same.
    let address = options.address.as_ref().map(ToString::to_string);
    let filters: Vec<_> = options.filters.iter().map(plain).collect();
    let plain = |key: &str| match key {
        "DOCKER_HOST" => address.clone(),
        "DOCKER_CONTAINER_FILTERS" => Some(filters.join(",")),
        _ => said(key),
    };
    assert_eq!(Options::from_env(plain).as_ref(), Ok(&options));

    for filter in &options.filters {
        let value = filter.value.as_deref();
        assert!(filter.passes(value.or(Some("anything"))));
        assert!(!filter.passes(None));
    }
    if let Some(EngineAddress::Tcp { host, port } | EngineAddress::Tls { host, port, .. }) =
        &options.address
    {
        assert_ne!(*port, 0);
        let is_bare = |c: char| !c.is_whitespace() && !c.is_control() && !"/[]@?#".contains(c);
        assert!(!host.is_empty() && host.chars().all(is_bare), "{host:?} is no host");
    }
});

fn plain(filter: &LabelFilter) -> String {
    match &filter.value {
        Some(value) => format!("label={}={value}", filter.key),
        None => format!("label={}", filter.key),
    }
}
