//! Writes "one of these" out as decisions, where a member of the value or its type says which one is meant.

use serde_json::{Map, Value, json};

/// Rewrites every choice of a schema that can be decided, and what draft 4 writes otherwise than draft 7.
pub(super) fn write_out(schema: &mut Value) {
    let root = schema.clone();
    rewrite(&root, schema);
}

fn rewrite(root: &Value, schema: &mut Value) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(|item| rewrite(root, item)),
        Value::Object(map) => {
            exclusive_bound(map);
            map.values_mut().for_each(|value| rewrite(root, value));
            for keyword in ["oneOf", "anyOf"] {
                let Some(Value::Array(branches)) = map.get(keyword) else {
                    continue;
                };
                let Some(decision) = decided(root, branches) else {
                    continue;
                };
                map.remove(keyword);
                // Beside a `$ref` or an `if` of its own it needs a place of its own.
                match map.get_mut("allOf").and_then(Value::as_array_mut) {
                    Some(all) => all.push(decision),
                    None => drop(map.insert("allOf".to_owned(), json!([decision]))),
                }
            }
        }
        _ => {}
    }
}

/// `exclusiveMinimum: true` beside `minimum` (draft 4) is `exclusiveMinimum` with the number (since draft 6).
fn exclusive_bound(map: &mut Map<String, Value>) {
    if map.get("exclusiveMinimum") == Some(&Value::Bool(true))
        && let Some(bound) = map.remove("minimum")
    {
        map.insert("exclusiveMinimum".to_owned(), bound);
    }
}

/// The branches as a cascade of decisions; nothing where they cannot be told apart.
fn decided(root: &Value, branches: &[Value]) -> Option<Value> {
    by_reference(root, branches)
        .or_else(|| by_type(root, branches))
        .or_else(|| by_member(root, branches))
}

fn target<'s>(root: &'s Value, branch: &'s Value) -> &'s Value {
    branch["$ref"]
        .as_str()
        .and_then(|text| root.pointer(text.strip_prefix('#')?))
        .unwrap_or(branch)
}

fn all_of(root: &Value, mut branches: Vec<Value>) -> Value {
    if branches.len() == 1 {
        return branches.remove(0);
    }
    decided(root, &branches).unwrap_or_else(|| json!({"oneOf": branches}))
}

/// A mapping with `$ref` is a reference.
fn by_reference(root: &Value, branches: &[Value]) -> Option<Value> {
    let is_reference = |branch: &Value| target(root, branch)["required"] == json!(["$ref"]);
    let (references, others): (Vec<Value>, Vec<Value>) =
        branches.iter().cloned().partition(is_reference);
    let [reference] = references.as_slice() else {
        return None;
    };
    let is = json!({"type": "object", "required": ["$ref"]});
    Some(json!({"if": is, "then": reference, "else": all_of(root, others)}))
}

/// A list, a mapping, a truth value: each type has one branch.
fn by_type(root: &Value, branches: &[Value]) -> Option<Value> {
    let kinds: Vec<&str> = branches
        .iter()
        .map(|branch| target(root, branch)["type"].as_str())
        .collect::<Option<_>>()?;
    let mut known = kinds.clone();
    known.sort_unstable();
    known.dedup();
    if known.len() < kinds.len() || kinds.len() < 2 {
        return None;
    }
    // What fits none is held against a mapping, which definitions are made of.
    let last = kinds.iter().position(|kind| *kind == "object").unwrap_or(0);
    let others = kinds.iter().zip(branches).enumerate();
    let others = others.filter(|(index, _)| *index != last);
    Some(others.fold(
        branches[last].clone(),
        |rest, (_, (kind, branch))| json!({"if": {"type": kind}, "then": branch, "else": rest}),
    ))
}

/// The word that a branch wants in this member.
fn word<'s>(root: &'s Value, branch: &'s Value, member: &str) -> Option<&'s str> {
    let wanted = &target(root, branch)["properties"][member];
    match wanted["enum"].as_array().map(Vec::as_slice) {
        Some([word]) => word.as_str(),
        _ => wanted["const"].as_str(),
    }
}

/// `in: path`, `type: apiKey`: the member's word says which branch is meant. At most one branch may be without.
fn by_member(root: &Value, branches: &[Value]) -> Option<Value> {
    ["in", "type", "flow"].iter().find_map(|member| {
        let words: Vec<Option<&str>> = branches
            .iter()
            .map(|branch| word(root, branch, member))
            .collect();
        let mut known: Vec<&str> = words.iter().copied().flatten().collect();
        let (count, without) = (known.len(), words.len() - known.len());
        known.sort_unstable();
        known.dedup();
        if known.len() < 2 - without.min(1) || without > 1 {
            return None;
        }
        let rest = match words.iter().position(Option::is_none) {
            Some(index) => branches[index].clone(),
            None => json!({"required": [member], "properties": {*member: {"enum": known}}}),
        };
        if known.len() == count {
            let decisions = words.iter().zip(branches);
            return Some(decisions.fold(rest, |rest, (word, branch)| match word {
                Some(word) => decision(member, word, branch, &rest),
                None => rest,
            }));
        }
        // Several branches share a word: another member decides among them.
        Some(known.iter().fold(rest, |rest, word| {
            let same = words.iter().zip(branches);
            let same = same.filter(|(other, _)| **other == Some(*word));
            let same: Vec<Value> = same.map(|(_, branch)| branch.clone()).collect();
            decision(member, word, &all_of(root, same), &rest)
        }))
    })
}

fn decision(member: &str, word: &str, then: &Value, rest: &Value) -> Value {
    let is = json!({"required": [member], "properties": {member: {"const": word}}});
    json!({"if": is, "then": then, "else": rest})
}
