//! Walks the tree: typed access that records problems, references, and the budget.

use std::collections::HashSet;

use base::{Diagnostic, Diagnostics, Severity};
use percent_encoding::percent_decode_str;
use spec::RuleSeverity;
use tree::{Limits, Node, Object, pointer};

use crate::model::Dialect;
use crate::rules::{Rule, Rules, rule_of};

/// A chain of `$ref`s longer than this is taken for a cycle.
const REFERENCES_MAX: usize = 32;

/// What one copied thing costs beside its texts, about the size of a `Parameter`.
const ITEM_BYTES: usize = 64;

/// Where the walk stands. The pointer is written out only when it is needed: keys can be long.
#[derive(Clone, Copy)]
pub(crate) enum Trail<'a> {
    /// A JSON pointer.
    Base(&'a str),
    /// A member.
    Key(&'a Trail<'a>, &'a str),
    /// An item.
    Item(&'a Trail<'a>, usize),
}

impl Trail<'_> {
    pub(crate) fn pointer(&self) -> String {
        let mut text = String::new();
        self.write(&mut text);
        text
    }

    fn write(&self, text: &mut String) {
        match self {
            Self::Base(base) => text.push_str(base),
            Self::Key(parent, key) => {
                parent.write(text);
                pointer::push(text, key);
            }
            Self::Item(parent, index) => {
                parent.write(text);
                pointer::push(text, &index.to_string());
            }
        }
    }
}

/// Why a definition is read.
#[derive(Clone, Copy)]
pub(crate) enum Purpose<'r> {
    /// To serve it: rules that may be switched off are passed over, so that a definition that was accepted once is
    /// never refused by a rule that came later.
    Serve,
    /// To accept it: every rule counts.
    Accept(&'r Rules),
}

/// The tree being read, and what was found.
pub(crate) struct Reader<'t> {
    root: &'t Node,
    dialect: Dialect,
    purpose: Purpose<'t>,
    migrated: bool,
    found: Diagnostics,
    found_max: usize,
    budget: usize,
    steps: usize,
}

impl<'t> Reader<'t> {
    pub(crate) fn new(root: &'t Node, limits: &Limits, purpose: Purpose<'t>) -> Self {
        Self {
            root,
            dialect: Dialect::V3_1,
            purpose,
            migrated: false,
            found: Diagnostics::default(),
            found_max: limits.problems_max.max(1),
            budget: limits.bytes_max.saturating_mul(4),
            steps: limits.nodes_max.saturating_mul(4),
        }
    }

    pub(crate) fn root(&self) -> &'t Node {
        self.root
    }

    pub(crate) fn dialect(&self) -> Dialect {
        self.dialect
    }

    pub(crate) fn set_dialect(&mut self, dialect: Dialect) {
        self.dialect = dialect;
    }

    /// The places of all problems so far.
    pub(crate) fn places(&self) -> HashSet<String> {
        self.found.iter().map(|one| one.pointer.clone()).collect()
    }

    /// Drops the problems of a rule at these places.
    pub(crate) fn forget(&mut self, rule: &str, places: &HashSet<String>) {
        self.found
            .0
            .retain(|one| one.rule != rule || !places.contains(&one.pointer));
    }

    /// Notes that the definition comes from another gateway: it has that one's extensions.
    pub(crate) fn set_migrated(&mut self, migrated: bool) {
        self.migrated = migrated;
    }

    pub(crate) fn into_found(self) -> Diagnostics {
        self.found
    }

    /// How many problems are kept.
    pub(crate) fn problems_max(&self) -> usize {
        self.found_max
    }

    /// What a violation of this rule is here; nothing where it is passed over.
    fn severity(&self, rule: &Rule) -> Option<Severity> {
        let severity = match self.purpose {
            Purpose::Serve => rule.least,
            Purpose::Accept(rules) => rules.asked(rule).unwrap_or_else(|| self.usual(rule)),
        };
        match severity {
            RuleSeverity::Off => None,
            RuleSeverity::Warning => Some(Severity::Warning),
            RuleSeverity::Error => Some(Severity::Error),
        }
    }

    /// Gives a problem the severity of its rule; false where it is passed over. What a reader of texts found in one of
    /// several files is of no rule, and stays what it is.
    fn weigh(&self, problem: &mut Diagnostic) -> bool {
        let Some(rule) = rule_of(&problem.rule) else {
            return true;
        };
        match self.severity(rule) {
            Some(severity) => problem.severity = severity,
            None => return false,
        }
        true
    }

    /// What a rule's violation is where nobody asked for a severity. What another gateway served already is taken over
    /// with warnings.
    fn usual(&self, rule: &Rule) -> RuleSeverity {
        let severity = rule.severity(self.dialect);
        if self.migrated && !rule.is_guard() {
            return severity.min(RuleSeverity::Warning);
        }
        severity
    }

    /// Whether a problem of this rule would be kept: then it is worth to be put into words.
    pub(crate) fn wants(&self, rule: &str) -> bool {
        let room = self.found.0.len() < self.found_max;
        let rule = rule_of(rule).expect("rules of this crate are registered, tested");
        match self.severity(rule) {
            None => false,
            Some(Severity::Warning) => room,
            Some(Severity::Error) => room || self.warning_last().is_some(),
        }
    }

    fn warning_last(&self) -> Option<usize> {
        let is_warning = |kept: &Diagnostic| kept.severity == Severity::Warning;
        self.found.0.iter().rposition(is_warning)
    }

    /// Keeps a diagnostic with the severity of its rule; it is paid for like everything else. Once the list is full an
    /// error still takes the place of a warning: a definition with an error is never accepted because it has many
    /// warnings.
    pub(crate) fn record(&mut self, mut diagnostic: Diagnostic) {
        if !self.weigh(&mut diagnostic) {
            return;
        }
        let cost = diagnostic.pointer.len() + diagnostic.message.len();
        self.keep(diagnostic);
        self.pay(cost);
    }

    /// As [`Self::record`], for problems that are put into words only when [wanted](Self::wants), so that they cost
    /// little. What the walk itself has said of the same place is not said again.
    pub(crate) fn report(
        &mut self,
        rule: &str,
        trail: &Trail<'_>,
        words: impl FnOnce() -> (String, Option<String>),
    ) {
        if self.wants(rule) {
            let (message, mend) = words();
            let mut problem = Diagnostic::error(rule, trail.pointer(), message);
            problem.mend = mend;
            self.report_new(problem);
        }
    }

    /// Keeps a problem, unless the walk has said the same.
    pub(crate) fn report_new(&mut self, mut problem: Diagnostic) {
        if self.weigh(&mut problem) && !self.found.iter().any(|said| same(said, &problem)) {
            self.keep(problem);
        }
    }

    fn keep(&mut self, diagnostic: Diagnostic) {
        if self.found.0.len() < self.found_max {
            self.found.push(diagnostic);
        } else if diagnostic.severity == Severity::Error
            && let Some(warning) = self.warning_last()
        {
            self.found.0[warning] = diagnostic;
        }
    }

    /// Pays for a step, and for the bytes of text copied by it; false when the budget is used up. Every loop over
    /// parts of the definition pays for each turn and ends when it cannot.
    pub(crate) fn pay(&mut self, text_bytes: usize) -> bool {
        if self.budget == 0 {
            return false;
        }
        self.budget = self
            .budget
            .saturating_sub(text_bytes.saturating_add(ITEM_BYTES));
        if self.budget == 0 {
            let message =
                "operations, parameters and security requirements expand to more than is accepted";
            self.keep(
                Diagnostic::error("too-large", "", message)
                    .mend("use fewer references to large parts"),
            );
        }
        self.budget > 0
    }

    /// Pays for work that copies nothing: when it is used up, work of that sort is not done any more.
    pub(crate) fn spend(&mut self, steps: usize) {
        self.steps = self.steps.saturating_sub(steps);
    }

    /// Whether there is anything left to [spend](Self::spend).
    pub(crate) fn can_spend(&self) -> bool {
        self.steps > 0
    }

    fn wrong_type(&mut self, node: &Node, trail: &Trail<'_>, expected: &str) {
        let message = format!("expected {expected}, found {}", node.kind());
        self.record(Diagnostic::error("wrong-type", trail.pointer(), message));
    }

    /// The node as a mapping.
    pub(crate) fn object(&mut self, node: &'t Node, trail: &Trail<'_>) -> Option<&'t Object> {
        let object = node.as_object();
        if object.is_none() {
            self.wrong_type(node, trail, "a mapping");
        }
        object
    }

    /// The node as a list.
    pub(crate) fn array(&mut self, node: &'t Node, trail: &Trail<'_>) -> Option<&'t [Node]> {
        let items = node.as_array();
        if items.is_none() {
            self.wrong_type(node, trail, "a list");
        }
        items
    }

    /// The node as a text.
    pub(crate) fn text(&mut self, node: &'t Node, trail: &Trail<'_>) -> Option<&'t str> {
        let text = node.as_str();
        if text.is_none() {
            let quoted = matches!(node.value, tree::Value::Number(_) | tree::Value::Bool(_));
            let problem = Diagnostic::error(
                "wrong-type",
                trail.pointer(),
                format!("expected a string, found {}", node.kind()),
            );
            self.record(if quoted {
                problem.mend("put it in quotes")
            } else {
                problem
            });
        }
        text
    }

    /// A member that is a text, where it exists.
    pub(crate) fn string(
        &mut self,
        object: &'t Object,
        key: &str,
        trail: &Trail<'_>,
    ) -> Option<&'t str> {
        let node = object.get(key)?;
        self.text(node, &Trail::Key(trail, key))
    }

    /// A member that is true or false; false where it does not exist.
    pub(crate) fn flag(&mut self, object: &'t Object, key: &str, trail: &Trail<'_>) -> bool {
        let Some(node) = object.get(key) else {
            return false;
        };
        if node.as_bool().is_none() {
            self.wrong_type(node, &Trail::Key(trail, key), "true or false");
        }
        node.as_bool().unwrap_or(false)
    }

    /// A member that is a mapping, where it exists.
    pub(crate) fn member(
        &mut self,
        object: &'t Object,
        key: &str,
        trail: &Trail<'_>,
    ) -> Option<&'t Object> {
        let node = object.get(key)?;
        self.object(node, &Trail::Key(trail, key))
    }

    /// A member that is a list of texts, copied; empty where it does not exist.
    pub(crate) fn texts(
        &mut self,
        object: &'t Object,
        key: &str,
        trail: &Trail<'_>,
    ) -> Vec<String> {
        let Some(node) = object.get(key) else {
            return Vec::new();
        };
        let trail = Trail::Key(trail, key);
        let items = self.array(node, &trail).unwrap_or_default();
        let mut texts = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let text = self.text(item, &Trail::Item(&trail, index));
            if !self.pay(text.map_or(0, str::len)) {
                break;
            }
            texts.extend(text.map(str::to_owned));
        }
        texts
    }

    /// Follows the `$ref` of a mapping: the target and its pointer. Nothing where there is none, or where it leads
    /// nowhere, which is recorded. The pointer names the `$ref` itself.
    pub(crate) fn reference(
        &mut self,
        object: &'t Object,
        trail: &Trail<'_>,
    ) -> Option<(&'t Node, String)> {
        let text = self.string(object, "$ref", trail)?;
        let trail = Trail::Key(trail, "$ref");
        let shown: String = text.chars().take(200).collect();
        let Some(fragment) = text.strip_prefix('#') else {
            let message = format!("`{shown}` leads into another file, which is not read");
            let problem = Diagnostic::error("external-reference", trail.pointer(), message);
            self.record(problem.mend("bundle the definition into one file"));
            return None;
        };
        let target = percent_decode_str(fragment)
            .decode_utf8_lossy()
            .into_owned();
        let Some(node) = self.root.pointer(&target) else {
            let message = format!("`{shown}` leads nowhere in this definition");
            let problem = Diagnostic::error("reference", trail.pointer(), message);
            self.record(problem.mend(
                "write `#/` and the way to an existing part, as in `#/components/parameters/id`",
            ));
            return None;
        };
        Some((node, target))
    }

    /// Follows references from a node to what it stands for: that, and its pointer where it is elsewhere.
    pub(crate) fn resolve(
        &mut self,
        node: &'t Node,
        trail: &Trail<'_>,
    ) -> Option<(&'t Object, Option<String>)> {
        let mut object = self.object(node, trail)?;
        let mut place: Option<String> = None;
        for _ in 0..REFERENCES_MAX {
            if object.get("$ref").is_none() {
                return Some((object, place));
            }
            let (node, target) = match &place {
                Some(place) => self.reference(object, &Trail::Base(place))?,
                None => self.reference(object, trail)?,
            };
            object = self.object(node, &Trail::Base(&target))?;
            place = Some(target);
        }
        self.cycle(trail);
        None
    }

    /// Records that references never end.
    pub(crate) fn cycle(&mut self, trail: &Trail<'_>) {
        let message =
            format!("the references lead in a circle, or through more than {REFERENCES_MAX} steps");
        self.record(Diagnostic::error(
            "reference-cycle",
            Trail::Key(trail, "$ref").pointer(),
            message,
        ));
    }

    /// All mappings that a node with references is made of, the node itself first. In a path item what stands beside
    /// `$ref` counts too.
    pub(crate) fn layers(
        &mut self,
        node: &'t Node,
        trail: &Trail<'_>,
    ) -> Vec<(&'t Object, String)> {
        let Some(object) = self.object(node, trail) else {
            return Vec::new();
        };
        let mut layers = vec![(object, trail.pointer())];
        while let Some((object, place)) = layers.last().cloned() {
            if object.get("$ref").is_none() {
                return layers;
            }
            if layers.len() > REFERENCES_MAX {
                self.cycle(trail);
                break;
            }
            let Some((node, target)) = self.reference(object, &Trail::Base(&place)) else {
                break;
            };
            let Some(object) = self.object(node, &Trail::Base(&target)) else {
                break;
            };
            layers.push((object, target));
        }
        Vec::new()
    }
}

/// Whether a new problem is the same as one that was said: the official schema and a rule often see one fault.
fn same(said: &Diagnostic, new: &Diagnostic) -> bool {
    if said.pointer != new.pointer {
        return false;
    }
    if said.rule == new.rule {
        // Each missing key is a problem of its own.
        return new.rule != "schema-missing-key" || said.message == new.message;
    }
    match new.rule.as_str() {
        // The schema tells each missing key by itself.
        "schema-missing-key" => {
            let (said_mend, mend) = (said.mend.as_deref(), new.mend.as_deref());
            said.rule == "missing-key"
                && said_mend
                    .zip(mend)
                    .is_some_and(|(said, new)| said.starts_with(new))
        }
        "unresolved-reference" | "unread-reference" | "circular-reference" => {
            said.severity == Severity::Error && said.rule.contains("reference")
                || said.rule == "missing-file"
        }
        rule => {
            rule.starts_with("schema-") && said.severity == Severity::Error
                || said.rule == "unknown-key"
        }
    }
}
