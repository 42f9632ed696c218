//! Where a `$ref` leads: RFC 3986 references between the files of one definition.

use std::collections::BTreeSet;

use base::Diagnostics;
use percent_encoding::percent_decode_str;
use tree::{Limits, Node, Value};

use crate::files::check_name;

/// Where a reference leads.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Target {
    /// Into the file that it stands in: the JSON pointer.
    Here(String),
    /// Into another file of the definition.
    File {
        /// The file.
        name: String,
        /// The JSON pointer in it, empty for the whole file.
        pointer: String,
    },
    /// To an absolute URL, which nobody follows.
    Elsewhere,
    /// Out of the definition's folder, or to an absolute path.
    Outside,
}

/// Where `reference` leads from the file `from`.
pub(crate) fn target(reference: &str, from: &str) -> Target {
    let (path, fragment) = reference.split_once('#').unwrap_or((reference, ""));
    let pointer = percent_decode_str(fragment)
        .decode_utf8_lossy()
        .into_owned();
    if path.is_empty() {
        return Target::Here(pointer);
    }
    if let Some(scheme) = scheme(path) {
        return match scheme.to_ascii_lowercase().as_str() {
            "http" | "https" | "urn" => Target::Elsewhere,
            _ => Target::Outside,
        };
    }
    if path.contains('?') {
        return Target::Elsewhere;
    }
    let Ok(path) = percent_decode_str(path).decode_utf8() else {
        return Target::Outside;
    };
    if path.starts_with(['/', '\\']) {
        return Target::Outside;
    }
    let mut segments: Vec<&str> = from.split('/').collect();
    segments.pop();
    for segment in path.split('/') {
        match segment {
            "." => {}
            ".." => {
                if segments.pop().is_none() {
                    return Target::Outside;
                }
            }
            segment => segments.push(segment),
        }
    }
    let name = segments.join("/");
    match check_name(&name) {
        Ok(()) if name == from => Target::Here(pointer),
        Ok(()) => Target::File { name, pointer },
        Err(_) => Target::Outside,
    }
}

/// The scheme of a URL (RFC 3986 §3.1); of `C:\x` it is `C`.
fn scheme(text: &str) -> Option<&str> {
    let (scheme, _) = text.split_once(':')?;
    let mut bytes = scheme.bytes();
    let good = bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic())
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'));
    good.then_some(scheme)
}

/// The names of other files that a text refers to, as the file `name` of a definition sees them.
///
/// Everything that looks like a reference counts, also in examples, where a `$ref` is only data: to have a file too
/// many harms nobody. References to absolute URLs and out of the definition's folder name no file.
///
/// # Errors
/// The text cannot be parsed.
pub fn external_refs(
    text: &str,
    name: &str,
    limits: &Limits,
) -> Result<BTreeSet<String>, Diagnostics> {
    let root = tree::parse(text, limits)?;
    let mut found = BTreeSet::new();
    collect(&root, name, &mut found);
    Ok(found)
}

fn collect(node: &Node, from: &str, found: &mut BTreeSet<String>) {
    match &node.value {
        Value::Array(items) => {
            for item in items {
                collect(item, from, found);
            }
        }
        Value::Object(object) => {
            for entry in object {
                if let ("$ref", Some(reference)) = (entry.key.as_str(), entry.node.as_str()) {
                    add(reference, from, found);
                }
                if entry.key == "discriminator" {
                    mapping(&entry.node, from, found);
                }
                collect(&entry.node, from, found);
            }
        }
        _ => {}
    }
}

/// The values of `discriminator.mapping` are references too, or names of schemas.
fn mapping(discriminator: &Node, from: &str, found: &mut BTreeSet<String>) {
    let mapping = discriminator.get("mapping").and_then(Node::as_object);
    for reference in mapping
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.node.as_str())
    {
        if is_mapped_file(reference) {
            add(reference, from, found);
        }
    }
}

/// Whether a value of `discriminator.mapping` names a file rather than a schema.
pub(crate) fn is_mapped_file(value: &str) -> bool {
    let path = value.split_once('#').map_or(value, |(path, _)| path);
    [".yaml", ".yml", ".json"]
        .iter()
        .any(|extension| path.to_ascii_lowercase().ends_with(extension))
}

fn add(reference: &str, from: &str, found: &mut BTreeSet<String>) {
    if let Target::File { name, .. } = target(reference, from) {
        found.insert(name);
    }
}
