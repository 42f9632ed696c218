//! How callers authenticate: `x-wso2-mutual-ssl`, `x-wso2-application-security`, `x-wso2-disable-security`.
//!
//! WSO2's gateways keep certificates and users outside of the definition; here they are files of the nodes, under names that
//! are made of the API's.

use base::Diagnostic;
use spec::{
    ApiKeySecurity, ApiSpec, BasicSecurity, Ca, CallerEnvironment, JwtSecurity, MutualTlsSecurity,
    Needed, OperationSpec, SecretFile, Security, Way,
};

use crate::model::{ApplicationSecurity, Credential, Extensions, Keys, MutualTls};

const MUTUAL_SSL: &str = "/x-wso2-mutual-ssl";
const APPLICATION_SECURITY: &str = "/x-wso2-application-security";

/// The ways to authenticate of one API.
pub(super) struct Ways<'e> {
    extensions: &'e Extensions,
    /// The folders of authorities and of users under the nodes' folder of secrets.
    clients: String,
    users: String,
}

impl<'e> Ways<'e> {
    pub(super) fn of(extensions: &'e Extensions, api: &ApiSpec) -> Self {
        Self {
            extensions,
            clients: format!("{}-clients", api.name),
            users: format!("{}-users", api.name),
        }
    }

    fn mandatory(&self) -> bool {
        self.extensions.mutual_tls == Some(MutualTls::Mandatory)
    }

    /// Those of the API.
    pub(super) fn of_api(&self) -> Vec<Security> {
        let keys = &self.extensions.keys;
        self.ways(keys.application_security.as_ref(), is_disabled(keys))
    }

    /// Those of an operation, where they are not the API's.
    pub(super) fn of_operation(&self, keys: &Keys) -> Option<Vec<Security>> {
        let api = &self.extensions.keys;
        let own = keys.application_security.as_ref();
        let (disabled, of_api) = (is_disabled(keys), is_disabled(api));
        if disabled {
            return (!of_api).then(|| self.ways(None, true));
        }
        let differs = own.is_some() || (keys.disable_security == Some(false) && of_api);
        differs.then(|| self.ways(own.or(api.application_security.as_ref()), false))
    }

    /// None at all is open, and comes only of `disabled` without a mandatory certificate.
    fn ways(&self, security: Option<&ApplicationSecurity>, disabled: bool) -> Vec<Security> {
        let certificate = || self.certificate();
        if disabled {
            return match self.mandatory() {
                true => vec![Security::MutualTls(certificate())],
                false => Vec::new(),
            };
        }
        let mut ways = self.application(security);
        let optional = security.is_some_and(|security| security.optional);
        match self.extensions.mutual_tls {
            Some(MutualTls::Mandatory) => {
                if optional {
                    ways.push(Way::Optional(true));
                }
                let needed = Needed::MutualTls(certificate());
                vec![Security::AllOf(vec![needed, Needed::AnyOf(ways)])]
            }
            Some(MutualTls::Optional) if optional => {
                let certificate = Security::MutualTls(certificate());
                std::iter::once(certificate)
                    .chain(ways.into_iter().map(alone))
                    .collect()
            }
            // Where a token is needed anyway a certificate changes nothing.
            Some(MutualTls::Optional) | None => ways.into_iter().map(alone).collect(),
        }
    }

    fn application(&self, security: Option<&ApplicationSecurity>) -> Vec<Way> {
        let types: &[Credential] = match security {
            None => &[Credential::OAuth2, Credential::ApiKey],
            Some(security) if security.types.is_empty() => &[Credential::OAuth2],
            Some(security) => &security.types,
        };
        let way = |credential: &Credential| match credential {
            Credential::OAuth2 => {
                let mut jwt = JwtSecurity::default();
                if let Some(header) = &self.extensions.auth_header {
                    jwt.header.clone_from(header);
                }
                Way::Jwt(jwt)
            }
            Credential::ApiKey => Way::ApiKey(ApiKeySecurity::default()),
            Credential::Basic => Way::Basic(BasicSecurity {
                users: SecretFile {
                    secret_ref: Some(self.users.clone()),
                    ..SecretFile::default()
                },
                application: None,
                environment: CallerEnvironment::default(),
                scopes: Vec::new(),
                extensions: spec::Extensions::new(),
            }),
        };
        types.iter().map(way).collect()
    }

    fn certificate(&self) -> MutualTlsSecurity {
        MutualTlsSecurity {
            ca: Ca {
                secret_ref: Some(self.clients.clone()),
                ..Ca::default()
            },
            crl: None,
            callers: Vec::new(),
            application: None,
            environment: CallerEnvironment::default(),
            scopes: Vec::new(),
            extensions: spec::Extensions::new(),
        }
    }

    /// What an operator has to do, or to know, for what the document says.
    pub(super) fn differences(&self, api: &ApiSpec) -> Vec<Diagnostic> {
        let all = || {
            let own = api.operations.iter();
            let own = own.filter_map(|operation: &OperationSpec| operation.security.as_ref());
            own.flatten().chain(&api.security)
        };
        let mut found = Vec::new();
        let mut differs = |pointer: &str, message: String, mend: &str| {
            let problem = Diagnostic::warning("wso2-differs", pointer, message);
            found.push(problem.mend(mend));
        };
        if all().any(has_certificate) {
            let message = format!(
                "certificates are held against {}/ca.crt of the nodes' folder of secrets, and count as no application",
                self.clients
            );
            let mend = "put the authorities there, have a listener ask for certificates, and name an `application` in the document";
            differs(MUTUAL_SSL, message, mend);
        } else if self.extensions.mutual_tls.is_some() {
            let message = "a certificate is not looked at: callers need another credential anyway";
            let mend = "write `mutualTls` into the document's `security`, where it shall be enough";
            differs(MUTUAL_SSL, message.to_owned(), mend);
        }
        if all().any(has_users) {
            let message = format!(
                "users are those of {}/users in the nodes' folder of secrets, and count as no application",
                self.users
            );
            let mend = "make the list with `tollway basic-user`, and name an `application` in the document";
            // Else an operation says so.
            let of_api = self.extensions.keys.application_security.is_some();
            let place = if of_api {
                APPLICATION_SECURITY
            } else {
                "/paths"
            };
            differs(place, message, mend);
        }
        let security = self.extensions.keys.application_security.as_ref();
        if security.is_some_and(|security| security.optional)
            && self.extensions.mutual_tls.is_none()
        {
            let message = "`optional: true` without certificates: callers must authenticate";
            let mend = "write `optional: true` into the document's `security`, where nobody has to";
            differs(
                "/x-wso2-application-security/optional",
                message.to_owned(),
                mend,
            );
        }
        found
    }
}

fn is_disabled(keys: &Keys) -> bool {
    keys.disable_security == Some(true)
}

fn alone(way: Way) -> Security {
    match way {
        Way::Jwt(jwt) => Security::Jwt(jwt),
        Way::ApiKey(key) => Security::ApiKey(key),
        Way::Basic(basic) => Security::Basic(basic),
        Way::MutualTls(tls) => Security::MutualTls(tls),
        Way::Optional(optional) => Security::Optional(optional),
    }
}

fn has_certificate(security: &Security) -> bool {
    match security {
        Security::MutualTls(_) => true,
        Security::AllOf(needed) => needed
            .iter()
            .any(|needed| matches!(needed, Needed::MutualTls(_))),
        _ => false,
    }
}

fn has_users(security: &Security) -> bool {
    match security {
        Security::Basic(_) => true,
        Security::AllOf(needed) => needed.iter().any(|needed| {
            matches!(needed, Needed::AnyOf(ways) if ways.iter().any(|way| matches!(way, Way::Basic(_))))
        }),
        _ => false,
    }
}
