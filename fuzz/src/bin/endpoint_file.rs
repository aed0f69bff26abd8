//! A file of endpoints. The input is its content.
#![no_main]

use lb_core::{Endpoint, EndpointId, discovery::file};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let lines = bytes.split(|byte| *byte == b'\n').count();
    let set = match file::parse::<String>(bytes) {
        Ok(set) => set,
        Err(error) => {
            assert!(error.line.is_none_or(|line| (1..=lines).contains(&line)), "{error}");
            assert!(!error.remedy.is_empty());
            return;
        }
    };
    assert!(set.len() <= lines);

    // Said in plain words, it is the same; and so it is after what an editor may do.
    let plain = if set.is_empty() { "!empty".to_owned() } else { plain(&set) };
    for text in [
        format!("# all\n{plain}"),
        format!("\u{feff}{}\n\n", plain.replace('\n', "\r\n")),
        format!("\n{}", plain.replace(' ', "\t ").replace('\n', " # one\n")),
    ] {
        assert_eq!(file::parse(text.as_bytes()).as_ref(), Ok(&set), "{text:?}");
    }
});

fn plain(set: &[(EndpointId, Endpoint<String>)]) -> String {
    let line = |(id, endpoint): &(EndpointId, Endpoint<String>)| {
        let Endpoint { target, weight, priority, zone, .. } = endpoint;
        let mut line = format!("{id} {target} weight={weight} priority={priority}");
        if let Some(zone) = zone {
            line += &format!(" zone={zone}");
        }
        line
    };
    set.iter().map(line).collect::<Vec<_>>().join("\n")
}
