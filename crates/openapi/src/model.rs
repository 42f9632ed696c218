//! What a definition says, in one shape for all dialects.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use tree::Position;

use crate::template::Template;

/// An API definition.
#[derive(Clone, Debug, PartialEq)]
pub struct Definition {
    /// The language it was written in.
    pub dialect: Dialect,
    /// `info.title`
    pub title: String,
    /// `info.version`
    pub version: String,
    /// `info.description`
    pub description: Option<String>,
    /// URLs of the API, absolute or relative to where the definition was found; variables have their defaults.
    /// Empty where the definition names none.
    pub servers: Vec<String>,
    /// All operations that can be routed, in the order of the text.
    pub operations: Vec<Operation>,
    /// All declared security schemes, in the order of the text.
    pub security_schemes: Vec<SecurityScheme>,
}

/// The language of a definition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dialect {
    /// Swagger 2.0
    V2,
    /// OpenAPI 3.0
    V3_0,
    /// OpenAPI 3.1; 3.2 is read as if it were 3.1.
    V3_1,
}

/// The exact language of a definition, by which the official schema is chosen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Edition {
    V2_0,
    V3_0,
    V3_1,
    V3_2,
}

impl Edition {
    /// By whose rules it is read.
    pub(crate) fn dialect(self) -> Dialect {
        match self {
            Self::V2_0 => Dialect::V2,
            Self::V3_0 => Dialect::V3_0,
            Self::V3_1 | Self::V3_2 => Dialect::V3_1,
        }
    }
}

/// One method on one path template.
#[derive(Clone, Debug, PartialEq)]
pub struct Operation {
    /// The method.
    pub method: Method,
    /// The path template.
    pub template: Template,
    /// `operationId`
    pub id: Option<String>,
    /// `summary`
    pub summary: Option<String>,
    /// `tags`
    pub tags: Vec<String>,
    /// `deprecated`
    pub deprecated: bool,
    /// Parameters of the operation and those it inherits from its path.
    pub parameters: Vec<Parameter>,
    /// What a caller must present, inheritance resolved.
    pub security: Security,
    /// Where the operation stands in the text: a JSON pointer; behind a `$ref` that of the target.
    pub pointer: String,
    /// Where the operation stands in the text.
    pub position: Position,
}

impl Operation {
    /// The scopes that a token must hold: one of the sets, whole. Empty: none are needed.
    ///
    /// `security` is a disjunction of alternatives, so their scopes must not be thrown together: `[{a: [x]}, {a: [y]}]`
    /// is satisfied by `x` alone. Sets that contain another set are left out, they add nothing. Alternatives without an
    /// OAuth 2 or OpenID Connect scheme (an API key, say) are other ways in, they do not lower what a *token* must
    /// hold. Only where the definition lets anonymous callers in (`{}`) are no scopes needed.
    ///
    /// Roles that OpenAPI 3.1 allows beside other kinds of schemes are not scopes.
    #[must_use]
    pub fn scopes(&self) -> Vec<BTreeSet<&str>> {
        let Security::Any(alternatives) = &self.security else {
            return Vec::new();
        };
        if alternatives.iter().any(Vec::is_empty) {
            return Vec::new();
        }
        let mut sets: Vec<BTreeSet<&str>> = alternatives
            .iter()
            .filter(|uses| uses.iter().any(|scheme_use| scheme_use.token))
            .map(|uses| {
                let tokens = uses.iter().filter(|scheme_use| scheme_use.token);
                tokens
                    .flat_map(|scheme_use| scheme_use.scopes.iter().map(String::as_str))
                    .collect()
            })
            .collect();
        // Shorter sets first: a set can only contain sets that are not longer.
        sets.sort_by_key(BTreeSet::len);
        let mut minimal: Vec<BTreeSet<&str>> = Vec::new();
        for set in sets {
            if !minimal.iter().any(|smaller| smaller.is_subset(&set)) {
                minimal.push(set);
            }
        }
        if minimal.first().is_some_and(BTreeSet::is_empty) {
            Vec::new()
        } else {
            minimal
        }
    }
}

/// What a caller of an operation must present.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Security {
    /// Neither the operation nor the definition says anything.
    Unspecified,
    /// The definition says that nothing is needed: `security: []` or `[{}]`.
    Open,
    /// One of the alternatives, each whole; an empty alternative lets anonymous callers in.
    Any(Vec<Vec<SchemeUse>>),
}

/// One scheme of an alternative.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemeUse {
    /// The name of the scheme in the definition.
    pub scheme: String,
    /// The scopes, or for other schemes than OAuth 2 and OpenID Connect the roles (OpenAPI 3.1).
    pub scopes: Vec<String>,
    /// Whether `scopes` are scopes of a token: the scheme is OAuth 2 or OpenID Connect. A scheme that is not declared,
    /// or stands in another file, counts as one where scopes are named.
    pub token: bool,
}

/// A declared way to authenticate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecurityScheme {
    /// Its name in the definition.
    pub name: String,
    /// What it is.
    pub kind: SchemeKind,
    /// The scopes it declares, of all its flows.
    pub scopes: Vec<Scope>,
}

/// A declared scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// Its name.
    pub name: String,
    /// What it allows, for people.
    pub description: String,
}

/// The kinds of security schemes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SchemeKind {
    /// A key in a parameter.
    ApiKey {
        /// `Query`, `Header` or `Cookie`.
        location: Location,
        /// The parameter's name.
        parameter: String,
    },
    /// HTTP authentication with this scheme, in lower case (`basic`, `bearer`).
    Http(String),
    /// OAuth 2.
    OAuth2,
    /// OpenID Connect.
    OpenIdConnect,
    /// A client certificate.
    MutualTls,
}

/// One parameter of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Its name, for headers in the definition's case.
    pub name: String,
    /// Where it is sent.
    pub location: Location,
    /// Whether a call without it is invalid.
    pub required: bool,
}

/// Where a parameter is sent.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Location {
    /// In the path.
    Path,
    /// In the query.
    Query,
    /// The whole query (OpenAPI 3.2).
    QueryString,
    /// In a header.
    Header,
    /// In a cookie.
    Cookie,
    /// The body (Swagger 2.0).
    Body,
    /// In a form (Swagger 2.0).
    Form,
}

impl Location {
    /// Reads `in`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "path" => Self::Path,
            "query" => Self::Query,
            "querystring" => Self::QueryString,
            "header" => Self::Header,
            "cookie" => Self::Cookie,
            "body" => Self::Body,
            "formData" => Self::Form,
            _ => return None,
        })
    }
}

macro_rules! methods {
    ($($variant:ident $key:literal $text:literal),+ $(,)?) => {
        /// The methods that a definition can describe.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum Method {
            $(#[doc = concat!("`", $text, "`")] $variant),+
        }

        impl Method {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// As HTTP writes it: upper case.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }

            /// As a path item writes it: lower case.
            pub(crate) fn from_key(key: &str) -> Option<Self> {
                match key { $($key => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

methods! {
    Get "get" "GET", Put "put" "PUT", Post "post" "POST", Delete "delete" "DELETE", Options "options" "OPTIONS",
    Head "head" "HEAD", Patch "patch" "PATCH", Trace "trace" "TRACE", Query "query" "QUERY",
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text is no method that a definition can describe.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("unknown method")]
pub struct UnknownMethod;

/// Reads a method as HTTP writes it.
impl FromStr for Method {
    type Err = UnknownMethod;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .iter()
            .copied()
            .find(|method| method.as_str() == text)
            .ok_or(UnknownMethod)
    }
}
