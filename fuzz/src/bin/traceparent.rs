//! What a client says of the trace that its request is part of: a `traceparent`.
//!
//! The file is compiled in: there is no way to it from outside but a whole proxy.
#![no_main]

use std::str;

use libfuzzer_sys::fuzz_target;

#[allow(dead_code)]
#[path = "../../../lb-core/src/http/trace/parent.rs"]
mod parent;

use parent::Parent;

fuzz_target!(|bytes: &[u8]| {
    let parsed = Parent::parse(bytes);
    assert_eq!(parsed, expected(bytes));
    let Some(parent) = parsed else { return };
    let written = parent.value().expect("digits and dashes make a value");
    assert_eq!(Parent::parse(written.as_bytes()), Some(parent));
    assert_eq!(&written.as_bytes()[3..52], &bytes[3..52]);
    assert_eq!(parent.trace_id(), bytes[3..35]);
    for sampled in [true, false] {
        let next = parent.next(sampled);
        assert_eq!((next.trace, next.is_sampled()), (parent.trace, sampled));
        assert!(next.span != 0 && next.flags & !(parent.flags & 2) <= 1);
    }
});

/// The same in the words of the standard.
fn expected(bytes: &[u8]) -> Option<Parent> {
    let (known, rest) = bytes.split_at_checked(55)?;
    let mut fields = str::from_utf8(known).ok()?.split('-');
    let mut field = |digits: usize| {
        let field = fields.next()?;
        let is_hex = field.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        (field.len() == digits && is_hex).then_some(field)
    };
    let (version, trace, span, flags) = (field(2)?, field(32)?, field(16)?, field(2)?);
    let ends = match rest {
        [] => version != "ff",
        [b'-', ..] => version != "ff" && version != "00",
        _ => false,
    };
    let parent = Parent {
        trace: u128::from_str_radix(trace, 16).ok()?,
        span: u64::from_str_radix(span, 16).ok()?,
        flags: u8::from_str_radix(flags, 16).ok()?,
    };
    (ends && parent.trace != 0 && parent.span != 0).then_some(parent)
}
