//! Example calls and answers, made from a definition: what a mock answers with, what a console fills in.
//!
//! What the author wrote comes first: `example`, `examples`, `x-example` of the answer, then those of the schema,
//! `const`, `enum`, `default`. The rest is generated from the schema, always the same for the same seed. What is
//! generated is checked against its schema and made anew a few times if it does not fit; where no try fits, the first
//! one is given. Patterns are best effort: those with look-around are left out.
//!
//! Invariant: time and size are bounded by [`Options`]; a schema that contains itself is cut at `depth_max`.
//!
//! Start reading at [`response`], [`request`].

mod check;
mod pattern;
mod scalar;
mod value;
mod write;

use serde_json::Value;
use tree::Node;

use crate::calls::{Call, Field, Media, Response, Text};
use crate::mock::value::Generator;
use crate::model::{Location, Method};
use crate::schema::Direction;
use crate::template::Template;

/// How examples are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Examples are the same for the same seed.
    pub seed: u64,
    /// Levels of nesting; deeper values are left out, or empty where they are required.
    pub depth_max: usize,
    /// Levels down to which properties are made that are not required.
    pub optional_depth: usize,
    /// Values in one example, and tries; beyond it lists end, and below `optional_depth` nothing more is made, so that
    /// the example may no longer fit.
    pub steps_max: usize,
    /// Characters of one string, and items of one list.
    pub length_max: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            seed: 0,
            depth_max: 12,
            optional_depth: 4,
            steps_max: 20_000,
            length_max: 1_000,
        }
    }
}

/// Which answer is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted<'a> {
    /// The status; by default the lowest of the 2xx, then `default`, then the first.
    pub status: Option<u16>,
    /// The media type; by default JSON where there is some, else the first.
    pub media_type: Option<&'a str>,
    /// The name of one of the `examples`; by default the first.
    pub example: Option<&'a str>,
}

/// An example of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Headers that the definition names, `Content-Type` not among them.
    pub headers: Vec<(String, String)>,
    /// The body; none where the answer has none.
    pub body: Option<Body>,
}

/// An example of a body.
#[derive(Clone, Debug, PartialEq)]
pub struct Body {
    /// Its media type.
    pub media_type: String,
    /// The value. What is no JSON in itself (text, XML) is a string if the author wrote it, else a value whose
    /// properties are to be written in that format.
    pub value: Value,
    /// Whether the author wrote it as the example of this body.
    pub written: bool,
}

impl Body {
    /// The body as bytes go over the wire; nothing where this crate does not write the format (XML, multipart) and
    /// the author gave no text.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        write::body(&self.media_type, &self.value)
    }
}

/// An example of a call.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The path with its parameters filled in, percent-encoded, without the servers' part.
    pub path: String,
    /// The query without `?`, percent-encoded; parameters that are required or have an example.
    pub query: String,
    /// All parameters.
    pub parameters: Vec<Parameter>,
    /// The body; none where the operation takes none.
    pub body: Option<Body>,
}

/// A parameter of an example call.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// Where it is sent.
    pub location: Location,
    /// Whether a call without it is invalid.
    pub required: bool,
    /// The value.
    pub value: Value,
    /// The value in its style: for headers and cookies as it is sent, for path and query percent-encoded; in the
    /// query with its name (`ids=1&ids=2`).
    pub text: String,
    /// Whether the author gave the value.
    pub written: bool,
}

/// Why there is no example.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MockError {
    /// The definition has no such operation.
    #[error("the definition has no operation {0} {1}")]
    Operation(Method, String),
    /// The operation has no such answer.
    #[error("the operation has no answer for status {0}")]
    Status(u16),
    /// The operation has no answers at all.
    #[error("the operation has no answers")]
    NoAnswers,
    /// The answer or the body does not come as this media type.
    #[error("there is no body of media type `{0}`")]
    MediaType(String),
    /// The answer has no example of this name.
    #[error("the answer has no example `{0}`")]
    Example(String),
}

/// An example of what an operation answers. The path is a template as the definition writes it.
///
/// # Errors
/// The operation, or what is wanted of it, does not exist.
pub fn response(
    root: &Node,
    method: Method,
    path: &str,
    wanted: &Wanted<'_>,
    options: &Options,
) -> Result<Answer, MockError> {
    let text = Text::new(root);
    let call = find(text, method, path)?;
    let (status, response) = choose(&call, wanted.status)?;
    let mut generator = Generator::new(text, Direction::Response, options);
    let mut headers = Vec::new();
    for header in &response.headers {
        let (value, _) = field(&mut generator, header);
        headers.push((header.name.to_owned(), write::simple(&value)));
    }
    let media = media(&response.content, wanted.media_type)?;
    let body = match media {
        None => None,
        Some(media) => Some(body(&mut generator, response, media, wanted.example)?),
    };
    Ok(Answer {
        status,
        headers,
        body,
    })
}

/// An example of a call to an operation. The path is a template as the definition writes it.
///
/// # Errors
/// The operation does not exist, or takes no body of this media type.
pub fn request(
    root: &Node,
    method: Method,
    path: &str,
    media_type: Option<&str>,
    options: &Options,
) -> Result<Request, MockError> {
    let text = Text::new(root);
    let call = find(text, method, path)?;
    let mut generator = Generator::new(text, Direction::Request, options);
    let mut parameters = Vec::new();
    for parameter in &call.parameters {
        let (value, written) = field(&mut generator, parameter);
        parameters.push(Parameter {
            name: parameter.name.to_owned(),
            location: parameter.location,
            required: parameter.required,
            text: write::parameter(parameter, &value),
            value,
            written,
        });
    }
    let content = call.body.as_ref().map_or(&[][..], |body| &body.content);
    let body = media(content, media_type)?.map(|media| {
        let example = example_of(text, media.node, None);
        Body {
            media_type: concrete(&media.name),
            written: example.is_some(),
            value: example.unwrap_or_else(|| generator.top(&media.schema)),
        }
    });
    Ok(Request {
        method,
        path: write::path(path, &parameters),
        query: write::query(&parameters),
        parameters,
        body,
    })
}

fn find<'t>(text: Text<'t>, method: Method, path: &str) -> Result<Call<'t>, MockError> {
    let missing = || MockError::Operation(method, path.to_owned());
    let exact = text
        .paths()
        .into_iter()
        .find(|known| known.template == path);
    let found = exact.or_else(|| {
        let normalised = Template::parse(path).ok()?.normalised();
        text.paths()
            .into_iter()
            .find(|known| known.normalised == normalised)
    });
    let found = found.ok_or_else(missing)?;
    let methods = text.methods(&found);
    let (_, node) = methods
        .iter()
        .find(|(known, _)| *known == method)
        .ok_or_else(missing)?;
    Ok(text.operation(&found, node))
}

/// The answer that is wanted, and its status.
fn choose<'a, 't>(
    call: &'a Call<'t>,
    wanted: Option<u16>,
) -> Result<(u16, &'a Response<'t>), MockError> {
    let find = |name: &str| {
        call.responses
            .iter()
            .find(|response| response.status == name)
    };
    if let Some(status) = wanted {
        let class = format!("{}XX", status / 100);
        let found = find(&status.to_string())
            .or_else(|| find(&class))
            .or_else(|| find("default"));
        return found
            .map(|response| (status, response))
            .ok_or(MockError::Status(status));
    }
    let success = call
        .responses
        .iter()
        .filter_map(|response| Some((response.status.parse::<u16>().ok()?, response)))
        .filter(|(status, _)| (200..300).contains(status))
        .min_by_key(|(status, _)| *status);
    success
        .or_else(|| {
            find("2XX")
                .or_else(|| find("default"))
                .map(|response| (200, response))
        })
        .or_else(|| {
            let first = call.responses.first()?;
            let class = first.status.get(..1)?.parse::<u16>().ok()?;
            Some((first.status.parse().unwrap_or(class * 100), first))
        })
        .ok_or(MockError::NoAnswers)
}

/// The wanted media type, JSON, or the first.
fn media<'a, 't>(
    content: &'a [Media<'t>],
    wanted: Option<&str>,
) -> Result<Option<&'a Media<'t>>, MockError> {
    let Some(wanted) = wanted else {
        let json = content.iter().find(|media| is_json(&media.name));
        return Ok(json.or_else(|| content.first()));
    };
    let name = wanted
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    let same = |media: &&Media<'_>| media.name.split(';').next() == Some(name.as_str());
    let range = |media: &&Media<'_>| {
        let prefix = media.name.strip_suffix('*');
        prefix.is_some_and(|prefix| name.starts_with(prefix) || prefix == "*/")
    };
    let found = content
        .iter()
        .find(same)
        .or_else(|| content.iter().find(range));
    found
        .map(Some)
        .ok_or_else(|| MockError::MediaType(wanted.to_owned()))
}

/// `application/json`, `application/problem+json`.
pub(crate) fn is_json(media_type: &str) -> bool {
    let name = media_type.split(';').next().unwrap_or_default();
    name == "application/json" || name == "text/json" || name.ends_with("+json")
}

/// A media type that can be sent: a range is filled in.
fn concrete(name: &str) -> String {
    match name.strip_suffix("/*") {
        None => name.to_owned(),
        Some("*") => "application/json".to_owned(),
        Some("text") => "text/plain".to_owned(),
        Some("image") => "image/png".to_owned(),
        Some(_) => "application/octet-stream".to_owned(),
    }
}

/// The body of an answer as one media type.
fn body<'t>(
    generator: &mut Generator<'t>,
    response: &Response<'t>,
    media: &Media<'t>,
    wanted: Option<&str>,
) -> Result<Body, MockError> {
    let written = example_of(generator.text, media.node, wanted)
        .or_else(|| version_2_example(response.node, &media.name));
    if let (Some(name), None) = (wanted, &written) {
        return Err(MockError::Example(name.to_owned()));
    }
    Ok(Body {
        media_type: concrete(&media.name),
        written: written.is_some(),
        value: written.unwrap_or_else(|| generator.top(&media.schema)),
    })
}

/// `example`, `examples` or `x-example` of a media type, a parameter or a header.
fn example_of(text: Text<'_>, node: &Node, wanted: Option<&str>) -> Option<Value> {
    let examples = node.get("examples").and_then(Node::as_object);
    let value = |node| {
        let target = text.resolve(node);
        target
            .get("value")
            .or_else(|| target.get("dataValue"))
            .map(Node::to_json)
    };
    if let Some(name) = wanted {
        return value(examples?.get(name)?);
    }
    let single = node.get("example").or_else(|| node.get("x-example"));
    single
        .map(Node::to_json)
        .or_else(|| examples?.iter().find_map(|entry| value(&entry.node)))
}

/// `examples` of a response of Swagger 2.0: by media type.
fn version_2_example(response: &Node, media_type: &str) -> Option<Value> {
    response.get("schema")?;
    response.get("examples")?.get(media_type).map(Node::to_json)
}

/// The value of a parameter or header, and whether the author gave it.
fn field<'t>(generator: &mut Generator<'t>, field: &Field<'t>) -> (Value, bool) {
    match example_of(generator.text, field.node, None) {
        Some(value) => (value, true),
        None => (generator.top(&field.schema), false),
    }
}
