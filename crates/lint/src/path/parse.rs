//! From text to paths and expressions.

use super::expression::{Expression, Operator};
use super::{Path, Segment, Selector};
use crate::pattern::Pattern;

/// Nested parentheses that are read.
const DEPTH_MAX: usize = 32;

/// What in a path is not understood, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ParseError {
    pub(crate) message: String,
    /// Characters before it.
    pub(crate) at: usize,
}

/// Reads a whole path.
pub(super) fn path(text: &str) -> Result<Path, ParseError> {
    let mut parser = Parser {
        text,
        at: 0,
        depth: 0,
    };
    parser.space();
    if !parser.take("$") {
        return Err(parser.error("a path begins with `$`"));
    }
    let segments = parser.segments(true)?;
    parser.space();
    if parser.rest().is_empty() {
        Ok(Path { segments })
    } else {
        Err(parser.error("this is not understood"))
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

impl Parser<'_> {
    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn error(&self, message: impl Into<String>) -> ParseError {
        ParseError {
            message: message.into(),
            at: self.text[..self.at].chars().count(),
        }
    }

    fn space(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start().len();
    }

    fn take(&mut self, sign: &str) -> bool {
        let found = self.rest().starts_with(sign);
        if found {
            self.at += sign.len();
        }
        found
    }

    /// As [`Self::take`], after spaces.
    fn sign(&mut self, sign: &str) -> bool {
        self.space();
        self.take(sign)
    }

    fn expect(&mut self, sign: &str) -> Result<(), ParseError> {
        if self.sign(sign) {
            Ok(())
        } else {
            Err(self.error(format!("`{sign}` is missing here")))
        }
    }

    /// The longest text of such characters.
    fn while_in(&mut self, within: impl Fn(char) -> bool) -> String {
        let end = self
            .rest()
            .find(|character| !within(character))
            .unwrap_or(self.rest().len());
        let text = self.rest()[..end].to_owned();
        self.at += end;
        text
    }

    /// A name after a dot. In an expression it ends before operators.
    fn name(&mut self, top: bool) -> Result<String, ParseError> {
        let within = |character: char| {
            let plain =
                character.is_alphanumeric() || "_$@".contains(character) || !character.is_ascii();
            plain || (top && "-/:#%+".contains(character))
        };
        let name = self.while_in(within);
        if name.is_empty() {
            Err(self.error("a name is missing here"))
        } else {
            Ok(name)
        }
    }

    /// What follows `$` or `@`.
    fn segments(&mut self, top: bool) -> Result<Vec<Segment>, ParseError> {
        let mut segments = Vec::new();
        loop {
            if self.take("..") {
                let selectors = if self.take("[") {
                    self.selectors()?
                } else if self.take("*") || (top && self.rest().is_empty()) {
                    vec![Selector::All]
                } else {
                    vec![Selector::Name(self.name(top)?)]
                };
                segments.push(Segment::Descend(selectors));
            } else if top && self.take("~") {
                segments.push(Segment::Key);
            } else if top && self.take("^") {
                segments.push(Segment::Parent);
            } else if self.take("[") {
                segments.push(Segment::Child(self.selectors()?));
            } else if self.take(".") {
                let selector = if self.take("*") {
                    Selector::All
                } else {
                    Selector::Name(self.name(top)?)
                };
                segments.push(Segment::Child(vec![selector]));
            } else {
                return Ok(segments);
            }
        }
    }

    /// What stands in brackets, with the closing one.
    fn selectors(&mut self) -> Result<Vec<Selector>, ParseError> {
        let mut selectors = Vec::new();
        loop {
            self.space();
            selectors.push(self.selector()?);
            if self.sign("]") {
                return Ok(selectors);
            }
            self.expect(",")?;
        }
    }

    fn selector(&mut self) -> Result<Selector, ParseError> {
        if self.take("*") {
            return Ok(Selector::All);
        }
        if self.take("?") {
            return Ok(Selector::Filter(Box::new(self.any()?)));
        }
        if self.rest().starts_with(['\'', '"']) {
            return Ok(Selector::Name(self.quoted()?));
        }
        if self.rest().starts_with('(') {
            return Err(self.error("scripts in brackets are not known here"));
        }
        if self
            .rest()
            .starts_with(|character: char| character.is_ascii_digit() || "-:".contains(character))
        {
            let start = self.integer()?;
            if !self.take(":") {
                let index = start.ok_or_else(|| self.error("a number is missing here"))?;
                return Ok(Selector::Index(index));
            }
            let end = self.integer()?;
            if self.rest().starts_with(':') {
                return Err(self.error("slices with steps are not known here"));
            }
            return Ok(Selector::Slice(start, end));
        }
        let name = self.while_in(|character| !",]'\"()?^~*".contains(character));
        let name = name.trim();
        if name.is_empty() {
            Err(self.error("a name is missing here"))
        } else {
            Ok(Selector::Name(name.to_owned()))
        }
    }

    fn integer(&mut self) -> Result<Option<i64>, ParseError> {
        let text = self.while_in(|character| character.is_ascii_digit() || character == '-');
        if text.is_empty() {
            return Ok(None);
        }
        text.parse()
            .map(Some)
            .map_err(|_| self.error("this is no number"))
    }

    fn quoted(&mut self) -> Result<String, ParseError> {
        let quote = self.rest().chars().next().unwrap_or('\'');
        self.at += quote.len_utf8();
        let mut text = String::new();
        let mut characters = self.rest().char_indices();
        while let Some((index, character)) = characters.next() {
            if character == quote {
                self.at += index + quote.len_utf8();
                return Ok(text);
            }
            if character == '\\' {
                text.extend(characters.next().map(|(_, next)| match next {
                    'n' => '\n',
                    't' => '\t',
                    other => other,
                }));
            } else {
                text.push(character);
            }
        }
        Err(self.error("the quote is not closed"))
    }

    /// An expression: what stands between `||`.
    fn any(&mut self) -> Result<Expression, ParseError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.error("the expression is nested too deeply"));
        }
        let mut left = self.all()?;
        while self.sign("||") {
            left = Expression::Or(Box::new(left), Box::new(self.all()?));
        }
        self.depth -= 1;
        Ok(left)
    }

    fn all(&mut self) -> Result<Expression, ParseError> {
        let mut left = self.comparison()?;
        while self.sign("&&") {
            left = Expression::And(Box::new(left), Box::new(self.comparison()?));
        }
        Ok(left)
    }

    fn comparison(&mut self) -> Result<Expression, ParseError> {
        let left = self.unary()?;
        self.space();
        // The longer signs first.
        let known = [
            ("===", Operator::Equal),
            ("!==", Operator::Unequal),
            ("==", Operator::Equal),
            ("!=", Operator::Unequal),
            ("<=", Operator::AtMost),
            (">=", Operator::AtLeast),
            ("<", Operator::Below),
            (">", Operator::Above),
        ];
        let Some((_, operator)) = known.into_iter().find(|(sign, _)| self.take(sign)) else {
            return Ok(left);
        };
        let right = self.unary()?;
        Ok(Expression::Compare(
            Box::new(left),
            operator,
            Box::new(right),
        ))
    }

    fn unary(&mut self) -> Result<Expression, ParseError> {
        self.space();
        if self.rest().starts_with('!') && !self.rest().starts_with("!=") {
            self.at += 1;
            self.depth += 1;
            if self.depth > DEPTH_MAX {
                return Err(self.error("the expression is nested too deeply"));
            }
            let inner = self.unary()?;
            self.depth -= 1;
            return Ok(Expression::Not(Box::new(inner)));
        }
        let mut value = self.primary()?;
        // What follows a value: `.length`, `.match(/x/)` …
        while self.rest().starts_with('.') {
            self.at += 1;
            let name = self.name(false)?;
            value = self.method(value, &name)?;
        }
        Ok(value)
    }

    fn primary(&mut self) -> Result<Expression, ParseError> {
        self.space();
        if self.take("(") {
            let inner = self.any()?;
            self.expect(")")?;
            return Ok(inner);
        }
        if self.rest().starts_with(['\'', '"']) {
            return Ok(Expression::Text(self.quoted()?));
        }
        if self.rest().starts_with('/') {
            return Ok(Expression::Pattern(self.regex()?));
        }
        if self.take("[") {
            return self.list();
        }
        if self.take("@") {
            return self.current();
        }
        if self.take("$") {
            return self.reached(|segments| Expression::Root(Path { segments }));
        }
        if self
            .rest()
            .starts_with(|character: char| character.is_ascii_digit() || character == '-')
        {
            let text =
                self.while_in(|character| character.is_ascii_digit() || "-.".contains(character));
            return text
                .parse()
                .map(Expression::Number)
                .map_err(|_| self.error("this is no number"));
        }
        let word = self.while_in(|character| character.is_alphanumeric() || character == '_');
        match word.as_str() {
            "true" => Ok(Expression::Bool(true)),
            "false" => Ok(Expression::Bool(false)),
            "null" => Ok(Expression::Null),
            "undefined" => Ok(Expression::Undefined),
            "length" | "match" | "search" | "count" | "value" if self.take("(") => {
                self.function(&word)
            }
            _ => Err(self.error(format!("`{word}` is not known in filters here"))),
        }
    }

    /// What follows `@`.
    fn current(&mut self) -> Result<Expression, ParseError> {
        if self.rest().starts_with(char::is_alphabetic) {
            let word = self.while_in(char::is_alphanumeric);
            return match word.as_str() {
                "property" => Ok(Expression::Property),
                "parentProperty" => Ok(Expression::ParentProperty),
                "root" => self.reached(|segments| Expression::Root(Path { segments })),
                "parent" => self.reached(|segments| Expression::Parent(Path { segments })),
                _ => Err(self.error(format!("`@{word}` is not known here"))),
            };
        }
        self.reached(|segments| Expression::Current(Path { segments }))
    }

    /// A path within an expression: it ends before a method.
    fn reached(
        &mut self,
        wrap: impl FnOnce(Vec<Segment>) -> Expression,
    ) -> Result<Expression, ParseError> {
        let mut segments = Vec::new();
        loop {
            let start = self.at;
            if self.take(".") && !self.rest().starts_with('.') {
                if self.take("*") {
                    segments.push(Segment::Child(vec![Selector::All]));
                    continue;
                }
                let name = self.name(false)?;
                if self.rest().starts_with('(') || name == "length" {
                    self.at = start;
                    return Ok(wrap(segments));
                }
                segments.push(Segment::Child(vec![Selector::Name(name)]));
            } else if self.at > start {
                return Err(self.error("`..` is not known in filters here"));
            } else if self.take("[") {
                segments.push(Segment::Child(self.selectors()?));
            } else {
                return Ok(wrap(segments));
            }
        }
    }

    fn list(&mut self) -> Result<Expression, ParseError> {
        let mut items = Vec::new();
        if self.sign("]") {
            return Ok(Expression::List(items));
        }
        loop {
            items.push(self.unary()?);
            if self.sign("]") {
                return Ok(Expression::List(items));
            }
            self.expect(",")?;
        }
    }

    fn regex(&mut self) -> Result<Pattern, ParseError> {
        let start = self.at;
        let (mut escaped, mut class) = (false, false);
        let end = self.rest().char_indices().skip(1).find(|(_, character)| {
            let closes = *character == '/' && !escaped && !class;
            match character {
                '[' if !escaped => class = true,
                ']' if !escaped => class = false,
                _ => {}
            }
            escaped = *character == '\\' && !escaped;
            closes
        });
        let Some((end, _)) = end else {
            return Err(self.error("the regular expression is not closed"));
        };
        let pattern = self.rest()[1..end].to_owned();
        self.at += end + 1;
        let flags = self.while_in(|character| character.is_ascii_alphabetic());
        Pattern::new(&pattern, &flags).map_err(|message| ParseError {
            message,
            at: self.text[..start].chars().count(),
        })
    }

    /// `value.name` or `value.name(argument)`.
    fn method(&mut self, value: Expression, name: &str) -> Result<Expression, ParseError> {
        if name == "length" {
            return Ok(Expression::Length(Box::new(value)));
        }
        let known = [
            "match",
            "test",
            "includes",
            "startsWith",
            "endsWith",
            "indexOf",
            "toLowerCase",
            "toUpperCase",
        ];
        let Some(known) = known.into_iter().find(|known| *known == name) else {
            return Err(self.error(format!("`.{name}` is not known in filters here")));
        };
        self.expect("(")?;
        let argument = if self.sign(")") {
            None
        } else {
            let argument = self.unary()?;
            self.expect(")")?;
            Some(Box::new(argument))
        };
        Ok(Expression::Method(Box::new(value), known, argument))
    }

    /// A function of RFC 9535.
    fn function(&mut self, name: &str) -> Result<Expression, ParseError> {
        let first = self.unary()?;
        let made = match name {
            "length" | "count" => Expression::Length(Box::new(first)),
            "value" => first,
            _ => {
                self.expect(",")?;
                self.space();
                let text = self.quoted()?;
                let text = if name == "match" {
                    format!("^(?:{text})$")
                } else {
                    text
                };
                let pattern = Pattern::new(&text, "").map_err(|message| self.error(message))?;
                Expression::Method(
                    Box::new(first),
                    "match",
                    Some(Box::new(Expression::Pattern(pattern))),
                )
            }
        };
        self.expect(")")?;
        Ok(made)
    }
}
