//! Reads YAML from the scanner's events, one at a time, so that a limit ends the work early.

use base::{Diagnostic, Diagnostics};
use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Tag};

use crate::builder::{AnchorId, Builder, Stop};
use crate::node::{Node, Position, Value};
use crate::repair::Repaired;
use crate::scalar;
use crate::{Failure, Limits};

/// Reads all documents of a text.
pub(crate) fn read(text: &str, limits: &Limits) -> Result<Vec<Node>, Failure> {
    check_cost(text, limits).map_err(Failure::Syntax)?;
    let mut text = Repaired::new(text);
    loop {
        let error = match read_once(&text, limits) {
            Ok(documents) => return Ok(documents),
            Err(Interrupt::Refused(problems)) => return Err(Failure::Problems(problems)),
            Err(Interrupt::Scan(error)) => error,
        };
        if !text.repair(&error, limits) {
            let position = text.position(error.marker().line(), error.marker().col());
            return Err(Failure::Syntax(Box::new(syntax_problem(&error, position))));
        }
    }
}

enum Interrupt {
    Scan(ScanError),
    Refused(Diagnostics),
}

fn read_once(text: &Repaired<'_>, limits: &Limits) -> Result<Vec<Node>, Interrupt> {
    let mut builder = Builder::new(limits);
    let mut documents = Vec::new();
    let mut parser = Parser::new_from_str(&text.text);
    while let Some(event) = parser.next_event() {
        let (event, span) = event.map_err(Interrupt::Scan)?;
        match event {
            Event::DocumentEnd => {
                documents.extend(builder.document().filter(|node| !is_blank(node)));
            }
            Event::StreamEnd => break,
            event => {
                let position = text.position(span.start.line(), span.start.col());
                if on_event(&mut builder, event, position).is_err() {
                    break;
                }
            }
        }
    }
    let problems = builder.into_problems();
    if problems.is_empty() {
        Ok(documents)
    } else {
        Err(Interrupt::Refused(problems))
    }
}

/// A document without content, as between two `---`; an explicit `null` counts as one too.
fn is_blank(node: &Node) -> bool {
    node.is_null()
}

/// Refuses what the scanner would do at a cost out of proportion: it holds all tokens of a flow collection in memory
/// at once, and copies the prefix of a tag directive into every tag that uses it.
fn check_cost(text: &str, limits: &Limits) -> Result<(), Box<Diagnostic>> {
    let nodes_max = limits.nodes_max;
    let indicators = text
        .bytes()
        .filter(|byte| matches!(byte, b',' | b'[' | b'{'))
        .count();
    if indicators > nodes_max {
        let message =
            format!("the text holds more than {nodes_max} of the characters `,`, `[` and `{{`");
        return Err(Box::new(
            Diagnostic::error("too-many-values", "", message).at(1, 1),
        ));
    }
    for (line, number) in text.lines().zip(1..) {
        if line.starts_with("%TAG") {
            let problem =
                Diagnostic::error("tag-directive", "", "tag directives are not supported");
            return Err(Box::new(problem.mend("remove the line").at(number, 1)));
        }
    }
    Ok(())
}

fn on_event(builder: &mut Builder<'_>, event: Event<'_>, position: Position) -> Result<(), Stop> {
    match event {
        Event::Scalar(text, style, anchor, tag) => on_scalar(
            builder,
            &text,
            &Scalar {
                style,
                anchor,
                tag: tag.as_deref(),
                position,
            },
        ),
        Event::SequenceStart(anchor, tag) => {
            check_tag(builder, tag.as_deref(), "seq", position)?;
            builder.array(position, anchor)
        }
        Event::MappingStart(anchor, tag) => {
            check_tag(builder, tag.as_deref(), "map", position)?;
            builder.object(position, anchor)
        }
        Event::SequenceEnd | Event::MappingEnd => builder.end(),
        Event::Alias(anchor) => builder.alias(anchor, position),
        Event::Nothing
        | Event::StreamStart
        | Event::StreamEnd
        | Event::DocumentStart(_)
        | Event::DocumentEnd => Ok(()),
    }
}

struct Scalar<'a> {
    style: ScalarStyle,
    anchor: AnchorId,
    tag: Option<&'a Tag>,
    position: Position,
}

fn on_scalar(builder: &mut Builder<'_>, text: &str, scalar: &Scalar<'_>) -> Result<(), Stop> {
    let Scalar {
        style,
        anchor,
        tag,
        position,
    } = *scalar;
    if text.contains('\0') {
        let mend = "remove it: no store and no protocol passes it on safely";
        builder.problem(
            "control-character",
            "the string has a NUL character",
            mend,
            position,
        )?;
    }
    // A key with an anchor is rare; it goes the way of values so that the anchor is kept.
    if builder.awaits_key() && anchor == 0 && (tag.is_none() || style != ScalarStyle::Plain) {
        let merges = text == "<<" && style == ScalarStyle::Plain;
        return if merges {
            builder.merge_key(position)
        } else {
            builder.key(text.to_owned(), position)
        };
    }
    let value = match tag {
        None if style == ScalarStyle::Plain => {
            scalar::resolve(text).map_err(|scalar::NotInJson| "number-range")
        }
        None => Ok(Value::String(text.to_owned())),
        Some(tag) => tagged(tag, text, style),
    };
    let value = match value {
        Ok(value) => value,
        Err(rule) => {
            refuse(builder, rule, text, position)?;
            Value::Null
        }
    };
    builder.scalar(value, position, anchor)
}

fn refuse(
    builder: &mut Builder<'_>,
    rule: &str,
    text: &str,
    position: Position,
) -> Result<(), Stop> {
    match rule {
        "number-range" => builder.problem(
            rule,
            &format!("`{}` is infinite, not a number or too large; JSON cannot express it", excerpt(text)),
            "write a smaller number, or quote it",
            position,
        ),
        "unknown-tag" => builder.problem(
            rule,
            "the tag is not supported",
            "only !!str, !!int, !!float, !!bool, !!null, !!timestamp, !!binary, !!seq and !!map are known",
            position,
        ),
        _ => builder.problem(
            rule,
            &format!("`{}` is not what its tag says", excerpt(text)),
            "mend the value or drop the tag",
            position,
        ),
    }
}

fn excerpt(text: &str) -> String {
    text.chars().take(40).collect()
}

/// The value of a scalar with a tag, or the rule it breaks.
fn tagged(tag: &Tag, text: &str, style: ScalarStyle) -> Result<Value, &'static str> {
    if !tag.is_yaml_core_schema() {
        // The non-specific tag `!` makes a string of every scalar.
        let non_specific = tag.handle.is_empty() && tag.suffix == "!";
        return if non_specific {
            Ok(Value::String(text.to_owned()))
        } else {
            Err("unknown-tag")
        };
    }
    if matches!(tag.suffix.as_str(), "str" | "timestamp" | "binary") {
        return Ok(Value::String(text.to_owned()));
    }
    if style != ScalarStyle::Plain && tag.suffix == "null" && !text.is_empty() {
        return Err("tag-value");
    }
    let value = scalar::resolve(text).map_err(|scalar::NotInJson| "number-range")?;
    match (tag.suffix.as_str(), value) {
        ("null", Value::Null) => Ok(Value::Null),
        ("bool", Value::Bool(value)) => Ok(Value::Bool(value)),
        ("int", Value::Number(number)) if !number.is_f64() => Ok(Value::Number(number)),
        ("float", Value::Number(number)) => Ok(Value::Number(number)),
        ("null" | "bool" | "int" | "float", _) => Err("tag-value"),
        _ => Err("unknown-tag"),
    }
}

fn check_tag(
    builder: &mut Builder<'_>,
    tag: Option<&Tag>,
    expected: &str,
    position: Position,
) -> Result<(), Stop> {
    match tag {
        Some(tag) if !(tag.is_yaml_core_schema() && tag.suffix == expected) => {
            refuse(builder, "unknown-tag", "", position)
        }
        _ => Ok(()),
    }
}

fn syntax_problem(error: &ScanError, position: Position) -> Diagnostic {
    let problem = Diagnostic::error("syntax", "", error.info()).at(position.line, position.column);
    if error.info().contains("tab") {
        problem.mend("YAML is indented with spaces")
    } else {
        problem
    }
}
