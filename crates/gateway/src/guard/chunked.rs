//! The chunked coding (RFC 9112 §7.1), strictly: hexadecimal size of at most 16 digits, CRLF everywhere.

use super::{Exceeded, Violation};

/// Where in a chunked body the next byte stands. The last chunk's line end belongs to the coding, what follows to the
/// trailers.
#[derive(Default)]
pub(crate) struct Chunked {
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

/// What the next bytes are.
pub(crate) enum Piece {
    /// So many bytes of data.
    Data(usize),
    /// So many bytes around the data.
    Framing(usize),
    /// So many bytes, with which the last chunk's line ends.
    Last(usize),
    /// The byte behind so many is wrong.
    Wrong(usize, Violation),
}

const SIZE_DIGITS_MAX: u32 = 16;

impl Chunked {
    /// What stands at the front of `bytes`, which are not empty.
    pub(crate) fn piece(&mut self, bytes: &[u8], extension_bytes_max: usize) -> Piece {
        if matches!(self.at, At::Data) {
            let left = usize::try_from(self.size).unwrap_or(usize::MAX);
            let passed = left.min(bytes.len());
            self.size -= passed as u64;
            if self.size == 0 {
                self.at = At::DataCr;
            }
            return Piece::Data(passed);
        }
        for (index, byte) in bytes.iter().enumerate() {
            match self.framing(*byte, extension_bytes_max) {
                Ok(true) => return Piece::Last(index + 1),
                Ok(false) if matches!(self.at, At::Data) => return Piece::Framing(index + 1),
                Ok(false) => {}
                Err(violation) => return Piece::Wrong(index, violation),
            }
        }
        Piece::Framing(bytes.len())
    }

    /// One byte that is not data; true when it ends the last chunk's line.
    fn framing(&mut self, byte: u8, extension_bytes_max: usize) -> Result<bool, Violation> {
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
                if self.extension_bytes > extension_bytes_max {
                    let detail = "the chunk extensions are too long";
                    return Err(Violation::exceeds(Exceeded::ChunkExtensions, detail));
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
