//! References of all sorts: `$ref`, `discriminator.mapping`, the operations of links.

use percent_encoding::percent_decode_str;
use tree::{Node, Object, pointer};

use super::known::Known;
use super::{Place, shown};
use crate::model::Dialect;
use crate::reader::{Reader, Trail};
use crate::shape::{Part, Shape};

/// The part that a reference within this definition leads to.
pub(super) fn target<'t>(root: &'t Node, reference: &str) -> Option<&'t Node> {
    let fragment = reference.strip_prefix('#')?;
    if fragment.contains('%') {
        return root.pointer(&percent_decode_str(fragment).decode_utf8_lossy());
    }
    root.pointer(fragment)
}

/// Whether the `$ref` of a part leads to something.
pub(super) fn check<'t>(
    reader: &mut Reader<'t>,
    known: &mut Known<'t>,
    object: &'t Object,
    place: &Place<'_>,
) {
    let Some(reference) = object.get("$ref").and_then(Node::as_str) else {
        return;
    };
    let schema = place.shape == Shape::Part(Part::Schema);
    // Below an `$id` a reference is relative to that: who declares names of his own, knows what he does.
    if schema && known.has_ids {
        return;
    }
    let trail = Trail::Key(&place.trail, "$ref");
    let Some(fragment) = reference.strip_prefix('#') else {
        let words = || {
            let message = format!(
                "`{}` leads into another file, which is not read",
                shown(reference)
            );
            let mend = "bundle the definition into one file, or send the other one along";
            (message, Some(mend.to_owned()))
        };
        if known.whole {
            reader.report("unread-reference", &trail, words);
        }
        return;
    };
    let anchor = schema && reader.dialect() == Dialect::V3_1 && known.anchors.contains(fragment);
    let Some(node) = target(reader.root(), reference) else {
        if !anchor {
            nowhere(reader, "unresolved-reference", &trail, reference);
        }
        return;
    };
    if !schema && circular(reader.root(), node) {
        let words = || ("the references lead in a circle".to_owned(), None);
        reader.report("circular-reference", &trail, words);
    }
}

fn nowhere(reader: &mut Reader<'_>, rule: &str, trail: &Trail<'_>, reference: &str) {
    let words = || {
        let message = format!("`{}` leads nowhere in this definition", shown(reference));
        let mend = "write `#/` and the way to an existing part, as in `#/components/schemas/Pet`";
        (message, Some(mend.to_owned()))
    };
    reader.report(rule, trail, words);
}

/// Whether a chain of references never ends. Longer ones than people write count as endless.
fn circular(root: &Node, start: &Node) -> bool {
    let mut node = start;
    for _ in 0..32 {
        let next = node
            .get("$ref")
            .and_then(Node::as_str)
            .and_then(|reference| target(root, reference));
        match next {
            Some(next) => node = next,
            None => return false,
        }
    }
    true
}

/// Values of `discriminator.mapping`: references, or names of schemas.
pub(super) fn mapping<'t>(reader: &mut Reader<'t>, mapping: &'t Object, trail: &Trail<'_>) {
    for entry in mapping {
        let Some(value) = entry.node.as_str() else {
            continue;
        };
        let root = reader.root();
        let found = if value.starts_with('#') {
            target(root, value).is_some()
        } else {
            // What may be a URL is left alone, unless it is the name of a schema too.
            value.contains(['/', '.', ':'])
                || root
                    .pointer(&pointer::join("/components/schemas", value))
                    .is_some()
        };
        if !found {
            let words = || {
                let message = format!("there is no schema `{}`", shown(value));
                (message, Some("name one of `components/schemas`".to_owned()))
            };
            reader.report(
                "discriminator-mapping",
                &Trail::Key(trail, &entry.key),
                words,
            );
        }
    }
}

/// The operation that a link leads to.
pub(super) fn link<'t>(
    reader: &mut Reader<'t>,
    known: &Known<'t>,
    link: &'t Object,
    trail: &Trail<'_>,
) {
    if let Some(id) = link.get("operationId").and_then(Node::as_str)
        && !known.operation_ids.contains(id)
    {
        let words = || {
            let message = format!("there is no operation `{}`", shown(id));
            let near = (known.operation_ids.len() <= 1000)
                .then(|| spec::nearest(id, known.operation_ids.iter().copied()))
                .flatten();
            (message, near.map(|near| format!("did you mean `{near}`?")))
        };
        reader.report("link-operation", &Trail::Key(trail, "operationId"), words);
    }
    if let Some(reference) = link.get("operationRef").and_then(Node::as_str)
        && reference.starts_with('#')
        && target(reader.root(), reference).is_none()
    {
        nowhere(
            reader,
            "link-operation",
            &Trail::Key(trail, "operationRef"),
            reference,
        );
    }
}

/// Components that nothing refers to. Security schemes are referred to by name.
pub(super) fn unused_components(reader: &mut Reader<'_>, known: &Known<'_>) {
    if !reader.wants("unused-component") {
        return;
    }
    let root = reader.root();
    let (base, parent) = match root.get("components") {
        Some(components) => ("/components", components),
        None => ("", root),
    };
    let base = Trail::Base(base);
    for section in parent.as_object().into_iter().flatten() {
        if matches!(
            Part::of_section(&section.key),
            None | Some(Part::Scheme | Part::PathItem)
        ) {
            continue;
        }
        let section_trail = Trail::Key(&base, &section.key);
        for entry in section.node.as_object().into_iter().flatten() {
            let trail = Trail::Key(&section_trail, &entry.key);
            if !known.referred.contains(&trail.pointer()) {
                let words = || ("nothing refers to this component".to_owned(), None);
                reader.report("unused-component", &trail, words);
            }
        }
    }
}
