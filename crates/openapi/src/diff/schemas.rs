//! Schemas, keyword by keyword.
//!
//! Pairs of schemas wait in a queue, so no recursion of the definition becomes a recursion here; a pair that was
//! looked at in one comparison is not looked at again, which ends those of schemas that contain themselves.

use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::rc::Rc;

use tree::Node;

use crate::calls::{Field, Schema, Text, address};
use crate::diff::rules::{self, Facet, Relation};
use crate::diff::{About, Comparison};
use crate::model::Dialect;
use crate::schema::{Direction, View, types};

mod keywords;
mod properties;
mod unions;

/// Where a schema stands, for messages.
pub(crate) enum Where<'a> {
    /// The words for what has the schema.
    Base(&'a str),
}

/// The way from there to a part of the schema.
#[derive(Clone)]
enum Way {
    Start(Rc<str>),
    Property(Rc<Way>, Rc<str>),
    Items(Rc<Way>),
    Additional(Rc<Way>),
}

impl Way {
    fn write(&self, text: &mut String) {
        match self {
            Self::Start(_) => {}
            Self::Property(parent, name) => {
                parent.write(text);
                if !text.is_empty() {
                    text.push('.');
                }
                text.push_str(name);
            }
            Self::Items(parent) => {
                parent.write(text);
                text.push_str("[]");
            }
            Self::Additional(parent) => {
                parent.write(text);
                text.push_str(if text.is_empty() { "*" } else { ".*" });
            }
        }
    }

    fn start(&self) -> &str {
        match self {
            Self::Start(text) => text,
            Self::Property(parent, _) | Self::Items(parent) | Self::Additional(parent) => {
                parent.start()
            }
        }
    }
}

/// `the body as application/json, items[].name`
impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.start())?;
        let mut text = String::new();
        self.write(&mut text);
        if text.is_empty() {
            return Ok(());
        }
        write!(f, ", `{text}`")
    }
}

/// Which schemas, by the addresses of their nodes.
type Key = (Vec<usize>, Vec<usize>, Direction);

/// Pairs that are known to be the same with all that they contain.
#[derive(Default)]
pub(super) struct Same {
    pairs: HashSet<Key>,
    /// How deep comparisons that only try stand in each other.
    trials: usize,
    /// While one tries: whether a difference was found.
    differs: bool,
}

/// Two schemas that wait to be compared.
struct Pair<'t> {
    old: Schema<'t>,
    new: Schema<'t>,
    /// What to point at where a schema is not there.
    nodes: (&'t Node, &'t Node),
    way: Rc<Way>,
}

/// One comparison of two schemas with all that they contain.
struct Walk<'t> {
    direction: Direction,
    waiting: VecDeque<Pair<'t>>,
    seen: HashSet<Key>,
}

/// One pair, looked at.
struct Views<'a, 't> {
    old: View<'t>,
    new: View<'t>,
    pair: &'a Pair<'t>,
    direction: Direction,
}

impl<'t> Views<'_, 't> {
    /// What to point at for a keyword.
    fn about(&self, key: &str) -> About<'t> {
        About::both(
            self.old
                .keyword(key)
                .or(self.old.node)
                .unwrap_or(self.pair.nodes.0),
            self.new
                .keyword(key)
                .or(self.new.node)
                .unwrap_or(self.pair.nodes.1),
        )
    }
}

/// A schema's parts by their addresses, references looked through, so that two uses of one schema are the same.
fn addresses<'t>(text: Text<'t>, schema: &Schema<'t>) -> Vec<usize> {
    let own = |node: &'t Node| {
        let alone = node.as_object().is_some_and(|object| object.len() == 1);
        let target = if alone || text.dialect != Dialect::V3_1 {
            text.resolve(node)
        } else {
            node
        };
        address(target)
    };
    match schema {
        Schema::All(nodes) => {
            let mut all: Vec<usize> = nodes.iter().map(|node| own(node)).collect();
            all.sort_unstable();
            all.dedup();
            all
        }
        Schema::Form(fields) => fields
            .iter()
            .map(|field: &Field<'t>| address(field.node))
            .collect(),
    }
}

impl<'t> Comparison<'t> {
    /// Compares two schemas; `nodes` are what holds them.
    pub(super) fn schema(
        &mut self,
        old: &Schema<'t>,
        new: &Schema<'t>,
        direction: Direction,
        nodes: (&'t Node, &'t Node),
        Where::Base(what): &Where<'_>,
    ) {
        let pair = Pair {
            old: old.clone(),
            new: new.clone(),
            nodes,
            way: Rc::new(Way::Start((*what).into())),
        };
        let found = self.found.len();
        let seen = self.walk(pair, direction, HashSet::new());
        if self.found.len() == found && !self.cut {
            self.same.pairs.extend(seen);
        }
    }

    /// Whether two parameters hold lists or objects, which are written in a style.
    pub(super) fn holds_several(&self, old: &Field<'t>, new: &Field<'t>) -> bool {
        let several = |text: Text<'t>, schema: &Schema<'t>| {
            let types = View::new(text, schema).types;
            types != types::ANY && types & (types::ARRAY | types::OBJECT) != 0
        };
        several(self.old, &old.schema) && several(self.new, &new.schema)
    }

    /// Compares a pair and all that it contains; what was seen is given back.
    fn walk(&mut self, pair: Pair<'t>, direction: Direction, seen: HashSet<Key>) -> HashSet<Key> {
        let mut walk = Walk {
            direction,
            waiting: VecDeque::from([pair]),
            seen,
        };
        while let Some(pair) = walk.waiting.pop_front() {
            if !self.step() || (self.same.trials > 0 && self.same.differs) {
                break;
            }
            let key = (
                addresses(self.old, &pair.old),
                addresses(self.new, &pair.new),
                direction,
            );
            if self.same.pairs.contains(&key) || !walk.seen.insert(key) {
                continue;
            }
            self.pair(&mut walk, &pair);
        }
        walk.seen
    }

    fn pair(&mut self, walk: &mut Walk<'t>, pair: &Pair<'t>) {
        let views = Views {
            old: View::new(self.old, &pair.old),
            new: View::new(self.new, &pair.new),
            pair,
            direction: walk.direction,
        };
        self.steps += views.old.layers.len() + views.new.layers.len();
        if self.union_with_single(walk, &views) {
            return;
        }
        let shared = self.types(&views);
        if shared == 0 && views.old.types != views.new.types {
            return;
        }
        self.keywords(&views, shared);
        if shared & types::OBJECT != 0 {
            self.properties(walk, &views);
        }
        if shared & types::ARRAY != 0 {
            items(walk, &views);
        }
        self.unions(walk, &views);
    }

    /// Tells a difference of one keyword.
    fn facet(
        &mut self,
        views: &Views<'_, 't>,
        facet: &Facet,
        relation: Relation,
        about: About<'t>,
    ) {
        if self.same.trials > 0 {
            self.same.differs = true;
            return;
        }
        let message = format!("{}: {}", views.pair.way, facet.text(relation));
        self.tell(facet.rule(views.direction, relation), message, about);
    }

    /// Tells a difference of a schema by a rule of its own.
    fn say(&mut self, way: &Way, rule: &'static rules::Rule, text: &str, about: About<'t>) {
        if self.same.trials > 0 {
            self.same.differs = true;
            return;
        }
        self.tell(rule, format!("{way}: {text}"), about);
    }

    /// Compares the types, and gives those that both allow.
    fn types(&mut self, views: &Views<'_, 't>) -> u8 {
        let (old, new) = (views.old.types, views.new.types);
        let (gone, more) = (old & !new, new & !old);
        if old != new {
            let relation = match (gone, more) {
                (_, 0) => Relation::Narrowed,
                (0, _) => Relation::Widened,
                _ => Relation::Changed,
            };
            let about = views
                .about("type")
                .values(types::shown(old), types::shown(new));
            self.facet(views, &rules::TYPE, relation, about);
        }
        old & new
    }
}

fn items<'t>(walk: &mut Walk<'t>, views: &Views<'_, 't>) {
    let way = Rc::new(Way::Items(Rc::clone(&views.pair.way)));
    let pick = |view: &View<'t>, index: usize| {
        view.prefix.get(index).map_or_else(
            || Schema::All(view.items.clone()),
            |nodes| Schema::All(nodes.clone()),
        )
    };
    let count = views.old.prefix.len().max(views.new.prefix.len());
    for index in 0..=count {
        walk.waiting.push_back(Pair {
            old: pick(&views.old, index),
            new: pick(&views.new, index),
            nodes: (
                views.old.node.unwrap_or(views.pair.nodes.0),
                views.new.node.unwrap_or(views.pair.nodes.1),
            ),
            way: Rc::clone(&way),
        });
    }
}
