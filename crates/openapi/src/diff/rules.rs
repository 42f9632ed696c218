//! The rules by which differences are told. `docs/reference/api-changes.md` is generated from them.

use std::sync::LazyLock;

use serde::Serialize;

use crate::diff::Change;
use crate::schema::Direction;

/// One kind of difference.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Rule {
    /// Its stable name, in kebab case.
    #[serde(rename = "rule")]
    pub id: &'static str,
    /// Which way something changed.
    pub change: Change,
    /// Whether callers that keep to the old definition may fail.
    pub breaking: bool,
    /// What it means, for people.
    #[serde(skip)]
    pub docs: &'static str,
}

/// How a part of a schema changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Relation {
    /// Fewer values are allowed.
    Narrowed,
    /// More values are allowed.
    Widened,
    /// Other values are allowed.
    Changed,
}

/// One keyword of schemas, with its rules in both directions.
#[derive(Debug)]
pub(crate) struct Facet {
    /// By relation; a limit is narrower or wider, never just another.
    request: &'static [&'static Rule],
    response: &'static [&'static Rule],
    texts: &'static [&'static str],
}

impl Facet {
    pub(crate) fn rule(&self, direction: Direction, relation: Relation) -> &'static Rule {
        match direction {
            Direction::Request => self.request[relation as usize],
            Direction::Response => self.response[relation as usize],
        }
    }

    pub(crate) fn text(&self, relation: Relation) -> &'static str {
        self.texts[relation as usize]
    }
}

macro_rules! rules {
    ($($name:ident $id:literal $change:ident $breaking:literal $docs:literal;)+) => {
        $(
            #[doc = $docs]
            pub static $name: Rule = Rule { id: $id, change: Change::$change, breaking: $breaking, docs: $docs };
        )+
        /// The rules that are not about one keyword of schemas.
        static OWN: &[&Rule] = &[$(&$name),+];
    };
}

macro_rules! facets {
    ($($name:ident $id:literal $narrowed:literal $widened:literal $($changed:literal)?;)+) => {
        $(
            pub(crate) static $name: Facet = Facet {
                request: &[
                    facets!(@ "request-", $id, "-narrowed", true, "What is sent: ", $narrowed),
                    facets!(@ "request-", $id, "-widened", false, "What is sent: ", $widened),
                    $(facets!(@ "request-", $id, "-changed", true, "What is sent: ", $changed),)?
                ],
                response: &[
                    facets!(@ "response-", $id, "-narrowed", false, "What is answered: ", $narrowed),
                    facets!(@ "response-", $id, "-widened", true, "What is answered: ", $widened),
                    $(facets!(@ "response-", $id, "-changed", true, "What is answered: ", $changed),)?
                ],
                texts: &[$narrowed, $widened $(, $changed)?],
            };
        )+
        static FACETS: &[&Facet] = &[$(&$name),+];
    };
    (@ $side:literal, $id:literal, $relation:literal, $breaking:literal, $before:literal, $text:literal) => {
        &Rule {
            id: concat!($side, $id, $relation),
            change: Change::Changed,
            breaking: $breaking,
            docs: concat!($before, $text, "."),
        }
    };
}

rules! {
    INFO_CHANGED "info-changed" Changed false "Title, version or description of the definition differ.";
    SERVERS_CHANGED "servers-changed" Changed false "The servers differ. Callers reach the API at the gateway, not there.";

    PATH_ADDED "path-added" Added false "A path with its operations is new.";
    PATH_REMOVED "path-removed" Removed true "A path with its operations is gone. A path whose parameters are renamed is the same path.";
    OPERATION_ADDED "operation-added" Added false "A path has one more method.";
    OPERATION_REMOVED "operation-removed" Removed true "A path has one method less.";
    OPERATION_DEPRECATED "operation-deprecated" Changed false "An operation is now deprecated.";
    OPERATION_NOT_DEPRECATED "operation-not-deprecated" Changed false "An operation is no longer deprecated.";
    OPERATION_ID_CHANGED "operation-id-changed" Changed false "The `operationId` differs. Calls are the same; names in generated clients may change.";
    DOCUMENTATION_CHANGED "documentation-changed" Changed false "Summary, description or tags of an operation differ.";

    SECURITY_REQUIRED "security-required" Added true "Anonymous calls were accepted, and no longer are.";
    SECURITY_DROPPED "security-dropped" Removed false "Anonymous calls are now accepted.";
    SECURITY_ALTERNATIVE_ADDED "security-alternative-added" Added false "There is one more way to authenticate.";
    SECURITY_ALTERNATIVE_REMOVED "security-alternative-removed" Removed true "A way to authenticate is gone, or needs another scheme as well.";
    SECURITY_SCOPE_ADDED "security-scope-added" Added true "A way to authenticate needs further scopes.";
    SECURITY_SCOPE_REMOVED "security-scope-removed" Removed false "A way to authenticate needs fewer scopes.";

    PARAMETER_ADDED "request-parameter-added" Added false "An optional parameter is new.";
    PARAMETER_ADDED_REQUIRED "request-parameter-added-required" Added true "A required parameter without a default is new.";
    PARAMETER_REMOVED "request-parameter-removed" Removed true "A parameter is gone: callers that send it no longer get what they ask for.";
    PARAMETER_RENAMED "request-path-parameter-renamed" Changed false "A parameter of the path has another name. Calls are the same.";
    PARAMETER_BECAME_REQUIRED "request-parameter-became-required" Changed true "An optional parameter is now required.";
    PARAMETER_BECAME_OPTIONAL "request-parameter-became-optional" Changed false "A required parameter is now optional.";
    PARAMETER_STYLE_CHANGED "request-parameter-style-changed" Changed true "A parameter of several values is written in another style.";

    BODY_ADDED "request-body-added" Added false "A body may now be sent.";
    BODY_ADDED_REQUIRED "request-body-added-required" Added true "A body must now be sent.";
    BODY_REMOVED "request-body-removed" Removed true "No body is taken any more.";
    BODY_BECAME_REQUIRED "request-body-became-required" Changed true "The body is now required.";
    BODY_BECAME_OPTIONAL "request-body-became-optional" Changed false "The body is now optional.";
    REQUEST_MEDIA_TYPE_ADDED "request-media-type-added" Added false "The body may be sent as one more media type.";
    REQUEST_MEDIA_TYPE_REMOVED "request-media-type-removed" Removed true "The body may no longer be sent as this media type.";

    RESPONSE_SUCCESS_ADDED "response-success-added" Added false "There is one more status of success.";
    RESPONSE_SUCCESS_REMOVED "response-success-removed" Removed true "A status below 400, or `default`, is no longer answered.";
    RESPONSE_ERROR_ADDED "response-error-added" Added false "There is one more status of failure.";
    RESPONSE_ERROR_REMOVED "response-error-removed" Removed false "A status of failure is no longer answered.";
    RESPONSE_MEDIA_TYPE_ADDED "response-media-type-added" Added false "The answer may be had as one more media type.";
    RESPONSE_MEDIA_TYPE_REMOVED "response-media-type-removed" Removed true "The answer can no longer be had as this media type.";
    RESPONSE_HEADER_ADDED "response-header-added" Added false "The answer has one more header.";
    RESPONSE_HEADER_REMOVED "response-header-removed" Removed true "The answer has one header less.";
    RESPONSE_HEADER_BECAME_REQUIRED "response-header-became-required" Changed false "A header of the answer is now always there.";
    RESPONSE_HEADER_BECAME_OPTIONAL "response-header-became-optional" Changed true "A header of the answer may now be missing.";

    REQUEST_PROPERTY_ADDED "request-property-added" Added false "An optional property, or one with a default, may now be sent.";
    REQUEST_PROPERTY_ADDED_REQUIRED "request-property-added-required" Added true "A required property without a default is new.";
    REQUEST_PROPERTY_REMOVED "request-property-removed" Removed true "A property is no longer taken: callers that send it no longer get what they ask for.";
    REQUEST_PROPERTY_BECAME_REQUIRED "request-property-became-required" Changed true "A property must now be sent.";
    REQUEST_PROPERTY_BECAME_OPTIONAL "request-property-became-optional" Changed false "A property need no longer be sent.";
    RESPONSE_PROPERTY_ADDED "response-property-added" Added false "The answer has one more property.";
    RESPONSE_PROPERTY_REMOVED "response-property-removed" Removed true "The answer has one property less.";
    RESPONSE_PROPERTY_BECAME_REQUIRED "response-property-became-required" Changed false "A property of the answer is now always there.";
    RESPONSE_PROPERTY_BECAME_OPTIONAL "response-property-became-optional" Changed true "A property of the answer may now be missing.";
    REQUEST_FURTHER_ALLOWED "request-further-properties-allowed" Changed false "Properties that are not declared may now be sent.";
    REQUEST_FURTHER_FORBIDDEN "request-further-properties-forbidden" Changed true "Properties that are not declared may no longer be sent.";
    RESPONSE_FURTHER_ALLOWED "response-further-properties-allowed" Changed false "The answer may have properties that are not declared.";
    RESPONSE_FURTHER_FORBIDDEN "response-further-properties-forbidden" Changed false "The answer has no properties any more that are not declared.";
    REQUEST_ALTERNATIVE_ADDED "request-alternative-added" Added false "One more alternative (`oneOf`, `anyOf`) may be sent.";
    REQUEST_ALTERNATIVE_REMOVED "request-alternative-removed" Removed true "An alternative (`oneOf`, `anyOf`) may no longer be sent.";
    RESPONSE_ALTERNATIVE_ADDED "response-alternative-added" Added true "One more alternative (`oneOf`, `anyOf`) may be answered.";
    RESPONSE_ALTERNATIVE_REMOVED "response-alternative-removed" Removed false "An alternative (`oneOf`, `anyOf`) is no longer answered.";
    REQUEST_DEFAULT_CHANGED "request-default-changed" Changed true "What is taken for a value that is not sent is another.";

    NOT_COMPARED "not-compared" Changed true "A limit was reached before everything was compared. What was not looked at is not called harmless.";
}

facets! {
    TYPE "type" "fewer types are allowed" "more types are allowed" "another type is allowed";
    ENUM "enum" "values are gone from those allowed" "more values are allowed";
    FORMAT "format" "the format is narrower" "the format is wider" "the format is another";
    PATTERN "pattern" "a pattern must be matched" "no pattern must be matched any more" "the pattern is another";
    MINIMUM "minimum" "the minimum is higher" "the minimum is lower";
    MAXIMUM "maximum" "the maximum is lower" "the maximum is higher";
    MULTIPLE_OF "multiple-of" "it must be a multiple of more" "it must be a multiple of less" "it must be a multiple of another number";
    MIN_LENGTH "min-length" "the least length is higher" "the least length is lower";
    MAX_LENGTH "max-length" "the greatest length is lower" "the greatest length is higher";
    MIN_ITEMS "min-items" "the least number of items is higher" "the least number of items is lower";
    MAX_ITEMS "max-items" "the greatest number of items is lower" "the greatest number of items is higher";
    UNIQUE_ITEMS "unique-items" "items must be unique" "items need no longer be unique";
    MIN_PROPERTIES "min-properties" "the least number of properties is higher" "the least number of properties is lower";
    MAX_PROPERTIES "max-properties" "the greatest number of properties is lower" "the greatest number of properties is higher";
    ADDITIONAL_PROPERTIES "additional-properties" "further properties must meet a schema" "further properties may be anything";
    ALTERNATIVES "alternatives" "one of several schemas (`oneOf`, `anyOf`) must be met" "no schema of `oneOf` or `anyOf` must be met any more" "the schemas of `oneOf` or `anyOf` are others";
    CONDITION "condition" "a further condition must be met" "a condition need no longer be met" "a condition is another";
    REFERENCE "reference" "a schema elsewhere must be met" "a schema elsewhere need no longer be met" "the schema is another one elsewhere, which is not read";
}

/// All rules.
pub static RULES: LazyLock<Vec<&'static Rule>> = LazyLock::new(|| {
    let facets = FACETS
        .iter()
        .flat_map(|facet| facet.request.iter().chain(facet.response));
    OWN.iter().chain(facets).copied().collect()
});
