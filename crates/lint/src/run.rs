//! Holds a definition against the rules.

use std::collections::HashSet;

use base::Diagnostic;
use tree::Node;

use crate::functions::Target;
use crate::path::{Budget, Match, Step};
use crate::ruleset::{Field, Format, Rule, Ruleset, Then};
use crate::text::{self, Words};
use crate::{Finding, Limits, Severity};

/// Holds a definition against the rules of a set, in the order of the rules. Places have pointers, lines only after
/// [`crate::locate`]. Where a limit ends the run, the last finding says so, as an error.
#[must_use]
pub fn lint(root: &Node, ruleset: &Ruleset, limits: &Limits) -> Vec<Finding> {
    let mut run = Run {
        budget: Budget {
            root,
            resolved: true,
            steps: limits.steps_max,
        },
        findings_max: limits.findings_max,
        findings: Vec::new(),
        seen: HashSet::new(),
    };
    let formats = Format::of(root);
    for rule in ruleset.rules() {
        let Some(severity) = rule.severity else {
            continue;
        };
        if !rule.formats.is_empty() && !rule.formats.iter().any(|format| formats.contains(format)) {
            continue;
        }
        run.rule(rule, severity);
        if run.budget.steps == 0 || run.findings.len() >= run.findings_max {
            let message = format!(
                "the run was ended at the rule `{}`: at most {} values are looked at and {} findings kept",
                rule.name, limits.steps_max, limits.findings_max
            );
            run.findings.truncate(run.findings_max);
            let diagnostic = Diagnostic::error("lint-limit", "", message);
            run.findings.push(Finding {
                severity: Severity::Error,
                diagnostic,
            });
            break;
        }
    }
    run.findings
}

struct Run<'t> {
    budget: Budget<'t>,
    findings_max: usize,
    findings: Vec<Finding>,
    /// Rule, pointer and message: values that several ways lead to are told once.
    seen: HashSet<(String, String, String)>,
}

impl<'t> Run<'t> {
    fn rule(&mut self, rule: &Rule, severity: Severity) {
        self.budget.resolved = rule.resolved;
        for given in &rule.given {
            if !given.formats.is_empty()
                && !given
                    .formats
                    .iter()
                    .any(|format| Format::of(self.budget.root).contains(format))
            {
                continue;
            }
            for found in given.path.find(&mut self.budget) {
                for then in &rule.then {
                    self.then(rule, severity, &found, then);
                    if self.budget.steps == 0 || self.findings.len() >= self.findings_max {
                        return;
                    }
                }
            }
        }
    }

    fn then(&mut self, rule: &Rule, severity: Severity, found: &Match<'t>, then: &Then) {
        if found.key {
            let key = found.step.token().unwrap_or_default();
            self.apply(rule, severity, then, &found.step, &Target::Key(key), None);
            return;
        }
        let step = self.budget.followed(&found.step);
        let object = step.node.as_object();
        match &then.field {
            Some(Field::Key) if object.is_some() => {
                for entry in object.into_iter().flatten() {
                    let child = step.child(&entry.key, &entry.node);
                    self.apply(
                        rule,
                        severity,
                        then,
                        &child,
                        &Target::Key(entry.key.clone()),
                        None,
                    );
                }
            }
            Some(Field::Way(way)) if object.is_some() || step.node.as_array().is_some() => {
                self.way(rule, severity, then, &step, way);
            }
            Some(Field::Path(path)) => {
                let found = path.from(&step, &mut self.budget);
                if found.is_empty() {
                    self.apply(rule, severity, then, &step, &Target::Missing, None);
                }
                for one in found {
                    let step = self.budget.followed(&one.step);
                    self.apply(rule, severity, then, &step, &Target::Node(step.node), None);
                }
            }
            _ => self.apply(rule, severity, then, &step, &Target::Node(step.node), None),
        }
    }

    /// Follows the names of a field; what is not there is a missing value of the last one that is.
    fn way(
        &mut self,
        rule: &Rule,
        severity: Severity,
        then: &Then,
        start: &Step<'t>,
        way: &[String],
    ) {
        let mut step = start.clone();
        for name in way {
            let next = match step.node.as_array() {
                Some(items) => name
                    .parse::<usize>()
                    .ok()
                    .and_then(|index| items.get(index)),
                None => step.node.get(name),
            };
            let Some(next) = next else {
                let property = way.last().map(String::as_str);
                return self.apply(rule, severity, then, &step, &Target::Missing, property);
            };
            step = self.budget.followed(&step.child(name, next));
        }
        self.apply(rule, severity, then, &step, &Target::Node(step.node), None);
    }

    fn apply(
        &mut self,
        rule: &Rule,
        severity: Severity,
        then: &Then,
        step: &Step<'t>,
        target: &Target<'t>,
        property: Option<&str>,
    ) {
        if !self.budget.pay(1) {
            return;
        }
        let problems = then.function.apply(target, step, &mut self.budget);
        for problem in problems {
            let mut pointer = step.pointer();
            for token in &problem.below {
                tree::pointer::push(&mut pointer, token);
            }
            let last = problem.below.last().cloned();
            let own = property
                .map(str::to_owned)
                .or(last)
                .or_else(|| step.token());
            let value = match target {
                Target::Missing => "undefined".to_owned(),
                Target::Key(key) => format!("\"{}\"", text::cut(key)),
                Target::Node(node) => text::shown(node),
            };
            let description = rule.description.as_deref().unwrap_or_default();
            let words = Words {
                error: &problem.message,
                path: &format!("#{pointer}"),
                property: own.as_deref().unwrap_or_default(),
                value: &value,
                description,
            };
            let template = rule.message.as_deref().or(rule.description.as_deref());
            let message = template.map_or_else(
                || problem.message.clone(),
                |template| text::filled(template, &words),
            );
            self.tell(&rule.name, severity, pointer, message);
        }
    }

    fn tell(&mut self, rule: &str, severity: Severity, pointer: String, message: String) {
        if !self
            .seen
            .insert((rule.to_owned(), pointer.clone(), message.clone()))
        {
            return;
        }
        let diagnostic = if severity == Severity::Error {
            Diagnostic::error(rule, pointer, message)
        } else {
            Diagnostic::warning(rule, pointer, message)
        };
        self.findings.push(Finding {
            severity,
            diagnostic,
        });
    }
}
