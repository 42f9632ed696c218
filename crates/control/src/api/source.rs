//! What an import is made of: a text with the files that it refers to.

use base::{Diagnostics, code};
use openapi::Files;

use super::ImportRequest;
use crate::Control;
use crate::definition::{gathered, named};
use crate::http::{ApiError, ApiResult};

/// What a definition is called in diagnostics when its author gave no name.
const UNNAMED: &str = "definition";

/// The files of a definition that shall become an API.
pub(super) struct ImportSource {
    pub(super) files: Files,
    /// Whether the root's name is its author's.
    pub(super) named: bool,
}

impl ImportSource {
    /// The refusal of its text.
    pub(super) fn faulty(&self, problems: Diagnostics) -> ApiError {
        faulty(problems, self.files.root())
    }
}

fn faulty(problems: Diagnostics, root: &str) -> ApiError {
    ApiError::faulty(code::INVALID_DOCUMENT, named(problems, root))
}

/// The files that a request brings.
///
/// # Errors
/// `BAD_REQUEST` where it names no source or several, or a file's name is refused; `INVALID_DOCUMENT` for too many or
/// too large files.
pub(super) fn read(control: &Control, request: &ImportRequest) -> ApiResult<ImportSource> {
    let Some(text) = &request.definition else {
        return Err(ApiError::bad_request("`definition` is missing"));
    };
    text_with_files(control, request, text)
}

fn text_with_files(
    control: &Control,
    request: &ImportRequest,
    text: &String,
) -> ApiResult<ImportSource> {
    let file = request.file.as_deref();
    let root = file.map_or(UNNAMED, |file| file.strip_prefix("./").unwrap_or(file));
    let named = file.is_some();
    openapi::check_name(root).map_err(|error| ApiError::bad_request(error.to_string()))?;
    if request.files.is_empty() {
        let files = Files::one(root, text.as_str());
        let files = files.map_err(|error| ApiError::bad_request(error.to_string()))?;
        return Ok(ImportSource { files, named });
    }
    let sent = |name: &str| {
        if name == root {
            return Some(text);
        }
        request.files.get(name)
    };
    let files = gathered(control.config(), root, sent)
        .map_err(|problems| faulty(problems, root))?
        .map_or_else(|| Files::one(root, text.as_str()), Ok)
        .map_err(|error| ApiError::bad_request(error.to_string()))?;
    Ok(ImportSource { files, named })
}
