//! What clients say, cut to what there is room for: it is kept while it waits for who
//! reads it.

use ::http::Method;

/// As many bytes of `text` at most as are whole characters.
pub(super) fn clip(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

/// As many bytes of a list at most as are whole entries; nothing if the first one is
/// longer.
pub(super) fn clip_list(list: &str, bytes: usize) -> &str {
    if list.len() <= bytes {
        return list;
    }
    // A comma right behind what there is room for ends an entry as well.
    let end = list.as_bytes()[..=bytes].iter().rposition(|&byte| byte == b',');
    &list[..end.unwrap_or_default()]
}

/// The longest method of the registry has 17 bytes (UPDATEREDIRECTREF).
const METHOD: usize = 32;

/// A method, or the beginning of one that somebody has made up: it may be as long as a
/// head.
pub(super) fn clip_method(method: &Method) -> Method {
    match method.as_str().as_bytes().split_at_checked(METHOD) {
        // A part of a token is one.
        Some((part, _)) => Method::from_bytes(part).unwrap_or_default(),
        None => method.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_between_characters() {
        assert_eq!(clip("/abc", 10), "/abc");
        assert_eq!(clip("/aéb", 3), "/a");
        assert_eq!(clip("/aéb", 4), "/aé");
    }

    #[test]
    fn a_list_is_cut_between_entries() {
        for (bytes, expected) in
            [(11, "a=1,bb=2,c="), (10, "a=1,bb=2"), (8, "a=1,bb=2"), (7, "a=1"), (2, "")]
        {
            assert_eq!(clip_list("a=1,bb=2,c=", bytes), expected, "{bytes}");
        }
    }

    #[test]
    fn a_method_of_ones_own_is_cut() {
        let method = |text: &str| clip_method(&Method::from_bytes(text.as_bytes()).unwrap());
        for text in ["GET", "UPDATEREDIRECTREF", "A-METHOD-OF-SOMEBODYS-OWN"] {
            assert_eq!(method(text), text);
        }
        assert_eq!(method(&"X".repeat(60_000)), "X".repeat(METHOD).as_str());
    }
}
