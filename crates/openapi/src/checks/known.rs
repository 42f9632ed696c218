//! What rules have to know of the whole definition before they judge its parts.

use std::collections::HashSet;

use percent_encoding::percent_decode_str;
use tree::{Node, Object};

use super::{each, top};
use crate::shape::{Part, Shape};

/// What a definition declares, and what it refers to.
#[derive(Default)]
pub(super) struct Known<'t> {
    /// Whether nothing was said yet of references to other files.
    pub(super) whole: bool,
    pub(super) operation_ids: HashSet<&'t str>,
    pub(super) tags: HashSet<&'t str>,
    /// Pointers that references lead to, with each part of the way.
    pub(super) referred: HashSet<String>,
    /// `$anchor` and `$dynamicAnchor` (JSON Schema 2020-12 §8.2.2).
    pub(super) anchors: HashSet<&'t str>,
    /// Whether a schema has an `$id`: references below it are relative to that.
    pub(super) has_ids: bool,
    /// Schemas that were found not to lead back to themselves.
    pub(super) finite: HashSet<*const Object>,
    pub(super) resolved: HashSet<*const Object>,
}

impl<'t> Known<'t> {
    pub(super) fn of(root: &'t Node) -> Self {
        let mut known = Self::default();
        let tags = root.get("tags").and_then(Node::as_array);
        let names = tags.into_iter().flatten();
        known.tags = names.filter_map(|tag| tag.get("name")?.as_str()).collect();
        each(root, top(), &mut |object, place| {
            let text = |key| object.get(key).and_then(Node::as_str);
            match place.shape {
                Shape::Operation => known.operation_ids.extend(text("operationId")),
                Shape::Part(Part::Schema) => {
                    known.anchors.extend(text("$anchor"));
                    known.anchors.extend(text("$dynamicAnchor"));
                    known.has_ids |= text("$id").is_some();
                }
                Shape::Mapping => known.refer_all(object),
                _ => {}
            }
            if let (Shape::Part(_), Some(reference)) = (place.shape, text("$ref")) {
                known.refer(reference);
            }
        });
        known
    }

    fn refer_all(&mut self, mapping: &'t Object) {
        for entry in mapping {
            if let Some(reference) = entry.node.as_str() {
                self.refer(reference);
                // The name of a schema.
                self.refer(&format!("#/components/schemas/{reference}"));
            }
        }
    }

    /// Notes where a reference leads: sections and names of components are the first three tokens at most.
    fn refer(&mut self, reference: &str) {
        let Some(fragment) = reference.strip_prefix('#') else {
            return;
        };
        let pointer = percent_decode_str(fragment).decode_utf8_lossy();
        let ends = pointer.match_indices('/').map(|(at, _)| at);
        for end in ends.chain([pointer.len()]).skip(2).take(2) {
            if !self.referred.contains(&pointer[..end]) {
                self.referred.insert(pointer[..end].to_owned());
            }
        }
    }
}
