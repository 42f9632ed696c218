//! Reads on where widespread YAML readers do: quoted strings whose further lines are not indented enough.
//!
//! YAML 1.2 wants every line of a quoted string indented deeper than the mapping it stands in (§7.3, `s-flow-line-prefix`);
//! most readers never checked, so real definitions break the rule. White space at the start of such a line means
//! nothing, so more of it is put in, and positions are counted without it.

use std::borrow::Cow;
use std::collections::HashMap;

use saphyr_parser::ScanError;

use crate::Limits;
use crate::node::Position;

/// What the scanner says of such a string; it places the problem at the opening quote.
const COMPLAINT: &str = "invalid indentation in quoted scalar";

/// Every repair reads the text once more, so there are few, and their work is bounded in bytes too.
const REPAIRS_MAX: usize = 64;

/// A text with white space put in.
pub(crate) struct Repaired<'t> {
    pub(crate) text: Cow<'t, str>,
    /// How much was put in at the start of each line.
    inserted: HashMap<u32, u32>,
    repairs: usize,
    last: Position,
}

impl<'t> Repaired<'t> {
    pub(crate) fn new(text: &'t str) -> Self {
        Self {
            text: Cow::Borrowed(text),
            inserted: HashMap::new(),
            repairs: 0,
            last: Position::START,
        }
    }

    /// The position in the original text. The scanner counts columns from 0, and the lines of an empty text too.
    pub(crate) fn position(&self, line: usize, column: usize) -> Position {
        let narrow = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let line = narrow(line.max(1));
        let inserted = self.inserted.get(&line).copied().unwrap_or(0);
        Position {
            line,
            column: narrow(column).saturating_sub(inserted).saturating_add(1),
        }
    }

    /// Mends what the scanner complains about; false where this is not the cure.
    pub(crate) fn repair(&mut self, error: &ScanError, limits: &Limits) -> bool {
        let position = self.position(error.marker().line(), error.marker().col());
        let progress = self.repairs == 0 || position > self.last;
        let affordable = self.repairs < REPAIRS_MAX
            && self.text.len().saturating_mul(self.repairs) < limits.bytes_max;
        if error.info() != COMPLAINT || !progress || !affordable {
            return false;
        }
        self.repairs += 1;
        self.last = position;
        self.indent(error.marker().line(), error.marker().col())
    }

    /// Indents the further lines of the quoted string that begins at this line (from 1) and column (from 0).
    fn indent(&mut self, line: usize, column: usize) -> bool {
        let Some(start) = offset_of(&self.text, line, column) else {
            return false;
        };
        let Some(length) = quoted_length(&self.text[start..]) else {
            return false;
        };
        let quoted = &self.text[start..start + length];
        // A document marker ends the document, in whatever it stands.
        if quoted
            .lines()
            .skip(1)
            .any(|line| line.starts_with("---") || line.starts_with("..."))
        {
            return false;
        }
        let further = quoted.bytes().filter(|byte| *byte == b'\n').count();
        let Ok(width) = u32::try_from(column) else {
            return false;
        };
        let mended = quoted.replace('\n', &format!("\n{}", " ".repeat(column)));
        for number in line + 1..=line + further {
            let Ok(number) = u32::try_from(number) else {
                return false;
            };
            *self.inserted.entry(number).or_default() += width;
        }
        self.text = format!(
            "{}{mended}{}",
            &self.text[..start],
            &self.text[start + length..]
        )
        .into();
        further > 0
    }
}

fn offset_of(text: &str, line: usize, column: usize) -> Option<usize> {
    let mut lines = text.split_inclusive('\n');
    let before: usize = lines
        .by_ref()
        .take(line.checked_sub(1)?)
        .map(str::len)
        .sum();
    let (within, _) = lines.next()?.char_indices().nth(column)?;
    Some(before + within)
}

/// The length of the quoted string at the start of a text, quotes included.
fn quoted_length(text: &str) -> Option<usize> {
    let mut bytes = text.bytes().enumerate().peekable();
    let (_, quote) = bytes
        .next()
        .filter(|(_, byte)| matches!(byte, b'"' | b'\''))?;
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'\\' if quote == b'"' => {
                bytes.next();
            }
            b'\'' if quote == b'\'' && bytes.peek().is_some_and(|(_, next)| *next == b'\'') => {
                bytes.next();
            }
            _ if byte == quote => return Some(at + 1),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use crate::{Limits, Position, parse};

    #[test]
    fn quoted_strings_may_hang() {
        let text = "a:\n  - b: 'one ''x''\n    two\n\n   three'\n    c: \"four\\\n five\"\n    d: \"six\n\n    seven\" # end\ne: {f: '1\n2', g: 3}\n";
        let node = parse(text, &Limits::default()).expect("a text as other readers take it");
        assert_eq!(
            node.to_json().to_string(),
            r#"{"a":[{"b":"one 'x' two\nthree","c":"fourfive","d":"six\nseven"}],"e":{"f":"1 2","g":3}}"#
        );
        // Positions are those of the text as it was written.
        assert_eq!(node.position_of("/a/0/c"), Position { line: 6, column: 5 });
        assert_eq!(
            node.position_of("/e/g"),
            Position {
                line: 12,
                column: 5
            }
        );
    }

    #[test]
    fn what_cannot_be_mended_is_refused_where_it_stands() {
        for text in ["a:\n  b: 'one\n---\n'\n", "a:\n  b: 'one\n two\n"] {
            let found = parse(text, &Limits::default()).expect_err(text);
            assert_eq!(
                (found.0[0].rule.as_str(), found.0[0].line),
                ("syntax", 2),
                "{text}"
            );
        }
    }

    #[test]
    fn repairs_are_bounded() {
        let entry = |n: usize| format!("k{n}:\n  k: 'a\n b'\n");
        let text = |count: usize| (0..count).map(entry).collect::<String>();
        assert!(parse(&text(60), &Limits::default()).is_ok());
        assert!(parse(&text(70), &Limits::default()).is_err());
        let tight = Limits {
            bytes_max: text(60).len() * 3,
            ..Limits::default()
        };
        assert!(parse(&text(60), &tight).is_err());
    }
}
