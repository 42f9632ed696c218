//! Bodies and answers in one shape.

use tree::Node;

use crate::calls::{Body, Field, Media, Response, Schema, Text, entries};
use crate::model::{Dialect, Location};

/// What a form is sent as, where Swagger 2.0 does not say.
const FORM: &str = "application/x-www-form-urlencoded";
const MULTIPART: &str = "multipart/form-data";
/// What a body is sent as, where Swagger 2.0 does not say.
const JSON: &str = "application/json";

/// Lower case, no charset: `application/json; charset=utf-8` and `application/json` are the same to callers.
fn media_name(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let mut parts = lower.split(';').map(str::trim);
    let mut name = parts.next().unwrap_or_default().to_owned();
    for parameter in parts.filter(|part| !part.is_empty() && !part.starts_with("charset=")) {
        name.push(';');
        name.push_str(parameter);
    }
    name
}

impl<'t> Text<'t> {
    pub(super) fn body(&self, operation: &'t Node, fields: &[Field<'t>]) -> Option<Body<'t>> {
        if self.dialect != Dialect::V2 {
            let node = self.resolve(operation.get("requestBody")?);
            node.as_object()?;
            return Some(Body {
                node,
                required: node.get("required").and_then(Node::as_bool) == Some(true),
                content: self.content(node),
            });
        }
        let of = |location| {
            fields
                .iter()
                .filter(move |field| field.location == location)
        };
        if let Some(body) = of(Location::Body).next() {
            let content = self.media_types(operation, "consumes", &[JSON]);
            return Some(Body {
                node: body.node,
                required: body.required,
                content: with_schema(content, body.node, &body.schema),
            });
        }
        let form: Vec<Field<'t>> = of(Location::Form).cloned().collect();
        let first = form.first()?.node;
        let file =
            |field: &Field<'t>| field.node.get("type").and_then(Node::as_str) == Some("file");
        let default = if form.iter().any(file) {
            MULTIPART
        } else {
            FORM
        };
        let mut content = self.media_types(operation, "consumes", &[default]);
        if !content.iter().any(|name| name == FORM || name == MULTIPART) {
            content = vec![default.to_owned()];
        }
        Some(Body {
            node: first,
            required: form.iter().any(|field| field.required),
            content: with_schema(content, first, &Schema::Form(form)),
        })
    }

    /// `consumes` or `produces` of an operation or of the definition (Swagger 2.0).
    fn media_types(&self, operation: &'t Node, key: &str, default: &[&str]) -> Vec<String> {
        let list = |node: &'t Node| {
            let items = node.get(key).and_then(Node::as_array)?.iter();
            let names: Vec<String> = items.filter_map(Node::as_str).map(media_name).collect();
            (!names.is_empty()).then_some(names)
        };
        list(operation)
            .or_else(|| list(self.root))
            .unwrap_or_else(|| default.iter().map(|name| (*name).to_owned()).collect())
    }

    /// `content` (OpenAPI 3).
    fn content(&self, node: &'t Node) -> Vec<Media<'t>> {
        entries(node, "content")
            .iter()
            .map(|entry| {
                let media = self.resolve(&entry.node);
                Media {
                    name: media_name(&entry.key),
                    node: media,
                    schema: Schema::of(media.get("schema")),
                }
            })
            .collect()
    }

    pub(super) fn responses(&self, operation: &'t Node) -> Vec<Response<'t>> {
        let named = entries(operation, "responses").iter();
        named
            .filter(|entry| !entry.key.starts_with("x-"))
            .map(|entry| {
                let node = self.resolve(&entry.node);
                let status = if entry.key == "default" {
                    entry.key.clone()
                } else {
                    entry.key.to_ascii_uppercase()
                };
                Response {
                    status,
                    node,
                    headers: self.headers(node),
                    content: self.answers(operation, node),
                }
            })
            .collect()
    }

    fn answers(&self, operation: &'t Node, response: &'t Node) -> Vec<Media<'t>> {
        if self.dialect != Dialect::V2 {
            return self.content(response);
        }
        let Some(schema) = response.get("schema") else {
            return Vec::new();
        };
        let content = self.media_types(operation, "produces", &[JSON]);
        with_schema(content, response, &Schema::of(Some(schema)))
    }

    fn headers(&self, response: &'t Node) -> Vec<Field<'t>> {
        let headers = entries(response, "headers").iter();
        headers
            // OpenAPI 3.1.1 §4.8.17.1: the media type says it.
            .filter(|entry| !entry.key.eq_ignore_ascii_case("content-type"))
            .filter_map(|entry| self.field(self.resolve(&entry.node), &entry.key, Location::Header))
            .collect()
    }
}

fn with_schema<'t>(names: Vec<String>, node: &'t Node, schema: &Schema<'t>) -> Vec<Media<'t>> {
    names
        .into_iter()
        .map(|name| Media {
            name,
            node,
            schema: schema.clone(),
        })
        .collect()
}
