//! The rules that a definition is held against, each with its id, its severities and what it is for.
//!
//! [`RULES`] is the one list: diagnostics carry the id, documents and the command line change severities by it, and the
//! reference page is made of it. What the reader of texts itself refuses (syntax, duplicate keys, limits) is not here:
//! such a text is no tree that rules could look at.

use std::collections::BTreeMap;

use spec::RuleSeverity::{self, Error, Off, Warning};

use crate::checks::passwords::RULE as PASSWORD;
use crate::model::Dialect;

/// One rule.
#[derive(Debug)]
pub struct Rule {
    /// Its name in diagnostics, documents and on the command line; never changes its meaning.
    pub id: &'static str,
    /// What it finds and why that matters, as a paragraph.
    pub about: &'static str,
    /// Swagger 2.0, OpenAPI 3.0, OpenAPI 3.1 and later.
    severities: [RuleSeverity; 3],
    /// The lowest severity that it may be given.
    pub least: RuleSeverity,
}

impl Rule {
    /// The severity where nobody asks for another.
    #[must_use]
    pub fn severity(&self, dialect: Dialect) -> RuleSeverity {
        self.severities[match dialect {
            Dialect::V2 => 0,
            Dialect::V3_0 => 1,
            Dialect::V3_1 => 2,
        }]
    }

    /// Whether it guards what the gateway needs: then it is an error, whatever is asked.
    #[must_use]
    pub fn is_guard(&self) -> bool {
        self.least == Error
    }
}

/// A rule that may be given any severity.
const fn rule(id: &'static str, severities: [RuleSeverity; 3], about: &'static str) -> Rule {
    Rule {
        id,
        about,
        severities,
        least: Off,
    }
}

/// A rule without which there is nothing that could be served, or a secret that could be read.
const fn guard(id: &'static str, about: &'static str) -> Rule {
    Rule {
        id,
        about,
        severities: [Error; 3],
        least: Error,
    }
}

/// A rule that tells what is not served: it may be sharpened, never silenced.
const fn notice(id: &'static str, about: &'static str) -> Rule {
    Rule {
        id,
        about,
        severities: [Warning; 3],
        least: Warning,
    }
}

const ERRORS: [RuleSeverity; 3] = [Error; 3];
const WARNINGS: [RuleSeverity; 3] = [Warning; 3];
/// Errors where the specification was strict, warnings since it allows the same on purpose.
const UNTIL_3_0: [RuleSeverity; 3] = [Error, Error, Warning];
const ASKED_FOR: [RuleSeverity; 3] = [Off; 3];

/// All rules, those that guard the gateway first.
pub static RULES: &[Rule] = &[
    guard(
        "unknown-version",
        "The text says which language it is written in: `swagger: \"2.0\"`, or `openapi:` with 3.0.x, 3.1.x or 3.2.x. Everything else depends on it.",
    ),
    guard(
        "missing-key",
        "A key is missing that serving the API needs: the `info` with its title and version, the `url` of a server, the default of a server's variable, the name and place of a parameter, the type of a security scheme.",
    ),
    guard(
        "wrong-type",
        "A value that serving the API needs is of another kind than expected: a text where a mapping belongs, a number where a text belongs.",
    ),
    guard(
        "unknown-value",
        "A parameter's `in` or a security scheme's `type` or `in` is a word that this version of OpenAPI does not know, so nobody can tell what it asks of a caller.",
    ),
    guard(
        "path-template",
        "A key of `paths` is no path template: it does not begin with `/`, its braces do not pair, or a parameter has no name or is used twice.",
    ),
    guard(
        "duplicate-path",
        "Two paths differ in the names of their parameters only. Every request that matches one matches the other, so nothing says which operation is meant.",
    ),
    guard(
        "reference",
        "A `$ref` that has to be followed to know an operation (path item, parameter, security scheme) leads nowhere.",
    ),
    guard(
        "external-reference",
        "A `$ref` that has to be followed leads into another file that is not at hand. For a security scheme this is a warning: the scheme stays unknown and lets nobody in.",
    ),
    guard(
        "reference-cycle",
        "References that have to be followed lead in a circle, or through more than 32 steps.",
    ),
    guard(
        "too-large",
        "References name large parts so often that operations, parameters and security requirements expand to more than is accepted.",
    ),
    guard(
        PASSWORD,
        "A password stands in the `securityConfig` of `x-wso2-production-endpoints`, `x-wso2-sandbox-endpoints` or `x-wso2-endpoints`. Everybody who may read the API could read it, for as long as its revisions are kept; the name of a variable (`${NAME}`) may stay.",
    ),
    rule(
        "missing-file",
        ERRORS,
        "A `$ref` leads into a file that is not among those of the definition.",
    ),
    rule(
        "reference-outside",
        ERRORS,
        "A `$ref` leads out of the definition's folder, or to an absolute path.",
    ),
    notice(
        "unroutable-path",
        "No request can match this path (it holds a `#`, a `?`, a dot-segment, an empty segment …). Its operations are left out.",
    ),
    notice(
        "unserved-methods",
        "`additionalOperations` (OpenAPI 3.2) are not served.",
    ),
    notice(
        "unknown-key",
        "A key of a path item is neither a method nor anything else that this version of OpenAPI knows, so whatever it holds is not served.",
    ),
    notice(
        "server-variable",
        "A server's URL has a variable that is not declared. The server is left out.",
    ),
    rule(
        "version-number",
        WARNINGS,
        "The version of the language is a number. Quoted, no tool can take 3.10 for 3.1.",
    ),
    rule(
        "schema-missing-key",
        ERRORS,
        "A key is missing that the official schema requires.",
    ),
    rule(
        "schema-wrong-type",
        ERRORS,
        "A value is of another kind than the official schema wants.",
    ),
    rule(
        "schema-unknown-key",
        ERRORS,
        "A key that the official schema does not know at this place: it has no effect, often because it is misspelt or indented wrongly. Extensions begin with `x-`.",
    ),
    rule(
        "schema-value",
        ERRORS,
        "A value is none of those that the official schema allows here.",
    ),
    rule(
        "schema-form",
        ERRORS,
        "A text or key does not match the pattern that the official schema sets, as in the status codes of `responses`.",
    ),
    rule(
        "schema-format",
        ERRORS,
        "A text is not of the format that the official schema names: no URL, no address of e-mail.",
    ),
    rule(
        "schema-range",
        ERRORS,
        "There are too few or too many entries, or one twice, or a number lies outside its bounds, by the official schema.",
    ),
    rule(
        "schema-choice",
        ERRORS,
        "Keys stand together that exclude each other by the official schema, as `example` and `examples`.",
    ),
    rule(
        "duplicate-operation-id",
        ERRORS,
        "Two operations have the same `operationId`. Links, generated clients and statistics go by it.",
    ),
    rule(
        "duplicate-parameter",
        ERRORS,
        "A list of parameters has the same name and place twice.",
    ),
    rule(
        "undeclared-parameter",
        UNTIL_3_0,
        "The path has a parameter that no `parameters` entry declares (path item and operation together).",
    ),
    rule(
        "unused-parameter",
        UNTIL_3_0,
        "A parameter is declared in the path that the path's template does not use.",
    ),
    rule(
        "unknown-scheme",
        UNTIL_3_0,
        "A security requirement names a scheme that is not declared. The gateway lets nobody in by it: where it names scopes, a token must hold them.",
    ),
    rule(
        "faulty-requirement",
        ERRORS,
        "An entry of `security` is no mapping from schemes to lists of scopes. The gateway lets nobody in by it; a single word is taken for a scope that a token must hold.",
    ),
    rule(
        "unknown-scope",
        WARNINGS,
        "A security requirement names a scope that its OAuth 2 scheme does not declare.",
    ),
    rule(
        "unresolved-reference",
        ERRORS,
        "A `$ref` anywhere in the definition leads to a place that does not exist.",
    ),
    rule(
        "unread-reference",
        WARNINGS,
        "A `$ref` leads into another file that is not at hand. What it describes is not needed to serve the API, and stays unknown.",
    ),
    rule(
        "circular-reference",
        ERRORS,
        "A `$ref` leads back to itself without anything in between (`a` is `b`, `b` is `a`), or a schema is `allOf` itself: it describes nothing.",
    ),
    rule(
        "endless-schema",
        WARNINGS,
        "A schema requires itself through required properties: no finite value can fit it.",
    ),
    rule(
        "several-bodies",
        ERRORS,
        "An operation has more than one parameter `in: body` (Swagger 2.0).",
    ),
    rule(
        "body-and-form",
        ERRORS,
        "An operation has a parameter `in: body` and one `in: formData`: a request has one body (Swagger 2.0).",
    ),
    rule(
        "form-consumes",
        WARNINGS,
        "An operation takes `formData`, and `consumes` names no form: `application/x-www-form-urlencoded` or `multipart/form-data`, the latter where a file is sent (Swagger 2.0).",
    ),
    rule(
        "body-of-get",
        WARNINGS,
        "A GET, HEAD or DELETE has a request body. HTTP gives it no meaning, and much between client and backend drops it.",
    ),
    rule(
        "reserved-header",
        WARNINGS,
        "A header parameter named `Accept`, `Content-Type` or `Authorization` is ignored by definition: media types and security say the same.",
    ),
    rule(
        "default-mismatch",
        WARNINGS,
        "A `default` does not fit the schema that it stands in.",
    ),
    rule(
        "example-mismatch",
        WARNINGS,
        "An example does not fit the schema that it belongs to.",
    ),
    rule(
        "enum-mismatch",
        WARNINGS,
        "A word of `enum` is not of the schema's `type`.",
    ),
    rule(
        "undefined-required",
        WARNINGS,
        "`required` names a property that the schema does not define, often because it is misspelt.",
    ),
    rule(
        "array-items",
        [Error, Error, Off],
        "A schema of type `array` has no `items`; until 3.0 they are required.",
    ),
    rule(
        "invalid-pattern",
        WARNINGS,
        "A `pattern` is no regular expression, or one of unusual size.",
    ),
    rule(
        "discriminator-mapping",
        ERRORS,
        "An entry of `discriminator.mapping` names a schema that does not exist.",
    ),
    rule(
        "unused-server-variable",
        WARNINGS,
        "A server declares a variable that its URL does not use.",
    ),
    rule(
        "server-default",
        [Error, Warning, Error],
        "The default of a server's variable is none of its `enum`.",
    ),
    rule(
        "link-operation",
        UNTIL_3_0,
        "A link names an operation (`operationId` or `operationRef`) that the definition does not have. Since 3.1 it may be one of another document.",
    ),
    rule(
        "component-name",
        [Off, Warning, Off],
        "The name of a component has other characters than letters, digits, `.`, `-` and `_`. In 3.1 the official schema says so (`schema-form`).",
    ),
    rule(
        "duplicate-tag",
        ERRORS,
        "`tags` declares the same name twice.",
    ),
    rule(
        "undeclared-tag",
        ASKED_FOR,
        "An operation has a tag that `tags` does not declare.",
    ),
    rule(
        "unused-component",
        ASKED_FOR,
        "A component is referred to from nowhere.",
    ),
];

/// The rule of this id.
#[must_use]
pub fn rule_of(id: &str) -> Option<&'static Rule> {
    RULES.iter().find(|rule| rule.id == id)
}

/// Severities that somebody asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules(BTreeMap<&'static str, RuleSeverity>);

/// A severity cannot be given as asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// There is no such rule.
    #[error("there is no rule `{id}`")]
    Unknown {
        /// What was written.
        id: String,
        /// The rule whose id is most like it.
        near: Option<&'static str>,
    },
    /// The rule guards what the gateway needs, or tells what is not served.
    #[error("the rule `{id}` is at least `{least}`: {reason}", reason = reason(id, *least))]
    Fixed {
        /// The rule.
        id: &'static str,
        /// The lowest severity that it may have.
        least: RuleSeverity,
    },
}

fn reason(id: &str, least: RuleSeverity) -> &'static str {
    if id == PASSWORD {
        "without it everybody who may read the API could read the password"
    } else if least == Error {
        "without it there is nothing that could be served"
    } else {
        "it tells what is not served"
    }
}

impl RuleError {
    /// What to do about it.
    #[must_use]
    pub fn mend(&self) -> String {
        match self {
            Self::Unknown {
                near: Some(near), ..
            } => format!("did you mean `{near}`?"),
            Self::Unknown { near: None, .. } => {
                "rules are listed in docs/reference/rules.md".to_owned()
            }
            Self::Fixed { .. } => "leave it out".to_owned(),
        }
    }
}

impl Rules {
    /// Gives one rule another severity.
    ///
    /// # Errors
    /// When there is no such rule, or it may not be weakened so far.
    pub fn set(&mut self, id: &str, severity: RuleSeverity) -> Result<(), RuleError> {
        let Some(rule) = rule_of(id) else {
            let near = spec::nearest(id, RULES.iter().map(|rule| rule.id));
            let shown = id.chars().take(100).collect();
            return Err(RuleError::Unknown { id: shown, near });
        };
        if severity < rule.least {
            return Err(RuleError::Fixed {
                id: rule.id,
                least: rule.least,
            });
        }
        self.0.insert(rule.id, severity);
        Ok(())
    }

    /// The severity that was asked for.
    #[must_use]
    pub fn asked(&self, rule: &Rule) -> Option<RuleSeverity> {
        self.0.get(rule.id).copied()
    }

    /// What a rule's violation is in this dialect.
    #[must_use]
    pub fn severity(&self, rule: &Rule, dialect: Dialect) -> RuleSeverity {
        self.asked(rule).unwrap_or_else(|| rule.severity(dialect))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_unique_and_kebab_case_and_every_rule_is_explained() {
        for (index, rule) in RULES.iter().enumerate() {
            assert!(
                RULES[..index].iter().all(|other| other.id != rule.id),
                "{}",
                rule.id
            );
            assert!(
                rule.id
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte == b'-'),
                "{}",
                rule.id
            );
            assert!(
                rule.about.len() > 30 && rule.about.ends_with('.'),
                "{}",
                rule.id
            );
            let defaults =
                [Dialect::V2, Dialect::V3_0, Dialect::V3_1].map(|dialect| rule.severity(dialect));
            assert!(
                defaults.iter().all(|severity| *severity >= rule.least),
                "{}",
                rule.id
            );
        }
    }

    #[test]
    fn severities_change_as_far_as_a_rule_allows() {
        let mut rules = Rules::default();
        rules
            .set("duplicate-operation-id", Off)
            .expect("any severity");
        rules.set("unroutable-path", Error).expect("sharper");
        let tags = rule_of("duplicate-operation-id").expect("a rule");
        assert_eq!(rules.severity(tags, Dialect::V3_0), Off);
        let error = rules.set("wrong-type", Warning).expect_err("a guard");
        assert_eq!(
            error.to_string(),
            "the rule `wrong-type` is at least `error`: without it there is nothing that could be served"
        );
        rules.set("unroutable-path", Off).expect_err("a notice");
        let error = rules.set("duplicate-operation", Off).expect_err("unknown");
        assert_eq!(error.mend(), "did you mean `duplicate-operation-id`?");
    }
}
