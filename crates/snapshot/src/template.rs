//! Path templates: `/orders/{id}/lines/{line}.json`.

/// One segment of a template.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Segment {
    /// Exactly this text.
    Literal(String),
    /// Any text but the empty one: `{id}`.
    Parameter,
    /// Text with parameters in it: `report.{format}` is `["report.", ""]`, the literals around the parameters.
    Mixed(Vec<String>),
}

/// Why a text is not a template.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TemplateError {
    /// It does not begin with a slash.
    #[error("a path template begins with `/`")]
    NoSlash,
    /// A brace is alone, nested or empty.
    #[error("a parameter is a name in one pair of braces")]
    Braces,
}

impl Segment {
    /// Reads a template; the root `/` has one empty literal segment.
    ///
    /// # Errors
    /// [`TemplateError`] names what is wrong.
    pub fn parse_all(template: &str) -> Result<Vec<Self>, TemplateError> {
        let rest = template.strip_prefix('/').ok_or(TemplateError::NoSlash)?;
        rest.split('/').map(Self::parse).collect()
    }

    fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut literals = Vec::new();
        let mut rest = text;
        while let Some(open) = rest.find('{') {
            let (before, parameter) = rest.split_at(open);
            let close = parameter.find('}').ok_or(TemplateError::Braces)?;
            let name = &parameter[1..close];
            if name.is_empty() || name.contains('{') || before.contains('}') {
                return Err(TemplateError::Braces);
            }
            literals.push(before.to_owned());
            rest = &parameter[close + 1..];
        }
        if rest.contains('}') {
            return Err(TemplateError::Braces);
        }
        if literals.is_empty() {
            return Ok(Self::Literal(rest.to_owned()));
        }
        literals.push(rest.to_owned());
        let bare = literals.len() == 2 && literals.iter().all(String::is_empty);
        Ok(if bare {
            Self::Parameter
        } else {
            Self::Mixed(literals)
        })
    }

    /// Whether a path segment fits.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        match self {
            Self::Literal(literal) => literal == text,
            Self::Parameter => !text.is_empty(),
            Self::Mixed(literals) => mixed_matches(literals, text),
        }
    }
}

/// Whether `text` is the literals in order, with at least one character between two of them. The leftmost place of
/// each inner literal is right: what comes later only has to be found behind it.
fn mixed_matches(literals: &[String], text: &str) -> bool {
    let [first, inner @ .., last] = literals else {
        return false;
    };
    let Some(mut rest) = text.strip_prefix(first.as_str()) else {
        return false;
    };
    for literal in inner {
        let Some(from) = next_char(rest) else {
            return false;
        };
        let Some(at) = rest[from..].find(literal.as_str()) else {
            return false;
        };
        rest = &rest[from + at + literal.len()..];
    }
    let Some(from) = next_char(rest) else {
        return false;
    };
    rest[from..].ends_with(last.as_str())
}

/// Where the second character begins; `None` for an empty text.
fn next_char(text: &str) -> Option<usize> {
    text.chars().next().map(char::len_utf8)
}
