//! The keys that stand in one place only.

use base::Diagnostic;
use spec::Transport;
use tree::{Object, pointer};

use super::reader::{Reader, shortened};
use crate::model::{ApplicationSecurity, Cors, Credential, Extensions, MutualTls, Placed};

const TRANSPORTS: &[(&str, Transport)] = &[("http", Transport::Http), ("https", Transport::Https)];

const CREDENTIALS: &[(&str, Credential)] = &[
    ("oauth2", Credential::OAuth2),
    ("api_key", Credential::ApiKey),
    ("basic_auth", Credential::Basic),
];

/// The keys of the definition itself, but for those that may stand elsewhere too.
pub(crate) fn read(reader: &mut Reader, top: &Object) -> Extensions {
    Extensions {
        base_path: reader.text(top, "", "x-wso2-basePath").map(|path| Placed {
            value: path.to_owned(),
            pointer: "/x-wso2-basePath".to_owned(),
        }),
        cors: cors(reader, top),
        mutual_tls: mutual_tls(reader, top),
        transports: transports(reader, top),
        auth_header: auth_header(reader, top),
        http2_backend: reader.flag(top, "", "x-wso2-http2-backend-enabled") == Some(true),
        ..Extensions::default()
    }
}

fn auth_header(reader: &mut Reader, top: &Object) -> Option<String> {
    let key = "x-wso2-auth-header";
    let header = reader.text(top, "", key)?;
    let fits = reader.fits("tollway-header", header, &format!("/{key}"));
    fits.then(|| header.to_owned())
}

fn mutual_tls(reader: &mut Reader, top: &Object) -> Option<MutualTls> {
    let key = "x-wso2-mutual-ssl";
    let word = reader.text(top, "", key)?;
    let words = [
        ("mandatory", MutualTls::Mandatory),
        ("optional", MutualTls::Optional),
    ];
    reader.word(word, &format!("/{key}"), &words)
}

fn transports(reader: &mut Reader, top: &Object) -> Option<Vec<Transport>> {
    let key = "x-wso2-transports";
    let words = reader.texts(top, "", key)?;
    if words.is_empty() {
        let problem = Diagnostic::error("wso2-value", format!("/{key}"), "the list is empty");
        reader.record(problem.mend("name `http`, `https` or both"));
        return None;
    }
    let mut transports = Vec::new();
    for (word, place) in words {
        let transport = reader.word(word, &place, TRANSPORTS)?;
        if !transports.contains(&transport) {
            transports.push(transport);
        }
    }
    Some(transports)
}

/// `x-wso2-application-security`
pub(crate) fn application_security(
    reader: &mut Reader,
    object: &Object,
    place: &str,
) -> Option<ApplicationSecurity> {
    let key = "x-wso2-application-security";
    let (config, place) = reader.object(object, place, key)?;
    reader.unknown_members(config, &place, &["security-types", "optional"]);
    let optional = reader.flag(config, &place, "optional") == Some(true);
    let words = reader.texts(config, &place, "security-types")?;
    let mut types = Vec::new();
    for (word, place) in words {
        match reader.word(word, &place, CREDENTIALS) {
            Some(credential) if !types.contains(&credential) => types.push(credential),
            Some(_) | None => {}
        }
    }
    Some(ApplicationSecurity { types, optional })
}

/// The scopes of `x-scope`.
pub(crate) fn scopes(reader: &mut Reader, object: &Object, place: &str) -> Vec<String> {
    let key = "x-scope";
    let Some(text) = reader.text(object, place, key) else {
        return Vec::new();
    };
    let place = pointer::join(place, key);
    let separated = text.split([',', ' ']).filter(|scope| !scope.is_empty());
    separated
        .filter(|scope| reader.fits("tollway-scope", scope, &place))
        .map(str::to_owned)
        .collect()
}

/// A member of `x-wso2-cors` in the two ways in which it is written.
#[derive(Clone, Copy)]
struct Member(&'static str, &'static str);

const ORIGINS: Member = Member("accessControlAllowOrigins", "access-control-allow-origins");
const METHODS: Member = Member("accessControlAllowMethods", "access-control-allow-methods");
const HEADERS: Member = Member("accessControlAllowHeaders", "access-control-allow-headers");
const EXPOSED: Member = Member(
    "accessControlExposeHeaders",
    "access-control-expose-headers",
);
const CREDENTIALLED: Member = Member(
    "accessControlAllowCredentials",
    "access-control-allow-credentials",
);
const ENABLED: Member = Member("corsConfigurationEnabled", "cors-configuration-enabled");

impl Member {
    /// As this mapping spells it.
    fn of(self, object: &Object) -> &'static str {
        if object.get(self.0).is_none() && object.get(self.1).is_some() {
            self.1
        } else {
            self.0
        }
    }
}

fn cors(reader: &mut Reader, top: &Object) -> Option<Placed<Cors>> {
    let (object, place) = reader.object(top, "", "x-wso2-cors")?;
    let all = [ORIGINS, METHODS, HEADERS, EXPOSED, CREDENTIALLED, ENABLED];
    let known = all.map(|member| member.of(object));
    reader.unknown_members(object, &place, &known);
    let mut list = |member: Member, format: &str| {
        let texts = reader.texts(object, &place, member.of(object))?;
        let good = |(text, place): (&str, String)| {
            (text == "*" || reader.fits(format, text, &place)).then(|| text.to_owned())
        };
        Some(texts.into_iter().filter_map(good).collect::<Vec<_>>())
    };
    let allow_methods = list(METHODS, "tollway-method");
    let allow_headers = list(HEADERS, "tollway-header");
    let expose_headers = list(EXPOSED, "tollway-header");
    let mut flag = |member: Member| reader.flag(object, &place, member.of(object));
    let (enabled, credentials) = (flag(ENABLED), flag(CREDENTIALLED) == Some(true));
    let allow_origins = origins(reader, object, &place);
    let every = allow_origins.iter().any(|origin| origin == "*");
    if every && credentials {
        let place = pointer::join(&place, CREDENTIALLED.of(object));
        let message = "credentials are not allowed for every origin: pages may call without them";
        let problem = Diagnostic::warning("wso2-differs", place, message);
        reader.record(problem.mend("name the origins instead of `*`"));
    }
    let value = Cors {
        enabled: enabled.unwrap_or(true),
        allow_credentials: credentials && !every,
        allow_origins,
        allow_methods,
        allow_headers,
        expose_headers,
    };
    Some(Placed {
        value,
        pointer: place,
    })
}

/// The origins. One without a scheme is compared with what browsers send and never equal: it is left out.
fn origins(reader: &mut Reader, object: &Object, place: &str) -> Vec<String> {
    let texts = reader.texts(object, place, ORIGINS.of(object));
    let mut origins = Vec::new();
    for (text, place) in texts.unwrap_or_default() {
        if spec::names::fault("tollway-origin", text).is_none() {
            origins.push(text.to_owned());
            continue;
        }
        let message = format!(
            "`{}` is no origin that a browser sends: it is left out",
            shortened(text)
        );
        let problem = Diagnostic::warning("wso2-differs", place, message);
        reader.record(problem.mend("write scheme and host, as in `https://shop.example.com`"));
    }
    origins
}
