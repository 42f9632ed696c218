//! Issuers outside of the platform, ready for use.

use expr::{CompileError, Expr};
use jose::{Algorithm, OutsideRules};
use serde_json::{Map, Value};
use sync::OutsideModel;

/// What is known of an issuer that is not the platform itself.
#[derive(Debug)]
pub struct Outside {
    /// What its document says.
    pub model: OutsideModel,
    /// What the headers of its tokens may be.
    pub rules: OutsideRules,
    /// What has to hold of its tokens.
    pub require: Vec<Expr>,
}

/// The rest is made of the model.
impl PartialEq for Outside {
    fn eq(&self, other: &Self) -> bool {
        self.model == other.model
    }
}

impl Outside {
    /// Makes a model ready.
    ///
    /// # Errors
    /// A condition that is none: then no token is accepted, since nobody could hold it to that.
    pub fn new(model: OutsideModel) -> Result<Self, CompileError> {
        let require = model.require.iter();
        let require = require.map(|rule| Expr::compile(rule));
        let names = model.algorithms.iter();
        Ok(Self {
            require: require.collect::<Result<_, _>>()?,
            rules: OutsideRules {
                types: model.types.clone(),
                untyped: model.untyped,
                algorithms: names
                    .filter_map(|name| Algorithm::from_name(name))
                    .collect(),
            },
            model,
        })
    }

    /// Whether it is asked what a token stands for that is a JWT, or one that is none.
    #[must_use]
    pub fn introspects(&self, is_jwt: bool) -> bool {
        let introspection = self.model.introspection.as_ref();
        introspection.is_some_and(|introspection| introspection.all || !is_jwt)
    }

    /// Whether its keys are fetched.
    #[must_use]
    pub fn fetches(&self) -> bool {
        self.model.keys != sync::issuer::KeySource::Inline
    }
}

/// What an issuer says that a token stands for (RFC 7662 §2.2).
#[derive(Clone, PartialEq, Debug)]
pub struct Introspected {
    /// All that it says; `iss` and `exp` are always there.
    pub claims: Map<String, Value>,
    /// Until when nobody has to be asked again, in milliseconds since 1970; never beyond `exp`.
    pub good_until_unix_ms: u64,
}
