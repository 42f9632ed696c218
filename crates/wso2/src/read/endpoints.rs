//! Endpoint lists, in place and by reference.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use base::Diagnostic;
use tree::{Entry, Node, Object, pointer};

use super::calls;
use super::reader::{Reader, shortened};
use crate::model::{EndpointList, EndpointSecurity, EndpointType};

const ENDPOINTS: &str = "x-wso2-endpoints";

/// What stands before the name in a reference.
const PREFIX: &str = "#/x-wso2-endpoints/";

const TYPES: &[(&str, EndpointType)] = &[
    ("http", EndpointType::Http),
    ("address", EndpointType::Http),
    ("load_balance", EndpointType::LoadBalance),
    ("failover", EndpointType::Failover),
];

/// The lists of `x-wso2-endpoints`, by name.
#[derive(Default)]
pub(crate) struct Named {
    lists: HashMap<String, Option<Arc<EndpointList>>>,
    /// In the order of the text: name and place.
    places: Vec<(String, String)>,
    used: HashSet<String>,
}

impl Named {
    /// Reads `x-wso2-endpoints`: a list of mappings, or one mapping.
    pub(crate) fn read(reader: &mut Reader, top: &Object) -> Self {
        let mut named = Self::default();
        let Some(node) = top.get(ENDPOINTS) else {
            return named;
        };
        let place = format!("/{ENDPOINTS}");
        match &node.value {
            tree::Value::Object(object) => named.add(reader, object, &place),
            tree::Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    let place = format!("{place}/{index}");
                    match item.as_object() {
                        Some(object) => named.add(reader, object, &place),
                        None => reader.wrong_type(item, place, "a mapping"),
                    }
                }
            }
            _ => reader.wrong_type(node, place, "a list"),
        }
        named
    }

    fn add(&mut self, reader: &mut Reader, object: &Object, place: &str) {
        for Entry { key, node, .. } in object {
            let place = pointer::join(place, key);
            if self.lists.contains_key(key) {
                let message = format!("the endpoints `{}` are written twice", shortened(key));
                let problem = Diagnostic::error("wso2-duplicate", place, message);
                reader.record(problem.mend("rename one of them"));
                continue;
            }
            let list = list(reader, node, &place).map(Arc::new);
            self.lists.insert(key.clone(), list);
            self.places.push((key.clone(), place));
        }
    }

    /// The endpoints under a key: in place, or by reference.
    pub(crate) fn list(
        &mut self,
        reader: &mut Reader,
        object: &Object,
        place: &str,
        key: &str,
    ) -> Option<Arc<EndpointList>> {
        let node = object.get(key)?;
        let place = pointer::join(place, key);
        let Some(text) = node.as_str() else {
            return list(reader, node, &place).map(Arc::new);
        };
        let Some(name) = text.strip_prefix(PREFIX) else {
            let message = format!("`{}` is no reference to endpoints", shortened(text));
            let problem = Diagnostic::error("wso2-reference", place, message);
            reader.record(
                problem.mend("write `#/x-wso2-endpoints/NAME`, or the URLs as `urls: [https://…]`"),
            );
            return None;
        };
        if let Some(found) = self.lists.get(name) {
            self.used.insert(name.to_owned());
            return found.clone();
        }
        let message = format!("there are no endpoints `{}`", shortened(name));
        let problem = Diagnostic::error("wso2-reference", place, message);
        let known = self.places.iter().map(|(name, _)| name.as_str());
        reader.record(match spec::nearest(name, known) {
            Some(near) => problem.mend(format!("did you mean `{PREFIX}{near}`?")),
            None => problem.mend("add them to `x-wso2-endpoints`"),
        });
        None
    }

    /// Warns about lists that nothing refers to.
    pub(crate) fn check_used(&self, reader: &mut Reader) {
        let unused = self
            .places
            .iter()
            .filter(|(name, _)| !self.used.contains(name));
        for (name, place) in unused {
            let message = format!("nothing refers to the endpoints `{}`", shortened(name));
            reader.record(Diagnostic::warning("wso2-unused", place.clone(), message));
        }
    }
}

/// Reads one list.
fn list(reader: &mut Reader, node: &Node, place: &str) -> Option<EndpointList> {
    let Some(object) = node.as_object() else {
        reader.wrong_type(node, place.to_owned(), "a mapping with `urls`");
        return None;
    };
    let known = ["urls", "type", "securityConfig", "advanceEndpointConfig"];
    reader.unknown_members(object, place, &known);
    let kind = match reader.text(object, place, "type") {
        Some(word) => reader.word(word, &pointer::join(place, "type"), TYPES),
        None => None,
    };
    let kind = kind.unwrap_or_default();
    let calls = calls::read(reader, object, place);
    let security = security(reader, object, place);
    let urls = urls(reader, object, place)?;
    Some(EndpointList {
        urls,
        kind,
        calls,
        security,
    })
}

/// `securityConfig`; nothing where it is switched off or not served.
fn security(reader: &mut Reader, object: &Object, list: &str) -> Option<EndpointSecurity> {
    let (config, place) = reader.object(object, list, "securityConfig")?;
    let known = [
        "type",
        "username",
        "password",
        "enabled",
        "customparameters",
    ];
    reader.unknown_members(config, &place, &known);
    if reader.flag(config, &place, "enabled") == Some(false) {
        return None;
    }
    let parameters = config.get("customparameters").and_then(Node::as_object);
    if parameters.is_some_and(|parameters| !parameters.is_empty()) {
        let place = pointer::join(&place, "customparameters");
        reader.not_served(
            place,
            "customparameters",
            "name and password are shown alone",
        );
    }
    let kind = reader.text(config, &place, "type").unwrap_or("basic");
    if !kind.eq_ignore_ascii_case("basic") {
        let place = pointer::join(&place, "type");
        let instead = "the backend is called without these credentials";
        reader.not_served(place, &shortened(kind), instead);
        return None;
    }
    Some(EndpointSecurity {
        list: list.to_owned(),
        written_password: config
            .get("password")
            .is_some_and(openapi::is_written_secret),
    })
}

fn urls(reader: &mut Reader, object: &Object, place: &str) -> Option<Vec<String>> {
    if object.get("urls").is_none() {
        let problem = Diagnostic::error("wso2-endpoints", place, "the key `urls` is missing");
        reader.record(problem.mend("add `urls: [https://…]`"));
        return None;
    }
    let texts = reader.texts(object, place, "urls")?;
    if texts.is_empty() {
        let place = pointer::join(place, "urls");
        reader.record(Diagnostic::error(
            "wso2-endpoints",
            place,
            "there is no URL",
        ));
    }
    let mut urls: Vec<String> = Vec::new();
    for (text, place) in texts {
        let inside = text.strip_prefix("etcd(");
        let url = match inside.and_then(|rest| rest.strip_suffix(')')) {
            None => Some(text),
            Some(inside) => discovered(reader, inside, &place),
        };
        let Some(url) = url else { continue };
        let url = without_query(reader, url, &place);
        if !reader.fits("tollway-url", url, &place) {
            continue;
        }
        if urls.iter().any(|have| have == url) {
            let message = "the URL is listed twice: it gets no greater share of the calls";
            reader.record(Diagnostic::warning("wso2-differs", place, message));
        } else {
            urls.push(url.to_owned());
        }
    }
    (!urls.is_empty()).then_some(urls)
}

/// `etcd(key,URL)`: the URL, which WSO2's gateway uses until the key has a value.
fn discovered<'t>(reader: &mut Reader, inside: &'t str, place: &str) -> Option<&'t str> {
    let Some((_, url)) = inside.split_once(',') else {
        let message = "`etcd` is not served, and no URL stands beside the key";
        let problem = Diagnostic::error("wso2-value", place, message);
        reader.record(problem.mend("add the URL: `etcd(key,https://…)`"));
        return None;
    };
    let instead = "calls go to the URL that stands beside the key";
    reader.not_served(place, "etcd", instead);
    Some(url.trim())
}

/// A backend's URL has no query of its own: callers' queries are sent as they are.
fn without_query<'t>(reader: &mut Reader, url: &'t str, place: &str) -> &'t str {
    match url.split_once('?') {
        None => url,
        Some((url, _)) => {
            let message = "the query of the URL is not served: the backend gets the caller's alone";
            let problem = Diagnostic::warning("wso2-differs", place, message);
            reader.record(problem.mend("let the backend set what it needs"));
            url
        }
    }
}
