//! Operations in one shape for all dialects, with their schemas left in the tree: what is compared and mocked.
//!
//! Nothing is reported here and nothing refused: what does not have the expected type is not there. [`crate::read`]
//! is what tells authors of faults.

use percent_encoding::percent_decode_str;
use tree::{Node, Object, Value};

use crate::model::{Dialect, Location, Method};
use crate::template::Template;

mod message;

/// A chain of `$ref`s longer than this is taken for a cycle.
const REFERENCES_MAX: usize = 32;

/// A number that tells nodes of living trees apart.
pub(crate) fn address(node: &Node) -> usize {
    std::ptr::from_ref(node) as usize
}

/// A parsed definition.
#[derive(Clone, Copy)]
pub(crate) struct Text<'t> {
    pub(crate) root: &'t Node,
    pub(crate) dialect: Dialect,
}

/// One method on one path.
pub(crate) struct Call<'t> {
    pub(crate) node: &'t Node,
    pub(crate) parameters: Vec<Field<'t>>,
    pub(crate) body: Option<Body<'t>>,
    pub(crate) responses: Vec<Response<'t>>,
}

/// A parameter, a header, or a field of a form.
#[derive(Clone)]
pub(crate) struct Field<'t> {
    pub(crate) node: &'t Node,
    pub(crate) name: &'t str,
    pub(crate) location: Location,
    pub(crate) required: bool,
    /// How several values are written, as OpenAPI 3 names it, `+explode` after it where it is so.
    pub(crate) style: String,
    pub(crate) schema: Schema<'t>,
}

/// What a value must be.
#[derive(Clone)]
pub(crate) enum Schema<'t> {
    /// All of these schemas; none at all for any value.
    All(Vec<&'t Node>),
    /// An object of the fields of a form (Swagger 2.0).
    Form(Vec<Field<'t>>),
}

impl<'t> Schema<'t> {
    pub(crate) fn of(node: Option<&'t Node>) -> Self {
        Self::All(node.into_iter().collect())
    }
}

/// The body of a request.
pub(crate) struct Body<'t> {
    pub(crate) node: &'t Node,
    pub(crate) required: bool,
    pub(crate) content: Vec<Media<'t>>,
}

/// A body as one media type.
pub(crate) struct Media<'t> {
    /// In lower case, without a charset.
    pub(crate) name: String,
    /// The media type object; for Swagger 2.0 what holds the schema.
    pub(crate) node: &'t Node,
    pub(crate) schema: Schema<'t>,
}

/// An answer.
pub(crate) struct Response<'t> {
    /// `200`, `2XX`, `default`; upper case but for `default`.
    pub(crate) status: String,
    pub(crate) node: &'t Node,
    pub(crate) headers: Vec<Field<'t>>,
    pub(crate) content: Vec<Media<'t>>,
}

impl Response<'_> {
    /// Whether callers take it for a success: below 400, or `default`.
    pub(crate) fn success(&self) -> bool {
        self.status == "default"
            || self
                .status
                .as_bytes()
                .first()
                .is_some_and(|first| *first < b'4')
    }
}

/// A path and what stands under it.
pub(crate) struct Path<'t> {
    pub(crate) template: &'t str,
    /// See [`Template::normalised`]; the template itself where it is none.
    pub(crate) normalised: String,
    pub(crate) node: &'t Node,
    layers: Vec<&'t Object>,
}

impl<'t> Text<'t> {
    pub(crate) fn new(root: &'t Node) -> Self {
        let version = |key| root.get(key).map(|node| node.to_json().to_string());
        let dialect = match version("openapi") {
            None => Dialect::V2,
            Some(text) if text.trim_matches('"').starts_with("3.0") => Dialect::V3_0,
            Some(_) => Dialect::V3_1,
        };
        Self { root, dialect }
    }

    /// What a reference within this text leads to.
    pub(crate) fn target(&self, reference: &str) -> Option<&'t Node> {
        let fragment = reference.strip_prefix('#')?;
        let pointer = percent_decode_str(fragment).decode_utf8().ok()?;
        self.root.pointer(&pointer)
    }

    /// The node that a node stands for, references followed; itself where one leads nowhere.
    pub(crate) fn resolve(&self, node: &'t Node) -> &'t Node {
        let mut here = node;
        for _ in 0..REFERENCES_MAX {
            let Some(next) = here
                .get("$ref")
                .and_then(Node::as_str)
                .and_then(|reference| self.target(reference))
            else {
                return here;
            };
            here = next;
        }
        here
    }

    /// All paths, in the order of the text.
    pub(crate) fn paths(&self) -> Vec<Path<'t>> {
        let Some(paths) = self.root.get("paths").and_then(Node::as_object) else {
            return Vec::new();
        };
        let templates = paths.iter().filter(|entry| entry.key.starts_with('/'));
        templates
            .map(|entry| Path {
                template: &entry.key,
                normalised: Template::parse(&entry.key)
                    .map_or_else(|_| entry.key.clone(), |template| template.normalised()),
                node: &entry.node,
                layers: self.layers(&entry.node),
            })
            .collect()
    }

    /// A path item and what its references lead to; what comes first wins.
    fn layers(&self, node: &'t Node) -> Vec<&'t Object> {
        let mut layers = Vec::new();
        let mut next = Some(node);
        while let Some(object) = next.and_then(Node::as_object) {
            layers.push(object);
            let reference = object.get("$ref").and_then(Node::as_str);
            next = reference
                .filter(|_| layers.len() < REFERENCES_MAX)
                .and_then(|reference| self.target(reference));
        }
        layers
    }

    /// The methods of a path with their nodes, in the order of the text.
    pub(crate) fn methods(&self, path: &Path<'t>) -> Vec<(Method, &'t Node)> {
        let mut methods: Vec<(Method, &'t Node)> = Vec::new();
        for entry in path.layers.iter().copied().flatten() {
            let method = Method::from_key(&entry.key).filter(|method| match method {
                Method::Trace => self.dialect != Dialect::V2,
                Method::Query => self.dialect == Dialect::V3_1,
                _ => true,
            });
            if let Some(method) = method
                && entry.node.as_object().is_some()
                && !methods.iter().any(|(known, _)| *known == method)
            {
                methods.push((method, &entry.node));
            }
        }
        methods
    }

    /// The shape of one operation.
    pub(crate) fn operation(&self, path: &Path<'t>, node: &'t Node) -> Call<'t> {
        let mut nodes: Vec<&'t Node> = Vec::new();
        let inherited = path.layers.iter().map(|layer| layer.get("parameters"));
        for list in std::iter::once(node.get("parameters")).chain(inherited) {
            nodes.extend(list.and_then(Node::as_array).into_iter().flatten());
        }
        let mut fields: Vec<Field<'t>> = Vec::new();
        for parameter in nodes.into_iter().filter_map(|node| self.parameter(node)) {
            let known = |field: &Field<'t>| {
                field.location == parameter.location && field.name == parameter.name
            };
            if !fields.iter().any(known) {
                fields.push(parameter);
            }
        }
        let body = self.body(node, &fields);
        fields.retain(|field| !matches!(field.location, Location::Body | Location::Form));
        // OpenAPI 3.1.1 §4.8.12.1: these header parameters are ignored.
        let ignored = ["accept", "content-type", "authorization"];
        fields.retain(|field| {
            field.location != Location::Header
                || !ignored.contains(&field.name.to_ascii_lowercase().as_str())
        });
        Call {
            node,
            parameters: fields,
            body,
            responses: self.responses(node),
        }
    }

    fn parameter(&self, node: &'t Node) -> Option<Field<'t>> {
        let node = self.resolve(node);
        let location = Location::parse(node.get("in")?.as_str()?)?;
        self.field(node, node.get("name")?.as_str()?, location)
    }

    /// Reads a parameter or a header.
    fn field(&self, node: &'t Node, name: &'t str, location: Location) -> Option<Field<'t>> {
        node.as_object()?;
        let flag = |key| node.get(key).and_then(Node::as_bool);
        let schema = if self.dialect == Dialect::V2 {
            match location {
                Location::Body => Schema::of(node.get("schema")),
                _ => Schema::of(Some(node)),
            }
        } else {
            let content = || {
                let content = node.get("content").and_then(Node::as_object)?;
                content.first()?.node.get("schema")
            };
            Schema::of(node.get("schema").or_else(content))
        };
        Some(Field {
            node,
            name,
            location,
            required: flag("required").unwrap_or(false) || location == Location::Path,
            style: self.style(node, location),
            schema,
        })
    }

    /// OpenAPI 3.1.1 §4.8.12.3, Swagger 2.0 `collectionFormat`.
    fn style(&self, node: &'t Node, location: Location) -> String {
        let text = |key| node.get(key).and_then(Node::as_str);
        let own = match location {
            Location::Query | Location::Cookie | Location::Form => "form",
            _ => "simple",
        };
        let (style, explode) = if self.dialect == Dialect::V2 {
            match text("collectionFormat") {
                Some("multi") => (own, true),
                Some("ssv") => ("spaceDelimited", false),
                Some("pipes") => ("pipeDelimited", false),
                Some("tsv") => ("tabDelimited", false),
                _ => (own, false),
            }
        } else {
            let style = text("style").unwrap_or(own);
            let explode = node.get("explode").and_then(Node::as_bool);
            (style, explode.unwrap_or(style == "form"))
        };
        format!("{style}{}", if explode { "+explode" } else { "" })
    }
}

/// The value of a member that is a mapping; no entries where there is none.
pub(crate) fn entries<'t>(node: &'t Node, key: &str) -> &'t [tree::Entry] {
    match node.get(key).map(|node| &node.value) {
        Some(Value::Object(object)) => object,
        _ => &[],
    }
}
