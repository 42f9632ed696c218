//! Functions that know OpenAPI. They look at the whole definition, whatever they are applied to.

use std::collections::{HashMap, HashSet};

use tree::{Node, Object};

use super::{Problem, Target};
use crate::path::{Budget, Step};

const METHODS: &[&str] = &[
    "get", "put", "post", "delete", "options", "head", "patch", "trace", "query",
];

/// One of them.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Check {
    /// `oasOpIdUnique`: no two operations have one `operationId`. Given: `paths`.
    IdsUnique,
    /// `oasOpParams`: no two parameters of an operation have one name and place. Given: an operation's `parameters`.
    Parameters,
    /// `oasOpSecurityDefined`: schemes that are used are declared. Given: `security`.
    SecurityDefined,
    /// `oasOpSuccessResponse`: an answer is below 400. Given: `responses`.
    Success,
    /// `oasPathParam`: parameters in templates are declared, and the other way round. Given: `paths`.
    PathParameters,
    /// `oasTagDefined`: tags of operations are declared. Given: an operation's `tags`.
    TagsDefined,
    /// `refSiblings`: nothing stands beside `$ref`. Given: a mapping with `$ref`.
    Siblings,
}

impl Check {
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "oasOpIdUnique" => Self::IdsUnique,
            "oasOpParams" => Self::Parameters,
            "oasOpSecurityDefined" => Self::SecurityDefined,
            "oasOpSuccessResponse" => Self::Success,
            "oasPathParam" => Self::PathParameters,
            "oasTagDefined" => Self::TagsDefined,
            "refSiblings" => Self::Siblings,
            _ => return None,
        })
    }

    pub(super) fn apply<'t>(
        self,
        target: &Target<'t>,
        _step: &Step<'t>,
        budget: &mut Budget<'t>,
    ) -> Vec<Problem> {
        let Target::Node(node) = target else {
            return Vec::new();
        };
        match self {
            Self::IdsUnique => ids_unique(node, budget),
            Self::Parameters => parameters(node, budget),
            Self::SecurityDefined => security_defined(node, budget),
            Self::Success => success(node),
            Self::PathParameters => path_parameters(node, budget),
            Self::TagsDefined => tags_defined(node, budget),
            Self::Siblings => siblings(node),
        }
    }
}

/// The operations of `paths`: path, method, path item, operation.
fn operations<'t>(
    paths: &'t Node,
    budget: &mut Budget<'t>,
) -> Vec<(&'t str, &'t str, &'t Object, &'t Node)> {
    let mut found = Vec::new();
    for path in paths.as_object().into_iter().flatten() {
        let Some(item) = budget.followed(&Step::start(&path.node)).node.as_object() else {
            continue;
        };
        for entry in item
            .iter()
            .filter(|entry| METHODS.contains(&entry.key.as_str()))
        {
            if !budget.pay(1) {
                return found;
            }
            found.push((path.key.as_str(), entry.key.as_str(), item, &entry.node));
        }
    }
    found
}

fn ids_unique<'t>(paths: &'t Node, budget: &mut Budget<'t>) -> Vec<Problem> {
    let mut seen: HashSet<&str> = HashSet::new();
    let mut problems = Vec::new();
    for (path, method, _, operation) in operations(paths, budget) {
        if let Some(id) = operation.get("operationId").and_then(Node::as_str)
            && !seen.insert(id)
        {
            let below = [path, method, "operationId"].map(str::to_owned).to_vec();
            problems.push(Problem::below(
                format!("the operationId `{id}` is used before"),
                below,
            ));
        }
    }
    problems
}

/// A parameter's place and name.
fn key<'t>(node: &'t Node, budget: &Budget<'t>) -> Option<(&'t str, &'t str)> {
    let node = budget.followed(&Step::start(node)).node;
    Some((node.get("in")?.as_str()?, node.get("name")?.as_str()?))
}

fn parameters<'t>(list: &'t Node, budget: &mut Budget<'t>) -> Vec<Problem> {
    let mut seen = HashSet::new();
    let mut problems = Vec::new();
    for (index, item) in list.as_array().unwrap_or_default().iter().enumerate() {
        budget.pay(1);
        if let Some((place, name)) = key(item, budget)
            && !seen.insert((place, name))
        {
            let message = format!("the {place} parameter `{name}` stands in the list before");
            problems.push(Problem::below(message, vec![index.to_string()]));
        }
    }
    problems
}

fn security_defined<'t>(security: &'t Node, budget: &mut Budget<'t>) -> Vec<Problem> {
    let holder = budget
        .root
        .get("components")
        .and_then(|components| components.get("securitySchemes"));
    let schemes = holder.or_else(|| budget.root.get("securityDefinitions"));
    let mut problems = Vec::new();
    for (index, item) in security.as_array().unwrap_or_default().iter().enumerate() {
        for entry in item.as_object().into_iter().flatten() {
            budget.pay(1);
            if schemes
                .and_then(|schemes| schemes.get(&entry.key))
                .is_none()
            {
                let message = format!("the security scheme `{}` is not declared", entry.key);
                problems.push(Problem::below(
                    message,
                    vec![index.to_string(), entry.key.clone()],
                ));
            }
        }
    }
    problems
}

fn success(responses: &Node) -> Vec<Problem> {
    let Some(object) = responses.as_object() else {
        return Vec::new();
    };
    if object
        .iter()
        .any(|entry| entry.key == "default" || entry.key.starts_with(['2', '3']))
    {
        return Vec::new();
    }
    Problem::here("no answer is a success (2xx, 3xx or default)")
}

/// The names in the braces of a template.
fn names(template: &str) -> impl Iterator<Item = &str> {
    let pieces = template.split('{').skip(1);
    pieces.filter_map(|piece| piece.split_once('}').map(|(name, _)| name))
}

fn path_parameters<'t>(paths: &'t Node, budget: &mut Budget<'t>) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut templates: HashMap<String, &str> = HashMap::new();
    for entry in paths.as_object().into_iter().flatten() {
        let mut plain = String::new();
        for (index, piece) in entry.key.split('{').enumerate() {
            plain.push_str(if index == 0 {
                piece
            } else {
                piece.split_once('}').map_or(piece, |(_, rest)| rest)
            });
            plain.push('\u{0}');
        }
        if let Some(first) = templates.insert(plain, &entry.key) {
            let message =
                format!("the path differs from `{first}` in the names of its parameters only");
            problems.push(Problem::below(message, vec![entry.key.clone()]));
        }
        let mut seen = HashSet::new();
        for name in names(&entry.key).filter(|name| !seen.insert(*name)) {
            let message = format!("the path uses the parameter `{name}` twice");
            problems.push(Problem::below(message, vec![entry.key.clone()]));
        }
    }
    for (path, method, item, operation) in operations(paths, budget) {
        let own = operation
            .get("parameters")
            .into_iter()
            .chain(item.get("parameters"));
        let declared: HashSet<&str> = own
            .filter_map(Node::as_array)
            .flatten()
            .filter_map(|node| key(node, budget))
            .filter(|(place, _)| *place == "path")
            .map(|(_, name)| name)
            .collect();
        budget.pay(declared.len());
        let used: HashSet<&str> = names(path).filter(|name| !name.is_empty()).collect();
        let below = || vec![path.to_owned(), method.to_owned()];
        let mut missing: Vec<&&str> = used.difference(&declared).collect();
        missing.sort_unstable();
        for name in missing {
            problems.push(Problem::below(
                format!("the path parameter `{name}` is not declared"),
                below(),
            ));
        }
        let mut unused: Vec<&&str> = declared.difference(&used).collect();
        unused.sort_unstable();
        for name in unused {
            problems.push(Problem::below(
                format!("the path does not use the parameter `{name}`"),
                below(),
            ));
        }
    }
    problems
}

fn tags_defined<'t>(tags: &'t Node, budget: &mut Budget<'t>) -> Vec<Problem> {
    let known = budget
        .root
        .get("tags")
        .and_then(Node::as_array)
        .unwrap_or_default();
    let known: HashSet<&str> = known
        .iter()
        .filter_map(|tag| tag.get("name")?.as_str())
        .collect();
    budget.pay(known.len());
    let used = tags.as_array().unwrap_or_default().iter().enumerate();
    used.filter_map(|(index, tag)| Some((index, tag.as_str()?)))
        .filter(|(_, tag)| !known.contains(tag))
        .map(|(index, tag)| {
            Problem::below(
                format!("the tag `{tag}` is not declared"),
                vec![index.to_string()],
            )
        })
        .collect()
}

fn siblings(node: &Node) -> Vec<Problem> {
    let Some(object) = node.as_object() else {
        return Vec::new();
    };
    if object.get("$ref").and_then(Node::as_str).is_none() {
        return Vec::new();
    }
    let beside = object.iter().filter(|entry| entry.key != "$ref");
    beside
        .map(|entry| {
            Problem::below(
                format!("`{}` beside `$ref` means nothing", entry.key),
                vec![entry.key.clone()],
            )
        })
        .collect()
}
