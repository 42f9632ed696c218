//! What expressions see of a request.

use expr::{Attribute, Attributes, Value};
use http::header::HeaderName;

use crate::context::{Principal, RequestCx};

impl Attributes for RequestCx {
    fn value(&self, attribute: &Attribute) -> Option<Value<'_>> {
        Some(match attribute {
            Attribute::Method => self.method.as_str().into(),
            Attribute::Path => self.path.as_str().into(),
            Attribute::Query => self.query.as_deref().unwrap_or_default().into(),
            Attribute::Header(name) => {
                let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
                Value::Text(String::from_utf8_lossy(self.headers.get(name)?.as_bytes()))
            }
            Attribute::Parameter(name) => {
                let query = self.query.as_deref()?;
                let mut parameters = form_urlencoded::parse(query.as_bytes());
                Value::Text(parameters.find(|(found, _)| found == name)?.1)
            }
            Attribute::ClientIp => self.client.ip.to_string().into(),
            of_caller => return of_principal(self.principal.as_ref()?, of_caller),
        })
    }
}

fn of_principal<'a>(principal: &'a Principal, attribute: &Attribute) -> Option<Value<'a>> {
    let identity = &*principal.identity;
    Some(match attribute {
        Attribute::Application => principal.application?.to_string().into(),
        Attribute::Subject => identity.subject.as_deref()?.into(),
        Attribute::Scopes => Value::Texts(identity.scopes.as_deref()?),
        Attribute::Roles => Value::Texts(&identity.roles),
        Attribute::Claim(name) => Value::Json(identity.claims.get(name)?),
        _ => return None,
    })
}
