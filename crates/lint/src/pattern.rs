//! Regular expressions of rule sets.

use fancy_regex::{Regex, RegexBuilder};

/// Steps back that one match may take.
const BACKTRACK_MAX: usize = 200_000;

/// A compiled expression.
#[derive(Clone, Debug)]
pub(crate) struct Pattern(Regex);

impl Pattern {
    /// Reads `pattern`, or `/pattern/flags` with the flags `i`, `m`, `s`, `u`, `g`, `y`.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        if let Some(rest) = text.strip_prefix('/')
            && let Some((pattern, flags)) = rest.rsplit_once('/')
            && flags.chars().all(|flag| "dgimsuvy".contains(flag))
        {
            return Self::new(pattern, flags);
        }
        Self::new(text, "")
    }

    pub(crate) fn new(pattern: &str, flags: &str) -> Result<Self, String> {
        let set: String = flags.chars().filter(|flag| "ims".contains(*flag)).collect();
        let text = if set.is_empty() {
            pattern.to_owned()
        } else {
            format!("(?{set}){pattern}")
        };
        RegexBuilder::new(&text)
            .backtrack_limit(BACKTRACK_MAX)
            .delegate_size_limit(1 << 20)
            .build()
            .map(Self)
            .map_err(|error| {
                format!("`{pattern}` is no regular expression that is known here: {error}")
            })
    }

    /// Whether it is found in a text; an error where that takes too many steps.
    pub(crate) fn found_in(&self, text: &str) -> Result<bool, String> {
        self.0
            .is_match(text)
            .map_err(|_| "the pattern takes too many steps on this text".to_owned())
    }
}
