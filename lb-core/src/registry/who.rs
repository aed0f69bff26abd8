//! Whom people mean by a name.

use std::sync::Arc;

use crate::endpoint::EndpointId;

/// Those of `all` that are meant by `who`: by their name, by their identity, or by 4
/// digits or more with which a hexadecimal one begins.
///
/// Several may have one name; who is meant by a beginning is the only one. Of other
/// identities the beginning may be the whole of another one, as `10.0.0.1:80` is of
/// `10.0.0.1:8080`.
///
/// # Errors
///
/// Nobody is meant for sure: the names of those that may have been.
pub(crate) fn meant<'a, T>(
    who: &str,
    all: impl Iterator<Item = (&'a EndpointId, &'a Arc<str>, T)>,
) -> Result<Vec<T>, Vec<Arc<str>>> {
    let (mut exactly, mut begins, mut like) = (Vec::new(), Vec::new(), Vec::new());
    for (id, name, one) in all {
        if **name == *who || id.as_str() == who {
            exactly.push(one);
        } else if id.as_str().starts_with(who) {
            like.push(Arc::clone(name));
            begins.push(one);
        } else if name.contains(who) {
            like.push(Arc::clone(name));
        }
    }
    if !exactly.is_empty() {
        Ok(exactly)
    } else if is_beginning(who) && begins.len() == 1 {
        Ok(begins)
    } else {
        Err(like)
    }
}

/// Whether this can stand for an identity that begins with it.
fn is_beginning(who: &str) -> bool {
    who.len() >= 4 && who.bytes().all(|byte| byte.is_ascii_hexdigit())
}
