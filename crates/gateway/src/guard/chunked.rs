//! The chunked coding (RFC 9112 §7.1), strictly: hexadecimal size of at most 16 digits, CRLF everywhere.

use super::{Rules, Violation};

/// Where in a chunked body the next byte stands. The last chunk's line end belongs to the coding, what follows to the
/// trailers.
#[derive(Default)]
pub(super) struct Chunked {
    at: At,
    size: u64,
    digits: u32,
    extension_bytes: usize,
}

#[derive(Clone, Copy, Default)]
enum At {
    #[default]
    Size,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
}

/// What a stretch of bytes led to.
pub(super) enum Step {
    /// Still in the coding.
    More,
    /// The last chunk's line has ended.
    Trailers,
    /// The byte behind what passed is wrong.
    Wrong(Violation),
}

const SIZE_DIGITS_MAX: u32 = 16;

impl Chunked {
    /// Reads on; says how many bytes are clean.
    pub(super) fn advance(&mut self, bytes: &[u8], rules: &Rules) -> (usize, Step) {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            if matches!(self.at, At::Data) {
                let left = usize::try_from(self.size).unwrap_or(usize::MAX);
                let passed = left.min(bytes.len() - at);
                self.size -= passed as u64;
                at += passed;
                if self.size == 0 {
                    self.at = At::DataCr;
                }
                continue;
            }
            match self.framing(byte, rules) {
                Ok(false) => at += 1,
                Ok(true) => return (at + 1, Step::Trailers),
                Err(violation) => return (at, Step::Wrong(violation)),
            }
        }
        (at, Step::More)
    }

    /// One byte that is not data; true when it ends the last chunk's line.
    fn framing(&mut self, byte: u8, rules: &Rules) -> Result<bool, Violation> {
        self.at = match (self.at, byte) {
            (At::Size, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                self.digits += 1;
                if self.digits > SIZE_DIGITS_MAX {
                    return Err(Violation::framing("a chunk size has more than 16 digits"));
                }
                let digit = char::from(byte).to_digit(16).unwrap_or_default();
                self.size = self.size << 4 | u64::from(digit);
                At::Size
            }
            (At::Size, b'\r') if self.digits > 0 => At::SizeLf,
            (At::Size, b';') if self.digits > 0 => At::Extension,
            (At::Size, _) => return Err(Violation::framing("a chunk size is not hexadecimal")),
            (At::Extension, b'\r') => At::SizeLf,
            (At::Extension, b'\t' | b' '..=b'~') => {
                self.extension_bytes += 1;
                if self.extension_bytes > rules.extension_bytes_max {
                    return Err(Violation::framing("the chunk extensions are too long"));
                }
                At::Extension
            }
            (At::Extension, _) => {
                return Err(Violation::framing(
                    "a chunk extension holds a control character",
                ));
            }
            (At::SizeLf, b'\n') if self.size == 0 => return Ok(true),
            (At::SizeLf, b'\n') => At::Data,
            (At::DataCr, b'\r') => At::DataLf,
            (At::DataLf, b'\n') => {
                self.digits = 0;
                At::Size
            }
            _ => return Err(Violation::framing("a chunk's line does not end with CRLF")),
        };
        Ok(false)
    }
}
