use std::{fmt, sync::Arc};

use super::{Registry, who};

/// Not one routed endpoint is meant by this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotFound {
    /// What was asked for.
    pub who: String,
    /// The names of those that it is the beginning of; none, or several.
    pub candidates: Vec<Arc<str>>,
}

impl Registry {
    /// Says by the name or the identity of an endpoint whether it is to be drained,
    /// and gives the names of all that are meant. It holds until the endpoint is
    /// gone.
    ///
    /// Of an identity in hexadecimal digits, as containers have, the beginning will
    /// do: 4 digits or more. Of others it may be the whole of another one, as
    /// `10.0.0.1:80` is of `10.0.0.1:8080`.
    ///
    /// # Errors
    ///
    /// No endpoint that is routed is meant, or several are by what they begin
    /// with.
    pub fn set_drained(&mut self, who: &str, drained: bool) -> Result<Vec<Arc<str>>, NotFound> {
        let routed = self.registered().filter(|(.., one)| !one.target.bindings.is_empty());
        let routed = routed.map(|(_, id, one)| (id, &one.target.name, (id, &one.target.name)));
        let meant = who::meant(who, routed)
            .map_err(|candidates| NotFound { who: who.to_owned(), candidates })?;
        let names = meant.iter().map(|(_, name)| Arc::clone(name)).collect();
        let ids: Vec<_> = meant.into_iter().map(|(id, _)| id.clone()).collect();
        for id in ids {
            if drained {
                self.drained.insert(id);
            } else {
                self.drained.remove(&id);
            }
        }
        Ok(names)
    }
}

impl fmt::Display for NotFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { who, candidates } = self;
        write!(f, "no routed endpoint has the name or identity {who:?}")?;
        match candidates.as_slice() {
            [] => f.write_str("; /endpoints lists them"),
            names => write!(f, "; there are {}", names.join(", ")),
        }
    }
}

impl std::error::Error for NotFound {}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::{
        discovery::Change,
        endpoint::Endpoint,
        registry::{Binding, Registration},
    };

    fn registry() -> Registry {
        of(&[("abcd1", "web-1"), ("abcd2", "web-2"), ("def3", "idle")])
    }

    fn of(endpoints: &[(&'static str, &'static str)]) -> Registry {
        let mut registry = Registry::new();
        for &(id, name) in endpoints {
            let address = Some("10.0.0.1:80".parse().unwrap());
            let binding = Binding::new("a".parse().unwrap(), address);
            let registration = Registration {
                name: name.into(),
                created: SystemTime::UNIX_EPOCH,
                bindings: if name == "idle" { vec![] } else { vec![binding] },
                problems: vec![],
            };
            let change = Change::Upsert(id.into(), Endpoint::new(registration));
            registry.apply(&"docker".into(), change);
        }
        registry
    }

    fn wanted(registry: &Registry) -> Vec<String> {
        let plan = registry.plan();
        let wanted = plan.services[0].endpoints.iter().filter(|one| one.is_wanted());
        wanted.map(|one| one.name.to_string()).collect()
    }

    #[test]
    fn by_name_by_identity_and_by_its_beginning() {
        let mut registry = registry();
        for who in ["web-1", "abcd1"] {
            assert_eq!(registry.set_drained(who, true), Ok(vec!["web-1".into()]));
            assert_eq!(wanted(&registry), ["web-2"]);
            assert_eq!(registry.set_drained(who, false), Ok(vec!["web-1".into()]));
            assert_eq!(wanted(&registry), ["web-1", "web-2"]);
        }
        assert_eq!(registry.set_drained("abcd2", true), Ok(vec!["web-2".into()]));
    }

    #[test]
    fn who_is_not_meant_for_sure_is_left_alone() {
        let mut registry = registry();
        for (who, told) in [
            (
                "abcd",
                "no routed endpoint has the name or identity \"abcd\"; there are web-1, web-2",
            ),
            ("web", "no routed endpoint has the name or identity \"web\"; there are web-1, web-2"),
            ("idle", "no routed endpoint has the name or identity \"idle\"; /endpoints lists them"),
        ] {
            assert_eq!(registry.set_drained(who, true).unwrap_err().to_string(), told);
        }
        assert!(registry.set_drained("", true).is_err());
        assert_eq!(wanted(&registry), ["web-1", "web-2"]);
    }

    #[test]
    fn only_hexadecimal_identities_have_beginnings_and_not_too_short_ones() {
        let name = |name: &str| Ok(vec![Arc::from(name)]);
        let mut registry = of(&[("abcd1", "web-1"), ("10.0.0.1:8080", "10.0.0.1:8080")]);
        for who in ["10.0.0.1:80", "10.0.0.1", "1", "abc"] {
            assert!(registry.set_drained(who, true).is_err(), "{who}");
        }
        assert_eq!(wanted(&registry).len(), 2);
        assert_eq!(registry.set_drained("abcd", true), name("web-1"));
        assert_eq!(registry.set_drained("10.0.0.1:8080", true), name("10.0.0.1:8080"));
    }

    #[test]
    fn it_is_forgotten_with_the_endpoint() {
        let mut registry = registry();
        registry.set_drained("web-1", true).unwrap();
        let known = registry.sources.values().next().unwrap()[&"abcd1".into()].clone();
        registry.apply(&"docker".into(), Change::Upsert("abcd1".into(), known.clone()));
        assert_eq!(wanted(&registry), ["web-2"], "what its source says changes nothing");
        registry.apply(&"docker".into(), Change::Remove("abcd1".into()));
        registry.apply(&"docker".into(), Change::Upsert("abcd1".into(), known));
        assert_eq!(wanted(&registry), ["web-1", "web-2"]);
    }
}
