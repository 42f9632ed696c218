//! `oneOf` and `anyOf`: which alternatives belong together.

use std::collections::HashSet;
use std::rc::Rc;

use tree::Node;

use crate::calls::Schema;
use crate::diff::rules::{self, Relation};
use crate::diff::schemas::{Pair, Views, Walk, Way};
use crate::diff::{About, Comparison};
use crate::schema::Direction;

/// Alternatives in alternatives that are tried out; deeper ones are told apart by their names alone.
const TRIALS_MAX: usize = 3;

/// One alternative: what it must be, and what to point at.
type Branch<'t> = (Schema<'t>, &'t Node);

/// The name that a reference has for its target.
fn name<'t>(branch: &Branch<'t>) -> Option<&'t str> {
    branch.1.get("$ref")?.as_str()?.rsplit('/').next()
}

fn branches<'t>(nodes: &[&'t Node]) -> Vec<Branch<'t>> {
    nodes
        .iter()
        .map(|node| (Schema::of(Some(node)), *node))
        .collect()
}

impl<'t> Comparison<'t> {
    /// Compares a schema with alternatives where one of them may be the schema that was there before: then it is as if
    /// it had been the only one. False where that does not apply.
    pub(super) fn union_with_single(&mut self, walk: &mut Walk<'t>, views: &Views<'_, 't>) -> bool {
        let single = |schema: &Schema<'t>, node: &'t Node| vec![(schema.clone(), node)];
        let (old, new) = match (views.old.unions.as_slice(), views.new.unions.as_slice()) {
            ([], [union]) if views.new.only_unions() && !views.old.layers.is_empty() => {
                let node = views.old.node.unwrap_or(views.pair.nodes.0);
                (single(&views.pair.old, node), branches(&union.branches))
            }
            ([union], []) if views.old.only_unions() && !views.new.layers.is_empty() => {
                let node = views.new.node.unwrap_or(views.pair.nodes.1);
                (branches(&union.branches), single(&views.pair.new, node))
            }
            _ => return false,
        };
        self.union(walk, views, &old, &new);
        true
    }

    pub(super) fn unions(&mut self, walk: &mut Walk<'t>, views: &Views<'_, 't>) {
        let (old, new) = (&views.old.unions, &views.new.unions);
        if old.len() == new.len() {
            for (old, new) in old.iter().zip(new) {
                self.union(
                    walk,
                    views,
                    &branches(&old.branches),
                    &branches(&new.branches),
                );
            }
            return;
        }
        let relation = match (old.is_empty(), new.is_empty()) {
            (true, _) => Relation::Narrowed,
            (_, true) => Relation::Widened,
            _ => Relation::Changed,
        };
        let key = if views.old.has("oneOf") || views.new.has("oneOf") {
            "oneOf"
        } else {
            "anyOf"
        };
        self.facet(views, &rules::ALTERNATIVES, relation, views.about(key));
    }

    fn union(
        &mut self,
        walk: &mut Walk<'t>,
        views: &Views<'_, 't>,
        old: &[Branch<'t>],
        new: &[Branch<'t>],
    ) {
        let mut partner: Vec<Option<usize>> = vec![None; old.len()];
        let mut taken = HashSet::new();
        for (index, branch) in old.iter().enumerate() {
            let same_name = |(at, other): &(usize, &Branch<'t>)| {
                !taken.contains(at) && name(branch).is_some() && name(branch) == name(other)
            };
            if let Some((at, _)) = new.iter().enumerate().find(same_name) {
                partner[index] = Some(at);
                taken.insert(at);
            }
        }
        for index in 0..old.len() {
            if partner[index].is_some() {
                continue;
            }
            let free: Vec<usize> = (0..new.len()).filter(|at| !taken.contains(at)).collect();
            let found = free
                .into_iter()
                .find(|at| self.alike(walk, &old[index], &new[*at]));
            partner[index] = found;
            taken.extend(found);
        }
        let mut gone: Vec<usize> = (0..old.len())
            .filter(|index| partner[*index].is_none())
            .collect();
        let mut more: Vec<usize> = (0..new.len()).filter(|at| !taken.contains(at)).collect();
        if let ([one], [other]) = (gone.as_slice(), more.as_slice()) {
            partner[*one] = Some(*other);
            (gone, more) = (Vec::new(), Vec::new());
        }
        for (index, at) in partner
            .iter()
            .enumerate()
            .filter_map(|(index, at)| Some((index, (*at)?)))
        {
            walk.waiting.push_back(Pair {
                old: old[index].0.clone(),
                new: new[at].0.clone(),
                nodes: (old[index].1, new[at].1),
                way: Rc::clone(&views.pair.way),
            });
        }
        let request = views.direction == Direction::Request;
        let (added, removed) = if request {
            (
                &rules::REQUEST_ALTERNATIVE_ADDED,
                &rules::REQUEST_ALTERNATIVE_REMOVED,
            )
        } else {
            (
                &rules::RESPONSE_ALTERNATIVE_ADDED,
                &rules::RESPONSE_ALTERNATIVE_REMOVED,
            )
        };
        for branch in gone.into_iter().map(|index| &old[index]) {
            let text = format!("the alternative{} is gone", called(branch));
            self.say(&views.pair.way, removed, &text, About::old(branch.1));
        }
        for branch in more.into_iter().map(|at| &new[at]) {
            let text = format!("the alternative{} is new", called(branch));
            self.say(&views.pair.way, added, &text, About::new(branch.1));
        }
    }

    /// Whether two alternatives are the same, found by trying.
    fn alike(&mut self, walk: &Walk<'t>, old: &Branch<'t>, new: &Branch<'t>) -> bool {
        if self.same.trials >= TRIALS_MAX {
            return false;
        }
        let outer = std::mem::replace(&mut self.same.differs, false);
        self.same.trials += 1;
        let pair = Pair {
            old: old.0.clone(),
            new: new.0.clone(),
            nodes: (old.1, new.1),
            way: Rc::new(Way::Start("".into())),
        };
        self.steps += walk.seen.len();
        self.walk(pair, walk.direction, walk.seen.clone());
        self.same.trials -= 1;
        let differs = std::mem::replace(&mut self.same.differs, outer);
        !differs && !self.cut
    }
}

fn called(branch: &Branch<'_>) -> String {
    let title = || branch.1.get("title").and_then(Node::as_str);
    name(branch)
        .or_else(title)
        .map_or_else(String::new, |name| format!(" `{name}`"))
}
