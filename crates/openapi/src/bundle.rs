//! Several files as one tree: what a file refers to in another is brought into the root's own parts, and the reference
//! leads there. What is read, checked or shown afterwards need not know that there were several.
//!
//! An entry of the root's `components` that is nothing but a reference, and a path item that is nothing but one, are
//! replaced by what they stand for; everything else gets an entry under `components`, once.
//!
//! Invariant: each file is parsed once and only when a reference leads there; every copied value is paid from a budget,
//! and all files together have the limits of one text.

#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet, VecDeque};
use std::rc::Rc;

use base::{Diagnostic, Diagnostics, Severity};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use tree::{Entry, Limits, Node, Object, Value, pointer};

use crate::files::Files;
use crate::reader::Trail;
use crate::reference::{Target, is_mapped_file, target};
use crate::shape::{Part, Shape};

/// A chain of references longer than this is taken for a cycle.
const REFERENCES_MAX: usize = 32;

/// What one copied value costs beside its text.
const VALUE_BYTES: usize = 32;

/// Where parts go for which the version of OpenAPI has no place.
const EXTENSION: &str = "x-references";

/// What a JSON pointer must not hold when it stands in a URL (RFC 3986 §3.5).
const FRAGMENT: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// A whole definition as one tree.
#[derive(Clone, PartialEq, Debug)]
pub struct Bundled {
    tree: Node,
    /// What came from other files than the root: the pointer in the tree, and the file with the pointer there.
    origins: HashMap<String, (String, String)>,
}

impl Bundled {
    /// The tree. Every value keeps the position that it has in its own file.
    #[must_use]
    pub fn tree(&self) -> &Node {
        &self.tree
    }

    /// The file that a part of the tree came from and its pointer there; the file is `None` for the root.
    #[must_use]
    pub fn origin(&self, json_pointer: &str) -> (Option<&str>, String) {
        let mut end = json_pointer.len();
        while !self.origins.is_empty() {
            if let Some((file, there)) = self.origins.get(&json_pointer[..end]) {
                return (Some(file), format!("{there}{}", &json_pointer[end..]));
            }
            match json_pointer[..end].rfind('/') {
                Some(slash) => end = slash,
                None => break,
            }
        }
        (None, json_pointer.to_owned())
    }

    /// Gives diagnostics about the tree their place: line and column, and for parts of other files than the root the
    /// file and the pointer there. Those that have a line are left alone.
    pub fn locate(&self, found: &mut Diagnostics) {
        for one in found.0.iter_mut().filter(|one| one.line == 0) {
            let mut position = self.tree.position_of(&one.pointer);
            let (file, there) = self.origin(&one.pointer);
            // The key of what was brought in stands in the root; the value begins where it came from.
            if file.is_some()
                && self.origins.contains_key(&one.pointer)
                && let Some(node) = self.tree.pointer(&one.pointer)
            {
                position = node.position;
            }
            (one.line, one.column) = (position.line, position.column);
            if let Some(file) = file {
                one.file = Some(file.to_owned());
                one.pointer = there;
            }
        }
    }
}

/// Reads a definition, of one file or packed, into one tree. What can be brought together is; the problems of the rest
/// come beside it, not located yet.
///
/// # Errors
/// The root, or the packed form, cannot be read.
pub(crate) fn assemble(text: &str, limits: &Limits) -> Result<(Bundled, Diagnostics), Diagnostics> {
    let alone = |tree| Bundled {
        tree,
        origins: HashMap::new(),
    };
    if !Files::is_packed(text) {
        let tree = tree::parse(text, limits)?;
        if !leads_outside(&tree) {
            return Ok((alone(tree), Diagnostics::default()));
        }
        // Only to learn which of them are references and which are data.
        let files = Files::one("definition", "").map_err(damaged)?;
        let mut bundler = Bundler::new(&files, limits);
        bundler.alone = true;
        bundler.copy_root(&tree);
        return Ok((alone(tree), bundler.found));
    }
    let files = Files::unpack("", text).map_err(damaged)?;
    let mut bundler = Bundler::new(&files, limits);
    let root = bundler.parse(files.root())?;
    let tree = bundler.copy_root(&root);
    let origins = bundler.origins;
    Ok((Bundled { tree, origins }, bundler.found))
}

fn damaged(error: impl std::fmt::Display) -> Diagnostics {
    let problem = Diagnostic::error("definition-files", "", error.to_string());
    Diagnostics(vec![problem.at(1, 1)])
}

/// Whether anything that looks like a reference leads out of the definition.
fn leads_outside(node: &Node) -> bool {
    match &node.value {
        Value::Array(items) => items.iter().any(leads_outside),
        Value::Object(object) => object.iter().any(|entry| {
            let reference = entry.node.as_str().filter(|_| entry.key == "$ref");
            reference.is_some_and(|text| target(text, "definition") == Target::Outside)
                || leads_outside(&entry.node)
        }),
        _ => false,
    }
}

/// Why a reference leads nowhere.
enum Lost {
    /// There is no such file.
    File(String),
    /// The file has no such part.
    Part(String),
    /// The references never end.
    Cycle,
    /// It was told already.
    Told,
}

/// A part that gets a place of its own.
struct Arrival {
    section: &'static str,
    name: String,
    file: String,
    pointer: String,
    part: Part,
}

struct Bundler<'a> {
    files: &'a Files,
    /// One text is looked at alone: other files are not missing, nobody sent them.
    alone: bool,
    limits: Limits,
    trees: HashMap<String, Option<Rc<Node>>>,
    version_2: bool,
    version_3_0: bool,
    budget: usize,
    depth: usize,
    found: Diagnostics,
    /// Where in the tree a part of another file stands.
    places: HashMap<(String, String, Part), String>,
    /// Entries of the root that are replaced by what they refer to.
    replaced: HashSet<String>,
    waiting: VecDeque<Arrival>,
    /// Names in the sections; the number is that of the last name made of it.
    names: HashMap<(&'static str, String), u32>,
    origins: HashMap<String, (String, String)>,
}

impl<'a> Bundler<'a> {
    fn new(files: &'a Files, limits: &Limits) -> Self {
        Self {
            files,
            alone: false,
            limits: limits.clone(),
            trees: HashMap::new(),
            version_2: false,
            version_3_0: false,
            budget: limits.bytes_max.saturating_mul(4),
            depth: 0,
            found: Diagnostics::default(),
            places: HashMap::new(),
            replaced: HashSet::new(),
            waiting: VecDeque::new(),
            names: HashMap::new(),
            origins: HashMap::new(),
        }
    }

    /// Parses a file; what it costs is taken from the limits of the others.
    fn parse(&mut self, name: &str) -> Result<Rc<Node>, Diagnostics> {
        let text = self.files.get(name).map_or("", |text| text);
        let node = tree::parse(text, &self.limits).map_err(|problems| {
            let named = problems.into_iter().map(|problem| match self.files.root() {
                root if root == name => problem,
                _ => problem.in_file(name),
            });
            Diagnostics(named.collect())
        })?;
        let (nodes, bytes) = size(&node);
        let limits = &mut self.limits;
        limits.bytes_max = limits.bytes_max.saturating_sub(text.len());
        limits.nodes_max = limits.nodes_max.saturating_sub(nodes);
        limits.alias_nodes_max = limits.alias_nodes_max.min(limits.nodes_max);
        // What exceeds the text was added by aliases.
        let added = bytes.saturating_sub(text.len());
        limits.alias_bytes_max = limits.alias_bytes_max.saturating_sub(added);
        let node = Rc::new(node);
        self.trees.insert(name.to_owned(), Some(Rc::clone(&node)));
        Ok(node)
    }

    /// The tree of a file. A file that cannot be parsed is told once.
    fn file(&mut self, name: &str) -> Result<Rc<Node>, Lost> {
        if let Some(known) = self.trees.get(name) {
            return known.clone().ok_or(Lost::Told);
        }
        if self.files.get(name).is_none() {
            return Err(Lost::File(name.to_owned()));
        }
        self.parse(name).map_err(|problems| {
            self.trees.insert(name.to_owned(), None);
            for problem in problems {
                self.record(problem);
            }
            Lost::Told
        })
    }

    fn record(&mut self, problem: Diagnostic) {
        if self.found.0.len() < self.limits.problems_max.max(1) {
            self.found.push(problem);
        }
    }

    /// Pays for one value; false when the budget is used up, which is told once.
    fn pay(&mut self, text: usize) -> bool {
        if self.budget == 0 {
            return false;
        }
        self.budget = self.budget.saturating_sub(text + VALUE_BYTES);
        if self.budget == 0 {
            let message = "the definition's files expand to more than is accepted";
            let mend = "use fewer references to large parts";
            self.found
                .push(Diagnostic::error("too-large", "", message).mend(mend));
        }
        self.budget > 0
    }

    fn copy_root(&mut self, root: &Node) -> Node {
        self.version_2 = root.get("swagger").is_some();
        let version = root.get("openapi").and_then(Node::as_str);
        self.version_3_0 = version.is_some_and(|version| version.starts_with("3.0"));
        self.note_sections(root);
        let file = self.files.root();
        let mut tree = self.copy(root, Shape::Definition, file, &Trail::Base(""));
        let mut sections: Vec<(&'static str, Vec<Entry>)> = Vec::new();
        while let Some(arrival) = self.waiting.pop_front() {
            let place = self.place(arrival.section, &arrival.name);
            let tree = self.part(&arrival.file, &arrival.pointer).ok();
            let Some(node) = tree
                .as_ref()
                .and_then(|tree| tree.pointer(&arrival.pointer))
            else {
                continue;
            };
            let shape = Shape::Part(arrival.part);
            let entry = Entry {
                key: arrival.name,
                key_position: node.position,
                node: self.copy(node, shape, &arrival.file, &Trail::Base(&place)),
            };
            match sections
                .iter_mut()
                .find(|(name, _)| *name == arrival.section)
            {
                Some((_, entries)) => entries.push(entry),
                None => sections.push((arrival.section, vec![entry])),
            }
        }
        for (section, entries) in sections {
            let components = !self.version_2 && section != EXTENSION;
            if components {
                with_member(&mut tree, "components", |node| {
                    with_member(node, section, |node| append(node, entries));
                });
            } else {
                with_member(&mut tree, section, |node| append(node, entries));
            }
        }
        tree
    }

    /// Learns the names that the root uses, and which of its entries stand for parts of other files.
    fn note_sections(&mut self, root: &Node) {
        let (parent, prefix) = if self.version_2 {
            (Some(root), "")
        } else {
            (root.get("components"), "/components")
        };
        let sections = parent.and_then(Node::as_object).into_iter().flatten();
        for section in sections {
            let Some(part) = Part::of_section(&section.key) else {
                continue;
            };
            let key = part.section(self.version_2, self.version_3_0);
            let entries = section.node.as_object().into_iter().flatten();
            for entry in entries.filter(|_| key == Some(section.key.as_str())) {
                let Some(key) = key else { continue };
                self.names.insert((key, entry.key.clone()), 1);
                let Some(reference) = lone_reference(&entry.node) else {
                    continue;
                };
                let from = self.files.root();
                let Target::File { name, pointer } = target(reference, from) else {
                    continue;
                };
                let Ok((file, there)) = self.settle(name, pointer) else {
                    continue;
                };
                let place = pointer::join(&pointer::join(prefix, key), &entry.key);
                if file != from
                    && !self
                        .places
                        .contains_key(&(file.clone(), there.clone(), part))
                {
                    self.replaced.insert(place.clone());
                    self.places.insert((file, there, part), place);
                }
            }
        }
    }

    fn copy(&mut self, node: &Node, shape: Shape, file: &str, trail: &Trail<'_>) -> Node {
        let position = node.position;
        let text = node.as_str().map_or(0, str::len);
        if !self.pay(text) {
            return Node {
                position,
                value: Value::Null,
            };
        }
        let value = match &node.value {
            Value::Object(object) => {
                if let Shape::Part(part) = shape
                    && let Some(node) = self.replacement(node, part, file, trail)
                {
                    return node;
                }
                Value::Object(self.copy_members(object, shape, file, trail))
            }
            Value::Array(items) => {
                let items = items.iter().enumerate().map(|(index, item)| {
                    self.copy(item, shape.item(), file, &Trail::Item(trail, index))
                });
                Value::Array(items.collect())
            }
            Value::String(text)
                if shape == Shape::Mapped && (text.starts_with('#') || is_mapped_file(text)) =>
            {
                Value::String(self.rewritten(text, Part::Schema, file, trail))
            }
            other => other.clone(),
        };
        Node { position, value }
    }

    fn copy_members(
        &mut self,
        object: &Object,
        shape: Shape,
        file: &str,
        trail: &Trail<'_>,
    ) -> Object {
        let mut entries = Vec::with_capacity(object.len());
        for entry in object {
            let trail = Trail::Key(trail, &entry.key);
            if !self.pay(entry.key.len()) {
                break;
            }
            let node = match (shape, entry.node.as_str()) {
                (Shape::Part(part), Some(reference)) if entry.key == "$ref" => Node {
                    position: entry.node.position,
                    value: Value::String(self.rewritten(reference, part, file, &trail)),
                },
                _ => self.copy(&entry.node, shape.member(&entry.key), file, &trail),
            };
            entries.push(Entry {
                key: entry.key.clone(),
                key_position: entry.key_position,
                node,
            });
        }
        entries.into_iter().collect()
    }

    /// What stands in the place of a lone reference: the part itself, where it is a path item, which belongs to its
    /// path, or an entry of the root's own.
    fn replacement(
        &mut self,
        node: &Node,
        part: Part,
        from: &str,
        trail: &Trail<'_>,
    ) -> Option<Node> {
        let reference = lone_reference(node)?;
        let place =
            (part == Part::PathItem || !self.replaced.is_empty()).then(|| trail.pointer())?;
        if part != Part::PathItem && !self.replaced.contains(&place) {
            return None;
        }
        let (name, pointer) = match target(reference, from) {
            Target::File { name, pointer } => (name, pointer),
            Target::Here(pointer) if from != self.files.root() => (from.to_owned(), pointer),
            _ => return None,
        };
        let (file, there) = self.settle(name, pointer).ok()?;
        if file == self.files.root() || self.depth >= REFERENCES_MAX {
            return None;
        }
        let tree = self.part(&file, &there).ok()?;
        let node = tree.pointer(&there)?;
        self.origins
            .insert(place.clone(), (file.clone(), there.clone()));
        self.depth += 1;
        let copy = self.copy(node, Shape::Part(part), &file, &Trail::Base(&place));
        self.depth -= 1;
        Some(copy)
    }

    /// A reference as it reads in the one tree. One that leads nowhere stays as it is and is told.
    fn rewritten(&mut self, reference: &str, part: Part, from: &str, trail: &Trail<'_>) -> String {
        let root = self.files.root();
        let (name, pointer) = match target(reference, from) {
            Target::Here(pointer) if from != root => (from.to_owned(), pointer),
            Target::File { name, pointer } => (name, pointer),
            Target::Here(_) | Target::Elsewhere => return reference.to_owned(),
            Target::Outside => {
                let shown: String = reference.chars().take(200).collect();
                let message = format!("`{shown}` leads out of the definition's folder");
                let problem = Diagnostic::error("reference-outside", trail.pointer(), message);
                self.record(problem.mend("write a relative path that stays inside it"));
                return reference.to_owned();
            }
        };
        match self.settle(name, pointer) {
            Ok((file, there)) if file == root => fragment(&there),
            Ok((file, there)) => fragment(&self.arrive(file, there, part)),
            Err(lost) => {
                self.tell(&lost, reference, trail);
                reference.to_owned()
            }
        }
    }

    fn tell(&mut self, lost: &Lost, reference: &str, trail: &Trail<'_>) {
        let shown: String = reference.chars().take(200).collect();
        let at = |rule, message| Diagnostic::error(rule, trail.pointer(), message);
        let problem = match lost {
            Lost::Told => return,
            Lost::File(_) if self.alone => return,
            Lost::File(name) => at(
                "missing-file",
                format!("there is no file `{name}` among those of the definition"),
            )
            .mend("send it along, or mend the reference"),
            Lost::Part(name) => at(
                "reference",
                format!("`{shown}` leads nowhere in the file `{name}`"),
            )
            .mend("write the file, `#/` and the way to an existing part"),
            Lost::Cycle => at(
                "reference-cycle",
                format!("`{shown}` leads in a circle, or through more than {REFERENCES_MAX} steps"),
            ),
        };
        self.record(problem);
    }

    /// Where a part of another file stands in the tree; it is brought in when it is met first.
    fn arrive(&mut self, file: String, there: String, part: Part) -> String {
        let key = (file, there, part);
        if let Some(place) = self.places.get(&key) {
            return place.clone();
        }
        let (file, there, part) = key.clone();
        let section = part
            .section(self.version_2, self.version_3_0)
            .unwrap_or(EXTENSION);
        let name = self.name(section, &file, &there);
        let place = self.place(section, &name);
        self.places.insert(key, place.clone());
        self.origins
            .insert(place.clone(), (file.clone(), there.clone()));
        self.waiting.push_back(Arrival {
            section,
            name,
            file,
            pointer: there,
            part,
        });
        place
    }

    fn place(&self, section: &str, name: &str) -> String {
        let prefix = if self.version_2 || section == EXTENSION {
            ""
        } else {
            "/components"
        };
        pointer::join(&pointer::join(prefix, section), name)
    }

    /// A free name in a section: the last word of the pointer, or the file's name.
    fn name(&mut self, section: &'static str, file: &str, there: &str) -> String {
        let last = pointer::tokens(there).last();
        let stem = file.rsplit('/').next().unwrap_or(file);
        let stem = stem.split_once('.').map_or(stem, |(stem, _)| stem);
        let wanted: String = last
            .as_deref()
            .unwrap_or(stem)
            .chars()
            .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
            .take(100)
            .collect();
        let wanted = if wanted.is_empty() { "part" } else { &wanted }.to_owned();
        let count = self.names.get(&(section, wanted.clone())).copied();
        let mut number = count.map_or(1, |count| count + 1);
        let mut name = wanted.clone();
        while number > 1 {
            name = format!("{wanted}-{number}");
            if !self.names.contains_key(&(section, name.clone())) {
                break;
            }
            number += 1;
        }
        self.names.insert((section, wanted), number);
        self.names.insert((section, name.clone()), 1.max(number));
        name
    }

    /// Follows references that stand alone to what they stand for.
    fn settle(&mut self, mut file: String, mut there: String) -> Result<(String, String), Lost> {
        for _ in 0..REFERENCES_MAX {
            let tree = self.part(&file, &there)?;
            let reference = tree.pointer(&there).and_then(lone_reference);
            let next = reference.map(|reference| target(reference, &file));
            match next {
                Some(Target::Here(pointer)) if file != self.files.root() => there = pointer,
                Some(Target::File { name, pointer }) => (file, there) = (name, pointer),
                _ => return Ok((file, there)),
            }
        }
        Err(Lost::Cycle)
    }

    /// The tree of a file that has this part.
    fn part(&mut self, file: &str, there: &str) -> Result<Rc<Node>, Lost> {
        let tree = self.file(file)?;
        match tree.pointer(there) {
            Some(_) => Ok(tree),
            None => Err(Lost::Part(file.to_owned())),
        }
    }
}

/// The `$ref` of a mapping that has nothing else.
fn lone_reference(node: &Node) -> Option<&str> {
    let object = node.as_object().filter(|object| object.len() == 1)?;
    object.get("$ref")?.as_str()
}

fn fragment(pointer: &str) -> String {
    format!("#{}", utf8_percent_encode(pointer, FRAGMENT))
}

/// Values, and bytes of their texts.
fn size(node: &Node) -> (usize, usize) {
    let add = |sum: (usize, usize), (nodes, bytes)| (sum.0 + nodes, sum.1 + bytes);
    match &node.value {
        Value::Array(items) => items.iter().map(size).fold((1, 0), add),
        Value::Object(object) => object
            .iter()
            .map(|entry| add(size(&entry.node), (1, entry.key.len())))
            .fold((1, 0), add),
        Value::String(text) => (1, text.len()),
        _ => (1, 0),
    }
}

/// Changes a member of a mapping, made when it is not there. What is no mapping is left alone: it is a fault that the
/// reader tells.
fn with_member(node: &mut Node, key: &str, change: impl FnOnce(&mut Node)) {
    let Value::Object(object) = &mut node.value else {
        return;
    };
    let mut entries = std::mem::take(object).into_entries();
    let index = entries.iter().position(|entry| entry.key == key);
    let index = index.unwrap_or_else(|| {
        entries.push(Entry {
            key: key.to_owned(),
            key_position: node.position,
            node: Node {
                position: node.position,
                value: Value::Object(Object::default()),
            },
        });
        entries.len() - 1
    });
    change(&mut entries[index].node);
    node.value = Value::Object(entries.into_iter().collect());
}

fn append(node: &mut Node, more: Vec<Entry>) {
    if let Value::Object(object) = &mut node.value {
        let entries = std::mem::take(object).into_entries();
        *object = entries.into_iter().chain(more).collect();
    }
}

/// A whole definition as one tree: of one file its own, of several (see [`Files::pack`]) all that the root refers to,
/// references between files replaced by local ones.
///
/// # Errors
/// What cannot be parsed, references that lead nowhere, out of the definition or in a circle, and more than the limits
/// allow. Problems of other files than the root name their file.
pub fn bundle(text: &str, limits: &Limits) -> Result<Bundled, Diagnostics> {
    let (bundled, mut found) = assemble(text, limits)?;
    bundled.locate(&mut found);
    let errors = found.iter().any(|one| one.severity == Severity::Error);
    if errors { Err(found) } else { Ok(bundled) }
}
