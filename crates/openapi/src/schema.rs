//! What a schema demands, whatever dialect it is written in and however it is cut up: `$ref` and `allOf` are looked
//! through, `nullable` and lists of types are one set, limits of several parts are one limit.

use std::collections::{HashMap, HashSet};

use indexmap::IndexMap;
use tree::{Node, Object, Value};

use crate::calls::{Schema, Text, address};
use crate::model::Dialect;

/// Parts that one schema may be made of; what is beyond is left out.
pub(crate) const LAYERS_MAX: usize = 256;

/// A set of types. A whole number is a number: `number` is `INTEGER` and `FRACTION`.
pub(crate) mod types {
    pub(crate) const NULL: u8 = 1;
    pub(crate) const BOOLEAN: u8 = 2;
    pub(crate) const INTEGER: u8 = 4;
    pub(crate) const FRACTION: u8 = 8;
    pub(crate) const STRING: u8 = 16;
    pub(crate) const ARRAY: u8 = 32;
    pub(crate) const OBJECT: u8 = 64;
    pub(crate) const NUMBER: u8 = INTEGER | FRACTION;
    pub(crate) const ANY: u8 = 127;

    /// The set of one name; nothing for an unknown one.
    pub(crate) fn named(name: &str) -> u8 {
        match name {
            "null" => NULL,
            "boolean" => BOOLEAN,
            "integer" => INTEGER,
            "number" => NUMBER,
            "string" | "file" => STRING,
            "array" => ARRAY,
            "object" => OBJECT,
            _ => 0,
        }
    }

    /// The names of a set.
    pub(crate) fn shown(set: u8) -> String {
        if set == ANY {
            return "any".to_owned();
        }
        let mut names = Vec::new();
        let known = [
            "null", "boolean", "number", "integer", "string", "array", "object",
        ];
        for name in known {
            let skip = name == "integer" && set & FRACTION != 0;
            if !skip && set & named(name) == named(name) {
                names.push(name);
            }
        }
        names.join(" or ")
    }
}

/// What a schema demands.
pub(crate) struct View<'t> {
    /// The schema objects it is made of.
    pub(crate) layers: Vec<&'t Object>,
    /// The node of the first layer.
    pub(crate) node: Option<&'t Node>,
    /// See [`types`]; empty where no value is allowed.
    pub(crate) types: u8,
    /// Properties by name.
    pub(crate) properties: IndexMap<&'t str, Property<'t>>,
    /// What holds of properties that are not declared.
    pub(crate) additional: Additional<'t>,
    /// What items must be.
    pub(crate) items: Vec<&'t Node>,
    /// What the first items must be.
    pub(crate) prefix: Vec<Vec<&'t Node>>,
    /// `oneOf` and `anyOf`, each with at least two schemas, `null` left out.
    pub(crate) unions: Vec<Union<'t>>,
    /// `enum` and `const`.
    pub(crate) allowed: Option<Vec<&'t Node>>,
    /// References that cannot be followed.
    pub(crate) elsewhere: Vec<&'t str>,
}

/// A property of an object.
#[derive(Clone, Default)]
pub(crate) struct Property<'t> {
    /// What it must be: all of these.
    pub(crate) schema: Vec<&'t Node>,
    /// Where it is declared; none where it is only required.
    pub(crate) node: Option<&'t Node>,
    pub(crate) required: bool,
    pub(crate) read_only: bool,
    pub(crate) write_only: bool,
}

/// `oneOf` or `anyOf`.
pub(crate) struct Union<'t> {
    /// Its schemas, `null` left out.
    pub(crate) branches: Vec<&'t Node>,
    /// Whether exactly one must be met (`oneOf`).
    pub(crate) exactly_one: bool,
}

impl Union<'_> {
    /// What [`Choices`] know it by.
    pub(crate) fn key(&self) -> usize {
        address(self.branches[0])
    }
}

/// Unions of which one schema was chosen, by [`Union::key`]: it counts as if it stood there alone.
pub(crate) type Choices = HashMap<usize, usize>;

/// Whether what a caller sends or what a caller gets is looked at.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Direction {
    /// From the caller.
    Request,
    /// To the caller.
    Response,
}

/// What holds of properties that are not declared.
#[derive(Clone)]
pub(crate) enum Additional<'t> {
    Any,
    None,
    Schema(Vec<&'t Node>),
}

/// A lower or upper limit of numbers.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Bound {
    pub(crate) value: f64,
    pub(crate) exclusive: bool,
}

/// Collects the parts of a schema.
struct Collector<'c, 't> {
    text: Text<'t>,
    seen: HashSet<usize>,
    layers: Vec<&'t Object>,
    unions: Vec<Union<'t>>,
    choices: &'c Choices,
    elsewhere: Vec<&'t str>,
    node: Option<&'t Node>,
    never: bool,
    nullable: bool,
}

impl<'t> Collector<'_, 't> {
    fn collect(&mut self, nodes: &[&'t Node]) {
        let mut waiting: Vec<&'t Node> = nodes.iter().rev().copied().collect();
        while let Some(node) = waiting.pop() {
            if self.layers.len() >= LAYERS_MAX || !self.seen.insert(address(node)) {
                continue;
            }
            match &node.value {
                Value::Bool(false) => self.never = true,
                Value::Object(object) => self.layer(node, object, &mut waiting),
                _ => {}
            }
        }
    }

    fn layer(&mut self, node: &'t Node, object: &'t Object, waiting: &mut Vec<&'t Node>) {
        if let Some(reference) = object.get("$ref").and_then(Node::as_str) {
            match self.text.target(reference) {
                Some(target) => waiting.push(target),
                None => self.elsewhere.push(reference),
            }
            if self.text.dialect != Dialect::V3_1 {
                return;
            }
        }
        let flag = |key| object.get(key).and_then(Node::as_bool) == Some(true);
        self.nullable |= flag("nullable") || flag("x-nullable");
        self.node.get_or_insert(node);
        self.layers.push(object);
        let list = |key| object.get(key).and_then(Node::as_array).unwrap_or_default();
        waiting.extend(list("allOf").iter().rev());
        for key in ["oneOf", "anyOf"] {
            let branches: Vec<&'t Node> = list(key).iter().filter(|node| !is_null(node)).collect();
            self.nullable |= branches.len() < list(key).len();
            match branches.as_slice() {
                [] => {}
                [one] => waiting.push(one),
                [first, ..] => match self.choices.get(&address(first)) {
                    Some(chosen) => waiting.extend(branches.get(*chosen)),
                    None => self.unions.push(Union {
                        branches,
                        exactly_one: key == "oneOf",
                    }),
                },
            }
        }
    }
}

/// A schema that allows `null` alone.
fn is_null(node: &Node) -> bool {
    node.get("type").and_then(Node::as_str) == Some("null")
        || node.get("const").is_some_and(Node::is_null)
        || node
            .get("enum")
            .and_then(Node::as_array)
            .is_some_and(|values| matches!(values, [value] if value.is_null()))
}

/// The types that one layer names.
fn named_types(object: &Object) -> Option<u8> {
    match &object.get("type")?.value {
        Value::String(name) => Some(types::named(name)),
        Value::Array(names) => {
            let names = names.iter().filter_map(Node::as_str);
            Some(names.fold(0, |set, name| set | types::named(name)))
        }
        _ => None,
    }
    // An unknown name demands nothing that could be compared.
    .filter(|set| *set != 0)
}

fn type_of(node: &Node) -> u8 {
    match &node.value {
        Value::Null => types::NULL,
        Value::Bool(_) => types::BOOLEAN,
        Value::Number(number) if number.is_f64() => types::NUMBER,
        Value::Number(_) => types::INTEGER,
        Value::String(_) => types::STRING,
        Value::Array(_) => types::ARRAY,
        Value::Object(_) => types::OBJECT,
    }
}

impl<'t> View<'t> {
    /// Looks at a schema.
    pub(crate) fn new(text: Text<'t>, schema: &Schema<'t>) -> Self {
        Self::chosen(text, schema, &Choices::new())
    }

    /// Looks at a schema of which some alternatives were chosen.
    pub(crate) fn chosen(text: Text<'t>, schema: &Schema<'t>, choices: &Choices) -> Self {
        match schema {
            Schema::All(nodes) => Self::all(text, nodes, choices),
            Schema::Form(fields) => {
                let mut view = Self::all(text, &[], choices);
                view.types = types::OBJECT;
                view.node = fields.first().map(|field| field.node);
                for field in fields {
                    let property = Property {
                        schema: vec![field.node],
                        node: Some(field.node),
                        required: field.required,
                        ..Property::default()
                    };
                    view.properties.insert(field.name, property);
                }
                view
            }
        }
    }

    fn all(text: Text<'t>, nodes: &[&'t Node], choices: &Choices) -> Self {
        let mut collector = Collector {
            text,
            seen: HashSet::new(),
            layers: Vec::new(),
            unions: Vec::new(),
            choices,
            elsewhere: Vec::new(),
            node: nodes.first().copied(),
            never: false,
            nullable: false,
        };
        collector.collect(nodes);
        let mut view = Self {
            layers: collector.layers,
            node: collector.node,
            types: types::ANY,
            properties: IndexMap::new(),
            additional: Additional::Any,
            items: Vec::new(),
            prefix: Vec::new(),
            unions: collector.unions,
            allowed: None,
            elsewhere: collector.elsewhere,
        };
        view.read_allowed();
        view.read_properties(text);
        view.read_items();
        view.read_types(collector.nullable);
        if collector.never {
            view.types = 0;
        }
        view
    }

    fn read_types(&mut self, nullable: bool) {
        let named: Vec<u8> = self
            .layers
            .iter()
            .filter_map(|layer| named_types(layer))
            .collect();
        self.types = named.iter().fold(types::ANY, |all, set| all & set);
        if named.is_empty() && self.unions.is_empty() {
            if let Some(allowed) = self.allowed.as_ref().filter(|allowed| !allowed.is_empty()) {
                self.types = allowed.iter().fold(0, |set, node| set | type_of(node));
            } else if self
                .properties
                .values()
                .any(|property| property.node.is_some())
                || matches!(self.additional, Additional::Schema(_))
            {
                // Whoever lists properties means an object, though JSON Schema does not say so.
                self.types = types::OBJECT;
            } else if self.has("items") || self.has("prefixItems") {
                self.types = types::ARRAY;
            }
        }
        if nullable {
            self.types |= types::NULL;
        }
    }

    fn read_allowed(&mut self) {
        for layer in &self.layers {
            let single = layer.get("const").map(|node| vec![node]);
            let list = layer.get("enum").and_then(Node::as_array);
            let list = list.map(|nodes| nodes.iter().collect::<Vec<_>>());
            for values in single.into_iter().chain(list) {
                self.allowed = Some(match self.allowed.take() {
                    None => values,
                    Some(known) => {
                        let values: HashSet<String> =
                            values.iter().map(|node| shown(node)).collect();
                        known
                            .into_iter()
                            .filter(|node| values.contains(&shown(node)))
                            .collect()
                    }
                });
            }
        }
    }

    fn read_properties(&mut self, text: Text<'t>) {
        for layer in &self.layers {
            for entry in layer
                .get("properties")
                .and_then(Node::as_object)
                .into_iter()
                .flatten()
            {
                let property = self.properties.entry(&entry.key).or_default();
                property.schema.push(&entry.node);
                property.node.get_or_insert(&entry.node);
                let target = text.resolve(&entry.node);
                let flag = |key| {
                    let own = |node: &Node| node.get(key).and_then(Node::as_bool) == Some(true);
                    own(&entry.node) || own(target)
                };
                property.read_only |= flag("readOnly");
                property.write_only |= flag("writeOnly") || flag("x-writeOnly");
            }
            match layer.get("additionalProperties") {
                Some(Node {
                    value: Value::Bool(false),
                    ..
                }) => self.additional = Additional::None,
                Some(node) if node.as_object().is_some_and(|object| !object.is_empty()) => {
                    match &mut self.additional {
                        Additional::Any => self.additional = Additional::Schema(vec![node]),
                        Additional::Schema(nodes) => nodes.push(node),
                        Additional::None => {}
                    }
                }
                _ => {}
            }
        }
        for layer in &self.layers {
            let names = layer
                .get("required")
                .and_then(Node::as_array)
                .unwrap_or_default();
            for name in names.iter().filter_map(Node::as_str) {
                self.properties.entry(name).or_default().required = true;
            }
        }
    }

    fn read_items(&mut self) {
        for layer in &self.layers {
            let prefix = layer
                .get("prefixItems")
                .and_then(Node::as_array)
                .unwrap_or_default();
            for (index, node) in prefix.iter().enumerate() {
                if self.prefix.len() <= index {
                    self.prefix.push(Vec::new());
                }
                self.prefix[index].push(node);
            }
            if let Some(node) = layer.get("items")
                && matches!(node.value, Value::Object(_) | Value::Bool(_))
            {
                self.items.push(node);
            }
        }
    }

    /// Whether a keyword is there.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.keyword(key).is_some()
    }

    /// The first value of a keyword.
    pub(crate) fn keyword(&self, key: &str) -> Option<&'t Node> {
        self.layers.iter().find_map(|layer| layer.get(key))
    }

    /// All values of a keyword.
    pub(crate) fn keywords(&self, key: &str) -> impl Iterator<Item = &'t Node> {
        self.layers.iter().filter_map(move |layer| layer.get(key))
    }

    /// `format`; `binary` for the files of Swagger 2.0.
    pub(crate) fn format(&self) -> Option<&'t str> {
        let file = || {
            let kind = self.keyword("type").and_then(Node::as_str);
            (kind == Some("file")).then_some("binary")
        };
        self.keyword("format").and_then(Node::as_str).or_else(file)
    }

    /// The numbers of a keyword.
    fn numbers(&self, key: &str) -> impl Iterator<Item = f64> {
        self.keywords(key)
            .filter_map(|node| node.as_number()?.as_f64())
    }

    /// The highest number of a keyword: what holds of a lower limit.
    pub(crate) fn highest(&self, key: &str) -> Option<f64> {
        self.numbers(key).reduce(f64::max)
    }

    /// The lowest number of a keyword: what holds of an upper limit.
    pub(crate) fn lowest(&self, key: &str) -> Option<f64> {
        self.numbers(key).reduce(f64::min)
    }

    /// The lower limit of numbers; `exclusiveMinimum` is a flag before OpenAPI 3.1.
    pub(crate) fn minimum(&self) -> Option<Bound> {
        self.bounds("minimum", "exclusiveMinimum").reduce(|a, b| {
            let stricter = b.value > a.value || (b.value == a.value && b.exclusive);
            if stricter { b } else { a }
        })
    }

    /// The upper limit of numbers.
    pub(crate) fn maximum(&self) -> Option<Bound> {
        self.bounds("maximum", "exclusiveMaximum").reduce(|a, b| {
            let stricter = b.value < a.value || (b.value == a.value && b.exclusive);
            if stricter { b } else { a }
        })
    }

    fn bounds(&self, key: &'static str, exclusive: &'static str) -> impl Iterator<Item = Bound> {
        self.layers.iter().flat_map(move |layer| {
            let number = |key| layer.get(key)?.as_number()?.as_f64();
            let flag = layer.get(exclusive).and_then(Node::as_bool) == Some(true);
            let own = number(key).map(|value| Bound {
                value,
                exclusive: flag,
            });
            let strict = number(exclusive).map(|value| Bound {
                value,
                exclusive: true,
            });
            own.into_iter().chain(strict)
        })
    }

    /// Whether nothing but `oneOf` or `anyOf` is demanded.
    pub(crate) fn only_unions(&self) -> bool {
        self.types | types::NULL == types::ANY
            && self.properties.is_empty()
            && self.allowed.is_none()
            && self.elsewhere.is_empty()
    }
}

/// A value as JSON.
pub(crate) fn shown(node: &Node) -> String {
    node.to_json().to_string()
}
