//! How what others say is written, so that it can't end a field, a line or an object.

use std::{fmt, str::FromStr, time::Duration};

/// How a [`LogFormat`](super::LogFormat) writes what clients and endpoints say; nginx
/// has the same three.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Escape {
    /// `"`, `\`, control characters and all but ASCII become `\xHH`. What isn't there is
    /// `-`. The default.
    #[default]
    Default,
    /// As JSON wants it. What isn't there is empty, or `null` where the format has no
    /// quotes.
    Json,
    /// As it came, but for line breaks. What isn't there is empty.
    None,
}

/// An [`Escape`] that doesn't exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EscapeError;

/// How one value is written. Where it stands is known when the format is compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Default,
    /// The same, and it is one word.
    Word,
    /// The same, and `|` can't be in it either.
    Column,
    /// Between the quotes of a string of JSON.
    InString,
    /// A whole value of JSON: what is no number brings its own quotes.
    Value,
    None,
}

/// Where one value is written to.
pub(super) struct Field<'a> {
    out: &'a mut Vec<u8>,
    mode: Mode,
}

impl FromStr for Escape {
    type Err = EscapeError;

    fn from_str(text: &str) -> Result<Self, EscapeError> {
        match text {
            "default" => Ok(Self::Default),
            "json" => Ok(Self::Json),
            "none" => Ok(Self::None),
            _ => Err(EscapeError),
        }
    }
}

impl fmt::Display for Escape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Default => "default",
            Self::Json => "json",
            Self::None => "none",
        })
    }
}

impl fmt::Display for EscapeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("write default, json or none")
    }
}

impl std::error::Error for EscapeError {}

impl<'a> Field<'a> {
    pub(super) fn new(out: &'a mut Vec<u8>, mode: Mode) -> Self {
        Self { out, mode }
    }

    /// Whether a number is one to whoever reads it.
    pub(super) fn is_value(&self) -> bool {
        self.mode == Mode::Value
    }

    /// There is no such value.
    pub(super) fn absent(self) {
        match self.mode {
            Mode::Default | Mode::Word | Mode::Column => self.out.push(b'-'),
            Mode::Value => self.out.extend_from_slice(b"null"),
            Mode::InString | Mode::None => {}
        }
    }

    /// What somebody else has said.
    pub(super) fn text(self, text: &[u8]) {
        self.texts([text]);
    }

    /// The same in parts that follow each other.
    pub(super) fn texts<'t>(self, parts: impl IntoIterator<Item = &'t [u8]>) {
        let mode = self.mode;
        self.print(|out| parts.into_iter().for_each(|part| escape(out, part, mode)));
    }

    /// The same, in small letters.
    pub(super) fn lower(self, text: &[u8]) {
        if !text.iter().any(u8::is_ascii_uppercase) {
            return self.text(text);
        }
        let mut lower = [0; 256];
        // No name is longer (RFC 1035, section 2.3.4).
        let lower = &mut lower[..text.len().min(256)];
        lower.copy_from_slice(&text[..lower.len()]);
        lower.make_ascii_lowercase();
        self.text(lower);
    }

    /// Text of ours, in which there is nothing to escape.
    pub(super) fn plain(self, text: &str) {
        self.print(|out| out.extend_from_slice(text.as_bytes()));
    }

    /// The same, if there is any.
    pub(super) fn plain_if(self, text: Option<&str>) {
        match text {
            Some(text) => self.plain(text),
            None => self.absent(),
        }
    }

    pub(super) fn number(self, number: u64) {
        digits(self.out, number);
    }

    /// One that is written out already.
    pub(super) fn digits(self, digits: &str) {
        self.out.extend_from_slice(digits.as_bytes());
    }

    /// A number that is written here, if there is one.
    pub(super) fn number_if(self, write: impl FnOnce(&mut Vec<u8>) -> bool) {
        if !write(self.out) {
            self.absent();
        }
    }

    /// Seconds with milliseconds.
    pub(super) fn seconds(self, time: Duration) {
        seconds(self.out, time);
    }

    /// What is written here is a text of ours.
    pub(super) fn print(self, print: impl FnOnce(&mut Vec<u8>)) {
        let Self { out, mode } = self;
        if mode == Mode::Value {
            out.push(b'"');
        }
        print(out);
        if mode == Mode::Value {
            out.push(b'"');
        }
    }
}

pub(super) fn digits(out: &mut Vec<u8>, mut number: u64) {
    // Most are small, and `push` is much less than a copy.
    if number < 10 {
        return out.push(b'0' + (number % 10) as u8);
    }
    let mut text = [0; 20];
    let mut at = text.len();
    loop {
        at -= 1;
        text[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return out.extend_from_slice(&text[at..]);
        }
    }
}

pub(super) fn seconds(out: &mut Vec<u8>, time: Duration) {
    digits(out, time.as_secs());
    let millis = time.subsec_millis();
    let digit = |unit: u32| b'0' + (millis / unit % 10) as u8;
    out.extend_from_slice(&[b'.', digit(100), digit(10), digit(1)]);
}

fn escape(out: &mut Vec<u8>, text: &[u8], mode: Mode) {
    let barred = match mode {
        Mode::Default => DEFAULT,
        Mode::Word => WORD,
        Mode::Column => COLUMN,
        Mode::InString | Mode::Value => JSON | BEYOND_ASCII,
        Mode::None => LINE,
    };
    // As it nearly always is. To look at all of it is quicker than to stop early.
    if text.iter().fold(0, |kinds, &byte| kinds | BARRED[usize::from(byte)]) & barred == 0 {
        out.extend_from_slice(text);
    } else if barred & JSON == 0 {
        runs(out, text, barred, hex);
    } else {
        json_text(out, text);
    }
}

fn json_text(out: &mut Vec<u8>, text: &[u8]) {
    for chunk in text.utf8_chunks() {
        runs(out, chunk.valid().as_bytes(), JSON, json);
        for &byte in chunk.invalid() {
            // nginx lets it be, and who reads the object can't.
            out.push(b'\\');
            hex(out, byte);
        }
    }
}

/// What can't stay as it is, a bit for each kind of text.
const DEFAULT: u8 = 1;
const WORD: u8 = 2;
const COLUMN: u8 = 4;
const LINE: u8 = 8;
const JSON: u8 = 16;
/// It is text that can stay, or no text at all.
const BEYOND_ASCII: u8 = 32;

/// The kinds of text that each byte can't be part of: looked up, as it is asked of every
/// byte that is written.
static BARRED: [u8; 256] = {
    let mut barred = [0; 256];
    let mut byte = 0_u8;
    loop {
        let mut kinds = match byte {
            b'"' | b'\\' => DEFAULT | WORD | COLUMN | JSON,
            0..=0x1f => DEFAULT | WORD | COLUMN | JSON,
            0x7f => DEFAULT | WORD | COLUMN,
            0x80..=0xff => DEFAULT | WORD | COLUMN | BEYOND_ASCII,
            b' ' => WORD,
            b'|' => COLUMN,
            _ => 0,
        };
        if matches!(byte, b'\n' | b'\r') {
            kinds |= LINE;
        }
        barred[byte as usize] = kinds;
        if byte == u8::MAX {
            break barred;
        }
        byte += 1;
    }
};

/// Copies what can be part of this kind in one piece, as far as it goes.
fn runs(out: &mut Vec<u8>, mut text: &[u8], kind: u8, other: impl Fn(&mut Vec<u8>, u8)) {
    while let Some(at) = text.iter().position(|&byte| BARRED[usize::from(byte)] & kind != 0) {
        out.extend_from_slice(&text[..at]);
        other(out, text[at]);
        text = &text[at + 1..];
    }
    out.extend_from_slice(text);
}

fn json(out: &mut Vec<u8>, byte: u8) {
    match byte {
        b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
        b'\n' => out.extend_from_slice(b"\\n"),
        b'\r' => out.extend_from_slice(b"\\r"),
        b'\t' => out.extend_from_slice(b"\\t"),
        _ => {
            out.extend_from_slice(b"\\u00");
            out.extend_from_slice(&hex_digits(byte));
        }
    }
}

fn hex(out: &mut Vec<u8>, byte: u8) {
    out.extend_from_slice(b"\\x");
    out.extend_from_slice(&hex_digits(byte));
}

fn hex_digits(byte: u8) -> [u8; 2] {
    let digit = |half: u8| b"0123456789ABCDEF"[usize::from(half & 0xf)];
    [digit(byte >> 4), digit(byte)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(mode: Mode, write: impl FnOnce(Field<'_>)) -> String {
        let mut out = Vec::new();
        write(Field::new(&mut out, mode));
        String::from_utf8_lossy(&out).into_owned()
    }

    fn nothing(field: Field<'_>) {
        field.absent();
    }

    #[test]
    fn each_mode_has_its_own_way() {
        let hostile = b"a\"b\\c\td|e \x7f\xc3\xa9\xff\nf";
        for (mode, expected, absent) in [
            (Mode::Default, r"a\x22b\x5Cc\x09d|e \x7F\xC3\xA9\xFF\x0Af", "-"),
            (Mode::Word, r"a\x22b\x5Cc\x09d|e\x20\x7F\xC3\xA9\xFF\x0Af", "-"),
            (Mode::Column, r"a\x22b\x5Cc\x09d\x7Ce \x7F\xC3\xA9\xFF\x0Af", "-"),
            (Mode::InString, "a\\\"b\\\\c\\td|e \u{7f}é\\\\xFF\\nf", ""),
            (Mode::Value, "\"a\\\"b\\\\c\\td|e \u{7f}é\\\\xFF\\nf\"", "null"),
            (Mode::None, "a\"b\\c\td|e \u{7f}é\u{fffd}\\x0Af", ""),
        ] {
            assert_eq!(written(mode, |field| field.text(hostile)), expected, "{mode:?}");
            assert_eq!(written(mode, nothing), absent, "{mode:?}");
        }
    }

    #[test]
    fn control_characters_are_hexadecimal_in_json() {
        assert_eq!(written(Mode::InString, |field| field.text(b"\x00\x1f\r")), r"\u0000\u001F\r");
    }

    #[test]
    fn only_values_that_are_no_numbers_bring_quotes() {
        for (mode, expected) in
            [(Mode::Value, r#""ab""c""d"70.042"#), (Mode::InString, "abcd70.042")]
        {
            let mut out = Vec::new();
            let mut field = |write: &dyn Fn(Field<'_>)| write(Field::new(&mut out, mode));
            field(&|field| field.texts([&b"a"[..], b"b"]));
            field(&|field| field.plain("c"));
            field(&|field| field.print(|out| out.push(b'd')));
            field(&|field| field.number(7));
            field(&|field| field.seconds(Duration::from_micros(42_999)));
            assert_eq!(String::from_utf8(out).unwrap(), expected, "{mode:?}");
        }
    }

    #[test]
    fn numbers_are_whole() {
        for number in [0, 9, 10, 12_345, u64::MAX] {
            assert_eq!(written(Mode::Default, |field| field.number(number)), number.to_string());
        }
        for (millis, expected) in [(0, "0.000"), (7, "0.007"), (61_250, "61.250")] {
            let time = Duration::from_millis(millis);
            assert_eq!(written(Mode::Default, |field| field.seconds(time)), expected);
        }
    }

    #[test]
    fn small_letters_are_escaped_as_well() {
        assert_eq!(written(Mode::Default, |field| field.lower(b"App\".Local")), r"app\x22.local");
        let long = [b'A'; 300];
        assert_eq!(written(Mode::Default, |field| field.lower(&long)), "a".repeat(256));
    }
}
