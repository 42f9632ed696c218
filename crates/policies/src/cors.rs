//! `cors`: which web pages may call the API from a browser.

use std::collections::BTreeMap;

use base::Diagnostic;
use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, HeaderName, HeaderValue, ORIGIN,
    VARY,
};
use http::{HeaderMap, Method, StatusCode};
use policy::{
    CompileEnv, Outcome, Phase, Policy, PolicyKind, RequestCx, Response, ResponseCx, Verdict,
};
use schemars::JsonSchema;
use serde::Deserialize;

use spec::units::Duration;

/// The kind.
pub struct Cors;

/// The most entries of each list.
pub const ENTRIES_MAX: usize = 200;

/// Which origins may do what. An origin that is not allowed gets no CORS headers, and its browser refuses.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Config {
    /// Allowed origins: exact (`https://shop.example.com`), all subdomains of a domain (`https://*.example.com`), or
    /// every origin (`*`).
    pub allow_origins: Vec<String>,
    /// Methods that a page may use; default: the methods of the API.
    #[serde(default)]
    pub allow_methods: Option<Vec<String>>,
    /// Request headers that a page may send; `*` = whatever it asks for. Default: `Authorization`, `Content-Type`,
    /// `X-API-Key`.
    #[serde(default)]
    pub allow_headers: Option<Vec<String>>,
    /// Headers of the answer that a page may read. Default: `RateLimit`, `RateLimit-Policy`, `Retry-After`.
    #[serde(default)]
    pub expose_headers: Option<Vec<String>>,
    /// Whether cookies and client certificates may be sent; not together with the origin `*`. Default: no.
    #[serde(default)]
    pub allow_credentials: bool,
    /// How long a browser may remember the answer to a preflight; default `10m`, at most `1d`.
    #[serde(default)]
    pub max_age: Option<Duration>,
}

const METHODS_DEFAULT: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";
const HEADERS_DEFAULT: [&str; 3] = ["Authorization", "Content-Type", "X-API-Key"];
const EXPOSED_DEFAULT: [&str; 3] = ["RateLimit", "RateLimit-Policy", "Retry-After"];
const MAX_AGE_DEFAULT: Duration = Duration::from_ms(600_000);
const MAX_AGE_MAX: Duration = Duration::from_ms(86_400_000);
const PREFLIGHT_VARY: HeaderValue = HeaderValue::from_static(
    "Origin, Access-Control-Request-Method, Access-Control-Request-Headers",
);
const PRIVATE_NETWORK: HeaderName = HeaderName::from_static("access-control-allow-private-network");

/// Answers preflights itself and adds the CORS headers to every answer to an allowed origin, to refusals too. What
/// the backend says of CORS is replaced: there is one policy, and two `Access-Control-Allow-Origin` are an error to
/// browsers.
///
/// Source: Fetch standard, "CORS protocol"; RFC 6454 for origins.
struct Running {
    origins: Origins,
    methods: HeaderValue,
    headers: AllowHeaders,
    exposed: Option<HeaderValue>,
    credentials: bool,
    max_age: HeaderValue,
}

enum Origins {
    Every,
    Listed {
        exact: Box<[String]>,
        /// Scheme with `://`, and `.domain` with the port.
        subdomains: Box<[(String, String)]>,
    },
}

enum AllowHeaders {
    AsAsked,
    Listed(Option<HeaderValue>),
}

/// The allowed origin of a request, for its answer.
struct AllowedOrigin(HeaderValue);

impl PolicyKind for Cors {
    const NAME: &'static str = "cors";
    const PHASE: Phase = Phase::Preflight;
    const SUMMARY: &'static str = "Lets web pages of other origins call the API from a browser.";
    type Config = Config;

    fn compile(&self, config: Config, _: &CompileEnv) -> Result<Box<dyn Policy>, Vec<Diagnostic>> {
        let mut faults = Vec::new();
        let origins = read_origins(&config, &mut faults);
        let methods = config.allow_methods.as_deref().map(|methods| {
            let bad = |name: &str| name.parse::<Method>().is_err() || name == "*";
            list("/allowMethods", methods, bad, &mut faults)
        });
        let bad_name = |name: &str| name.parse::<HeaderName>().is_err();
        let any = config
            .allow_headers
            .as_deref()
            .is_some_and(|names| names.iter().any(|name| name == "*"));
        let headers = if any {
            AllowHeaders::AsAsked
        } else {
            AllowHeaders::Listed(match &config.allow_headers {
                Some(names) => list("/allowHeaders", names, bad_name, &mut faults),
                None => Some(joined(&HEADERS_DEFAULT)),
            })
        };
        let exposed = match &config.expose_headers {
            Some(names) => list("/exposeHeaders", names, bad_name, &mut faults),
            None => Some(joined(&EXPOSED_DEFAULT)),
        };
        let max_age = config.max_age.unwrap_or(MAX_AGE_DEFAULT);
        if max_age > MAX_AGE_MAX {
            faults.push(Diagnostic::error(
                "cors-max-age",
                "/maxAge",
                "maxAge is at most 1d",
            ));
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        Ok(Box::new(Running {
            origins,
            methods: methods
                .flatten()
                .unwrap_or(HeaderValue::from_static(METHODS_DEFAULT)),
            headers,
            exposed,
            credentials: config.allow_credentials,
            max_age: HeaderValue::from(max_age.as_s()),
        }))
    }
}

fn read_origins(config: &Config, faults: &mut Vec<Diagnostic>) -> Origins {
    let (mut exact, mut subdomains, mut every) = (Vec::new(), Vec::new(), false);
    let listed = &config.allow_origins;
    if listed.is_empty() || listed.len() > ENTRIES_MAX {
        let message = format!("between 1 and {ENTRIES_MAX} origins are needed");
        faults.push(Diagnostic::error("cors-origins", "/allowOrigins", message));
    }
    for (index, origin) in listed.iter().enumerate() {
        let parsed = match origin.as_str() {
            "*" => {
                every = true;
                continue;
            }
            "null" => None,
            origin => split_origin(origin),
        };
        match parsed {
            Some((scheme, host)) => match host.strip_prefix('*') {
                Some(domain) => subdomains.push((scheme, domain.to_owned())),
                None => exact.push(scheme + &host),
            },
            None => faults.push(
                Diagnostic::error(
                    "cors-origin",
                    format!("/allowOrigins/{index}"),
                    format!("{origin:?} is no origin that can be allowed"),
                )
                .mend("write scheme, host and port alone, such as https://shop.example.com, https://*.example.com or *"),
            ),
        }
    }
    if every && config.allow_credentials {
        faults.push(
            Diagnostic::error(
                "cors-credentials",
                "/allowCredentials",
                "credentials for every origin would let any page act as its visitor",
            )
            .mend("list the origins, or leave allowCredentials out"),
        );
    }
    if every {
        return Origins::Every;
    }
    Origins::Listed {
        exact: exact.into(),
        subdomains: subdomains.into(),
    }
}

/// Scheme with `://`, and host with port, in lower case; a host may begin with `*.` and holds no other asterisk.
fn split_origin(origin: &str) -> Option<(String, String)> {
    let origin = origin.to_ascii_lowercase();
    let (scheme, host) = origin.split_once("://")?;
    let plain = host.strip_prefix("*.").unwrap_or(host);
    let scheme_ok = !scheme.is_empty()
        && scheme
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    let host_ok = !plain.is_empty()
        && !plain.starts_with(['.', ':'])
        && plain
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-.:[]_".contains(&byte));
    (scheme_ok && host_ok).then(|| (format!("{scheme}://"), host.to_owned()))
}

fn list(
    pointer: &str,
    names: &[String],
    bad: impl Fn(&str) -> bool,
    faults: &mut Vec<Diagnostic>,
) -> Option<HeaderValue> {
    if names.len() > ENTRIES_MAX {
        let message = format!("at most {ENTRIES_MAX} entries are accepted");
        faults.push(Diagnostic::error("cors-list", pointer, message));
    }
    for (index, name) in names.iter().enumerate() {
        if bad(name) {
            let message = format!("{name:?} cannot stand here");
            faults.push(Diagnostic::error(
                "cors-list",
                format!("{pointer}/{index}"),
                message,
            ));
        }
    }
    // A faulty list is reported; its text is not used.
    HeaderValue::from_str(&names.join(", "))
        .ok()
        .filter(|text| !text.is_empty())
}

fn joined(names: &[&str]) -> HeaderValue {
    HeaderValue::from_str(&names.join(", ")).expect("names of header fields")
}

impl Origins {
    fn allow(&self, origin: &HeaderValue) -> bool {
        match self {
            Self::Every => true,
            Self::Listed { exact, subdomains } => {
                let Ok(origin) = origin.to_str() else {
                    return false;
                };
                exact.iter().any(|known| known.eq_ignore_ascii_case(origin))
                    || subdomains
                        .iter()
                        .any(|(scheme, domain)| is_below(origin, scheme, domain))
            }
        }
    }
}

/// Whether an origin is `scheme`, at least one label, and `domain` (with its leading dot).
fn is_below(origin: &str, scheme: &str, domain: &str) -> bool {
    let origin = origin.to_ascii_lowercase();
    origin
        .strip_prefix(scheme)
        .and_then(|host| host.strip_suffix(domain))
        .is_some_and(|label| {
            !label.is_empty()
                && !label.starts_with('.')
                && label
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
        })
}

impl Running {
    /// Whether answers differ by origin, which caches must know.
    fn varies(&self) -> bool {
        matches!(self.origins, Origins::Listed { .. })
    }

    fn add_origin(&self, headers: &mut HeaderMap, origin: HeaderValue) {
        let value = match self.origins {
            Origins::Every => HeaderValue::from_static("*"),
            Origins::Listed { .. } => origin,
        };
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, value);
        if self.credentials {
            headers.insert(
                ACCESS_CONTROL_ALLOW_CREDENTIALS,
                HeaderValue::from_static("true"),
            );
        }
    }

    fn preflight(&self, asked: &HeaderMap) -> Response {
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let headers = response.headers_mut();
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, self.methods.clone());
        let allowed = match &self.headers {
            AllowHeaders::AsAsked => asked.get(ACCESS_CONTROL_REQUEST_HEADERS),
            AllowHeaders::Listed(listed) => listed.as_ref(),
        };
        if let Some(allowed) = allowed {
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, allowed.clone());
        }
        headers.insert(ACCESS_CONTROL_MAX_AGE, self.max_age.clone());
        response
    }
}

/// Remembered for a preflight, whose answer has headers that others have not.
struct Preflight;

impl Policy for Running {
    fn on_request<'a>(&'a self, cx: &'a mut RequestCx) -> Outcome<'a> {
        let origin = cx.headers.get(ORIGIN);
        let allowed = origin.filter(|origin| self.origins.allow(origin)).cloned();
        let preflight = cx.method == Method::OPTIONS
            && origin.is_some()
            && cx.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        let may = allowed.is_some();
        if let Some(origin) = allowed {
            cx.slots.put(AllowedOrigin(origin));
        }
        if !preflight {
            return Outcome::CONTINUE;
        }
        cx.slots.put(Preflight);
        let response = if may {
            self.preflight(&cx.headers)
        } else {
            let mut response = Response::new(Bytes::new());
            *response.status_mut() = StatusCode::NO_CONTENT;
            response
        };
        Outcome::Now(Verdict::Respond(Box::new(response)))
    }

    fn on_response(&self, cx: &mut ResponseCx<'_>) {
        let preflight = cx.request.slots.get::<Preflight>().is_some();
        if !preflight {
            drop_backends(cx.headers);
        }
        if let Some(AllowedOrigin(origin)) = cx.request.slots.get() {
            self.add_origin(cx.headers, origin.clone());
            if let Some(exposed) = self.exposed.as_ref().filter(|_| !preflight) {
                cx.headers
                    .insert(ACCESS_CONTROL_EXPOSE_HEADERS, exposed.clone());
            }
        }
        if preflight {
            cx.headers.append(VARY, PREFLIGHT_VARY);
        } else if self.varies() && !names_origin(cx.headers) {
            cx.headers.append(VARY, HeaderValue::from_static("Origin"));
        }
    }
}

/// Takes out what a backend says of CORS. Most say nothing, which one pass over the names shows.
fn drop_backends(headers: &mut HeaderMap) {
    let is_cors = |name: &HeaderName| name.as_str().starts_with("access-control-");
    if !headers.keys().any(is_cors) {
        return;
    }
    static NAMES: [HeaderName; 7] = [
        ACCESS_CONTROL_ALLOW_ORIGIN,
        ACCESS_CONTROL_ALLOW_CREDENTIALS,
        ACCESS_CONTROL_ALLOW_METHODS,
        ACCESS_CONTROL_ALLOW_HEADERS,
        ACCESS_CONTROL_EXPOSE_HEADERS,
        ACCESS_CONTROL_MAX_AGE,
        PRIVATE_NETWORK,
    ];
    for name in &NAMES {
        headers.remove(name);
    }
}

/// Whether `Vary` says so already.
fn names_origin(headers: &HeaderMap) -> bool {
    headers
        .get_all(VARY)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(','))
        .any(|name| name.trim() == "*" || name.trim().eq_ignore_ascii_case("origin"))
}

/// The configuration with the methods of an API in place of a left-out `allowMethods`.
#[must_use]
pub fn with_methods<'m>(
    config: &serde_json::Value,
    methods: impl IntoIterator<Item = &'m str>,
) -> serde_json::Value {
    let mut config = config.clone();
    if let Some(members) = config.as_object_mut()
        && !members.contains_key("allowMethods")
    {
        let methods: BTreeMap<&str, ()> = methods.into_iter().map(|method| (method, ())).collect();
        let methods: Vec<&str> = methods.into_keys().collect();
        members.insert("allowMethods".to_owned(), methods.into());
    }
    config
}

#[cfg(test)]
mod tests;
