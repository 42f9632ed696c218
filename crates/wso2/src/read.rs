//! Reads the keys out of a definition's tree.

mod api;
mod calls;
mod endpoints;
mod reader;
mod walk;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use base::Diagnostics;
use openapi::Definition;
use tree::{Node, Object, pointer};

use crate::keys::Level;
use crate::model::{Extensions, Keys, Operation, Placed};
use endpoints::Named;
use reader::{Reader, shortened};

/// The tier that limits nothing.
pub(crate) const UNLIMITED: &str = "Unlimited";

/// Reads the keys of a definition. `root` is the tree that `definition` was read from.
///
/// Diagnostics are not located yet: they have pointers into `root`. There are at most `problems_max` of them; an error is
/// never left out in favour of a warning. With errors the model lacks what could not be understood.
#[must_use]
pub fn read(
    root: &Node,
    definition: &Definition,
    problems_max: usize,
) -> (Extensions, Diagnostics) {
    let mut reader = Reader::new(problems_max);
    let Some(top) = root.as_object() else {
        return (Extensions::default(), reader.into_found());
    };
    let mut named = Named::read(&mut reader, top);
    let mut extensions = api::read(&mut reader, top);
    extensions.keys = keys(&mut reader, top, "", Level::Api, &mut named);
    let places = Places::of(root, definition);
    extensions.operations = operations(&mut reader, root, definition, &places, &mut named);
    named.check_used(&mut reader);
    walk::check(&mut reader, root, &places);
    (extensions, reader.into_found())
}

/// Where operations and their path items stand: behind a `$ref` elsewhere than under `paths`.
struct Places {
    operations: BTreeSet<String>,
    items: BTreeSet<String>,
}

impl Places {
    fn of(root: &Node, definition: &Definition) -> Self {
        let operations: BTreeSet<String> = definition
            .operations
            .iter()
            .map(|operation| operation.pointer.clone())
            .collect();
        let mut items: BTreeSet<String> = operations
            .iter()
            .filter_map(|place| Some(place.rsplit_once('/')?.0.to_owned()))
            .collect();
        let paths = root.get("paths").and_then(Node::as_object);
        items.extend(
            paths
                .into_iter()
                .flatten()
                .filter(|entry| !entry.key.starts_with("x-"))
                .map(|entry| pointer::join("/paths", &entry.key)),
        );
        Self { operations, items }
    }
}

fn operations(
    reader: &mut Reader,
    root: &Node,
    definition: &Definition,
    places: &Places,
    named: &mut Named,
) -> Vec<Operation> {
    // Each place is read once, however many references lead there.
    let mut items: BTreeMap<&str, Keys> = BTreeMap::new();
    for place in &places.items {
        if let Some(object) = root.pointer(place).and_then(Node::as_object) {
            items.insert(place, keys(reader, object, place, Level::Path, named));
        }
    }
    let mut own: HashMap<&str, (Keys, Vec<String>)> = HashMap::new();
    let mut operations = Vec::new();
    for operation in &definition.operations {
        let place = operation.pointer.as_str();
        let Some(object) = root.pointer(place).and_then(Node::as_object) else {
            continue;
        };
        let (keys, scopes) = own.entry(place).or_insert_with(|| {
            let keys = keys(reader, object, place, Level::Operation, named);
            (keys, api::scopes(reader, object, place))
        });
        // What stands beside a `$ref` goes before what stands in its target.
        let listed = pointer::join("/paths", operation.template.as_str());
        let around = [
            Some(listed.as_str()),
            place.rsplit_once('/').map(|(item, _)| item),
        ];
        let keys = around
            .into_iter()
            .flatten()
            .filter_map(|item| items.get(item))
            .fold(keys.clone(), Keys::within);
        if keys != Keys::default() || !scopes.is_empty() {
            operations.push(Operation {
                method: operation.method,
                template: operation.template.as_str().to_owned(),
                keys,
                scopes: scopes.clone(),
            });
        }
    }
    operations
}

/// The keys that may stand at several levels.
fn keys(
    reader: &mut Reader,
    object: &Object,
    place: &str,
    level: Level,
    named: &mut Named,
) -> Keys {
    let mut keys = Keys {
        production: named.list(reader, object, place, "x-wso2-production-endpoints"),
        sandbox: named.list(reader, object, place, "x-wso2-sandbox-endpoints"),
        tier: tier(reader, object, place, level),
        disable_security: reader.flag(object, place, "x-wso2-disable-security"),
        application_security: None,
    };
    if level != Level::Path {
        keys.application_security = api::application_security(reader, object, place);
    }
    if level == Level::Operation {
        let of_type = reader.text(object, place, "x-auth-type");
        // An explicit `x-wso2-disable-security` wins; every other word means that callers are authenticated.
        if keys.disable_security.is_none() && of_type == Some("None") {
            keys.disable_security = Some(true);
        }
    }
    keys
}

/// The tier. Of operations and paths none is served yet; what becomes of the API's depends on the plans there are.
fn tier(reader: &mut Reader, object: &Object, place: &str, level: Level) -> Option<Placed<String>> {
    let mut read = |key| {
        let value = reader.text(object, place, key)?.to_owned();
        let pointer = pointer::join(place, key);
        Some(Placed { value, pointer })
    };
    // Both are read, so that a malformed one is found.
    let (own, alias) = (read("x-wso2-throttling-tier"), read("x-throttling-tier"));
    let tier = own.or(alias)?;
    if level != Level::Api && tier.value != UNLIMITED {
        let what = format!("tier {}", shortened(&tier.value));
        let instead = "the plan of the subscription alone limits calls of this operation";
        reader.not_served(tier.pointer.clone(), &what, instead);
    }
    Some(tier)
}
