//! The files of one definition, and the one text that they are kept as.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use base::{Diagnostic, Diagnostics};
use tree::Limits;

use crate::reference::external_refs;

/// What a packed definition begins with. No other text is read that begins so: control characters are refused.
const MAGIC: &str = "\0tollway definition 1\n";

/// Files of one definition, unless configured.
pub const FILES_MAX: usize = 500;

/// The longest name of a file in bytes.
const NAME_BYTES_MAX: usize = 1024;

/// The files of one definition: texts as their authors wrote them, by name.
///
/// Names are relative paths with `/` between folders. Invariants: the root is among them, every name passes
/// [`check_name`], no two differ in case only, and none is the folder of another.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Files {
    root: String,
    texts: BTreeMap<String, Arc<str>>,
}

/// Why texts are no definition of several files.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FilesError {
    /// A name that leads elsewhere, or that not every file system can hold.
    #[error(
        "`{0}` is no name of a file: relative paths without `..`, `\\`, `:` and control characters are"
    )]
    Name(String),
    /// Two names that some file systems take for one.
    #[error("`{0}` and `{1}` differ in case only")]
    Case(String, String),
    /// One name is a file and a folder.
    #[error("`{0}` is a file, and `{1}` lies in it")]
    Folder(String, String),
    /// The root is not there.
    #[error("there is no file `{0}`")]
    Root(String),
    /// The packed form is damaged, or stands where a text of one file is expected.
    #[error("this is no text of a definition, or a damaged one")]
    Packed,
}

/// Whether a name may stand in [`Files`].
///
/// # Errors
/// [`FilesError::Name`].
pub fn check_name(name: &str) -> Result<(), FilesError> {
    let good = name.len() <= NAME_BYTES_MAX
        && !name.contains(['\\', ':'])
        && !name.chars().any(char::is_control)
        && name
            .split('/')
            .all(|segment| !matches!(segment, "" | "." | ".."));
    if good {
        return Ok(());
    }
    Err(FilesError::Name(name.chars().take(200).collect()))
}

impl Files {
    /// A definition of one file.
    ///
    /// # Errors
    /// [`FilesError::Name`].
    pub fn one(name: impl Into<String>, text: impl Into<Arc<str>>) -> Result<Self, FilesError> {
        let root = name.into();
        Self::new(root.clone(), [(root, text.into())])
    }

    /// A definition of several files.
    ///
    /// # Errors
    /// [`FilesError`]: a name is refused, two clash, or the root is missing.
    pub fn new(
        root: impl Into<String>,
        texts: impl IntoIterator<Item = (String, Arc<str>)>,
    ) -> Result<Self, FilesError> {
        let (root, texts): (String, BTreeMap<_, _>) = (root.into(), texts.into_iter().collect());
        let mut folded: BTreeMap<String, &str> = BTreeMap::new();
        for name in texts.keys() {
            check_name(name)?;
            if let Some(other) = folded.insert(name.to_lowercase(), name) {
                return Err(FilesError::Case(other.to_owned(), name.clone()));
            }
        }
        let mut inside = folded.iter().flat_map(|(name, written)| {
            let folders = name.match_indices('/').map(|(slash, _)| &name[..slash]);
            folders.map(|folder| (folder.to_owned(), *written))
        });
        if let Some((folder, written)) = inside.find(|(folder, _)| folded.contains_key(folder)) {
            return Err(FilesError::Folder(folder, written.to_owned()));
        }
        if !texts.contains_key(&root) {
            return Err(FilesError::Root(root));
        }
        // What people send is a text of one file, whatever it says.
        if texts.values().any(|text| Self::is_packed(text)) {
            return Err(FilesError::Packed);
        }
        Ok(Self { root, texts })
    }

    /// The name of the file that the others are reached from.
    #[must_use]
    pub fn root(&self) -> &str {
        &self.root
    }

    /// The text of the root.
    #[must_use]
    pub fn root_text(&self) -> &Arc<str> {
        &self.texts[&self.root]
    }

    /// The text of a file.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<str>> {
        self.texts.get(name)
    }

    /// All files by name, the root among them.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Arc<str>)> {
        self.texts.iter().map(|(name, text)| (name.as_str(), text))
    }

    /// The files beside the root.
    pub fn others(&self) -> impl Iterator<Item = (&str, &Arc<str>)> {
        self.iter().filter(|(name, _)| *name != self.root)
    }

    /// The one text that the definition is kept as: of one file its own, of several all of them, byte for byte. Equal
    /// files give equal texts.
    #[must_use]
    pub fn pack(&self) -> Arc<str> {
        if self.texts.len() == 1 {
            return Arc::clone(self.root_text());
        }
        let mut packed = MAGIC.to_owned();
        let root = std::iter::once((self.root.as_str(), self.root_text()));
        for (name, text) in root.chain(self.others()) {
            packed.push_str(&format!("{} {}\n", name.len(), text.len()));
            packed.push_str(name);
            packed.push_str(text);
        }
        packed.into()
    }

    /// The files of a packed text; any other text is the one file, under this name.
    ///
    /// # Errors
    /// [`FilesError`] where the packed form is damaged or breaks an invariant.
    pub fn unpack(name: &str, text: &str) -> Result<Self, FilesError> {
        let Some(mut rest) = text.strip_prefix(MAGIC) else {
            return Self::one(name, text);
        };
        let mut root = None;
        let mut texts = BTreeMap::new();
        while !rest.is_empty() {
            let (file, text, behind) = entry(rest).ok_or(FilesError::Packed)?;
            root.get_or_insert(file);
            if texts.insert(file.to_owned(), text.into()).is_some() {
                return Err(FilesError::Packed);
            }
            rest = behind;
        }
        Self::new(root.ok_or(FilesError::Packed)?, texts)
    }

    /// Whether a text is what [`Files::pack`] makes of several files.
    #[must_use]
    pub fn is_packed(text: &str) -> bool {
        text.starts_with(MAGIC)
    }

    /// The same files without the folder that all of them lie in. References that leave it would break: then nothing
    /// is changed.
    #[must_use]
    pub fn without_common_folder(self, limits: &Limits) -> Self {
        let common = common_folder(self.texts.keys().map(String::as_str));
        if common.is_empty() {
            return self;
        }
        let short = |name: &str| name[common.len()..].to_owned();
        let texts = self.iter();
        let texts = texts.map(|(name, text)| (short(name), Arc::clone(text)));
        let Ok(shorter) = Self::new(short(&self.root), texts) else {
            return self;
        };
        let reached = |files: &Self| {
            let (root, text) = (files.root(), Arc::clone(files.root_text()));
            let mut gathering = Gathering::new(root, text, limits, usize::MAX);
            while let Some(name) = gathering.wanted() {
                gathering.add(name.clone(), files.get(&name).cloned());
            }
            gathering.finish().map_or(0, |files| files.texts.len())
        };
        if reached(&self) == reached(&shorter) {
            shorter
        } else {
            self
        }
    }
}

/// The folder that all names lie in, with the `/` at its end; empty at the top.
pub(crate) fn common_folder<'n>(mut names: impl Iterator<Item = &'n str>) -> &'n str {
    let mut common = folder(names.next().unwrap_or_default());
    for name in names {
        while !name.starts_with(common) {
            common = folder(common.trim_end_matches('/'));
        }
    }
    common
}

/// The folder of a name, with the `/` at its end; empty at the top.
fn folder(name: &str) -> &str {
    name.rfind('/').map_or("", |slash| &name[..=slash])
}

/// Name, text and the rest of a packed form.
fn entry(packed: &str) -> Option<(&str, &str, &str)> {
    let (lengths, rest) = packed.split_once('\n')?;
    let (name, text) = lengths.split_once(' ')?;
    let name_bytes = name.parse().ok()?;
    let (name, rest) = rest.split_at_checked(name_bytes)?;
    let (text, rest) = rest.split_at_checked(text.parse().ok()?)?;
    Some((name, text, rest))
}

/// Follows references from a root file to those that it needs: whoever has the files asks [`Gathering::wanted`] for a
/// name and answers with [`Gathering::add`], until there is no further one.
#[derive(Debug)]
pub struct Gathering {
    root: String,
    texts: BTreeMap<String, Arc<str>>,
    seen: BTreeSet<String>,
    waiting: VecDeque<String>,
    limits: Limits,
    files_max: usize,
    bytes_left: usize,
}

impl Gathering {
    /// Begins at a root file. `limits.bytes_max` holds for all files together.
    #[must_use]
    pub fn new(root: &str, text: Arc<str>, limits: &Limits, files_max: usize) -> Self {
        let mut gathering = Self {
            root: root.to_owned(),
            texts: BTreeMap::new(),
            seen: BTreeSet::from([root.to_owned()]),
            waiting: VecDeque::new(),
            limits: limits.clone(),
            files_max,
            bytes_left: limits.bytes_max,
        };
        gathering.add(root.to_owned(), Some(text));
        gathering
    }

    /// The next file that is needed; each is asked for once.
    pub fn wanted(&mut self) -> Option<String> {
        if self.over().is_some() {
            return None;
        }
        self.waiting.pop_front()
    }

    /// How many more bytes the next file may have.
    #[must_use]
    pub fn bytes_left(&self) -> usize {
        self.bytes_left
    }

    /// A file's text; nothing where there is no such file, which is told when the definition is read and needs it.
    pub fn add(&mut self, name: String, text: Option<Arc<str>>) {
        let Some(text) = text else { return };
        // A text that cannot be parsed is a problem for the reader, who tells it with its place.
        for needed in external_refs(&text, &name, &self.limits).unwrap_or_default() {
            if self.seen.insert(needed.clone()) {
                self.waiting.push_back(needed);
            }
        }
        self.bytes_left = self.bytes_left.saturating_sub(text.len());
        self.texts.insert(name, text);
    }

    /// Why no further file is taken.
    fn over(&self) -> Option<Diagnostic> {
        if self.texts.len() >= self.files_max && !self.waiting.is_empty() {
            let message = format!("the definition has more than {} files", self.files_max);
            return Some(Diagnostic::error("too-many-files", "", message));
        }
        if self.bytes_left == 0 {
            let message = format!(
                "the definition's files have {} bytes or more",
                self.limits.bytes_max
            );
            return Some(Diagnostic::error("text-too-long", "", message));
        }
        None
    }

    /// The files.
    ///
    /// # Errors
    /// Too many or too large files, and names that [`Files::new`] refuses.
    pub fn finish(self) -> Result<Files, Diagnostics> {
        let refused = |problem: Diagnostic| Diagnostics(vec![problem.at(1, 1)]);
        if let Some(problem) = self.over() {
            return Err(refused(problem));
        }
        Files::new(self.root, self.texts)
            .map_err(|error| refused(Diagnostic::error("definition-files", "", error.to_string())))
    }
}
