//! Why the server didn't, in words for people.

use instant_acme::{Error, Problem};

use super::{client::Client, plan::Failure};

const ACCOUNT_LOST: &str = "urn:ietf:params:acme:error:accountDoesNotExist";
const BAD_NONCE: &str = "urn:ietf:params:acme:error:badNonce";

/// Servers quote what they were answered.
const LONGEST: usize = 400;

/// A step that failed.
#[derive(Debug)]
pub(super) struct Failing {
    why: String,
    account_lost: bool,
    /// It says nothing but that the server wants another nonce.
    is_bad_nonce: bool,
    /// Its answer could not be understood, so what counts is the answer's status.
    is_vague: bool,
}

impl Failing {
    pub(super) fn new(why: String) -> Self {
        Self { why, account_lost: false, is_bad_nonce: false, is_vague: false }
    }

    pub(super) fn problem(problem: &Problem) -> Self {
        let kind = problem.r#type.as_deref().unwrap_or_default();
        let mut why = problem.detail.clone().unwrap_or_else(|| "the server doesn't say why".into());
        for one in &problem.subproblems {
            why.push_str(&format!("; {one}"));
        }
        if let Some(name) = kind.strip_prefix("urn:ietf:params:acme:error:") {
            why.push_str(&format!(" ({name})"));
        }
        let (account_lost, is_bad_nonce) = (kind == ACCOUNT_LOST, kind == BAD_NONCE);
        Self { account_lost, is_bad_nonce, ..Self::new(why) }
    }

    pub(super) fn is_bad_nonce(&self) -> bool {
        self.is_bad_nonce
    }

    pub(super) fn why(&self) -> &str {
        &self.why
    }

    pub(super) fn about(self, what: &str) -> Self {
        Self { why: format!("{what}: {}", self.why), ..self }
    }

    /// Tokens are not for logs, and servers put them into what they say.
    pub(super) fn without(self, tokens: &[String]) -> Self {
        let words = tokens.iter().filter(|token| !token.is_empty());
        let why = words.fold(self.why, |why, token| why.replace(token, "(token)"));
        Self { why, ..self }
    }

    /// With what else the last answer said.
    pub(super) fn finish(self, client: &Client) -> Failure {
        let refused = client.refused();
        let why = match refused {
            Some(refused) if self.is_vague => format!("the server answers {}", refused.status),
            _ => self.why,
        };
        let mut why: String = why.chars().flat_map(plain).take(LONGEST + 1).collect();
        if why.chars().count() > LONGEST {
            why.pop();
            why.push('…');
        }
        Failure {
            why,
            retry_after: refused.and_then(|refused| refused.retry_after),
            account_lost: self.account_lost,
        }
    }
}

impl From<Error> for Failing {
    fn from(error: Error) -> Self {
        match error {
            Error::Api(problem) => Self::problem(&problem),
            Error::Json(error) => Self {
                is_vague: true,
                ..Self::new(format!("the server's answer isn't one of ACME: {error}"))
            },
            Error::Timeout(_) => Self::new("the server takes too long".into()),
            error => Self::new(error.to_string()),
        }
    }
}

/// Texts of others, on one line.
fn plain(c: char) -> impl Iterator<Item = char> {
    let escaped = c.is_control().then(|| c.escape_default());
    let same = escaped.is_none().then_some(c);
    same.into_iter().chain(escaped.into_iter().flatten())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(json: &str) -> Failing {
        Failing::from(Error::Api(serde_json::from_str(json).unwrap()))
    }

    fn finished(failing: Failing) -> Failure {
        failing.finish(&Client::new(crate::tls::Connector::new(Default::default()).unwrap()))
    }

    #[test]
    fn it_says_what_the_server_says() {
        let failing = problem(
            r#"{"type":"urn:ietf:params:acme:error:dns","detail":"no\n\u001b[31m such host",
            "subproblems":[{"detail":"refused"}]}"#,
        );
        let failure = finished(failing.about("http-01"));
        assert!(
            failure.why.starts_with("http-01: no\\n\\u{1b}[31m such host; "),
            "{}",
            failure.why
        );
        assert!(
            failure.why.contains("refused") && failure.why.ends_with("(dns)"),
            "{}",
            failure.why
        );
        assert!(!failure.account_lost);
        assert_eq!(finished(problem("{}")).why, "the server doesn't say why");
        let lost = r#"{"type":"urn:ietf:params:acme:error:accountDoesNotExist"}"#;
        assert!(finished(problem(lost)).account_lost);
    }

    #[test]
    fn it_is_short_and_tells_no_token() {
        let failing = problem(r#"{"detail":"expected \"tOkEn.thumb\", got \"<html>\""}"#);
        let failure = finished(failing.without(&["tOkEn".into(), String::new()]));
        assert_eq!(failure.why, "expected \"(token).thumb\", got \"<html>\"");
        let long = finished(Failing::new("ä".repeat(5000)));
        assert_eq!(long.why.chars().count(), LONGEST + 1);
    }
}
