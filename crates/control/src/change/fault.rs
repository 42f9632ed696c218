//! What is wrong with a change: diagnostics, each with the code that it means to a REST caller.

use base::{Code, Diagnostic, Diagnostics, code};
use spec::Located;

use crate::definition::beside;
use crate::http::ApiError;

/// Where a document came from.
#[derive(Default)]
pub(crate) struct Source {
    /// Its text, which knows where every pointer stands.
    pub(crate) located: Option<Located>,
    /// The definition is files beside the document's own: then their names in diagnostics are relative to its folder.
    pub(crate) beside: bool,
}

impl Source {
    /// The document's file.
    pub(crate) fn file(&self) -> Option<&str> {
        self.located.as_ref()?.file()
    }

    /// Adds file, line and column where they are missing.
    fn locate(&self, diagnostics: &mut Diagnostics) {
        for diagnostic in &mut diagnostics.0 {
            // Only what is wrong with the definition names a file by itself.
            if let (Some(file), true) = (&diagnostic.file, self.beside) {
                diagnostic.file = Some(beside(self.file(), file));
            }
        }
        let Some(located) = &self.located else {
            return;
        };
        let (own, open): (Vec<_>, Vec<_>) = std::mem::take(&mut diagnostics.0)
            .into_iter()
            .partition(|diagnostic| diagnostic.file.is_some());
        let mut placed = Diagnostics(open);
        located.locate(&mut placed);
        diagnostics.extend(placed.into_iter().chain(own));
    }
}

/// One thing that is wrong.
#[derive(Debug)]
pub(crate) struct Fault {
    code: Code,
    diagnostic: Diagnostic,
}

impl Fault {
    /// The document is wrong.
    pub(crate) fn invalid(diagnostic: Diagnostic) -> Self {
        Self {
            code: code::INVALID_DOCUMENT,
            diagnostic,
        }
    }

    /// The document is right, and what is stored stands against it.
    pub(crate) fn against(
        code: Code,
        rule: &str,
        pointer: &str,
        message: impl Into<String>,
    ) -> Self {
        Self {
            code,
            diagnostic: Diagnostic::error(rule, pointer, message),
        }
    }

    /// Adds what to do about it.
    pub(crate) fn mend(mut self, mend: impl Into<String>) -> Self {
        self.diagnostic = self.diagnostic.mend(mend);
        self
    }
}

/// Everything that is wrong with a change, and what is merely odd.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    errors: Vec<Fault>,
    warnings: Diagnostics,
}

impl Faults {
    /// Adds one, with its place in the text.
    pub(crate) fn push(&mut self, source: &Source, fault: Fault) {
        let mut placed = Diagnostics(vec![fault.diagnostic]);
        source.locate(&mut placed);
        self.errors
            .extend(placed.into_iter().map(|diagnostic| Fault {
                code: fault.code,
                diagnostic,
            }));
    }

    /// Adds diagnostics of a document.
    pub(crate) fn extend(&mut self, source: &Source, mut diagnostics: Diagnostics) {
        source.locate(&mut diagnostics);
        for diagnostic in diagnostics {
            if diagnostic.severity == base::Severity::Error {
                self.errors.push(Fault::invalid(diagnostic));
            } else {
                self.warnings.push(diagnostic);
            }
        }
    }

    /// The warnings, when there is no error.
    ///
    /// # Errors
    /// The problem that tells of all faults: with their code when they have one in common, as an invalid document
    /// otherwise.
    pub(crate) fn into_result(self) -> Result<Diagnostics, ApiError> {
        let Some(first) = self.errors.first() else {
            return Ok(self.warnings);
        };
        let common = first.code;
        let uniform = self.errors.iter().all(|fault| fault.code == common);
        let code = if uniform {
            common
        } else {
            code::INVALID_DOCUMENT
        };
        let errors = self.errors.into_iter().map(|fault| fault.diagnostic);
        Err(ApiError::faulty(code, errors.chain(self.warnings)))
    }
}
