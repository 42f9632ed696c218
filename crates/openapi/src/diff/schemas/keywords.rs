//! The keywords that hold of one value.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use tree::Node;

use crate::diff::Comparison;
use crate::diff::rules::{self, Facet, Relation};
use crate::diff::schemas::Views;
use crate::schema::{Bound, Direction, View, shown, types};

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
}
