//! What commands print.

use std::io::{self, ErrorKind, Write};

/// Writes to standard output. Whoever reads it may have had enough: `| head`.
///
/// # Errors
///
/// It can't be written there.
pub(crate) fn print(text: &str) -> io::Result<()> {
    write(&mut io::stdout().lock(), text)
}

fn write(out: &mut impl Write, text: &str) -> io::Result<()> {
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_reads_no_more_is_no_error_and_a_full_disk_is() {
        let (reader, mut writer) = io::pipe().unwrap();
        drop(reader);
        write(&mut writer, "text").unwrap();
        let mut full = [0; 3];
        let error = write(&mut full.as_mut_slice(), "text").unwrap_err();
        assert_eq!((error.kind(), &full), (ErrorKind::WriteZero, b"tex"));
    }
}
