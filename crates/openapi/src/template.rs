//! Path templates: `/files/{id}/thumbnail.{extension}`.

use std::fmt;

use percent_encoding::percent_decode_str;

/// A parsed path template.
///
/// Literals are as the definition writes them, percent escapes included. A trailing slash is an empty last segment, so
/// `/pets` and `/pets/` differ; `/` is one empty segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    text: String,
    segments: Vec<Segment>,
}

/// What stands between two slashes: literals and parameters in turn; empty for nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Never two literals in a row.
    pub parts: Vec<Part>,
}

/// A piece of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Stands as it is.
    Literal(String),
    /// Stands for any text without a slash; the name is never empty, and without the signs of RFC 6570 (`{;name*}`).
    Parameter(String),
}

/// Why a text is no path template.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// It does not begin with `/`.
    #[error("a path begins with `/`")]
    NoSlash,
    /// A `{` has no `}` in its segment.
    #[error("a `{{` has no `}}` before the next `/`")]
    Open,
    /// A `}` has no `{`.
    #[error("a `}}` has no `{{` before it")]
    Close,
    /// A `{` within braces.
    #[error("braces stand in braces")]
    Nested,
    /// `{}`
    #[error("a parameter has no name")]
    NoName,
    /// One name twice.
    #[error("a parameter is used twice in one path")]
    Twice,
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// The first reason why it is none.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let rest = text.strip_prefix('/').ok_or(TemplateError::NoSlash)?;
        let segments = rest
            .split('/')
            .map(Segment::parse)
            .collect::<Result<Vec<_>, _>>()?;
        let template = Self {
            text: text.to_owned(),
            segments,
        };
        let mut names: Vec<&str> = template.parameters().collect();
        names.sort_unstable();
        if names.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(TemplateError::Twice);
        }
        Ok(template)
    }

    /// The template as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The segments; at least one.
    #[must_use]
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The names of the parameters, in order.
    pub fn parameters(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().flat_map(Segment::parameters)
    }

    /// The template with its parameters' names left out: two templates with the same one match the same paths.
    #[must_use]
    pub fn normalised(&self) -> String {
        let mut text = String::with_capacity(self.text.len());
        for segment in &self.segments {
            text.push('/');
            for part in &segment.parts {
                match part {
                    Part::Literal(literal) => text.push_str(literal),
                    Part::Parameter(_) => text.push_str("{}"),
                }
            }
        }
        text
    }

    /// Why no request can ever match, where that is so.
    ///
    /// A request's path ends before `?` and `#`; empty segments, dot-segments, backslashes, control characters and
    /// encoded slashes are refused before routing; between two parameters that touch nothing says where the first
    /// one ends.
    #[must_use]
    pub fn unroutable(&self) -> Option<&'static str> {
        let inner = &self.segments[..self.segments.len() - 1];
        if inner.iter().any(|segment| segment.parts.is_empty()) {
            return Some("it holds an empty segment (`//`)");
        }
        self.segments.iter().find_map(Segment::unroutable)
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Segment {
    fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(open) = rest.find(['{', '}']) {
            if rest.as_bytes()[open] == b'}' {
                return Err(TemplateError::Close);
            }
            if open > 0 {
                parts.push(Part::Literal(rest[..open].to_owned()));
            }
            let inner = &rest[open + 1..];
            let close = inner.find(['{', '}']).ok_or(TemplateError::Open)?;
            if inner.as_bytes()[close] == b'{' {
                return Err(TemplateError::Nested);
            }
            let name = parameter_name(&inner[..close]);
            if name.is_empty() {
                return Err(TemplateError::NoName);
            }
            parts.push(Part::Parameter(name.to_owned()));
            rest = &inner[close + 1..];
        }
        if !rest.is_empty() {
            parts.push(Part::Literal(rest.to_owned()));
        }
        Ok(Self { parts })
    }

    /// See [`Template::unroutable`].
    fn unroutable(&self) -> Option<&'static str> {
        for literal in self.parts.iter().filter_map(Part::literal) {
            if literal.contains(['#', '?']) {
                return Some("it holds a `#` or `?`, which is never part of a request's path");
            }
            if percent_decode_str(literal)
                .any(|byte| byte.is_ascii_control() || matches!(byte, b'/' | b'\\'))
            {
                return Some("it holds a control character, a backslash or an encoded slash");
            }
        }
        let dots = |literal: &str| {
            let decoded: Vec<u8> = percent_decode_str(literal).collect();
            matches!(decoded.as_slice(), b"." | b"..")
        };
        if self.literal().is_some_and(dots) {
            return Some("it holds a dot-segment");
        }
        let touching = |pair: &[Part]| matches!(pair, [Part::Parameter(_), Part::Parameter(_)]);
        self.parts
            .windows(2)
            .any(touching)
            .then_some("two of its parameters touch")
    }

    /// The text, where the segment has no parameter.
    #[must_use]
    pub fn literal(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [] => Some(""),
            [Part::Literal(literal)] => Some(literal),
            _ => None,
        }
    }

    /// The parameter, where the segment is one and nothing else.
    #[must_use]
    pub fn parameter(&self) -> Option<&str> {
        if let [Part::Parameter(name)] = self.parts.as_slice() {
            Some(name)
        } else {
            None
        }
    }

    /// The names of the parameters, in order.
    pub fn parameters(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| {
            if let Part::Parameter(name) = part {
                Some(name.as_str())
            } else {
                None
            }
        })
    }
}

/// The name within braces. Some definitions write how a list is spelt as RFC 6570 does: `{.name}`, `{;name}`, `{name*}`.
fn parameter_name(inner: &str) -> &str {
    let name = inner.strip_prefix(['.', ';']).unwrap_or(inner);
    name.strip_suffix('*').unwrap_or(name)
}

impl Part {
    fn literal(&self) -> Option<&str> {
        if let Self::Literal(literal) = self {
            Some(literal)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_literals_parameters_or_both() {
        let template = Template::parse("/files/{id}/v{major}.{minor}-x/").expect("a template");
        let segments = template.segments();
        assert_eq!(segments.len(), 4);
        assert_eq!(segments[0].literal(), Some("files"));
        assert_eq!(
            (segments[1].parameter(), segments[1].literal()),
            (Some("id"), None)
        );
        assert_eq!(
            segments[2].parts,
            [
                Part::Literal("v".to_owned()),
                Part::Parameter("major".to_owned()),
                Part::Literal(".".to_owned()),
                Part::Parameter("minor".to_owned()),
                Part::Literal("-x".to_owned()),
            ]
        );
        assert_eq!(segments[3].literal(), Some(""));
        assert_eq!(template.normalised(), "/files/{}/v{}.{}-x/");
        assert_eq!(
            template.parameters().collect::<Vec<_>>(),
            ["id", "major", "minor"]
        );
        assert_eq!(Template::parse("/").expect("the root").segments().len(), 1);
        assert_eq!(template.to_string(), "/files/{id}/v{major}.{minor}-x/");
    }

    #[test]
    fn names_are_read_without_the_signs_of_rfc_6570() {
        let template = Template::parse("/{.a*}/{;b}/{c*}").expect("a template");
        assert_eq!(template.parameters().collect::<Vec<_>>(), ["a", "b", "c"]);
        assert_eq!(Template::parse("/{*}"), Err(TemplateError::NoName));
    }

    #[test]
    fn faulty_braces_are_named() {
        for (text, error) in [
            ("pets", TemplateError::NoSlash),
            ("", TemplateError::NoSlash),
            ("/{id", TemplateError::Open),
            ("/{a/b}", TemplateError::Open),
            ("/id}", TemplateError::Close),
            ("/{a}}", TemplateError::Close),
            ("/{{a}}", TemplateError::Nested),
            ("/{}", TemplateError::NoName),
            ("/{a}/{b}/{a}", TemplateError::Twice),
        ] {
            assert_eq!(Template::parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn what_never_matches_is_told() {
        let unroutable = |text: &str| {
            Template::parse(text)
                .expect("a template")
                .unroutable()
                .is_some()
        };
        for text in [
            "/a#b",
            "/a?x=1",
            "/a/../b",
            "/a/%2E%2e/b",
            "/a%2Fb",
            "/a%5cb",
            "/a%1Fb",
            "//",
            "/a//b",
            "/a\\b",
            "/{a}{b}",
            "/a\u{7}",
        ] {
            assert!(unroutable(text), "{text}");
        }
        for text in [
            "/",
            "/a/",
            "/{a}/",
            "/{a}-{b}",
            "/a.b/...",
            "/f(x='{x}')",
            "/ä",
            "/a%20b",
            "/{a}:cancel",
        ] {
            assert!(!unroutable(text), "{text}");
        }
    }
}
