//! Texts that match a pattern.

use regex_syntax::hir::{Class, Hir, HirKind};

use crate::mock::scalar::Random;

/// A text that matches a pattern and has at least `least` and at most `most` characters, where one was found.
/// Patterns that Rust's syntax does not know (look-around) give none. Anchors are taken as met.
pub(super) fn matching(
    pattern: &str,
    least: usize,
    most: usize,
    random: &mut Random,
) -> Option<String> {
    let hir = regex_syntax::ParserBuilder::new()
        .nest_limit(50)
        .build()
        .parse(pattern)
        .ok()?;
    // More turns of the repetitions make longer texts.
    for extra in [0, 1, 2, 4, 8, 16, 32, 64, 128, 256] {
        let mut writer = Writer {
            text: String::new(),
            length: 0,
            least,
            most,
            extra,
            random: &mut *random,
        };
        writer.write(&hir)?;
        let Writer { text, length, .. } = writer;
        if (least..=most).contains(&length) {
            return Some(text);
        }
    }
    None
}

struct Writer<'a> {
    text: String,
    length: usize,
    least: usize,
    most: usize,
    extra: u32,
    random: &'a mut Random,
}

impl Writer<'_> {
    fn push(&mut self, character: char) -> Option<()> {
        self.length += 1;
        self.text.push(character);
        (self.length <= self.most).then_some(())
    }

    fn write(&mut self, hir: &Hir) -> Option<()> {
        match hir.kind() {
            HirKind::Empty | HirKind::Look(_) => Some(()),
            HirKind::Literal(literal) => std::str::from_utf8(&literal.0)
                .ok()?
                .chars()
                .try_for_each(|character| self.push(character)),
            HirKind::Class(class) => {
                let character = self.member(class)?;
                self.push(character)
            }
            HirKind::Repetition(repetition) => {
                let most = repetition.max.unwrap_or(u32::MAX);
                let wanted = if self.length < self.least {
                    self.extra
                } else {
                    0
                };
                let turns = repetition.min.saturating_add(wanted).min(most);
                for turn in 0..turns {
                    if turn >= repetition.min && self.length >= self.least {
                        break;
                    }
                    self.write(&repetition.sub)?;
                }
                Some(())
            }
            HirKind::Capture(capture) => self.write(&capture.sub),
            HirKind::Concat(parts) => parts.iter().try_for_each(|part| self.write(part)),
            HirKind::Alternation(parts) => {
                let index = self.random.below(parts.len());
                self.write(&parts[index])
            }
        }
    }

    /// One of the characters of a class, letters and digits before other signs, ASCII before the rest.
    fn member(&mut self, class: &Class) -> Option<char> {
        let ranges: Vec<(char, char)> = match class {
            Class::Unicode(class) => class
                .ranges()
                .iter()
                .map(|range| (range.start(), range.end()))
                .collect(),
            Class::Bytes(class) => class
                .ranges()
                .iter()
                .map(|range| (char::from(range.start()), char::from(range.end())))
                .collect(),
        };
        let within = |character: &char| {
            ranges
                .iter()
                .any(|(start, end)| (start..=end).contains(&character))
        };
        let pick = |from: Vec<char>, random: &mut Random| {
            (!from.is_empty()).then(|| from[random.below(from.len())])
        };
        let ascii = || (' '..='~').filter(within);
        pick(
            ascii().filter(char::is_ascii_alphanumeric).collect(),
            self.random,
        )
        .or_else(|| pick(ascii().collect(), self.random))
        .or_else(|| ranges.first().map(|(start, _)| *start))
    }
}
