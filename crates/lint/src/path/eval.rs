//! Walks a tree by a path.

use std::collections::HashSet;
use std::rc::Rc;

use percent_encoding::percent_decode_str;
use tree::{Node, Value, pointer};

use super::{Path, Segment, Selector};
use crate::pattern::Pattern;

/// A chain of `$ref`s longer than this is taken for a cycle.
const REFERENCES_MAX: usize = 32;

/// What a run may still cost, and what it runs over.
pub(crate) struct Budget<'t> {
    pub(crate) root: &'t Node,
    /// Whether steps go through `$ref`.
    pub(crate) resolved: bool,
    /// Values that may still be looked at.
    pub(crate) steps: usize,
}

impl<'t> Budget<'t> {
    /// Pays for a value; false when nothing more may be looked at.
    pub(crate) fn pay(&mut self, steps: usize) -> bool {
        self.steps = self.steps.saturating_sub(steps);
        self.steps > 0
    }

    /// Whether a pattern is found in a text; a pattern that takes too long is not, and ends the run.
    pub(crate) fn matches(&mut self, pattern: &Pattern, text: &str) -> bool {
        self.pay(1 + text.len() / 16);
        pattern.found_in(text).unwrap_or_else(|_| {
            self.steps = 0;
            false
        })
    }

    /// What a reference leads to, with its pointer.
    fn target(&self, reference: &str) -> Option<(&'t Node, String)> {
        let text = percent_decode_str(reference.strip_prefix('#')?)
            .decode_utf8()
            .ok()?;
        Some((self.root.pointer(&text)?, text.into_owned()))
    }

    /// The step at the end of the references that a step is.
    pub(crate) fn followed(&self, step: &Step<'t>) -> Step<'t> {
        let mut here = step.clone();
        if !self.resolved {
            return here;
        }
        for _ in 0..REFERENCES_MAX {
            let reference = here.node.get("$ref").and_then(Node::as_str);
            let Some((node, at)) = reference.and_then(|reference| self.target(reference)) else {
                break;
            };
            here = Step {
                node,
                way: Rc::new(Way {
                    before: step.way.before.clone(),
                    token: step.way.token.clone(),
                    base: Some(at),
                }),
            };
        }
        here
    }
}

/// A value, and the way to it.
#[derive(Clone)]
pub(crate) struct Step<'t> {
    pub(crate) node: &'t Node,
    way: Rc<Way<'t>>,
}

/// The last step of a way. Behind a reference the way is the one that was walked, the pointer that of the target.
struct Way<'t> {
    before: Option<Step<'t>>,
    token: Option<String>,
    base: Option<String>,
}

impl<'t> Step<'t> {
    pub(crate) fn start(root: &'t Node) -> Self {
        Self {
            node: root,
            way: Rc::new(Way {
                before: None,
                token: None,
                base: Some(String::new()),
            }),
        }
    }

    pub(crate) fn child(&self, token: &str, node: &'t Node) -> Self {
        let way = Way {
            before: Some(self.clone()),
            token: Some(token.to_owned()),
            base: None,
        };
        Self {
            node,
            way: Rc::new(way),
        }
    }

    /// The key or index under which the value was found.
    pub(crate) fn token(&self) -> Option<String> {
        self.way.token.clone()
    }

    pub(crate) fn parent(&self) -> Option<Self> {
        self.way.before.clone()
    }

    pub(crate) fn root(&self) -> Self {
        let mut here = self.clone();
        while let Some(before) = here.parent() {
            here = before;
        }
        here
    }

    /// Where the value stands in the text.
    pub(crate) fn pointer(&self) -> String {
        let mut tokens = Vec::new();
        let mut here = self.clone();
        let mut text = loop {
            if let Some(base) = &here.way.base {
                break base.clone();
            }
            tokens.extend(here.token());
            let Some(before) = here.parent() else {
                break String::new();
            };
            here = before;
        };
        for token in tokens.iter().rev() {
            pointer::push(&mut text, token);
        }
        text
    }
}

/// What a path found: a value, or its key (`~`).
#[derive(Clone)]
pub(crate) struct Match<'t> {
    pub(crate) step: Step<'t>,
    pub(crate) key: bool,
}

impl Path {
    /// Everything that the path finds from the root.
    pub(crate) fn find<'t>(&self, budget: &mut Budget<'t>) -> Vec<Match<'t>> {
        let root = Step::start(budget.root);
        self.from(&root, budget)
    }

    /// Everything that the path finds from a value. Ends early when the budget is used up.
    pub(crate) fn from<'t>(&self, start: &Step<'t>, budget: &mut Budget<'t>) -> Vec<Match<'t>> {
        let mut found = vec![Match {
            step: start.clone(),
            key: false,
        }];
        for segment in &self.segments {
            let mut next = Vec::new();
            for Match { step, .. } in &found {
                if !budget.pay(1) {
                    return Vec::new();
                }
                match segment {
                    Segment::Child(selectors) => {
                        children(&budget.followed(step), selectors, budget, &mut next);
                    }
                    Segment::Descend(selectors) => descend(step, selectors, budget, &mut next),
                    Segment::Parent => next.extend(step.parent()),
                    Segment::Key => next.push(step.clone()),
                }
            }
            let key = matches!(segment, Segment::Key);
            found = next.into_iter().map(|step| Match { step, key }).collect();
        }
        found
    }
}

/// All children of a value.
fn all<'t>(step: &Step<'t>) -> Vec<Step<'t>> {
    match &step.node.value {
        Value::Object(object) => object
            .iter()
            .map(|entry| step.child(&entry.key, &entry.node))
            .collect(),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .map(|(index, item)| step.child(&index.to_string(), item))
            .collect(),
        _ => Vec::new(),
    }
}

fn children<'t>(
    step: &Step<'t>,
    selectors: &[Selector],
    budget: &mut Budget<'t>,
    found: &mut Vec<Step<'t>>,
) {
    for selector in selectors {
        match selector {
            Selector::Name(name) => match &step.node.value {
                Value::Object(object) => {
                    found.extend(object.get(name).map(|node| step.child(name, node)));
                }
                Value::Array(items) => {
                    let item = name
                        .parse::<usize>()
                        .ok()
                        .and_then(|index| items.get(index));
                    found.extend(item.map(|item| step.child(name, item)));
                }
                _ => {}
            },
            Selector::Index(index) => {
                let items = step.node.as_array().unwrap_or_default();
                let place = position(*index, items.len());
                found.extend(
                    items
                        .get(place)
                        .map(|item| step.child(&place.to_string(), item)),
                );
                // A status code stands as a number in brackets.
                let key = index.to_string();
                found.extend(step.node.get(&key).map(|node| step.child(&key, node)));
            }
            Selector::Slice(start, end) => {
                let items = step.node.as_array().unwrap_or_default();
                let start = start.map_or(0, |start| position(start, items.len()));
                let end = end.map_or(items.len(), |end| {
                    position(end, items.len()).min(items.len())
                });
                for (index, item) in items.iter().enumerate().take(end).skip(start) {
                    found.push(step.child(&index.to_string(), item));
                }
            }
            Selector::All => {
                let children = all(step);
                budget.pay(children.len());
                found.extend(children);
            }
            Selector::Filter(filter) => {
                for child in all(step) {
                    if !budget.pay(1) {
                        return;
                    }
                    if filter.holds(&budget.followed(&child), budget) {
                        found.push(child);
                    }
                }
            }
        }
    }
}

/// From the end where it is negative; beyond the end where there is nothing.
fn position(index: i64, count: usize) -> usize {
    let from_end = usize::try_from(index.unsigned_abs()).unwrap_or(usize::MAX);
    if index < 0 {
        count.checked_sub(from_end).unwrap_or(usize::MAX)
    } else {
        from_end
    }
}

/// The children of a value and of everything below it, through references; each value is met once.
fn descend<'t>(
    step: &Step<'t>,
    selectors: &[Selector],
    budget: &mut Budget<'t>,
    found: &mut Vec<Step<'t>>,
) {
    let mut waiting = vec![step.clone()];
    let mut seen = HashSet::new();
    while let Some(step) = waiting.pop() {
        if !budget.pay(1) {
            return;
        }
        let step = budget.followed(&step);
        if seen.insert(std::ptr::from_ref(step.node) as usize) {
            children(&step, selectors, budget, found);
            waiting.extend(all(&step).into_iter().rev());
        }
    }
}
