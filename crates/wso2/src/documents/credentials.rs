//! What backends are shown: `securityConfig`.
//!
//! WSO2's gateways have the password in the definition, or in variables of their process; documents name files of the nodes,
//! in folders whose names are made of the API's and of the place of the endpoints.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use base::{Diagnostic, Digest};
use openapi::{Definition, Method};
use serde_json::json;
use spec::{ApiSpec, OperationSpec, PolicyEntry};

use super::Chosen;
use crate::model::{EndpointList, EndpointSecurity, Extensions, Keys};

/// The longest part of a folder's name that is made of a place.
const WORDS_MAX: usize = 100;
const ENVIRONMENTS: [&str; 2] = ["production", "sandbox"];

/// The credentials of one operation, in production and in the sandbox.
type Pair<'e> = [Option<&'e EndpointSecurity>; 2];

/// Which backends are shown a credential.
pub(super) struct Shown<'e> {
    /// In the order of the definition.
    operations: Vec<(String, Pair<'e>)>,
    /// By the place of the endpoints.
    folders: BTreeMap<&'e str, (String, &'e EndpointSecurity)>,
}

impl<'e> Shown<'e> {
    pub(super) fn of(
        extensions: &'e Extensions,
        definition: &Definition,
        chosen: &Chosen,
        api: &ApiSpec,
    ) -> Self {
        let own: HashMap<(Method, &str), &'e Keys> = extensions
            .operations
            .iter()
            .map(|one| ((one.method, one.template.as_str()), &one.keys))
            .collect();
        let pair = |keys: Option<&'e Keys>| -> Pair<'e> {
            let of = |list: fn(&Keys) -> &Option<Arc<EndpointList>>| {
                let own = keys.and_then(|keys| list(keys).as_ref());
                let list = own.or(list(&extensions.keys).as_ref())?;
                list.security.as_ref()
            };
            // A backend that somebody has chosen is another one: nobody said that it may see the password.
            let production = (!chosen.backend).then(|| of(|keys| &keys.production));
            [production.flatten(), of(|keys| &keys.sandbox)]
        };
        let operations: Vec<_> = definition
            .operations
            .iter()
            .map(|one| {
                let keys = own.get(&(one.method, one.template.as_str())).copied();
                (format!("{} {}", one.method, one.template), pair(keys))
            })
            .collect();
        let used = operations.iter().flat_map(|(_, pair)| pair).flatten();
        let used: BTreeMap<&str, &EndpointSecurity> = used
            .map(|security| (security.list.as_str(), *security))
            .collect();
        let names = names(&api.name, used.keys().copied());
        let folders = names
            .into_iter()
            .zip(used)
            .map(|(name, (place, security))| (place, (name, security)))
            .collect();
        Self {
            operations,
            folders,
        }
    }

    /// Names the credentials in the document: of the API where all its operations have the same, else of each.
    pub(super) fn write(&self, api: &mut ApiSpec) {
        for (index, environment) in ENVIRONMENTS.into_iter().enumerate() {
            let of = |(_, pair): &(String, Pair<'e>)| pair[index].map(|one| one.list.as_str());
            let different: BTreeSet<_> = self.operations.iter().map(of).collect();
            if let (1, Some(Some(list))) = (different.len(), different.first()) {
                api.policies.extend(self.policy(list, environment));
                continue;
            }
            for operation in &self.operations {
                if let Some(policy) = of(operation).and_then(|list| self.policy(list, environment))
                {
                    entry(api, &operation.0).policies.push(policy);
                }
            }
        }
        // Entries stand in the order of the definition.
        let order = self.operations.iter().enumerate();
        let order: HashMap<&str, usize> = order
            .map(|(index, (name, _))| (name.as_str(), index))
            .collect();
        api.operations
            .sort_by_key(|one| order.get(one.matching.as_str()).copied());
    }

    fn policy(&self, list: &str, environment: &str) -> Option<PolicyEntry> {
        let (folder, _) = self.folders.get(list)?;
        let config = json!({"basic": {"secretRef": folder}, "environment": environment});
        Some(PolicyEntry::new("backendCredentials", config))
    }

    /// What an operator has to do; and passwords that are written out, which refuse the definition.
    pub(super) fn diagnostics(&self) -> Vec<Diagnostic> {
        let told = |(folder, security): &(String, &EndpointSecurity)| {
            if security.written_password {
                let place = tree::pointer::join(&security.place(), "password");
                let message = "a password stands in the definition, where everybody who may read the API reads it";
                let mend = format!(
                    "take it out, and put it into {folder}/password of the nodes' folder of secrets"
                );
                return Diagnostic::error("wso2-password", place, message).mend(mend);
            }
            let message = format!(
                "the backend is shown the name and the password of {folder}/username and {folder}/password in the nodes' folder of secrets"
            );
            let mend = "put both files there: until then its calls are refused";
            Diagnostic::warning("wso2-differs", security.place(), message).mend(mend)
        };
        self.folders.values().map(told).collect()
    }
}

/// The entry of an operation.
fn entry<'a>(api: &'a mut ApiSpec, matching: &str) -> &'a mut OperationSpec {
    let found = api
        .operations
        .iter()
        .position(|one| one.matching == matching);
    let index = found.unwrap_or_else(|| {
        api.operations.push(OperationSpec {
            matching: matching.to_owned(),
            scopes: None,
            security: None,
            backend: None,
            backends: None,
            policies: Vec::new(),
            extensions: spec::Extensions::new(),
        });
        api.operations.len() - 1
    });
    &mut api.operations[index]
}

/// A folder's name for each place, in their order. They do not depend on what else the definition says, but where two would
/// be the same.
fn names<'p>(api: &str, places: impl Iterator<Item = &'p str> + Clone) -> Vec<String> {
    let mut times: HashMap<String, usize> = HashMap::new();
    for place in places.clone() {
        *times.entry(words(place)).or_default() += 1;
    }
    let name = |place: &str| {
        let words = words(place);
        if times.get(&words) == Some(&1) && words.len() < WORDS_MAX {
            return format!("{api}-{words}");
        }
        let digest = Digest::of(place.as_bytes()).to_string();
        format!("{api}-{words}-{}", &digest[..8])
    };
    places.map(name).collect()
}

/// The words of a place: `/paths/~1pets/get/x-wso2-sandbox-endpoints` is `pets-get-sandbox`.
fn words(place: &str) -> String {
    let place = place
        .trim_start_matches("/paths")
        .trim_start_matches("/x-wso2-endpoints")
        .replace("x-wso2-", "")
        .replace("~1", "/");
    let place = place.strip_suffix("-endpoints").unwrap_or(&place);
    let of = |c: char| !c.is_ascii_alphanumeric();
    let all = place.split(of).filter(|word| !word.is_empty());
    let is_index = |word: &str| word.bytes().all(|byte| byte.is_ascii_digit());
    // The place in the list of names says nothing.
    let all: Vec<&str> = all.collect();
    let named = match all.split_first() {
        Some((first, rest)) if is_index(first) && !rest.is_empty() => rest,
        _ => &all,
    };
    let mut words = named.join("-").to_ascii_lowercase();
    words.truncate(WORDS_MAX);
    match words.trim_end_matches('-') {
        "" => "backend".to_owned(),
        words => words.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_named_by_the_places_of_endpoints() {
        for (place, expected) in [
            ("/x-wso2-production-endpoints", "production"),
            ("/x-wso2-sandbox-endpoints", "sandbox"),
            ("/x-wso2-endpoints/2/myEndpoint3", "myendpoint3"),
            ("/x-wso2-endpoints/my Endpoint", "my-endpoint"),
            (
                "/paths/~1store~1{id}/get/x-wso2-production-endpoints",
                "store-id-get-production",
            ),
            ("/paths/~1a/x-wso2-sandbox-endpoints", "a-sandbox"),
            ("/x-wso2-endpoints/日本", "backend"),
        ] {
            let found = names("pets", std::iter::once(place));
            assert_eq!(found, [format!("pets-{expected}")], "{place}");
        }
    }

    #[test]
    fn no_two_places_share_a_folder() {
        let long = format!("/x-wso2-endpoints/{}", "x".repeat(300));
        let places = ["/x-wso2-endpoints/a-b", "/x-wso2-endpoints/a b", &long];
        let found = names("pets", places.into_iter());
        let different: BTreeSet<_> = found.iter().collect();
        assert_eq!(different.len(), 3, "{found:?}");
        for name in &found {
            assert!(spec::names::fault("tollway-name", name).is_none(), "{name}");
        }
        // The order changes nothing.
        let turned = names("pets", places.into_iter().rev());
        assert_eq!(turned.into_iter().rev().collect::<Vec<_>>(), found);
    }
}
