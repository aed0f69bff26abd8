use std::net::IpAddr;

use form_urlencoded::{Serializer, parse};
use http::{HeaderName, HeaderValue};

/// What `/explain` is asked, as the query of its URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Question {
    /// A container, a host or a URL.
    pub(crate) of: String,
    /// Who would send the request.
    pub(crate) client: Option<IpAddr>,
    /// What it would say.
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
}

impl Question {
    pub(crate) fn parse(query: &str) -> Result<Self, String> {
        let mut question = Self { of: String::new(), client: None, headers: Vec::new() };
        for (key, value) in parse(query.as_bytes()) {
            match &*key {
                "of" => question.of = value.into_owned(),
                "client" => {
                    let client = value.parse();
                    let client = client.map_err(|_| format!("client={value}: no IP address"))?;
                    question.client = Some(client);
                }
                "header" => question.headers.push(header(&value)?),
                _ => return Err(format!("{key}: unknown; {USAGE}")),
            }
        }
        if question.of.trim().is_empty() { Err(USAGE.into()) } else { Ok(question) }
    }

    /// The path and the query that it is asked by.
    pub(crate) fn target(&self) -> String {
        let path = "/explain?".to_owned();
        let end = path.len();
        let mut query = Serializer::for_suffix(path, end);
        query.append_pair("of", &self.of);
        if let Some(client) = self.client {
            query.append_pair("client", &client.to_string());
        }
        for (name, value) in &self.headers {
            let value = String::from_utf8_lossy(value.as_bytes());
            query.append_pair("header", &format!("{name}: {value}"));
        }
        query.finish()
    }
}

const USAGE: &str = "ask /explain?of=CONTAINER|HOST|URL, with &client=IP and \
                     &header=Name:+value if they matter";

/// A header as people write it: `Name: value`.
pub(crate) fn header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let invalid = || format!("{text:?} is no header; write 'Name: value'");
    let (name, value) = text.split_once(':').ok_or_else(invalid)?;
    let name = name.trim().parse().map_err(|_| invalid())?;
    let value = value.trim().parse().map_err(|_| invalid())?;
    Ok((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_is_what_is_understood() {
        let question = Question {
            of: "https://a.test/x?y=z&of=b#c".into(),
            client: "2001:db8::1".parse().ok(),
            headers: vec![
                header("X-Forwarded-For: 10.0.0.1, 10.0.0.2").unwrap(),
                header("cookie:a=b+c%20d;e").unwrap(),
            ],
        };
        let target = question.target();
        let (_, query) = target.split_once('?').unwrap();
        assert_eq!(Question::parse(query), Ok(question), "{target}");
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for (query, words) in [
            ("", "ask /explain?of="),
            ("of=", "ask /explain?of="),
            ("of=+", "ask /explain?of="),
            ("of=a&client=b", "client=b: no IP address"),
            ("of=a&header=b", "\"b\" is no header; write 'Name: value'"),
            ("of=a&header=b+c:+d", "is no header"),
            ("of=a&clinet=10.0.0.1", "clinet: unknown; ask"),
        ] {
            let error = Question::parse(query).unwrap_err();
            assert!(error.contains(words), "{query}: {error}");
        }
    }
}
