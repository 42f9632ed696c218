//! What an API key may be used for, beyond what its application is subscribed to.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// Limits of an API key; the default limits nothing.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KeyLimits {
    /// Where calls may come from; empty = from everywhere.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub ip_ranges: Vec<IpNet>,
    /// What may be called; empty = every operation of every API that the application is subscribed to.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub operations: Vec<AllowedOperation>,
    /// The scopes that it stands for; absent = it is not limited by scopes.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub scopes: Option<BTreeSet<String>>,
}

/// One operation of an API, or all of them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AllowedOperation {
    /// The API: the name of its document (`pets-1.0.0`).
    pub api: String,
    /// The operation: its `operationId`, or method and path template as in the definition (`GET /pets/{id}`);
    /// absent = all operations of the API.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub operation: Option<String>,
}

impl KeyLimits {
    /// Whether it limits nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether calls may come from this address. An IPv4 address in an IPv6 one is the IPv4 address (RFC 4291 §2.5.5.2).
    #[must_use]
    pub fn allow_address(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.ip_ranges.is_empty() || self.ip_ranges.iter().any(|range| range.contains(&address))
    }

    /// Whether this operation of this API may be called; `names` are all names that it has.
    #[must_use]
    pub fn allow_operation(&self, api: &str, names: &[&str]) -> bool {
        self.operations.is_empty()
            || self.operations.iter().any(|allowed| {
                allowed.api == api
                    && allowed
                        .operation
                        .as_deref()
                        .is_none_or(|name| names.contains(&name))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_limits_allow_everything() {
        let limits = KeyLimits::default();
        assert!(limits.is_empty());
        assert!(limits.allow_address("192.0.2.1".parse().unwrap()));
        assert!(limits.allow_operation("pets-1.0.0", &["GET /pets"]));
        assert_eq!(
            serde_json::to_value(&limits).unwrap(),
            serde_json::json!({})
        );
    }

    #[test]
    fn addresses_are_those_of_the_ranges() {
        let limits = KeyLimits {
            ip_ranges: vec![
                "192.0.2.0/24".parse().unwrap(),
                "2001:db8::/32".parse().unwrap(),
            ],
            ..KeyLimits::default()
        };
        for (address, allowed) in [
            ("192.0.2.255", true),
            ("::ffff:192.0.2.7", true),
            ("192.0.3.0", false),
            ("2001:db8:1::1", true),
            ("2001:db9::", false),
        ] {
            assert_eq!(
                limits.allow_address(address.parse().unwrap()),
                allowed,
                "{address}"
            );
        }
    }

    #[test]
    fn operations_go_by_any_of_their_names() {
        let allowed = |api: &str, operation: Option<&str>| AllowedOperation {
            api: api.to_owned(),
            operation: operation.map(str::to_owned),
        };
        let limits = KeyLimits {
            operations: vec![
                allowed("pets-1.0.0", Some("listPets")),
                allowed("pets-1.0.0", Some("DELETE /pets/{id}")),
                allowed("cats-1.0.0", None),
            ],
            ..KeyLimits::default()
        };
        assert!(limits.allow_operation("pets-1.0.0", &["GET /pets", "listPets"]));
        assert!(limits.allow_operation("pets-1.0.0", &["DELETE /pets/{id}"]));
        assert!(limits.allow_operation("cats-1.0.0", &["GET /cats"]));
        assert!(!limits.allow_operation("pets-1.0.0", &["GET /pets/{id}", "getPet"]));
        assert!(!limits.allow_operation("dogs-1.0.0", &["listPets"]));
    }
}
