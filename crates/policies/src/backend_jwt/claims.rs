//! What the token says.

use std::sync::Arc;

use base::{Diagnostic, Environment, Org};
use expr::{Attribute, Expr};
use policy::{ApiTold, CompileEnv, Plan, Principal, RequestCx};
use serde_json::{Map, Value, json};

use super::tier::{self, UNLIMITED};
use super::{Config, Dialect};

/// Before the names of the dialect `wso2`.
const WSO2: &str = "http://wso2.org/claims/";
/// Who a token of the dialect `wso2` comes from, unless the document says.
const WSO2_ISSUER: &str = "wso2.org/products/am";
/// What WSO2 calls the tenant `carbon.super`, the only one of an installation without tenants. The organisation `default` is
/// that; others have no number there.
const WSO2_SUPER_TENANT: &str = "-1234";
/// Its claim, which a document may say instead.
const WSO2_TENANT: &str = "enduserTenantId";
/// What issuers call the client of a token; the first that is there counts.
const CLIENT_CLAIMS: [&str; 4] = ["client_id", "azp", "cid", "appid"];

/// Claims of the dialect `tollway`, beside those that every token has.
const OWN_CLAIMS: [&str; 12] = [
    "client_id",
    "scope",
    "roles",
    "org",
    "application",
    "application_id",
    "owner",
    "plan",
    "environment",
    "api",
    "api_version",
    "api_context",
];
/// Claims of the dialect `wso2`, without what stands before their names.
const WSO2_CLAIMS: [&str; 13] = [
    "subscriber",
    "applicationid",
    "applicationname",
    "applicationtier",
    "applicationUUId",
    "apiname",
    "apicontext",
    "version",
    "tier",
    "keytype",
    "usertype",
    "enduser",
    WSO2_TENANT,
];
/// Claims that nobody may add: they say what the token itself is.
const REGISTERED: [&str; 8] = ["iss", "sub", "aud", "exp", "nbf", "iat", "jti", "cnf"];
/// The most claims that a document adds.
const ADDED_MAX: usize = 50;

/// Makes the claims.
pub(super) struct Teller {
    dialect: Dialect,
    issuer: String,
    audience: Vec<String>,
    wanted: Box<[&'static str]>,
    pass: Box<[String]>,
    add: Box<[(String, Expr)]>,
    org: String,
    api: ApiTold,
}

impl Teller {
    pub(super) fn compile(config: Config, env: &CompileEnv, faults: &mut Vec<Diagnostic>) -> Self {
        let dialect = config.dialect;
        let known = match dialect {
            Dialect::Tollway => &OWN_CLAIMS[..],
            Dialect::Wso2 => &WSO2_CLAIMS[..],
        };
        let wanted = match &config.claims {
            None => known.to_vec(),
            Some(names) => wanted(names, known, faults),
        };
        for (index, name) in config.pass.iter().enumerate() {
            may_be_added(name, known, &format!("/pass/{index}"), faults);
        }
        if config.add.len() > ADDED_MAX {
            let message = format!("at most {ADDED_MAX} claims are accepted");
            faults.push(Diagnostic::error("claims-max", "/add", message));
        }
        let add = config.add.into_iter().filter_map(|(name, source)| {
            let pointer = format!("/add/{}", name.replace('~', "~0").replace('/', "~1"));
            may_be_added(&name, known, &pointer, faults);
            Some((name, of_caller(&source, &pointer, faults)?))
        });
        let add = add.collect();
        let org = env.org.to_string();
        let (issuer, audience) = match dialect {
            Dialect::Tollway => (
                format!("urn:tollway:{org}:gateway"),
                vec![format!("urn:tollway:{org}:backend:{}", env.api)],
            ),
            Dialect::Wso2 => (WSO2_ISSUER.to_owned(), Vec::new()),
        };
        Self {
            dialect,
            issuer: config.issuer.unwrap_or(issuer),
            audience: config.audience.unwrap_or(audience),
            wanted: wanted.into(),
            pass: config.pass.into(),
            add,
            org,
            api: env.told.clone(),
        }
    }

    /// All that a token says. There is no `jti`: several calls of a caller have the same token, so it is not good for
    /// finding calls that come twice.
    pub(super) fn claims(
        &self,
        cx: &RequestCx,
        principal: &Principal,
        plan: Option<&str>,
        now_unix_s: u64,
        lifetime_s: u64,
    ) -> Map<String, Value> {
        let known = Known::of(cx, principal, plan);
        let mut claims = Map::new();
        let mut put = |name: &str, value: Value| {
            if !value.is_null() {
                claims.insert(name.to_owned(), value);
            }
        };
        put("iss", self.issuer.as_str().into());
        put("sub", known.name().into());
        match self.audience.as_slice() {
            [] => {}
            [one] => put("aud", one.as_str().into()),
            several => put("aud", json!(several)),
        }
        put("iat", now_unix_s.into());
        put("exp", (now_unix_s + lifetime_s).into());
        for name in &self.wanted {
            match self.dialect {
                Dialect::Tollway => put(name, self.own(name, &known)),
                Dialect::Wso2 => put(&format!("{WSO2}{name}"), self.wso2(name, &known)),
            }
        }
        for name in &self.pass {
            let value = principal.identity.claims.get(name);
            put(&self.named(name), value.cloned().unwrap_or_default());
        }
        for (name, expr) in &self.add {
            let value = expr.text(cx).map(Value::from);
            put(&self.named(name), value.unwrap_or_default());
        }
        claims
    }

    /// A claim of the document's own, as the dialect calls it.
    fn named(&self, name: &str) -> String {
        match self.dialect {
            Dialect::Wso2 if !name.contains("://") => format!("{WSO2}{name}"),
            _ => name.to_owned(),
        }
    }

    fn own(&self, name: &str, known: &Known<'_>) -> Value {
        let principal = known.principal;
        match name {
            "client_id" => json!(known.client),
            "scope" => {
                let scopes = principal.identity.scopes.as_ref();
                json!(scopes.map(|scopes| scopes.join(" ")))
            }
            "roles" if principal.identity.roles.is_empty() => Value::Null,
            "roles" => json!(principal.identity.roles),
            "org" => self.org.as_str().into(),
            "application" => json!(known.application),
            "application_id" => json!(known.application_id),
            "owner" => json!(known.owner),
            "plan" => json!(known.plan),
            "environment" => principal.environment.to_string().into(),
            "api" => self.api.name.as_str().into(),
            "api_version" => self.api.version.as_str().into(),
            "api_context" => self.api.context.as_str().into(),
            _ => Value::Null,
        }
    }

    fn wso2(&self, name: &str, known: &Known<'_>) -> Value {
        match name {
            "subscriber" => json!(known.owner),
            "applicationid" | "applicationUUId" => json!(known.application_id),
            "applicationname" => json!(known.application),
            "applicationtier" => tier::name(known.limits.as_deref()).into(),
            "apiname" => self.api.name.as_str().into(),
            "apicontext" => format!("{}/{}", self.api.context, self.api.version).into(),
            "version" => self.api.version.as_str().into(),
            "tier" => known.plan.unwrap_or(UNLIMITED).into(),
            "keytype" => match known.principal.environment {
                Environment::Production => "PRODUCTION".into(),
                Environment::Sandbox => "SANDBOX".into(),
            },
            "usertype" => match known.user {
                Some(_) => "Application_User".into(),
                None => "Application".into(),
            },
            "enduser" => match (known.user, &known.owner) {
                (Some(user), _) => user.into(),
                (None, Some(owner)) => owner.as_str().into(),
                (None, None) => known.name().into(),
            },
            WSO2_TENANT if self.org == Org::DEFAULT => WSO2_SUPER_TENANT.into(),
            _ => Value::Null,
        }
    }
}

/// What is known of the caller.
struct Known<'a> {
    principal: &'a Principal,
    plan: Option<&'a str>,
    application_id: Option<String>,
    application: Option<String>,
    owner: Option<String>,
    /// What the application may call altogether.
    limits: Option<Arc<Plan>>,
    /// The OAuth client, or the credential that the platform keeps.
    client: Option<String>,
    /// The person who calls; none where an application calls for itself.
    user: Option<&'a str>,
}

impl<'a> Known<'a> {
    fn of(cx: &RequestCx, principal: &'a Principal, plan: Option<&'a str>) -> Self {
        let directory = &cx.core.runtime.directory;
        let id = principal.application;
        let view = id.and_then(|id| directory.application_view(id));
        let (application, owner) = view.map_or((None, None), |view| (Some(view.name), view.owner));
        let identity = &*principal.identity;
        let of_token = |name: &&str| identity.claims.get(*name).and_then(Value::as_str);
        let client_id = CLIENT_CLAIMS.iter().find_map(of_token);
        let subject = identity.subject.as_deref();
        Self {
            principal,
            plan,
            application_id: id.map(|id| id.to_string()),
            application,
            owner,
            limits: id.and_then(|id| directory.application_limits(id)),
            client: client_id
                .map(str::to_owned)
                .or_else(|| principal.credential.map(|id| id.to_string())),
            user: subject.filter(|subject| Some(*subject) != client_id),
        }
    }

    fn name(&self) -> Option<&str> {
        let subject = self.principal.identity.subject.as_deref();
        subject.or(self.application_id.as_deref())
    }
}

fn wanted(
    names: &[String],
    known: &[&'static str],
    faults: &mut Vec<Diagnostic>,
) -> Vec<&'static str> {
    let mut wanted = Vec::new();
    for (index, name) in names.iter().enumerate() {
        let found = known.iter().find(|known| *known == name);
        match found {
            Some(found) if !wanted.contains(found) => wanted.push(*found),
            Some(_) => {}
            None => {
                let mend = match spec::nearest(name, known.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("claims are {}", known.join(", ")),
                };
                let message = format!("the dialect has no claim {name:?}");
                let pointer = format!("/claims/{index}");
                faults.push(Diagnostic::error("claim-name", pointer, message).mend(mend));
            }
        }
    }
    wanted
}

fn may_be_added(name: &str, known: &[&str], pointer: &str, faults: &mut Vec<Diagnostic>) {
    let length = name.chars().count();
    let fault = if length == 0 || length > 200 || name.chars().any(char::is_control) {
        "a claim's name has 1 to 200 characters, and no control characters"
    } else if name != WSO2_TENANT
        && (REGISTERED.contains(&name) || known.contains(&name) || name.starts_with(WSO2))
    {
        "the gateway itself says what this claim is"
    } else {
        return;
    };
    faults.push(Diagnostic::error("claim-name", pointer, fault));
}

/// An expression that has the same value for all calls of a caller: that is what makes tokens good for several calls.
fn of_caller(source: &str, pointer: &str, faults: &mut Vec<Diagnostic>) -> Option<Expr> {
    let expr = match Expr::compile(source) {
        Ok(expr) => expr,
        Err(error) => {
            faults.push(Diagnostic::error("expression", pointer, error.to_string()));
            return None;
        }
    };
    let of_call = |needed: &Attribute| {
        !matches!(
            needed,
            Attribute::Application
                | Attribute::Subject
                | Attribute::Scopes
                | Attribute::Roles
                | Attribute::Claim(_)
        )
    };
    if expr.needs().iter().any(of_call) {
        let message =
            "a claim can be made of `principal` and `application` alone, not of the request";
        let fault = Diagnostic::error("claim-of-request", pointer, message);
        faults.push(fault.mend("tell the backend of the request by `identityHeaders`"));
        return None;
    }
    Some(expr)
}
