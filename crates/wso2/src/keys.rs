//! The table of keys.

/// Where a key stands in a definition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Level {
    /// In the definition itself.
    Api,
    /// In a path item.
    Path,
    /// In an operation.
    Operation,
    /// In a security scheme, or a flow of one.
    Scheme,
}

impl Level {
    /// For messages.
    pub(crate) const fn named(self) -> &'static str {
        match self {
            Self::Api => "at the top",
            Self::Path => "in a path item",
            Self::Operation => "in an operation",
            Self::Scheme => "in a security scheme",
        }
    }
}

/// What becomes of a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Meaning {
    /// It is read, and what is served of it becomes part of the document.
    Read,
    /// It is not served; the text says what that means for calls.
    NotServed(&'static str),
}

/// One key of the family.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Key {
    /// As it is written.
    pub name: &'static str,
    /// Where WSO2's gateways read it.
    pub levels: &'static [Level],
    /// What becomes of it here.
    pub meaning: Meaning,
}

const A: &[Level] = &[Level::Api];
const O: &[Level] = &[Level::Operation];
const AO: &[Level] = &[Level::Api, Level::Operation];
const APO: &[Level] = &[Level::Api, Level::Path, Level::Operation];
const S: &[Level] = &[Level::Scheme];

const fn read(name: &'static str, levels: &'static [Level]) -> Key {
    Key {
        name,
        levels,
        meaning: Meaning::Read,
    }
}

const fn not_served(name: &'static str, levels: &'static [Level], instead: &'static str) -> Key {
    Key {
        name,
        levels,
        meaning: Meaning::NotServed(instead),
    }
}

const DEPLOYED: &str = "the document's `deployments` say which gateways serve the API";

/// Every key that is known. `docs/wso2.md` explains them, and a test holds the two against each other.
pub static KEYS: &[Key] = &[
    read("x-wso2-basePath", A),
    read("x-wso2-production-endpoints", APO),
    read("x-wso2-sandbox-endpoints", APO),
    read("x-wso2-endpoints", A),
    read("x-wso2-throttling-tier", APO),
    read("x-throttling-tier", APO),
    read("x-wso2-cors", A),
    read("x-wso2-disable-security", APO),
    read("x-auth-type", O),
    read("x-wso2-application-security", AO),
    read("x-wso2-mutual-ssl", A),
    read("x-wso2-transports", A),
    read("x-wso2-auth-header", A),
    read("x-wso2-http2-backend-enabled", A),
    read("x-scope", O),
    read("x-scopes-bindings", S),
    not_served(
        "x-wso2-request-interceptor",
        APO,
        "requests go to the backend without it",
    ),
    not_served(
        "x-wso2-response-interceptor",
        APO,
        "answers go to the caller without it",
    ),
    not_served("x-wso2-response-cache", A, "every call goes to the backend"),
    not_served("x-wso2-owner", A, "the API belongs to the organisation"),
    not_served("x-wso2-label", A, DEPLOYED),
    not_served("x-wso2-mode", A, DEPLOYED),
    not_served(
        "x-wso2-pass-request-payload-to-enforcer",
        A,
        "bodies are streamed to the backend and no policy sees them",
    ),
    not_served(
        "x-mediation-script",
        O,
        "the operation calls its backend instead of running the script",
    ),
    not_served(
        "x-amzn-resource-name",
        O,
        "the operation calls its backend over HTTP",
    ),
];

/// The key of this name.
pub(crate) fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// Whether a key belongs to the family, known or not. `x-mgw-…` is a misspelling that is seen in the wild.
pub(crate) fn is_family(name: &str) -> bool {
    name.starts_with("x-wso2-") || name.starts_with("x-mgw-") || find(name).is_some()
}
