//! The name of the machine, or of the container.

/// The host name as the kernel knows it; else `$HOSTNAME`; else `localhost`.
#[must_use]
pub fn hostname() -> String {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let environment = std::env::var("HOSTNAME").ok();
    first_name([kernel, environment]).unwrap_or_else(|| "localhost".to_owned())
}

fn first_name(candidates: [Option<String>; 2]) -> Option<String> {
    candidates
        .into_iter()
        .flatten()
        .map(|name| name.trim().to_owned())
        .find(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_the_first_name_there_is() {
        let name = |text: &str| Some(text.to_owned());
        assert_eq!(first_name([name("web\n"), name("other")]), name("web"));
        assert_eq!(first_name([name("\n"), name("other")]), name("other"));
        assert_eq!(first_name([None, None]), None);
    }

    #[test]
    fn there_always_is_a_name() {
        assert!(!hostname().is_empty());
    }
}
