//! Reads JSON (RFC 8259) without recursion. Escapes and numbers are decoded by `serde_json`.

use base::Diagnostic;

use crate::Failure;
use crate::builder::{Builder, Stop};
use crate::node::{Node, Position, Value};

/// Reads one JSON text.
pub(crate) fn read(text: &str, builder: Builder<'_>) -> Result<Node, Failure> {
    let mut reader = Reader {
        text,
        offset: 0,
        position: Position::START,
        builder,
        closers: Vec::new(),
    };
    let outcome = reader.run();
    let root = reader.builder.document();
    let problems = reader.builder.into_problems();
    match (outcome, root) {
        (Err(Interrupt::Syntax(problem)), _) => Err(Failure::Syntax(problem)),
        (Ok(()), Some(root)) if problems.is_empty() => Ok(root),
        _ => Err(Failure::Problems(problems)),
    }
}

enum Interrupt {
    Syntax(Box<Diagnostic>),
    Limit,
}

impl From<Stop> for Interrupt {
    fn from(Stop: Stop) -> Self {
        Self::Limit
    }
}

#[derive(Clone, Copy)]
enum Expected {
    Value,
    /// After `[`.
    ValueOrEnd,
    /// After `{`.
    KeyOrEnd,
    /// After a comma in a mapping.
    Key,
    /// After a value.
    CommaOrEnd,
}

struct Reader<'t, 'l> {
    text: &'t str,
    offset: usize,
    position: Position,
    builder: Builder<'l>,
    /// What closes each open collection.
    closers: Vec<u8>,
}

impl<'t> Reader<'t, '_> {
    fn run(&mut self) -> Result<(), Interrupt> {
        let mut expected = Expected::Value;
        loop {
            self.skip_whitespace();
            expected = match expected {
                Expected::Value => self.value()?,
                Expected::ValueOrEnd if self.peek() == Some(b']') => self.close()?,
                Expected::ValueOrEnd => self.value()?,
                Expected::KeyOrEnd if self.peek() == Some(b'}') => self.close()?,
                Expected::KeyOrEnd | Expected::Key => self.key()?,
                Expected::CommaOrEnd => match (self.peek(), self.closers.last()) {
                    (None, None) => return Ok(()),
                    (Some(_), None) => {
                        return Err(
                            self.syntax("something follows the end of the JSON value", "remove it")
                        );
                    }
                    (Some(b','), Some(closer)) => {
                        let next = if *closer == b'}' {
                            Expected::Key
                        } else {
                            Expected::Value
                        };
                        self.advance(1);
                        next
                    }
                    (Some(found), Some(closer)) if found == *closer => self.close()?,
                    (_, Some(b'}')) => {
                        return Err(
                            self.syntax("expected `,` or `}`", "close or continue the mapping")
                        );
                    }
                    _ => {
                        return Err(
                            self.syntax("expected `,` or `]`", "close or continue the list")
                        );
                    }
                },
            };
        }
    }

    fn value(&mut self) -> Result<Expected, Interrupt> {
        let position = self.position;
        match self.peek() {
            Some(b'{') => {
                self.builder.object(position, 0)?;
                self.closers.push(b'}');
                self.advance(1);
                return Ok(Expected::KeyOrEnd);
            }
            Some(b'[') => {
                self.builder.array(position, 0)?;
                self.closers.push(b']');
                self.advance(1);
                return Ok(Expected::ValueOrEnd);
            }
            Some(b'"') => {
                let text = self.string()?;
                self.builder.scalar(Value::String(text), position, 0)?;
            }
            Some(b'-' | b'0'..=b'9') => {
                let value = self.number()?;
                self.builder.scalar(value, position, 0)?;
            }
            _ => {
                let value = self.word()?;
                self.builder.scalar(value, position, 0)?;
            }
        }
        Ok(Expected::CommaOrEnd)
    }

    fn key(&mut self) -> Result<Expected, Interrupt> {
        if self.peek() != Some(b'"') {
            return Err(self.syntax(
                "expected a key in double quotes",
                "quote the key; no comma stands before `}`",
            ));
        }
        let position = self.position;
        let key = self.string()?;
        self.builder.key(key, position)?;
        self.skip_whitespace();
        if self.peek() != Some(b':') {
            return Err(self.syntax("expected `:` after the key", "write \"key\": value"));
        }
        self.advance(1);
        Ok(Expected::Value)
    }

    fn close(&mut self) -> Result<Expected, Interrupt> {
        self.closers.pop();
        self.advance(1);
        self.builder.end()?;
        Ok(Expected::CommaOrEnd)
    }

    fn string(&mut self) -> Result<String, Interrupt> {
        let rest = &self.text[self.offset..];
        let mut escaped = false;
        let mut end = None;
        let mut bytes = rest.bytes().enumerate().skip(1);
        while let Some((at, byte)) = bytes.next() {
            match byte {
                b'"' => {
                    end = Some(at);
                    break;
                }
                b'\\' => {
                    escaped = true;
                    bytes.next();
                }
                b'\n' | b'\r' | b'\t' => {
                    self.advance(at);
                    return Err(self.syntax(
                        "a line break or tab stands in a string",
                        "write it as \\n or \\t",
                    ));
                }
                _ => {}
            }
        }
        let Some(end) = end else {
            return Err(self.syntax("the string has no end", "close it with a double quote"));
        };
        let quoted = &rest[..=end];
        let decoded = if escaped {
            serde_json::from_str(quoted).ok()
        } else {
            Some(quoted[1..end].to_owned())
        };
        let Some(decoded) = decoded else {
            return Err(self.syntax(
                "the string has an invalid escape",
                "JSON knows \\\" \\\\ \\/ \\b \\f \\n \\r \\t \\uXXXX",
            ));
        };
        if decoded.contains('\0') {
            let mend = "remove it: no store and no protocol passes it on safely";
            self.builder.problem(
                "control-character",
                "the string has a NUL character",
                mend,
                self.position,
            )?;
        }
        self.advance(end + 1);
        Ok(decoded)
    }

    fn number(&mut self) -> Result<Value, Interrupt> {
        let rest = &self.text[self.offset..];
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.');
        let spelling = &rest[..rest
            .bytes()
            .position(|byte| !is_part(byte))
            .unwrap_or(rest.len())];
        match serde_json::from_str(spelling) {
            Ok(number) => {
                self.advance(spelling.len());
                Ok(Value::Number(number))
            }
            Err(error) if error.to_string().starts_with("number out of range") => {
                let mend = "write a smaller number, or a string";
                self.builder.problem(
                    "number-range",
                    "the number is too large",
                    mend,
                    self.position,
                )?;
                self.advance(spelling.len());
                Ok(Value::Null)
            }
            Err(_) => Err(self.syntax(
                &format!("`{spelling}` is not a number of JSON"),
                "quote it if it is a text",
            )),
        }
    }

    fn word(&mut self) -> Result<Value, Interrupt> {
        let rest = &self.text[self.offset..];
        let word = &rest[..rest
            .bytes()
            .position(|byte| !byte.is_ascii_alphanumeric())
            .unwrap_or(rest.len())];
        let value = match word {
            "null" => Value::Null,
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            _ => return Err(self.syntax("expected a JSON value", "strings stand in double quotes")),
        };
        self.advance(word.len());
        Ok(value)
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.offset).copied()
    }

    fn skip_whitespace(&mut self) {
        let rest: &'t str = &self.text[self.offset..];
        let blank = |byte: u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
        self.advance(
            rest.bytes()
                .position(|byte| !blank(byte))
                .unwrap_or(rest.len()),
        );
    }

    fn advance(&mut self, bytes: usize) {
        self.position
            .advance(&self.text[self.offset..self.offset + bytes]);
        self.offset += bytes;
    }

    fn syntax(&self, message: &str, mend: &str) -> Interrupt {
        let problem = Diagnostic::error("syntax", "", message).mend(mend);
        Interrupt::Syntax(Box::new(
            problem.at(self.position.line, self.position.column),
        ))
    }
}
