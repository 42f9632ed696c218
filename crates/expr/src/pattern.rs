//! `text.matches('pattern')`: whether a regular expression finds something in a text.

use std::sync::Arc;

use cel::ExecutionError;
use cel::extractors::This;
use regex::{Regex, RegexBuilder};

/// The function's name.
pub(crate) const NAME: &str = "matches";
/// What is told of one that is used wrongly.
pub(crate) const USE: &str =
    "`matches` takes a pattern, written out, as in `request.path.matches('^/v[0-9]+/')`";

/// The longest pattern in bytes.
pub const PATTERN_BYTES_MAX: usize = 512;
/// Patterns of one expression.
pub const PATTERNS_MAX: usize = 8;
/// What one pattern may take when it is compiled, and what a core may keep to run it; it bounds `{1000}` and the like.
const COMPILED_BYTES_MAX: usize = 64 * 1024;
const CACHE_BYTES_MAX: usize = 256 * 1024;
const DEPTH_MAX: u32 = 24;

/// A text of the language, and what it is answered.
type Text = Arc<String>;
type Answer = Result<bool, ExecutionError>;

/// The patterns of an expression, each compiled once. They run in a time that is linear in the text.
#[derive(Clone, Debug, Default)]
pub(crate) struct Patterns(Vec<(String, Regex)>);

impl Patterns {
    pub(crate) fn add(&mut self, source: &str) -> Result<(), String> {
        if self.find(source).is_some() {
            return Ok(());
        }
        if source.len() > PATTERN_BYTES_MAX {
            return Err(format!(
                "the pattern has {} bytes, at most {PATTERN_BYTES_MAX} are accepted",
                source.len()
            ));
        }
        if self.0.len() >= PATTERNS_MAX {
            return Err(format!("more than {PATTERNS_MAX} patterns"));
        }
        let compiled = RegexBuilder::new(source)
            .size_limit(COMPILED_BYTES_MAX)
            .dfa_size_limit(CACHE_BYTES_MAX)
            .nest_limit(DEPTH_MAX)
            .build();
        let pattern = compiled.map_err(|error| {
            let text = error.to_string();
            let cause = text.lines().next_back().unwrap_or_default();
            format!(
                "the pattern is refused: {}",
                cause.trim_start_matches("error: ")
            )
        })?;
        self.0.push((source.to_owned(), pattern));
        Ok(())
    }

    fn find(&self, source: &str) -> Option<&Regex> {
        let found = self.0.iter().find(|(known, _)| known == source);
        found.map(|(_, pattern)| pattern)
    }

    /// As the language calls it; `None` where nothing needs it.
    pub(crate) fn function(
        self: &Arc<Self>,
    ) -> Option<impl Fn(This<Text>, Text) -> Answer + use<>> {
        if self.0.is_empty() {
            return None;
        }
        let patterns = Arc::clone(self);
        Some(move |This(text): This<Text>, source: Text| {
            let pattern = patterns.find(&source);
            let pattern = pattern.ok_or_else(|| ExecutionError::function_error(NAME, USE))?;
            Ok(pattern.is_match(&text))
        })
    }
}
