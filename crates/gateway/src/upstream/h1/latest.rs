//! The fields that a backend's answers have in common.

use bytes::Bytes;
use http::{HeaderName, HeaderValue};

use super::head::HeadFault;

/// Fields that are remembered of an answer.
const FIELDS_MAX: usize = 16;
/// The longest value that is.
const VALUE_BYTES_MAX: usize = 64;
/// Values are remembered of one answer in so many: to copy those that are never the same again costs little then, and the
/// second's `Date` is soon known.
const VALUES_EVERY: usize = 8;

/// Fields of an endpoint's latest answers, by the place where they stood. Most backends send the same names again, in the same
/// order, and most of their values: to compare costs a fifth of what it costs to look a name up and to check a value byte by
/// byte.
#[derive(Default)]
pub(crate) struct Latest {
    fields: Vec<Field>,
    answers: usize,
}

struct Field {
    /// The name, as it was written.
    written: Box<str>,
    name: HeaderName,
    /// A copy: it keeps no answer's bytes.
    value: HeaderValue,
}

impl Latest {
    /// Another answer's fields are read.
    pub(super) fn begin(&mut self) {
        self.answers = self.answers.wrapping_add(1);
    }

    /// The field at this place.
    pub(super) fn read(
        &mut self,
        place: usize,
        bytes: &Bytes,
        found: &httparse::Header<'_>,
    ) -> Result<(HeaderName, HeaderValue), HeadFault> {
        let known = self.fields.get(place);
        let name = match known {
            Some(known) if *known.written == *found.name => {
                if known.value == *found.value {
                    return Ok((known.name.clone(), known.value.clone()));
                }
                known.name.clone()
            }
            _ => self.look_up(place, found.name)?,
        };
        // It stays where it was read.
        let value = HeaderValue::from_maybe_shared(bytes.slice_ref(found.value))
            .map_err(|_| HeadFault::Malformed)?;
        if self.answers % VALUES_EVERY == 1 {
            self.remember(place, found.value);
        }
        Ok((name, value))
    }

    #[cold]
    fn look_up(&mut self, place: usize, written: &str) -> Result<HeaderName, HeadFault> {
        let name = HeaderName::from_bytes(written.as_bytes()).map_err(|_| HeadFault::Malformed)?;
        let known = Field {
            written: written.into(),
            name: name.clone(),
            value: HeaderValue::from_static(""),
        };
        if place < self.fields.len() {
            self.fields[place] = known;
        } else if place < FIELDS_MAX {
            self.fields.push(known);
        }
        Ok(name)
    }

    fn remember(&mut self, place: usize, value: &[u8]) {
        if value.len() <= VALUE_BYTES_MAX
            && let Some(known) = self.fields.get_mut(place)
            && let Ok(value) = HeaderValue::from_bytes(value)
        {
            known.value = value;
        }
    }
}

#[cfg(test)]
mod tests;
