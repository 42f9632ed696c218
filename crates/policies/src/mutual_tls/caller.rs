//! Which certificates are taken, and what is known of their bearers.

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use base::Diagnostic;
use certificates::{Description, names};
use expr::{Attribute, Expr};
use policy::{ClientCertificate, Identity, Principal, RequestCx};
use serde_json::{Map, Value, json};
use spec::CertificateCaller;

/// An entry of `callers`.
pub(super) struct Caller {
    tests: Box<[Test]>,
    when: Option<Expr>,
    pub(super) application: Option<Arc<str>>,
}

enum Test {
    Subject(String),
    SubjectBelow(String),
    Dns(Pattern),
    Uri(Pattern),
    Email(Pattern),
    Ip(String),
}

/// A name, or what names begin or end with.
enum Pattern {
    Is(String),
    Ends(String),
    Begins(String),
}

impl Pattern {
    fn fits(&self, name: &str) -> bool {
        match self {
            Self::Is(wanted) => name == wanted,
            Self::Ends(end) => name.len() > end.len() && name.ends_with(end),
            Self::Begins(begin) => name.len() > begin.len() && name.starts_with(begin),
        }
    }
}

impl Caller {
    /// Compiles an entry; faults have pointers into the policy's configuration.
    pub(super) fn compile(
        caller: &CertificateCaller,
        index: usize,
        faults: &mut Vec<Diagnostic>,
    ) -> Option<Self> {
        let before = faults.len();
        let at = |key: &str| format!("/callers/{index}/{key}");
        let mut tests = Vec::new();
        for (key, name, test) in [
            (
                "subject",
                &caller.subject,
                Test::Subject as fn(String) -> Test,
            ),
            (
                "subjectBelow",
                &caller.subject_below,
                Test::SubjectBelow as fn(String) -> Test,
            ),
        ] {
            let Some(name) = name else { continue };
            if !names::is_name(name) {
                faults.push(
                    Diagnostic::error("subject", at(key), "that is no distinguished name")
                        .mend("write it as RFC 4514 does: `CN=till-7,OU=Tills,O=Example`"),
                );
            }
            tests.push(test(name.clone()));
        }
        if let Some(name) = &caller.dns {
            tests.extend(dns(name, at("dns"), faults).map(Test::Dns));
        }
        if let Some(name) = &caller.uri {
            tests.extend(uri(name, at("uri"), faults).map(Test::Uri));
        }
        if let Some(name) = &caller.email {
            tests.extend(email(name, at("email"), faults).map(Test::Email));
        }
        if let Some(ip) = &caller.ip {
            match ip.parse::<IpAddr>() {
                Ok(ip) => tests.push(Test::Ip(ip.to_string())),
                Err(_) => faults.push(Diagnostic::error("ip", at("ip"), "that is no IP address")),
            }
        }
        let when = caller.when.as_ref();
        let when = when.and_then(|source| condition(source, at("when"), faults));
        if caller.when.is_none() && tests.is_empty() && faults.len() == before {
            let pointer = format!("/callers/{index}");
            faults.push(
                Diagnostic::error(
                    "caller-empty",
                    pointer,
                    "the entry says nothing of a certificate",
                )
                .mend("name a subject, an alternative name or a condition (`when`)"),
            );
        }
        (faults.len() == before).then(|| Self {
            tests: tests.into(),
            when,
            application: caller.application.as_deref().map(Into::into),
        })
    }

    fn fits(&self, cx: &RequestCx, description: &Description) -> bool {
        let any = |names: &[String], pattern: &Pattern| names.iter().any(|name| pattern.fits(name));
        let holds = |test: &Test| match test {
            Test::Subject(name) => description.is_subject(name),
            Test::SubjectBelow(name) => description.is_subject_below(name),
            Test::Dns(pattern) => {
                let mut names = description.dns.iter();
                names.any(|name| pattern.fits(&name.to_ascii_lowercase()))
            }
            Test::Uri(pattern) => any(&description.uris, pattern),
            Test::Email(pattern) => any(&description.emails, pattern),
            Test::Ip(ip) => description.ips.contains(ip),
        };
        // A condition that has no answer does not let anybody in.
        self.tests.iter().all(holds)
            && self
                .when
                .as_ref()
                .is_none_or(|when| when.holds(cx).unwrap_or(false))
    }
}

fn odd(pointer: String, message: &str, mend: &str) -> Diagnostic {
    Diagnostic::error("name-pattern", pointer, message.to_owned()).mend(mend.to_owned())
}

/// Whole names are compared: `*.example.com` never takes `evilexample.com`.
fn dns(name: &str, pointer: String, faults: &mut Vec<Diagnostic>) -> Option<Pattern> {
    let name = name.to_ascii_lowercase();
    match name.strip_prefix('*') {
        None if !name.contains('*') => Some(Pattern::Is(name)),
        Some(end) if end.starts_with('.') && end.len() > 1 && !end.contains('*') => {
            Some(Pattern::Ends(end.to_owned()))
        }
        _ => {
            let mend = "write a name, or `*.example.com` for all below it";
            faults.push(odd(pointer, "that is no DNS name", mend));
            None
        }
    }
}

fn uri(name: &str, pointer: String, faults: &mut Vec<Diagnostic>) -> Option<Pattern> {
    match name.strip_suffix('*') {
        None if !name.contains('*') => Some(Pattern::Is(name.to_owned())),
        // Behind the host: `https://*` would be everybody.
        Some(begin)
            if begin.ends_with('/') && !begin.contains('*') && begin.matches('/').count() > 2 =>
        {
            Some(Pattern::Begins(begin.to_owned()))
        }
        _ => {
            let mend = "write a URI, or `spiffe://example.com/tills/*` for all below it";
            faults.push(odd(pointer, "that is no URI that could be compared", mend));
            None
        }
    }
}

fn email(name: &str, pointer: String, faults: &mut Vec<Diagnostic>) -> Option<Pattern> {
    match name.strip_prefix('*') {
        None if !name.contains('*') => Some(Pattern::Is(name.to_owned())),
        Some(end) if end.starts_with('@') && end.len() > 1 && !end.contains('*') => {
            Some(Pattern::Ends(end.to_owned()))
        }
        _ => {
            let mend = "write an address, or `*@example.com` for all of a domain";
            faults.push(odd(pointer, "that is no mail address", mend));
            None
        }
    }
}

/// What a condition finds is remembered with the certificate, so it may look at nothing that differs between calls.
fn condition(source: &str, pointer: String, faults: &mut Vec<Diagnostic>) -> Option<Expr> {
    let compiled = match Expr::compile(source) {
        Ok(compiled) => compiled,
        Err(error) => {
            faults.push(Diagnostic::error("expression", pointer, error.to_string()));
            return None;
        }
    };
    let of_certificate =
        |attribute: &Attribute| matches!(attribute, Attribute::Subject | Attribute::Claim(_));
    if !compiled.needs().iter().all(of_certificate) {
        let message = "the condition looks at more than the certificate";
        faults.push(Diagnostic::error("expression", pointer, message).mend(
            "use `principal.subject` and `principal.claims`; for the rest the policy `authorize`",
        ));
        return None;
    }
    Some(compiled)
}

/// The first entry that fits. The principal stands in the context while conditions look at it.
pub(super) fn find<'c>(
    callers: &'c [Caller],
    cx: &mut RequestCx,
    principal: &Principal,
    description: &Description,
) -> Option<&'c Caller> {
    cx.principal = Some(Rc::new(principal.clone()));
    let mut callers = callers.iter();
    let found = callers.find(|caller| caller.fits(cx, description));
    cx.principal = None;
    found
}

/// What a certificate says of its bearer.
pub(super) fn identity(
    shown: &ClientCertificate,
    description: &Description,
    scopes: &[String],
) -> Identity {
    let first = |texts: &[String]| texts.first().cloned();
    let mut claims = Map::new();
    for (name, value) in [
        ("subject", json!(description.subject)),
        ("issuer", json!(description.issuer)),
        ("serial", json!(description.serial)),
        ("sha256", json!(base::Digest::from_bytes(shown.sha256))),
        (
            "cn",
            first(&description.common_names).map_or(Value::Null, Value::String),
        ),
        ("o", json!(description.organizations)),
        ("ou", json!(description.units)),
        ("dns", json!(description.dns)),
        ("uris", json!(description.uris)),
        ("emails", json!(description.emails)),
        ("ips", json!(description.ips)),
    ] {
        if !value.is_null() {
            claims.insert(name.to_owned(), value);
        }
    }
    Identity {
        subject: Some(description.subject.clone()),
        scopes: Some(scopes.to_vec()),
        claims,
        ..Identity::default()
    }
}
