//! What the OpenAPI document says of the endpoints that all kinds share.

use spec::Kind;
use utoipa::openapi::path::{
    HttpMethod, Operation, OperationBuilder, Parameter, ParameterBuilder, ParameterIn, Paths,
};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{ObjectBuilder, SchemaType, Type};
use utoipa::openapi::{ContentBuilder, Ref, Required, ResponseBuilder};

/// The collection of a kind.
pub(super) fn collection(kind: Kind) -> Paths {
    let path = format!("/{}", kind.plural());
    let mut paths = Paths::new();
    paths.add_path_operation(&path, vec![HttpMethod::Get], list(kind));
    paths.add_path_operation(&path, vec![HttpMethod::Post], create(kind));
    paths
}

/// One document of a kind.
pub(super) fn item(kind: Kind) -> Paths {
    let path = format!("/{}/{{name}}", kind.plural());
    let mut paths = Paths::new();
    paths.add_path_operation(&path, vec![HttpMethod::Get], read(kind));
    paths.add_path_operation(&path, vec![HttpMethod::Put], replace(kind));
    paths.add_path_operation(&path, vec![HttpMethod::Delete], delete(kind));
    paths
}

fn list(kind: Kind) -> Operation {
    let mut operation = begin(kind, "list", &format!("List documents of kind {kind}"))
        .parameter(query(
            "limit",
            Type::Integer,
            "At most so many items: 1 to 500, by default 100",
        ))
        .parameter(query(
            "after",
            Type::String,
            "Only items after this one: `next` of the part before",
        ));
    if kind == Kind::Api {
        operation = operation
            .parameter(query("name", Type::String, "Only APIs of this `spec.name`"))
            .parameter(query(
                "version",
                Type::String,
                "Only APIs of this `spec.version`",
            ));
    }
    if kind == Kind::Subscription {
        operation = operation
            .parameter(query(
                "application",
                Type::String,
                "Only of this application",
            ))
            .parameter(query(
                "api",
                Type::String,
                "Only to this API (document name)",
            ));
    }
    operation
        .response(
            "200",
            answer("A part of the list, ordered by name", "List_Document"),
        )
        .build()
}

fn create(kind: Kind) -> Operation {
    begin(kind, "create", &format!("Create a document of kind {kind}"))
        .parameter(waiting())
        .request_body(Some(body()))
        .response(
            "201",
            answer("The document, with `Location` and `ETag`", "Document"),
        )
        .build()
}

fn read(kind: Kind) -> Operation {
    begin(kind, "get", &format!("Read a document of kind {kind}"))
        .parameter(name())
        .parameter(condition(
            "If-None-Match",
            "The revision that the caller has",
        ))
        .response("200", answer("The document, with `ETag`", "Document"))
        .response(
            "304",
            ResponseBuilder::new().description("The caller has it already"),
        )
        .build()
}

fn replace(kind: Kind) -> Operation {
    begin(
        kind,
        "put",
        &format!("Create or replace a document of kind {kind}"),
    )
    .parameter(name())
    .parameter(waiting())
    .parameter(condition("If-Match", "Only when it is at this revision"))
    .parameter(condition("If-None-Match", "`*`: only when it is not there"))
    .request_body(Some(body()))
    .response("200", answer("The document, with `ETag`", "Document"))
    .response(
        "201",
        answer("It is new; with `Location` and `ETag`", "Document"),
    )
    .build()
}

fn delete(kind: Kind) -> Operation {
    let mut operation = begin(kind, "delete", &format!("Delete a document of kind {kind}"))
        .parameter(name())
        .parameter(waiting())
        .parameter(condition("If-Match", "Only when it is at this revision"));
    if kind == Kind::Api {
        operation = operation.parameter(query(
            "cascade",
            Type::Boolean,
            "Delete the subscriptions to it too",
        ));
    }
    operation
        .response("204", ResponseBuilder::new().description("It is gone"))
        .build()
}

fn begin(kind: Kind, verb: &str, summary: &str) -> OperationBuilder {
    let singular = kind.as_str().to_lowercase();
    OperationBuilder::new()
        .tag(kind.plural())
        .operation_id(Some(format!("{singular}_{verb}")))
        .summary(Some(summary))
}

fn answer(description: &str, schema: &str) -> ResponseBuilder {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(schema)));
    ResponseBuilder::new()
        .description(description)
        .content("application/json", content.build())
}

fn body() -> utoipa::openapi::request_body::RequestBody {
    let content = || {
        ContentBuilder::new()
            .schema(Some(ObjectBuilder::new().description(Some(
                "A document of this kind; `tollway explain-kind` shows its schema",
            ))))
            .build()
    };
    RequestBodyBuilder::new()
        .content("application/json", content())
        .content("application/yaml", content())
        .required(Some(Required::True))
        .build()
}

fn name() -> Parameter {
    ParameterBuilder::new()
        .name("name")
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .description(Some("The document's `metadata.name`"))
        .schema(Some(typed(Type::String)))
        .build()
}

fn waiting() -> Parameter {
    query(
        "wait",
        Type::Boolean,
        "`false` = answer as soon as the change is stored; otherwise when every live node serves it",
    )
}

fn query(name: &str, kind: Type, description: &str) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Query)
        .description(Some(description))
        .schema(Some(typed(kind)))
        .build()
}

fn condition(name: &str, description: &str) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Header)
        .description(Some(description))
        .schema(Some(typed(Type::String)))
        .build()
}

fn typed(kind: Type) -> utoipa::openapi::schema::Object {
    ObjectBuilder::new()
        .schema_type(SchemaType::Type(kind))
        .build()
}
