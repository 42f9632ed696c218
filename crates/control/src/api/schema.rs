//! Schemas of types that belong to crates without utoipa.

use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, SchemaType, Type};
use utoipa::openapi::{Ref, RefOr, Schema};

/// A list of [`base::Diagnostic`].
pub(super) fn diagnostics() -> RefOr<Schema> {
    ArrayBuilder::new()
        .items(Ref::from_schema_name("Diagnostic"))
        .into()
}

/// A [`spec::RevisionRef`].
pub(super) fn revision() -> RefOr<Schema> {
    utoipa::openapi::schema::OneOfBuilder::new()
        .description(Some("The number of a revision, or `latest`"))
        .item(
            ObjectBuilder::new()
                .schema_type(SchemaType::Type(Type::String))
                .enum_values(Some(["latest"])),
        )
        .item(ObjectBuilder::new().schema_type(SchemaType::Type(Type::Integer)))
        .into()
}

fn text(description: &str) -> RefOr<Schema> {
    ObjectBuilder::new()
        .schema_type(SchemaType::Type(Type::String))
        .description(Some(description))
        .into()
}

fn number(description: &str) -> RefOr<Schema> {
    ObjectBuilder::new()
        .schema_type(SchemaType::Type(Type::Integer))
        .description(Some(description))
        .into()
}

/// [`base::Diagnostic`]
pub(super) fn diagnostic() -> RefOr<Schema> {
    ObjectBuilder::new()
        .description(Some("What is wrong with a text: place, cause and mend."))
        .property("severity", text("`warning` or `error`"))
        .required("severity")
        .property("rule", text("Stable name of the rule"))
        .required("rule")
        .property("message", text("What is wrong"))
        .required("message")
        .property("mend", text("What to do about it"))
        .property("pointer", text("Where in the document (JSON pointer)"))
        .required("pointer")
        .property("file", text("The file"))
        .property("line", number("From 1; 0 where there are no lines"))
        .required("line")
        .property("column", number("From 1; 0 where there are no lines"))
        .required("column")
        .into()
}

/// [`base::Problem`]
pub(super) fn problem() -> RefOr<Schema> {
    ObjectBuilder::new()
        .description(Some("RFC 9457 problem details with a stable code."))
        .property("type", text("URI of the code's description"))
        .required("type")
        .property("title", text("The code's title"))
        .required("title")
        .property("status", number("The HTTP status"))
        .required("status")
        .property("code", text("The stable code"))
        .required("code")
        .property("detail", text("What is wrong in this case"))
        .property("traceId", text("The trace id that the log carries too"))
        .property("errors", diagnostics())
        .property(
            "missing",
            ArrayBuilder::new().items(Ref::from_schema_name("NodeItem")),
        )
        .into()
}

#[cfg(test)]
mod tests {
    use base::{Diagnostic, Problem, code};
    use serde_json::Value;

    fn keys(value: &Value) -> Vec<String> {
        let mut keys: Vec<_> = value
            .as_object()
            .expect("an object")
            .keys()
            .cloned()
            .collect();
        keys.sort();
        keys
    }

    #[test]
    fn schemas_have_the_members_of_their_types() {
        let diagnostic = Diagnostic::error("r", "/a", "m")
            .mend("d")
            .at(1, 1)
            .in_file("f");
        let problem = Problem::new(code::INTERNAL, "d")
            .trace("t")
            .errors([diagnostic.clone()])
            .extension("missing", Value::Null);
        for (schema, value) in [
            (
                super::diagnostic(),
                serde_json::to_value(diagnostic).unwrap(),
            ),
            (super::problem(), serde_json::to_value(problem).unwrap()),
        ] {
            let schema = serde_json::to_value(schema).unwrap();
            assert_eq!(keys(&schema["properties"]), keys(&value));
        }
    }
}
