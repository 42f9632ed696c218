//! What an expression may be made of; the rest is refused with its place.

use std::collections::BTreeSet;

use cel::Program;
use cel::common::ast::{CallExpr, EntryExpr, Expr, IdedExpr, LiteralValue, SelectExpr, operators};

use crate::network;
use crate::pattern::{self, Patterns};
use crate::{
    Attribute, CompileError, DEPTH_MAX, PARTS_DEPTH_MAX, SIGNS_MAX, SOURCE_BYTES_MAX, VARIABLES,
};

/// Operators and functions; all of them cost at most as much as their operands are long.
const CALLS: &[&str] = &[
    operators::CONDITIONAL,
    operators::LOGICAL_AND,
    operators::LOGICAL_OR,
    operators::LOGICAL_NOT,
    operators::SUBSTRACT,
    operators::ADD,
    operators::MULTIPLY,
    operators::DIVIDE,
    operators::MODULO,
    operators::EQUALS,
    operators::NOT_EQUALS,
    operators::GREATER_EQUALS,
    operators::LESS_EQUALS,
    operators::GREATER,
    operators::LESS,
    operators::NEGATE,
    operators::INDEX,
    operators::IN,
    "startsWith",
    "endsWith",
    "contains",
    "size",
    "string",
    "int",
    "double",
    network::NAME,
    pattern::NAME,
];

/// Whether a text is too much for the library's parser, which goes as deep into our stack as the text does: signs and
/// brackets are counted before it sees them, also those within quotes.
fn is_too_much(source: &str) -> bool {
    let (mut depth, mut deepest, mut signs) = (0_usize, 0, 0);
    for byte in source.bytes() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            b'_' => {}
            _ => signs += usize::from(byte.is_ascii_punctuation() && !b"'\"".contains(&byte)),
        }
        deepest = deepest.max(depth);
    }
    deepest > DEPTH_MAX || signs > SIGNS_MAX
}

/// What the library's parser may use of a stack. It takes some 20 KB for each part that stands in another one; ours may
/// be a small one.
const STACK_BYTES: usize = 32 * 1024 * 1024;

/// What an expression comes to: how it runs, what it needs, its patterns.
type Compiled = (Program, Vec<Attribute>, Patterns);

pub(super) fn compile(source: &str) -> Result<Compiled, CompileError> {
    std::thread::scope(|scope| {
        let compiling = std::thread::Builder::new()
            .name("expression".to_owned())
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, || compile_here(source));
        compiling
            .ok()
            .and_then(|thread| thread.join().ok())
            .unwrap_or_else(|| Err(whole("the expression could not be read".to_owned())))
    })
}

fn whole(message: String) -> CompileError {
    CompileError {
        message,
        line: 1,
        column: 1,
    }
}

fn compile_here(source: &str) -> Result<Compiled, CompileError> {
    if source.len() > SOURCE_BYTES_MAX {
        return Err(whole(format!(
            "the expression has {} bytes, at most {SOURCE_BYTES_MAX} are accepted",
            source.len()
        )));
    }
    if is_too_much(source) {
        return Err(whole(format!(
            "the expression is too large: at most {SIGNS_MAX} signs, and brackets {DEPTH_MAX} deep, are accepted"
        )));
    }
    let program = Program::compile(source).map_err(|errors| {
        let first = errors.errors.into_iter().next();
        first.map_or_else(
            || whole("the text is no expression".to_owned()),
            |error| CompileError {
                message: error.msg.lines().next().unwrap_or_default().to_owned(),
                line: usize::try_from(error.pos.0).unwrap_or(1).max(1),
                column: usize::try_from(error.pos.1).unwrap_or(1).max(1),
            },
        )
    })?;
    let mut checker = Checker {
        program: &program,
        source,
        needs: BTreeSet::new(),
        patterns: Patterns::default(),
    };
    checker.part(program.expression(), 1)?;
    let Checker {
        needs, patterns, ..
    } = checker;
    Ok((program, needs.into_iter().collect(), patterns))
}

struct Checker<'p> {
    program: &'p Program,
    source: &'p str,
    needs: BTreeSet<Attribute>,
    patterns: Patterns,
}

impl Checker<'_> {
    fn fault<T>(&self, at: &IdedExpr, message: impl Into<String>) -> Result<T, CompileError> {
        let offset = self.program.source_info().offset_for(at.id);
        let offset = offset.map_or(0, |(start, _)| start as usize);
        let before: String = self.source.chars().take(offset).collect();
        let last_line = before.rsplit('\n').next().unwrap_or_default();
        Err(CompileError {
            message: message.into(),
            line: before.matches('\n').count() + 1,
            column: last_line.chars().count() + 1,
        })
    }

    fn part(&mut self, at: &IdedExpr, depth: usize) -> Result<(), CompileError> {
        if depth > PARTS_DEPTH_MAX {
            let message = format!("parts stand deeper than {PARTS_DEPTH_MAX} in each other");
            return self.fault(at, message);
        }
        match &at.expr {
            Expr::Literal(_) => Ok(()),
            Expr::List(list) => self.parts(&list.elements, depth),
            Expr::Map(map) => {
                for entry in &map.entries {
                    if let EntryExpr::MapEntry(entry) = &entry.expr {
                        self.part(&entry.key, depth + 1)?;
                        self.part(&entry.value, depth + 1)?;
                    }
                }
                Ok(())
            }
            Expr::Select(select) => self.select(at, select, depth),
            Expr::Call(call) => {
                let name = call.func_name.as_str();
                if !CALLS.contains(&name) {
                    return self.fault(at, format!("`{}` is not served", shown(name)));
                }
                if name == network::NAME {
                    return self.network(at, &call.args, depth);
                }
                if name == pattern::NAME {
                    return self.pattern(at, call, depth);
                }
                if let Some(attribute) = named(name, &call.args) {
                    self.needs.insert(attribute);
                    return Ok(());
                }
                if let Some(target) = &call.target {
                    self.part(target, depth + 1)?;
                }
                self.parts(&call.args, depth)
            }
            Expr::Ident(name) => self.fault(at, unknown(name)),
            Expr::Comprehension(_) => self.fault(
                at,
                "loops (`all`, `exists`, `exists_one`, `map`, `filter`) are not served",
            ),
            Expr::Struct(_) | Expr::Unspecified => self.fault(at, "messages are not served"),
        }
    }

    /// `inNetwork(address, 'network')`: the network is a literal, so that what it says is known to be one.
    fn network(
        &mut self,
        at: &IdedExpr,
        arguments: &[IdedExpr],
        depth: usize,
    ) -> Result<(), CompileError> {
        let [address, network] = arguments else {
            return self.fault(at, network::USE);
        };
        match &network.expr {
            Expr::Literal(LiteralValue::String(text)) if network::read(text.inner()).is_some() => {
                self.part(address, depth + 1)
            }
            _ => self.fault(network, network::USE),
        }
    }

    /// `text.matches('pattern')`: the pattern is a literal, so that it is read once, and what it costs is known.
    fn pattern(
        &mut self,
        at: &IdedExpr,
        call: &CallExpr,
        depth: usize,
    ) -> Result<(), CompileError> {
        let ((Some(text), [pattern]) | (None, [text, pattern])) =
            (call.target.as_deref(), call.args.as_slice())
        else {
            return self.fault(at, pattern::USE);
        };
        let Expr::Literal(LiteralValue::String(literal)) = &pattern.expr else {
            return self.fault(pattern, pattern::USE);
        };
        if let Err(message) = self.patterns.add(literal.inner()) {
            return self.fault(pattern, message);
        }
        self.part(text, depth + 1)
    }

    fn parts(&mut self, parts: &[IdedExpr], depth: usize) -> Result<(), CompileError> {
        parts
            .iter()
            .try_for_each(|inner| self.part(inner, depth + 1))
    }

    fn select(
        &mut self,
        at: &IdedExpr,
        select: &SelectExpr,
        depth: usize,
    ) -> Result<(), CompileError> {
        let attribute = match (root(&select.operand), select.field.as_str()) {
            (Some("request"), "method") => Attribute::Method,
            (Some("request"), "path") => Attribute::Path,
            (Some("request"), "query") => Attribute::Query,
            (Some("client"), "ip") => Attribute::ClientIp,
            (Some("application"), "id") => Attribute::Application,
            (Some("principal"), "subject") => Attribute::Subject,
            (Some("principal"), "scopes") => Attribute::Scopes,
            (Some("principal"), "roles") => Attribute::Roles,
            (_, _) if Collection::of(at).is_some() => {
                return self.fault(
                    at,
                    "headers, parameters and claims are named by a literal, as in `request.headers['x-user']`",
                );
            }
            (Some(root), field) => return self.fault(at, unknown(&format!("{root}.{field}"))),
            (None, field) => match Collection::of(&select.operand) {
                Some(Collection::Headers) => Attribute::Header(field.to_ascii_lowercase()),
                Some(collection) => collection.attribute(field),
                // A part of a claim.
                None if is_of_claim(&select.operand) => {
                    return self.part(&select.operand, depth + 1);
                }
                None => return self.fault(at, unknown(&format!("….{field}"))),
            },
        };
        self.needs.insert(attribute);
        Ok(())
    }
}

fn root(at: &IdedExpr) -> Option<&str> {
    match &at.expr {
        Expr::Ident(name) => Some(name),
        _ => None,
    }
}

/// What holds any number of values by their names.
#[derive(Clone, Copy)]
enum Collection {
    Headers,
    Parameters,
    Claims,
}

impl Collection {
    fn of(at: &IdedExpr) -> Option<Self> {
        let Expr::Select(select) = &at.expr else {
            return None;
        };
        Some(match (root(&select.operand)?, select.field.as_str()) {
            ("request", "headers") => Self::Headers,
            ("request", "parameters") => Self::Parameters,
            ("principal", "claims") => Self::Claims,
            _ => return None,
        })
    }

    fn attribute(self, name: &str) -> Attribute {
        let name = name.to_owned();
        match self {
            Self::Headers => Attribute::Header(name),
            Self::Parameters => Attribute::Parameter(name),
            Self::Claims => Attribute::Claim(name),
        }
    }
}

/// Whether this is a claim, or a part of one.
fn is_of_claim(at: &IdedExpr) -> bool {
    let inner = match &at.expr {
        Expr::Select(select) => &*select.operand,
        Expr::Call(call) if call.func_name == operators::INDEX => match call.args.first() {
            Some(inner) => inner,
            None => return false,
        },
        _ => return false,
    };
    matches!(Collection::of(inner), Some(Collection::Claims)) || is_of_claim(inner)
}

/// What `request.headers['x']` or `'x' in request.headers` names. Headers are compared as the library does, by their
/// letters, so upper case is of no use: whoever evaluates offers the lower case.
fn named(call: &str, arguments: &[IdedExpr]) -> Option<Attribute> {
    let ((operators::INDEX, [collection, name]) | (operators::IN, [name, collection])) =
        (call, arguments)
    else {
        return None;
    };
    match &name.expr {
        Expr::Literal(LiteralValue::String(text)) => {
            Some(Collection::of(collection)?.attribute(text.inner()))
        }
        _ => None,
    }
}

fn unknown(name: &str) -> String {
    let known: Vec<_> = VARIABLES
        .iter()
        .map(|(name, _)| format!("`{name}`"))
        .collect();
    format!(
        "`{}` is not known; known are {}",
        shown(name),
        known.join(", ")
    )
}

/// The beginning of a long name.
fn shown(name: &str) -> String {
    name.chars().take(64).collect()
}
