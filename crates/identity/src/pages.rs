//! The pages that people see: rendered here, without a script, under a policy that lets nothing else in.
//!
//! Everything is escaped by the template engine; a template that names what is not there is an error, not an empty place.

mod texts;

use std::collections::BTreeMap;

use axum::body::Body;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderMap, HeaderValue, StatusCode};
use minijinja::{AutoEscape, Environment, UndefinedBehavior, Value, context};

use crate::problem::trace_id;

pub(crate) use texts::Language;

/// Sends a form that answers the client (`response_mode=form_post`) without a click where scripts run.
const SUBMIT: &str = "document.forms[0].submit()";

/// The page's file names and templates.
const TEMPLATES: [(&str, &str); 11] = [
    ("page.html", include_str!("../templates/page.html")),
    ("wish.html", include_str!("../templates/wish.html")),
    ("login.html", include_str!("../templates/login.html")),
    ("account.html", include_str!("../templates/account.html")),
    ("consent.html", include_str!("../templates/consent.html")),
    ("error.html", include_str!("../templates/error.html")),
    ("device.html", include_str!("../templates/device.html")),
    (
        "device_confirm.html",
        include_str!("../templates/device_confirm.html"),
    ),
    ("logout.html", include_str!("../templates/logout.html")),
    ("own.html", include_str!("../templates/own.html")),
    (
        "form_post.html",
        include_str!("../templates/form_post.html"),
    ),
];

const DONE: &str = include_str!("../templates/done.html");
const STYLE: &str = include_str!("../templates/style.css");

/// Renders pages.
pub(crate) struct Pages {
    templates: Environment<'static>,
    /// The names of all texts with their words, by language.
    texts: [Value; 3],
    /// The path under which the endpoints are (that of the public URL), without a slash at its end.
    base: String,
    style_hash: String,
    script_hash: String,
}

/// What a page is rendered for.
#[derive(Clone, Copy)]
pub(crate) struct Look {
    pub(crate) language: Language,
    pub(crate) status: StatusCode,
}

impl Look {
    pub(crate) fn new(language: Language) -> Self {
        Self {
            language,
            status: StatusCode::OK,
        }
    }
}

impl Pages {
    /// Pages of the issuer with this URL.
    pub(crate) fn new(issuer: &str) -> Self {
        let mut templates = Environment::new();
        templates.set_undefined_behavior(UndefinedBehavior::SemiStrict);
        templates.set_auto_escape_callback(|_| AutoEscape::Html);
        for (name, template) in TEMPLATES.into_iter().chain([("done.html", DONE)]) {
            templates
                .add_template(name, template)
                .expect("a test renders every template");
        }
        let texts = Language::ALL.map(|language| {
            let row = |(name, _): &(&str, _)| {
                let words = language.text(name);
                ((*name).to_owned(), words.to_owned())
            };
            let all: BTreeMap<String, String> = texts::TEXTS.iter().map(row).collect();
            Value::from(all)
        });
        Self {
            templates,
            texts,
            base: crate::cookies::path_of(issuer).to_owned(),
            style_hash: source_hash(STYLE),
            script_hash: source_hash(SUBMIT),
        }
    }

    /// A page. `form_targets` are the sources beside our own to which its form may lead, redirects and all.
    pub(crate) fn page(
        &self,
        template: &'static str,
        look: Look,
        form_targets: &str,
        values: Value,
    ) -> Response {
        let texts = &self.texts[look.language as usize];
        let all = context! {
            t => texts,
            lang => look.language.tag(),
            base => self.base.as_str(),
            style => Value::from_safe_string(STYLE.to_owned()),
            ..values
        };
        let rendered = self
            .templates
            .get_template(template)
            .and_then(|template| template.render(all));
        match rendered {
            Ok(html) => {
                let script = if template == "form_post.html" {
                    format!("; script-src {}", self.script_hash)
                } else {
                    String::new()
                };
                let policy = self.policy(form_targets, &script);
                answer(look.status, html, &policy)
            }
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    template,
                    "a page was not rendered"
                );
                let status = StatusCode::INTERNAL_SERVER_ERROR;
                answer(status, "Internal error".to_owned(), "default-src 'none'")
            }
        }
    }

    /// The page that tells that something cannot be done; never a redirect (req: S8). `detail` is for developers.
    pub(crate) fn error(
        &self,
        request: &HeaderMap,
        status: StatusCode,
        text: &'static str,
        detail: &str,
    ) -> Response {
        let language = language_of(request, None);
        let look = Look { language, status };
        let values = context! {
            text => language.text(text),
            detail => detail,
            trace_id => trace_id(request),
        };
        self.page("error.html", look, "", values)
    }

    /// A page that only tells something.
    pub(crate) fn done(
        &self,
        language: Language,
        title: &'static str,
        text: &'static str,
    ) -> Response {
        let values = context! { title => language.text(title), text => language.text(text) };
        self.page("done.html", Look::new(language), "", values)
    }

    /// Answers a client by a form that the browser posts (OAuth 2.0 Form Post Response Mode §2).
    pub(crate) fn form_post(
        &self,
        language: Language,
        action: &str,
        fields: &[(&'static str, String)],
    ) -> Response {
        let fields: Vec<Value> = fields
            .iter()
            .map(|(name, value)| context! { name => *name, value => value.as_str() })
            .collect();
        let values = context! {
            action => action,
            fields => fields,
            script => Value::from_safe_string(SUBMIT.to_owned()),
        };
        let targets = form_targets(action);
        self.page("form_post.html", Look::new(language), &targets, values)
    }

    fn policy(&self, form_targets: &str, script: &str) -> String {
        let style = &self.style_hash;
        format!(
            "default-src 'none'; style-src {style}{script}; form-action 'self'{form_targets}; \
             frame-ancestors 'none'; base-uri 'none'"
        )
    }
}

/// The language for a request.
pub(crate) fn language_of(request: &HeaderMap, ui_locales: Option<&str>) -> Language {
    let accept = request
        .get(http::header::ACCEPT_LANGUAGE)
        .and_then(|value| value.to_str().ok());
    Language::choose(ui_locales, accept)
}

/// The CSP sources, each with a blank before it, that a form needs which ends in a redirect to this URI.
///
/// Chromium holds every redirect of a form against `form-action`, those that the client makes afterwards too: a broker
/// that the user is sent back to sends the user on to another origin. So all of `https:` is allowed, and the redirect
/// URI's own scheme where it is another one ([why](../../../docs/adr/0036-what-a-browser-carries.md)).
pub(crate) fn form_targets(redirect_uri: &str) -> String {
    let scheme = redirect_uri.split(':').next().unwrap_or_default();
    // Whatever could end a source or the directive is left out.
    let sound = scheme.len() < redirect_uri.len()
        && scheme
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    if scheme == "https" || scheme.is_empty() || !sound {
        return " https:".to_owned();
    }
    format!(" https: {scheme}:")
}

/// A CSP source for an inline element with this content.
fn source_hash(content: &str) -> String {
    let digest = base::Digest::of(content.as_bytes());
    format!("'sha256-{}'", STANDARD.encode(digest.as_bytes()))
}

fn answer(status: StatusCode, html: String, policy: &str) -> Response {
    let mut response = Response::new(Body::from(html));
    *response.status_mut() = status;
    let fixed: [(HeaderName, &'static str); 5] = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        // Not `no-referrer`: with it browsers say `Origin: null` for our own forms.
        (REFERRER_POLICY, "same-origin"),
    ];
    let headers = response.headers_mut();
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let policy =
        HeaderValue::from_str(policy).expect("sources are ASCII without control characters");
    headers.insert(CONTENT_SECURITY_POLICY, policy);
    response
}

#[cfg(test)]
mod tests;
