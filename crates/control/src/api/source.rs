//! What an import is made of: a text with the files that it refers to, an archive, or what stands at a URL.

use std::sync::Arc;
use std::time::Duration;

use archive::ArchiveError;
use base::{Diagnostic, Diagnostics, code};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use fetch::FetchError;
use openapi::{Files, Gathering};
use url::Url;

use super::ImportRequest;
use crate::Control;
use crate::definition::{gathered, named};
use crate::http::{ApiError, ApiResult};

/// What a definition is called in diagnostics when its author gave no name.
const UNNAMED: &str = "definition";

/// How a zip archive begins.
const ZIP: &[u8] = b"PK\x03\x04";

/// Names of files that are shown in a message.
const NAMES_SHOWN: usize = 10;

/// The files of a definition that shall become an API.
pub(super) struct ImportSource {
    pub(super) files: Files,
    /// Whether the root's name is its author's.
    pub(super) named: bool,
    /// Where it was fetched from, without user, query and fragment, which may hold secrets.
    pub(super) url: Option<String>,
    /// What is odd about what was sent.
    pub(super) warnings: Diagnostics,
}

impl ImportSource {
    /// The refusal of its text.
    pub(super) fn faulty(&self, problems: Diagnostics) -> ApiError {
        faulty(problems, self.files.root())
    }

    fn of(files: Files, named: bool) -> Self {
        Self {
            files,
            named,
            url: None,
            warnings: Diagnostics::default(),
        }
    }
}

fn faulty(problems: Diagnostics, root: &str) -> ApiError {
    ApiError::faulty(code::INVALID_DOCUMENT, named(problems, root))
}

fn bad_request(error: impl std::fmt::Display) -> ApiError {
    ApiError::bad_request(error.to_string())
}

/// The files that a request brings, or names.
///
/// # Errors
/// `BAD_REQUEST` where it names no source or several, or a file's name is refused; `INVALID_ARCHIVE`,
/// `ADDRESS_BLOCKED`, `FETCH_FAILED`; `INVALID_DOCUMENT` for too many or too large files.
pub(super) async fn read(control: &Control, request: &ImportRequest) -> ApiResult<ImportSource> {
    let beside = !request.files.is_empty();
    match (&request.definition, &request.archive, &request.url) {
        (Some(text), None, None) => text_with_files(control, request, text),
        (None, Some(archive), None) if !beside => {
            let bytes = BASE64_STANDARD.decode(archive);
            let bytes = bytes.map_err(|_| bad_request("`archive` is not in Base64"))?;
            of_archive(control, &bytes, request.file.as_deref())
        }
        (None, None, Some(url)) if !beside => {
            let limit = control.config().import_ms;
            let fetching = of_url(control, url, request.file.as_deref());
            let fetched = tokio::time::timeout(Duration::from_millis(limit), fetching).await;
            fetched.unwrap_or_else(|_| Err(unfetched(FetchError::Timeout(limit), UNNAMED)))
        }
        _ => Err(bad_request(
            "an import has one of `definition` (with `files`), `archive` and `url`",
        )),
    }
}

fn text_with_files(
    control: &Control,
    request: &ImportRequest,
    text: &String,
) -> ApiResult<ImportSource> {
    let file = request.file.as_deref();
    let root = file.map_or(UNNAMED, |file| file.strip_prefix("./").unwrap_or(file));
    let named = file.is_some();
    openapi::check_name(root).map_err(bad_request)?;
    if request.files.is_empty() {
        let files = Files::one(root, text.as_str()).map_err(bad_request)?;
        return Ok(ImportSource::of(files, named));
    }
    let sent = |name: &str| {
        if name == root {
            return Some(text);
        }
        request.files.get(name)
    };
    let files = gathered(control, root, sent)
        .map_err(|problems| faulty(problems, root))?
        .map_or_else(|| Files::one(root, text.as_str()), Ok)
        .map_err(bad_request)?;
    let sent = request.files.keys().map(String::as_str);
    let warnings = unused(&files, sent);
    Ok(ImportSource {
        warnings,
        ..ImportSource::of(files, named)
    })
}

/// Files that were sent and that nothing refers to are not kept; their author should know.
fn unused<'n>(files: &Files, sent: impl Iterator<Item = &'n str>) -> Diagnostics {
    let mut names: Vec<&str> = sent.filter(|name| files.get(name).is_none()).collect();
    if names.is_empty() {
        return Diagnostics::default();
    }
    let count = names.len();
    names.truncate(NAMES_SHOWN);
    let more = if count > NAMES_SHOWN { ", …" } else { "" };
    let message = format!(
        "nothing refers to {count} of the files, they are not kept: {}{more}",
        names.join(", ")
    );
    let warning = Diagnostic::warning("unused-files", "", message);
    Diagnostics(vec![warning.in_file(files.root()).at(1, 1)])
}

fn of_archive(control: &Control, bytes: &[u8], root: Option<&str>) -> ApiResult<ImportSource> {
    let refused = |error: ArchiveError| {
        control.import_refusals().count(error.reason());
        ApiError::new(code::INVALID_ARCHIVE, error.to_string())
    };
    let config = control.config();
    let limits = &config.definition_limits;
    let texts = archive::read(bytes, &config.archive).map_err(refused)?;
    let root = openapi::root_of(&texts, root, limits)
        .map_err(|error| ApiError::new(code::INVALID_ARCHIVE, error.to_string()))?;
    let text = Arc::clone(&texts[&root]);
    let mut gathering = Gathering::new(&root, text, limits, config.definition_files_max);
    while let Some(name) = gathering.wanted() {
        let text = texts.get(&name).cloned();
        gathering.add(name, text);
    }
    let files = finished(control, gathering, &root)?;
    let warnings = unused(&files, texts.keys().map(String::as_str));
    Ok(ImportSource {
        warnings,
        ..ImportSource::of(files.without_common_folder(limits), true)
    })
}

fn finished(control: &Control, gathering: Gathering, root: &str) -> ApiResult<Files> {
    gathering.finish().map_err(|problems| {
        control.import_refusals().count("definition-limits");
        faulty(problems, root)
    })
}

/// Fetches a definition, and what it refers to from the same origin. Names are those of the URLs' paths.
async fn of_url(control: &Control, url: &str, file: Option<&str>) -> ApiResult<ImportSource> {
    let url: Url = url
        .parse()
        .map_err(|_| unfetched(FetchError::Url, UNNAMED))?;
    let fetcher = control.fetcher();
    let found = fetcher.get(&url).await;
    let found = found.map_err(|error| unfetched(error, UNNAMED))?;
    let shown = shown(&url);
    if found.body.starts_with(ZIP) {
        let source = of_archive(control, &found.body, file)?;
        return Ok(ImportSource {
            url: Some(shown),
            ..source
        });
    }
    let (root, named) = name_of(&found.url);
    let text = text(found.body, &root)?;
    let config = control.config();
    let limits = &config.definition_limits;
    let mut gathering = Gathering::new(&root, text, limits, config.definition_files_max);
    let origin = found.url.origin();
    while let Some(name) = gathering.wanted() {
        let bytes_max = gathering.bytes_left();
        let at = url_of(&found.url, &name);
        match fetcher.get_within(&at, &origin, bytes_max).await {
            Ok(part) => gathering.add(name.clone(), Some(self::text(part.body, &name)?)),
            // Who needs it says so, with its place.
            Err(FetchError::Status(404 | 410)) => gathering.add(name, None),
            Err(error) => return Err(unfetched(error, &name)),
        }
    }
    let files = finished(control, gathering, &root)?;
    Ok(ImportSource {
        url: Some(shown),
        ..ImportSource::of(files.without_common_folder(limits), named)
    })
}

fn unfetched(error: FetchError, what: &str) -> ApiError {
    let detail = format!("{what}: {error}");
    match error {
        FetchError::Url => ApiError::bad_request(detail),
        FetchError::Blocked => ApiError::new(code::ADDRESS_BLOCKED, detail),
        _ => ApiError::new(code::FETCH_FAILED, detail),
    }
}

fn text(body: Vec<u8>, name: &str) -> ApiResult<Arc<str>> {
    let text = String::from_utf8(body);
    let text = text.map_err(|_| ApiError::new(code::FETCH_FAILED, format!("{name}: not UTF-8")))?;
    Ok(text.into())
}

/// What a root is called: by the path of its URL, where that is a name of a file. Its folders stay, so that references
/// keep their meaning.
fn name_of(url: &Url) -> (String, bool) {
    let decode = |segment: &str| {
        let decoded = percent_encoding::percent_decode_str(segment).decode_utf8();
        decoded
            .map(std::borrow::Cow::into_owned)
            .unwrap_or_default()
    };
    let mut segments: Vec<String> = url
        .path_segments()
        .into_iter()
        .flatten()
        .map(decode)
        .collect();
    let named = segments.last().is_some_and(|last| !last.is_empty());
    if !named {
        segments.pop();
        segments.push(UNNAMED.to_owned());
    }
    let name = segments.join("/");
    match openapi::check_name(&name) {
        Ok(()) => (name, named),
        Err(_) => (UNNAMED.to_owned(), false),
    }
}

/// The URL of another file at the root's origin.
fn url_of(root: &Url, name: &str) -> Url {
    let mut url = root.clone();
    url.set_query(None);
    url.set_fragment(None);
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.clear().extend(name.split('/'));
    }
    url
}

/// A URL without what may be a secret.
fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    url.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_and_names_of_files_belong_together() {
        let url = |text: &str| text.parse::<Url>().expect("a URL");
        let root = url("https://example.com/a%20b/v1/openapi.yaml?token=secret#x");
        assert_eq!(name_of(&root), ("a b/v1/openapi.yaml".to_owned(), true));
        assert_eq!(
            url_of(&root, "a b/c?d.yaml").as_str(),
            "https://example.com/a%20b/c%3Fd.yaml"
        );
        assert_eq!(shown(&root), "https://example.com/a%20b/v1/openapi.yaml");
        assert_eq!(
            name_of(&url("https://example.com/")),
            ("definition".to_owned(), false)
        );
        assert_eq!(
            name_of(&url("https://example.com/a/")),
            ("a/definition".to_owned(), false)
        );
        assert_eq!(
            name_of(&url("https://example.com/a%2F..%2Fb")),
            ("definition".to_owned(), false)
        );
    }
}
