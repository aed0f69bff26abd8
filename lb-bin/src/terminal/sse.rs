//! Server-sent events, as they come in pieces.
//! <https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation>

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    /// What it is called; `message` unless it says.
    pub(crate) name: String,
    pub(crate) data: String,
}

/// Puts events together. What a reader of them may be told beside (`id`, `retry`,
/// comments) is of no use here.
#[derive(Debug, Default)]
pub(crate) struct Events {
    /// What has come of the next line.
    line: Vec<u8>,
    /// The line feed that comes next belongs to the end before it.
    after_return: bool,
    name: String,
    data: Option<String>,
}

/// What is longer is none of ours.
const LONGEST: usize = 16 << 20;

impl Events {
    /// Takes in the next piece, and gives the events that it completes.
    ///
    /// # Errors
    ///
    /// A line or an event has no end.
    pub(crate) fn feed(&mut self, piece: &[u8]) -> Result<Vec<Event>, &'static str> {
        let mut events = Vec::new();
        for &byte in piece {
            let after_return = std::mem::replace(&mut self.after_return, byte == b'\r');
            match byte {
                b'\n' if after_return => {}
                b'\n' | b'\r' => {
                    let line = std::mem::take(&mut self.line);
                    events.extend(self.line(&String::from_utf8_lossy(&line)));
                }
                byte => self.line.push(byte),
            }
        }
        let length = self.line.len() + self.data.as_ref().map_or(0, String::len);
        if length > LONGEST { Err("an event has no end") } else { Ok(events) }
    }

    fn line(&mut self, line: &str) -> Option<Event> {
        if line.is_empty() {
            let name = std::mem::take(&mut self.name);
            let name = if name.is_empty() { "message".to_owned() } else { name };
            return Some(Event { name, data: self.data.take()? });
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.name),
            "data" => match &mut self.data {
                None => self.data = Some(value.to_owned()),
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
            },
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = "retry: 1000\n\n: a comment\nevent: state\ndata: {\"a\":1}\n\n\
        data: one\r\ndata:two\r\nid: 7\r\n\r\nevent:x\rdata\r\revent: lost\n\nevent: half\ndata: ";

    fn expected() -> Vec<Event> {
        let event = |name: &str, data: &str| Event { name: name.into(), data: data.into() };
        vec![event("state", "{\"a\":1}"), event("message", "one\ntwo"), event("x", "")]
    }

    #[test]
    fn events_are_put_together_wherever_they_are_cut() {
        let whole = Events::default().feed(STREAM.as_bytes()).unwrap();
        assert_eq!(whole, expected());
        for size in 1..STREAM.len() {
            let mut events = Events::default();
            let pieces = STREAM.as_bytes().chunks(size);
            let found: Vec<_> = pieces.flat_map(|piece| events.feed(piece).unwrap()).collect();
            assert_eq!(found, expected(), "in pieces of {size}");
        }
    }

    #[test]
    fn what_has_no_end_is_an_error() {
        let mut events = Events::default();
        let piece = vec![b'x'; LONGEST / 2];
        assert!(events.feed(&piece).is_ok());
        assert!(events.feed(&piece).is_ok());
        assert!(events.feed(b"x").is_err());
    }
}
