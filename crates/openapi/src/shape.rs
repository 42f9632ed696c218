//! What stands where in a definition, as far as references go: in which places a `$ref` is a reference, and what it
//! stands for. Everything else is data.

/// What a part of a definition is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Shape {
    /// The whole definition.
    Definition,
    /// `components`.
    Components,
    /// A mapping from names to parts.
    Map(Part),
    /// A list of parts.
    List(Part),
    /// A part that a reference may stand for.
    Part(Part),
    /// An operation.
    Operation,
    /// One encoding of a media type.
    Encoding,
    /// `discriminator`.
    Discriminator,
    /// `discriminator.mapping`.
    Mapping,
    /// A value of `discriminator.mapping`: a reference, or the name of a schema.
    Mapped,
    /// Methods by name (OpenAPI 3.2).
    Operations,
    /// Encodings by name.
    Encodings,
    /// What is not looked into: examples, defaults, extensions.
    Data,
}

/// The parts that a reference may stand for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Part {
    PathItem,
    Parameter,
    Body,
    Response,
    Header,
    Media,
    Example,
    Link,
    Callback,
    Schema,
    Scheme,
}

impl Part {
    /// Where a definition keeps its own parts of this sort: below the root in Swagger 2.0, below `components` later.
    /// Nothing where the version has no such place.
    pub(crate) fn section(self, version_2: bool, version_3_0: bool) -> Option<&'static str> {
        if version_2 {
            return Some(match self {
                Self::Schema => "definitions",
                Self::Parameter => "parameters",
                Self::Response => "responses",
                Self::Scheme => "securityDefinitions",
                _ => return None,
            });
        }
        Some(match self {
            Self::Schema => "schemas",
            Self::Parameter => "parameters",
            Self::Response => "responses",
            Self::Body => "requestBodies",
            Self::Header => "headers",
            Self::Example => "examples",
            Self::Link => "links",
            Self::Callback => "callbacks",
            Self::Scheme => "securitySchemes",
            Self::PathItem if !version_3_0 => "pathItems",
            Self::PathItem | Self::Media => return None,
        })
    }

    /// The part that a section of a definition, or of its `components`, keeps.
    pub(crate) fn of_section(key: &str) -> Option<Self> {
        Some(match key {
            "definitions" | "schemas" => Self::Schema,
            "parameters" => Self::Parameter,
            "responses" => Self::Response,
            "securityDefinitions" | "securitySchemes" => Self::Scheme,
            "requestBodies" => Self::Body,
            "headers" => Self::Header,
            "examples" => Self::Example,
            "links" => Self::Link,
            "callbacks" => Self::Callback,
            "pathItems" => Self::PathItem,
            "mediaTypes" => Self::Media,
            _ => return None,
        })
    }
}

impl Shape {
    /// What the member `key` of a mapping of this shape is.
    pub(crate) fn member(self, key: &str) -> Self {
        use Part as P;
        match self {
            Self::Map(P::PathItem | P::Response) if key.starts_with("x-") => Self::Data,
            Self::Map(part) => Self::Part(part),
            Self::Operations => Self::Operation,
            Self::Encodings => Self::Encoding,
            Self::Part(P::Schema) => schema(key),
            _ if key.starts_with("x-") => Self::Data,
            Self::Definition => match key {
                "paths" | "webhooks" => Self::Map(P::PathItem),
                "components" => Self::Components,
                "definitions" | "parameters" | "responses" | "securityDefinitions" => {
                    P::of_section(key).map_or(Self::Data, Self::Map)
                }
                _ => Self::Data,
            },
            Self::Components => P::of_section(key).map_or(Self::Data, Self::Map),
            Self::Part(P::PathItem) => match key {
                "parameters" => Self::List(P::Parameter),
                "additionalOperations" => Self::Operations,
                "summary" | "description" | "servers" => Self::Data,
                _ => Self::Operation,
            },
            Self::Operation => match key {
                "parameters" => Self::List(P::Parameter),
                "requestBody" => Self::Part(P::Body),
                "responses" => Self::Map(P::Response),
                "callbacks" => Self::Map(P::Callback),
                _ => Self::Data,
            },
            Self::Part(P::Callback) => Self::Part(P::PathItem),
            Self::Part(_) | Self::Encoding => member(key),
            Self::Discriminator if key == "mapping" => Self::Mapping,
            Self::Mapping => Self::Mapped,
            Self::Discriminator | Self::Mapped | Self::List(_) | Self::Data => Self::Data,
        }
    }

    /// What the items of a list of this shape are.
    pub(crate) fn item(self) -> Self {
        match self {
            Self::List(part) => Self::Part(part),
            // `items` of old schemas may be a list.
            Self::Part(Part::Schema) => self,
            _ => Self::Data,
        }
    }
}

/// Members of parameters, headers, bodies, responses and media types: their names do not collide.
fn member(key: &str) -> Shape {
    match key {
        "schema" | "itemSchema" => Shape::Part(Part::Schema),
        "content" => Shape::Map(Part::Media),
        "examples" => Shape::Map(Part::Example),
        "headers" => Shape::Map(Part::Header),
        "links" => Shape::Map(Part::Link),
        "encoding" => Shape::Encodings,
        _ => Shape::Data,
    }
}

/// Members of schemas (OpenAPI 3.0 §4.7.24, JSON Schema 2020-12 §10 and §11).
fn schema(key: &str) -> Shape {
    match key {
        "properties" | "patternProperties" | "definitions" | "$defs" | "dependentSchemas" => {
            Shape::Map(Part::Schema)
        }
        "allOf" | "anyOf" | "oneOf" | "prefixItems" => Shape::List(Part::Schema),
        "items"
        | "not"
        | "if"
        | "then"
        | "else"
        | "contains"
        | "propertyNames"
        | "contentSchema"
        | "additionalItems"
        | "additionalProperties"
        | "unevaluatedItems"
        | "unevaluatedProperties" => Shape::Part(Part::Schema),
        "discriminator" => Shape::Discriminator,
        _ => Shape::Data,
    }
}
