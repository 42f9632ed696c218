//! Values from schemas.

use serde_json::{Map, Value};
use tree::Node;

use crate::calls::{Schema, Text};
use crate::mock::scalar::{self, Random};
use crate::mock::{Options, check};
use crate::schema::{Additional, Choices, Direction, Property, View, types};

/// Alternatives of one union that are tried.
const BRANCHES_MAX: usize = 32;
/// How often a value that does not fit its schema is made anew.
const TRIES: usize = 4;

/// Makes the values of one example.
pub(super) struct Generator<'t> {
    pub(super) text: Text<'t>,
    pub(super) direction: Direction,
    options: Options,
    random: Random,
    /// What is left of `steps_max`.
    steps: usize,
    /// The schemas whose values are being made, by the addresses of their layers: a schema that stands here twice
    /// contains itself.
    open: Vec<usize>,
}

impl<'t> Generator<'t> {
    pub(super) fn new(text: Text<'t>, direction: Direction, options: &Options) -> Self {
        Self {
            text,
            direction,
            random: Random::new(options.seed),
            steps: options.steps_max,
            options: options.clone(),
            open: Vec::new(),
        }
    }

    /// Pays for steps; false when only what is required may be made.
    fn pay(&mut self, steps: usize) -> bool {
        self.steps = self.steps.saturating_sub(steps);
        self.steps > 0
    }

    /// A value of a schema; the best of a few tries.
    pub(super) fn top(&mut self, schema: &Schema<'t>) -> Value {
        let mut first = None;
        for _ in 0..TRIES {
            let value = self.value(schema, 0).unwrap_or(Value::Null);
            if self.fits(&value, schema) {
                return value;
            }
            first.get_or_insert(value);
            if !self.pay(1) {
                break;
            }
        }
        first.unwrap_or(Value::Null)
    }

    fn fits(&mut self, value: &Value, schema: &Schema<'t>) -> bool {
        let mut check = check::Check::new(self.text, self.direction, self.steps);
        let fits = check.fits(value, schema, 0);
        self.steps = check.steps;
        fits
    }

    /// A value, or nothing where the schema contains itself without end.
    fn value(&mut self, schema: &Schema<'t>, depth: usize) -> Option<Value> {
        let view = View::new(self.text, schema);
        self.pay(1 + view.layers.len());
        if let Some(value) = self.written(&view, schema) {
            return Some(value);
        }
        let deepest = if self.steps == 0 {
            self.options.optional_depth
        } else {
            self.options.depth_max
        };
        if depth >= deepest {
            return (view.types & types::NULL != 0).then_some(Value::Null);
        }
        let opened = self.open.len();
        self.open.extend(
            view.layers
                .iter()
                .map(|layer| std::ptr::from_ref(*layer) as usize),
        );
        let value = if view.unions.is_empty() {
            self.typed(&view, depth)
        } else {
            self.chosen(schema, &Choices::new(), depth)
        };
        self.open.truncate(opened);
        value
    }

    /// What the author gave for the schema: `example`, `examples`, `default`, `const`, `enum`, where it fits.
    fn written(&mut self, view: &View<'t>, schema: &Schema<'t>) -> Option<Value> {
        let lists = view
            .keywords("examples")
            .filter_map(|node| node.as_array()?.first());
        let singles = ["example", "x-example"]
            .into_iter()
            .flat_map(|key| view.keywords(key));
        let mut candidates: Vec<&'t Node> = singles.chain(lists).collect();
        candidates.extend(view.keywords("default"));
        if let Some(allowed) = view.allowed.as_ref().filter(|allowed| !allowed.is_empty()) {
            let start = self.random.below(allowed.len());
            candidates.extend(
                allowed[start..]
                    .iter()
                    .chain(&allowed[..start])
                    .take(BRANCHES_MAX),
            );
        }
        candidates.into_iter().map(Node::to_json).find(|value| {
            // `null` tells nobody anything where there is more to tell.
            (!value.is_null() || view.types == types::NULL) && self.fits(value, schema)
        })
    }

    /// Chooses alternatives until none is left to choose, and takes the first choice whose value fits.
    fn chosen(&mut self, schema: &Schema<'t>, choices: &Choices, depth: usize) -> Option<Value> {
        let view = View::chosen(self.text, schema, choices);
        let Some(union) = view.unions.first() else {
            return self.typed(&view, depth);
        };
        let mut first = None;
        for index in 0..union.branches.len().min(BRANCHES_MAX) {
            let branch = union.branches[index];
            let recursive = self.recursive(&[branch]);
            if recursive && index + 1 < union.branches.len() {
                continue;
            }
            let mut choices = choices.clone();
            choices.insert(union.key(), index);
            let mut value = self.chosen(schema, &choices, depth);
            if let Some(value) = &mut value {
                discriminate(value, &view, branch);
            }
            if value.as_ref().is_some_and(|value| self.fits(value, schema)) {
                return value;
            }
            first = first.or(value);
            if !self.pay(1) {
                break;
            }
        }
        first
    }

    /// Whether one of the schemas is being made already.
    fn recursive(&self, nodes: &[&'t Node]) -> bool {
        let open = |node: &&'t Node| {
            let object = self.text.resolve(node).as_object();
            object.is_some_and(|object| self.open.contains(&(std::ptr::from_ref(object) as usize)))
        };
        nodes.iter().any(open)
    }

    /// Whether a schema, or the items of the list that it is, is being made already.
    fn returns(&self, nodes: &[&'t Node]) -> bool {
        self.recursive(nodes)
            || nodes.iter().any(|node| {
                let target = self.text.resolve(node);
                let items = target
                    .get("items")
                    .or_else(|| target.get("additionalProperties"));
                items.is_some_and(|items| self.recursive(&[items]))
            })
    }

    fn typed(&mut self, view: &View<'t>, depth: usize) -> Option<Value> {
        if let Some(allowed) = view.allowed.as_ref().filter(|allowed| !allowed.is_empty()) {
            return Some(allowed[self.random.below(allowed.len())].to_json());
        }
        let set = view.types;
        let has = |bit: u8| set & bit != 0;
        Some(if set == types::ANY {
            self.anything(view)
        } else if has(types::OBJECT) {
            return self.object(view, depth);
        } else if has(types::ARRAY) {
            return self.array(view, depth);
        } else if has(types::STRING) {
            Value::String(scalar::string(
                view,
                self.options.length_max,
                &mut self.random,
            ))
        } else if has(types::INTEGER) || has(types::FRACTION) {
            scalar::number(view, &mut self.random)
        } else if has(types::BOOLEAN) {
            Value::Bool(self.random.below(2) == 0)
        } else {
            Value::Null
        })
    }

    /// A value of a schema without a type: what its keywords are about.
    fn anything(&mut self, view: &View<'t>) -> Value {
        if view.minimum().is_some() || view.maximum().is_some() || view.has("multipleOf") {
            scalar::number(view, &mut self.random)
        } else {
            Value::String(scalar::string(
                view,
                self.options.length_max,
                &mut self.random,
            ))
        }
    }

    fn object(&mut self, view: &View<'t>, depth: usize) -> Option<Value> {
        let mut members = Map::new();
        let count = |number: Option<f64>| number.map(|number| number.max(0.0));
        let most = count(view.lowest("maxProperties")).unwrap_or(f64::INFINITY);
        let shown: Vec<(&str, &Property<'t>)> = view
            .properties
            .iter()
            .filter(|(_, property)| self.visible(property))
            .map(|(name, property)| (*name, property))
            .collect();
        let mandatory = shown
            .iter()
            .filter(|(_, property)| property.required)
            .count();
        let mut spare = most - mandatory as f64;
        for (name, property) in shown {
            if !property.required {
                if depth >= self.options.optional_depth
                    || self.steps == 0
                    || spare < 1.0
                    || self.returns(&property.schema)
                {
                    continue;
                }
                spare -= 1.0;
            }
            let schema = match (&view.additional, property.node) {
                (Additional::Schema(nodes), None) => Schema::All(nodes.clone()),
                _ => Schema::All(property.schema.clone()),
            };
            match self.value(&schema, depth + 1) {
                Some(value) => {
                    members.insert(name.to_owned(), value);
                }
                None if property.required => return None,
                None => {}
            }
        }
        self.further(view, depth, &mut members)?;
        Some(Value::Object(members))
    }

    /// Whether a property is sent in this direction.
    fn visible(&self, property: &Property<'t>) -> bool {
        match self.direction {
            Direction::Request => !property.read_only,
            Direction::Response => !property.write_only,
        }
    }

    /// Properties that are not declared: one as an example of a map, and as many as must be there.
    fn further(
        &mut self,
        view: &View<'t>,
        depth: usize,
        members: &mut Map<String, Value>,
    ) -> Option<()> {
        let nodes = match &view.additional {
            Additional::None => return Some(()),
            Additional::Any => Vec::new(),
            Additional::Schema(nodes) => nodes.clone(),
        };
        let map =
            !nodes.is_empty() && members.is_empty() && self.steps > 0 && !self.returns(&nodes);
        let wanted = view
            .highest("minProperties")
            .unwrap_or(0.0)
            .max(if map { 1.0 } else { 0.0 });
        let names = view
            .keyword("propertyNames")
            .map(|node| Schema::of(Some(node)));
        let mut turn = 0;
        while (members.len() as f64) < wanted && turn < self.options.length_max && self.steps > 0 {
            turn += 1;
            let name = match &names {
                Some(schema) => self.value(schema, depth + 1)?.as_str().map(str::to_owned),
                None => None,
            };
            let name = name.unwrap_or_else(|| format!("property{turn}"));
            let value = self.value(&Schema::All(nodes.clone()), depth + 1);
            match value {
                Some(value) => members.insert(name, value),
                None => {
                    return if view.highest("minProperties").is_some() {
                        None
                    } else {
                        Some(())
                    };
                }
            };
        }
        Some(())
    }

    fn array(&mut self, view: &View<'t>, depth: usize) -> Option<Value> {
        let limit = self.options.length_max as f64;
        let least = view.highest("minItems").unwrap_or(0.0).min(limit);
        let most = view.lowest("maxItems").unwrap_or(limit).min(limit);
        let contains: Option<&'t Node> = view.keyword("contains");
        let forbidden = view.items.iter().any(|node| node.as_bool() == Some(false));
        let cut = self.returns(&view.items) || self.steps == 0 || forbidden;
        let wanted = if cut { 0.0 } else { 1.0 };
        let wanted = least.max(wanted).max(view.prefix.len() as f64).min(most);
        let unique = view
            .keywords("uniqueItems")
            .any(|node| node.as_bool() == Some(true));
        let mut items: Vec<Value> = Vec::new();
        while (items.len() as f64) < wanted && (self.steps > 0 || items.is_empty()) {
            let mut nodes = view.prefix.get(items.len()).unwrap_or(&view.items).clone();
            if items.is_empty() {
                nodes.extend(contains);
            }
            let schema = Schema::All(nodes);
            let mut value = self.value(&schema, depth + 1);
            let mut tries = 0;
            while unique && tries < 20 && value.as_ref().is_some_and(|value| items.contains(value))
            {
                tries += 1;
                value = self.varied(&schema, depth + 1);
            }
            match value {
                Some(value) if !(unique && items.contains(&value)) => items.push(value),
                _ if (items.len() as f64) < least => return None,
                _ => break,
            }
        }
        Some(Value::Array(items))
    }

    /// Another value than what the author wrote.
    fn varied(&mut self, schema: &Schema<'t>, depth: usize) -> Option<Value> {
        let view = View::new(self.text, schema);
        self.pay(1);
        if view.unions.is_empty() {
            self.typed(&view, depth)
        } else {
            self.value(schema, depth)
        }
    }
}

/// Writes into the discriminator which alternative was chosen.
fn discriminate(value: &mut Value, view: &View<'_>, branch: &Node) {
    let Some(reference) = branch.get("$ref").and_then(Node::as_str) else {
        return;
    };
    let Some(discriminator) = view.keyword("discriminator") else {
        return;
    };
    let Some(name) = discriminator.get("propertyName").and_then(Node::as_str) else {
        return;
    };
    let last = |text: &str| text.rsplit('/').next().unwrap_or_default().to_owned();
    let mapping = discriminator.get("mapping").and_then(Node::as_object);
    let mapped = mapping.into_iter().flatten().find(|entry| {
        let target = entry.node.as_str().unwrap_or_default();
        target == reference || last(target) == last(reference)
    });
    let chosen = mapped.map_or_else(|| last(reference), |entry| entry.key.clone());
    // A property that names its values itself knows better.
    if let Some(Value::String(text)) = value.get_mut(name)
        && mapped.is_some()
    {
        *text = chosen;
    }
}
