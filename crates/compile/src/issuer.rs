//! Issuers outside of the platform: what their products write into tokens, and a document with that filled in.

use base::{ApplicationId, Diagnostic, Diagnostics, Org};
use expr::{Attribute, Expr};
use jose::{Algorithm, KeySet, KeySetRules};
use serde_json::{Value, json};
use spec::{
    ApiSpec, Document, IntrospectedTokens, IntrospectionAuth, IntrospectionSpec, IssuerPreset,
    SecretSource, Spec, TokenIssuerSpec, TokenType,
};
use sync::IssuerModel;
use sync::issuer::{
    Application, ClaimPaths, IntrospectionModel, KeySource, OutsideModel, RefreshModel, SecretModel,
};

use crate::World;

/// What the tokens of a product look like. Where this is known from: docs/security/issuers.md.
struct Preset {
    client: &'static [&'static str],
    scopes: &'static [&'static str],
    roles: &'static [&'static str],
    types: &'static [TokenType],
    require: &'static [&'static str],
}

const GENERAL: Preset = Preset {
    client: &["client_id", "azp"],
    scopes: &["scope", "scp"],
    roles: &["roles"],
    types: &[TokenType::AccessToken],
    require: &[],
};

const KEYCLOAK: Preset = Preset {
    client: &["azp", "client_id"],
    scopes: &["scope"],
    roles: &["realm_access.roles"],
    types: &[TokenType::AccessToken, TokenType::Jwt],
    // ID tokens have `ID`, logout tokens `Logout`, refresh tokens `Refresh`.
    require: &["principal.claims.typ in ['Bearer', 'DPoP']"],
};

const OKTA: Preset = Preset {
    client: &["cid"],
    scopes: &["scp"],
    roles: &["groups"],
    types: &[TokenType::AccessToken, TokenType::Jwt, TokenType::None],
    // ID tokens have no `cid`.
    require: &["'cid' in principal.claims"],
};

const ENTRA: Preset = Preset {
    client: &["azp", "appid"],
    scopes: &["scp"],
    roles: &["roles"],
    types: &[TokenType::Jwt, TokenType::AccessToken],
    // ID tokens have neither.
    require: &["'azp' in principal.claims || 'appid' in principal.claims"],
};

const AUTH0: Preset = Preset {
    client: &["azp", "client_id"],
    scopes: &["scope"],
    roles: &["permissions"],
    types: &[TokenType::AccessToken, TokenType::Jwt],
    // The Auth0 profile has `azp`, that of RFC 9068 `client_id`; ID tokens have neither.
    require: &["'azp' in principal.claims || 'client_id' in principal.claims"],
};

const WSO2: Preset = Preset {
    client: &["client_id", "azp"],
    scopes: &["scope"],
    roles: &["roles", "groups"],
    types: &[TokenType::AccessToken],
    require: &[],
};

fn preset(spec: &TokenIssuerSpec) -> &'static Preset {
    match spec.preset {
        None => &GENERAL,
        Some(IssuerPreset::Keycloak) => &KEYCLOAK,
        Some(IssuerPreset::Okta) => &OKTA,
        Some(IssuerPreset::Entra) => &ENTRA,
        Some(IssuerPreset::Auth0) => &AUTH0,
        Some(IssuerPreset::Wso2) => &WSO2,
    }
}

/// Reduces an issuer outside of the platform; of another document `None`. `application` is the one that the document names, if it is there.
#[must_use]
pub fn reduce_issuer(
    org: &Org,
    document: &Document,
    application: Option<ApplicationId>,
) -> Option<IssuerModel> {
    let Spec::TokenIssuer(spec) = &document.spec else {
        return None;
    };
    let preset = preset(spec);
    let types = match spec.types.as_slice() {
        [] => preset.types,
        own => own,
    };
    let own = spec.require.iter().cloned();
    let general = preset.require.iter().map(|rule| (*rule).to_owned());
    let outside = OutsideModel {
        keys: match (&spec.jwks_uri, spec.keys.is_empty()) {
            (Some(uri), _) => KeySource::At(uri.clone()),
            (None, false) => KeySource::Inline,
            (None, true) => KeySource::Discovery,
        },
        audience: spec.audience.clone(),
        any_audience: spec.any_audience,
        leeway_s: spec.leeway.map(spec::Duration::as_s),
        types: types.iter().filter_map(|typ| type_name(*typ)).collect(),
        untyped: types.contains(&TokenType::None),
        algorithms: algorithms(spec),
        require: general.chain(own).collect(),
        claims: paths(spec, preset),
        application: spec.application.as_ref().map(|_| match application {
            Some(id) => Application::Is(id),
            None => Application::Gone,
        }),
        refresh: RefreshModel {
            every_ms: spec.refresh.every.as_ms(),
            at_most_ms: spec.refresh.at_most.as_ms(),
            keep_ms: spec.refresh.keep.as_ms(),
        },
        introspection: spec.introspection.as_ref().map(introspection),
    };
    Some(IssuerModel {
        org: org.clone(),
        name: document.name().to_owned(),
        issuer: spec.issuer.clone(),
        audience: String::new(),
        jwks: inline(spec),
        outside: Some(Box::new(outside)),
    })
}

/// What is wrong with an issuer that its schema cannot say: keys, conditions, and what it names.
#[must_use]
pub fn check_issuer(document: &Document) -> Diagnostics {
    let mut found = Diagnostics::default();
    let Spec::TokenIssuer(spec) = &document.spec else {
        return found;
    };
    if let Err(error) = KeySet::from_json(&inline(spec).to_string(), &key_rules()) {
        found.push(Diagnostic::error(
            "issuer-keys",
            "/spec/keys",
            error.to_string(),
        ));
    }
    for (index, rule) in spec.require.iter().enumerate() {
        let fault = |message: String| {
            Diagnostic::error("expression", format!("/spec/require/{index}"), message)
        };
        match Expr::compile(rule) {
            Err(error) => found.push(fault(error.to_string())),
            Ok(expr) if !expr.needs().iter().all(is_of_token) => {
                let message = "only `principal` is known where a token is looked at";
                found.push(
                    fault(message.to_owned())
                        .mend("write it as in `principal.claims.dept == 'sales'`"),
                );
            }
            Ok(_) => {}
        }
    }
    found
}

/// How the keys of issuers are read: RSA keys that do not say are for RS256 (OpenID Connect Registration §2).
#[must_use]
pub fn key_rules() -> KeySetRules {
    KeySetRules {
        rsa_alg: Some(Algorithm::Rs256),
        ..KeySetRules::default()
    }
}

fn is_of_token(attribute: &Attribute) -> bool {
    matches!(
        attribute,
        Attribute::Claim(_) | Attribute::Subject | Attribute::Scopes | Attribute::Roles
    )
}

/// The issuers that an API names which are not there. It is looked at when an API is saved, and not when it is served: the others of
/// its issuers are as good as before.
#[must_use]
pub fn issuer_references(document: &Document, world: &World) -> Diagnostics {
    let mut found = Diagnostics::default();
    let names = document
        .as_api()
        .into_iter()
        .flat_map(ApiSpec::issuer_names);
    for (name, pointer) in names.filter(|(name, _)| *name != spec::RESIDENT) {
        world
            .issuers
            .check("TokenIssuer", name, pointer, &mut found);
    }
    found
}

fn inline(spec: &TokenIssuerSpec) -> Value {
    json!({ "keys": spec.keys })
}

fn type_name(typ: TokenType) -> Option<String> {
    match typ {
        TokenType::AccessToken => Some("at+jwt".to_owned()),
        TokenType::Jwt => Some("JWT".to_owned()),
        TokenType::None => None,
    }
}

fn algorithms(spec: &TokenIssuerSpec) -> Vec<String> {
    if spec.algorithms.is_empty() {
        return jose::ALGORITHMS.map(str::to_owned).to_vec();
    }
    let names = spec.algorithms.iter().map(|algorithm| json!(algorithm));
    names
        .filter_map(|name| name.as_str().map(str::to_owned))
        .collect()
}

fn paths(spec: &TokenIssuerSpec, preset: &Preset) -> ClaimPaths {
    let paths = |own: &Option<String>, general: &[&str]| match own {
        Some(own) => vec![own.clone()],
        None => general.iter().map(|path| (*path).to_owned()).collect(),
    };
    let names = &spec.claims;
    ClaimPaths {
        client: paths(&names.client, preset.client),
        scopes: paths(&names.scopes, preset.scopes),
        roles: paths(&names.roles, preset.roles),
        subject: paths(&names.subject, &["sub"]),
    }
}

fn introspection(spec: &IntrospectionSpec) -> IntrospectionModel {
    IntrospectionModel {
        endpoint: spec.endpoint.clone(),
        all: spec.tokens == IntrospectedTokens::All,
        client_id: spec.client_id.clone(),
        in_form: spec.client_auth == IntrospectionAuth::ClientSecretPost,
        secret: secret(&spec.secret),
        timeout_ms: spec.timeout.as_ms(),
        waiting_max: spec.waiting_max as usize,
        ttl_ms: spec.cache.ttl.as_ms(),
        negative_ttl_ms: spec.cache.negative_ttl.as_ms(),
        entries_max: spec.cache.entries_max as usize,
    }
}

fn secret(source: &SecretSource) -> SecretModel {
    match source {
        SecretSource { env: Some(env), .. } => SecretModel::Env(env.clone()),
        SecretSource {
            file: Some(file), ..
        } => SecretModel::File(file.clone()),
        SecretSource {
            secret_ref, key, ..
        } => {
            // The schema's rules have seen to it that it names one of the three.
            let folder = secret_ref.as_deref().unwrap_or_default();
            let file = key.as_deref().unwrap_or("secret");
            SecretModel::File(format!("{folder}/{file}"))
        }
    }
}

#[cfg(test)]
mod tests;
