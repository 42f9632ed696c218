//! The keywords that hold of one value, and the properties of objects.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::rc::Rc;

use tree::Node;

use crate::calls::Schema;
use crate::diff::Comparison;
use crate::diff::rules::{self, Facet, Relation};
use crate::diff::schemas::{Pair, Views, Walk, Way};
use crate::schema::{Additional, Bound, Direction, Property, View, shown, types};

/// Keywords that are compared as they are written.
const CONDITIONS: &[&str] = &[
    "not",
    "if",
    "then",
    "else",
    "dependentSchemas",
    "dependentRequired",
    "dependencies",
    "patternProperties",
    "propertyNames",
    "contains",
    "minContains",
    "maxContains",
    "unevaluatedProperties",
    "unevaluatedItems",
    "contentEncoding",
    "contentMediaType",
];

/// Which way a limit moved: `stricter` is the order in which the new one is narrower.
fn moved(old: Option<f64>, new: Option<f64>, stricter: Ordering) -> Option<Relation> {
    match (old, new) {
        (None, None) => None,
        (None, Some(_)) => Some(Relation::Narrowed),
        (Some(_), None) => Some(Relation::Widened),
        (Some(old), Some(new)) => match new.partial_cmp(&old)? {
            Ordering::Equal => None,
            order if order == stricter => Some(Relation::Narrowed),
            _ => Some(Relation::Widened),
        },
    }
}

/// As [`moved`], with equal limits told apart by being exclusive.
fn bound_moved(old: Option<Bound>, new: Option<Bound>, stricter: Ordering) -> Option<Relation> {
    let value = |bound: Option<Bound>| bound.map(|bound| bound.value);
    moved(value(old), value(new), stricter).or_else(|| match (old?.exclusive, new?.exclusive) {
        (false, true) => Some(Relation::Narrowed),
        (true, false) => Some(Relation::Widened),
        _ => None,
    })
}

fn bound_shown(bound: Option<Bound>) -> String {
    match bound {
        None => "none".to_owned(),
        Some(Bound {
            value,
            exclusive: true,
        }) => format!("{value}, exclusive"),
        Some(Bound { value, .. }) => value.to_string(),
    }
}

fn number_shown(number: Option<f64>) -> String {
    number.map_or_else(|| "none".to_owned(), |number| number.to_string())
}

fn format_moved(old: Option<&str>, new: Option<&str>) -> Option<Relation> {
    match (old, new) {
        (old, new) if old == new => None,
        (None, _) | (Some("int64"), Some("int32")) | (Some("double"), Some("float")) => {
            Some(Relation::Narrowed)
        }
        (_, None) | (Some("int32"), Some("int64")) | (Some("float"), Some("double")) => {
            Some(Relation::Widened)
        }
        _ => Some(Relation::Changed),
    }
}

impl<'t> Comparison<'t> {
    /// Compares the keywords that matter to the types that both allow.
    pub(super) fn keywords(&mut self, views: &Views<'_, 't>, shared: u8) {
        self.values(views);
        if shared & types::NUMBER != 0 {
            self.numbers(views);
        }
        if shared & (types::STRING | types::NUMBER) != 0 {
            let (old, new) = (views.old.format(), views.new.format());
            if let Some(relation) = format_moved(old, new) {
                let about = views
                    .about("format")
                    .values(old.unwrap_or("none"), new.unwrap_or("none"));
                self.facet(views, &rules::FORMAT, relation, about);
            }
        }
        if shared & types::STRING != 0 {
            self.pattern(views);
            self.limits(views, "minLength", &rules::MIN_LENGTH, Ordering::Greater);
            self.limits(views, "maxLength", &rules::MAX_LENGTH, Ordering::Less);
        }
        if shared & types::ARRAY != 0 {
            self.limits(views, "minItems", &rules::MIN_ITEMS, Ordering::Greater);
            self.limits(views, "maxItems", &rules::MAX_ITEMS, Ordering::Less);
            let unique = |view: &View<'t>| {
                view.keywords("uniqueItems")
                    .any(|node| node.as_bool() == Some(true))
            };
            match (unique(&views.old), unique(&views.new)) {
                (false, true) => self.facet(
                    views,
                    &rules::UNIQUE_ITEMS,
                    Relation::Narrowed,
                    views.about("uniqueItems"),
                ),
                (true, false) => self.facet(
                    views,
                    &rules::UNIQUE_ITEMS,
                    Relation::Widened,
                    views.about("uniqueItems"),
                ),
                _ => {}
            }
        }
        if shared & types::OBJECT != 0 {
            self.limits(
                views,
                "minProperties",
                &rules::MIN_PROPERTIES,
                Ordering::Greater,
            );
            self.limits(
                views,
                "maxProperties",
                &rules::MAX_PROPERTIES,
                Ordering::Less,
            );
        }
        self.conditions(views);
    }

    fn limits(&mut self, views: &Views<'_, 't>, key: &str, facet: &Facet, stricter: Ordering) {
        let limit = |view: &View<'t>| match stricter {
            // A least number of nothing is no limit.
            Ordering::Greater => view.highest(key).filter(|number| *number > 0.0),
            _ => view.lowest(key),
        };
        let (old, new) = (limit(&views.old), limit(&views.new));
        if let Some(relation) = moved(old, new, stricter) {
            let about = views
                .about(key)
                .values(number_shown(old), number_shown(new));
            self.facet(views, facet, relation, about);
        }
    }

    fn numbers(&mut self, views: &Views<'_, 't>) {
        let (old, new) = (views.old.minimum(), views.new.minimum());
        if let Some(relation) = bound_moved(old, new, Ordering::Greater) {
            let about = views
                .about("minimum")
                .values(bound_shown(old), bound_shown(new));
            self.facet(views, &rules::MINIMUM, relation, about);
        }
        let (old, new) = (views.old.maximum(), views.new.maximum());
        if let Some(relation) = bound_moved(old, new, Ordering::Less) {
            let about = views
                .about("maximum")
                .values(bound_shown(old), bound_shown(new));
            self.facet(views, &rules::MAXIMUM, relation, about);
        }
        let step = |view: &View<'t>| view.keyword("multipleOf")?.as_number()?.as_f64();
        let (old, new) = (step(&views.old), step(&views.new));
        let divides = |small: f64, large: f64| large % small == 0.0;
        let relation = match (old, new) {
            (None, None) => None,
            (None, Some(_)) => Some(Relation::Narrowed),
            (Some(_), None) => Some(Relation::Widened),
            (Some(old), Some(new)) if old == new => None,
            (Some(old), Some(new)) if divides(old, new) => Some(Relation::Narrowed),
            (Some(old), Some(new)) if divides(new, old) => Some(Relation::Widened),
            _ => Some(Relation::Changed),
        };
        if let Some(relation) = relation {
            let about = views
                .about("multipleOf")
                .values(number_shown(old), number_shown(new));
            self.facet(views, &rules::MULTIPLE_OF, relation, about);
        }
    }

    fn pattern(&mut self, views: &Views<'_, 't>) {
        let all = |view: &View<'t>| {
            let mut all: Vec<&str> = view.keywords("pattern").filter_map(Node::as_str).collect();
            all.sort_unstable();
            all.dedup();
            all
        };
        let (old, new) = (all(&views.old), all(&views.new));
        if old == new {
            return;
        }
        let relation = if old.iter().all(|pattern| new.contains(pattern)) {
            Relation::Narrowed
        } else if new.iter().all(|pattern| old.contains(pattern)) {
            Relation::Widened
        } else {
            Relation::Changed
        };
        let about = views
            .about("pattern")
            .values(old.join(" and "), new.join(" and "));
        self.facet(views, &rules::PATTERN, relation, about);
    }

    /// `enum`, `const` and `default`.
    fn values(&mut self, views: &Views<'_, 't>) {
        let set = |view: &View<'t>| {
            let allowed = view.allowed.as_ref()?.iter();
            // `null` is a matter of the types.
            let values = allowed.filter(|node| !node.is_null());
            Some(
                values
                    .map(|node| (shown(node), *node))
                    .collect::<BTreeMap<_, _>>(),
            )
        };
        let about = || {
            views.about(if views.new.has("enum") || views.old.has("enum") {
                "enum"
            } else {
                "const"
            })
        };
        let list = |values: Vec<&String>| {
            values
                .iter()
                .map(|value| value.as_str())
                .collect::<Vec<_>>()
                .join(", ")
        };
        match (set(&views.old), set(&views.new)) {
            (None, Some(new)) => {
                let about = about().values("any", list(new.keys().collect()));
                self.facet(views, &rules::ENUM, Relation::Narrowed, about);
            }
            (Some(old), None) => {
                let about = about().values(list(old.keys().collect()), "any");
                self.facet(views, &rules::ENUM, Relation::Widened, about);
            }
            (Some(old), Some(new)) => {
                let gone: Vec<&String> = old
                    .keys()
                    .filter(|value| !new.contains_key(*value))
                    .collect();
                let more: Vec<&String> = new
                    .keys()
                    .filter(|value| !old.contains_key(*value))
                    .collect();
                if !gone.is_empty() {
                    let about = about().values(list(gone), "");
                    self.facet(views, &rules::ENUM, Relation::Narrowed, about);
                }
                if !more.is_empty() {
                    let about = about().values("", list(more));
                    self.facet(views, &rules::ENUM, Relation::Widened, about);
                }
            }
            (None, None) => {}
        }
        if views.direction == Direction::Request
            && let (Some(old), Some(new)) =
                (views.old.keyword("default"), views.new.keyword("default"))
            && old.to_json() != new.to_json()
        {
            let about = views.about("default").values(shown(old), shown(new));
            self.say(
                &views.pair.way,
                &rules::REQUEST_DEFAULT_CHANGED,
                "the default is another",
                about,
            );
        }
    }

    fn conditions(&mut self, views: &Views<'_, 't>) {
        for key in CONDITIONS {
            let all = |view: &View<'t>| {
                let mut all: Vec<String> = view.keywords(key).map(shown).collect();
                all.sort_unstable();
                all.dedup();
                all
            };
            let (old, new) = (all(&views.old), all(&views.new));
            let relation = match (old.is_empty(), new.is_empty()) {
                _ if old == new => continue,
                (true, _) => Relation::Narrowed,
                (_, true) => Relation::Widened,
                _ => Relation::Changed,
            };
            let about = views
                .about(key)
                .values(old.join(" and "), new.join(" and "));
            self.facet(views, &rules::CONDITION, relation, about);
        }
        let elsewhere = |view: &View<'t>| {
            let mut all = view.elsewhere.clone();
            all.sort_unstable();
            all
        };
        let (old, new) = (elsewhere(&views.old), elsewhere(&views.new));
        if old != new {
            let relation = match (old.is_empty(), new.is_empty()) {
                (true, _) => Relation::Narrowed,
                (_, true) => Relation::Widened,
                _ => Relation::Changed,
            };
            let about = views
                .about("$ref")
                .values(old.join(" and "), new.join(" and "));
            self.facet(views, &rules::REFERENCE, relation, about);
        }
    }

    pub(super) fn properties(&mut self, walk: &mut Walk<'t>, views: &Views<'_, 't>) {
        let request = views.direction == Direction::Request;
        let visible = |property: &Property<'t>| {
            !(if request {
                property.read_only
            } else {
                property.write_only
            })
        };
        for (name, old) in views
            .old
            .properties
            .iter()
            .filter(|(_, property)| visible(property))
        {
            match views
                .new
                .properties
                .get(name)
                .filter(|property| visible(property))
            {
                Some(new) => self.property(walk, views, name, (old, new)),
                None => self.property_gone(views, name, old),
            }
        }
        for (name, new) in views
            .new
            .properties
            .iter()
            .filter(|(_, property)| visible(property))
        {
            if !views.old.properties.get(name).is_some_and(visible) {
                self.property_new(views, name, new);
            }
        }
        self.additional(walk, views);
    }

    fn property(
        &mut self,
        walk: &mut Walk<'t>,
        views: &Views<'_, 't>,
        name: &str,
        (old, new): (&Property<'t>, &Property<'t>),
    ) {
        let mut about = views.about("properties");
        about.old = old.node.or(about.old);
        about.new = new.node.or(about.new);
        let nodes = (
            about.old.unwrap_or(views.pair.nodes.0),
            about.new.unwrap_or(views.pair.nodes.1),
        );
        let way = Rc::new(Way::Property(Rc::clone(&views.pair.way), name.into()));
        let request = views.direction == Direction::Request;
        match (old.required, new.required) {
            (false, true) => {
                let rule = if request {
                    &rules::REQUEST_PROPERTY_BECAME_REQUIRED
                } else {
                    &rules::RESPONSE_PROPERTY_BECAME_REQUIRED
                };
                self.say(&way, rule, "it is now required", about);
            }
            (true, false) => {
                let rule = if request {
                    &rules::REQUEST_PROPERTY_BECAME_OPTIONAL
                } else {
                    &rules::RESPONSE_PROPERTY_BECAME_OPTIONAL
                };
                self.say(&way, rule, "it is now optional", about);
            }
            _ => {}
        }
        walk.waiting.push_back(Pair {
            old: Schema::All(old.schema.clone()),
            new: Schema::All(new.schema.clone()),
            nodes,
            way,
        });
    }

    fn property_gone(&mut self, views: &Views<'_, 't>, name: &str, old: &Property<'t>) {
        let request = views.direction == Direction::Request;
        let mut about = views.about("properties");
        about.old = old.node.or(about.old);
        let (rule, text) = match (request, old.node.is_some()) {
            (true, true) => (&rules::REQUEST_PROPERTY_REMOVED, "is gone"),
            (true, false) => (&rules::REQUEST_PROPERTY_BECAME_OPTIONAL, "is now optional"),
            (false, true) => (&rules::RESPONSE_PROPERTY_REMOVED, "is gone"),
            (false, false) => (
                &rules::RESPONSE_PROPERTY_BECAME_OPTIONAL,
                "may now be missing",
            ),
        };
        self.say(
            &views.pair.way,
            rule,
            &format!("the property `{name}` {text}"),
            about,
        );
    }

    fn property_new(&mut self, views: &Views<'_, 't>, name: &str, new: &Property<'t>) {
        let mut about = views.about("properties");
        about.new = new.node.or(about.new);
        let default = || {
            new.schema
                .iter()
                .any(|node| self.new.resolve(node).get("default").is_some())
        };
        let (rule, text) = match views.direction {
            Direction::Response => (&rules::RESPONSE_PROPERTY_ADDED, "is new"),
            Direction::Request if new.required && !default() => (
                &rules::REQUEST_PROPERTY_ADDED_REQUIRED,
                "is new and required",
            ),
            Direction::Request => (&rules::REQUEST_PROPERTY_ADDED, "is new"),
        };
        self.say(
            &views.pair.way,
            rule,
            &format!("the property `{name}` {text}"),
            about,
        );
    }

    fn additional(&mut self, walk: &mut Walk<'t>, views: &Views<'_, 't>) {
        let about = views.about("additionalProperties");
        let request = views.direction == Direction::Request;
        match (&views.old.additional, &views.new.additional) {
            (Additional::Any, Additional::Any) | (Additional::None, Additional::None) => {}
            (_, Additional::None) => {
                let rule = if request {
                    &rules::REQUEST_FURTHER_FORBIDDEN
                } else {
                    &rules::RESPONSE_FURTHER_FORBIDDEN
                };
                self.say(
                    &views.pair.way,
                    rule,
                    "further properties are not allowed any more",
                    about,
                );
            }
            (Additional::None, _) => {
                let rule = if request {
                    &rules::REQUEST_FURTHER_ALLOWED
                } else {
                    &rules::RESPONSE_FURTHER_ALLOWED
                };
                self.say(
                    &views.pair.way,
                    rule,
                    "further properties are allowed",
                    about,
                );
            }
            (Additional::Any, Additional::Schema(_)) => {
                self.facet(
                    views,
                    &rules::ADDITIONAL_PROPERTIES,
                    Relation::Narrowed,
                    about,
                );
            }
            (Additional::Schema(_), Additional::Any) => {
                self.facet(
                    views,
                    &rules::ADDITIONAL_PROPERTIES,
                    Relation::Widened,
                    about,
                );
            }
            (Additional::Schema(old), Additional::Schema(new)) => {
                let nodes = (
                    about.old.unwrap_or(views.pair.nodes.0),
                    about.new.unwrap_or(views.pair.nodes.1),
                );
                walk.waiting.push_back(Pair {
                    old: Schema::All(old.clone()),
                    new: Schema::All(new.clone()),
                    nodes,
                    way: Rc::new(Way::Additional(Rc::clone(&views.pair.way))),
                });
            }
        }
    }
}
