use std::collections::HashMap;

use super::HostPattern;

/// Finds what answers for a host: an exact name first, then the longest
/// `*.suffix`, then the longest `prefix.*`, then the default.
#[derive(Clone, Debug)]
pub struct Routes<T> {
    exact: HashMap<Box<str>, T>,
    /// Longest first.
    suffixes: Vec<(HostPattern, T)>,
    /// Longest first.
    prefixes: Vec<(HostPattern, T)>,
    default: Option<T>,
}

impl<T> Routes<T> {
    /// Routes by pattern. `default` answers for hosts that none of them matches.
    pub fn new(routes: impl IntoIterator<Item = (HostPattern, T)>, default: Option<T>) -> Self {
        let mut table =
            Self { exact: HashMap::new(), suffixes: Vec::new(), prefixes: Vec::new(), default };
        for (pattern, target) in routes {
            match pattern {
                HostPattern::Exact(name) => {
                    table.exact.insert(name, target);
                }
                HostPattern::Suffix(_) => table.suffixes.push((pattern, target)),
                HostPattern::Prefix(_) => table.prefixes.push((pattern, target)),
            }
        }
        for wildcards in [&mut table.suffixes, &mut table.prefixes] {
            wildcards.sort_by_key(|(pattern, _)| std::cmp::Reverse(pattern.to_string().len()));
        }
        table
    }

    /// What answers for `host`, given in any case and without a port.
    pub fn find(&self, host: &str) -> Option<&T> {
        if host.bytes().any(|byte| byte.is_ascii_uppercase()) || host.ends_with('.') {
            let host = host.to_ascii_lowercase();
            self.find_lower(host.strip_suffix('.').unwrap_or(&host))
        } else {
            self.find_lower(host)
        }
    }

    fn find_lower(&self, host: &str) -> Option<&T> {
        self.exact
            .get(host)
            .or_else(|| longest(&self.suffixes, host))
            .or_else(|| longest(&self.prefixes, host))
            .or(self.default.as_ref())
    }
}

fn longest<'a, T>(wildcards: &'a [(HostPattern, T)], host: &str) -> Option<&'a T> {
    wildcards.iter().find(|(pattern, _)| pattern.matches(host)).map(|(_, target)| target)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes(patterns: &[&'static str], default: Option<&'static str>) -> Routes<&'static str> {
        Routes::new(patterns.iter().map(|text| (text.parse().unwrap(), *text)), default)
    }

    #[test]
    fn the_more_exact_wins() {
        let routes =
            routes(&["www.*", "*.com", "*.example.com", "www.example.com", "www.example.*"], None);
        for (host, found) in [
            ("www.example.com", Some("www.example.com")),
            ("WWW.Example.com.", Some("www.example.com")),
            ("a.example.com", Some("*.example.com")),
            ("a.other.com", Some("*.com")),
            ("www.example.org", Some("www.example.*")),
            ("www.other.org", Some("www.*")),
            ("example.org", None),
        ] {
            assert_eq!(routes.find(host).copied(), found, "{host}");
        }
    }

    #[test]
    fn the_default_answers_for_the_rest() {
        let routes = routes(&["a"], Some("default"));
        assert_eq!(routes.find("a"), Some(&"a"));
        assert_eq!(routes.find("b"), Some(&"default"));
        assert_eq!(routes.find(""), Some(&"default"));
    }
}
